package fakeupstream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// Options configure a Server. The zero value serves HTTPS, quietly.
type Options struct {
	// Plain serves HTTP instead of HTTPS.
	Plain bool

	// Names are further DNS names for the certificate, besides localhost,
	// 127.0.0.1, ::1 and upstream.test. The server's own Client reaches it by
	// any of them, and the absolute URLs of an answer have the one that the
	// request was for.
	Names []string

	// BodyLimit is how many bytes of a body are kept, 64 KiB if 0. Size and
	// SHA-256 are always those of the whole body.
	BodyLimit int

	// RequestLimit is how many requests are kept, 100,000 if 0; the oldest go
	// first.
	RequestLimit int

	// Wait bounds the methods that wait when their context has no deadline of
	// its own: 10 s if 0.
	Wait time.Duration

	// Token, if not empty, is the credential that the behaviours which want
	// one insist on. If it is empty they take any.
	Token string

	// GitRoot is a directory of bare repositories that /git/ serves. If it is
	// empty, the repository demo.git is made when it is first asked for.
	GitRoot string

	// Logf gets one line per exchange and per connection that failed: no
	// query, no field value. Nil keeps quiet.
	Logf func(format string, args ...any)
}

// TB is the part of testing.TB that NewTest needs.
type TB interface {
	Helper()
	Cleanup(func())
	Logf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// A Server is a running upstream. Its methods may be called from any goroutine.
type Server struct {
	URL   string // "https://localhost:PORT", without a slash at the end
	CAPEM []byte // the certificate of the authority that it is to be trusted by; nil if Plain

	opt    Options
	addr   string
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	client *http.Client
	close  sync.Once
	cert   *identity

	mu       sync.Mutex
	ln       net.Listener
	conns    map[*conn]struct{}
	accepted int
	closed   bool
	set      map[string]Behaviour

	rec     recorder
	streams streams
	faults  faults
	git     gitRepos
}

// Start starts a server on a free port of 127.0.0.1. It runs until Close, or
// until ctx is done.
func Start(ctx context.Context, o Options) (*Server, error) {
	if o.BodyLimit == 0 {
		o.BodyLimit = 64 << 10
	}
	if o.RequestLimit == 0 {
		o.RequestLimit = 100_000
	}
	if o.RequestLimit < 0 {
		return nil, fmt.Errorf("fakeupstream: a limit of %d requests", o.RequestLimit)
	}
	if o.Wait == 0 {
		o.Wait = 10 * time.Second
	}
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("fakeupstream: %w", err)
	}
	s := &Server{
		opt:   o,
		addr:  ln.Addr().String(),
		ln:    ln,
		conns: map[*conn]struct{}{},
		set:   map[string]Behaviour{},
	}
	s.rec.limit = o.RequestLimit
	_, port, _ := net.SplitHostPort(s.addr)
	s.URL = "http://localhost:" + port
	if !o.Plain {
		if s.cert, err = newIdentity(o.Names); err != nil {
			ln.Close()
			return nil, fmt.Errorf("fakeupstream: %w", err)
		}
		s.URL = "https://localhost:" + port
		s.CAPEM = s.cert.caPEM
	}
	s.client = s.newClient()
	s.ctx, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	s.wg.Add(1)
	go s.accept(ln)
	// Closing on the caller's ctx must not leave Close waiting for itself.
	stop := context.AfterFunc(ctx, s.Close)
	context.AfterFunc(s.ctx, func() { stop() })
	return s, nil
}

// NewTest starts a server that closes with the test and logs through it. It
// takes at most one Options.
func NewTest(tb TB, o ...Options) *Server {
	tb.Helper()
	var opt Options
	if len(o) > 0 {
		opt = o[0]
	}
	if opt.Logf == nil {
		opt.Logf = tb.Logf
	}
	s, err := Start(context.Background(), opt)
	if err != nil {
		tb.Fatalf("%v", err)
	}
	tb.Cleanup(s.Close)
	return s
}

// Close ends every connection at once, waits for no client, and returns when
// nothing of the server runs any more. Closing twice is harmless.
func (s *Server) Close() {
	s.close.Do(func() {
		s.mu.Lock()
		s.closed = true
		ln := s.ln
		conns := make([]*conn, 0, len(s.conns))
		for c := range s.conns {
			conns = append(conns, c)
		}
		s.mu.Unlock()
		s.cancel()
		if ln != nil {
			ln.Close()
		}
		for _, c := range conns {
			c.tcp.Close()
		}
		s.client.CloseIdleConnections()
		s.wg.Wait()
		s.git.remove()
	})
}

// Client returns an HTTP client that trusts the server's authority, reaches it
// by any of its names, and leaves content encodings as they are.
func (s *Server) Client() *http.Client { return s.client }

func (s *Server) newClient() *http.Client {
	own := map[string]bool{"upstream.test": true}
	for _, name := range s.opt.Names {
		own[name] = true
	}
	_, port, _ := net.SplitHostPort(s.addr)
	var dialer net.Dialer
	t := &http.Transport{
		DisableCompression: true,
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if host, p, _ := net.SplitHostPort(addr); own[host] || host == "localhost" && p == port {
				addr = s.addr
			}
			return dialer.DialContext(ctx, network, addr)
		},
	}
	if !s.opt.Plain {
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(s.CAPEM)
		t.TLSClientConfig = &tls.Config{RootCAs: roots}
	}
	return &http.Client{Transport: t}
}

// Connections returns how many connections were accepted so far, and how many
// of them are open.
func (s *Server) Connections() (accepted, open int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accepted, len(s.conns)
}

// CloseIdle closes the kept connections, as an upstream does from time to time:
// those that wait for a next request at once, those in an exchange after it. It
// returns how many it closed at once.
func (s *Server) CloseIdle() int {
	var idle []*conn
	s.mu.Lock()
	for c := range s.conns {
		c.retired = true
		if c.idle {
			idle = append(idle, c)
		}
	}
	s.mu.Unlock()
	for _, c := range idle {
		c.nc.Close()
	}
	return len(idle)
}

// waiting bounds ctx by Options.Wait if it has no deadline.
func (s *Server) waiting(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, s.opt.Wait)
}

// gaveUp is the error of a wait for what, which ended with ctx or the server.
func (s *Server) gaveUp(ctx context.Context, what string) error {
	if s.ctx.Err() != nil {
		return fmt.Errorf("fakeupstream: waiting for %s: %w", what, errClosed)
	}
	return fmt.Errorf("fakeupstream: waiting for %s: %w", what, ctx.Err())
}

var errClosed = errors.New("the server is closed")

func (s *Server) logf(format string, args ...any) {
	if s.opt.Logf != nil {
		s.opt.Logf("fakeupstream: "+format, args...)
	}
}
