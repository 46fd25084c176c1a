//go:build linux || darwin

package main

import "golang.org/x/sys/unix"

// raiseDescriptors raises how many descriptors the process may have towards want, and returns how many that are. What the
// user's limit allows Go takes by itself (package os); root may raise that limit too.
func raiseDescriptors(want uint64) (have uint64, err error) {
	var l unix.Rlimit
	err = unix.Getrlimit(unix.RLIMIT_NOFILE, &l)
	if err == nil && l.Cur < want {
		unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: want, Max: max(want, l.Max)})
		err = unix.Getrlimit(unix.RLIMIT_NOFILE, &l)
	}
	return l.Cur, err
}
