package fakeupstream

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
)

// FuzzHead compares what is recorded of a head with what net/http makes of it.
func FuzzHead(f *testing.F) {
	for _, seed := range []string{
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
		"\r\n\nPOST /a?b=c HTTP/1.1\nhost:x\nA: 1\r\na:\t2 \r\nB:\r\n\r\nrest",
		"GET http://h/p HTTP/1.0\r\nX: a\r\n b\r\n\r\n",
		"GET /a b HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		br := bufio.NewReaderSize(bytes.NewReader(p), 16)
		head, err := readHead(br)
		rest, _ := io.ReadAll(br)
		if err == nil {
			start := bytes.TrimLeft(p, "\r\n")
			if got := string(head) + string(rest); !strings.HasSuffix(string(p), got) || len(got) < len(start) {
				t.Fatalf("head %q and rest %q of %q", head, rest, p)
			}
		}
		req, err := judge(head)
		if err != nil {
			return
		}
		method, target, proto, fields := parseHead(head)
		if method != req.Method || target != req.RequestURI || proto != req.Proto {
			t.Errorf("%q: %q %q %q, net/http: %q %q %q", head, method, target, proto, req.Method, req.RequestURI, req.Proto)
		}
		got := http.Header{}
		for _, f := range fields {
			got.Add(f.Name, f.Value)
		}
		// net/http takes these out of the header or changes them.
		for _, name := range []string{"Host", "Transfer-Encoding", "Content-Length", "Trailer", "Pragma", "Cache-Control"} {
			got.Del(name)
			req.Header.Del(name)
		}
		for name, values := range req.Header {
			if strings.Join(values, "|") != strings.Join(got[name], "|") {
				t.Errorf("%q: %s is %q, net/http: %q", head, name, got[name], values)
			}
		}
		if len(got) != len(req.Header) {
			t.Errorf("%q: fields %v, net/http: %v", head, got, req.Header)
		}
	})
}
