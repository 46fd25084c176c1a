package main

import (
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"

	"credproxy/fakeupstream"
)

// An egress is the only way out of a network, and alone can resolve some names. What it finds there is one upstream, at
// its own port and at those that URLs leave out.
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
	s.egress = &egress{upstream: "127.0.0.1:" + ts.Getenv("UPSTREAM_PORT"), names: []string{"upstream.test"}, deny: deny}
	e, err := fakeupstream.StartEgress(s.egress.lead)
	ts.Check(err)
	ts.Defer(e.Close)
	ts.Setenv("EGRESS", e.URL)
	ts.Setenv("EGRESS_HOST", strings.TrimPrefix(e.URL, "http://"))
}

// lead says where a CONNECT leads to.
func (e *egress) lead(q fakeupstream.Request) (addr string, status int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.heads = append(e.heads, strings.ReplaceAll(string(q.Head), "\r\n", "\n"))
	_, port, _ := net.SplitHostPort(e.upstream)
	name, to, _ := net.SplitHostPort(q.Target)
	switch {
	case e.deny:
		return "", http.StatusForbidden
	case !slices.Contains(e.names, name) || !slices.Contains([]string{port, "443", "80"}, to):
		return "", http.StatusBadGateway
	}
	return e.upstream, 0
}
