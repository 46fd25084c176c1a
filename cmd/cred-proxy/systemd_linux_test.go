package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestActivatedByNone: LISTEN_FDS is a number in digits, and none beyond what systemd hands over; each is a descriptor.
func TestActivatedByNone(t *testing.T) {
	for _, n := range []string{"", "a", "-1", "0x1", "1024"} {
		env := map[string]string{"LISTEN_PID": strconv.Itoa(os.Getpid()), "LISTEN_FDS": n}
		_, err := activated(func(name string) string { return env[name] })
		if want := fmt.Sprintf("LISTEN_FDS %q is not a number of sockets", n); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
	env := map[string]string{"LISTEN_PID": strconv.Itoa(os.Getpid()), "LISTEN_FDS": "1023"}
	_, err := activated(func(name string) string { return env[name] })
	if err == nil || !strings.HasPrefix(err.Error(), "descriptor ") {
		t.Errorf("%v, want what is wrong with a descriptor", err)
	}
}

// TestNotifyReloading: systemd is told of a reload with the time on its own clock, in microseconds.
func TestNotifyReloading(t *testing.T) {
	clock := func() int64 {
		var now unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
			t.Fatal(err)
		}
		return now.Nano() / 1000
	}
	before, said, after := clock(), notifyReloading(), clock()
	at, err := strconv.ParseInt(strings.TrimPrefix(said, "RELOADING=1\nMONOTONIC_USEC="), 10, 64)
	if err != nil || at < before || at > after {
		t.Errorf("%q, %v: not between %d and %d", said, err, before, after)
	}
}

// TestNotifyNobodyReads: whoever listens but reads nothing is not waited for.
func TestNotifyNobodyReads(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "") // t.TempDir is too long for a socket on some systems
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	at := &net.UnixAddr{Name: filepath.Join(dir, "s"), Net: "unixgram"}
	ln, err := net.ListenUnixgram("unixgram", at)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	full, err := net.DialUnix("unixgram", nil, at)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	for err == nil {
		full.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
		_, err = full.Write([]byte("x"))
	}
	done := make(chan struct{})
	go func() {
		notify(func(string) string { return at.Name }, notifyReady)
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Error("it waits")
	}
}
