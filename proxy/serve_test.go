package proxy

import (
	"context"
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
