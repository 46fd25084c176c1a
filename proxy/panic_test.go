package proxy

import (
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// TestPanicSaysNoSecret: a defect that panics with a token in its value costs one connection. The operator gets the
// trace, the agent an end, and neither the token.
func TestPanicSaysNoSecret(t *testing.T) {
	const token = "sk-in-a-panic-0123456789"
	var mu sync.Mutex
	var said strings.Builder
	var panicked atomic.Bool
	addr, stop := serve(t, newServer(t, Options{
		Getenv: func(string) string { return token },
		Warn: func(line string) {
			mu.Lock()
			defer mu.Unlock()
			said.WriteString(line + "\n")
		},
		Observer: func(e *Event) {
			if panicked.CompareAndSwap(false, true) {
				panic(fmt.Errorf("Authorization: Bearer %s in %v", token, e))
			}
		},
	}, one("", "")))
	ask := func() string {
		conn := dialAgent(t, addr)
		io.WriteString(conn, "GET /none HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
		answer, err := io.ReadAll(conn)
		if err != nil {
			t.Fatalf("%v after %q", err, answer)
		}
		return string(answer)
	}
	got := ask()
	if again := ask(); !strings.HasPrefix(again, "HTTP/1.1 404 ") {
		t.Errorf("after the panic: %q", again)
	}
	stop()
	mu.Lock()
	defer mu.Unlock()
	if !strings.Contains(said.String(), "internal error") || !strings.Contains(said.String(), "proxy.(*exchange).run") {
		t.Errorf("no trace of it: %s", said.String())
	}
	for _, where := range []string{got, said.String()} {
		if strings.Contains(where, token[:12]) {
			t.Errorf("the token is said: %s", where)
		}
	}
}

// TestPanicIsTold: whoever observes learns of an exchange that a defect ended.
func TestPanicIsTold(t *testing.T) {
	told := make(chan Event, 1)
	srv := newServer(t, Options{
		Getenv: func(string) string { return "the-real-token" },
		Warn: func(line string) {
			if strings.HasPrefix(line, "LEAKED") {
				panic("a defect")
			}
		},
		Observer: func(e *Event) { told <- *e },
	}, one("", ""))
	addr, _ := serve(t, srv)
	conn := dialAgent(t, addr)
	io.WriteString(conn, "GET /a/the-real-token HTTP/1.1\r\nHost: h\r\n\r\n")
	if e := <-told; e.Broken != "proxy" || !e.Leaked || e.Route != "/a/" {
		t.Errorf("%+v", e)
	}
}

// TestPanicElsewhere: a defect on a goroutine that works for an agent beside its own costs the connection, too.
func TestPanicElsewhere(t *testing.T) {
	for name, work := range map[string]func(a *agent){
		"upload": func(a *agent) { <-startUpload(a, nil, 5, nil, nil).done },
		"tunnel": func(a *agent) { <-(&tunnel{agent: a}).passBeside(&side{rd: &a.rd, sock: a.sock}, nil) },
		"dial": func(a *agent) {
			if c, err := a.connect(nil, true); c != nil || err == nil {
				t.Errorf("connected, %v", err)
			}
		},
	} {
		said := ""
		s := New(Options{Warn: func(line string) { said += line }})
		conn, other := net.Pipe()
		defer other.Close()
		a := newAgent(s, conn)
		go io.WriteString(other, "hello")
		work(a)
		if !a.isGone() || !strings.HasPrefix(said, "internal error (runtime.") {
			t.Errorf("%s: gone %v, said %.60q", name, a.isGone(), said)
		}
	}
}

// TestPanicAtTheDoor: a defect in turning an agent away costs its connection, and its place at the door is free again.
func TestPanicAtTheDoor(t *testing.T) {
	t.Parallel()
	said := make(chan string, 9)
	s := New(Options{Limits: Limits{Agents: 1}, Warn: func(line string) { said <- line }, Observer: func(*Event) { panic("a defect") }})
	s.crowd.places <- struct{}{}
	conn, agent := net.Pipe()
	s.welcome(conn)
	io.WriteString(agent, "GET / HTTP/1.1\r\n\r\n")
	io.ReadFull(agent, make([]byte, len("HTTP/1.1 503 ")))
	agent.Close()
	<-said // that there is no place
	if line := <-said; !strings.HasPrefix(line, "internal error (string)") {
		t.Error(line)
	}
	for range cap(s.crowd.doors) {
		s.crowd.doors <- struct{}{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.agents) > 0 {
		t.Error("the agent is counted")
	}
}

// TestPanicClosesFirst: after a defect nothing sends from the buffer of an agent's connection any more, nor does that ever
// become another's.
func TestPanicClosesFirst(t *testing.T) {
	conn, other := net.Pipe()
	defer other.Close()
	var a *agent
	s := New(Options{Observer: func(*Event) { panic("a defect") }, Warn: func(string) {
		if !a.isGone() {
			t.Error("it is told of before both connections are closed")
		}
	}})
	a = newAgent(s, conn)
	left := -1
	ours, _ := net.Pipe()
	a.up = &upstreamConn{sock: newSock(&whenClosed{Conn: ours, do: func() { left = len(a.rd.Buffered()) }})}
	go io.WriteString(other, "GET /none HTTP/1.1\r\nHost: h\r\n\r\nGET /next")
	go io.Copy(io.Discard, other)
	a.serve()
	if left != len("GET /next") {
		t.Errorf("%d bytes were in the buffer when the upstream's connection was closed", left)
	}
	if len(a.rd.Buffered()) != left {
		t.Error("the buffer was returned, though others may still use it")
	}
}

// whenClosed does something before it is closed for the first time.
type whenClosed struct {
	net.Conn
	do     func()
	closed atomic.Bool
}

func (c *whenClosed) Close() error {
	if c.closed.CompareAndSwap(false, true) {
		c.do()
	}
	return c.Conn.Close()
}
