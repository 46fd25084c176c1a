package proxy

import (
	"bytes"
	"errors"
	"time"

	"credproxy/proxy/http1"
	"credproxy/proxy/redact"
)

// Tokens in answers are masked as they stream by.

const (
	// heldFor is how long the end of what has come of a response is kept back that may be the beginning of a token.
	heldFor = 20 * time.Millisecond

	// maxHeld is how much of it is, chunk framing included: more than a token of a few KiB takes, in any writing, unless it
	// is cut into single bytes.
	maxHeld = 32 << 10
)

// RedactedField is the response field that says how many tokens were masked in the head.
const RedactedField = "X-Cred-Proxy-Redacted"

var (
	errReflected  = errors.New("the answer holds a token")
	errCompressed = errors.New("the answer is compressed")
)

// screen masks tokens in the content of one response, in the reader's buffer, before anybody else sees it. The chunk
// framing between it stays as it is, but for chunk extensions. The zero screen lets everything pass.
type screen struct {
	stream redact.Stream
	body   http1.Body // follows the framing ahead of who passes it on

	extension bool // the framing has ended in a chunk extension

	held int       // bytes at the end of what was looked at that are not to be passed on yet
	at   []int     // where in these the last bytes of content are, framing being between them
	by   time.Time // until when they are held
}

// look masks the tokens in what has come behind the bytes that are held, with which p begins, and those that began in these,
// and sets held. It returns how many there were.
func (s *screen) look(p []byte) (count int) {
	before := s.held
	for i := before; i < len(p) && !s.body.Done() && !s.body.InTrailer(); {
		n, content, err := s.body.Next(p[i:])
		if content {
			count += s.next(p, i, n)
		} else {
			count += s.blank(p[i : i+n])
		}
		if err != nil { // who passes it on finds it, too
			s.release()
			return count
		}
		i += n
	}
	if len(s.at) == 0 || s.body.Done() || s.body.InTrailer() {
		s.release()
		return count
	}
	first := s.at[0]
	for k := range s.at {
		s.at[k] -= first
	}
	if s.held = len(p) - first; s.held > maxHeld {
		s.release()
	} else if before == 0 || first > 0 {
		s.by = time.Now().Add(heldFor)
	}
	return count
}

// blank makes stars of the chunk extensions in a run of chunk framing (RFC 9112, section 7.1.1): whoever does not know
// them ignores them, and nobody knows any. It returns how many tokens there were, as far as they came in one piece.
func (s *screen) blank(framing []byte) (count int) {
	for len(framing) > 0 {
		if !s.extension {
			_, framing, s.extension = bytes.Cut(framing, []byte(";"))
			continue
		}
		extension, rest, ended := bytes.Cut(framing, []byte("\r"))
		count += s.stream.M.Mask(extension)
		redact.Stars(extension)
		framing, s.extension = rest, !ended
	}
	return count
}

// next masks the tokens in the n bytes of content at p[i] and those that end in them.
func (s *screen) next(p []byte, i, n int) (count int) {
	count, back, keep := s.stream.Next(p[i : i+n])
	for _, k := range s.at[max(0, len(s.at)-back):] {
		p[k] = '*'
	}
	switch {
	case keep == 0 && len(s.at) == 0:
		return count
	case keep <= n:
		s.at, i, n = s.at[:0], i+n-keep, keep
	default: // what was released since is not held any more
		s.at = s.at[:copy(s.at, s.at[max(0, len(s.at)-(keep-n)):])]
	}
	for k := range n {
		s.at = append(s.at, i+k)
	}
	return count
}

// release has everything passed on that is held; whatever comes is still held against it.
func (s *screen) release() { s.held, s.at = 0, s.at[:0] }

// screens reports whether the route's answers are looked through.
func (x *exchange) screens() bool { return !x.route.Unscreened && x.lookout.matcher != nil }

// screenHead masks the tokens in the head of the response, and says why it is not passed on, if it is not.
func (x *exchange) screenHead(head []byte) error {
	x.masked = 0
	if x.screens() && x.lookout.matcher.Find(head) >= 0 {
		x.masked = x.lookout.matcher.Mask(x.resp.Reason) + x.maskFields(x.resp.Fields)
		x.event.Redactions += x.masked
		if x.masked > 0 && x.route.CutReflected {
			return errReflected
		}
	}
	if body := x.resp.Body(x.isHead); x.resp.Status >= 200 && !body.Done() && isCoded(x.resp.Fields) {
		if x.event.Compressed = true; x.route.RefuseCompressed {
			return errCompressed
		}
	}
	return nil
}

// screenTrailer is screenHead for a trailer section.
func (x *exchange) screenTrailer(section []byte, fields []http1.Field) error {
	if x.screens() && x.lookout.matcher.Find(section) >= 0 {
		n := x.maskFields(fields)
		x.event.Redactions += n
		if n > 0 && x.route.CutReflected {
			return errReflected
		}
	}
	return nil
}

// maskFields masks the tokens in field lines. A length stays: a token of digits could look like it.
func (x *exchange) maskFields(fields []http1.Field) (n int) {
	for i := range fields {
		if f := &fields[i]; !http1.EqualFold(f.Name, "content-length") {
			n += x.lookout.matcher.Mask(f.Line)
			f.Line[len(f.Name)] = ':' // of a token that has one, too: without it this is no field line
		}
	}
	return n
}

// isCoded reports whether the content of a response has a content coding (RFC 9110, section 8.4).
func isCoded(fields []http1.Field) bool {
	for i := range fields {
		f := &fields[i]
		if len(f.Name) == len("content-encoding") && http1.EqualFold(f.Name, "content-encoding") &&
			len(f.Value) > 0 && !http1.EqualFold(f.Value, "identity") {
			return true
		}
	}
	return false
}

// screenBody is ready for the content of the response, of which some may be there.
func (x *exchange) screenBody(up *upstreamConn, body http1.Body) error {
	if !x.screens() {
		return nil
	}
	x.screen.stream.M, x.screen.body = x.lookout.matcher, body
	return x.screenMore(up)
}

// screenMore looks through what has come; all before that was passed on, but for what is held.
func (x *exchange) screenMore(up *upstreamConn) error {
	count := x.screen.look(up.rd.Buffered())
	x.event.Redactions += count
	if count > 0 && x.route.CutReflected {
		return errReflected
	}
	return nil
}
