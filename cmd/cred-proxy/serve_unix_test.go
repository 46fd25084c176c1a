//go:build unix

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"credproxy/proxy"
)

// TestStopWhileStarting: told to stop while a command is to print its token, the program ends, and the command with it.
func TestStopWhileStarting(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	fifo := filepath.Join(dir, "started")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	routes := `{"routes": [{"path": "/a/", "upstream": "https://a.test", "auth_scheme": "", "token_command": ["sh", "-c", "echo $$ >started; exec sleep 1h"]}]}`
	if err := os.WriteFile(filepath.Join(dir, "routes.json"), []byte(routes), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := launch(dir, append(os.Environ(), "CRED_PROXY_ROUTES=routes.json", "CRED_PROXY_BIND=127.0.0.1", "CRED_PROXY_PORT=0",
		"CRED_PROXY_COMMAND_TIMEOUT=1h"))
	if err != nil {
		t.Fatal(err)
	}
	defer p.stop()
	pid, err := os.ReadFile(fifo) // once the command runs
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code, err := p.wait(); code != exitOK || err != nil {
		t.Errorf("exit code %d, %v", code, err)
	}
	if said := p.stderr.String(); strings.Contains(said, "listening") {
		t.Error(said)
	}
	if _, err := os.Stat("/proc/" + strings.TrimSpace(string(pid))); err == nil && runtime.GOOS == "linux" {
		t.Errorf("the command %s lives on", pid)
	}
}

// TestSignalsWhileStarting: a SIGHUP that comes while the routes are loaded is not lost, nor is a SIGUSR1.
func TestSignalsWhileStarting(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	fifo, routes := filepath.Join(dir, "token"), filepath.Join(dir, "routes.json")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf(`{"routes": [{"path": "/a/", "upstream": "https://a.test", "auth_scheme": "", "token_command": ["cat", %q]}]}`, fifo)
	if err := os.WriteFile(routes, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	p := &program{stderr: &stderr}
	signals := make(chan os.Signal, 2)
	signals <- syscall.SIGHUP
	signals <- syscall.SIGUSR1
	go func() {
		for len(signals) > 0 {
			runtime.Gosched()
		}
		os.WriteFile(fifo, []byte("a-token"), 0o600)
	}()
	if changed, err := p.loadFirst(proxy.New(proxy.Options{}), routes, new(logs), signals); !changed || err != nil {
		t.Errorf("changed %v, %v", changed, err)
	}
	if stderr.String() != "cred-proxy: SIGUSR1: there is no audit file to open again\n" {
		t.Errorf("said %q", stderr.String())
	}
}
