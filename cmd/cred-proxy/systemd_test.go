package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdActivated starts the program as systemd starts a service for its sockets:
// they listen already, and are the descriptors from 3 on. $PROXY is then the
// first of them. With ! the program must refuse them; its output is then that
// of the script.
//
//	[!] activated NAME... [-- ARG...]
//
// tcp is a port of 127.0.0.1, unix a socket below $WORK; not is none that listens.
func cmdActivated(ts *testscript.TestScript, neg bool, args []string) {
	var sockets []*os.File
	first := ""
	for len(args) > 0 && args[0] != "--" {
		f, addr := givenSocket(ts, args[0])
		defer f.Close()
		if first == "" {
			first = addr
		}
		sockets, args = append(sockets, f), args[1:]
	}
	usage(ts, len(sockets) == 0, "[!] activated NAME... [-- ARG...]")
	bin, err := exec.LookPath("cred-proxy")
	ts.Check(err)
	if len(args) > 0 {
		args = args[1:]
	}
	// LISTEN_PID is the process that the program becomes.
	cmd := exec.Command("/bin/sh", append([]string{"-c", `LISTEN_PID=$$ exec "$0" "$@"`, bin}, args...)...)
	cmd.Dir, cmd.ExtraFiles = ts.MkAbs("."), sockets
	s := of(ts)
	cmd.Env = append(s.environ(ts), fmt.Sprintf("LISTEN_FDS=%d", len(sockets)), "LISTEN_FDNAMES="+strings.Repeat(":", len(sockets)-1))
	p, err := follow(cmd)
	ts.Check(err)
	if neg {
		exited(ts, p, "1", false)
		return
	}
	ts.Check(p.listening())
	p.addr = first
	s.run(ts, p)
}

// givenSocket makes a socket for cmdActivated. The address of a Unix socket is
// unix:/path.
func givenSocket(ts *testscript.TestScript, kind string) (f *os.File, addr string) {
	switch kind {
	case "tcp":
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		ts.Check(err)
		defer ln.Close()
		f, err = ln.(*net.TCPListener).File()
		ts.Check(err)
		return f, ln.Addr().String()
	case "unix":
		path := ts.MkAbs("given")
		ln, err := net.Listen("unix", path)
		ts.Check(err)
		ln.(*net.UnixListener).SetUnlinkOnClose(false)
		defer ln.Close()
		f, err = ln.(*net.UnixListener).File()
		ts.Check(err)
		return f, unixPrefix + path
	case "not":
		conn, err := net.ListenPacket("udp", "127.0.0.1:0")
		ts.Check(err)
		defer conn.Close()
		f, err = conn.(*net.UDPConn).File()
		ts.Check(err)
		return f, ""
	}
	ts.Fatalf("unknown socket %q", kind)
	return nil, ""
}

// cmdNotified waits for what the program tells systemd next, which must match.
// Without arguments it prepares for that, at $NOTIFY_SOCKET; @ makes that one
// that has no file.
//
//	notified [@]
//	notified REGEXP
func cmdNotified(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg || len(args) > 1, "notified [@|REGEXP]")
	s := of(ts)
	if len(args) == 0 || args[0] == "@" {
		name := ts.MkAbs("notify")
		if len(args) > 0 {
			name = "@" + name
		}
		conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
		ts.Check(err)
		ts.Defer(func() { conn.Close() })
		s.notified = conn
		s.names = append(s.names, "NOTIFY_SOCKET")
		ts.Setenv("NOTIFY_SOCKET", name)
		return
	}
	if s.notified == nil {
		ts.Fatalf("nobody is told anything")
	}
	var text [4096]byte
	s.notified.SetReadDeadline(time.Now().Add(patience))
	n, err := s.notified.Read(text[:])
	ts.Check(err)
	if ok, err := regexp.Match(`^(?:`+args[0]+`)$`, text[:n]); err != nil || !ok {
		ts.Fatalf("it is told %q", text[:n])
	}
}
