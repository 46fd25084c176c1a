package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Mutated bytes through the real program, from either side, with net/http as the judge.

const fuzzToken = "sk-fuzz-0123456789abcdef"

// A seen is a request as an upstream parsed it, by net/http.
type seen struct {
	method, target string
	header         http.Header
	body           []byte
	whole          bool // it arrived to its end
	err            error
}

// A recorder is an upstream over plain HTTP that answers any request, and
// remembers what came.
type recorder struct {
	ln     net.Listener
	answer func(*seen) (p []byte, more bool) // more: the connection serves again

	mu   sync.Mutex
	idle *sync.Cond
	busy int // requests that have begun and not ended
	got  []*seen
}

func newRecorder(tb testing.TB, answer func(*seen) ([]byte, bool)) *recorder {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	r := &recorder{ln: ln, answer: answer}
	r.idle = sync.NewCond(&r.mu)
	tb.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go r.serve(c)
		}
	}()
	return r
}

func (r *recorder) serve(c net.Conn) {
	defer c.Close()
	br := bufio.NewReader(c)
	for {
		c.SetDeadline(time.Now().Add(patience))
		if _, err := br.Peek(1); err != nil {
			return
		}
		r.mu.Lock()
		r.busy++
		r.mu.Unlock()
		s := &seen{}
		q, err := http.ReadRequest(br)
		if s.err = err; err == nil {
			s.method, s.target, s.header = q.Method, q.RequestURI, q.Header
			s.header["Host"] = []string{q.Host}
			s.body, err = io.ReadAll(q.Body)
			s.whole = err == nil
		}
		r.mu.Lock()
		r.busy--
		r.got = append(r.got, s)
		r.idle.Broadcast()
		r.mu.Unlock()
		if !s.whole {
			return
		}
		p, more := r.answer(s)
		if _, err := c.Write(p); err != nil || !more {
			return
		}
	}
}

// take returns what has come since the last call, once nothing is on its way.
func (r *recorder) take() []*seen {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.busy > 0 {
		r.idle.Wait() // bounded by the connections' deadlines
	}
	got := r.got
	r.got = nil
	return got
}

// fuzzed starts the program in front of a recorder.
func fuzzed(tb testing.TB, r *recorder) *process {
	dir := tb.TempDir()
	routes := fmt.Sprintf(`{"routes": [{"path": "/a/", "upstream": "http://%[1]s/base", "auth_scheme": "Bearer", "token_env": "A_TOKEN"},
		{"path": "/c/", "upstream": "http://%[1]s/chunked", "auth_scheme": "Bearer", "token_env": "A_TOKEN", "chunked_bodies": "stream"}]}`, r.ln.Addr())
	if err := os.WriteFile(filepath.Join(dir, "routes.json"), []byte(routes), 0o666); err != nil {
		tb.Fatal(err)
	}
	p, err := start(dir, append(coverage(), "PATH="+os.Getenv("PATH"), "GORACE="+os.Getenv("GORACE"), "A_TOKEN="+fuzzToken, "CRED_PROXY_DEBUG=1",
		"CRED_PROXY_ROUTES="+filepath.Join(dir, "routes.json"), "CRED_PROXY_ADDR_FILE="+filepath.Join(dir, "address"),
		"CRED_PROXY_PORT=0", "CRED_PROXY_BIND=127.0.0.1", "CRED_PROXY_MAX_AGENTS=100", "CRED_PROXY_RESPONSE_TIMEOUT=200ms", "CRED_PROXY_SILENCE_TIMEOUT=200ms"))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		p.stop()
		if log := p.stdout.String() + p.stderr.String(); tokenIn(log, fuzzToken) != "" || crash.MatchString(log) {
			tb.Errorf("the log has a token or a crash")
		}
	})
	return p
}

// exchangeAll sends a stream and no more, and returns all that comes back.
func exchangeAll(tb testing.TB, p *process, stream []byte) []byte {
	c, err := dial(p.addr)
	if err != nil {
		tb.Fatalf("%v\n%s", err, p.stderr)
	}
	defer c.tcp.Close()
	c.tcp.SetDeadline(time.Now().Add(patience))
	go func() {
		c.tcp.Write(stream) // it may be refused before it is read
		c.tcp.CloseWrite()
	}()
	answer, err := io.ReadAll(c.tcp)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		tb.Fatalf("no end after %q", answer)
	}
	if form := tokenIn(string(answer), fuzzToken); form != "" {
		tb.Fatalf("the token comes back %s: %q", form, answer)
	}
	if len(answer) > 0 && !bytes.HasPrefix(answer, []byte("HTTP/1.1 ")) {
		tb.Fatalf("what comes back is no HTTP: %q", answer)
	}
	return answer
}

// meant returns the requests that a stream is for net/http, up to where that
// refuses it. Targets are taken from the request line: which of them are URLs is
// another question.
func meant(stream []byte) (requests []*seen) {
	br := bufio.NewReaderSize(bytes.NewReader(stream), 1<<20)
	for {
		head, _ := br.Peek(min(len(stream), 1<<20))
		line, rest, ok := bytes.Cut(head, []byte("\r\n"))
		first, last := bytes.IndexByte(line, ' '), bytes.LastIndexByte(line, ' ')
		if !ok || first < 0 || first == last || len(rest) == 0 {
			return requests
		}
		s := &seen{method: string(line[:first]), target: string(line[first+1 : last])}
		br.Discard(len(line) + 2)
		mended := io.MultiReader(strings.NewReader("POST / "+string(line[last+1:])+"\r\n"), br)
		judge := bufio.NewReaderSize(mended, 1<<20)
		q, err := http.ReadRequest(judge)
		if err != nil {
			return requests
		}
		s.body, err = io.ReadAll(q.Body)
		s.whole = err == nil
		requests = append(requests, s)
		if err != nil {
			return requests
		}
		br = judge
	}
}

// FuzzRequestStream sends mutated streams of requests on one connection through
// the real program. The upstream must see only whole requests that were meant,
// in order, or the beginning of one that was cut; each with exactly one
// credential, the proxy's.
func FuzzRequestStream(f *testing.F) {
	for _, s := range []string{
		"GET /a/x HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET /a/x HTTP/1.1\r\nHost: h\r\n\r\nGET /a/y HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer stolen\r\n\r\n",
		"POST /a/x HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhelloGET /a/y HTTP/1.1\r\nHost: h\r\n\r\n",
		"POST /a/x HTTP/1.1\r\nHost: h\r\nContent-Length: 50\r\n\r\nGET /a/smuggled HTTP/1.1\r\nHost: h\r\n\r\n",
		"POST /a/x HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /a/smuggled HTTP/1.1\r\nHost: h\r\n\r\n",
		"POST /a/x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nGET /a/y HTTP/1.1\r\nHost: h\r\n\r\n",
		"POST /a/x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding : chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
		"POST /a/x HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\nContent-Length: 44\r\n\r\nGET /a/smuggled HTTP/1.1\r\nHost: h\r\n\r\n",
		"POST /a/x HTTP/1.1\r\nHost: h\r\nContent-Length: +5\r\n\r\nhello",
		"GET /a/x HTTP/1.1\r\nHost: h\r\nX: y\r\n folded\r\n\r\n",
		"GET /a/x HTTP/1.1\r\nHost: h\r\nConnection: authorization, host, content-length\r\nContent-Length: 2\r\n\r\nhi",
		"GET /a/x HTTP/1.1\nHost: h\n\nGET /a/y HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET /none HTTP/1.1\r\nHost: h\r\n\r\nTRACE /a/ HTTP/1.1\r\nHost: h\r\n\r\nGET /a/%zz HTTP/1.1\r\nHost: h\r\n\r\nGET /a/y HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET /a/x HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /a/y HTTP/1.0\r\n\r\n",
		"HEAD /a/x HTTP/1.1\r\nHost: h\r\n\r\nOPTIONS * HTTP/1.1\r\nHost: h\r\n\r\nPUT /a/../b HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx",
		"POST /a/x HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
		"POST /c/x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nAuthorization: x\r\n\r\nGET /a/y HTTP/1.1\r\nHost: h\r\n\r\n",
		"POST /c/x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\nGET /a/smuggled HTTP/1.1\r\nHost: h\r\n\r\n",
		"POST /c/x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nPOST /c/y HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n27\r\nGET /a/smuggled HTTP/1.1\r\nHost: h\r\n\r\n\r\n",
		"GET http://h/a/x HTTP/1.1\r\nHost: h\r\n\r\n",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
	} {
		f.Add([]byte(s))
	}
	// What the proxy broke off may be seen late: a whole request a few streams later, the beginning of one after many.
	const late = 16
	var recent [late][]*seen // what was meant by the last streams and not yet seen
	var broken []*seen
	r := newRecorder(f, func(s *seen) ([]byte, bool) {
		if s.method == "HEAD" {
			return []byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"), true
		}
		return []byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"), true
	})
	p := fuzzed(f, r)
	f.Fuzz(func(t *testing.T, stream []byte) {
		if bytes.Contains(stream, []byte(fuzzToken[:8])) {
			return
		}
		exchangeAll(t, p, stream)
		now := meant(stream)
		copy(recent[1:], recent[:])
		recent[0] = now
		for _, m := range now {
			if len(m.body) > 0 || !m.whole {
				broken = append(broken[max(0, len(broken)-1000):], m)
			}
		}
		for _, s := range r.take() {
			if cut := errors.Is(s.err, io.ErrUnexpectedEOF); cut {
				continue // its head broke off with the connection
			}
			if s.err != nil {
				t.Fatalf("the upstream could not read a request: %v", s.err)
			}
			_, found := matching(broken, s)
			found = found && !s.whole
			for i := late - 1; i >= 0 && !found; i-- { // the oldest first: what is late must not take the place of what is not
				var rest []*seen
				if rest, found = matching(recent[i], s); found {
					recent[i] = rest
				}
			}
			if !found {
				t.Fatalf("nobody meant %s %s %q (whole %v)\nstream %q", s.method, s.target, s.body, s.whole, stream)
			}
			for name, values := range s.header {
				if injected := name == "Authorization"; injected != (tokenIn(strings.Join(values, "\n"), fuzzToken) != "") {
					t.Fatalf("%s: %q\nstream %q", name, values, stream)
				}
			}
			if got := s.header["Authorization"]; !slices.Equal(got, []string{"Bearer " + fuzzToken}) {
				t.Fatalf("Authorization: %q\nstream %q", got, stream)
			}
			if got := s.header["Host"]; !slices.Equal(got, []string{r.ln.Addr().String()}) {
				t.Fatalf("Host: %q\nstream %q", got, stream)
			}
		}
	})
}

// matching finds in the requests that were meant the first one that s can be,
// and returns those behind it.
func matching(requests []*seen, s *seen) (rest []*seen, ok bool) {
	prefix := "/a/"
	suffix, under := strings.CutPrefix(s.target, "/base/")
	if !under {
		prefix = "/c/"
		suffix, under = strings.CutPrefix(s.target, "/chunked/")
	}
	for i, m := range requests {
		if !under || m.method != s.method || m.target != prefix+suffix {
			continue
		}
		if s.whole && m.whole && bytes.Equal(m.body, s.body) || !s.whole && bytes.HasPrefix(m.body, s.body) {
			return requests[i+1:], true
		}
	}
	return nil, false
}

// FuzzResponseStream has a hostile upstream answer the first of two requests of
// one agent with mutated bytes. Whatever these are, what the agent takes for the
// answer to the second is an answer to the second, or the proxy's own refusal.
func FuzzResponseStream(f *testing.F) {
	second := "HTTP/1.1 200 OK\r\nX-Second: yes\r\nContent-Length: 6\r\n\r\nsecond"
	for _, s := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsmuggled",
		"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsmuggled",
		"HTTP/1.1 304 Not Modified\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsmuggled",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-T: v\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsmuggled",
		"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
		"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
		"HTTP/1.1 200 OK\r\n\r\nuntil the end",
		"HTTP/1.1 200 OK\r\nX: y\r\n z\r\n\r\n", "HTTP/1.1 200 OK\nContent-Length: 0\n\n", "HTTP/0.9 200 OK\r\n\r\n", "garbage",
		"HTTP/1.1 200 OK\r\nX-Cred-Proxy-Error: push\r\nConnection: content-length\r\nContent-Length: 2\r\n\r\nok",
	} {
		f.Add([]byte(s), false, byte(0))
		f.Add([]byte(s), true, byte(1))
	}
	methods := []string{"GET", "HEAD", "POST"}
	var mu sync.Mutex
	var first []byte
	var more bool
	r := newRecorder(f, func(s *seen) ([]byte, bool) {
		mu.Lock()
		defer mu.Unlock()
		if s.target == "/base/first" {
			return first, more
		}
		return []byte(second), true
	})
	p := fuzzed(f, r)
	f.Fuzz(func(t *testing.T, stream []byte, closes bool, method byte) {
		if textproto.TrimString(string(stream)) == "" || bytes.Contains(bytes.ToLower(stream), []byte("x-second")) || bytes.Contains(stream, []byte(fuzzToken[:8])) {
			return
		}
		m := methods[int(method)%len(methods)]
		mu.Lock()
		first, more = stream, !closes
		mu.Unlock()
		answer := exchangeAll(t, p, []byte(m+" /a/first HTTP/1.1\r\nHost: h\r\n\r\nGET /a/second HTTP/1.1\r\nHost: h\r\n\r\n"))
		r.take()
		br := bufio.NewReader(bytes.NewReader(answer))
		for n := 0; ; {
			if _, err := br.Peek(1); err != nil {
				return
			}
			resp, err := http.ReadResponse(br, &http.Request{Method: []string{m, "GET"}[min(n, 1)]})
			if err != nil {
				if errors.Is(err, io.ErrUnexpectedEOF) {
					return // cut, and the agent can tell
				}
				t.Fatalf("the agent cannot read response %d: %v\n%q\nfor %q", n, err, answer, stream)
			}
			if resp.StatusCode < 200 {
				continue
			}
			if _, err := io.Copy(io.Discard, resp.Body); err != nil {
				return
			}
			if n++; n == 2 && resp.Header.Get("X-Second") == "" && resp.Header.Get("X-Cred-Proxy-Error") == "" || n > 2 {
				t.Fatalf("response %d is none to a request: %q\nfor %q", n, answer, stream)
			}
		}
	})
}
