//go:build unix

package proxy

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestReadRegular: only what a regular file holds is read, up to its bound, and an error names its reason.
func TestReadRegular(t *testing.T) {
	dir, err := os.MkdirTemp("", "") // t.TempDir is too long for a socket on some systems
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	socket := filepath.Join(dir, "socket")
	ln, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	fifo, file := filepath.Join(dir, "fifo"), filepath.Join(dir, "file")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	put(t, file, "four")
	for name, want := range map[string]string{
		dir:           "is not a regular file",
		socket:        "is not a regular file", // to open it would be another error
		fifo:          "is not a regular file",
		"/dev/null":   "is not a regular file",
		file:          "",
		file + "/x":   "cannot be read: not a directory",
		dir + "/none": "cannot be read: no such file or directory",
	} {
		text, err := readRegular(name, 4)
		switch {
		case want == "" && (err != nil || string(text) != "four"):
			t.Errorf("%q, %v", text, err)
		case want != "" && (err == nil || readError(err).Error() != want):
			t.Errorf("%s: %v, want %s", name, err, want)
		}
	}
	if _, err := readRegular(file, 3); err == nil || err.Error() != "has more than 3 bytes" {
		t.Errorf("a file that is too long: %v", err)
	}
	if _, err := readRegular("/proc/self/mem", 10); err == nil || strings.HasPrefix(err.Error(), "has ") {
		t.Errorf("a file whose first byte cannot be read: %v", err)
	}
}
