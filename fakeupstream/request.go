package fakeupstream

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// A Field is a line of a header or trailer section: the name as it was sent,
// the value without the white space around it.
type Field struct{ Name, Value string }

// MarshalJSON writes the field as a pair, ["Name","value"].
func (f Field) MarshalJSON() ([]byte, error) {
	return marshal([2]string{f.Name, f.Value})
}

// UnmarshalJSON reads what MarshalJSON writes.
func (f *Field) UnmarshalJSON(p []byte) error {
	var pair [2]string
	if err := json.Unmarshal(p, &pair); err != nil {
		return err
	}
	f.Name, f.Value = pair[0], pair[1]
	return nil
}

// A Request is what the server was sent, and a little about how it answered.
type Request struct {
	Method, Target, Proto string

	Fields []Field // in order, case and repeats as sent
	Head   []byte  // as received, up to and including the empty line

	Body       []byte  // its first Options.BodyLimit bytes, without the chunked coding
	BodySize   int64   // of the whole body as far as it arrived
	BodySHA256 string  // in hex, of BodySize bytes; empty until Done
	Trailers   []Field // of a chunked body

	Complete bool // the whole body arrived
	Done     bool // nothing of the request is going to change any more

	// Malformed says why net/http refused the message, if it did; the
	// other fields are then only as good as the message was.
	Malformed string

	Time   time.Time // when its head was complete
	Conn   int       // the accepted connection that it came on, from 1
	OnConn int       // which request of that connection it is, from 1

	// Pipelined says that bytes of it were read, together with the request
	// before it on the connection, before that was answered: a client that
	// pipelines, or a request smuggled behind another. One that comes in a
	// TLS record of its own meanwhile is not noticed.
	Pipelined bool

	RemoteAddr string
	TLSVersion string // "TLS 1.3"; empty without TLS
	SNI        string // the server name that the client asked for
	ALPN       string // the protocol that was agreed on
	Resumed    bool   // the TLS session was resumed

	Faults []FaultKind // the faults that the request met
	Answer Answer      // what was written in return, so far
}

// An Answer is what the server wrote in return for a request.
type Answer struct {
	Status int       // of the final response; 0 while there is none
	Head   []byte    // of the final response as written; for Raw, all that was written
	Body   []byte    // its first Options.BodyLimit bytes, without the chunked coding
	Size   int64     // of the body as far as it was written
	Begin  time.Time // when the head of the final response was about to be written
	End    time.Time // when the exchange was over
}

// Path returns the target's path as sent, without the query.
func (r Request) Path() string {
	path, _ := splitTarget(r.Target)
	return path
}

// Query returns what follows the first "?" of the target, as sent.
func (r Request) Query() string {
	_, query := splitTarget(r.Target)
	return query
}

// splitTarget splits a target into path and query; of an absolute-form target
// it drops scheme and authority.
func splitTarget(target string) (path, query string) {
	path, query, _ = strings.Cut(target, "?")
	if scheme, rest, ok := strings.Cut(path, "://"); ok && !strings.Contains(scheme, "/") {
		if i := strings.IndexByte(rest, '/'); i >= 0 {
			return rest[i:], query
		}
		return "/", query
	}
	return path, query
}

// Get returns the value of the first field of that name in any case, or "".
func (r Request) Get(name string) string {
	for _, f := range r.Fields {
		if strings.EqualFold(f.Name, name) {
			return f.Value
		}
	}
	return ""
}

// Values returns the values of all fields of that name in any case, in order.
func (r Request) Values(name string) (values []string) {
	for _, f := range r.Fields {
		if strings.EqualFold(f.Name, name) {
			values = append(values, f.Value)
		}
	}
	return values
}

// Dump returns the request as stable text for comparing: the head with LF line
// ends, an empty line, the body if it is text and was kept whole, else a line
// that gives its size and SHA-256. A line end is added to a body without one.
// Trailers and a body that did not arrive whole are told in lines of their own.
func (r Request) Dump() string {
	var b strings.Builder
	b.Write(bytes.ReplaceAll(r.Head, []byte("\r\n"), []byte("\n")))
	switch {
	case r.BodySize == 0:
	case int64(len(r.Body)) == r.BodySize && utf8.Valid(r.Body):
		b.Write(r.Body)
		if r.Body[len(r.Body)-1] != '\n' {
			b.WriteByte('\n')
		}
	default:
		fmt.Fprintf(&b, "[%d bytes, SHA-256 %s]\n", r.BodySize, r.BodySHA256)
	}
	for _, f := range r.Trailers {
		fmt.Fprintf(&b, "[trailer] %s: %s\n", f.Name, f.Value)
	}
	if !r.Complete {
		fmt.Fprintf(&b, "[incomplete: %d bytes of the body arrived]\n", r.BodySize)
	}
	return b.String()
}

// marshal is json.Marshal without the escapes that only HTML needs, so that
// what was sent is found verbatim.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
