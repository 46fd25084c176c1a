package http1

import (
	"bufio"
	"bytes"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What is a request and what is none, as net/http reads it.

var testLimits = Limits{Head: 1 << 10, Fields: 8, Target: 100}

// crlf ends lines as the wire does.
func crlf(s string) []byte { return []byte(strings.ReplaceAll(s, "\n", "\r\n")) }

func TestRequest(t *testing.T) {
	head := crlf("POST /a/b?c=d HTTP/1.1\nHost: h:1\nX-A:  padded \t\nx-a: again\nConnection: close, X-Hop\ncontent-LENGTH: 12\n\n")
	var q Request
	n, err := q.Parse(append(head, "the body"...), &testLimits)
	if err != nil || n != len(head) {
		t.Fatalf("Parse = %d, %v; want %d", n, err, len(head))
	}
	var fields [][2]string
	for _, f := range q.Fields {
		fields = append(fields, [2]string{string(f.Name), string(f.Value)})
	}
	want := [][2]string{{"Host", "h:1"}, {"X-A", "padded"}, {"x-a", "again"}, {"Connection", "close, X-Hop"}, {"content-LENGTH", "12"}}
	if diff := cmp.Diff(want, fields); diff != "" {
		t.Error(diff)
	}
	if got := string(q.Fields[1].Line); got != "X-A:  padded \t\r\n" {
		t.Errorf("Line = %q", got)
	}
	if string(q.Method) != "POST" || string(q.Target) != "/a/b?c=d" || string(q.Host) != "h:1" || q.Minor != 1 || q.Framing != Length || q.Length != 12 ||
		q.Expect || q.Persistent() || !q.HasConnection() || !q.Named([]byte("x-hop")) || q.Named([]byte("X-A")) {
		t.Errorf("got %+v", q)
	}
	// Nothing of it is left in the next one, which has none of its fields.
	if _, err := q.Parse(crlf("GET / HTTP/1.0\n\n"), &testLimits); err != nil || len(q.Fields) > 0 || len(q.Host) > 0 || q.Minor != 0 ||
		q.Framing != NoBody || q.Length != 0 || q.HasConnection() {
		t.Errorf("the one after it: %+v, %v", q, err)
	}
}

// TestRequestExpect: only this field with this value says that the agent waits, and only in HTTP/1.1.
func TestRequestExpect(t *testing.T) {
	for head, want := range map[string]bool{
		"POST / HTTP/1.1\nHost: h\nExpect: 100-continue\n\n": true,
		"POST / HTTP/1.1\nHost: h\nEXPECT: 100-Continue\n\n": true,
		"POST / HTTP/1.0\nHost: h\nExpect: 100-continue\n\n": false,
		"POST / HTTP/1.1\nHost: h\nExpect: 101-continue\n\n": false,
		"POST / HTTP/1.1\nHost: h\nAccept: 100-continue\n\n": false,
		"POST / HTTP/1.1\nHost: h\n\n":                       false,
	} {
		var q Request
		if _, err := q.Parse(crlf(head), &testLimits); err != nil || q.Expect != want {
			t.Errorf("%q: %v, %v", head, q.Expect, err)
		}
	}
}

func TestRequestFraming(t *testing.T) {
	for _, test := range []struct {
		fields string
		want   Framing
	}{
		{"", NoBody},
		{"Content-Length: 0\n", Length},
		{"Content-Length: 9223372036854775807\n", Length},
		{"Content-Length: 9223372036854775808\n", BadLength},
		{"Content-Length: 99999999999999999999999\n", BadLength},
		{"Content-Length: +5\n", BadLength},
		{"Content-Length: -5\n", BadLength},
		{"Content-Length: 1_0\n", BadLength},
		{"Content-Length: 0x5\n", BadLength},
		{"Content-Length: 1/\n", BadLength},
		{"Content-Length: 1:\n", BadLength},
		{"Content-Length: 5 5\n", BadLength},
		{"Content-Length: 5, 5\n", BadLength},
		{"Content-Length:\n", BadLength},
		{"Content-Length: 5\nContent-Length: 5\n", BadLength},
		{"Content-Length: x\nContent-Length: 5\n", BadLength},
		{"Transfer-Encoding: chunked\n", Chunked},
		{"Transfer-Encoding: Chunked\n", Chunked},
		{"Transfer-Encoding: chunked\nTransfer-Encoding: chunked\n", BadEncoding},
		{"Transfer-Encoding: gzip, chunked\n", BadEncoding},
		{"Transfer-Encoding: identity\n", BadEncoding},
		{"Transfer-Encoding:\n", BadEncoding},
		{"Transfer-Encoding: \"chunked\"\n", BadEncoding},
		{"Transfer-Encoding: chunked\nContent-Length: 5\n", BadEncoding},
		{"Content-Length: x\nTransfer-Encoding: chunked\n", BadEncoding},
	} {
		var q Request
		if _, err := q.Parse(crlf("POST / HTTP/1.1\nHost: h\n"+test.fields+"\n"), &testLimits); err != nil || q.Framing != test.want {
			t.Errorf("%q: framing %v, %v; want %v", test.fields, q.Framing, err, test.want)
		}
	}
	var q Request
	if _, err := q.Parse(crlf("POST / HTTP/1.0\nTransfer-Encoding: chunked\n\n"), &testLimits); err != nil || q.Framing != BadEncoding {
		t.Errorf("HTTP/1.0 with Transfer-Encoding: %v, %v", q.Framing, err)
	}
}

func TestRequestPersistent(t *testing.T) {
	for head, want := range map[string]bool{
		"GET / HTTP/1.1\nHost: h\n\n":                                      true,
		"GET / HTTP/1.1\nHost: h\nConnection: Close\n\n":                   false,
		"GET / HTTP/1.1\nHost: h\nConnection: x\nConnection: ,close ,\n\n": false,
		"GET / HTTP/1.1\nHost: h\nConnection: closed\n\n":                  true,
		"GET / HTTP/1.0\n\n":                                               false,
		"GET / HTTP/1.0\nConnection: keep-alive\n\n":                       true,
		"GET / HTTP/1.0\nConnection: keep-alive, close\n\n":                false,
	} {
		var q Request
		if _, err := q.Parse(crlf(head), &testLimits); err != nil || q.Persistent() != want {
			t.Errorf("%q: %v, %v", head, q.Persistent(), err)
		}
	}
}

func TestRequestMalformed(t *testing.T) {
	for _, test := range []struct {
		why Malformed
		raw []string // with Host: h in place of "^"
	}{
		{"the request does not begin with a method", []string{
			" GET / HTTP/1.1\r\n^\r\n", "\r\nGET / HTTP/1.1\r\n^\r\n", "\x16\x03\x01", "\x16",
		}},
		{"a request line that is not method, target and version", []string{
			"GET /\r\n^\r\n", "GET\r\n^\r\n", "GET\t/\tHTTP/1.1\r\n^\r\n",
		}},
		{"a method that is not a token", []string{"G(T / HTTP/1.1\r\n^\r\n", "GET\t/ / HTTP/1.1\r\n^\r\n"}},
		{"a request target with a byte that cannot stand there", []string{
			"GET  / HTTP/1.1\r\n^\r\n", "GET  HTTP/1.1\r\n^\r\n", "GET /  HTTP/1.1\r\n^\r\n", "GET /\t HTTP/1.1\r\n^\r\n",
			"GET /a b HTTP/1.1\r\n^\r\n", "GET / HTTP/1.1 \r\n^\r\n", "GET /\xc3\xa9 HTTP/1.1\r\n^\r\n", "GET /a#b HTTP/1.1\r\n^\r\n",
		}},
		{"a request target that is no path, URL or *", []string{
			"GET a HTTP/1.1\r\n^\r\n", "GET * HTTP/1.1\r\n^\r\n", "OPTIONS *a HTTP/1.1\r\n^\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
			"GET ://h HTTP/1.1\r\n^\r\n", "GET a(://h HTTP/1.1\r\n^\r\n", "CONNECT h/ HTTP/1.1\r\n^\r\n",
		}},
		{"a version other than HTTP/1.1 and HTTP/1.0", []string{
			"GET / HTTP/1.2\r\n^\r\n", "GET / HTTP/2.0\r\n^\r\n", "GET / HTTP/0.9\r\n^\r\n", "GET / http/1.1\r\n^\r\n",
			"GET / HTTP/01.1\r\n^\r\n", "GET / \r\n^\r\n",
		}},
		{"a line ends in a bare LF", []string{
			"GET / HTTP/1.1\n^\r\n", "GET / HTTP/1.1\r\n^\n", "GET / HTTP/1.1\r\nHost: h\n\r\n",
		}},
		{"a header field without a colon", []string{"GET / HTTP/1.1\r\n^X\r\n\r\n"}},
		{"a folded header line", []string{
			"GET / HTTP/1.1\r\n^ X: a\r\n\r\n", "GET / HTTP/1.1\r\n^X: a\r\n\tfolded\r\n\r\n",
			"GET / HTTP/1.1\r\n^X: a\r\n folded: b\r\n\r\n",
		}},
		{"a header field name that is not a token", []string{
			"GET / HTTP/1.1\r\n^X : a\r\n\r\n", "GET / HTTP/1.1\r\n^: a\r\n\r\n",
			"GET / HTTP/1.1\r\n^X(y): a\r\n\r\n", "GET / HTTP/1.1\r\n^X\xc3\xa9: a\r\n\r\n",
		}},
		{"a control byte in a header field value", []string{
			"GET / HTTP/1.1\r\n^X: a\rb\r\n\r\n", "GET / HTTP/1.1\r\n^X: a\x00b\r\n\r\n",
			"GET / HTTP/1.1\r\n^X: a\x7fb\r\n\r\n", "GET / HTTP/1.1\r\n^X: a\x01\r\n\r\n",
		}},
		{"no Host field", []string{"GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nHots: h\r\n\r\n"}},
		{"more than one Host field", []string{"GET / HTTP/1.1\r\n^^\r\n"}},
	} {
		for _, raw := range test.raw {
			var q Request
			raw = strings.ReplaceAll(raw, "^", "Host: h\r\n")
			if _, err := q.Parse([]byte(raw), &testLimits); err != test.why {
				t.Errorf("%q: %v, want %v", raw, err, test.why)
			}
		}
	}
}

func TestEqualFold(t *testing.T) {
	for p, want := range map[string]bool{"AZ-@[": true, "az-@[": true, "az-`[": false, "az-@{": false, "az-@": false} {
		if EqualFold([]byte(p), "az-@[") != want {
			t.Errorf("%q: %v", p, !want)
		}
	}
}

func isMalformed(err error) bool { _, ok := err.(Malformed); return ok }

func TestRequestHosts(t *testing.T) {
	for want, hosts := range map[error][]string{
		nil: {
			"h", "h:80", "h:", "", "1.2.3.4:9", "[::1]", "[::1]:80", "[::ffff:1.2.3.4]", "[ABCDEF::]",
			"a_b.c-d", "h%41", "h%Aa:1", "[::1]:", ":1", "~h", "h~:0",
		},
		Malformed("a Host field that is not a host"): {
			"a b", "a/b", "u@h", "h:port", "h:1:2", "h:1/", "h:/",
			"[", "[::1", "[::1]x", "[]", "[]:80", "[g::1]", "[::g]", "[[::1]]", "[::1%25eth0]",
			"[::1]:x",
			"h%zz", "h%4z", "h%z4", "h%4", "h%", "h%4:1", "h]", "h\xe9", "h?", "h#",
		},
	} {
		for _, host := range hosts {
			var q Request
			if _, err := q.Parse(crlf("GET / HTTP/1.1\nHost: "+host+"\n\n"), &testLimits); err != want {
				t.Errorf("Host %q: %v, want %v", host, err, want)
			}
		}
	}
}

func TestRequestLimits(t *testing.T) {
	long := strings.Repeat("a", 2000)
	for _, test := range []struct {
		raw  string
		want error
	}{
		{"GET / HTTP/1.1\nHost: h\nX: " + long + "\n\n", ErrHeadTooLarge},
		{"GET / HTTP/1.1\nHost: h\nX: " + long, ErrHeadTooLarge},
		{"GET / HTTP/1.1\n" + strings.Repeat("X: y\n", 8) + "Host: h\n\n", ErrTooManyFields},
		{"GET /" + long[:101] + " HTTP/1.1\nHost: h\n\n", ErrTargetTooLong},
		{"GET /" + long[:200], ErrTargetTooLong},
		{"GET /" + long[:99] + " HTTP/1.1\nHost: h\n\n", nil},
		{"GET /" + long[:99], ErrIncomplete},
		{"GET /" + long[:99] + " H", ErrIncomplete},
		{"GET /" + long[:100], ErrTargetTooLong},
		{"GET /" + long[:100] + " H", ErrTargetTooLong},
	} {
		var q Request
		if _, err := q.Parse(crlf(test.raw), &testLimits); err != test.want {
			t.Errorf("%.40q…: %v, want %v", test.raw, err, test.want)
		}
	}
}

// TestRequestByteByByte gives the parser every beginning of a head, as a slow agent does.
func TestRequestByteByByte(t *testing.T) {
	head := crlf("GET /x HTTP/1.1\nHost: h\nX: y\n\n")
	var q Request
	for i := range head {
		if n, err := q.Parse(head[:i], &testLimits); err != ErrIncomplete {
			t.Fatalf("%q: %d, %v", head[:i], n, err)
		}
	}
	if n, err := q.Parse(head, &testLimits); n != len(head) || err != nil {
		t.Fatalf("whole: %d, %v", n, err)
	}
	short := len(crlf("GET / HTTP/1.1\nHost: h\n\n"))
	if n, err := q.Parse(append(crlf("GET / HTTP/1.1\nHost: h\n\n"), head...), &testLimits); n != short || err != nil {
		t.Fatalf("a shorter one after it: %d, %v", n, err)
	}
}

// FuzzRequest: what we accept, net/http must parse to the same method, target, fields and framing.
func FuzzRequest(f *testing.F) {
	f.Add([]byte("GET / HTTP/1.1\r\nHost: h\r\n\r\n"))
	f.Add([]byte("POST /a?b HTTP/1.1\r\nHost: h:1\r\nContent-Length: 3\r\nX-A: b\r\nx-a:c \r\n\r\nabc"))
	f.Add([]byte("POST / HTTP/1.1\r\nHost: [::1]\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n0\r\n\r\n"))
	f.Add([]byte("OPTIONS * HTTP/1.0\r\nExpect: 100-continue\r\n\r\n"))
	f.Add([]byte("GET http://h/ HTTP/1.1\r\nHost: h\r\n\r\n"))
	f.Fuzz(func(t *testing.T, p []byte) {
		var q Request
		n, err := q.Parse(p, &Limits{Head: 4096, Fields: 64, Target: 1024})
		if err != nil {
			return
		}
		judge, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(p[:n])))
		if q.Framing == BadLength || q.Framing == BadEncoding {
			return // refused later
		}
		if err != nil {
			if refusedByURL(err) {
				return // net/url refuses what the path's policy refuses here: escapes and hosts of the target
			}
			t.Fatalf("accepted, but net/http says %v: %q", err, p[:n])
		}
		if judge.Method != string(q.Method) || judge.RequestURI != string(q.Target) || judge.ProtoMinor != q.Minor {
			t.Fatalf("got %s %s 1.%d, net/http %s %s 1.%d", q.Method, q.Target, q.Minor, judge.Method, judge.RequestURI, judge.ProtoMinor)
		}
		if length := judge.ContentLength; q.Framing == Length && length != q.Length || q.Framing == NoBody && length != 0 ||
			q.Framing == Chunked && (length != -1 || !cmp.Equal(judge.TransferEncoding, []string{"chunked"})) {
			t.Fatalf("framing %v %d, net/http %d %v", q.Framing, q.Length, length, judge.TransferEncoding)
		}
		ours := http.Header{}
		for _, f := range q.Fields {
			switch k := http.CanonicalHeaderKey(string(f.Name)); k {
			case "Host", "Transfer-Encoding", "Trailer": // net/http takes these out
			default:
				ours[k] = append(ours[k], string(f.Value))
			}
		}
		for _, gone := range []string{"Host", "Transfer-Encoding", "Trailer"} {
			delete(judge.Header, gone)
		}
		if judge.Header.Get("Pragma") == "no-cache" && ours["Cache-Control"] == nil {
			delete(judge.Header, "Cache-Control") // net/http adds it
		}
		if diff := cmp.Diff(ours, judge.Header); diff != "" {
			t.Fatalf("fields (-ours +net/http):\n%s", diff)
		}
	})
}

func refusedByURL(err error) bool {
	return strings.HasPrefix(err.Error(), "parse ") || strings.Contains(err.Error(), "invalid URI")
}

// TestByteClasses: every byte is of the classes that the grammars of RFC 9110 and 9112 put it into.
func TestByteClasses(t *testing.T) {
	for name, class := range map[string]struct {
		of      int
		grammar string
	}{
		"token": {tokenByte, "[!#$%&'*+.^_`|~0-9A-Za-z-]"}, "field value": {valueByte, `[\t -~\x80-\xff]`},
		"target": {targetByte, `[!-"$-~]`}, "hexadecimal digit": {hexByte, "[0-9A-Fa-f]"},
	} {
		re := regexp.MustCompile("^" + class.grammar + "$")
		for c := range 256 {
			if got, want := all([]byte{byte(c)}, byte(class.of)), re.MatchString(string(rune(c))); got != want {
				t.Errorf("%q is of a %s: %v", rune(c), name, got)
			}
		}
	}
}
