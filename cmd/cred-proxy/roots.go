package main

import (
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
)

// Whom the certificates of upstreams must come from.

// namedRoots returns the certificates that SSL_CERT_FILE and SSL_CERT_DIR name, or nil, which stands for the system's, where
// neither is set. They are in place of those: crypto/x509 itself would add what is in the system's directories to the
// file, and would go on with that alone if it could not read the file.
func namedRoots(getenv func(string) string) (*x509.CertPool, error) {
	file, dirs := getenv("SSL_CERT_FILE"), getenv("SSL_CERT_DIR")
	if file == "" && dirs == "" {
		return nil, nil
	}
	pool := x509.NewCertPool()
	found := false
	if file != "" {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("SSL_CERT_FILE: %w", err)
		}
		if found = pool.AppendCertsFromPEM(text); !found {
			return nil, fmt.Errorf("SSL_CERT_FILE: there is no certificate in %s", file)
		}
	}
	for _, dir := range filepath.SplitList(dirs) {
		entries, _ := os.ReadDir(dir) // often one of several is not there
		for _, e := range entries {
			name := filepath.Join(dir, e.Name())
			if info, err := os.Stat(name); err != nil || !info.Mode().IsRegular() {
				continue // to read a FIFO is to wait
			}
			if text, err := os.ReadFile(name); err == nil && pool.AppendCertsFromPEM(text) {
				found = true
			}
		}
	}
	if !found {
		return nil, fmt.Errorf("SSL_CERT_DIR: there is no certificate in %s", dirs)
	}
	return pool, nil
}
