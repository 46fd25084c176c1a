package proxy

import (
	"cmp"
	"io"
	"sync/atomic"
	"time"

	"credproxy/proxy/http1"
)

// What passes in a WebSocket, both ways, unseen.

const (
	// endsWithin is how long the other side of a tunnel may still speak once one side has ended.
	endsWithin = 5 * time.Second

	// quietFor is how long nothing must have passed in a tunnel for a drain to end it.
	quietFor = time.Second
)

// tunnel is an exchange after its 101: bytes pass both ways as they come, whatever they say. It holds no buffer while
// nothing comes.
type tunnel struct {
	agent *agent
	route string       // its path: when no route has it any more, the tunnel ends
	heard atomic.Int64 // when a byte came last, from either side, in Unix nanoseconds
	until atomic.Int64 // when it ends at the latest, since one side has; 0 before
}

// side is one end of a tunnel.
type side struct {
	name string // in Event.Broken
	sock *sock
	rd   *http1.Reader
	w    io.Writer
	fin  func() // says that nothing more comes
}

// tunnel passes the 101 on and then what follows it, until one side ends, both are silent for too long, or the proxy ends
// it.
func (x *exchange) tunnel(up *upstreamConn) ending {
	a, t := x.agent, &tunnel{agent: x.agent, route: x.route.Path}
	x.event.Status = x.resp.Status
	x.progress()
	x.out = append(append(x.out, upgraded...), "\r\n"...)
	x.dropHeads()
	x.flush()
	x.dropOut()
	t.heard.Store(time.Now().UnixNano())
	a.tunnel.Store(t)
	if x.srv.table.Load().byPath[t.route] == nil {
		a.abandon() // a reload since the route was found saw no tunnel
	}
	inside := side{name: "agent", sock: a.sock, rd: &a.rd, w: a.sock, fin: a.sock.closeWrite}
	outside := side{name: "upstream", sock: up.sock, rd: &up.rd, w: up, fin: up.closeWrite}
	upwards := t.passBeside(&inside, &outside)
	down := t.pass(&outside, &inside)
	sent := <-upwards
	a.tunnel.Store(nil)
	here := a.detach()
	up.free()
	x.event.BytesIn, x.event.BytesOut, x.event.Broken = sent.n, down.n, cmp.Or(down.broken, sent.broken)
	if !here {
		x.event.Broken = "proxy"
		return closeAtOnce
	}
	return closeLingering // it may not have read the end yet
}

// passed is what came of one direction.
type passed struct {
	n      int64  // bytes
	broken string // which side broke, if one did
}

// passBeside is pass on a goroutine of its own.
func (t *tunnel) passBeside(from, to *side) <-chan passed {
	done := make(chan passed, 1)
	go func() {
		var p passed
		defer func() { done <- p }()
		defer t.agent.survive()
		p = t.pass(from, to)
	}()
	return done
}

// pass passes on what comes from one side to the other until one of them ends.
func (t *tunnel) pass(from, to *side) (all passed) {
	for {
		if len(from.rd.Buffered()) == 0 {
			from.rd.Release()
			if err := t.fill(from); err == io.EOF {
				to.fin()
				t.endWithin(endsWithin, from, to)
				return all
			} else if err != nil {
				all.broken = t.breaks(from, 0, from, to)
				return all
			}
		}
		p := from.rd.Buffered()
		to.sock.writeWithin(t.agent.srv.timeouts.Silence)
		if until := t.until.Load(); until != 0 {
			to.sock.Conn.SetWriteDeadline(time.Unix(0, until))
		}
		if _, err := to.w.Write(p); err != nil {
			all.broken = t.breaks(to, endsWithin, from, to) // what it has said before can still be read
			return all
		}
		all.n += int64(len(p))
		from.rd.Consume(len(p))
	}
}

// fill waits for more from a side. Silence counts only if the other side is silent, too.
func (t *tunnel) fill(from *side) error {
	for wait := t.agent.srv.timeouts.Silence; ; {
		from.sock.readWithin(wait)
		if until := t.until.Load(); until != 0 {
			from.sock.Conn.SetReadDeadline(time.Unix(0, until))
		}
		_, err := from.rd.Fill()
		now := time.Now()
		if err == nil {
			t.heard.Store(now.UnixNano())
		}
		if !isTimeout(err) || t.until.Load() != 0 {
			return err
		}
		if wait = t.silence(now); wait <= 0 {
			t.agent.abandon()
			return err
		}
	}
}

// silence is how much longer both sides may say nothing.
func (t *tunnel) silence(now time.Time) time.Duration {
	return t.agent.srv.timeouts.Silence - t.quiet(now)
}

// quiet is how long both sides have said nothing.
func (t *tunnel) quiet(now time.Time) time.Duration { return now.Sub(time.Unix(0, t.heard.Load())) }

// breaks ends a tunnel that a side broke; it is not the one that did if the tunnel had an end already.
func (t *tunnel) breaks(s *side, d time.Duration, from, to *side) (broken string) {
	if t.until.Load() == 0 {
		broken = s.name
	}
	t.endWithin(d, from, to)
	return broken
}

// endWithin bounds what still passes the other way than from one side to the other.
func (t *tunnel) endWithin(d time.Duration, from, to *side) {
	by := time.Now().Add(d)
	t.until.Store(by.UnixNano())
	to.sock.Conn.SetReadDeadline(by)
	from.sock.Conn.SetWriteDeadline(by)
}
