package proxy

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestUploadIsWaitedFor: an upstream's time begins when the request is sent, and is no longer than it is.
func TestUploadIsWaitedFor(t *testing.T) {
	t.Parallel()
	var u upload
	if got := u.remaining(time.Hour); got != time.Hour {
		t.Errorf("before the end: %v", got)
	}
	u.ended.Store(time.Now().Add(-time.Minute).UnixNano())
	if got := u.remaining(time.Hour); got > 59*time.Minute || got < 58*time.Minute {
		t.Errorf("a minute after the end: %v", got)
	}

	const limit = time.Second
	ours, _ := net.Pipe()
	d := &deadlines{Conn: ours}
	up := upstreamOver(d)
	x := &exchange{srv: New(Options{Timeouts: Timeouts{Response: limit}}), heads: new(heads), upload: new(upload)}
	time.AfterFunc(limit/2, func() { x.upload.ended.Store(time.Now().UnixNano()) })
	err := x.awaitResponse(up)
	if has := d.read.Sub(time.Unix(0, x.upload.ended.Load())); !isTimeout(err) || has > limit*5/4 {
		t.Errorf("%v; it had %v", err, has)
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

// TestUploadBehindTheHead: an upstream that answers before it has the whole request is waited for while that is sent.
func TestUploadBehindTheHead(t *testing.T) {
	t.Parallel()
	up := listenLocal(t)
	go func() {
		conn, err := up.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		io.WriteString(conn, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		for got := ""; !strings.HasSuffix(got, "\r\n\r\nhello"); {
			p := make([]byte, 1<<10)
			n, err := conn.Read(p)
			if got += string(p[:n]); err != nil {
				return
			}
		}
		io.WriteString(conn, "2\r\nhi\r\n0\r\n\r\n")
	}()
	const silence = time.Second
	addr, _ := serve(t, newServer(t, Options{Timeouts: Timeouts{Silence: silence}, Limits: Limits{Rate: 1}, Getenv: func(string) string { return "a-token" }},
		one("upstream", strconv.Quote("http://"+up.Addr().String()))))
	conn := dialAgent(t, addr)
	io.WriteString(conn, "POST /a/ HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n")
	for _, c := range "hello" {
		time.Sleep(silence * 3 / 10) // it is the time that is tested
		io.WriteString(conn, string(c))
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	if content, err := io.ReadAll(resp.Body); string(content) != "hi" || err != nil {
		t.Errorf("%q, %v", content, err)
	}
}

// lastDeadline is a connection that has the far deadlines of its writes wait.
type lastDeadline struct {
	net.Conn
	mu        sync.Mutex
	last      time.Time
	far, near chan struct{}
	on        chan struct{}
}

func (c *lastDeadline) SetWriteDeadline(t time.Time) error {
	if time.Until(t) > time.Minute {
		c.far <- struct{}{}
		<-c.on
	}
	c.mu.Lock()
	c.last = t
	c.mu.Unlock()
	if !t.IsZero() && time.Until(t) < time.Minute {
		select {
		case c.near <- struct{}{}:
		default:
		}
	}
	return nil
}

// TestUploadFinishesSoon: an upstream that has answered has no longer for the rest because that is just about to be sent.
func TestUploadFinishesSoon(t *testing.T) {
	conn, _ := net.Pipe()
	ours, theirs := net.Pipe()
	c := &lastDeadline{Conn: ours, far: make(chan struct{}), near: make(chan struct{}, 1), on: make(chan struct{})}
	u := &upload{agent: newAgent(New(Options{}), conn), up: &upstreamConn{sock: newSock(c)}, done: make(chan struct{})}
	go func() {
		u.write([]byte("x"))
		close(u.done)
	}()
	<-c.far
	finished := make(chan bool)
	go func() { finished <- u.finish() }()
	<-c.near
	close(c.on)
	io.ReadFull(theirs, make([]byte, 1))
	if !<-finished {
		t.Error("not everything was sent")
	}
	if c.mu.Lock(); time.Until(c.last) > time.Minute {
		t.Errorf("it has %v", time.Until(c.last))
	}
	c.mu.Unlock()
	go func() { <-c.far }()
	u.up.sock.writeWithin(DefaultTimeouts.Silence) // the next exchange
	if c.mu.Lock(); time.Until(c.last) < time.Minute {
		t.Errorf("what follows has %v", time.Until(c.last))
	}
}

// TestUploadIsGivenUp: what is left of an upload when the upstream has answered does not wait for an upstream that takes
// nothing, and the reads of the agent that follow have their time.
func TestUploadIsGivenUp(t *testing.T) {
	conn, agent := net.Pipe()
	defer agent.Close()
	other, _ := net.Pipe() // of which nobody reads
	d := &deadlines{Conn: conn}
	a := newAgent(New(Options{}), d)
	u := startUpload(a, &upstreamConn{sock: newSock(other)}, 10, nil, nil)
	io.WriteString(agent, "hello")
	done := make(chan bool)
	go func() { done <- u.finish() }()
	select {
	case sent := <-done:
		if sent {
			t.Error("everything was sent")
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it is waited for")
	}
	a.sock.readWithin(a.srv.timeouts.Silence)
	if d.read.IsZero() {
		t.Error("who reads the rest has no time any more")
	}
}

// TestSilenceBehindAnUpload: an upstream that has the whole request and the head of its answer out is waited for no longer
// than any other.
func TestSilenceBehindAnUpload(t *testing.T) {
	t.Parallel()
	up := listenLocal(t)
	go func() {
		conn, err := up.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		io.WriteString(conn, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		io.Copy(io.Discard, conn)
	}()
	addr, _ := serve(t, newServer(t, Options{Timeouts: Timeouts{Silence: time.Second}, Getenv: func(string) string { return "a-token" }},
		one("upstream", strconv.Quote("http://"+up.Addr().String()))))
	conn := dialAgent(t, addr)
	io.WriteString(conn, "POST /a/ HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(conn, "hello")
	if content, err := io.ReadAll(resp.Body); err == nil || isTimeout(err) {
		t.Errorf("%q, %v", content, err)
	}
}
