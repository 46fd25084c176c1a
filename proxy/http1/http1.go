// Package http1 reads HTTP/1.1 messages off a connection: heads, bodies and chunks, strictly as RFC 9112 has them and
// without allocating. It knows nothing of routes, credentials or connections' lives.
//
// A [Reader] holds what has arrived and is not yet consumed; a [Source] puts more into it. Heads are parsed in place:
// the fields of a [Request] or [Response] are slices of the reader's buffer and are good until it is consumed or
// filled again. A [Body] says how many of the next bytes belong to the message and when it has ended.
//
//	for {
//		n, err := req.Parse(r.Buffered(), &limits)
//		if err == http1.ErrIncomplete {
//			_, err = r.Fill() // and again
//		}
//	}
//
// What two parsers could read differently is an error, never mended: bare CR or LF, folded lines, space before a
// colon, control bytes, two lengths. Errors never quote the input: it may hold a secret.
package http1

import "errors"

// Malformed is a violation of RFC 9112; its text says which, and never quotes the message.
type Malformed string

func (m Malformed) Error() string { return string(m) }

// What else can be wrong with a head. All but ErrIncomplete are final.
var (
	ErrIncomplete    = errors.New("head incomplete")         // more bytes are needed
	ErrHeadTooLarge  = errors.New("head too large")          // larger than Limits.Head
	ErrTooManyFields = errors.New("too many header fields")  // more than Limits.Fields
	ErrTargetTooLong = errors.New("request target too long") // longer than Limits.Target
)

// Limits bounds a head. Every limit must be set.
type Limits struct {
	Head   int // bytes of the whole head, its empty line included
	Fields int // header fields
	Target int // bytes of the request target; of no account to a response
}

// Byte classes of RFC 9110 section 5.6.2 (token) and 5.5 (field-value), RFC 9112 section 3.2 (target).
const (
	tokenByte  = 1 << iota
	valueByte  // HTAB, SP, VCHAR, obs-text
	targetByte // VCHAR but "#", which no request target has
	hexByte
)

var class = func() (t [256]byte) {
	for c := 0x21; c < 0x7f; c++ {
		t[c] |= valueByte | targetByte
	}
	t['#'] &^= targetByte
	t[' '] |= valueByte
	t['\t'] |= valueByte
	for c := 0x80; c < 0x100; c++ {
		t[c] |= valueByte
	}
	for c := '0'; c <= '9'; c++ {
		t[c] |= tokenByte | hexByte
	}
	for c := 'a'; c <= 'z'; c++ {
		t[c] |= tokenByte
		t[c-'a'+'A'] |= tokenByte
	}
	for _, c := range "abcdefABCDEF" {
		t[c] |= hexByte
	}
	for _, c := range "!#$%&'*+-.^_`|~" {
		t[c] |= tokenByte
	}
	return t
}()

// all reports whether p is not empty and every byte of it is of the class.
func all(p []byte, want byte) bool {
	for _, c := range p {
		if class[c]&want == 0 {
			return false
		}
	}
	return len(p) > 0
}

// IsToken reports whether s is a token (RFC 9110, section 5.6.2), as methods and field names are.
func IsToken(s string) bool { return all([]byte(s), tokenByte) }

// IsValue reports whether s can stand in a field value (RFC 9110, section 5.5); the empty one can.
func IsValue(s string) bool { return s == "" || all([]byte(s), valueByte) }

// EqualFold reports whether p is name, which must be in lower case, but for the case of its ASCII letters.
func EqualFold(p []byte, name string) bool {
	if len(p) != len(name) {
		return false
	}
	for i, c := range p {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != name[i] {
			return false
		}
	}
	return true
}
