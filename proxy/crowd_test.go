package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

// TestRestful: an agent makes room for others only if it did nothing but wait between two sweeps, not if the sweeps found
// it between two of its requests.
func TestRestful(t *testing.T) {
	c, _ := net.Pipe()
	a := newAgent(New(Options{}), c)
	for i, step := range []struct {
		busy, served uint64
		want         bool
	}{
		{0, 0, false}, {0, 0, true}, {1, 0, false}, {0, 1, false}, {0, 1, true}, {0, 2, false}, {0, 7, false}, {0, 7, true}, {8, 7, false},
	} {
		a.busy.Store(step.busy)
		a.served.Store(step.served)
		if a.sweep(); a.restful.Load() != step.want {
			t.Errorf("step %d: %v, want %v", i, !step.want, step.want)
		}
	}
}

// TestTelling: the operator is told of a thing at once, and then of no other like it for a minute.
func TestTelling(t *testing.T) {
	var told telling
	first := time.Unix(40, 0)
	for i, step := range []struct {
		after time.Duration
		want  bool
	}{
		{0, true}, {0, false}, {tellEvery, false}, {tellEvery + 1, true}, {tellEvery + 1, false}, {2*tellEvery + 1, false}, {2*tellEvery + 2, true},
		{tellEvery, true}, {tellEvery + 1, false}, // the clock was set back
	} {
		if got := told.at(first.Add(step.after), tellEvery); got != step.want {
			t.Errorf("step %d: %v", i, got)
		}
	}
}

// TestMakeRoom: who waits for a place costs few of those that do nothing theirs, and the more the more places there are.
func TestMakeRoom(t *testing.T) {
	for places, want := range map[int]int{1: 1, 15: 1, 16: 2, 31: 2, 32: 3} {
		s := New(Options{Limits: Limits{Agents: places}})
		var others []net.Conn
		for range 10 {
			c, other := net.Pipe()
			a := newAgent(s, c)
			a.restful.Store(true)
			s.enter(a)
			others = append(others, other)
		}
		s.makeRoom()
		closed := 0
		for _, other := range others {
			other.SetReadDeadline(time.Unix(1, 0))
			if _, err := other.Read(make([]byte, 1)); err == io.EOF {
				closed++
			}
		}
		if closed != want {
			t.Errorf("of %d places %d become free, want %d", places, closed, want)
		}
	}
}

// TestServedFromTheDoor: who got a place after a while is one of those that are served, whom a drain waits for.
func TestServedFromTheDoor(t *testing.T) {
	s := New(Options{Limits: Limits{Agents: 1}})
	addr, _ := serve(t, s)
	s.crowd.places <- struct{}{}
	conn := dialAgent(t, addr)
	atDoor := func(n int) {
		t.Helper()
		until(t, func() string {
			if got := len(s.crowd.doors); got != n {
				return fmt.Sprintf("%d are at the door, want %d", got, n)
			}
			return ""
		})
	}
	ask := func() {
		io.WriteString(conn, "GET /none HTTP/1.1\r\nHost: x\r\n\r\n")
	}
	ask()
	atDoor(1)
	<-s.crowd.places
	atDoor(0)
	br := bufio.NewReader(conn)
	for range 2 {
		resp, err := http.ReadResponse(br, nil)
		if err != nil || resp.StatusCode != 404 {
			t.Fatal(resp, err)
		}
		io.Copy(io.Discard, resp.Body)
		ask()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.agents); n != 1 {
		t.Errorf("%d are known", n)
	}
}

// TestTurnedAwayIsForgotten: who waited for a place and left, or got none, is nobody that a drain would wait for.
func TestTurnedAwayIsForgotten(t *testing.T) {
	t.Parallel()
	s := New(Options{Limits: Limits{Agents: 1}})
	addr, stop := serve(t, s)
	s.crowd.places <- struct{}{}
	for _, says := range []string{"", "GET /none HTTP/1.1\r\nHost: x\r\n\r\n"} {
		conn := dialAgent(t, addr)
		if says == "" {
			conn.Close()
			continue
		}
		io.WriteString(conn, says)
		if resp, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || resp.Header.Get(ErrorField) != refuseBusy.Code {
			t.Error(resp, err)
		}
	}
	stop()
	if n := len(s.agents); n != 0 {
		t.Errorf("%d are known", n)
	}
}

// TestBeforeTheDoor: who cannot even wait at the door yet is not idle: neither a drain nor those at the door close its
// connection. It is once it has a place and says nothing.
func TestBeforeTheDoor(t *testing.T) {
	s := New(Options{Limits: Limits{Agents: 1}})
	s.crowd.places <- struct{}{}
	for range cap(s.crowd.doors) {
		s.crowd.doors <- struct{}{}
	}
	conn, other := net.Pipe()
	defer other.Close()
	a := newAgent(s, conn)
	s.enter(a)
	admitted := make(chan struct{})
	go func() {
		s.admitAgent(a)
		close(admitted)
	}()
	becomes := func(busy uint64) {
		t.Helper()
		until(t, func() string {
			if got := a.busy.Load(); got != busy {
				return fmt.Sprintf("busy with %d", got)
			}
			return ""
		})
	}
	becomes(1)
	<-s.crowd.places
	<-admitted
	becomes(0)
}

// TestSilentAtTheDoor: who says nothing where there is no place is closed.
func TestSilentAtTheDoor(t *testing.T) {
	t.Parallel()
	s := New(Options{Limits: Limits{Agents: 1}})
	s.crowd.places <- struct{}{}
	conn, agent := net.Pipe()
	s.welcome(conn)
	if !ended(agent) {
		t.Error("it stays")
	}
}

// closing tells of a connection that is closed.
type closing struct {
	net.Conn
	closed chan struct{}
}

func (c closing) Close() error {
	select {
	case c.closed <- struct{}{}:
	default:
	}
	return c.Conn.Close()
}

// TestTurnedAway: who is turned away is told so, and can still send what it was about to; its connection is closed then, and
// how long that took is told of.
func TestTurnedAway(t *testing.T) {
	var told []Event
	s := New(Options{Observer: func(e *Event) { told = append(told, *e) }})
	conn, other := net.Pipe()
	c := closing{conn, make(chan struct{}, 1)}
	go func() {
		defer other.Close()
		if resp, err := http.ReadResponse(bufio.NewReader(other), nil); err != nil || resp.StatusCode != 503 {
			t.Error(resp, err)
		}
		if _, err := io.WriteString(other, "the rest"); err != nil {
			t.Error(err)
		}
	}()
	newAgent(s, c).turnAway(&refuseBusy)
	if len(c.closed) == 0 || len(told) != 1 || told[0].Duration <= 0 || told[0].Refusal != refuseBusy.Code {
		t.Errorf("closed %d, told %+v", len(c.closed), told)
	}
}

// TestDrainEndsQuietTunnels: in a drain a WebSocket ends in which nothing has passed for a while, and no other.
func TestDrainEndsQuietTunnels(t *testing.T) {
	for _, test := range []struct{ draining, quiet, ends bool }{{false, true, false}, {true, false, false}, {true, true, true}} {
		conn, _ := net.Pipe()
		s, tun := New(Options{}), new(tunnel)
		a := newAgent(s, conn)
		s.draining.Store(test.draining)
		heard := time.Now().Add(time.Hour) // whatever the machine does meanwhile
		if test.quiet {
			heard = time.Now().Add(-quietFor - time.Second)
		}
		tun.heard.Store(heard.UnixNano())
		a.tunnel.Store(tun)
		if a.sweep(); a.isGone() != test.ends {
			t.Errorf("%+v: ended %v", test, a.isGone())
		}
	}
}

// TestIdleIsNotBegun: a request that comes while its connection is closed as idle is not begun: its answer would be lost.
func TestIdleIsNotBegun(t *testing.T) {
	told := make(chan struct{}, 1)
	s := New(Options{Observer: func(*Event) { told <- struct{}{} }})
	conn, other := net.Pipe()
	served := make(chan struct{})
	go io.Copy(io.Discard, other)
	a := newAgent(s, &whenClosed{Conn: conn, do: func() {
		io.WriteString(other, "GET /none HTTP/1.1\r\nHost: h\r\n\r\n")
		select {
		case <-told:
			t.Error("an exchange was begun")
		case <-served:
		}
	}})
	go func() {
		defer close(served)
		a.serve()
	}()
	a.closeIdle()
}

// TestPipelinedBehindTheLast: an agent that has sent more than what is served, read or not, can read its last answer.
func TestPipelinedBehindTheLast(t *testing.T) {
	ln := listenLocal(t)
	other := dialAgent(t, ln.Addr().String())
	conn, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	x := &exchange{agent: newAgent(New(Options{}), conn), closing: true}
	if got := x.ending(); got != closeAtOnce {
		t.Errorf("nothing was sent: %v", got)
	}
	io.WriteString(other, "G")
	for end := time.Now().Add(10 * time.Second); x.ending() != closeLingering; {
		if time.Now().After(end) {
			t.Fatal("a byte was sent, and the connection would be closed at once")
		}
	}
}
