// Package loopback makes networks in which there is loopback and nothing else, for what must not reach others or be reached.
package loopback

import (
	"fmt"
	"runtime"

	"golang.org/x/sys/unix"
)

// Own gives the goroutine, and the processes that it starts, a network of its own, which needs privileges; after an error
// it has the one that it had. The goroutine keeps its thread, which ends with it.
func Own() error {
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("unshare: %w", err)
	}
	return Up()
}

// Up has the network of the thread begin to work, in which loopback is down when it is new.
func Up() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	lo, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	lo.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, lo); err != nil {
		return fmt.Errorf("lo: %w", err)
	}
	return nil
}
