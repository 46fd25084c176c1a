package proxy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// newServer returns a Server that has loaded a routes.json.
func newServer(t testing.TB, o Options, routes string) *Server {
	t.Helper()
	s := New(o)
	c, err := ParseConfig("f", []byte(routes))
	if err == nil {
		err = s.Load(c)
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestZeroOptions: a Server without options takes tokens from the environment, tells nobody, and has the documented bounds.
func TestZeroOptions(t *testing.T) {
	t.Setenv("T", "the-token")
	s := newServer(t, Options{}, one("", ""))
	if injected(s) != "the-token" {
		t.Errorf("injects %q", injected(s))
	}
	s.warn("to nobody")
	if s.timeouts != DefaultTimeouts || s.limits != DefaultLimits || s.poll != DefaultPoll {
		t.Errorf("%+v, %+v, %v", s.timeouts, s.limits, s.poll)
	}
	some := New(Options{Timeouts: Timeouts{Dial: 1, Silence: -1}, Limits: Limits{Head: 1, Agents: -1}, Poll: 1})
	if some.timeouts.Dial != 1 || some.timeouts.Silence != DefaultTimeouts.Silence || some.limits.Head != 1 ||
		some.limits.Agents != DefaultLimits.Agents || some.poll != 1 {
		t.Errorf("%+v, %+v, %v", some.timeouts, some.limits, some.poll)
	}
}

// TestServeUntilClosed: a listener that somebody else closes ends Serve with an error.
func TestServeUntilClosed(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := New(Options{})
	defer s.Shutdown(t.Context())
	ln.Close()
	if err := s.Serve(ln); !errors.Is(err, net.ErrClosed) {
		t.Errorf("%v", err)
	}
}

// TestCutOff: who connects when all have been cut off is not served.
func TestCutOff(t *testing.T) {
	s := New(Options{})
	done, cancel := context.WithCancel(t.Context())
	cancel()
	ours, theirs := net.Pipe()
	s.enter(newAgent(s, theirs))
	if err := s.Shutdown(done); err != context.Canceled {
		t.Errorf("%v", err)
	}
	late, server := net.Pipe()
	s.welcome(server)
	if !ended(ours) || !ended(late) || len(s.agents) != 1 {
		t.Error("somebody is served")
	}
}

// serve has a Server serve agents at an address. stop shuts it down and holds it to a clean end; it is called when the
// test is over, if not before.
func serve(t testing.TB, s *Server) (addr string, stop func()) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(ln) }()
	stop = sync.OnceFunc(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	t.Cleanup(stop)
	return ln.Addr().String(), stop
}

// failing is a listener whose first connections fail.
type failing struct {
	net.Listener
	errs []error
}

func (f *failing) Accept() (net.Conn, error) {
	if len(f.errs) > 0 {
		err := f.errs[0]
		f.errs = f.errs[1:]
		return nil, err
	}
	return f.Listener.Accept()
}

// TestAcceptFails: a connection that cannot be accepted, for want of descriptors say, is told of and ends nothing; a
// listener that somebody else has closed ends Serve. A server that was shut down is so once.
func TestAcceptFails(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	told, served := make(chan string, 10), make(chan error, 1)
	s := newServer(t, Options{Warn: func(line string) { told <- line }}, one("", ""))
	for len(told) > 0 {
		<-told
	}
	go func() { served <- s.Serve(&failing{ln, []error{errors.New("too many open files")}}) }()
	if got := <-told; got != "accept: too many open files" {
		t.Errorf("told %q", got)
	}
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	io.WriteString(conn, "GET /none HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
	if answer, err := io.ReadAll(conn); err != nil || !bytes.HasPrefix(answer, []byte("HTTP/1.1 404 ")) {
		t.Errorf("%v, %q", err, answer)
	}
	ln.Close()
	if err := <-served; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Serve: %v", err)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	if err := s.Shutdown(t.Context()); err == nil {
		t.Error("shut down twice")
	}
}

// TestAgentsHost: what cannot be the proxy's address is not taken for it, nor is what was called before.
func TestAgentsHost(t *testing.T) {
	ours, theirs := net.Pipe()
	defer ours.Close()
	a := newAgent(New(Options{}), theirs)
	defer a.abandon()
	for _, host := range []string{"p:9099", "<p>", "q", ""} {
		want := host
		if host == "<p>" {
			want = ""
		}
		if a.calls([]byte(host)); a.host != want {
			t.Errorf("%q: %q", host, a.host)
		}
	}
}
