package http1

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
)

// What is a response and what is none, as net/http reads it; and chunks.

func TestResponse(t *testing.T) {
	for _, test := range []struct {
		raw    string
		head   bool // it answers a HEAD request
		status int
		reason string
		body   Body
		keep   bool
	}{
		{"HTTP/1.1 200 OK\nContent-Length: 5\n\n", false, 200, "OK", LengthBody(5), true},
		{"HTTP/1.1 200 OK\nContent-Length: 0\n\n", false, 200, "OK", LengthBody(0), true},
		{"HTTP/1.1 200 OK\nContent-Length: 5\n\n", true, 200, "OK", LengthBody(0), true},
		{"HTTP/1.1 200 OK\nContent-Length: 5\nConnection: close\n\n", false, 200, "OK", LengthBody(5), false},
		{"HTTP/1.0 200 OK\nContent-Length: 5\n\n", false, 200, "OK", LengthBody(5), false},
		{"HTTP/1.0 200 OK\nContent-Length: 5\nConnection: Keep-Alive\n\n", false, 200, "OK", LengthBody(5), true},
		{"HTTP/1.1 200 \n\n", false, 200, "", Body{kind: closeBody}, true},
		{"HTTP/1.1 200\n\n", false, 200, "", Body{kind: closeBody}, true},
		{"HTTP/1.1 404 Not  Found\xe9\nTransfer-Encoding: chunked\n\n", false, 404, "Not  Found\xe9", Body{kind: chunkedBody}, true},
		{"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n", true, 200, "OK", Body{}, true},
		{"HTTP/1.1 204 No Content\nContent-Length: 5\n\n", false, 204, "No Content", Body{}, true},
		{"HTTP/1.1 304 Not Modified\nContent-Length: 5\n\n", false, 304, "Not Modified", Body{}, true},
		{"HTTP/1.1 100 Continue\n\n", false, 100, "Continue", Body{}, true},
		{"HTTP/1.1 199 X\nContent-Length: 5\n\n", false, 199, "X", Body{}, true},
		{"HTTP/1.1 999 X\nContent-Length: 5\n\n", false, 999, "X", LengthBody(5), true},
		{"HTTP/1.1 103 Early Hints\nLink: </a>\n\n", false, 103, "Early Hints", Body{}, true},
	} {
		var s Response
		head := crlf(test.raw)
		n, err := s.Parse(append(head, "next"...), &testLimits)
		if err != nil || n != len(head) {
			t.Errorf("%q: %d, %v", test.raw, n, err)
			continue
		}
		if s.Status != test.status || string(s.Reason) != test.reason || s.Body(test.head) != test.body || s.Persistent() != test.keep {
			t.Errorf("%q: %d %q %+v %v", test.raw, s.Status, s.Reason, s.Body(test.head), s.Persistent())
		}
		if s.Chunked() != strings.Contains(test.raw, "chunked") {
			t.Errorf("%q: chunked is %v", test.raw, s.Chunked())
		}
	}
}

func TestResponseMalformed(t *testing.T) {
	for _, test := range []struct {
		why Malformed
		raw []string
	}{
		{"the response does not begin with HTTP/1", []string{"ICY 200 OK\r\n\r\n", "\x15\x03\x01", "\x15"}},
		{"a line ends in a bare LF", []string{"HTTP/1.1 200 OK\n\n", "HTTP/1.1 200 OK\r\nX: a\n\r\n"}},
		{"a status line that is not version, status code and reason", []string{
			"H\r\n\r\n", "HTTP/1.1 20\r\n\r\n", "HTTP/1.1\t200 OK\r\n\r\n",
		}},
		{"a version other than HTTP/1.1 and HTTP/1.0", []string{"HTTP/2.0 200 OK\r\n\r\n", "HTTP/1.2 200 OK\r\n\r\n"}},
		{"a status code that is not three digits", []string{
			"HTTP/1.1 20 OK\r\n\r\n", "HTTP/1.1 2000 OK\r\n\r\n", "HTTP/1.1 +20 OK\r\n\r\n", "HTTP/1.1  200 OK\r\n\r\n",
			"HTTP/1.1 20: OK\r\n\r\n",
		}},
		{"a status code below 100", []string{"HTTP/1.1 099 OK\r\n\r\n"}},
		{"a control byte in the reason phrase", []string{
			"HTTP/1.1 200 O\x00K\r\n\r\n", "HTTP/1.1 200 O\rK\r\n\r\n", "HTTP/1.1 200 \x7f\r\n\r\n",
		}},
		{"a header field name that is not a token", []string{"HTTP/1.1 200 OK\r\nX : y\r\n\r\n"}},
		{"a folded header line", []string{"HTTP/1.1 200 OK\r\nX: y\r\n z\r\n\r\n"}},
		{"a Content-Length that is not one number", []string{
			"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n",
			"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n",
		}},
		{"Transfer-Encoding with Content-Length, or in HTTP/1.0", []string{
			"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
			"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
		}},
		{"a Transfer-Encoding other than chunked", []string{
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
			"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
		}},
	} {
		for _, raw := range test.raw {
			var s Response
			if _, err := s.Parse([]byte(raw), &testLimits); err != test.why {
				t.Errorf("%q: %v, want %v", raw, err, test.why)
			}
		}
	}
}

// FuzzResponse: what we accept, net/http must parse to the same status, fields and content.
func FuzzResponse(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"), false)
	f.Add([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nT: v\r\n\r\n"), false)
	f.Add([]byte("HTTP/1.0 200 \r\nX: y\r\n\r\nuntil the end"), false)
	f.Add([]byte("HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n"), true)
	f.Fuzz(func(t *testing.T, p []byte, head bool) {
		var s Response
		n, err := s.Parse(p, &Limits{Head: 4096, Fields: 64})
		if err != nil || s.Status < 200 {
			return
		}
		method := "GET"
		if head {
			method = "HEAD"
		}
		judge, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(p)), &http.Request{Method: method})
		if err != nil {
			t.Fatalf("accepted, but net/http says %v: %q", err, p[:n])
		}
		if judge.StatusCode != s.Status {
			t.Fatalf("status %d, net/http %d", s.Status, judge.StatusCode)
		}
		body := s.Body(head)
		content, whole, refused := readContent(&body, p[n:])
		if refused {
			return // stricter than net/http, which passes over what chunk extensions hold
		}
		want, err := io.ReadAll(judge.Body)
		if whole && (err != nil || !bytes.Equal(content, want)) {
			t.Fatalf("content %q, net/http %q, %v", content, want, err)
		}
		if !whole && err == nil && !body.InTrailer() {
			t.Fatalf("net/http found a whole body where we did not: %q", p)
		}
	})
}

// readContent takes the chunk framing off p; whole says that the message ended, refused that it is malformed.
func readContent(b *Body, p []byte) (content []byte, whole, refused bool) {
	for len(p) > 0 && !b.Done() && !b.InTrailer() {
		n, data, err := b.Next(p)
		if err != nil {
			return content, false, true
		}
		if data {
			content = append(content, p[:n]...)
		}
		p = p[n:]
	}
	if b.InTrailer() {
		var tr Trailer
		if _, err := tr.Parse(p, &Limits{Head: 4096, Fields: 64}); err != nil {
			return content, false, isMalformed(err)
		}
		b.EndTrailer()
	}
	return content, b.Done() || b.UntilClose(), false
}

func TestChunks(t *testing.T) {
	for _, test := range []struct {
		raw     string
		content string
		rest    string // what follows the message
	}{
		{"0\r\n\r\n", "", ""},
		{"3\r\nabc\r\n0\r\n\r\nnext", "abc", "next"},
		{"03\r\nabc\r\n000\r\n\r\n", "abc", ""},
		{"A\r\n0123456789\r\na\r\n9876543210\r\n0\r\n\r\n", "01234567899876543210", ""},
		{"F\r\n0123456789abcde\r\n0\r\n\r\n", "0123456789abcde", ""},
		{"000000000000003\r\nabc\r\n0\r\n\r\n", "abc", ""},
		{"3;" + strings.Repeat("x", maxChunkExtension) + "\r\nabc\r\n0\r\n\r\n", "abc", ""},
		{"3;a=b;c=\"d e\"\r\nabc\r\n0;last\r\n\r\n", "abc", ""},
	} {
		for split := 1; split <= len(test.raw); split++ {
			b := Body{kind: chunkedBody}
			var content, framing string
			rest := test.raw
			for rest != "" && !b.Done() {
				p := rest[:min(split, len(rest))]
				n, data, err := b.Next([]byte(p))
				if err != nil {
					t.Fatalf("%q by %d: %v", test.raw, split, err)
				}
				if data {
					content += p[:n]
				} else {
					framing += p[:n]
				}
				rest = rest[n:]
			}
			if !b.Done() || content != test.content || rest != test.rest {
				t.Errorf("%q by %d: content %q, rest %q, done %v", test.raw, split, content, rest, b.Done())
			}
		}
	}
}

func TestChunksMalformed(t *testing.T) {
	for _, raw := range []string{
		"\r\n", "x\r\n", "+3\r\nabc\r\n", "-3\r\n", "0x3\r\nabc\r\n", " 3\r\nabc\r\n", "3 \r\nabc\r\n", "3\nabc\r\n", "3\rXabc\r\n",
		"0\rX\r\n", "3\r\nabcd\r\n", "3\r\nabc\n", "3\r\nabc\rX", "3 ;x\r\nabc\r\n", "1000000000000000\r\n", "0000000000000003\r\nabc\r\n",
		"3;a\x00\r\nabc\r\n", "3;a\nabc\r\n", "3;" + strings.Repeat("x", maxChunkExtension+1) + "\r\nabc\r\n", "0\r\n\rX", ";x\r\n",
	} {
		b := Body{kind: chunkedBody}
		if _, err := b.Scan([]byte(raw)); !isMalformed(err) {
			t.Errorf("%q: %v, want Malformed", raw, err)
		}
	}
}

func TestTrailer(t *testing.T) {
	b := Body{kind: chunkedBody}
	p := []byte("3\r\nabc\r\n0\r\nX-Sum: 1\r\nX-Sum: 2\r\n\r\nnext")
	n, err := b.Scan(p)
	if err != nil || string(p[:n]) != "3\r\nabc\r\n0\r\n" || !b.InTrailer() || b.Done() {
		t.Fatalf("Scan = %q, %v", p[:n], err)
	}
	var tr Trailer
	m, err := tr.Parse(p[n:], &testLimits)
	if err != nil || len(tr.Fields) != 2 || string(p[n+m:]) != "next" {
		t.Fatalf("Parse = %d, %v, %v", m, err, tr.Fields)
	}
	if m, err := tr.Parse([]byte("X: y\r\n\r\n"), &testLimits); m != 8 || err != nil || len(tr.Fields) != 1 {
		t.Errorf("another after it: %d, %v, %v", m, err, tr.Fields)
	}
	if b.EndTrailer(); !b.Done() {
		t.Error("not done")
	}
}

// FuzzChunks: any split of the input gives the same result.
func FuzzChunks(f *testing.F) {
	f.Add([]byte("3\r\nabc\r\n0\r\n\r\n"), []byte{1, 2, 3})
	f.Add([]byte("5;x=y\r\nabcde\r\n0\r\nT: v\r\n\r\n"), []byte{7})
	f.Fuzz(func(t *testing.T, p, splits []byte) {
		scan := func(splits []byte) (n int, state chunkState, err error) {
			b := Body{kind: chunkedBody}
			for i := 0; n < len(p) && !b.Done() && !b.InTrailer() && err == nil; i++ {
				size := len(p) - n
				if len(splits) > 0 {
					size = min(size, 1+int(splits[i%len(splits)]))
				}
				m, e := b.Scan(p[n : n+size])
				if m == 0 && e == nil && !b.InTrailer() {
					t.Fatalf("no progress at %d of %q", n, p)
				}
				n, err = n+m, e
			}
			return n, b.chunks.state, err
		}
		n, state, err := scan(nil)
		n2, state2, err2 := scan(splits)
		if n != n2 || state != state2 || err != err2 {
			t.Fatalf("whole %d %v %v, split %d %v %v: %q", n, state, err, n2, state2, err2, p)
		}
	})
}
