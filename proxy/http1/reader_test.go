package http1

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// Where buffers come from, and when they go back.

func TestReader(t *testing.T) {
	want := strings.Repeat("0123456789abcdef", 20<<10) // more than any pooled buffer
	for name, src := range map[string]io.Reader{
		"at once":      strings.NewReader(want),
		"byte by byte": iotest.OneByteReader(strings.NewReader(want)),
		"with EOF":     iotest.DataErrReader(strings.NewReader(want)),
	} {
		r := NewReader(FromReader(src))
		for read := 0; ; {
			n, err := r.Fill()
			if read += n; err == io.EOF && n == 0 && read == len(want) {
				break
			} else if err != nil || n < 1 || read != len(r.Buffered()) {
				t.Fatalf("%s: %d, %v after %d of %d bytes", name, n, err, read, len(want))
			}
		}
		if string(r.Buffered()) != want {
			t.Errorf("%s: %d bytes, want %d", name, len(r.Buffered()), len(want))
		}
		r.Consume(len(want) - 1)
		if r.Release(); string(r.Buffered()) != "f" {
			t.Errorf("%s: Release dropped what was buffered", name)
		}
		r.Discard()
		if len(r.Buffered()) != 0 || r.buf != nil {
			t.Errorf("%s: Discard kept something", name)
		}
	}
}

// TestReaderMovesUp: what is consumed makes room, so that a reader that is emptied now and then does not grow.
func TestReaderMovesUp(t *testing.T) {
	r := NewReader(FromReader(iotest.HalfReader(&endless{})))
	for range 1000 {
		if _, err := r.Fill(); err != nil {
			t.Fatal(err)
		}
		r.Consume(len(r.Buffered()) - 10)
	}
	if len(r.buf) > LargeBuffer {
		t.Errorf("grew to %d", len(r.buf))
	}
	r = NewReader(nil)
	r.Space()
	r.Stored(SmallBuffer)
	r.Consume(1)
	if n := len(r.Space()); n != 1 || len(r.buf) != SmallBuffer {
		t.Errorf("a byte that is consumed of a full buffer makes room for %d in %d", n, len(r.buf))
	}
	r.Stored(1)
	if n := len(r.Space()); n != LargeBuffer-SmallBuffer {
		t.Errorf("where all of a full buffer is wanted, there is room for %d behind it", n)
	}
}

// TestReaderBuffers: a read that fills its buffer is answered by a large one, until less than a small one comes.
func TestReaderBuffers(t *testing.T) {
	r := NewReader(nil)
	for i, step := range []struct{ before, stored, next int }{
		{0, 1, SmallBuffer}, {0, SmallBuffer - 1, SmallBuffer}, {0, SmallBuffer, LargeBuffer}, {0, 0, LargeBuffer},
		{0, SmallBuffer, LargeBuffer}, {0, SmallBuffer - 1, SmallBuffer}, {10, SmallBuffer - 10, LargeBuffer},
	} {
		for _, n := range []int{step.before, step.stored} {
			r.Space()
			r.Stored(n)
		}
		r.Discard()
		if got := len(r.Space()); got != step.next {
			t.Errorf("%d: after %d bytes a buffer of %d, want %d", i, step.stored, got, step.next)
		}
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

var raceEnabled bool

// TestAllocations: a request and its response take no allocation once the reader and the heads have been used.
func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	request := crlf("POST /v1/messages?beta=true HTTP/1.1\nHost: cred-proxy:9099\nConnection: keep-alive\nUser-Agent: x\nAccept: */*\nContent-Length: 5\n\nhello")
	response := crlf("HTTP/1.1 200 OK\nContent-Type: text/event-stream\nTransfer-Encoding: chunked\n\n5\nhello\n0\n\n")
	src := new(bytes.Reader)
	r := NewReader(FromReader(src))
	var q Request
	var s Response
	limits := Limits{Head: 64 << 10, Fields: 256, Target: 16 << 10}
	exchange := func() {
		src.Reset(request)
		r.Fill()
		n, err := q.Parse(r.Buffered(), &limits)
		if err != nil {
			t.Fatal(err)
		}
		r.Consume(n + int(q.Length))
		r.Release()
		src.Reset(response)
		r.Fill()
		if n, err = s.Parse(r.Buffered(), &limits); err != nil {
			t.Fatal(err)
		}
		r.Consume(n)
		b := s.Body(false)
		if n, err = b.Scan(r.Buffered()); err != nil || !b.Done() {
			t.Fatal(err, b)
		}
		r.Consume(n)
		r.Release()
	}
	exchange()
	if n := testing.AllocsPerRun(1000, exchange); n != 0 {
		t.Errorf("%v allocations an exchange, want 0", n)
	}
}

func BenchmarkRequest(b *testing.B) {
	p := crlf("POST /v1/messages?beta=true HTTP/1.1\nHost: cred-proxy:9099\nConnection: keep-alive\nUser-Agent: x\nAccept: */*\nContent-Type: application/json\nX-Api-Key: placeholder\nContent-Length: 5\n\n")
	limits := Limits{Head: 64 << 10, Fields: 256, Target: 16 << 10}
	var q Request
	b.ReportAllocs()
	for b.Loop() {
		if _, err := q.Parse(p, &limits); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkChunks(b *testing.B) {
	p := bytes.Repeat([]byte("64\r\n"+strings.Repeat("x", 100)+"\r\n"), 100)
	body := Body{kind: chunkedBody}
	b.SetBytes(int64(len(p)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := body.Scan(p); err != nil {
			b.Fatal(err)
		}
	}
}
