package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

// TestDemoInColour runs the demo on a terminal, where it is in colour unless
// NO_COLOR says not; a scenario shows that it is not when it writes to a pipe.
func TestDemoInColour(t *testing.T) {
	for _, test := range []struct {
		env    string
		colour bool
	}{
		{"TERM=xterm-256color", true},
		{"NO_COLOR=1", false},
	} {
		text := onTerminal(t, test.env, "demo", "-once")
		if !strings.Contains(text, "event 1") {
			t.Fatalf("%s: not the demo: %q", test.env, text)
		}
		if got := strings.Contains(text, "\x1b["); got != test.colour {
			t.Errorf("%s: in colour is %v, want %v: %q", test.env, got, test.colour, text)
		}
		if got := strings.Contains(text, "Authorization: \x1b[32mBearer "+demoToken+"\x1b[0m"); got != test.colour {
			t.Errorf("%s: the credential that is injected is in green: %v: %q", test.env, got, text)
		}
	}
}

// onTerminal runs cred-proxy with a pseudo-terminal for its output.
func onTerminal(t *testing.T, env string, args ...string) string {
	t.Helper()
	ours, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skip("no pseudo-terminals here:", err)
	}
	defer ours.Close()
	var unlock, number int32
	for request, arg := range map[uintptr]*int32{syscall.TIOCSPTLCK: &unlock, syscall.TIOCGPTN: &number} {
		if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, ours.Fd(), request, uintptr(unsafe.Pointer(arg))); errno != 0 {
			t.Fatal(errno)
		}
	}
	theirs, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skip("no pseudo-terminals here:", err)
	}
	bin, err := exec.LookPath("cred-proxy")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(bin, args...)
	cmd.Env = append(coverage(), "PATH="+os.Getenv("PATH"), "GORACE="+os.Getenv("GORACE"), env)
	cmd.Stdout, cmd.Stderr = theirs, theirs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	timer := time.AfterFunc(patience, func() { cmd.Process.Kill() })
	defer timer.Stop()
	var text bytes.Buffer
	io.Copy(&text, ours) // ends with an error when the program is gone
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v: %s", err, text.String())
	}
	return text.String()
}
