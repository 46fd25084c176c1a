package proxy

import (
	"io"
	"net"
	"strconv"
	"strings"
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

// TestHalfAHead: an agent that ends within a head is answered nothing; one that stays is told, and cut off.
func TestHalfAHead(t *testing.T) {
	addr, _ := serve(t, newServer(t, Options{Timeouts: Timeouts{Head: 100 * time.Millisecond}}, one("", "")))
	for _, leaves := range []bool{true, false} {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(10 * time.Second))
		io.WriteString(conn, "POST /a/ HTTP/1.1\r\nHost: h\r\nX-")
		if leaves {
			conn.(*net.TCPConn).CloseWrite()
		}
		got, err := io.ReadAll(conn)
		if err != nil || leaves && len(got) > 0 ||
			!leaves && (!strings.HasPrefix(string(got), "HTTP/1.1 408 ") || !strings.Contains(string(got), "\r\nConnection: close\r\n")) {
			t.Errorf("leaves %v: %q, %v", leaves, got, err)
		}
	}
}

// TestDeafToInterim: an agent that does not take an interim response is given up, without a word more of the upstream.
func TestDeafToInterim(t *testing.T) {
	t.Parallel()
	told := make(chan Event, 1)
	s := newServer(t, Options{Timeouts: Timeouts{Silence: 50 * time.Millisecond}, Observer: func(e *Event) { told <- *e },
		Getenv: func(string) string { return "a-token" }}, one("upstream", strconv.Quote("http://"+answers(t, "HTTP/1.1 103 Early Hints\r\n\r\n"))))
	conn, agent := net.Pipe()
	defer agent.Close()
	s.welcome(conn)
	io.WriteString(agent, "GET /a/ HTTP/1.1\r\nHost: x\r\n\r\n")
	select {
	case e := <-told:
		if e.Broken != "agent" || e.Status != 0 {
			t.Errorf("%+v", e)
		}
	case <-time.After(10 * time.Second):
		t.Error("it waits for the upstream")
	}
}
