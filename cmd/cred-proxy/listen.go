package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// unixPrefix begins an address that is the path of a Unix socket.
const unixPrefix = "unix:"

// address is what the program is told to listen on: "host:port", or "unix:/path".
func (o *options) address() string {
	if strings.HasPrefix(o.bind, unixPrefix) {
		return o.bind
	}
	return net.JoinHostPort(o.bind, strconv.Itoa(o.port))
}

// listen listens on an address; mode is what a Unix socket is given.
func listen(address string, mode os.FileMode) (ln net.Listener, err error) {
	if path, ok := strings.CutPrefix(address, unixPrefix); ok {
		ln, err = listenUnix(path, mode)
	} else {
		// MPTCP is of no use to a sidecar, and keep-alive probes are not either: the agent is next door, and a silent one
		// has a deadline. Both would cost a little for each connection.
		lc := net.ListenConfig{KeepAlive: -1}
		lc.SetMultipathTCP(false)
		ln, err = lc.Listen(context.Background(), "tcp", address)
	}
	if err == nil {
		return ln, nil
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		err = op.Err
	}
	if sys, ok := errors.AsType[*os.SyscallError](err); ok {
		err = sys.Err
	}
	return nil, fmt.Errorf("listen %s: %w", address, err)
}

// listenUnix listens on a Unix socket, whose file goes with the listener. A file that a dead process left behind is
// replaced; nothing else is.
func listenUnix(path string, mode os.FileMode) (net.Listener, error) {
	if path == "" || path[0] == '@' {
		return nil, errors.New("the path of a Unix socket must be that of a file")
	}
	if info, err := os.Lstat(path); err == nil {
		if info.Mode().Type() != os.ModeSocket {
			return nil, errors.New("there is a file that is no socket")
		}
		if isDead(path) {
			os.Remove(path) // an error will come again
		}
	}
	ln, err := bindUnix(path)
	if errors.Is(err, syscall.EINVAL) {
		return nil, errors.New("the path of a Unix socket cannot be so long")
	}
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, mode); err != nil {
		ln.Close()
		return nil, err
	}
	return ln, nil
}

// isDead reports whether nobody listens on a socket.
func isDead(path string) bool {
	conn, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		conn.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}

// boundTo is what a listener listens on, as the log and the address file say it: with the host as it was asked for.
func boundTo(ln net.Listener, asked string) (said, addr string) {
	if _, ok := ln.(*net.UnixListener); ok {
		return asked, asked
	}
	host, _, _ := net.SplitHostPort(asked)
	_, port, _ := net.SplitHostPort(ln.Addr().String())
	return net.JoinHostPort(host, port), ln.Addr().String()
}

// modeValue is the permissions of a file, in octal digits.
type modeValue os.FileMode

func (v *modeValue) String() string { return fmt.Sprintf("%04o", uint32(*v)) }
func (v *modeValue) Set(s string) error {
	n, err := strconv.ParseUint(s, 8, 32)
	if err != nil || n > 0o777 {
		return fmt.Errorf("%q is not permissions in octal digits, such as 0660", s)
	}
	*v = modeValue(n)
	return nil
}
