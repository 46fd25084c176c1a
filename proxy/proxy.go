// Package proxy is the core of cred-proxy: it takes an agent's plain HTTP request, replaces the credential and forwards
// it over TLS to the one upstream that its route names.
//
// The life of one exchange, a file per step:
//
//   - peers.go knows from where agents may connect; crowd.go gives an agent's connection its place, agent.go waits there
//     for a request. limits.go bounds everything that an agent or an upstream could make grow.
//   - exchange.go is that request and its answer, from the first byte to the last; all that follows is asked from there.
//     proxy/http1 parses the heads.
//   - policy.go refuses what is refused everywhere: other methods, dot segments, git push; and chunked bodies, unless the
//     route lets them pass. refusal.go is the table of everything that can be answered instead of forwarding, shape.go how
//     that is written.
//   - route.go finds the route with the longest prefix; callers.go knows who may use it, rules.go which requests it lets
//     through, besides the built-in ones of minting.go; meter.go counts them. token.go knows where its tokens come from,
//     command.go runs the commands that print some; credential.go says what they become, slots.go which of the agent's
//     fields that closes.
//   - upload.go sends the part of the request's body that was not there with its head, chunked.go makes the chunks of one
//     that has no length; relay.go passes the response on. header.go says which fields cross, home.go maps the URLs in
//     them back to the proxy, homebody.go those in bodies.
//   - lookout.go knows which tokens must not be seen; leak.go looks for them in requests, screen.go masks them in responses,
//     both by proxy/redact.
//   - websocket.go has the handshake that an agent may ask for instead of an answer, tunnel.go what passes after it.
//   - upstream.go has the verified connections to the upstream, kept and reused; sock.go is the socket below it all.
//   - observe.go tells what came of it.
//
// config.go reads a routes.json, over what json.go finds there; the keys of one concern are in credentialconfig.go,
// fieldconfig.go, ruleconfig.go, homeconfig.go, streamconfig.go and lookoutconfig.go. An exchange sees one immutable table
// made of that, loaded once: [Server.Load] in load.go builds a new one aside and swaps it, and follow.go does when a token
// changes, or the file. [Server.Shutdown] in drain.go is the end, for which accept_linux.go empties the queue at the door.
package proxy

import (
	"context"
	"crypto/x509"
	"errors"
	"maps"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"credproxy/proxy/http1"
)

// Timeouts bounds everything that waits. A zero one is the default.
type Timeouts struct {
	Dial     time.Duration // connecting to an upstream or its proxy; 10 s
	TLS      time.Duration // the TLS handshake and CONNECT; 10 s
	Response time.Duration // from the end of the request to the head of the response; 300 s: a model may think
	Silence  time.Duration // in the middle of a body, either way; 300 s
	Head     time.Duration // from the first byte of a request to the end of its head, and for the first one at all; 10 s
	Idle     time.Duration // between two requests of an agent; 120 s
	Command  time.Duration // for a command that prints a token; 10 s
}

// DefaultTimeouts are those of the zero Timeouts.
var DefaultTimeouts = Timeouts{Dial: 10 * time.Second, TLS: 10 * time.Second, Response: 300 * time.Second,
	Silence: 300 * time.Second, Head: 10 * time.Second, Idle: 120 * time.Second, Command: 10 * time.Second}

func (t Timeouts) orDefault() Timeouts {
	for _, f := range []struct{ v, d *time.Duration }{{&t.Dial, &DefaultTimeouts.Dial}, {&t.TLS, &DefaultTimeouts.TLS},
		{&t.Response, &DefaultTimeouts.Response}, {&t.Silence, &DefaultTimeouts.Silence}, {&t.Head, &DefaultTimeouts.Head},
		{&t.Idle, &DefaultTimeouts.Idle}, {&t.Command, &DefaultTimeouts.Command}} {
		if *f.v <= 0 {
			*f.v = *f.d
		}
	}
	return t
}

const (
	// maxInterim is how many 1xx responses one exchange may have.
	maxInterim = 64

	// sweepEvery is how often agents are looked at that wait for an answer: one that left is noticed within twice that.
	sweepEvery = 250 * time.Millisecond
)

// DefaultPoll is the Poll of the zero Options.
const DefaultPoll = 2 * time.Second

// Options configures a Server. The zero value serves with the defaults, without a log.
type Options struct {
	Timeouts Timeouts
	Limits   Limits
	Peers    Networks            // from which TCP connections are served; everywhere if empty
	Getenv   func(string) string // where tokens come from; os.Getenv if nil
	Warn     func(string)        // told, one line each, of what an operator must know; may be nil
	Observer Observer            // told of every finished exchange; may be nil
	Progress Observer            // told of one that goes up, and when its answer is there; only with an Observer, may be nil
	Poll     time.Duration       // between two looks at what may change by itself; 2 s if zero
	Watch    bool                // whether the file of the routes is among that
	RootCAs  *x509.CertPool      // whom upstreams' certificates must come from; the system's roots if nil
}

// Server proxies agents' requests. Load a configuration before Serve.
type Server struct {
	timeouts Timeouts
	limits   Limits
	peers    Networks
	heads    struct{ up, down *http1.Limits } // of requests and of responses
	getenv   func(string) string
	warn     func(string)
	observer Observer
	progress Observer
	poll     time.Duration
	watch    bool
	roots    *x509.CertPool

	table    atomic.Pointer[table]
	draining atomic.Bool

	loading sync.Mutex      // held while a table is built and swapped in; taken before mu
	config  *Config         // the table's; this and the next two with loading held
	sources sources         // of its tokens
	meters  meters          // of its routes
	routes  routesFile      // that it came from
	secrets map[string]bool // the variables that ever held one

	mu        sync.Mutex
	listeners map[net.Listener]bool
	agents    map[*agent]bool
	crowd     *crowd
	left      chan struct{}   // closed when the last agent is gone while draining
	gone      sync.Once       // left was closed
	cut       bool            // whoever is still there is cut off
	serving   sync.Once       // what goes with serving was started
	stopped   chan struct{}   // closed when Shutdown is done
	life      context.Context // of commands: until then, or until all is cut off
	end       context.CancelFunc
	commands  sync.WaitGroup       // those that run
	upstreams map[origin]*upstream // written with loading held, too
	failures  struct {
		count uint64
		last  string
		at    time.Time
	}
	former []sought // tokens that went out of force lately; loading is held
	leaks  leaks
	kept   kept // the upstreams' idle connections
}

// New returns a Server without routes.
func New(o Options) *Server {
	s := &Server{
		timeouts: o.Timeouts.orDefault(), limits: o.Limits.orDefault(), peers: o.Peers,
		getenv: o.Getenv, warn: o.Warn, observer: o.Observer, progress: o.Progress,
		poll: o.Poll, watch: o.Watch, roots: o.RootCAs,
		secrets: map[string]bool{}, listeners: map[net.Listener]bool{}, agents: map[*agent]bool{},
		left: make(chan struct{}), stopped: make(chan struct{}), upstreams: map[origin]*upstream{},
	}
	if s.getenv == nil {
		s.getenv = os.Getenv
	}
	if s.warn == nil {
		s.warn = func(string) {}
	}
	if s.poll <= 0 {
		s.poll = DefaultPoll
	}
	s.heads.up, s.heads.down = s.limits.request(), s.limits.response()
	s.crowd, s.kept.max = newCrowd(s.limits.Agents), int64(s.limits.kept())
	s.life, s.end = context.WithCancel(context.Background())
	s.table.Store(&table{})
	return s
}

// Serve accepts agents' connections until Shutdown or until the listener fails; it closes the listener. The error is
// nil after Shutdown.
func (s *Server) Serve(ln net.Listener) error {
	defer ln.Close()
	s.mu.Lock()
	if s.draining.Load() {
		s.mu.Unlock()
		return nil
	}
	s.listeners[ln] = true
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.listeners, ln)
		s.checkLeft()
	}()
	s.serving.Do(func() {
		go s.sweep()
		go s.follow()
	})
	for {
		conn, err := ln.Accept()
		if err != nil {
			if s.draining.Load() {
				return nil
			}
			if errors.Is(err, net.ErrClosed) {
				return err
			}
			// Out of descriptors, or a connection that was gone before it was accepted: neither may end the process.
			if s.crowd.toldAccept.now() {
				s.warn("accept: " + err.Error())
			}
			s.makeRoom()
			time.Sleep(50 * time.Millisecond)
			continue
		}
		s.welcome(conn)
	}
}

// welcome serves a connection that was accepted, if there is a place for it.
func (s *Server) welcome(conn net.Conn) {
	if !s.peers.admits(conn) {
		s.refusePeer(conn)
		return
	}
	a := newAgent(s, conn)
	if !s.enter(a) {
		conn.Close()
		return
	}
	s.admitAgent(a)
}

// enter counts an agent in, unless all are being cut off.
func (s *Server) enter(a *agent) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.cut {
		s.agents[a] = true
	}
	return !s.cut
}

func (s *Server) leave(a *agent) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.agents, a)
	s.checkLeft()
}

// checkLeft tells Shutdown if nobody is left and nobody can come any more; s.mu is held.
func (s *Server) checkLeft() {
	if s.draining.Load() && len(s.listeners)+len(s.agents) == 0 {
		s.gone.Do(func() { close(s.left) })
	}
}

// snapshot returns the agents there are; s.mu is held.
func (s *Server) snapshot() []*agent {
	return slices.AppendSeq(make([]*agent, 0, len(s.agents)), maps.Keys(s.agents))
}

// sweep looks after agents that left while their upstream is silent, and after connections that have been idle for too
// long. One goroutine for all: a watcher each would cost more memory than the stream that it watches.
func (s *Server) sweep() {
	tick := time.NewTicker(sweepEvery)
	for {
		select {
		case <-s.stopped:
			return
		case now := <-tick.C:
			s.mu.Lock()
			agents, upstreams := s.snapshot(), slices.Collect(maps.Values(s.upstreams))
			s.mu.Unlock()
			s.forget(now)
			for _, a := range agents {
				a.sweep()
			}
			for _, u := range upstreams {
				u.closeIdle(now.Add(-idleUpstream))
			}
		}
	}
}
