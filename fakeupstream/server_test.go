package fakeupstream_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"credproxy/fakeupstream"
)

// start starts a server and checks, after it was closed, that nothing of it or
// of its clients runs any more.
func start(t *testing.T, o ...fakeupstream.Options) *fakeupstream.Server {
	t.Helper()
	before := runtime.NumGoroutine()
	t.Cleanup(func() {
		// Goroutines of clients end soon after their connection does.
		for end := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > before; {
			if time.Now().After(end) {
				stacks := make([]byte, 1<<20)
				t.Errorf("goroutines left after Close:\n%s", stacks[:runtime.Stack(stacks, true)])
				return
			}
			runtime.Gosched()
		}
	})
	return fakeupstream.NewTest(t, o...)
}

func get(t *testing.T, up *fakeupstream.Server, target string) *http.Response {
	t.Helper()
	resp, err := up.Client().Get(up.URL + target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

func body(t *testing.T, resp *http.Response) string {
	t.Helper()
	p, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return string(p)
}

// wire is a connection that a test writes its own bytes to.
type wire struct {
	net.Conn
	*bufio.Reader
	tcp  *net.TCPConn
	tail *tail
}

// tail is a connection that remembers the last bytes that were read from it.
type tail struct {
	net.Conn
	last []byte
}

func (t *tail) Read(p []byte) (int, error) {
	n, err := t.Conn.Read(p)
	t.last = append(t.last, p[:n]...)
	t.last = t.last[max(0, len(t.last)-24):]
	return n, err
}

// sawCloseNotify says whether the last record was a TLS 1.3 alert. crypto/tls
// itself reports io.EOF with and without one.
func (t *tail) sawCloseNotify() bool {
	return bytes.HasPrefix(t.last, []byte{0x17, 3, 3, 0, 19})
}

func (w *wire) Read(p []byte) (int, error) { return w.Reader.Read(p) }

func dial(t *testing.T, up *fakeupstream.Server) *wire {
	t.Helper()
	scheme, addr, _ := strings.Cut(up.URL, "://localhost")
	tcp, err := net.Dial("tcp", "127.0.0.1"+addr)
	if err != nil {
		t.Fatal(err)
	}
	last := &tail{Conn: tcp}
	var conn net.Conn = last
	if scheme == "https" {
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(up.CAPEM)
		conn = tls.Client(last, &tls.Config{RootCAs: roots, ServerName: "localhost", NextProtos: []string{"http/1.1"}})
	}
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	t.Cleanup(func() { tcp.Close() })
	return &wire{conn, bufio.NewReader(conn), tcp.(*net.TCPConn), last}
}

func (w *wire) send(t *testing.T, s string) {
	t.Helper()
	if _, err := io.WriteString(w, s); err != nil {
		t.Fatal(err)
	}
}

// response reads a response to a request of the method.
func (w *wire) response(t *testing.T, method string) *http.Response {
	t.Helper()
	resp, err := http.ReadResponse(w.Reader, &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

func TestBytes(t *testing.T) {
	up := start(t)
	for _, framing := range []string{"length", "chunked", "close"} {
		const n = 300_001
		resp := get(t, up, fmt.Sprintf("/bytes?n=%d&framing=%s&piece=999", n, framing))
		h := sha256.New()
		if size, err := io.Copy(h, resp.Body); err != nil || size != n || hex.EncodeToString(h.Sum(nil)) != fakeupstream.BytesSHA256(n) {
			t.Errorf("%s: %d bytes, %v, %x", framing, size, err, h.Sum(nil))
		}
		if length := resp.ContentLength; (length == n) != (framing == "length") || resp.Close != (framing == "close") {
			t.Errorf("%s: length %d, close %v", framing, length, resp.Close)
		}
	}
	one, _ := io.ReadAll(fakeupstream.Bytes(1, 100))
	var odd []byte // whatever the size of the reads
	for r, p := fakeupstream.Bytes(1, 100), make([]byte, 7); ; {
		n, err := r.Read(p)
		odd = append(odd, p[:n]...)
		if err != nil {
			break
		}
	}
	if !bytes.Equal(one, odd) {
		t.Error("Bytes differ with the size of the reads")
	}
}

func TestSetAndLike(t *testing.T) {
	up := start(t)
	up.Set("/files", fakeupstream.Like("/bytes?n=3&framing=chunked"))
	if got := len(body(t, get(t, up, "/files?n=5"))); got != 3 {
		t.Errorf("%d bytes", got)
	}
	up.Set("/echo", fakeupstream.Like("/status/503"))
	if resp := get(t, up, "/echo?x"); resp.StatusCode != 503 {
		t.Errorf("status %d", resp.StatusCode)
	}
	up.Set("/echo", nil)
	if resp := get(t, up, "/echo"); resp.StatusCode != 200 {
		t.Errorf("status %d", resp.StatusCode)
	}
	if _, err := fakeupstream.ParseBehaviour("/nothing"); err == nil {
		t.Error("no error for a path that no behaviour has")
	}
	if resp := get(t, up, "/bytes?n=x"); resp.StatusCode != 400 {
		t.Errorf("status %d for a bad parameter", resp.StatusCode)
	}
}

func TestRawAfter(t *testing.T) {
	const answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
	for _, then := range []fakeupstream.After{fakeupstream.Keep, fakeupstream.CloseNotify, fakeupstream.CloseAbrupt, fakeupstream.Reset, fakeupstream.Hang} {
		t.Run(then.String(), func(t *testing.T) {
			up := start(t)
			up.Set("/raw", fakeupstream.Raw([]byte(answer), then))
			w := dial(t, up)
			w.send(t, "POST /raw HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc")
			p := make([]byte, len(answer))
			if _, err := io.ReadFull(w, p); err != nil || string(p) != answer {
				t.Fatalf("answer %q, %v", p, err)
			}
			if q := up.Requests()[0]; !q.Complete || string(q.Body) != "abc" {
				t.Errorf("record: %+v", q)
			}
			switch then {
			case fakeupstream.Keep:
				w.send(t, "GET /status/202 HTTP/1.1\r\nHost: x\r\n\r\n")
				if resp := w.response(t, "GET"); resp.StatusCode != 202 {
					t.Errorf("status %d", resp.StatusCode)
				}
			case fakeupstream.Hang:
				w.send(t, "GET /status/202 HTTP/1.1\r\nHost: x\r\n\r\n")
				w.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
				if _, err := w.Read(p); !isTimeout(err) {
					t.Errorf("read: %v", err)
				}
			case fakeupstream.Reset:
				if _, err := w.Read(p); !isReset(err) {
					t.Errorf("read: %v", err)
				}
			default:
				if _, err := w.Read(p); err != io.EOF {
					t.Errorf("read: %v", err)
				}
				if got, want := w.tail.sawCloseNotify(), then == fakeupstream.CloseNotify; got != want {
					t.Errorf("close_notify: %v, want %v", got, want)
				}
			}
		})
	}
}

func isReset(err error) bool {
	return err != nil && (strings.Contains(err.Error(), "reset") || strings.Contains(err.Error(), "forcibly closed"))
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

func TestMethodsAndVersions(t *testing.T) {
	up := start(t)
	t.Run("HEAD has no body", func(t *testing.T) {
		w := dial(t, up)
		w.send(t, "HEAD /bytes?n=10 HTTP/1.1\r\nHost: x\r\n\r\nHEAD /sse?n=3 HTTP/1.1\r\nHost: x\r\n\r\nGET /status/201 HTTP/1.1\r\nHost: x\r\n\r\n")
		if resp := w.response(t, "HEAD"); resp.ContentLength != 10 {
			t.Errorf("length %d", resp.ContentLength)
		}
		w.response(t, "HEAD")
		if resp := w.response(t, "GET"); resp.StatusCode != 201 {
			t.Errorf("status %d", resp.StatusCode)
		}
	})
	t.Run("HTTP/1.0 is closed and never chunked", func(t *testing.T) {
		w := dial(t, up)
		w.send(t, "GET /bytes?n=10&framing=chunked HTTP/1.0\r\n\r\n")
		resp := w.response(t, "GET")
		if p := body(t, resp); len(p) != 10 || len(resp.TransferEncoding) != 0 || !resp.Close {
			t.Errorf("%d bytes, %v", len(p), resp)
		}
	})
	t.Run("Connection: close", func(t *testing.T) {
		w := dial(t, up)
		w.send(t, "GET /echo HTTP/1.1\r\nHost: x\r\nConnection: x, Close\r\n\r\n")
		if resp := w.response(t, "GET"); !resp.Close {
			t.Error("the answer does not say close")
		} else if body(t, resp); true {
			if _, err := w.ReadByte(); err != io.EOF {
				t.Errorf("read: %v", err)
			}
		}
	})
	t.Run("Expect: 100-continue", func(t *testing.T) {
		w := dial(t, up)
		w.send(t, "POST /sink HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-Continue\r\n\r\n")
		if resp := w.response(t, "POST"); resp.StatusCode != 100 {
			t.Fatalf("status %d", resp.StatusCode)
		}
		w.send(t, "ab")
		if resp := w.response(t, "POST"); resp.StatusCode != 200 || resp.Close {
			t.Errorf("%v", resp)
		}
	})
}

func TestCloseWaitsForNobody(t *testing.T) {
	up := start(t)
	var wires []*wire
	for _, sent := range []string{
		"", "GET /par", "GET /sse?name=s HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST /sink HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc",
		"GET /bytes?n=100000000 HTTP/1.1\r\nHost: x\r\n\r\n", // nobody reads it
		"GET /sse?n=9&ms=99999 HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		w := dial(t, up)
		w.send(t, sent)
		wires = append(wires, w)
	}
	if err := up.WaitStream(t.Context(), "s"); err != nil {
		t.Fatal(err)
	}
	waiting := make(chan error)
	go func() {
		_, err := up.WaitRequest(t.Context(), func(*fakeupstream.Request) bool { return false })
		waiting <- err
	}()
	began := time.Now()
	up.Close()
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("Close took %v", took)
	}
	if err := <-waiting; err == nil || !strings.Contains(err.Error(), "closed") {
		t.Errorf("waiting for a request: %v", err)
	}
	for _, w := range wires {
		w.tcp.Close()
	}
}

func TestStartEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	up, err := fakeupstream.Start(ctx, fakeupstream.Options{Plain: true})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	_, err = up.WaitRequest(t.Context(), func(*fakeupstream.Request) bool { return false })
	if err == nil || !strings.Contains(err.Error(), "closed") {
		t.Errorf("error %v", err)
	}
	up.Close()
}

func TestClientReachesItByAnyName(t *testing.T) {
	up := start(t, fakeupstream.Options{Names: []string{"api.example.test"}})
	_, port, _ := strings.Cut(up.URL, "localhost")
	for _, host := range []string{"localhost", "127.0.0.1", "upstream.test", "api.example.test"} {
		resp, err := up.Client().Get("https://" + host + port + "/echo")
		if err != nil {
			t.Error(err)
			continue
		}
		resp.Body.Close()
	}
	if q := up.Requests()[3]; q.SNI != "api.example.test" {
		t.Errorf("SNI %q", q.SNI)
	}
}

func TestCloseIdle(t *testing.T) {
	up := start(t)
	kept, stream := dial(t, up), dial(t, up)
	kept.send(t, "GET /echo HTTP/1.1\r\nHost: x\r\n\r\n")
	body(t, kept.response(t, "GET"))
	stream.send(t, "GET /sse HTTP/1.1\r\nHost: x\r\n\r\n")
	if err := up.WaitStream(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	up.CloseIdle()
	if _, err := kept.ReadByte(); err != io.EOF || !kept.tail.sawCloseNotify() {
		t.Errorf("kept connection: %v, close_notify: %v", err, kept.tail.sawCloseNotify())
	}
	if err := up.Emit(t.Context(), "", "still there"); err != nil {
		t.Error(err)
	}
	if err := up.EndStream(t.Context(), ""); err != nil {
		t.Error(err)
	}
	if got := body(t, stream.response(t, "GET")); got != "data: still there\n\n" {
		t.Errorf("stream: %q", got)
	}
	if _, err := stream.ReadByte(); err != io.EOF {
		t.Errorf("after the stream: %v", err)
	}
}
