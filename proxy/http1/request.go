package http1

import "bytes"

// The head of a request.

// Framing is how a request's content is delimited (RFC 9112, section 6.3).
type Framing byte

// The framings of a request. The bad ones are told apart from malformed heads so that a caller can order its answers.
const (
	NoBody      Framing = iota // neither Content-Length nor Transfer-Encoding
	Length                     // a valid Content-Length, which may be zero
	Chunked                    // Transfer-Encoding: chunked, and nothing else
	BadLength                  // a Content-Length that is repeated, a list, signed, too large or no number
	BadEncoding                // a Transfer-Encoding that is not chunked, or one with Content-Length, or in HTTP/1.0
)

// Request is the head of a request. Its zero value is ready; one value serves for many requests. All slices point into
// the bytes that were parsed.
type Request struct {
	head
	Method  []byte
	Target  []byte // request-target as sent, without white space, control bytes, non-ASCII or "#"
	Host    []byte // of the Host field: a host and perhaps a port, or empty
	Expect  bool   // Expect: 100-continue of an HTTP/1.1 request
	Framing Framing
	Length  int64 // content length where Framing is Length, else 0
}

// Parse parses the request head at the start of p and returns its length. It returns ErrIncomplete while p may be the
// beginning of one: call again with more of the same bytes. After any other error the connection cannot be used to
// read further messages.
func (q *Request) Parse(p []byte, lim *Limits) (int, error) {
	if len(p) > 0 && class[p[0]]&tokenByte == 0 {
		return 0, Malformed("the request does not begin with a method")
	}
	n, err := q.end(p, lim.Head)
	if err != nil {
		if targetTooLong(p, lim.Target) {
			err = ErrTargetTooLong
		}
		return 0, err
	}
	q.reset()
	line := p[:bytes.IndexByte(p, '\n')-1]
	i := bytes.IndexByte(line, ' ')
	j := bytes.LastIndexByte(line, ' ')
	if i == j { // one, or none
		return 0, Malformed("a request line that is not method, target and version")
	}
	q.Method, q.Target = line[:i], line[i+1:j]
	if len(q.Target) > lim.Target {
		return 0, ErrTargetTooLong
	}
	if !all(q.Method, tokenByte) {
		return 0, Malformed("a method that is not a token")
	}
	if !all(q.Target, targetByte) {
		return 0, Malformed("a request target with a byte that cannot stand there")
	}
	if !isTarget(q.Target, q.Method) {
		return 0, Malformed("a request target that is no path, URL or *")
	}
	if q.Minor, err = parseVersion(line[j+1:]); err != nil {
		return 0, err
	}
	if err := q.parseFields(p[len(line)+2:n-2], lim.Fields); err != nil {
		return 0, err
	}
	if err := q.checkHost(); err != nil {
		return 0, err
	}
	q.Expect = q.Minor == 1 && q.expects()
	q.frame()
	return n, nil
}

// targetTooLong reports whether the unfinished request line p already has a target beyond the limit.
func targetTooLong(p []byte, limit int) bool {
	_, target, _ := bytes.Cut(p, []byte(" "))
	return len(target) > limit && !bytes.ContainsAny(target[:limit+1], " \n")
}

// isTarget reports whether target has one of the forms of RFC 9112, section 3.2.
func isTarget(target, method []byte) bool {
	switch {
	case target[0] == '/':
		return true
	case string(method) == "CONNECT":
		return isHost(target)
	case target[0] == '*':
		return len(target) == 1 && string(method) == "OPTIONS"
	}
	scheme, _, ok := bytes.Cut(target, []byte("://"))
	return ok && all(scheme, tokenByte)
}

// Persistent reports whether the connection may carry another request after this one (RFC 9112, section 9.3).
func (q *Request) Persistent() bool { return q.persistent() }

// checkHost holds the message to RFC 9112, section 3.2: one Host in HTTP/1.1, never two, and it must be a host.
func (q *Request) checkHost() error {
	hosts := 0
	q.Host = nil
	for i := range q.Fields {
		f := &q.Fields[i]
		if len(f.Name) == len("host") && EqualFold(f.Name, "host") {
			hosts++
			if !isHost(f.Value) {
				return Malformed("a Host field that is not a host")
			}
			q.Host = f.Value
		}
	}
	if hosts > 1 {
		return Malformed("more than one Host field")
	}
	if hosts == 0 && q.Minor == 1 {
		return Malformed("no Host field")
	}
	return nil
}

// isHost reports whether v is uri-host [ ":" port ] (RFC 3986, section 3.2.2), or empty.
func isHost(v []byte) bool {
	if literal, ok := bytes.CutPrefix(v, []byte("[")); ok {
		address, port, ok := bytes.Cut(literal, []byte("]"))
		for _, c := range address {
			if class[c]&hexByte == 0 && c != ':' && c != '.' {
				return false
			}
		}
		if !ok || len(address) == 0 || len(port) > 0 && port[0] != ':' {
			return false
		}
		v = port
	}
	_, port, _ := bytes.Cut(v, []byte(":"))
	for _, c := range port {
		if c < '0' || c > '9' {
			return false
		}
	}
	for i, c := range v { // in a port there is nothing of what follows
		switch {
		case c == '%':
			if i+2 >= len(v) || class[v[i+1]]&class[v[i+2]]&hexByte == 0 {
				return false
			}
		case c == '/' || c == '?' || c == '@' || c == '\\' || c == '"' || c == '<' || c == '>' || c == '^' || c == '`' ||
			c == '{' || c == '|' || c == '}' || c == '[' || c == ']' || c == '#' || c <= ' ' || c > '~':
			return false
		}
	}
	return true
}

func (q *Request) expects() bool {
	for i := range q.Fields {
		f := &q.Fields[i]
		if len(f.Name) == len("expect") && EqualFold(f.Name, "expect") && EqualFold(f.Value, "100-continue") {
			return true
		}
	}
	return false
}

func (q *Request) frame() {
	q.Length = 0
	switch {
	case q.te != teNone && (q.te == teOther || q.length != noLength || q.Minor == 0):
		q.Framing = BadEncoding
	case q.te == teChunked:
		q.Framing = Chunked
	case q.length == badLength:
		q.Framing = BadLength
	case q.length >= 0:
		q.Framing, q.Length = Length, q.length
	default:
		q.Framing = NoBody
	}
}
