package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"
)

// An egress is the only way out of a network: a proxy that knows CONNECT, and
// that alone can resolve some names. What it finds there is one upstream, at its
// own port and at those that URLs leave out.
type egress struct {
	upstream string   // host:port
	names    []string // of it
	deny     bool

	mu    sync.Mutex
	heads []string
}

// cmdEgress starts such a proxy; $EGRESS is then its URL and $EGRESS_HOST its host:port. With -show it prints
// what it was asked for instead, with LF line ends.
//
//	egress [-deny]   -deny: it answers 403
//	egress -show
func cmdEgress(ts *testscript.TestScript, neg bool, args []string) {
	deny, show := false, false
	args = flagged(ts, args, func(name, _ string) bool {
		deny, show = deny || name == "deny", show || name == "show"
		return name == "deny" || name == "show"
	})
	usage(ts, neg || len(args) != 0, "egress [-deny] | egress -show")
	s := of(ts)
	if show {
		s.egress.mu.Lock()
		defer s.egress.mu.Unlock()
		for _, head := range s.egress.heads {
			fmt.Fprint(ts.Stdout(), head)
		}
		return
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { ln.Close() })
	e := &egress{upstream: "127.0.0.1:" + ts.Getenv("UPSTREAM_PORT"), names: []string{"upstream.test"}, deny: deny}
	s.egress = e
	ts.Setenv("EGRESS", "http://"+ln.Addr().String())
	ts.Setenv("EGRESS_HOST", ln.Addr().String())
	go e.serve(ln)
}

// serve serves until the listener is closed.
func (e *egress) serve(ln net.Listener) {
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		go e.tunnel(c)
	}
}

// tunnel serves one CONNECT. It ends when either side does.
func (e *egress) tunnel(client net.Conn) {
	defer client.Close()
	br := bufio.NewReaderSize(client, 64<<10)
	head, err := peekHead(br)
	e.mu.Lock()
	e.heads = append(e.heads, head)
	e.mu.Unlock()
	if err != nil {
		return
	}
	req, err := http.ReadRequest(br)
	if err != nil || req.Method != "CONNECT" || e.deny {
		io.WriteString(client, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
		return
	}
	_, port, _ := net.SplitHostPort(e.upstream)
	name, to, _ := net.SplitHostPort(req.Host)
	if !slices.Contains(e.names, name) || !slices.Contains([]string{port, "443", "80"}, to) {
		io.WriteString(client, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
		return
	}
	server, err := net.DialTimeout("tcp", e.upstream, patience)
	if err != nil {
		io.WriteString(client, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
		return
	}
	defer server.Close()
	io.WriteString(client, "HTTP/1.1 200 OK\r\n\r\n")
	go func() {
		defer server.Close()
		defer client.Close()
		io.Copy(server, br)
	}()
	io.Copy(client, server)
}
