package fakeupstream_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"credproxy/fakeupstream"
)

// TestWebSocket is a conversation on the wire: a handshake with the key of RFC 6455, section 1.3, a push, masked frames.
func TestWebSocket(t *testing.T) {
	up := fakeupstream.NewTest(t)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(up.CAPEM)
	open := func(target string) (io.ReadWriteCloser, *bufio.Reader, *http.Response) {
		t.Helper()
		c, err := tls.Dial("tcp", strings.TrimPrefix(up.URL, "https://"), &tls.Config{RootCAs: pool})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		c.SetDeadline(time.Now().Add(10 * time.Second))
		io.WriteString(c, "GET "+target+" HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"+
			"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n")
		br := bufio.NewReader(c)
		resp, err := http.ReadResponse(br, nil)
		if err != nil {
			t.Fatal(err)
		}
		return c, br, resp
	}
	early := make(chan string, 1) // what somebody is given who waited before
	go func() {
		q, err := up.WaitRequest(t.Context(), func(q *fakeupstream.Request) bool { return true })
		early <- fmt.Sprintf("%s %v", q.Body, err)
	}()
	if err := up.Inject(fakeupstream.Fault{Kind: fakeupstream.FaultLatency, Every: 50 * time.Millisecond, Count: 1}); err != nil {
		t.Fatal(err)
	}
	c, br, resp := open("/ws?n=2&protocol=v1&deflate=1")
	for name, want := range map[string]string{"Sec-Websocket-Accept": "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "Sec-Websocket-Protocol": "v1",
		"Sec-Websocket-Extensions": "permessage-deflate; server_no_context_takeover; client_no_context_takeover", "Upgrade": "websocket", "Connection": "Upgrade"} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	// A text in two frames with a ping between them, and a close: the masked Hello is of RFC 6455, section 5.7.
	io.WriteString(c, "\x01\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"+"\x89\x81\x00\x00\x00\x00p"+"\x80\x80\x00\x00\x00\x00"+"\x88\x82\x00\x00\x00\x00\x03\xe8")
	got, err := io.ReadAll(br)
	if want := "\x81\x09message 1\x81\x09message 2" + "\x01\x05Hello" + "\x8a\x01p" + "\x80\x00" + "\x88\x02\x03\xe8"; string(got) != want || err != nil {
		t.Errorf("%q, %v; want %q", got, err, want)
	}
	if got := <-early; got != "Hello <nil>" {
		t.Errorf("who waited before has %s", got)
	}
	q, err := up.WaitRequest(t.Context(), func(q *fakeupstream.Request) bool { return q.Answer.Status == 101 })
	if err != nil || string(q.Body) != "Hello" || !q.Complete || q.BodySize != 5 {
		t.Errorf("recorded %q, complete %v, %v", q.Body, q.Complete, err)
	}

	for frame, malformed := range map[string]string{
		"\x82\xff\x00\x00\x00\x00\x01\x00\x00\x01" + strings.Repeat("more of it", 1<<13): "frame: too large",
		"\x82\xff\x00\x00": "",
		"\x82\x84\x00\x00": "",
	} {
		up.Forget()
		c, br, _ = open("/ws")
		io.WriteString(c, frame)
		c.(*tls.Conn).CloseWrite()
		if got, err := io.ReadAll(br); len(got) > 0 || err != nil {
			t.Errorf("frame %.20q: %q, %v", frame, got, err)
		}
		c.Close()
		if q, err := up.WaitRequest(t.Context(), func(q *fakeupstream.Request) bool { return true }); err != nil || q.Complete || q.Malformed != malformed {
			t.Errorf("frame %.20q: %v, %q", frame, err, q.Malformed)
		}
	}

	if c, br, _ = open("/ws?n=1&close=1013"); true {
		io.WriteString(c, "\x88\x80\x00\x00\x00\x00")
		if got, err := io.ReadAll(br); string(got) != "\x81\x09message 1\x88\x02\x03\xf5" || err != nil {
			t.Errorf("close=1013: %q, %v", got, err)
		}
	}
	if _, _, resp = open("/ws?status=403"); resp.StatusCode != 403 {
		t.Errorf("status=403: %s", resp.Status)
	}
	if _, _, resp = open("/ws?wrong=accept"); resp.StatusCode != 101 || resp.Header.Get("Sec-Websocket-Accept") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		t.Errorf("wrong=accept: %v", resp.Header)
	}
	if _, _, resp = open("/ws?wrong=upgrade"); resp.StatusCode != 101 || resp.Header.Get("Upgrade") != "" {
		t.Errorf("wrong=upgrade: %v", resp.Header)
	}
	if _, _, resp = open("/ws?close=7"); resp.StatusCode != 400 {
		t.Errorf("close=7: %s", resp.Status)
	}
	if resp, _ := do(t, up, "GET", "/ws", ""); resp.StatusCode != 426 {
		t.Errorf("no handshake: %s", resp.Status)
	}
	c, br, _ = open("/ws")
	io.WriteString(c, "\x81\x01a")
	if got, _ := io.ReadAll(br); len(got) > 0 {
		t.Errorf("not masked: %q", got)
	}
	if _, err := up.WaitRequest(t.Context(), func(q *fakeupstream.Request) bool { return q.Malformed == "frame: not masked" }); err != nil {
		t.Error(err)
	}
}
