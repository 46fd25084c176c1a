package http1

import (
	"bytes"
	"math"
)

// What the heads of requests and responses, and trailer sections, have in common: fields and framing.

// Field is one header or trailer field (RFC 9112, section 5).
type Field struct {
	Line  []byte // the whole line as sent, its CRLF included
	Name  []byte // as sent
	Value []byte // without the white space around it
}

// head is what a Request and a Response have in common.
type head struct {
	Fields []Field // in order, repeats kept
	Minor  int     // HTTP/1.Minor: 0 or 1

	length     int64 // of Content-Length, or noLength or badLength
	te         transferEncoding
	close      bool     // "close" is among the connection options
	keepAlive  bool     // "keep-alive" is
	connection [][]byte // the connection options, as sent

	scanned int // bytes of an incomplete head already looked at
}

const (
	noLength  = -1 // no Content-Length
	badLength = -2 // repeated, a list, signed, too large, not digits
)

type transferEncoding byte

const (
	teNone transferEncoding = iota
	teChunked
	teOther
)

func (h *head) reset() {
	h.Fields, h.connection = h.Fields[:0], h.connection[:0]
	h.length, h.te = noLength, teNone
	h.close, h.keepAlive = false, false
}

// Reset forgets what an earlier call of Parse has seen of a head that it found incomplete.
func (h *head) Reset() { h.scanned = 0 }

// Named reports whether the message's Connection field names this field, which makes it hop-by-hop (RFC 9110, section
// 7.6.1).
func (h *head) Named(name []byte) bool {
	for _, o := range h.connection {
		if bytes.EqualFold(o, name) {
			return true
		}
	}
	return false
}

// HasConnection reports whether the message has connection options at all.
func (h *head) HasConnection() bool { return len(h.connection) > 0 }

// end finds the end of the head in p: the length of all lines up to and including the empty one. It looks at no line
// twice when called again with more of the same head.
func (h *head) end(p []byte, limit int) (int, error) {
	start := h.scanned
	for {
		i := bytes.IndexByte(p[start:], '\n')
		if i < 0 {
			h.scanned = start
			if len(p) >= limit {
				return 0, ErrHeadTooLarge
			}
			return 0, ErrIncomplete
		}
		if i == 0 || p[start+i-1] != '\r' {
			return 0, Malformed("a line ends in a bare LF")
		}
		next := start + i + 1
		if next > limit {
			return 0, ErrHeadTooLarge
		}
		if i == 1 {
			h.scanned = 0
			return next, nil
		}
		start = next
	}
}

// parseFields parses the field lines p, each ended by CRLF, without the empty line.
func (h *head) parseFields(p []byte, limit int) error {
	for len(p) > 0 {
		if len(h.Fields) == limit {
			return ErrTooManyFields
		}
		i := bytes.IndexByte(p, '\n') + 1
		line := p[:i]
		p = p[i:]
		name, value, ok := bytes.Cut(line, []byte(":"))
		if !ok || !all(name, tokenByte) {
			switch {
			case line[0] == ' ' || line[0] == '\t':
				return Malformed("a folded header line")
			case !ok:
				return Malformed("a header field without a colon")
			}
			return Malformed("a header field name that is not a token")
		}
		value = trim(value[:len(value)-len("\r\n")])
		for _, c := range value {
			if class[c]&valueByte == 0 {
				return Malformed("a control byte in a header field value")
			}
		}
		f := Field{Line: line, Name: name, Value: value}
		h.Fields = append(h.Fields, f)
		h.note(f)
	}
	if len(h.connection) > maxConnectionOptions {
		return Malformed("too many connection options")
	}
	return nil
}

// maxConnectionOptions is how many options the Connection fields of a head may have. Each is compared with the name of
// each field: without a bound, one head could keep a processor busy for seconds.
const maxConnectionOptions = 64

// note remembers what a field says about framing and the connection.
func (h *head) note(f Field) {
	switch len(f.Name) {
	case len("connection"):
		if EqualFold(f.Name, "connection") {
			h.options(f.Value)
		}
	case len("content-length"):
		if EqualFold(f.Name, "content-length") {
			if h.length == noLength {
				h.length = parseLength(f.Value)
			} else {
				h.length = badLength
			}
		}
	case len("transfer-encoding"):
		if EqualFold(f.Name, "transfer-encoding") {
			if h.te == teNone && EqualFold(f.Value, "chunked") {
				h.te = teChunked
			} else {
				h.te = teOther
			}
		}
	}
}

// options collects the elements of a Connection field.
func (h *head) options(list []byte) {
	for len(list) > 0 && len(h.connection) <= maxConnectionOptions {
		o := list
		if i := bytes.IndexByte(list, ','); i >= 0 {
			o, list = list[:i], list[i+1:]
		} else {
			list = nil
		}
		if o = trim(o); len(o) == 0 {
			continue
		}
		h.connection = append(h.connection, o)
		h.close = h.close || EqualFold(o, "close")
		h.keepAlive = h.keepAlive || EqualFold(o, "keep-alive")
	}
}

// persistent is RFC 9112, section 9.3.
func (h *head) persistent() bool { return !h.close && (h.Minor == 1 || h.keepAlive) }

// trim cuts optional white space: SP and HTAB, nothing else.
func trim(p []byte) []byte {
	for len(p) > 0 && (p[0] == ' ' || p[0] == '\t') {
		p = p[1:]
	}
	for len(p) > 0 && (p[len(p)-1] == ' ' || p[len(p)-1] == '\t') {
		p = p[:len(p)-1]
	}
	return p
}

// parseLength parses a Content-Length: digits only, at most 2^63-1. What is anything else is badLength.
func parseLength(p []byte) int64 {
	if len(p) == 0 {
		return badLength
	}
	var n int64
	for _, c := range p {
		d := int64(c) - '0'
		if d < 0 || d > 9 || n > (math.MaxInt64-d)/10 {
			return badLength
		}
		n = n*10 + d
	}
	return n
}

// parseVersion parses HTTP-version; only 1.0 and 1.1 are spoken here.
func parseVersion(p []byte) (minor int, err error) {
	switch string(p) {
	case "HTTP/1.1":
		return 1, nil
	case "HTTP/1.0":
		return 0, nil
	}
	return 0, Malformed("a version other than HTTP/1.1 and HTTP/1.0")
}
