package fakeupstream

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
	"sync"
	"time"
)

// An Exchange is one request and its answer, in the hands of a Behaviour. It is
// used by one goroutine. Reading from it reads the request's body; what the
// behaviour leaves unread is read afterwards, so that the record is whole.
type Exchange struct {
	c    *conn
	rec  *Request // changed only through record
	req  *http.Request
	path string // as the behaviour was found by

	body    io.Reader // without the chunked coding
	hash    hash.Hash
	chunked bool
	expects bool // the client waits for 100 Continue
	bodyEnd error

	answerState
}

func newExchange(c *conn, head []byte, headErr error, pipelined bool) *Exchange {
	x := &Exchange{c: c, hash: sha256.New()}
	x.cutAfter = -1
	q := &Request{
		Head: head, Time: time.Now(),
		Conn: c.id, OnConn: c.served, Pipelined: pipelined,
		RemoteAddr: c.tcp.RemoteAddr().String(),
		TLSVersion: c.version, SNI: c.sni, ALPN: c.alpn, Resumed: c.resumed,
	}
	q.Method, q.Target, q.Proto, q.Fields = parseHead(head)
	err := headErr
	if err == nil {
		x.req, err = judge(head)
	}
	x.rec = q
	if err != nil {
		q.Malformed, q.Done = err.Error(), true
	} else {
		x.openBody()
	}
	x.path, _ = splitTarget(q.Target)
	if err == nil {
		x.takeFaults()
	}
	c.s.rec.add(q)
	return x
}

// openBody finds out how the body is framed. One of no bytes is done at once.
func (x *Exchange) openBody() {
	x.expects = x.req.ProtoAtLeast(1, 1) && strings.EqualFold(x.rec.Get("Expect"), "100-continue")
	switch {
	case x.req.ContentLength < 0:
		x.chunked = true
		x.body = httputil.NewChunkedReader(x.c.br)
	case x.req.ContentLength > 0:
		x.body = &exactly{x.c.br, x.req.ContentLength}
	default:
		x.expects = false
		x.bodyEnd = io.EOF
		x.rec.Complete, x.rec.Done = true, x.rec.Get("Upgrade") == "" // of a WebSocket there may be more, see newWebSocket
		x.rec.BodySHA256 = hex.EncodeToString(x.hash.Sum(nil))
	}
}

// exactly reads n bytes of r; that r ends before them is an error.
type exactly struct {
	r *bufio.Reader
	n int64
}

func (e *exactly) Read(p []byte) (int, error) {
	if e.n == 0 {
		return 0, io.EOF
	}
	n, err := e.r.Read(p[:min(int64(len(p)), e.n)])
	e.n -= int64(n)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

// record changes the exchange's record.
func (x *Exchange) record(f func(*Request)) {
	x.c.s.rec.change(func() { f(x.rec) })
}

// Server returns the server.
func (x *Exchange) Server() *Server { return x.c.s }

// Context is done when the server is closed.
func (x *Exchange) Context() context.Context { return x.c.s.ctx }

// Request returns the request as far as it has been read.
func (x *Exchange) Request() (q Request) {
	x.record(func(r *Request) { q = *r })
	return q
}

// Read reads the request's body, after the 100 Continue that the client may be
// waiting for.
func (x *Exchange) Read(p []byte) (int, error) {
	if x.bodyEnd != nil {
		return 0, x.bodyEnd
	}
	if x.expects && x.c.br.Buffered() == 0 {
		if err := x.Interim(http.StatusContinue); err != nil {
			return 0, err
		}
	}
	x.expects = false
	if x.readPace != nil {
		p = p[:min(len(p), x.readPace.size)]
		if err := x.readPace.wait(x.c, len(p)); err != nil {
			return 0, err
		}
	}
	n, err := x.body.Read(p)
	x.hash.Write(p[:n])
	var trailers []Field
	if err == io.EOF && x.chunked {
		var lines []byte
		if lines, err = readTrailers(x.c.br); err == nil {
			trailers, err = parseFields(lines), io.EOF
		}
	}
	x.bodyEnd = err
	malformed := ""
	var ne net.Error
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF && !errors.As(err, &ne) {
		malformed = "body: " + err.Error()
	}
	x.record(func(r *Request) {
		r.BodySize += int64(n)
		if room := x.c.s.opt.BodyLimit - len(r.Body); room > 0 {
			r.Body = append(r.Body, p[:min(n, room)]...)
		}
		r.Trailers, r.Malformed = trailers, malformed
		if err != nil {
			r.Done, r.Complete = true, err == io.EOF
			r.BodySHA256 = hex.EncodeToString(x.hash.Sum(nil))
		}
	})
	return n, err
}

// readTrailers reads the trailer section of a chunked body, which may be just
// the empty line.
func readTrailers(br *bufio.Reader) ([]byte, error) {
	if p, err := br.Peek(1); err != nil {
		return nil, unexpected(err)
	} else if p[0] == '\n' {
		_, err := br.Discard(1)
		return nil, err
	}
	if p, err := br.Peek(2); err != nil {
		return nil, unexpected(err)
	} else if string(p) == "\r\n" {
		_, err := br.Discard(2)
		return nil, err
	}
	lines, err := readHead(br)
	return lines, unexpected(err)
}

func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

var copyBuffers = sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}

// ReadBody reads the rest of the body and returns what is kept of the whole.
func (x *Exchange) ReadBody() ([]byte, error) {
	buf := copyBuffers.Get().(*[]byte)
	defer copyBuffers.Put(buf)
	var err error
	for err == nil {
		_, err = x.Read(*buf)
	}
	if err != io.EOF {
		return nil, fmt.Errorf("reading the body: %w", err)
	}
	return x.Request().Body, nil
}

// Then says what is to become of the connection after the answer.
func (x *Exchange) Then(after After) { x.then = after }

// Wait waits until the done channel is closed or has a value, the client has
// left or the server is closed. It is nil only in the first case. A nil channel
// never is done.
func (x *Exchange) Wait(done <-chan struct{}) error {
	gone, stop := x.c.watch()
	defer stop()
	select {
	case <-done:
		return nil
	case <-gone:
		return errGone
	case <-x.c.s.ctx.Done():
		return errClosed
	}
}

// pause waits for d as Wait does.
func (x *Exchange) pause(d time.Duration) error {
	if d <= 0 {
		return nil
	}
	done := make(chan struct{})
	defer time.AfterFunc(d, func() { close(done) }).Stop()
	return x.Wait(done)
}

var errGone = errors.New("the client has left")

// run answers the request and says whether the connection can take another.
func (x *Exchange) run() (again bool) {
	err := x.answer()
	if err == nil {
		err = x.finish()
	}
	if err == nil && x.then == Keep {
		_, err = x.ReadBody()
	}
	if x.wantsClose() && x.then == Keep {
		x.then = CloseNotify
	}
	x.record(func(r *Request) {
		r.Done = true
		if r.BodySHA256 == "" {
			r.BodySHA256 = hex.EncodeToString(x.hash.Sum(nil))
		}
		r.Answer.End = time.Now()
	})
	q := x.rec
	if err != nil && !errors.Is(err, errEnded) {
		x.c.s.logf("conn %d: %s %s %d: %v", x.c.id, q.Method, x.path, x.status, err)
		return false
	}
	x.c.s.logf("conn %d: %s %s %d, then %s", x.c.id, q.Method, x.path, x.status, x.then)
	endings[x.then](x.c)
	return x.then == Keep
}

// answer answers the request, a malformed one with 400.
func (x *Exchange) answer() (err error) {
	if x.rec.Malformed == "" {
		err = x.behave()
	}
	if x.rec.Malformed != "" && !x.started {
		x.then = CloseNotify
		return x.Answer(http.StatusBadRequest, []byte("fakeupstream: malformed request: "+x.rec.Malformed+"\n"), plainText)
	}
	return err
}

// behave lets first the faults and then the behaviour have the exchange.
func (x *Exchange) behave() error {
	for _, f := range x.faults {
		if err := requestFaults[f.Kind](x, f); err != nil {
			return err
		}
	}
	return x.c.s.behaviour(x)(x)
}

func (x *Exchange) wantsClose() bool {
	if x.req == nil || x.req.ProtoMajor == 1 && x.req.ProtoMinor == 0 {
		return true
	}
	for _, value := range x.rec.Values("Connection") {
		for token := range strings.SplitSeq(value, ",") {
			if strings.EqualFold(strings.TrimSpace(token), "close") {
				return true
			}
		}
	}
	return false
}
