package proxy

import (
	"context"
	"fmt"
	"math"
	"net"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"credproxy/proxy/http1"
)

// The connection of an agent, for one exchange after the other.

// lingerFor is how long a connection that is closed on a request not read to its end is still drained: closing it with
// bytes unread would reset it, and the agent could lose the answer.
const lingerFor = 5 * time.Second

// agent is one connection of an agent.
type agent struct {
	srv  *Server
	sock *sock
	peer net.Addr
	rd   http1.Reader
	host string // what the agent calls the proxy: the Host of its last request, if that is plain

	// busy is the number of the exchange under way, 0 between exchanges, or leaving; seen is what the last sweep found.
	busy  atomic.Uint64
	count uint64
	seen  uint64

	served  atomic.Uint64 // exchanges so far; rested is what the last sweep found
	rested  uint64
	restful atomic.Bool // it did nothing but wait for a request between the last two sweeps

	openEnded atomic.Bool // the answer under way ends with the connection, and has not ended: a FIN would say that it has

	defect atomic.Bool // somebody who works for it has panicked: others may go on, for a moment

	tunnel atomic.Pointer[tunnel] // what the exchange under way has become; or nil

	mu     sync.Mutex
	gone   bool               // the agent left, or is to be cut off
	cut    bool               // it is the proxy that wants it gone
	up     *upstreamConn      // what the exchange under way holds
	cancel context.CancelFunc // while it connects
	tally  tally              // of the exchange under way, where its route has limits
}

// leaving is busy where the connection is closed as idle: it begins no exchange any more.
const leaving = math.MaxUint64

func newAgent(s *Server, conn net.Conn) *agent {
	a := &agent{srv: s, sock: newSock(conn), peer: peerOf(conn), rested: ^uint64(0)} // who has just come has not rested
	a.rd = http1.NewReader(a.sock)
	return a
}

// serve runs one exchange after the other until the connection ends.
func (a *agent) serve() {
	defer a.close()
	defer a.survive() // which closes both connections before a buffer is another's
	for {
		if len(a.rd.Buffered()) == 0 {
			a.rd.Release()
			if wait := a.srv.timeouts.Idle; a.count == 0 {
				a.sock.readWithin(min(wait, a.srv.timeouts.Head)) // whoever connects wants to say something
			} else {
				a.sock.readWithin(wait)
			}
			if _, err := a.rd.Fill(); err != nil {
				return
			}
		}
		a.count++
		if a.busy.Swap(a.count) == leaving {
			return
		}
		end := newExchange(a).run()
		a.served.Store(a.count)
		switch end {
		case keepOpen:
			a.busy.Store(0)
		case closeAtOnce:
			return
		case closeLingering:
			a.linger(lingerFor)
			return
		}
	}
}

// survive is deferred on every goroutine that works for an agent: a defect costs its connection, not the process.
func (a *agent) survive() {
	if r := recover(); r != nil {
		a.defect.Store(true)
		a.abandon()
		// The trace names functions and lines; the value could name anything.
		a.srv.warn(fmt.Sprintf("internal error (%T); the connection is closed\n%s", r, debug.Stack()))
	}
}

// calls remembers the Host of a request. An agent's requests all have the same, as a rule.
func (a *agent) calls(host []byte) {
	if a.host != string(host) {
		a.host = ""
		if isPlainHost(host) {
			a.host = string(host)
		}
	}
}

// address is where the agent reaches the proxy, as it can stand in a URL; empty if nobody knows.
func (a *agent) address() string {
	if a.host != "" {
		return a.host
	}
	if local := []byte(a.sock.LocalAddr().String()); a.sock.LocalAddr().Network() == "tcp" && isPlainHost(local) {
		return string(local)
	}
	return ""
}

func (a *agent) close() {
	if !a.openEnded.Load() {
		a.sock.shut()
	}
	a.hangUp()
	if !a.defect.Load() { // or else its buffer is nobody's any more
		a.rd.Discard()
	}
}

// hangUp closes the connection, with a RST if a FIN would be taken for the end of the answer.
func (a *agent) hangUp() {
	if a.openEnded.Load() {
		a.sock.reset()
	} else {
		a.sock.Close()
	}
}

// hasMore reports whether the agent has sent more than what was read of it, without waiting.
func (a *agent) hasMore() bool {
	if len(a.rd.Buffered()) == 0 {
		a.sock.poll(&a.rd)
	}
	return len(a.rd.Buffered()) > 0
}

// linger tells the agent that nothing more comes and reads what it still sends, so that it can read its answer.
func (a *agent) linger(d time.Duration) {
	a.sock.closeWrite()
	a.sock.Conn.SetReadDeadline(time.Now().Add(d))
	for {
		a.rd.Discard()
		if _, err := a.rd.Fill(); err != nil {
			return
		}
	}
}

// closeIdle closes the connection unless an exchange is under way.
func (a *agent) closeIdle() {
	if a.busy.CompareAndSwap(0, leaving) {
		a.sock.Close()
	}
}

// sweep abandons the exchange under way if its agent has left. A side closed right behind the request is noticed too:
// whoever closes its side does not wait for an answer.
func (a *agent) sweep() {
	busy := a.busy.Load()
	if t := a.tunnel.Load(); t != nil { // which reads the agent itself
		if a.srv.draining.Load() && t.quiet(time.Now()) > quietFor {
			a.abandon()
		}
	} else if busy != 0 && busy == a.seen && a.sock.gone() {
		a.abandon()
	}
	if busy != 0 {
		a.mu.Lock()
		a.reckon()
		a.mu.Unlock()
	}
	served := a.served.Load()
	a.restful.Store(busy == 0 && a.seen == 0 && served == a.rested)
	a.seen, a.rested = busy, served
}

// abandon ends the connection and whatever is under way on it, from any goroutine.
func (a *agent) abandon() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.gone = true
	a.hangUp()
	if a.up != nil {
		a.up.close()
	}
	if a.cancel != nil {
		a.cancel()
	}
}

// cutOff is abandon by the proxy's own will.
func (a *agent) cutOff() {
	a.mu.Lock()
	a.cut = true
	a.mu.Unlock()
	a.abandon()
}

// breaker is who has broken an exchange whose agent is gone, as Events have it.
func (a *agent) breaker() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.cut {
		return "proxy"
	}
	return "agent"
}

// connect gets a connection to the upstream and ties it to the agent: if the agent leaves, it is closed.
func (a *agent) connect(u *upstream, fresh bool) (*upstreamConn, error) {
	if !fresh {
		if c := u.take(); c != nil {
			return c, a.attach(c)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	a.mu.Lock()
	a.cancel = cancel
	gone := a.gone
	a.mu.Unlock()
	if gone {
		return nil, errAgentGone
	}
	// A handshake needs a deep stack for a moment; on a goroutine of its own it goes with that.
	var c *upstreamConn
	err := errAgentGone // as it is to be if dial does not return
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer a.survive()
		c, err = u.dial(ctx)
	}()
	<-done
	a.mu.Lock()
	a.cancel = nil
	a.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return c, a.attach(c)
}

var errAgentGone = fmt.Errorf("agent gone: %w", os.ErrClosed)

func (a *agent) attach(c *upstreamConn) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.gone {
		c.free()
		return errAgentGone
	}
	a.up, a.tally.up = c, c.sock.wrote.Load()
	return nil
}

// detach unties the connection; from then on nobody closes it behind the exchange's back. It reports whether the agent
// was still there.
func (a *agent) detach() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.reckon()
	a.up = nil
	return !a.gone
}

func (a *agent) isGone() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.gone
}
