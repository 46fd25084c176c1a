package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

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
