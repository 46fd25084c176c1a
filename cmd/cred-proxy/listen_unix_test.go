//go:build unix

package main

import (
	"os"
	"path/filepath"
	"testing"
)

// TestBindUnix: nobody can connect to a socket that has not been given its permissions yet.
func TestBindUnix(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	ln, err := bindUnix(path)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0 {
		t.Errorf("%v, want no permissions", info.Mode())
	}
}
