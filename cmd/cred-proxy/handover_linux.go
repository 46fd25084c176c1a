package main

import (
	"context"
	"errors"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// listenShared listens on a port that another cred-proxy of this user may listen on, too: it takes over from that one.
func listenShared(lc *net.ListenConfig, address string) (net.Listener, error) {
	lc.Control = func(_, _ string, c syscall.RawConn) error {
		var err error
		return errors.Join(c.Control(func(fd uintptr) {
			err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
		}), err)
	}
	ln, err := lc.Listen(context.Background(), "tcp", address)
	if err != nil {
		return nil, err
	}
	if raw, err := ln.(*net.TCPListener).SyscallConn(); err == nil {
		raw.Control(func(fd uintptr) { preferLater(int(fd)) })
	}
	return ln, nil
}

// preferLater has the kernel give every connection to the second of those that listen on a port, which is the later one;
// to the first if it is alone. Otherwise it would deal them out, and the one that is to stop would go on getting some
// until it closes its socket, with which those are lost that arrive in this moment. Where the kernel refuses, it is so.
func preferLater(fd int) {
	second := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K, K: 1}}
	unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_REUSEPORT_CBPF, &unix.SockFprog{Len: 1, Filter: &second[0]})
}
