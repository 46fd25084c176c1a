package fakeupstream

import (
	"net"
	"time"
)

// How slowly bytes pass.

// A pace is a way of writing or reading: size bytes at a time, every so often,
// however they are handed over.
type pace struct {
	size  int
	every time.Duration
	next  time.Time // when the next bytes may follow
}

// wait waits until n more bytes, at most size, may follow. It does not notice
// that the client leaves: writing and reading do.
func (p *pace) wait(c *conn, n int) error {
	now := time.Now()
	if wait := p.next.Sub(now); wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case now = <-timer.C:
		case <-c.s.ctx.Done():
			return errClosed
		}
	}
	p.next = now.Add(p.every * time.Duration(n) / time.Duration(p.size))
	return nil
}

// write writes b onto the connection at the pace.
func (p *pace) write(c *conn, b []byte) error {
	for len(b) > 0 {
		n := min(len(b), p.size)
		if err := p.wait(c, n); err != nil {
			return err
		}
		if _, err := c.nc.Write(b[:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// stalled is a connection whose writes come to nothing after some bytes.
type stalled struct {
	net.Conn
	left int
}

func (s *stalled) Write(p []byte) (int, error) {
	n := min(len(p), s.left)
	s.left -= n
	if n > 0 {
		if _, err := s.Conn.Write(p[:n]); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}
