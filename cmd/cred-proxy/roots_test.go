package main

import (
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"
)

// TestNamedRoots: what the environment names is trusted and nothing besides, be the system's roots where they are.
func TestNamedRoots(t *testing.T) {
	certs, err := certificates()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(file, certs.ca, 0o666); err != nil {
		t.Fatal(err)
	}
	alone := x509.NewCertPool()
	alone.AppendCertsFromPEM(certs.ca)
	missing := filepath.Join(dir, "missing")
	for _, c := range []struct {
		file, dirs string
		want       *x509.CertPool // nil: the system's
	}{
		{"", "", nil},
		{file, "", alone},
		{"", dir, alone},
		{file, missing, alone},
		{"", missing + string(os.PathListSeparator) + dir, alone},
	} {
		got, err := namedRoots(func(name string) string {
			return map[string]string{"SSL_CERT_FILE": c.file, "SSL_CERT_DIR": c.dirs}[name]
		})
		if err != nil || (got == nil) != (c.want == nil) || got != nil && !got.Equal(c.want) {
			t.Errorf("SSL_CERT_FILE=%s SSL_CERT_DIR=%s: not the roots that are named; %v", c.file, c.dirs, err)
		}
	}
}
