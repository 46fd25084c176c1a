package proxy

import (
	"bufio"
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

// TestDeafAgent: an agent that sends request after request and takes no answer is given up with the first one, of which it
// could have a part: what came behind that it would take for the rest.
func TestDeafAgent(t *testing.T) {
	t.Parallel()
	told := make(chan Event, 10)
	s := New(Options{Timeouts: Timeouts{Silence: 50 * time.Millisecond}, Observer: func(e *Event) { told <- *e }})
	conn, agent := net.Pipe()
	defer agent.Close()
	s.welcome(conn)
	go io.WriteString(agent, strings.Repeat("GET /none HTTP/1.1\r\nHost: x\r\n\r\n", 3))
	if e := <-told; e.Refusal != refuseNoRoute.Code {
		t.Errorf("%+v", e)
	}
	if !ended(agent) {
		t.Error("the connection is used on")
	}
	if len(told) > 0 {
		t.Errorf("and then: %+v", <-told)
	}
}

// TestRefusalToOldAgent: an HTTP/1.0 agent's connection is closed after a refusal, as after an answer.
func TestRefusalToOldAgent(t *testing.T) {
	addr, _ := serve(t, newServer(t, Options{}, one("", "")))
	conn := dialAgent(t, addr)
	io.WriteString(conn, "GET /none HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
	if got, err := io.ReadAll(conn); err != nil || !strings.Contains(string(got), "\r\nConnection: close\r\n") {
		t.Errorf("%q, %v", got, err)
	}
}

// TestHalfAHead: an agent that ends within a head is answered nothing; one that stays is told, and cut off.
func TestHalfAHead(t *testing.T) {
	addr, _ := serve(t, newServer(t, Options{Timeouts: Timeouts{Head: 100 * time.Millisecond}}, one("", "")))
	for _, leaves := range []bool{true, false} {
		for _, first := range []bool{true, false} { // of the connection's requests
			conn := dialAgent(t, addr)
			rd := bufio.NewReader(conn)
			if !first {
				io.WriteString(conn, "HEAD /none HTTP/1.1\r\nHost: h\r\n\r\n")
				if _, err := http.ReadResponse(rd, &http.Request{Method: "HEAD"}); err != nil {
					t.Fatal(err)
				}
			}
			io.WriteString(conn, "POST /a/ HTTP/1.1\r\nHost: h\r\nX-")
			if leaves {
				conn.(*net.TCPConn).CloseWrite()
			}
			got, err := io.ReadAll(rd)
			if err != nil || leaves && len(got) > 0 ||
				!leaves && (!strings.HasPrefix(string(got), "HTTP/1.1 408 ") || !strings.Contains(string(got), "\r\nConnection: close\r\n")) {
				t.Errorf("leaves %v, first %v: %q, %v", leaves, first, got, err)
			}
		}
	}
}

// TestBodyBehindHalfAHead: a body has its own time, however the head came.
func TestBodyBehindHalfAHead(t *testing.T) {
	t.Parallel()
	const head = 400 * time.Millisecond
	addr, _ := serve(t, newServer(t, Options{Timeouts: Timeouts{Head: head, Idle: time.Minute, Silence: time.Minute},
		Getenv: func(string) string { return "a-token" }},
		one("upstream", strconv.Quote("http://"+answers(t, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")))))
	conn := dialAgent(t, addr)
	rd := bufio.NewReader(conn)
	io.WriteString(conn, "GET /none HTTP/1.1\r\nHost: h\r\n\r\n")
	if resp, err := http.ReadResponse(rd, nil); err != nil {
		t.Fatal(err)
	} else {
		io.Copy(io.Discard, resp.Body)
	}
	io.WriteString(conn, "POST /a/ HTTP/1.1\r\nHost: h\r\nConn")
	time.Sleep(head / 8) // so that it is read in two pieces
	io.WriteString(conn, "ection: close\r\nContent-Length: 5\r\n\r\nh\r")
	time.Sleep(head + head/8)
	io.WriteString(conn, "\n\r\n")
	if resp, err := http.ReadResponse(rd, nil); err != nil || resp.StatusCode != 200 {
		t.Errorf("%v, %v", resp, err)
	}
}

// givenUp returns what is told of the request of an agent that takes no byte of an answer.
func givenUp(t *testing.T, request, answer string) Event {
	t.Helper()
	told := make(chan Event, 1)
	s := newServer(t, Options{Timeouts: Timeouts{Silence: 50 * time.Millisecond}, Observer: func(e *Event) { told <- *e },
		Getenv: func(string) string { return "a-token" }}, one("upstream", strconv.Quote("http://"+answers(t, answer))))
	conn, agent := net.Pipe()
	defer agent.Close()
	s.welcome(conn)
	io.WriteString(agent, request)
	select {
	case e := <-told:
		return e
	case <-time.After(10 * time.Second):
		t.Fatal("it is waited for")
		return Event{}
	}
}

// TestDeafToInterim: an agent that does not take an interim response is given up, without a word more of the upstream.
func TestDeafToInterim(t *testing.T) {
	t.Parallel()
	e := givenUp(t, "GET /a/ HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 103 Early Hints\r\n\r\n")
	if e.Broken != "agent" || e.Status != 0 {
		t.Errorf("%+v", e)
	}
}

// TestDeafToContinue: an agent that does not even take the word to go on is given up.
func TestDeafToContinue(t *testing.T) {
	t.Parallel()
	givenUp(t, "POST /a/ HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n", "")
}

// refusing is a connection that looks fine and takes nothing.
type refusing struct{ net.Conn }

func (refusing) Write([]byte) (int, error) { return 0, syscall.EPIPE }

// TestNobodyWaitsForMore: once an agent takes nothing more the upstream is not waited for.
func TestNobodyWaitsForMore(t *testing.T) {
	for name, wait := range map[string]func(*exchange, *upstreamConn) error{
		"content": func(x *exchange, up *upstreamConn) error { _, err := x.more(up); return err },
		"trailer": (*exchange).readTrailer,
	} {
		conn, other := net.Pipe()
		other.Close()
		up, silent := net.Pipe()
		defer silent.Close()
		x := newExchange(newAgent(New(Options{}), conn))
		x.out = []byte("what the agent does not take")
		ended := make(chan error, 1)
		go func() { ended <- wait(x, upstreamOver(up)) }()
		select {
		case err := <-ended:
			if err != io.ErrClosedPipe || x.agentErr != err {
				t.Errorf("%s: %v, the agent: %v", name, err, x.agentErr)
			}
		case <-time.After(10 * time.Second):
			t.Errorf("%s: it waits", name)
		}
	}
}

// TestUntouched: a request of which a kept connection has taken nothing goes over a new one, whatever its method.
func TestUntouched(t *testing.T) {
	told := make(chan Event, 1)
	s := newServer(t, Options{Getenv: func(string) string { return "a-token" }, Observer: func(e *Event) { told <- *e }},
		one("upstream", strconv.Quote("http://"+answers(t, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))))
	ours, theirs := net.Pipe()
	defer theirs.Close()
	keepFor(s, refusing{ours})
	addr, _ := serve(t, s)
	conn := dialAgent(t, addr)
	io.WriteString(conn, "POST /a/ HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
	if got, err := io.ReadAll(conn); !strings.HasPrefix(string(got), "HTTP/1.1 200 ") {
		t.Errorf("%q, %v", got, err)
	}
	if !ended(theirs) {
		t.Error("the kept connection was not tried")
	}
	if e := <-told; e.Connection != "retried" {
		t.Errorf("its connection was %s", e.Connection)
	}
}

// TestLastByte: the last byte of a body is sent also if it comes alone.
func TestLastByte(t *testing.T) {
	head, body := make(chan bool, 1), make(chan string, 1)
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		head <- true
		p, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		body <- string(p)
	}))
	defer up.Close()
	addr, _ := serve(t, newServer(t, Options{Getenv: func(string) string { return "a-token" }}, one("upstream", strconv.Quote(up.URL))))
	conn := dialAgent(t, addr)
	io.WriteString(conn, "POST /a/ HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhell")
	<-head
	io.WriteString(conn, "o")
	io.ReadAll(conn)
	conn.Close()
	if got := <-body; got != "hello" {
		t.Errorf("%q", got)
	}
}
