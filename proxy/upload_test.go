package proxy

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestUploadIsWaitedFor: an upstream has its time for the answer from the end of the request on, however long that takes.
func TestUploadIsWaitedFor(t *testing.T) {
	for ago, want := range map[time.Duration]bool{-1: true, 0: true, 100 * time.Millisecond: false, 500 * time.Millisecond: false, time.Hour: false} {
		var u upload
		if ago >= 0 {
			u.ended.Store(time.Now().Add(-ago).UnixNano())
		}
		limit := 100 * time.Millisecond
		if want {
			limit = time.Hour
		}
		if got := u.waiting(limit); got != want {
			t.Errorf("ended %v ago, of %v: %v", ago, limit, got)
		}
	}
}

// TestUploadCounts: what an agent has sent of a body counts for its rate, and the time that it took.
func TestUploadCounts(t *testing.T) {
	agent, conn := net.Pipe()
	defer agent.Close()
	u := &upload{agent: newAgent(New(Options{}), conn), waited: time.Second, got: 10}
	defer u.agent.abandon()
	go agent.Write([]byte("hello"))
	if err := u.fill(); err != nil || u.got != 15 || u.waited <= time.Second {
		t.Errorf("%d bytes in %v, %v", u.got, u.waited, err)
	}
}

// TestUploadFinishes: a request is sent if all of it was read and written, and the upstream's connection serves on only then.
func TestUploadFinishes(t *testing.T) {
	for _, test := range []struct {
		agentErr, upstreamErr error
		left                  int64
		want                  bool
	}{
		{nil, nil, 0, true}, {io.EOF, nil, 0, false}, {nil, io.EOF, 0, false}, {nil, nil, 1, false},
	} {
		conn, _ := net.Pipe()
		other, _ := net.Pipe()
		u := &upload{agent: newAgent(New(Options{}), conn), up: &upstreamConn{sock: newSock(other)}, done: make(chan struct{}),
			agentErr: test.agentErr, upstreamErr: test.upstreamErr}
		u.left.Store(test.left)
		close(u.done)
		if got := u.finish(); got != test.want {
			t.Errorf("%+v: %v", test, got)
		}
	}
}

// TestUploadStops: when the upstream takes no more nothing more is read of the agent.
func TestUploadStops(t *testing.T) {
	for n, left := range map[int64]int64{10: 5, 5: 0} {
		conn, agent := net.Pipe()
		defer agent.Close()
		other, _ := net.Pipe()
		c := refusing{other}
		up := &upstreamConn{sock: newSock(c)}
		u := startUpload(newAgent(New(Options{}), conn), up, n, nil, nil)
		io.WriteString(agent, "hello")
		select {
		case <-u.done:
		case <-time.After(10 * time.Second):
			t.Fatal("it goes on")
		}
		if u.left.Load() != left || !errors.Is(u.upstreamErr, syscall.EPIPE) || u.agentErr != nil {
			t.Errorf("%d bytes left, %v, %v", u.left.Load(), u.upstreamErr, u.agentErr)
		}
		if rest := u.agent.rd.Buffered(); len(rest) > 0 {
			t.Errorf("%q of the body may be taken for the next request", rest)
		}
	}
}

// TestHalfAResponseHead: an upstream that begins an answer and falls silent is not waited for as long as the agent sends.
func TestHalfAResponseHead(t *testing.T) {
	t.Parallel()
	up := listenLocal(t)
	go func() {
		conn, err := up.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		io.WriteString(conn, "HTTP/1.1 2")
		io.Copy(io.Discard, conn)
	}()
	addr, _ := serve(t, newServer(t, Options{Timeouts: Timeouts{Response: 200 * time.Millisecond}, Getenv: func(string) string { return "a-token" }},
		one("upstream", strconv.Quote("http://"+up.Addr().String()))))
	conn := dialAgent(t, addr)
	io.WriteString(conn, "POST /a/ HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhell")
	if got, err := io.ReadAll(conn); !strings.HasPrefix(string(got), "HTTP/1.1 504 ") {
		t.Errorf("%q, %v", got, err)
	}
}

// TestResponseTimeBeginsWithTheEnd: the time for an answer does not begin while the agent still sends.
func TestResponseTimeBeginsWithTheEnd(t *testing.T) {
	t.Parallel()
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) }))
	defer up.Close()
	const within = 200 * time.Millisecond
	addr, _ := serve(t, newServer(t, Options{Timeouts: Timeouts{Response: within}, Getenv: func(string) string { return "a-token" }},
		one("upstream", strconv.Quote(up.URL))))
	conn := dialAgent(t, addr)
	io.WriteString(conn, "POST /a/ HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhell")
	<-time.After(2 * within) // it is the time that is tested
	io.WriteString(conn, "o")
	if got, err := io.ReadAll(conn); !strings.HasPrefix(string(got), "HTTP/1.1 200 ") {
		t.Errorf("%q, %v", got, err)
	}
}
