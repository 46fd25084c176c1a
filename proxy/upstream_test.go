package proxy

import (
	"bufio"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"credproxy/proxy/http1"
)

// Connections to an upstream: the way out through a proxy, those that are kept, and what is said of one that failed.

// TestConnect: only a final 2xx with nothing behind it opens a tunnel, whatever interim responses come before.
func TestConnect(t *testing.T) {
	sized := func(n int) string {
		const head = "HTTP/1.1 200 OK\r\nX: "
		return head + strings.Repeat("x", n-len(head)-len("\r\n\r\n")) + "\r\n\r\n"
	}
	const ok, malformed = "HTTP/1.1 200 OK\r\n\r\n", "proxy: malformed answer to CONNECT: "
	for _, test := range []struct{ answer, want string }{
		{ok, ""},
		{"HTTP/1.0 299 \r\nContent-Length: 5\r\n\r\n", ""},
		{"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 \r\n\r\nHTTP/1.1 199 \r\nX: y\r\n\r\n" + ok, ""},
		{"HTTP/1.1 101 Switching Protocols\r\n\r\n" + ok, "proxy: CONNECT answered with status 101"},
		{"HTTP/1.1 300 \r\n\r\n", "proxy: CONNECT answered with status 300"},
		{"HTTP/1.1 407 \r\nContent-Length: 0\r\n\r\n", "proxy: CONNECT answered with status 407"},
		{ok + "x", "proxy: bytes behind the answer to CONNECT"},
		{"HTTP/1.1 100 \r\n\r\n", "proxy: EOF"},
		{"SSH-2.0-x\r\n\r\n", malformed + "the response does not begin with HTTP/1"},
		{sized(64 << 10), ""},
		{sized(64<<10 + 1), malformed + "head too large"},
		{"HTTP/1.1 200 OK\r\n" + strings.Repeat("X: y\r\n", 256) + "\r\n", ""},
		{"HTTP/1.1 200 OK\r\n" + strings.Repeat("X: y\r\n", 257) + "\r\n", malformed + "too many header fields"},
	} {
		conn, other := net.Pipe()
		go func() {
			defer other.Close()
			if q, err := http.ReadRequest(bufio.NewReader(other)); err == nil && q.Method == "CONNECT" && q.Host == "h.test:443" {
				io.WriteString(other, test.answer)
			}
		}()
		u := &upstream{proxy: &url.URL{Scheme: "http", Host: "p"}}
		got := ""
		if _, err := u.connect(t.Context(), conn, "h.test:443"); err != nil {
			got = err.Error()
		}
		conn.Close()
		if got != test.want {
			t.Errorf("%.60q: %q, want %q", test.answer, got, test.want)
		}
	}
}

func TestProxyAddr(t *testing.T) {
	for from, want := range map[string]string{"http://p": "p:80", "https://p": "p:443", "http://u:w@p:3128/x": "p:3128", "https://[::1]": "[::1]:443"} {
		u, err := url.Parse(from)
		if err != nil {
			t.Fatal(err)
		}
		if got := proxyAddr(u); got != want {
			t.Errorf("%s: %s, want %s", from, got, want)
		}
	}
}

// TestWayOutOverTLS: of a proxy that is an https one its own TLS is the outer one, and who it is is verified. A connection
// through it is kept like any other, with no deadline of before.
func TestWayOutOverTLS(t *testing.T) {
	p := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != "CONNECT" || r.Host != "h.test:80" {
			t.Errorf("%s %s", r.Method, r.Host)
		}
		conn, rest, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
		io.Copy(conn, rest)
	}))
	p.Config.ErrorLog = log.New(io.Discard, "", 0) // of who does not trust it
	p.StartTLS()
	defer p.Close()
	roots := x509.NewCertPool()
	roots.AddCert(p.Certificate())
	u := plainUpstream(t, "h.test:80")
	u.proxy = &url.URL{Scheme: "https", Host: p.Listener.Addr().String()}
	u.roots = x509.NewCertPool()
	if _, err := u.dial(t.Context()); err == nil || describe(err) != "certificate signed by unknown authority" {
		t.Errorf("a proxy that nobody knows: %v", err)
	}
	u.roots = roots
	c, err := u.dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.free()
	echoes := func(text string) {
		t.Helper()
		if _, err := io.WriteString(c, text); err != nil {
			t.Fatal(err)
		}
		for len(c.rd.Buffered()) < len(text) {
			if _, err := c.rd.Fill(); err != nil {
				t.Fatal(err)
			}
		}
		if got := string(c.rd.Buffered()); got != text {
			t.Fatalf("%q, want %q", got, text)
		}
		c.rd.Consume(len(text))
	}
	const soon = 300 * time.Millisecond
	echoes("hello")
	c.sock.readWithin(soon)
	c.sock.writeWithin(-time.Second) // as an exchange may leave it
	if u.put(c); u.take() != c || time.Until(c.sock.sentBy) < u.timeouts.Silence/2 {
		t.Fatal("it is not used again")
	}
	echoes("and again")
	c.sock.readWithin(soon)
	late := time.AfterFunc(10*time.Second, c.close)
	if _, err := c.rd.Fill(); !isTimeout(err) || !late.Stop() {
		t.Errorf("a read that was to end ended with %v", err)
	}
}

// plainUpstream is one without TLS; its connections have all the time in the world.
func plainUpstream(t *testing.T, addr string) *upstream {
	t.Helper()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	return &upstream{origin: origin{host: host, port: port}, kept: &kept{max: 10},
		timeouts: &Timeouts{Dial: time.Hour, TLS: time.Hour, Silence: time.Hour}}
}

// upstreamOver returns a connection to an upstream over one without TLS.
func upstreamOver(conn net.Conn) *upstreamConn {
	c := &upstreamConn{sock: newSock(conn)}
	c.rd = http1.NewReader(c.sock)
	return c
}

// keepFor has the upstream of the route /a/ keep a connection for its next exchange.
func keepFor(s *Server, conn net.Conn) {
	c := upstreamOver(conn)
	c.upstream = s.table.Load().byPath["/a/"].upstream
	c.upstream.put(c)
}

// dialled returns a connection to an upstream and the upstream's side of it.
func dialled(t *testing.T) (*upstreamConn, net.Conn) {
	t.Helper()
	ln := listenLocal(t)
	c, err := plainUpstream(t, ln.Addr().String()).dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	other, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.free(); other.Close() })
	return c, other
}

// ended reports whether the other side has closed the connection.
func ended(c net.Conn) bool {
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	_, err := c.Read(make([]byte, 1))
	return err != nil && !isTimeout(err)
}

// TestStaleConnections: a kept connection on which something came meanwhile, be it the end, is closed and not used again.
func TestStaleConnections(t *testing.T) {
	for name, spoil := range map[string]func(net.Conn){
		"end":    func(c net.Conn) { c.(*net.TCPConn).CloseWrite() },
		"answer": func(c net.Conn) { io.WriteString(c, "HTTP/1.1 408 Request Timeout\r\n\r\n") },
	} {
		c, other := dialled(t)
		u := c.upstream
		if u.put(c); u.take() != c {
			t.Fatal("it is not used again")
		}
		spoil(other)
		by := time.Now().Add(10 * time.Second)
		for u.put(c); u.take() != nil; u.put(c) {
			if time.Now().After(by) {
				t.Fatalf("%s: it is used again and again", name)
			}
		}
		if !ended(other) {
			t.Errorf("%s: it is not closed", name)
		}
	}
}

// TestCloseWrite: an upstream learns that nothing more comes, and what it still says is read.
func TestCloseWrite(t *testing.T) {
	c, other := dialled(t)
	c.closeWrite()
	if !ended(other) {
		t.Error("it does not learn of it")
	}
	io.WriteString(other, "bye")
	if _, err := c.rd.Fill(); err != nil || string(c.rd.Buffered()) != "bye" {
		t.Errorf("%q, %v", c.rd.Buffered(), err)
	}
}

// TestAbandonedAgentConnects: an agent that is cut off waits no longer for a connection, and is given none.
func TestAbandonedAgentConnects(t *testing.T) {
	ln := listenLocal(t)
	u := plainUpstream(t, "h.test:80")
	u.proxy = &url.URL{Scheme: "http", Host: ln.Addr().String()} // which never answers
	conn, _ := net.Pipe()
	a := newAgent(New(Options{}), conn)
	done := make(chan error, 1)
	go func() {
		_, err := a.connect(u, true)
		done <- err
	}()
	p, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if _, err := http.ReadRequest(bufio.NewReader(p)); err != nil {
		t.Fatal(err)
	}
	a.abandon()
	select {
	case err := <-done:
		if err == nil || !ended(p) {
			t.Errorf("connected, %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it goes on")
	}

	c, other := dialled(t)
	c.upstream.put(c)
	if _, err := a.connect(c.upstream, false); err != errAgentGone || !ended(other) {
		t.Errorf("given a kept connection, %v", err)
	}
	c.upstream.proxy = u.proxy
	if _, err := a.connect(c.upstream, true); err != errAgentGone {
		t.Errorf("given a new connection, %v", err)
	}
	ln.(*net.TCPListener).SetDeadline(time.Now().Add(10 * time.Millisecond))
	if _, err := ln.Accept(); err == nil {
		t.Error("connects for an agent that is gone")
	}
}

// TestDescribe: what is said of an upstream that failed is in our words, however deep the reason lies, and nothing that the
// upstream chose is among them.
func TestDescribe(t *testing.T) {
	unverified := func(err error) error { return &tls.CertificateVerificationError{Err: err} }
	op := func(err error) error {
		return &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", err)}
	}
	host := x509.HostnameError{Certificate: &x509.Certificate{DNSNames: []string{"chosen.test"}}, Host: "h.test"}
	for _, test := range []struct {
		err  error
		want string
	}{
		{unverified(host), "certificate is not valid for this host"},
		{unverified(x509.UnknownAuthorityError{}), "certificate signed by unknown authority"},
		{unverified(x509.CertificateInvalidError{Reason: x509.Expired, Detail: "chosen"}), "certificate has expired or is not yet valid"},
		{unverified(x509.CertificateInvalidError{Reason: x509.NotAuthorizedToSign}), "certificate is not valid"},
		{unverified(errors.New("chosen")), "certificate is not valid"},
		{http1.Malformed("a folded header line"), "malformed response: a folded header line"},
		{&net.DNSError{Name: "h.test", IsNotFound: true}, "no such host"},
		{&net.DNSError{Name: "h.test", IsTimeout: true}, "host name lookup failed"},
		{io.EOF, "connection closed before the response"},
		{io.ErrUnexpectedEOF, "connection closed before the response"},
		{op(syscall.ECONNREFUSED), "connection refused"},
		{op(syscall.ECONNRESET), "connection reset"},
		{op(syscall.EPIPE), "connection reset"},
		{os.ErrDeadlineExceeded, "timed out"},
		{context.DeadlineExceeded, "timed out"},
		{op(syscall.ENETUNREACH), syscall.ENETUNREACH.Error()},
		{errors.New("tls: chosen"), "connection failed"},
	} {
		if got := describe(fmt.Errorf("chosen: %w", test.err)); got != test.want {
			t.Errorf("%v: %q, want %q", test.err, got, test.want)
		}
	}
	for text, want := range map[string]string{
		"tls: server selected unsupported protocol version 302":                         "",
		"remote error: tls: handshake failure":                                          "",
		"proxy: CONNECT answered with status 403":                                       "",
		"remote error: chosen":                                                          "connection failed",
		`tls: failed to parse certificate from server: x509: cannot parse URI "chosen"`: "tls: failed to parse certificate from server",
		`proxy: tls: failed to parse certificate from server: chosen`:                   "proxy: tls: failed to parse certificate from server",
		"proxy: remote error: tls: handshake failure":                                   "",
	} {
		if got := describe(errors.New(text)); got != cmp.Or(want, text) {
			t.Errorf("%s: %q", text, got)
		}
	}
	for _, err := range []error{http1.ErrHeadTooLarge, http1.ErrTooManyFields} {
		if got := describe(err); got != "malformed response: "+err.Error() {
			t.Errorf("%v: %q", err, got)
		}
	}
}

// TestRetired: a connection that comes back when no route names its upstream any more is closed.
func TestRetired(t *testing.T) {
	c, other := dialled(t)
	c.upstream.retire()
	c.upstream.put(c)
	if c.upstream.take() != nil || !ended(other) {
		t.Error("it is kept")
	}
}

// TestShutdownLeavesNothing: what is kept of upstreams is closed when the server ends.
func TestShutdownLeavesNothing(t *testing.T) {
	ln := listenLocal(t)
	conns := make(chan net.Conn, 1)
	go func() {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		http.ReadRequest(bufio.NewReader(conn))
		io.WriteString(conn, "HTTP/1.1 204 No Content\r\n\r\n")
		conns <- conn
	}()
	addr, stop := serve(t, newServer(t, Options{Getenv: func(string) string { return "a-token" }}, one("upstream", `"http://`+ln.Addr().String()+`"`)))
	resp, err := http.Get("http://" + addr + "/a/")
	if err != nil || resp.StatusCode != 204 {
		t.Fatal(resp, err)
	}
	http.DefaultClient.CloseIdleConnections()
	conn := <-conns
	defer conn.Close()
	if stop(); !ended(conn) {
		t.Error("it is open")
	}
}

// TestAliveWithoutDescriptor: a kept connection that is not the kernel's is seen to be open without anything that comes.
func TestAliveWithoutDescriptor(t *testing.T) {
	ours, theirs := net.Pipe()
	c := upstreamOver(ours)
	alive := make(chan bool, 2)
	go func() { alive <- c.alive(); theirs.Close(); alive <- c.alive() }()
	for _, want := range []bool{true, false} {
		select {
		case got := <-alive:
			if got != want {
				t.Errorf("alive: %v", got)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("it waits")
		}
	}
}
