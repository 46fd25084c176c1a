package proxy

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// slowListener accepts nobody until it is closed.
type slowListener struct {
	*net.TCPListener
	closed chan struct{}
}

func (l *slowListener) Accept() (net.Conn, error) { <-l.closed; return nil, net.ErrClosed }
func (l *slowListener) Close() error {
	select {
	case <-l.closed:
		return nil
	default:
	}
	close(l.closed)
	return l.TCPListener.Close()
}

var _ syscall.Conn = (*slowListener)(nil)

// serveSlowly has a Server serve at a slowListener, and returns once it does.
func serveSlowly(t *testing.T, s *Server) (*slowListener, <-chan error) {
	t.Helper()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln := &slowListener{tcp.(*net.TCPListener), make(chan struct{})}
	served := make(chan error, 1)
	go func() { served <- s.Serve(ln) }()
	for registered := false; !registered; runtime.Gosched() {
		s.mu.Lock()
		registered = len(s.listeners) == 1
		s.mu.Unlock()
	}
	return ln, served
}

// TestDrainServesTheQueue: who had connected when the program was told to stop is served, be it accepted or not, and told
// that the connection is closed then.
func TestDrainServesTheQueue(t *testing.T) {
	s := New(Options{})
	ln, served := serveSlowly(t, s)
	var conns []net.Conn
	for range 20 {
		conn := dialAgent(t, ln.Addr().String())
		conns = append(conns, conn)
	}
	for _, conn := range conns[1:] {
		io.WriteString(conn, "GET /x HTTP/1.1\r\nHost: h\r\n\r\n")
	}
	done := make(chan error, 1)
	go func() { done <- s.Shutdown(context.Background()) }()
	<-ln.closed // by then the queue was taken
	io.WriteString(conns[0], "GET /x HTTP/1.1\r\nHost: h\r\n\r\n")
	for i, conn := range conns {
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || resp.StatusCode != 404 || !resp.Close {
			t.Errorf("connection %d: %v, %v", i, resp, err)
		}
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
	for range 2 {
		if s.Shutdown(context.Background()) == nil {
			t.Error("shut down again")
		}
	}
}

// TestDrainClosesItsDescriptors: of a connection taken from the queue no second descriptor stays open.
func TestDrainClosesItsDescriptors(t *testing.T) {
	ln := listenLocal(t)
	for range 5 {
		dialAgent(t, ln.Addr().String())
	}
	conns := slices.Collect(queued(ln))
	if len(conns) != 5 {
		t.Errorf("%d connections", len(conns))
	}
	// Descriptors of one socket are links to the same name.
	const fds = "/proc/self/fd/"
	for i, conn := range conns {
		raw, err := conn.(*net.TCPConn).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		var socket string
		if err := raw.Control(func(fd uintptr) { socket, _ = os.Readlink(fds + strconv.Itoa(int(fd))) }); err != nil {
			t.Fatal(err)
		}
		if socket == "" {
			t.Skip("descriptors are told apart in /proc")
		}
		conn.Close()
		entries, err := os.ReadDir(fds)
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range entries {
			if link, _ := os.Readlink(fds + entry.Name()); link == socket {
				t.Errorf("connection %d: descriptor %s is still open", i, entry.Name())
			}
		}
	}
}

// TestDrainAnyListener: a listener that has no descriptor has no queue; it is closed.
func TestDrainAnyListener(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if conns := slices.Collect(queued(struct{ net.Listener }{ln})); conns != nil {
		t.Error(conns)
	}
	ln.Close()
}

// TestDrainOfAQueueIsBounded: agents in the queue that find no place do not hold a Shutdown up beyond its time.
func TestDrainOfAQueueIsBounded(t *testing.T) {
	t.Parallel()
	s := New(Options{Limits: Limits{Agents: 1}})
	s.crowd.places <- struct{}{}
	ln, served := serveSlowly(t, s)
	for range 6 * minDoors { // each wave of those at the door takes a second and more
		conn := dialAgent(t, ln.Addr().String())
		io.WriteString(conn, "GET /x HTTP/1.1\r\nHost: h\r\n\r\n")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	began := time.Now()
	if err := s.Shutdown(ctx); err != context.DeadlineExceeded {
		t.Error(err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}
