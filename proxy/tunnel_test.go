package proxy

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"testing"
	"time"

	"credproxy/proxy/http1"
)

// deadlines is a connection that tells how long it was given.
type deadlines struct {
	net.Conn
	read, write time.Time
}

func (d *deadlines) SetReadDeadline(t time.Time) error { d.read = t; return d.Conn.SetReadDeadline(t) }
func (d *deadlines) SetWriteDeadline(t time.Time) error {
	d.write = t
	return d.Conn.SetWriteDeadline(t)
}

// TestTunnelEnds: once one side of a tunnel has ended, nothing that the other side sends or does not take gives it more
// time than it has.
func TestTunnelEnds(t *testing.T) {
	t.Parallel()
	conn, agent := net.Pipe()
	from := &deadlines{Conn: conn}
	conn, upstream := net.Pipe()
	to := &deadlines{Conn: conn}
	a := newAgent(New(Options{}), from)
	tun := &tunnel{agent: a}
	until := time.Now().Add(time.Second / 2).Round(0)
	tun.until.Store(until.UnixNano())
	inside := &side{name: "agent", sock: a.sock, rd: &a.rd}
	rd := http1.NewReader(nil)
	outside := &side{name: "upstream", sock: newSock(to), rd: &rd, w: to}
	go io.WriteString(agent, "hello")
	go io.ReadFull(upstream, make([]byte, len("hello")))
	p := tun.pass(inside, outside)
	if p.n != int64(len("hello")) || p.broken != "" || time.Now().Before(until) {
		t.Errorf("%+v", p)
	}
	if !from.read.Equal(until) || !to.write.Equal(until) {
		t.Errorf("until %v: reads until %v, writes until %v", until, from.read, to.write)
	}
	if err := tun.fill(inside); !os.IsTimeout(err) {
		t.Errorf("read after that: %v", err)
	}
}

// TestTunnelLeavesNobody: a direction of a tunnel ends also where nobody waits for that, as when the other one panics.
func TestTunnelLeavesNobody(t *testing.T) {
	conn, agent := net.Pipe()
	agent.Close()
	a := newAgent(New(Options{}), conn)
	conn, _ = net.Pipe()
	rd := http1.NewReader(nil)
	(&tunnel{agent: a}).passBeside(&side{sock: a.sock, rd: &a.rd}, &side{sock: newSock(conn), rd: &rd, fin: func() {}})
	nobodyIn(t, ".(*tunnel).passBeside.func")
}

// TestTunnelEndsWhatIsUnderWay: the end that a tunnel has is one of the reads and writes of the other direction.
func TestTunnelEndsWhatIsUnderWay(t *testing.T) {
	ours, _ := net.Pipe()
	from := &deadlines{Conn: ours}
	ours, _ = net.Pipe()
	to := &deadlines{Conn: ours}
	tun, began := new(tunnel), time.Now()
	tun.endWithin(time.Minute, &side{sock: newSock(from)}, &side{sock: newSock(to)})
	for _, by := range []time.Time{time.Unix(0, tun.until.Load()), from.write, to.read} {
		if by.Before(began.Add(time.Minute)) || by.After(time.Now().Add(time.Minute)) {
			t.Errorf("%v after the beginning", by.Sub(began))
		}
	}
}

// reads counts the reads of a connection.
type reads struct {
	net.Conn
	n int
}

func (r *reads) Read(p []byte) (int, error) { r.n++; return r.Conn.Read(p) }

// TestTunnelWaits: a side that is silent is waited for, whatever time an earlier read of it had; it is not asked again and
// again.
func TestTunnelWaits(t *testing.T) {
	const silence = 200 * time.Millisecond
	conn, agent := net.Pipe()
	defer agent.Close()
	from := &reads{Conn: conn}
	a := newAgent(New(Options{Timeouts: Timeouts{Silence: silence}}), from)
	a.sock.readWithin(time.Millisecond)
	tun := &tunnel{agent: a}
	began := time.Now()
	tun.heard.Store(began.UnixNano())
	err := tun.fill(&side{name: "agent", sock: a.sock, rd: &a.rd})
	if took := time.Since(began); !isTimeout(err) || took < silence || from.n > 10 {
		t.Errorf("%v after %v, %d reads", err, took, from.n)
	}
}

// TestTunnelSides: a tunnel tells which side has ended it and which has broken it, and has an end from then on.
func TestTunnelSides(t *testing.T) {
	for _, broken := range []bool{false, true} {
		conn, agent := net.Pipe()
		a := newAgent(New(Options{}), conn)
		conn, upstream := net.Pipe()
		tun := &tunnel{agent: a}
		finished := false
		rd := http1.NewReader(nil)
		inside := &side{name: "agent", sock: a.sock, rd: &a.rd}
		outside := &side{name: "upstream", sock: newSock(conn), rd: &rd, w: conn, fin: func() { finished = true }}
		want, by := "", time.Now().Add(endsWithin)
		if broken {
			upstream.Close()
			want = "upstream"
			go func() { io.WriteString(agent, "hello"); agent.Close() }()
		} else {
			agent.Close()
		}
		p := tun.pass(inside, outside)
		if p.broken != want || p.n != 0 || finished == broken {
			t.Errorf("broken %v: %+v, the upstream knows that the agent has ended: %v", broken, p, finished)
		}
		if until := time.Unix(0, tun.until.Load()); until.Before(by) || until.After(time.Now().Add(endsWithin)) {
			t.Errorf("broken %v: it ends at %v", broken, until)
		}
		a.abandon()
		conn.Close()
	}
}

// tunnels returns those of a Server.
func tunnels(s *Server) (all []*tunnel) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for a := range s.agents {
		if t := a.tunnel.Load(); t != nil {
			all = append(all, t)
		}
	}
	return all
}

// TestTunnelBroken: an agent whose upstream breaks a tunnel may go on for a moment, so that it can read what came before.
func TestTunnelBroken(t *testing.T) {
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		accept := sha1.Sum([]byte(r.Header.Get("Sec-Websocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
		fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
			base64.StdEncoding.EncodeToString(accept[:]))
		io.ReadFull(conn, make([]byte, len("hello")))
		conn.(*net.TCPConn).SetLinger(0)
		conn.Close()
	}))
	defer up.Close()
	told := make(chan Event, 1)
	routes := one("upstream", strconv.Quote(up.URL)+`, "upgrade": ["websocket"]`)
	progress := make(chan int, 9)
	s := newServer(t, Options{Getenv: func(string) string { return "a-token" }, Observer: func(e *Event) { told <- *e },
		Progress: func(e *Event) { progress <- e.Status }}, routes)
	conn, agent := net.Pipe()
	defer agent.Close()
	s.welcome(conn)
	agent.SetDeadline(time.Now().Add(10 * time.Second))
	io.WriteString(agent, "GET /a/ HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	if resp, err := http.ReadResponse(bufio.NewReader(agent), nil); err != nil || resp.StatusCode != 101 {
		t.Fatalf("%v, %v", resp, err)
	}
	if before, then := <-progress, <-progress; before != 0 || then != 101 {
		t.Errorf("on its way %d, then %d", before, then)
	}
	until(t, func() string {
		if len(tunnels(s)) != 1 {
			return "it is not taken for a tunnel"
		}
		return ""
	})
	if quiet := tunnels(s)[0].quiet(time.Now()); quiet > time.Minute {
		t.Errorf("quiet for %v when it has just begun", quiet)
	}
	io.WriteString(agent, "hello")
	if e := <-told; e.Broken != "upstream" {
		t.Errorf("%+v", e)
	}
	if len(tunnels(s)) > 0 {
		t.Error("it is taken for a tunnel still")
	}
	if _, err := io.WriteString(agent, "more"); err != nil {
		t.Errorf("cut off: %v", err)
	}
}
