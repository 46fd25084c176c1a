package http1

import "bytes"

// The head of a response.

// Response is the head of a response. Its zero value is ready; one value serves for many responses. All slices point
// into the bytes that were parsed.
type Response struct {
	head
	Status int    // 100 to 999
	Reason []byte // may be empty
}

// Parse parses the response head at the start of p and returns its length; ErrIncomplete asks for more of the same
// bytes. After any other error the connection is of no further use.
func (s *Response) Parse(p []byte, lim *Limits) (int, error) {
	if len(p) > 0 && p[0] != 'H' {
		return 0, Malformed("the response does not begin with HTTP/1")
	}
	n, err := s.end(p, lim.Head)
	if err != nil {
		return 0, err
	}
	s.reset()
	line := p[:bytes.IndexByte(p, '\n')-1]
	const status = len("HTTP/1.1 ")
	if len(line) < status+3 || line[status-1] != ' ' {
		return 0, Malformed("a status line that is not version, status code and reason")
	}
	if s.Minor, err = parseVersion(line[:status-1]); err != nil {
		return 0, err
	}
	s.Status = 0
	for _, c := range line[status : status+3] {
		if c < '0' || c > '9' {
			return 0, Malformed("a status code that is not three digits")
		}
		s.Status = s.Status*10 + int(c-'0')
	}
	if s.Status < 100 {
		return 0, Malformed("a status code below 100")
	}
	s.Reason = line[status+3:]
	if len(s.Reason) > 0 {
		if s.Reason[0] != ' ' {
			return 0, Malformed("a status code that is not three digits")
		}
		if s.Reason = s.Reason[1:]; len(s.Reason) > 0 && !all(s.Reason, valueByte) {
			return 0, Malformed("a control byte in the reason phrase")
		}
	}
	if err := s.parseFields(p[len(line)+2:n-2], lim.Fields); err != nil {
		return 0, err
	}
	switch {
	case s.te == teOther:
		return 0, Malformed("a Transfer-Encoding other than chunked")
	case s.te == teChunked && (s.length != noLength || s.Minor == 0):
		return 0, Malformed("Transfer-Encoding with Content-Length, or in HTTP/1.0")
	case s.length == badLength:
		return 0, Malformed("a Content-Length that is not one number")
	}
	return n, nil
}

// Persistent reports whether the upstream keeps the connection open after this response (RFC 9112, section 9.3). One
// whose content ends with the connection is not persistent whatever this says.
func (s *Response) Persistent() bool { return s.persistent() }

// Chunked reports whether the response has Transfer-Encoding: chunked. One to a HEAD request has no content all the
// same.
func (s *Response) Chunked() bool { return s.te == teChunked }

// Body returns how the response's content is delimited, given that it answers a HEAD request or not (RFC 9112, section
// 6.3).
func (s *Response) Body(head bool) Body {
	switch {
	case head || s.Status < 200 || s.Status == 204 || s.Status == 304:
		return Body{kind: lengthBody}
	case s.te == teChunked:
		return Body{kind: chunkedBody}
	case s.length >= 0:
		return LengthBody(s.length)
	}
	return Body{kind: closeBody}
}
