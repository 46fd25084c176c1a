package proxy

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"credproxy/proxy/http1"
)

// A connection without a buffer while it waits; sock_linux.go and its twins are what systems do each in their own way.

// errWouldBlock is what a non-blocking read returns when nothing is there. It is os.ErrDeadlineExceeded because that is
// what a tls.Conn survives: it keeps what it has and can be read again (TestTLSSurvivesWouldBlock holds it to that).
var errWouldBlock = os.ErrDeadlineExceeded

// sock is a TCP connection that waits for bytes without holding a buffer: where the system allows it a buffer is taken
// only once there is something to put into it. One goroutine may read and one write at a time; Close and gone may be
// called by any.
type sock struct {
	net.Conn
	raw     syscall.RawConn // nil where one cannot wait without a buffer
	readyCB func(fd uintptr) bool
	pollCB  func(fd uintptr)
	writeCB func(fd uintptr) bool

	// Of the read under way.
	into *http1.Reader
	n    int
	err  error

	polling bool // reads take what is there: see poll

	// Of the write under way. A tls.Conn may write of its own while it is read.
	writing  sync.Mutex
	rest     []byte
	writeErr error
	corked   []byte // what is written while corked; nil if not

	stash    http1.Reader // what was read for a tls.Conn and not yet given to it
	stashing bool         // Read serves from stash and never blocks
	records  tlsRecords   // how far the tls.Conn has been given whole records

	wrote          atomic.Int64 // bytes handed to the kernel
	readBy, sentBy time.Time    // the deadlines in force
}

func newSock(c net.Conn) *sock {
	s := &sock{Conn: c, raw: rawConn(c)}
	s.stash = http1.NewReader(s)
	s.readyCB = s.ready
	s.pollCB = func(fd uintptr) { s.ready(fd) }
	s.writeCB = s.writable
	return s
}

// ready is called with the descriptor when there may be something to read, the first time before any wait.
func (s *sock) ready(fd uintptr) bool {
	s.n, s.err = tryRead(fd, s.into.Space())
	if s.err == errWouldBlock {
		s.into.Release()
		return false
	}
	return true
}

// ReadInto makes a sock the Source of a Reader.
func (s *sock) ReadInto(r *http1.Reader) (int, error) {
	switch {
	case s.polling:
		return s.poll(r)
	case s.raw == nil:
		return http1.FromReader(s.Conn).ReadInto(r)
	}
	s.into = r
	return s.stored(s.raw.Read(s.readyCB))
}

// poll reads what is there into r, whatever deadline has passed, and returns errWouldBlock if nothing is.
func (s *sock) poll(r *http1.Reader) (int, error) {
	if s.raw == nil {
		s.Conn.SetReadDeadline(time.Now().Add(time.Millisecond))
		n, err := http1.FromReader(s.Conn).ReadInto(r)
		s.readBy = time.Time{}
		s.Conn.SetReadDeadline(time.Time{})
		if errors.Is(err, os.ErrDeadlineExceeded) {
			err = errWouldBlock
		}
		return n, err
	}
	s.into = r
	return s.stored(s.raw.Control(s.pollCB)) // Read would look at the deadline first
}

// stored ends a read in which ready was called, unless err says that it was not.
func (s *sock) stored(err error) (int, error) {
	r := s.into
	s.into = nil
	switch {
	case err != nil:
		return 0, err
	case s.err != nil:
		return 0, s.err
	case s.n == 0:
		return 0, io.EOF
	}
	r.Stored(s.n)
	return s.n, nil
}

// Read is what a tls.Conn reads with: during its handshake straight from the connection, then from the stash alone, and
// never beyond the record at hand, so that it is known whether the tls.Conn holds the beginning of another.
func (s *sock) Read(p []byte) (int, error) {
	if !s.stashing {
		n, err := s.Conn.Read(p)
		s.records.skip(p[:n])
		return n, err
	}
	n := s.records.next(p[:copy(p, s.stash.Buffered())])
	if n == 0 {
		return 0, errWouldBlock
	}
	s.stash.Consume(n)
	s.stash.Release()
	return n, nil
}

// tlsRecords follows the records of a TLS stream (RFC 8446, section 5.1).
type tlsRecords struct {
	header int // bytes of the header seen, if the record is not begun
	length int // of the record, as far as its header was seen
	left   int // bytes of the record not yet seen
}

// next returns how many of the bytes p belong to the record at hand.
func (t *tlsRecords) next(p []byte) (n int) {
	for ; t.left == 0 && n < len(p); n++ {
		t.length = t.length<<8&0xffff | int(p[n])
		if t.header++; t.header == 5 {
			t.header, t.left = 0, t.length
		}
	}
	run := min(t.left, len(p)-n)
	t.left -= run
	return n + run
}

func (t *tlsRecords) skip(p []byte) {
	for len(p) > 0 {
		p = p[t.next(p):]
	}
}

// whole reports whether the last byte seen was the last one of a record.
func (t *tlsRecords) whole() bool { return t.header == 0 && t.left == 0 }

// Write counts what was handed to the kernel, so that it is known whether a peer can have seen anything.
func (s *sock) Write(p []byte) (n int, err error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.corked != nil {
		if len(p) > cap(s.corked)-len(s.corked) {
			if err := s.flush(); err != nil {
				return 0, err
			}
		}
		if len(p) <= cap(s.corked) {
			s.corked = append(s.corked, p...)
			return len(p), nil
		}
	}
	return s.write(p)
}

// cork has what is written collected until uncork, so that several TLS records leave in one system call.
func (s *sock) cork() {
	s.writing.Lock()
	defer s.writing.Unlock()
	s.corked = http1.TakeBuffer(true)[:0]
}

// uncork sends what was collected.
func (s *sock) uncork() error {
	s.writing.Lock()
	defer s.writing.Unlock()
	err := s.flush()
	http1.ReturnBuffer(s.corked[:cap(s.corked)])
	s.corked = nil
	return err
}

func (s *sock) flush() error {
	p := s.corked
	s.corked = p[:0]
	if len(p) == 0 {
		return nil
	}
	_, err := s.write(p)
	return err
}

func (s *sock) write(p []byte) (n int, err error) {
	if s.raw == nil {
		n, err = s.Conn.Write(p)
	} else {
		s.rest, s.writeErr = p, nil
		if err = s.raw.Write(s.writeCB); err == nil {
			err = s.writeErr
		}
		n, s.rest = len(p)-len(s.rest), nil
	}
	s.wrote.Add(int64(n))
	return n, err
}

// writable is called with the descriptor when there may be room to write, the first time before any wait.
func (s *sock) writable(fd uintptr) bool {
	for len(s.rest) > 0 {
		n, err := tryWrite(fd, s.rest)
		if err == errWouldBlock {
			return false
		}
		if s.writeErr = err; err != nil {
			return true
		}
		s.rest = s.rest[n:]
	}
	return true
}

// readWithin bounds the reads that follow: they fail after d, or up to an eighth sooner, since a deadline is only moved
// when that much of it is gone. Setting one costs as much as reading a small event.
func (s *sock) readWithin(d time.Duration) {
	if by, move := later(s.readBy, d); move {
		s.readBy = by
		s.Conn.SetReadDeadline(by)
	}
}

// writeWithin is readWithin for writes.
func (s *sock) writeWithin(d time.Duration) {
	if by, move := later(s.sentBy, d); move {
		s.sentBy = by
		s.Conn.SetWriteDeadline(by)
	}
}

func later(current time.Time, d time.Duration) (time.Time, bool) {
	now := time.Now()
	left := current.Sub(now)
	return now.Add(d), left > d || left < d-d/8
}

// gone reports whether the peer has closed its side, without reading anything.
func (s *sock) gone() (gone bool) {
	if s.raw == nil {
		return false
	}
	s.raw.Control(func(fd uintptr) { gone = hungUp(fd) })
	return gone
}

// closeWrite sends a FIN; what the peer still sends can be read.
func (s *sock) closeWrite() {
	if c, ok := s.Conn.(interface{ CloseWrite() error }); ok {
		c.CloseWrite()
	}
}

// shut ends both directions before Close: ending a connection is the kernel's work of tens of microseconds, and a raw
// call does it without waking the runtime's monitor of calls that block.
func (s *sock) shut() {
	if s.raw != nil {
		s.raw.Control(shutFD)
	}
}

// Close ends the connection at once. A tls.Conn, as the one to a proxy is, would first say so, which can block.
func (s *sock) Close() error {
	if c, ok := s.Conn.(*tls.Conn); ok {
		return c.NetConn().Close()
	}
	return s.Conn.Close()
}

// reset closes with a RST: a peer that reads up to the end of the connection learns that this was not its end. A Unix
// socket has nothing of the kind.
func (s *sock) reset() {
	if c, ok := s.Conn.(*net.TCPConn); ok {
		c.SetLinger(0)
	}
	s.Conn.Close()
}
