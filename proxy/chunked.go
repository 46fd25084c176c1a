package proxy

import (
	"strconv"

	"credproxy/proxy/http1"
)

// rechunker passes a chunked request body on in chunks of the proxy's own (RFC 9112, section 7.1): what agent and upstream
// could read differently in the framing, such as extensions, does not cross. Nor does the trailer section: it is held to
// the limits of a head, and to its form, and dropped, since some servers take its fields for those of the head.
type rechunker struct {
	body    http1.Body
	trailer http1.Trailer
	limits  *http1.Limits
	content int64  // bytes of it so far
	buf     []byte // what next returned is in it
}

// newRechunker returns nil for a body that is not chunked.
func newRechunker(q *http1.Request, limits *http1.Limits) *rechunker {
	if q.Framing != http1.Chunked {
		return nil
	}
	return &rechunker{body: http1.ChunkedBody(), limits: limits}
}

const (
	chunkSizeRoom = len("ffff\r\n")
	chunkEndRoom  = len("\r\n0\r\n\r\n")
)

// next returns what is to be sent for the n bytes at the start of p, which must not be empty, and the content in it;
// http1.ErrIncomplete asks for more of the same bytes. After any other error the body can have no end, and must not be
// given one. What is sent must then be released.
func (c *rechunker) next(p []byte) (send, content []byte, n int, err error) {
	if c.body.InTrailer() {
		if n, err = c.trailer.Parse(p, c.limits); err != nil {
			return nil, nil, 0, err
		}
		c.body.EndTrailer()
	}
	p = p[:min(len(p), http1.LargeBuffer-chunkSizeRoom-chunkEndRoom)]
	c.buf = http1.TakeBuffer(len(p)+chunkSizeRoom+chunkEndRoom > http1.SmallBuffer)
	send = c.buf[:chunkSizeRoom]
	for n < len(p) && !c.body.Done() && !c.body.InTrailer() {
		run, isContent, err := c.body.Next(p[n:])
		if err != nil {
			return nil, nil, 0, err
		}
		if isContent {
			send = append(send, p[n:n+run]...)
		}
		n += run
	}
	content = send[chunkSizeRoom:]
	start := chunkSizeRoom
	if size := len(send) - chunkSizeRoom; size > 0 {
		c.content += int64(size)
		var line [chunkSizeRoom]byte
		l := append(strconv.AppendInt(line[:0], int64(size), 16), "\r\n"...)
		start -= copy(send[chunkSizeRoom-len(l):], l)
		send = append(send, "\r\n"...)
	}
	if c.body.Done() {
		send = append(send, "0\r\n\r\n"...)
	}
	return send[start:], content, n, nil
}

// release gives back what next returned.
func (c *rechunker) release() { http1.ReturnBuffer(c.buf) }
