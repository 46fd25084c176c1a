package proxy

import (
	"bytes"
	"unicode"

	"credproxy/proxy/http1"
)

// What is refused on every route: other methods, paths that lead elsewhere, git push, bodies whose length is not clear; and
// chunked ones, unless the route streams them.

// methods are the methods that are forwarded; everything else is 501, as the Python program answered that this one
// replaces.
var methods = []string{"GET", "POST", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"}

// knownMethod returns m as one of methods, or "".
func knownMethod(m []byte) string {
	for _, known := range methods {
		if string(m) == known {
			return known
		}
	}
	return ""
}

// admit holds a request against everything that can be said before a route is known: method, form of the target, path,
// push. The order is the contract's. scratch is room to decode in.
func admit(q *http1.Request, scratch []byte) *Refusal {
	if knownMethod(q.Method) == "" {
		return refuseMethod.because(" (%s)", pyRepr(q.Method))
	}
	switch {
	case q.Target[0] == '/':
	case q.Target[0] == '*':
		return refusePath.because(": * is no path")
	default:
		return &refuseAbsolute
	}
	path, query, _ := bytes.Cut(q.Target, []byte("?"))
	if why := checkPath(path, scratch); why != "" {
		return refusePath.because(": %s", why)
	}
	if isPush(path, query, scratch) || isPushBody(q) {
		return &refusePush
	}
	return nil
}

// checkLength holds a request to the framings that are forwarded; a route may let chunked ones pass.
func checkLength(q *http1.Request, chunked bool) *Refusal {
	switch q.Framing {
	case http1.BadLength:
		return &refuseLength
	case http1.BadEncoding:
		return &refuseEncoding
	case http1.Chunked:
		if !chunked {
			return &refuseChunked
		}
	}
	return nil
}

// decodings is how often an upstream may decode a path before it looks at it: once itself, once more in a server
// behind it.
const decodings = 2

// checkPath returns why a path is refused, or "". Refused is what an upstream may take for a step out of its base path:
// dot segments in any spelling, decoded up to twice, split at slashes and backslashes, with parameters or an encoded end of
// the path behind the dots and blanks around them, and bytes that end a string or a line.
func checkPath(path, scratch []byte) string {
	if bytes.IndexByte(path, '%') < 0 && bytes.IndexByte(path, '\\') < 0 && !bytes.Contains(path, []byte("/.")) {
		return ""
	}
	for level := 0; ; level++ {
		if hasDotSegment(path) {
			return "a dot segment"
		}
		if level == decodings || bytes.IndexByte(path, '%') < 0 {
			return ""
		}
		var ok bool
		if scratch, ok = appendDecoded(scratch[:0], path); !ok && level == 0 {
			return "a bad percent escape"
		}
		path = foldOverlong(scratch)
		for _, c := range path {
			if c < ' ' || c == 0x7f {
				return "an encoded control byte"
			}
		}
	}
}

func isSlash(c byte) bool { return c == '/' || c == '\\' }

// hasDotSegment reports whether a segment of path is "." or "..", parameters and blanks around it aside, and what follows
// a "?" or a "#" that was encoded, and ends the path for whoever decodes it too soon.
func hasDotSegment(path []byte) bool {
	for len(path) > 0 {
		i := 0
		for i < len(path) && !isSlash(path[i]) {
			i++
		}
		if s := path[:i]; isDots(s) || isDots(upTo(s, '?')) || isDots(upTo(s, '#')) {
			return true
		}
		path = path[min(i+1, len(path)):]
	}
	return false
}

func isDots(segment []byte) bool {
	s := bareSegment(segment)
	return string(s) == "." || string(s) == ".."
}

// upTo returns what of p is before the first c.
func upTo(p []byte, c byte) []byte {
	if i := bytes.IndexByte(p, c); i >= 0 {
		return p[:i]
	}
	return p
}

// bareSegment cuts a segment's parameters and the blanks around it.
func bareSegment(s []byte) []byte {
	return bytes.TrimSpace(upTo(s, ';'))
}

// bareName cuts the dots at a segment's end as well, as file systems do.
func bareName(s []byte) []byte {
	return bytes.TrimRightFunc(bareSegment(s), func(r rune) bool { return r == '.' || unicode.IsSpace(r) })
}

// appendDecoded appends p with its percent escapes decoded; what is not a valid escape stays and makes ok false. dst
// may share p's memory if it does not begin behind it: what is written is never longer than what was read.
func appendDecoded(dst, p []byte) (_ []byte, ok bool) {
	ok = true
	for i := 0; i < len(p); i++ {
		c := p[i]
		if c == '%' {
			if i+2 < len(p) && isHex(p[i+1]) && isHex(p[i+2]) {
				c = unhex(p[i+1])<<4 | unhex(p[i+2])
				i += 2
			} else {
				ok = false
			}
		}
		dst = append(dst, c)
	}
	return dst, ok
}

func isHex(c byte) bool { return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'f' }

func unhex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return c&^0x20 - 'A' + 10
}

// foldOverlong reads UTF-8 that is longer than it may be (RFC 3629, section 10) as the ASCII characters for which lenient
// decoders take it.
func foldOverlong(p []byte) []byte {
	var folded []byte // nil while there is nothing to fold
	for i := 0; i < len(p); {
		c, n := overlong(p[i:])
		if n > 0 && folded == nil {
			folded = append(make([]byte, 0, len(p)), p[:i]...)
		}
		if n == 0 {
			c, n = p[i], 1
		}
		if folded != nil {
			folded = append(folded, c)
		}
		i += n
	}
	if folded == nil {
		return p
	}
	return folded
}

// overlong returns the ASCII character at the beginning of p that is spelled in the n bytes, 2 to 6 (RFC 2279), of a longer
// one; n is 0 if there is none.
func overlong(p []byte) (c byte, n int) {
	switch p[0] {
	case 0xc0, 0xc1:
		n = 2
	case 0xe0:
		n = 3
	case 0xf0:
		n = 4
	case 0xf8:
		n = 5
	case 0xfc:
		n = 6
	}
	if n == 0 || len(p) < n || p[n-1]&0xc0 != 0x80 || n > 2 && p[n-2]&^1 != 0x80 {
		return 0, 0
	}
	for _, zero := range p[1:max(n-2, 1)] {
		if zero != 0x80 {
			return 0, 0
		}
	}
	return p[n-2]&1<<6 | p[n-1]&0x3f, n
}

// isPush reports whether a request to path and query is one of the two of a git push over smart HTTP:
//
//	GET  <repo>/info/refs?service=git-receive-pack
//	POST <repo>/git-receive-pack
//
// in any spelling that a git server may take for them: encoded once or twice, in another case, with empty segments,
// parameters, blanks around a segment or dots at its end, with an encoded "?" or "#" behind it. A query of info/refs that
// has the word git-receive-pack anywhere is a push: no fetch does.
func isPush(path, query, scratch []byte) bool { return isPushFrom(0, path, query, scratch) }

// isPushFrom is isPush for a path that was decoded so many times.
func isPushFrom(level int, path, query, scratch []byte) bool {
	for i, cut := range [...][]byte{path, upTo(path, '?'), upTo(path, '#')} {
		if i > 0 && len(cut) == len(path) {
			continue
		}
		last, before := lastSegments(cut)
		if isReceivePack(last) ||
			isInfoRefs(last, before) && (mentionsReceivePack(query, scratch) || mentionsReceivePack(path[len(cut):], scratch)) {
			return true
		}
	}
	if level == decodings || bytes.IndexByte(path, '%') < 0 {
		return false
	}
	if bytes.IndexByte(path, ';') >= 0 { // cut before a slash in them is decoded
		decoded, _ := appendDecoded(nil, appendWithoutParameters(nil, path))
		if isPushFrom(level+1, foldOverlong(decoded), query, nil) {
			return true
		}
	}
	decoded, _ := appendDecoded(scratch[:0], path)
	return isPushFrom(level+1, foldOverlong(decoded), query, decoded[len(decoded):]) // what was decoded is read further down
}

// appendWithoutParameters appends path without the parameters of its segments.
func appendWithoutParameters(dst, path []byte) []byte {
	inside := false
	for _, c := range path {
		if inside = !isSlash(c) && (inside || c == ';'); !inside {
			dst = append(dst, c)
		}
	}
	return dst
}

// lastSegments returns the last two segments of path that are not empty.
func lastSegments(path []byte) (last, before []byte) {
	last, path = lastSegment(path)
	before, _ = lastSegment(path)
	return last, before
}

func lastSegment(path []byte) (segment, rest []byte) {
	for len(path) > 0 && len(segment) == 0 {
		i := len(path)
		for i > 0 && !isSlash(path[i-1]) {
			i--
		}
		segment, path = bareName(path[i:]), path[:max(i-1, 0)]
	}
	return segment, path
}

func isReceivePack(segment []byte) bool { return http1.EqualFold(segment, "git-receive-pack") }

func isInfoRefs(last, before []byte) bool {
	return http1.EqualFold(last, "refs") && http1.EqualFold(before, "info")
}

func mentionsReceivePack(query, scratch []byte) bool {
	for range decodings + 1 {
		words := bytes.FieldsFunc(query, func(r rune) bool {
			return r != '-' && r != '_' && !('0' <= r && r <= '9') && !('a' <= r|0x20 && r|0x20 <= 'z')
		})
		for _, w := range words {
			if isReceivePack(w) {
				return true
			}
		}
		query, _ = appendDecoded(scratch[:0], query)
	}
	return false
}

// isPushBody reports whether the content is what a push sends, wherever it is sent to.
func isPushBody(q *http1.Request) bool {
	for i := range q.Fields {
		f := &q.Fields[i]
		if len(f.Name) == len("content-type") && http1.EqualFold(f.Name, "content-type") {
			media, _, _ := bytes.Cut(f.Value, []byte(";"))
			if http1.EqualFold(bytes.TrimRight(media, " \t"), "application/x-git-receive-pack-request") {
				return true
			}
		}
	}
	return false
}

// pyRepr quotes s, which is visible ASCII, as Python's repr does: the messages of the program before this one have it so.
func pyRepr(s []byte) string {
	quote := byte('\'')
	if bytes.IndexByte(s, '\'') >= 0 && bytes.IndexByte(s, '"') < 0 {
		quote = '"'
	}
	r := []byte{quote}
	for _, c := range s {
		if c == quote || c == '\\' {
			r = append(r, '\\')
		}
		r = append(r, c)
	}
	return string(append(r, quote))
}
