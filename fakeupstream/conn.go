package fakeupstream

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"time"
)

// One accepted connection, from its handshake to its end.

// handshakeTimeout bounds a TLS handshake that the client does not go on with:
// hundreds at once take their time on a busy machine.
const handshakeTimeout = time.Minute

// A conn is one accepted connection. One goroutine serves it; while that one
// waits for something else than the client, watch reads ahead beside it.
type conn struct {
	s      *Server
	id     int
	tcp    *net.TCPConn
	nc     net.Conn // tcp, or the TLS connection over it
	fault  *Fault   // that the connection meets; or nil
	br     *bufio.Reader
	served int

	// Guarded by Server.mu:
	idle    bool // waiting for a next request
	retired bool // not to take a next request

	version, sni, alpn string
	resumed            bool
}

// accept serves the connections of ln until it is closed.
func (s *Server) accept(ln net.Listener) {
	defer s.wg.Done()
	for {
		nc, err := ln.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) || s.ctx.Err() != nil {
				return
			}
			s.logf("accept: %v", err)
			select { // out of descriptors, most likely
			case <-time.After(10 * time.Millisecond):
				continue
			case <-s.ctx.Done():
				return
			}
		}
		tcp := nc.(*net.TCPConn)
		s.mu.Lock()
		if s.closed {
			s.mu.Unlock()
			tcp.Close()
			return
		}
		s.accepted++
		// Here, so that connections meet faults in the order in which they are accepted.
		c := &conn{s: s, id: s.accepted, tcp: tcp, nc: tcp, fault: s.faults.takeConnection()}
		s.conns[c] = struct{}{}
		s.wg.Add(1)
		s.mu.Unlock()
		go c.serve()
	}
}

func (c *conn) serve() {
	defer c.s.wg.Done()
	defer func() {
		c.tcp.Close()
		c.s.mu.Lock()
		delete(c.s.conns, c)
		c.s.mu.Unlock()
	}()
	if !c.open() {
		return
	}
	for c.exchange() {
	}
}

// open does all that comes before the first request, faults included.
func (c *conn) open() bool {
	c.br = bufio.NewReaderSize(c.tcp, 16<<10)
	if c.fault != nil && connectionFaults[c.fault.Kind] != nil {
		c.s.logf("conn %d: %s", c.id, c.fault.Kind)
		connectionFaults[c.fault.Kind](c, c.fault)
		return false
	}
	if c.s.opt.Plain {
		return true
	}
	config := c.s.cert.good
	if c.fault != nil {
		var err error
		if config, err = c.s.cert.config(c.fault); err != nil {
			c.s.logf("conn %d: %v", c.id, err)
			return false
		}
	}
	t := tls.Server(c.tcp, config)
	c.tcp.SetDeadline(time.Now().Add(handshakeTimeout))
	if err := t.HandshakeContext(c.s.ctx); err != nil {
		c.s.logf("conn %d: TLS handshake: %v", c.id, err)
		return false
	}
	c.tcp.SetDeadline(time.Time{})
	state := t.ConnectionState()
	c.version, c.sni, c.alpn = tls.VersionName(state.Version), state.ServerName, state.NegotiatedProtocol
	c.resumed = state.DidResume
	c.s.mu.Lock() // CloseIdle looks at nc
	c.nc = t
	c.s.mu.Unlock()
	c.br.Reset(t)
	return true
}

// hangHandshake is FaultTLSHang. It ends when the client leaves.
func (c *conn) hangHandshake(*Fault) {
	tls.Server(&stalled{c.tcp, 50}, c.s.cert.good).HandshakeContext(c.s.ctx)
}

// exchange serves one request and says whether there may be another.
func (c *conn) exchange() bool {
	pipelined := c.served > 0 && c.br.Buffered() > 0
	if c.served > 0 && !c.awaitNext() {
		return false
	}
	head, err := readHead(c.br)
	if err != nil && (len(head) == 0 || !errors.Is(err, errHeadTooLarge)) {
		return false
	}
	c.served++
	return newExchange(c, head, err, pipelined).run()
}

// awaitNext waits for a next request on the connection and says whether one is
// coming.
func (c *conn) awaitNext() bool {
	c.s.mu.Lock()
	c.idle = !c.retired
	idle := c.idle
	c.s.mu.Unlock()
	if !idle {
		c.nc.Close()
		return false
	}
	_, err := c.br.Peek(1)
	c.s.mu.Lock()
	c.idle = false
	c.s.mu.Unlock()
	return err == nil
}

// watch reads ahead from the client, as far as the buffer goes, so that gone is
// closed as soon as the client has closed its side; that includes half-closing.
// Stop ends it and must be called before anything else reads.
func (c *conn) watch() (gone <-chan struct{}, stop func()) {
	left, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for n := c.br.Buffered() + 1; n <= c.br.Size(); n = c.br.Buffered() + 1 {
			_, err := c.br.Peek(n)
			var ne net.Error
			if errors.As(err, &ne) && ne.Timeout() {
				return
			}
			if err != nil {
				close(left)
				return
			}
		}
	}()
	return left, func() {
		c.tcp.SetReadDeadline(time.Unix(1, 0))
		<-done
		c.tcp.SetReadDeadline(time.Time{})
	}
}

// linger reads until the client has closed too, for at most a second. Closing
// with bytes unread would send RST instead of FIN.
func (c *conn) linger() {
	c.tcp.SetReadDeadline(time.Now().Add(time.Second))
	io.Copy(io.Discard, c.tcp)
}
