package proxy

import (
	"bytes"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

// What an exchange costs once others like it have been there.

var raceEnabled bool

// answers has an upstream give the same answer to every request without a body, on every connection. It allocates nothing.
func answers(t *testing.T, answer string) (addr string) {
	t.Helper()
	ln := listenLocal(t)
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				p, end, said := make([]byte, 64<<10), []byte("\r\n\r\n"), []byte(answer)
				for n := 0; ; {
					m, err := conn.Read(p[n:])
					if n += m; err != nil {
						return
					}
					if bytes.HasSuffix(p[:n], end) {
						n = 0
						conn.Write(said)
					}
				}
			}()
		}
	}()
	return ln.Addr().String()
}

// TestExchangeAllocations: an exchange leaves nothing to the collector, whatever had to be decoded or mapped.
func TestExchangeAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	const get, none, ok = "GET /a/x HTTP/1.1\r\nHost: p\r\n\r\n", "Content-Length: 0\r\n\r\n", "Content-Length: 2\r\n\r\nok"
	long := "X: " + strings.Repeat("x", 6000) + "\r\n"
	for name, test := range map[string]struct{ more, request, status, answer string }{
		"plain":    {"", get, "200 OK", ok},
		"body":     {"", "POST /a/x HTTP/1.1\r\nHost: p\r\nContent-Length: 5\r\n\r\nx\r\n\r\n", "200 OK", ok},
		"chunks":   {"", get, "200 OK", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"},
		"interim":  {"", get, "103 Early Hints", "X: y\r\n\r\nHTTP/1.1 200 OK\r\n" + ok},
		"large":    {"", "GET /a/x HTTP/1.1\r\nHost: p\r\n" + long + "\r\n", "200 OK", long + ok},
		"encoded":  {"", "GET /a/%61%2f%252f?%61 HTTP/1.1\r\nHost: p\r\n\r\n", "200 OK", none},
		"rules":    {`, "deny": [{"path": "/x"}], "allow": [{"path": "/*/y"}]`, "GET /a/%61/y HTTP/1.1\r\nHost: p\r\n\r\n", "200 OK", none},
		"limits":   {`, "limits": {"concurrent": 9, "per_minute": 1000000, "bytes_per_day": 100000000}`, get, "200 OK", none},
		"location": {"", get, "307 Temporary Redirect", "Content-Length: 0\r\nLocation: /y\r\nLink: <http://h/z>\r\n\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			status := "HTTP/1.1 " + test.status + "\r\n"
			up := answers(t, status+test.answer)
			s := newServer(t, Options{Getenv: func(string) string { return "-the-token-" }},
				fmt.Sprintf(`{"routes": [{"path": "/a/", "upstream": "http://%s", "auth_scheme": "Bearer", "token_env": "T"%s}]}`, up, test.more))
			addr, _ := serve(t, s)
			conn, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(30 * time.Second))
			p, request, begin, end := make([]byte, 64<<10), []byte(test.request), []byte(status), []byte(test.answer[len(test.answer)-5:])
			ask := func() {
				conn.Write(request)
				for n := 0; n == 0 || !bytes.HasSuffix(p[:n], end); {
					m, err := conn.Read(p[n:])
					if n += m; err != nil || !bytes.HasPrefix(p[:n], begin) {
						t.Fatalf("%.100q, %v", p[:n], err)
					}
				}
			}
			ask()
			if n := testing.AllocsPerRun(100, ask); n > 0 {
				t.Errorf("%v allocations", n)
			}
		})
	}
}
