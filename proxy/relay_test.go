package proxy

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestResetWhileHeld: an upstream that resets its connection while the end of what came is held has not ended its answer.
func TestResetWhileHeld(t *testing.T) {
	up := listenLocal(t)
	go func() {
		for {
			conn, err := up.Accept()
			if err != nil {
				return
			}
			conn.Read(make([]byte, 1<<10))
			io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\nthe-real")
			conn.(*net.TCPConn).SetLinger(0)
			conn.Close()
		}
	}()
	told := make(chan string, 5)
	addr, _ := serve(t, newServer(t, Options{Getenv: func(string) string { return "the-real-token" }, Observer: func(e *Event) { told <- e.Broken }},
		one("upstream", strconv.Quote("http://"+up.Addr().String()))))
	for range 5 {
		conn := dialAgent(t, addr)
		io.WriteString(conn, "GET /a/ HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		if content, err := io.ReadAll(resp.Body); string(content) != "the-real" || err == nil {
			t.Errorf("%q, %v", content, err)
		}
		if by := <-told; by != "upstream" {
			t.Errorf("broken by %q", by)
		}
	}
}

// headsOf returns the heads that an agent is answered with when the upstream gives this answer, up to that of the final one.
func headsOf(t *testing.T, answer string) (got []*http.Response) {
	t.Helper()
	addr, stop := serve(t, newServer(t, Options{Getenv: func(string) string { return "the-token-of-the-route" }},
		one("upstream", strconv.Quote("http://"+answers(t, answer)))))
	defer stop()
	conn := dialAgent(t, addr)
	io.WriteString(conn, "GET /a/ HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
	for br := bufio.NewReader(conn); ; {
		resp, err := http.ReadResponse(br, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got = append(got, resp); resp.StatusCode >= 200 {
			return got
		}
	}
}

// TestInterimResponses: as many as there may be are passed on, whatever their status; one more is too many.
func TestInterimResponses(t *testing.T) {
	const final = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
	most := strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", maxInterim-1) + "HTTP/1.1 199 Odd\r\n\r\n"
	if got := headsOf(t, most+final); len(got) != maxInterim+1 || got[maxInterim-1].StatusCode != 199 || got[maxInterim].StatusCode != 200 {
		t.Errorf("%d: the last is %s", len(got), got[len(got)-1].Status)
	}
	if got := headsOf(t, "HTTP/1.1 103 Early Hints\r\n\r\n"+most+final); got[len(got)-1].StatusCode != 502 {
		t.Errorf("%d: the last is %s", len(got), got[len(got)-1].Status)
	}
}

// TestMaskedIsCounted: each head says how many tokens were masked in it, in decimal.
func TestMaskedIsCounted(t *testing.T) {
	reflected := strings.Repeat("X: the-token-of-the-route\r\n", 12)
	got := headsOf(t, "HTTP/1.1 103 Early Hints\r\nY: the-token-of-the-route\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n"+reflected+"\r\n")
	if len(got) != 2 || got[0].Header.Get(RedactedField) != "1" || got[1].Header.Get(RedactedField) != "12" {
		t.Errorf("%v", got)
	}
	got = headsOf(t, "HTTP/1.1 103 Early Hints\r\nY: the-token-of-the-route\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	if len(got) != 2 || got[1].Header.Values(RedactedField) != nil {
		t.Errorf("%v", got)
	}
}

// TestOneByteIsMissing: an upload of which one byte is to come when it is answered is not waited for.
func TestOneByteIsMissing(t *testing.T) {
	s := newServer(t, Options{Getenv: func(string) string { return "a-token" }},
		one("upstream", strconv.Quote("http://"+answers(t, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))))
	addr, _ := serve(t, s)
	conn := dialAgent(t, addr)
	io.WriteString(conn, "POST /a/ HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n")
	if resp, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || !resp.Close {
		t.Errorf("%+v, %v", resp, err)
	}
}

// TestBytesOut: content is counted in whatever framing it comes.
func TestBytesOut(t *testing.T) {
	for _, framing := range []string{"Content-Length: 5\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", "\r\nhello"} {
		up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			io.WriteString(conn, "HTTP/1.1 200 OK\r\n"+framing)
			conn.Close()
		}))
		told := make(chan Event, 1)
		addr, stop := serve(t, newServer(t, Options{Getenv: func(string) string { return "a-token" }, Observer: func(e *Event) { told <- *e }},
			one("upstream", strconv.Quote(up.URL))))
		resp, err := http.Get("http://" + addr + "/a/")
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		http.DefaultClient.CloseIdleConnections()
		stop()
		up.Close()
		if e := <-told; string(body) != "hello" || err != nil || framing[0] != 'T' && e.BytesOut != 5 || e.BytesOut < 5 {
			t.Errorf("%q: %q, %v, %d bytes", framing, body, err, e.BytesOut)
		}
	}
}

// TestLeakIsObserved: the event of a request with a token in its body says so, whether the body came with the head, in part or after.
func TestLeakIsObserved(t *testing.T) {
	reached := make(chan bool, 1)
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reached <- true
		io.Copy(io.Discard, r.Body)
	}))
	defer up.Close()
	for _, guard := range []string{"log", "refuse"} {
		told := make(chan Event, 1)
		routes := strings.Replace(one("upstream", strconv.Quote(up.URL)), "{", fmt.Sprintf(`{"leak_guard": %q, `, guard), 1)
		addr, stop := serve(t, newServer(t, Options{Getenv: func(string) string { return "the-token-of-the-route" }, Observer: func(e *Event) { told <- *e }}, routes))
		body := "it is the-token-of-the-route" + strings.Repeat(".", 1000)
		for _, first := range []int{len(body), 1, len(body) - 1} {
			conn := dialAgent(t, addr)
			fmt.Fprintf(conn, "POST /a/ HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", len(body), body[:first])
			if guard == "log" || first == 1 {
				<-reached
				io.WriteString(conn, body[first:])
			}
			io.Copy(io.Discard, conn)
			conn.Close()
			if e := <-told; !e.Leaked {
				t.Errorf("%s, %d bytes at first: %+v", guard, first, e)
			}
		}
		stop()
	}
}

// TestHeadAfterInterim: the time in which a head must come that has begun to begins anew with each one.
func TestHeadAfterInterim(t *testing.T) {
	conn, agent := net.Pipe()
	go io.Copy(io.Discard, agent)
	ours, theirs := net.Pipe()
	s := New(Options{})
	up := upstreamOver(ours)
	x := &exchange{agent: newAgent(s, conn), srv: s, heads: new(heads), route: oneRoute(t, ""), lookout: new(lookout)}
	x.req.Minor = 1
	go func() {
		for _, part := range []string{"HTTP/1.1 102 Proc", "essing\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n"} {
			io.WriteString(theirs, part)
		}
	}()
	if err := x.readResponse(up); err != nil || x.resp.Status != 200 {
		t.Fatalf("%d, %v", x.resp.Status, err)
	}
	if !x.headBy.IsZero() {
		t.Error("the interim response's time is the final one's")
	}
}

// TestTrailerHasItsTime: a trailer section may come later than the beginning of a token before it is held.
func TestTrailerHasItsTime(t *testing.T) {
	end := make(chan bool)
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		io.WriteString(conn, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\nthe-real\r\n")
		<-end
		io.WriteString(conn, "0\r\nX-Su")
		<-time.After(3 * heldFor) // it is the time that is tested
		io.WriteString(conn, "m: y\r\n\r\n")
	}))
	defer up.Close()
	addr, _ := serve(t, newServer(t, Options{Getenv: func(string) string { return "the-real-token" }}, one("upstream", strconv.Quote(up.URL))))
	resp, err := http.Get("http://" + addr + "/a/")
	if err != nil {
		t.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	defer resp.Body.Close()
	close(end)
	if p, err := io.ReadAll(resp.Body); string(p) != "the-real" || err != nil || resp.Trailer.Get("X-Sum") != "y" {
		t.Errorf("%q, %v, %v", p, err, resp.Trailer)
	}
}

// TestWholeLooksWhole: an answer that ends with the connection and is whole does not look cut because the connection is cut
// off while the rest of the upload is still waited for.
func TestWholeLooksWhole(t *testing.T) {
	s := newServer(t, Options{Getenv: func(string) string { return "a-token" }}, one("upstream", `"http://h.test"`))
	ours, up := net.Pipe()
	defer up.Close()
	keepFor(s, ours)
	ln := listenLocal(t)
	go s.Serve(ln)
	conn := dialAgent(t, ln.Addr().String())
	io.WriteString(conn, "POST /a/ HTTP/1.0\r\nContent-Length: 5\r\n\r\n")
	rd := bufio.NewReader(up)
	if _, err := http.ReadRequest(rd); err != nil {
		t.Fatal(err)
	}
	io.WriteString(conn, "hello")
	up.Read(make([]byte, 1)) // and no more
	io.WriteString(up, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
	got := ""
	for p := make([]byte, 1); !strings.HasSuffix(got, "\r\n\r\nhello"); got += string(p) {
		if _, err := conn.Read(p); err != nil {
			t.Fatal(err)
		}
	}
	s.mu.Lock()
	agents := s.snapshot()
	s.mu.Unlock()
	for by := time.Now().Add(time.Second / 2); agents[0].openEnded.Load() && time.Now().Before(by); { // it was just written
		time.Sleep(time.Millisecond)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s.Shutdown(ctx)
	if rest, err := io.ReadAll(conn); err != nil || len(rest) > 0 {
		t.Errorf("%q, %v", rest, err)
	}
}

// TestCutLooksCut: an HTTP/1.0 agent, to which the end of the connection is the end of the answer, can tell that it was cut,
// whoever cut it.
func TestCutLooksCut(t *testing.T) {
	t.Parallel()
	up := listenLocal(t)
	go func() {
		for {
			conn, err := up.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				p := make([]byte, 1<<20)
				n, _ := conn.Read(p)
				io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\nhello")
				for err := error(nil); err == nil && strings.Contains(string(p[:n]), "GET /flood"); {
					_, err = conn.Write(p)
				}
				conn.Read(p)
			}()
		}
	}()
	for name, test := range map[string]struct {
		path string
		cut  func(s *Server, agent net.Conn, told <-chan string)
		by   string
	}{
		"the proxy stops": {"/", func(s *Server, _ net.Conn, _ <-chan string) {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			s.Shutdown(ctx)
		}, "proxy"},
		"the agent ends its side":          {"/", func(_ *Server, agent net.Conn, _ <-chan string) { agent.(*net.TCPConn).CloseWrite() }, "agent"},
		"the agent does not read for long": {"/flood", func(*Server, net.Conn, <-chan string) {}, "agent"},
	} {
		told := make(chan string, 1)
		s := newServer(t, Options{Timeouts: Timeouts{Silence: time.Second}, Getenv: func(string) string { return "a-token" },
			Observer: func(e *Event) { told <- e.Broken }}, one("upstream", strconv.Quote("http://"+up.Addr().String())))
		ln := listenLocal(t)
		go s.Serve(ln)
		conn := dialAgent(t, ln.Addr().String())
		io.WriteString(conn, "GET /a"+test.path+" HTTP/1.0\r\n\r\n")
		for got := ""; !strings.HasSuffix(got, "\r\n\r\nhello"); {
			p := make([]byte, 1)
			if _, err := conn.Read(p); err != nil {
				t.Fatal(name, err)
			}
			got += string(p)
		}
		test.cut(s, conn, told)
		if by := <-told; by != test.by {
			t.Errorf("%s: broken by %q", name, by)
		}
		if _, err := io.Copy(io.Discard, conn); err == nil {
			t.Errorf("%s: the answer looks whole", name)
		}
	}
}
