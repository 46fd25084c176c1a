package http1

import (
	"io"
	"sync"
)

// The buffer between a connection and those who parse what comes on it.

// The sizes of the buffers that readers take: small ones for heads and events, large ones while bulk flows.
const (
	SmallBuffer = 4 << 10
	LargeBuffer = 64 << 10
)

var (
	smallBuffers = sync.Pool{New: func() any { return new([SmallBuffer]byte) }}
	largeBuffers = sync.Pool{New: func() any { return new([LargeBuffer]byte) }}
)

// TakeBuffer takes a buffer from the pool, a large one or a small one. It must go back through ReturnBuffer.
func TakeBuffer(large bool) []byte {
	if large {
		return largeBuffers.Get().(*[LargeBuffer]byte)[:]
	}
	return smallBuffers.Get().(*[SmallBuffer]byte)[:]
}

// ReturnBuffer gives back a buffer that TakeBuffer returned, whole. One of another size is left to the collector.
func ReturnBuffer(p []byte) {
	switch len(p) {
	case SmallBuffer:
		smallBuffers.Put((*[SmallBuffer]byte)(p))
	case LargeBuffer:
		largeBuffers.Put((*[LargeBuffer]byte)(p))
	}
}

// Source puts bytes into a Reader.
type Source interface {
	// ReadInto waits until there is something to read, stores it in r (Space, then Stored) and returns how many bytes
	// that were: at least one, or an error, io.EOF at a clean end. A Source that can wait without a buffer calls Space
	// only then, and Release where it has to wait after all.
	ReadInto(r *Reader) (int, error)
}

// FromReader makes a Source of an io.Reader.
func FromReader(r io.Reader) Source { return readerSource{r} }

type readerSource struct{ r io.Reader }

func (s readerSource) ReadInto(r *Reader) (int, error) {
	n, err := s.r.Read(r.Space())
	r.Stored(n)
	if n > 0 {
		return n, nil
	}
	return 0, err
}

// Reader holds the bytes of a connection that have arrived and are not consumed. It has a buffer of the pool only while
// it holds some. It is for one goroutine at a time.
type Reader struct {
	src  Source
	buf  []byte
	r, w int
	bulk bool // the last read filled what it was given: take a large buffer next
}

// NewReader returns a Reader of src.
func NewReader(src Source) Reader { return Reader{src: src} }

// Buffered returns what has arrived and is not consumed. It is good until Consume, Fill or Release.
func (r *Reader) Buffered() []byte { return r.buf[r.r:r.w] }

// Consume drops the first n buffered bytes.
func (r *Reader) Consume(n int) {
	if r.r += n; r.r == r.w {
		r.r, r.w = 0, 0
	}
}

// Fill reads more: at least one byte, or an error, io.EOF at a clean end. What is buffered stays, in a larger buffer
// if need be, so a caller that keeps filling must bound what it keeps.
func (r *Reader) Fill() (int, error) { return r.src.ReadInto(r) }

// Space returns room for at least one more byte behind what is buffered. For Sources only.
func (r *Reader) Space() []byte {
	switch {
	case r.buf == nil:
		r.buf = TakeBuffer(r.bulk)
	case r.w < len(r.buf):
	case r.r > 0:
		r.w = copy(r.buf, r.buf[r.r:r.w])
		r.r = 0
	default:
		var larger []byte
		if len(r.buf) < LargeBuffer {
			larger = TakeBuffer(true)
		} else {
			larger = make([]byte, 2*len(r.buf))
		}
		copy(larger, r.buf)
		ReturnBuffer(r.buf)
		r.buf = larger
	}
	return r.buf[r.w:]
}

// Stored tells that n bytes were put into what Space returned. For Sources only.
func (r *Reader) Stored(n int) {
	if n == 0 {
		return
	}
	r.bulk = n == len(r.buf)-r.w || r.bulk && n >= SmallBuffer
	r.w += n
}

// Free returns how much room is left behind what is buffered without another buffer. For Sources only.
func (r *Reader) Free() int { return len(r.buf) - r.w }

// Release gives the buffer back if nothing is buffered.
func (r *Reader) Release() {
	if r.buf != nil && r.r == r.w {
		ReturnBuffer(r.buf)
		r.buf = nil
	}
}

// Discard drops everything and gives the buffer back.
func (r *Reader) Discard() {
	r.r, r.w = 0, 0
	r.Release()
}
