package main

import (
	"fmt"
	"os"
	"strconv"
	"testing"
)

// TestActivatedByNone: LISTEN_FDS is a number in digits, and none beyond what systemd hands over.
func TestActivatedByNone(t *testing.T) {
	for _, n := range []string{"", "a", "-1", "0x1", "1024"} {
		env := map[string]string{"LISTEN_PID": strconv.Itoa(os.Getpid()), "LISTEN_FDS": n}
		_, err := activated(func(name string) string { return env[name] })
		if want := fmt.Sprintf("LISTEN_FDS %q is not a number of sockets", n); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
