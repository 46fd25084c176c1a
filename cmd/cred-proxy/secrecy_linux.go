package main

import (
	"fmt"
	"math"

	"golang.org/x/sys/unix"
)

// seal keeps the tokens inside the process: other processes of the same user can neither read its memory and environment
// in /proc nor attach a debugger, and no core file is written. What it was started with besides its standard streams, a
// socket to listen on perhaps, goes to no command that it runs.
func seal() error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("other processes of this user can read the tokens: prctl: %w", err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("a crash could leave the tokens in a core file: setrlimit: %w", err)
	}
	unix.CloseRange(3, math.MaxInt32, unix.CLOSE_RANGE_CLOEXEC) // where the kernel has no such call, nothing was promised
	return nil
}
