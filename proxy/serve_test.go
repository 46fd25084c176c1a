package proxy

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
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
	t.Cleanup(func() { // what it does besides serving must not go on beside other tests
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		s.Shutdown(ctx)
	})
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
	s := New(Options{Timeouts: Timeouts{Head: time.Minute}})
	done, cancel := context.WithCancel(t.Context())
	cancel()
	ours, theirs := net.Pipe()
	a := newAgent(s, theirs)
	s.enter(a)
	go func() {
		a.serve()
		s.leave(a)
	}()
	if err := s.Shutdown(done); err != context.Canceled {
		t.Errorf("%v", err)
	}
	late, server := net.Pipe()
	s.welcome(server)
	if !ended(ours) || !ended(late) || len(s.agents) != 0 {
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

// dialAgent connects an agent, for as long as the test lasts, that does not wait for ever.
func dialAgent(t testing.TB, addr string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	return conn
}

// until waits until nothing is wrong any more.
func until(t testing.TB, wrong func() string) {
	t.Helper()
	for by := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		why := wrong()
		if why == "" {
			return
		}
		if time.Now().After(by) {
			t.Fatal(why)
		}
	}
}

// nobodyIn waits until no goroutine is in a function.
func nobodyIn(t *testing.T, function string) {
	t.Helper()
	until(t, func() string {
		var stacks strings.Builder
		if pprof.Lookup("goroutine").WriteTo(&stacks, 1); strings.Contains(stacks.String(), function) {
			return "somebody is in " + function + ":\n" + stacks.String()
		}
		return ""
	})
}

// listenLocal listens until the test is over.
func listenLocal(t testing.TB) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln
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
	resting, other := net.Pipe()
	a := newAgent(s, other)
	a.restful.Store(true)
	s.enter(a)
	go func() {
		served <- s.Serve(&failing{ln, []error{errors.New("too many open files"), errors.New("again")}})
	}()
	if got := <-told; got != "accept: too many open files" {
		t.Errorf("told %q", got)
	}
	if !ended(resting) {
		t.Error("who does nothing keeps its descriptor")
	}
	s.leave(a)
	conn := dialAgent(t, ln.Addr().String())
	io.WriteString(conn, "GET /none HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
	if answer, err := io.ReadAll(conn); err != nil || !bytes.HasPrefix(answer, []byte("HTTP/1.1 404 ")) {
		t.Errorf("%v, %q", err, answer)
	}
	ln.Close()
	if err := <-served; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Serve: %v", err)
	}
	if len(told) > 0 {
		t.Errorf("told again within a minute: %q", <-told)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	if err := s.Shutdown(t.Context()); err == nil {
		t.Error("shut down twice")
	}
}

// TestServeAfterShutdown: who begins to serve when the end has come does not.
func TestServeAfterShutdown(t *testing.T) {
	s := New(Options{})
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(listenLocal(t)) }()
	select {
	case err := <-served:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("it serves")
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Shutdown(t.Context()) }()
	select {
	case err := <-ended:
		if err == nil {
			t.Error("shut down twice")
		}
	case <-time.After(10 * time.Second):
		t.Error("nothing works any more")
	}
}

// TestLeaveIfResting: in a drain a connection is closed if nothing has come of it between two looks, be it before its first
// exchange or after its last.
func TestLeaveIfResting(t *testing.T) {
	for _, test := range []struct {
		name   string
		served []uint64 // at each look
		leaves bool
	}{{"new", []uint64{0}, false}, {"silent", []uint64{0, 0}, true}, {"served between", []uint64{0, 1}, false}, {"done", []uint64{1, 2, 2}, true}} {
		conn, other := net.Pipe()
		a, resting := newAgent(New(Options{}), conn), map[*agent]uint64{}
		for _, n := range test.served {
			a.served.Store(n)
			a.leaveIfResting(resting)
		}
		other.SetReadDeadline(time.Now().Add(time.Millisecond))
		if _, err := other.Read(make([]byte, 1)); (err == io.EOF) != test.leaves {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

// TestQueueIsBounded: of those who go on connecting while a Shutdown serves the queue not all are served, and nobody any
// more once its time is over.
func TestQueueIsBounded(t *testing.T) {
	for _, over := range []bool{false, true} {
		ctx, cancel := context.WithCancel(t.Context())
		want := maxQueue
		if over {
			cancel()
			want = 1
		}
		n := 0
		New(Options{Peers: Networks{netip.MustParsePrefix("127.0.0.2/32")}}).welcomeAll(ctx, func(yield func(net.Conn) bool) {
			for n < 2*maxQueue {
				conn, _ := net.Pipe()
				conn.Close()
				if n++; !yield(conn) {
					return
				}
			}
		})
		if n != want {
			t.Errorf("over %v: %d are served", over, n)
		}
		cancel()
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

// TestCutIsObserved: when Shutdown has returned, whoever observes has been told of the exchanges that it cut, and by whom.
func TestCutIsObserved(t *testing.T) {
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}))
	defer up.Close()
	var told atomic.Int32
	s := newServer(t, Options{Getenv: func(string) string { return "a-token" }, Observer: func(e *Event) {
		if e.Broken != "proxy" {
			t.Errorf("broken by %q", e.Broken)
		}
		time.Sleep(20 * time.Millisecond) // as an observer may that writes
		told.Add(1)
	}}, one("upstream", strconv.Quote(up.URL)))
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go s.Serve(ln)
	const agents = 10
	for range agents {
		conn := dialAgent(t, ln.Addr().String())
		io.WriteString(conn, "GET /a/ HTTP/1.1\r\nHost: h\r\n\r\n")
		if _, err := io.ReadFull(conn, make([]byte, len("HTTP/1.1 200 OK"))); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Shutdown(ctx); err != context.Canceled || told.Load() != agents {
		t.Errorf("%v; told of %d exchanges", err, told.Load())
	}
}

// TestDrainLetsLinger: an agent that still sends what was refused is not cut off by a drain, and can read the refusal.
func TestDrainLetsLinger(t *testing.T) {
	t.Parallel()
	s := New(Options{})
	conn, agent := net.Pipe()
	s.welcome(conn)
	agent.SetDeadline(time.Now().Add(10 * time.Second))
	io.WriteString(agent, "POST /none HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n")
	if resp, err := http.ReadResponse(bufio.NewReader(agent), nil); err != nil || resp.StatusCode != 404 {
		t.Fatalf("%v, %v", resp, err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Shutdown(context.Background()) }()
	tick := time.NewTicker(restFor / 4)
	defer tick.Stop()
	for range 12 {
		<-tick.C
		if _, err := agent.Write([]byte("more")); err != nil {
			t.Fatal(err)
		}
	}
	agent.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
