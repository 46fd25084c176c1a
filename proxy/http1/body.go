package http1

// Which bytes after a head belong to its message.

type bodyKind byte

const (
	lengthBody bodyKind = iota
	chunkedBody
	closeBody
)

// Body tells which of the bytes that follow a head are its content. The zero value is an empty one.
type Body struct {
	kind   bodyKind
	left   int64
	chunks chunks
}

// LengthBody is a body of n bytes.
func LengthBody(n int64) Body { return Body{left: n} }

// ChunkedBody is a body that comes in chunks.
func ChunkedBody() Body { return Body{kind: chunkedBody} }

// Chunked reports whether the content comes in chunks (RFC 9112, section 7.1).
func (b *Body) Chunked() bool { return b.kind == chunkedBody }

// UntilClose reports whether the content ends with the connection.
func (b *Body) UntilClose() bool { return b.kind == closeBody }

// Done reports whether the message has ended. A body that ends with the connection never is.
func (b *Body) Done() bool {
	switch b.kind {
	case lengthBody:
		return b.left == 0
	case chunkedBody:
		return b.chunks.state == chunkEnd
	}
	return false
}

// InTrailer reports whether what follows is a trailer section that is not empty: read it with Trailer.Parse, and call
// EndTrailer before the body is asked anything more.
func (b *Body) InTrailer() bool { return b.kind == chunkedBody && b.chunks.state == chunkTrailer }

// EndTrailer tells that the trailer section was read; the body is then done.
func (b *Body) EndTrailer() { b.chunks.state = chunkEnd }

// Scan returns how many of the bytes at the start of p belong to this message as it came, chunk framing included. It
// stops where a trailer section begins. An error means that the framing is broken after the n bytes.
func (b *Body) Scan(p []byte) (n int, err error) {
	switch b.kind {
	case lengthBody:
		n = int(min(int64(len(p)), b.left))
		b.left -= int64(n)
		return n, nil
	case closeBody:
		return len(p), nil
	}
	for n < len(p) && b.chunks.state < chunkTrailer {
		m, _, err := b.chunks.next(p[n:])
		n += m
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// Next is Scan for one run: it returns how many bytes at the start of p are the next run, and whether that is content
// or chunk framing.
func (b *Body) Next(p []byte) (n int, content bool, err error) {
	if b.kind != chunkedBody {
		n, err = b.Scan(p)
		return n, true, err
	}
	return b.chunks.next(p)
}

// Trailer is a trailer section (RFC 9112, section 7.1.2).
type Trailer struct{ head }

// Parse parses the trailer section at the start of p, its empty line included, and returns its length.
func (t *Trailer) Parse(p []byte, lim *Limits) (int, error) {
	n, err := t.end(p, lim.Head)
	if err != nil {
		return 0, err
	}
	t.reset()
	return n, t.parseFields(p[:n-2], lim.Fields)
}
