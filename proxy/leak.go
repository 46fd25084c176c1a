package proxy

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"credproxy/proxy/redact"
)

// LeakGuard is what becomes of a request that holds a token: it leaked earlier.
type LeakGuard string

// The ways to go on. The zero LeakGuard is LeakRefuse.
const (
	LeakRefuse LeakGuard = "refuse" // and tell the operator
	LeakLog    LeakGuard = "log"    // tell the operator
	LeakOff    LeakGuard = "off"    // do not look
)

// guardedBody is how much of a request's body is looked through.
const guardedBody = 64 << 10

// guards reports whether requests are looked through.
func (l *lookout) guards() bool { return l != nil && l.matcher != nil && l.guard != LeakOff }

// finds reports whether there is a token in p, wherever that stands.
func (l *lookout) finds(p []byte) bool { return l != nil && l.matcher != nil && l.matcher.Find(p) >= 0 }

// guardHead looks for tokens in the head of the request.
func (x *exchange) guardHead(t *table, path []byte) *Refusal {
	if x.lookout = t.lookout.Load(); !x.lookout.guards() {
		return nil
	}
	secret := x.lookout.matcher.Find(x.agent.rd.Buffered()[:x.headSize])
	if secret < 0 {
		return nil
	}
	if r := t.find(path); r != nil {
		x.event.Route, x.shape = r.Path, r.shape.askedFor(&x.req)
	}
	x.event.Leaked = true
	return x.srv.leaked(x.lookout, secret, "the head", x.agent)
}

// guardBody looks for tokens in what is there of the request's body, and has the upload look through the rest.
func (x *exchange) guardBody() *Refusal {
	if !x.lookout.guards() || x.unread == 0 || x.event.Leaked {
		return nil
	}
	here := x.agent.rd.Buffered()[x.headSize:]
	here = here[:min(int64(len(here)), x.req.Length)] // none of a chunked one
	if x.unread > int64(len(here)) {
		x.guard = &bodyGuard{agent: x.agent, lookout: x.lookout, stream: redact.Stream{M: x.lookout.matcher}, left: guardedBody}
		refusal := x.guard.look(here)
		x.event.Leaked = x.guard.leaked
		return refusal
	}
	secret := x.lookout.matcher.Find(here[:min(len(here), guardedBody)])
	if secret < 0 {
		return nil
	}
	x.event.Leaked = true
	return x.srv.leaked(x.lookout, secret, "the body", x.agent)
}

// bodyGuard looks for tokens in a request's body.
type bodyGuard struct {
	agent   *agent
	lookout *lookout
	stream  redact.Stream
	left    int // bytes that are still looked through
	leaked  bool
}

// look looks through the next bytes of the body. Nil looks at nothing.
func (g *bodyGuard) look(p []byte) *Refusal {
	if g == nil {
		return nil
	}
	if p = p[:min(len(p), g.left)]; len(p) == 0 {
		return nil
	}
	g.left -= len(p)
	secret := g.stream.Find(p)
	if secret < 0 {
		return nil
	}
	g.leaked, g.left = true, 0
	return g.agent.srv.leaked(g.lookout, secret, "the body", g.agent)
}

// errLeaked is what ends an upload that has a token in it.
var errLeaked = errors.New("request body holds a token")

// leaks is when the operator was told of a leaked token.
type leaks struct {
	told   telling
	untold atomic.Int64 // how many there were since
}

// leaksEvery is how often the operator is told: an agent that has a token could fill the log.
const leaksEvery = time.Second

// leaked tells the operator that a token came in a part of a request, and returns what the agent is answered, or nil if
// it is to be let through.
func (s *Server) leaked(l *lookout, secret int, part string, a *agent) *Refusal {
	refusal, then := &refuseLeaked, "it was refused"
	if l.guard == LeakLog {
		refusal, then = nil, "it was let through"
	}
	if !s.leaks.told.at(time.Now(), leaksEvery) {
		s.leaks.untold.Add(1)
		return refusal
	}
	more := ""
	if n := s.leaks.untold.Swap(0); n > 0 {
		more = fmt.Sprintf(" (and %d more requests of which nothing was said)", n)
	}
	s.warn(fmt.Sprintf("LEAKED: the token of %s stood in %s of a request of %s; %s; revoke the token%s", l.sources[secret], part,
		a.peer, then, more))
	return refusal
}
