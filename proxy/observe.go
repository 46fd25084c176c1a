package proxy

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"time"
)

// Event is one exchange, as far as it has come. It holds no query, no header value and no token.
type Event struct {
	ID         ID
	Time       time.Time     // when the request's first byte was there
	Route      string        // the route's path; empty where none was found
	Method     string        // one that is known; empty for any other, and where the request could not be read
	Path       string        // as it was sent, what is not visible ASCII percent-encoded; empty where the target is no path
	Status     int           // what the agent was answered; 0 where it was gone before
	Refusal    string        // the refusal's code, or empty
	BytesIn    int64         // of the request's body, as read from the agent
	BytesOut   int64         // of the response's body, chunk framing of the upstream's included; both of a WebSocket's bytes
	FirstByte  time.Duration // from Time until the head of the answer was written
	Duration   time.Duration // from Time until the end
	Connection string        // how the upstream was reached, one of Connections; empty where it was not asked
	Redactions int           // tokens that were masked in the answer, or for which it was broken off
	Compressed bool          // the answer was: nobody could see whether it holds a token
	Leaked     bool          // the request held a token
	Peer       net.Addr      // the agent

	// Broken says why the answer has no clean end; it is empty where it has one. "upstream" and "agent" are who broke it;
	// "reflection" is an answer that was broken off since it held a token, "proxy" what the proxy cut at its own end, a
	// WebSocket that it ended, or a defect of its own.
	Broken string

	// ForeignURLs is how many of the URLs that the route maps lead to no route of the table: they crossed as they were.
	ForeignURLs int

	// Unmapped says that URLs in the body should have been mapped and were not: it is compressed, or a range.
	Unmapped bool
}

// ID names an exchange: in a log and, on a refusal, to its agent. It is random, so that it tells no agent how many
// exchanges others have. The zero ID is none.
type ID uint64

// String is sixteen hexadecimal digits.
func (id ID) String() string {
	b, _ := id.AppendText(make([]byte, 0, 16))
	return string(b)
}

// AppendText is an [encoding.TextAppender] of what String returns; there are no errors.
func (id ID) AppendText(b []byte) ([]byte, error) {
	var octets [8]byte
	binary.BigEndian.PutUint64(octets[:], uint64(id))
	return hex.AppendEncode(b, octets[:]), nil
}

// IDField is the response field of a refusal that holds its ID, where there is an Observer that can know it.
const IDField = "X-Cred-Proxy-Id"

// Connections are the ways to reach an upstream: over a connection that was made for the exchange, over one that had
// served before, over a new one after such a one turned out to be closed, and not at all.
var Connections = []string{"new", "reused", "retried", "failed"}

func connectionKind(used, again bool) string {
	switch {
	case used:
		return "reused"
	case again:
		return "retried"
	}
	return "new"
}

// Observer is told of exchanges, on the goroutine that serves them: it must be quick. The Event is good only during the
// call.
type Observer func(*Event)

// Observers returns one that tells all of those that are not nil, or nil if all are.
func Observers(all ...Observer) Observer {
	var told []Observer
	for _, o := range all {
		if o != nil {
			told = append(told, o)
		}
	}
	switch len(told) {
	case 0:
		return nil
	case 1:
		return told[0]
	}
	return func(e *Event) {
		for _, o := range told {
			o(e)
		}
	}
}

// newEvent begins the Event of an exchange.
func (s *Server) newEvent(peer net.Addr) Event {
	e := Event{Time: time.Now(), Peer: peer}
	if s.observer != nil {
		e.ID = ID(rand.Uint64() | 1)
	}
	return e
}

// observed serves an exchange and tells of it, also if a defect ends it.
func (x *exchange) observed() (end ending) {
	served := false
	defer func() {
		if !served {
			x.event.Broken = "proxy"
		}
		x.event.Duration = time.Since(x.event.Time)
		x.srv.observer(&x.event)
	}()
	end = x.serve()
	served = true
	return end
}

// seen notes the path of a request, if anybody wants to know, and if there is no token in it.
func (x *exchange) seen(path []byte) {
	if x.srv.observer != nil && path[0] == '/' && !x.event.Leaked && (x.lookout.guards() || !x.lookout.finds(path)) {
		x.event.Path = visible(path)
	}
}

// progress tells that the exchange has come a step further.
func (x *exchange) progress() {
	if x.srv.progress != nil {
		x.srv.progress(&x.event)
	}
}

// visible returns s with what is not visible ASCII percent-encoded: no reader of a log takes it for anything else.
func visible(s []byte) string {
	const digits = "0123456789ABCDEF"
	if bytes.IndexFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f }) < 0 {
		return string(s)
	}
	p := make([]byte, 0, len(s)+8)
	for _, c := range s {
		if c <= ' ' || c >= 0x7f {
			p = append(p, '%', digits[c>>4], digits[c&15])
		} else {
			p = append(p, c)
		}
	}
	return string(p)
}

// LogTo returns an Observer that writes one line per exchange.
func LogTo(w io.Writer) Observer {
	return func(e *Event) {
		method, route, end := e.Method, e.Route, ""
		if method == "" {
			method = "-"
		}
		if route == "" {
			route = "-"
		}
		if e.Refusal != "" {
			end = " refused: " + e.Refusal
		}
		if e.Broken != "" {
			end += " broken: " + e.Broken
		}
		if e.Leaked {
			end += " leaked token"
		}
		if e.Redactions > 0 {
			end += fmt.Sprintf(" redactions: %d", e.Redactions)
		}
		if e.Compressed {
			end += " compressed"
		}
		if e.ForeignURLs > 0 {
			end += fmt.Sprintf(" foreign URLs: %d", e.ForeignURLs)
		}
		if e.Unmapped {
			end += " body not mapped"
		}
		fmt.Fprintf(w, "cred-proxy: %s %s %d in %d out %d bytes %.1f ms%s\n", method, route, e.Status, e.BytesIn, e.BytesOut,
			float64(e.Duration.Microseconds())/1e3, end)
	}
}
