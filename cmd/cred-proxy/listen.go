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

// Where agents come in: ports and Unix sockets.

// unixPrefix begins an address that is the path of a Unix socket.
const unixPrefix = "unix:"

// addresses are what the program is told to listen on: "host:port" or "unix:/path" each.
func (o *options) addresses() (list []string) {
	for _, one := range strings.Split(o.bind, ",") {
		if _, _, err := net.SplitHostPort(one); err != nil && !strings.HasPrefix(one, unixPrefix) {
			one = net.JoinHostPort(strings.Trim(one, "[]"), strconv.Itoa(o.port))
		}
		list = append(list, one)
	}
	return list
}

// firstPort is the first port to listen on, or "" if there are only Unix sockets.
func (o *options) firstPort() string {
	for _, one := range o.addresses() {
		if !strings.HasPrefix(one, unixPrefix) {
			_, port, _ := net.SplitHostPort(one)
			return port
		}
	}
	return ""
}

// A door is where agents come in.
type door struct {
	net.Listener
	said string // what it listens on as the log says it: with the host as it was asked for
	addr string // as the address file says it
}

// doors listens where the options say; or, if the program was started because somebody connected, takes the sockets that
// it was started with.
func (o *options) doors(getenv func(string) string) (doors []door, err error) {
	defer func() {
		if err != nil {
			closeAll(doors)
		}
	}()
	given, err := activated(getenv)
	for _, ln := range given {
		addr := ln.Addr().String()
		if ln.Addr().Network() == "unix" {
			addr = unixPrefix + addr
		}
		doors = append(doors, door{ln, addr, addr})
	}
	if err != nil || len(doors) > 0 {
		return doors, err
	}
	for _, address := range o.addresses() {
		ln, err := listen(address, os.FileMode(o.socketMode), o.reusePort)
		if err != nil {
			return doors, err
		}
		said, addr := boundTo(ln, address)
		doors = append(doors, door{ln, said, addr})
	}
	return doors, nil
}

func closeAll(doors []door) {
	for _, d := range doors {
		d.Close()
	}
}

// listen listens on an address; mode is what a Unix socket is given, and share lets further processes of this user listen
// on the same port.
func listen(address string, mode os.FileMode, share bool) (ln net.Listener, err error) {
	path, isUnix := strings.CutPrefix(address, unixPrefix)
	switch {
	case isUnix:
		ln, err = listenUnix(path, mode)
	case share:
		ln, err = listenShared(tcp(), address)
	default:
		ln, err = tcp().Listen(context.Background(), "tcp", address)
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

// tcp is how to listen on a port. MPTCP is of no use to a sidecar, and keep-alive probes are not either: the agent is next
// door, and a silent one has a deadline. Both would cost a little for each connection.
func tcp() *net.ListenConfig {
	lc := &net.ListenConfig{KeepAlive: -1}
	lc.SetMultipathTCP(false)
	return lc
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
	return ln, os.Chmod(path, mode) // without these permissions the program does not serve
}

// isDead reports whether nobody listens on a socket.
func isDead(path string) bool {
	_, err := net.DialTimeout("unix", path, time.Second) // if somebody does, the program ends
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
	n, err := strconv.ParseUint(s, 8, 0)
	if err != nil || n > 0o777 {
		return fmt.Errorf("%q is not permissions in octal digits, such as 0660", s)
	}
	*v = modeValue(n)
	return nil
}

// bindValue is a list of what to listen on: hosts, which have the port of the options, hosts with a port, and Unix sockets.
type bindValue string

func (v *bindValue) String() string { return string(*v) }
func (v *bindValue) Set(s string) error {
	seen := map[string]bool{}
	for _, one := range strings.Split(s, ",") {
		switch {
		case strings.TrimSpace(one) != one || one == "" && s != "":
			return fmt.Errorf("%q is no list of addresses with a comma between them", s)
		case seen[one]:
			return fmt.Errorf("%q stands twice", one)
		}
		if _, port, err := net.SplitHostPort(one); err == nil && port == "" && !strings.HasPrefix(one, unixPrefix) {
			return fmt.Errorf("%q has a colon and no port behind it", one)
		}
		seen[one] = true
	}
	*v = bindValue(s)
	return nil
}
