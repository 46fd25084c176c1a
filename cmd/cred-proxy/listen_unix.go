//go:build unix

package main

import (
	"net"
	"syscall"
)

// bindUnix listens on a new socket that nobody can connect to before it is given its permissions.
func bindUnix(path string) (net.Listener, error) {
	defer syscall.Umask(syscall.Umask(0o777))
	return net.Listen("unix", path)
}
