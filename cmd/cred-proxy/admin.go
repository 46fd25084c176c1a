package main

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"

	"credproxy/admin"
	"credproxy/proxy"
)

// newAdmin returns the operator's port, which does not listen yet, or nil if there is none.
func newAdmin(p *program, o *options, status func() proxy.Status) *admin.Admin {
	if o.admin == "" {
		return nil
	}
	b := readBuild()
	host, _, _ := net.SplitHostPort(o.admin)
	return admin.New(admin.Options{Status: status, Warn: p.warn, Name: host, Version: b.version, Revision: b.revision})
}

// serveAdmin listens where the operator's port is to be, which is not where agents connect, and serves there from now on.
func (p *program) serveAdmin(a *admin.Admin, o *options, agents []door) error {
	if a == nil {
		return nil
	}
	for _, d := range agents {
		if err := apart(o.admin, d.Addr()); err != nil {
			return err
		}
	}
	ln, err := listen(o.admin, 0o600, o.reusePort)
	if err != nil {
		return fmt.Errorf("admin: %w", err)
	}
	said, _ := boundTo(ln, o.admin)
	p.sayAdmin(ln.Addr(), said)
	go a.Serve(ln) // until it is closed: what passes, such as too few descriptors, net/http waits for
	return nil
}

// sayAdmin says where the operator's port is, and what that means where others can reach it.
func (p *program) sayAdmin(addr net.Addr, said string) {
	if tcp, ok := addr.(*net.TCPAddr); ok {
		said = "http://" + said + "/"
		if !tcp.IP.IsLoopback() {
			p.say("admin: whoever can reach %s sees the method and the path of every exchange: keep agents away from it", addr)
		}
	}
	p.say("admin on %s", said)
}

// apart says what is wrong with an address for operators if it is also one for agents, or none.
func apart(address string, agents net.Addr) error {
	same := fmt.Errorf("admin: %s is where agents connect", address)
	if path, ok := strings.CutPrefix(address, unixPrefix); ok {
		mine, _ := filepath.Abs(path)
		theirs, _ := filepath.Abs(agents.String())
		if agents.Network() == "unix" && mine == theirs {
			return same
		}
		return nil
	}
	tcp, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return fmt.Errorf("admin: %q is neither host:port nor unix:/path", address)
	}
	if a, ok := agents.(*net.TCPAddr); ok && a.Port == tcp.Port &&
		(a.IP.IsUnspecified() || tcp.IP == nil || tcp.IP.IsUnspecified() || a.IP.Equal(tcp.IP)) {
		return same
	}
	return nil
}
