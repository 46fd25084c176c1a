package fakeupstream

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// How an answer is written.

// Framing says how an answer's body is delimited.
type Framing string

// The framings of RFC 9112 section 6.
const (
	Length  Framing = "length"  // Content-Length
	Chunked Framing = "chunked" // chunked; to an HTTP/1.0 client it is Close
	Close   Framing = "close"   // the end of the connection
)

// plainText is the field of the short answers in text.
var plainText = Field{"Content-Type", "text/plain; charset=utf-8"}

// answerState is what an exchange knows of its answer.
type answerState struct {
	then    After
	faults  []*Fault
	started bool    // the final head, or raw bytes, were written
	status  int     // of the final head
	framing Framing // of the body
	left    int64   // of a body with a length
	bodless bool    // the answer has no body, whatever is written
	over    bool    // the body's end was written

	// Faults set these.
	mangle   func(head []byte) []byte // changes the final head
	reframe  Framing                  // overrides the framing
	cutAfter int64                    // bytes of body to let through; -1 is all
	cutThen  After
	pace     *pace
	readPace *pace // of the request's body
}

// errEnded ends an exchange whose answer was cut on purpose.
var errEnded = errors.New("the answer was cut")

// Answer writes a whole answer: status, fields, Content-Length and body.
func (x *Exchange) Answer(status int, body []byte, fields ...Field) error {
	head, err := x.head(status, Length, int64(len(body)), fields)
	if err != nil {
		return err
	}
	// Head and body are one write when nothing interferes.
	if !x.bodless && x.cutAfter < 0 {
		x.note(len(body), body)
		x.left = 0
		return x.write(append(head, body...))
	}
	if err := x.write(head); err != nil {
		return err
	}
	_, err = x.Write(body)
	return err
}

// JSON writes v as an answer of type application/json.
func (x *Exchange) JSON(status int, v any, fields ...Field) error {
	body, err := marshal(v)
	if err != nil {
		return err
	}
	return x.Answer(status, append(body, '\n'), append([]Field{{"Content-Type", "application/json"}}, fields...)...)
}

// Head writes the head of an answer whose body follows by Write. Length is the
// body's for the framing Length. The framing's own field comes last.
func (x *Exchange) Head(status int, framing Framing, length int64, fields ...Field) error {
	head, err := x.head(status, framing, length, fields)
	if err != nil {
		return err
	}
	return x.write(head)
}

func (x *Exchange) head(status int, framing Framing, length int64, fields []Field) ([]byte, error) {
	if x.started {
		return nil, errors.New("the answer's head was written already")
	}
	x.started = true
	if x.reframe != "" {
		framing = x.reframe
	}
	x.bodless = x.rec.Method == http.MethodHead || status == http.StatusNoContent || status == http.StatusNotModified
	if framing == Chunked && x.req != nil && !x.req.ProtoAtLeast(1, 1) {
		framing = Close
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "HTTP/1.1 %03d %s\r\n", status, http.StatusText(status))
	for _, f := range fields {
		b.WriteString(f.Name + ": " + f.Value + "\r\n")
	}
	switch {
	case status == http.StatusNoContent:
	case framing == Length:
		x.left = length
		fmt.Fprintf(&b, "Content-Length: %d\r\n", length)
	case framing == Chunked:
		b.WriteString("Transfer-Encoding: chunked\r\n")
	case !x.bodless && x.then == Keep:
		x.then = CloseNotify
	}
	if x.expects && x.then == Keep {
		x.then = CloseNotify // whether the body is going to be sent is the client's secret
	}
	if x.then == CloseNotify || x.wantsClose() {
		b.WriteString("Connection: close\r\n")
	}
	b.WriteString("\r\n")
	x.status, x.framing = status, framing
	head := b.Bytes()
	if x.mangle != nil {
		head = x.mangle(head)
	}
	x.record(func(r *Request) {
		r.Answer.Status, r.Answer.Head, r.Answer.Begin = status, bytes.Clone(head), time.Now()
	})
	return head, nil
}

// Write writes p as a piece of the body: one write, and one chunk if the body
// is chunked. Of an answer without a body it writes nothing.
func (x *Exchange) Write(p []byte) (int, error) {
	if !x.started {
		return 0, errors.New("the answer's head was not written")
	}
	if x.bodless || len(p) == 0 {
		return len(p), nil
	}
	whole := p
	if x.cutAfter >= 0 {
		p = p[:min(int64(len(p)), x.cutAfter)]
		x.cutAfter -= int64(len(p))
	}
	if x.framing == Length {
		if x.left -= int64(len(p)); x.left < 0 {
			return 0, errors.New("the body is longer than its Content-Length")
		}
	}
	x.note(len(p), p)
	if err := x.writePiece(p, len(whole)); err != nil {
		return 0, err
	}
	if x.cutAfter == 0 {
		x.then = x.cutThen
		return len(p), errEnded
	}
	return len(p), nil
}

// writePiece writes p, all or the beginning of a piece of size bytes.
func (x *Exchange) writePiece(p []byte, size int) error {
	if x.framing != Chunked {
		return x.write(p)
	}
	b := make([]byte, 0, len(p)+20)
	b = strconv.AppendInt(b, int64(size), 16)
	b = append(b, "\r\n"...)
	b = append(b, p...)
	if len(p) == size {
		b = append(b, "\r\n"...)
	}
	return x.write(b)
}

// note records n bytes of body that are about to be written.
func (x *Exchange) note(n int, p []byte) {
	x.record(func(r *Request) {
		r.Answer.Size += int64(n)
		if room := x.c.s.opt.BodyLimit - len(r.Answer.Body); room > 0 {
			r.Answer.Body = append(r.Answer.Body, p[:min(len(p), room)]...)
		}
	})
}

// Finish writes the end of a chunked body with its trailers. An exchange whose
// behaviour returns without it is finished without trailers.
func (x *Exchange) Finish(trailers ...Field) error {
	if x.over || !x.started || x.bodless || x.framing != Chunked {
		x.over = true
		return nil
	}
	x.over = true
	var b bytes.Buffer
	b.WriteString("0\r\n")
	for _, f := range trailers {
		b.WriteString(f.Name + ": " + f.Value + "\r\n")
	}
	b.WriteString("\r\n")
	return x.write(b.Bytes())
}

// finish ends the answer of a behaviour that returned without an error.
func (x *Exchange) finish() error {
	if !x.started {
		return x.Answer(http.StatusInternalServerError, []byte("fakeupstream: the behaviour gave no answer\n"), plainText)
	}
	if x.left > 0 && !x.bodless && x.framing == Length {
		x.then = CloseAbrupt // the behaviour fell short of its own length
		return errEnded
	}
	return x.Finish()
}

// Interim writes an interim response (1xx) with the fields. An HTTP/1.0 client
// is sent none.
func (x *Exchange) Interim(status int, fields ...Field) error {
	if x.req == nil || !x.req.ProtoAtLeast(1, 1) {
		return nil
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "HTTP/1.1 %03d %s\r\n", status, http.StatusText(status))
	for _, f := range fields {
		b.WriteString(f.Name + ": " + f.Value + "\r\n")
	}
	b.WriteString("\r\n")
	return x.write(b.Bytes())
}

// WriteRaw writes p onto the connection as it stands, in place of an answer
// that the exchange would frame; the status is taken from p if it has one.
// Faults that change a head or cut a body leave them alone.
func (x *Exchange) WriteRaw(p []byte) error {
	if !x.started {
		x.status = rawStatus(p)
	}
	x.started, x.over = true, true
	x.record(func(r *Request) {
		if r.Answer.Status = x.status; r.Answer.Begin.IsZero() {
			r.Answer.Begin = time.Now()
		}
		if room := x.c.s.opt.BodyLimit - len(r.Answer.Head); room > 0 {
			r.Answer.Head = append(r.Answer.Head, p[:min(len(p), room)]...)
		}
		r.Answer.Size += int64(len(p))
	})
	return x.write(p)
}

// rawStatus returns the status of a response's start line, 0 if there is none.
func rawStatus(p []byte) int {
	if fields := bytes.Fields(p[:min(len(p), 64)]); len(fields) > 1 {
		n, _ := strconv.Atoi(string(fields[1]))
		return n
	}
	return 0
}

// write writes p onto the connection, at the pace that a fault may have set.
func (x *Exchange) write(p []byte) error {
	if x.pace != nil {
		return x.pace.write(x.c, p)
	}
	_, err := x.c.nc.Write(p)
	return err
}
