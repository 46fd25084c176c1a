package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"credproxy/fakeupstream"

	"github.com/google/go-cmp/cmp"
)

// The key of RFC 6455, section 1.3, and what accepts it.
const (
	sampleKey    = "dGhlIHNhbXBsZSBub25jZQ=="
	sampleAccept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
)

// frame is one as a client sends it, masked with zeros.
func frame(first byte, payload string) string {
	b := []byte{first, 0x80 | byte(len(payload))}
	if len(payload) > 125 {
		b[1] = 0x80 | 127
		b = binary.BigEndian.AppendUint64(b, uint64(len(payload)))
	}
	return string(b) + "\x00\x00\x00\x00" + payload
}

// TestThroughWebSocket holds what arrives of a WebSocket through the proxy
// against what the fake upstream says without it.
func TestThroughWebSocket(t *testing.T) {
	up := fakeupstream.NewTest(t)
	p := serve(t, up, "A_TOKEN=token-of-route-a")
	host := strings.TrimPrefix(up.URL, "https://")
	bye := frame(0x88, "\x03\xe8bye")
	for target, frames := range map[string]string{
		"/ws": frame(0x81, "one") + frame(0x01, "be") + frame(0x89, "ping") + frame(0x80, "gin") + frame(0x8a, "") +
			frame(0x82, strings.Repeat("large", 40000)) + bye,
		"/ws?n=20&ms=1":                        frame(0x81, "behind") + bye,
		"/ws?n=300&size=10000&protocol=v1":     bye,
		"/ws?n=2&close=1001":                   bye,
		"/ws?deflate=1":                        frame(0xc1, "\xf2\x48\xcd\xc9\xc9\x07\x00") + bye,
		"/ws?status=403":                       "",
		"/ws?status=301":                       "",
		"/ws?n=1&size=125":                     "\x81\x05notmasked",
		"/ws?n=1&protocol=chat&deflate=0&ms=5": frame(0x88, ""),
	} {
		t.Run(target, func(t *testing.T) {
			t.Parallel()
			talk := func(c net.Conn, err error, prefix, token string) answer {
				t.Helper()
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				c.SetDeadline(time.Now().Add(patience))
				go io.WriteString(c, "GET "+prefix+target+" HTTP/1.1\r\nHost: "+host+"\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"+
					"Sec-WebSocket-Key: "+sampleKey+"\r\nSec-WebSocket-Extensions: permessage-deflate\r\nAuthorization: Bearer "+token+"\r\n\r\n"+frames)
				br := bufio.NewReader(c)
				resp, err := http.ReadResponse(br, nil)
				if err != nil {
					t.Fatal(err)
				}
				a := answer{Status: resp.Status, Header: resp.Header}
				body := resp.Body
				if resp.StatusCode == 101 {
					body = io.NopCloser(br)
				}
				said, err := io.ReadAll(body)
				if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) { // a malformed frame breaks the connection
					t.Error(err)
				}
				a.Body = string(said)
				return a
			}
			direct, err := tls.Dial("tcp", host, &tls.Config{RootCAs: roots(up)})
			want := talk(direct, err, "", "token-of-route-a")
			c, err := net.Dial("tcp", p.addr)
			got := talk(c, err, "/w", "of-the-agent")
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-without the proxy +through it)\n%s", diff)
			}
			if (got.Status == "101 Switching Protocols") != (frames != "") {
				t.Errorf("status %s", got.Status)
			}
		})
	}
	for _, wrong := range []string{"accept", "upgrade"} {
		a, err := ask(p.addr, "GET /w/ws?wrong="+wrong+" HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "+sampleKey+
			"\r\nX-Rest:")
		if err != nil || isRefusal(a, "502", "upstream", "upstream connection failed: malformed response: 101 ...") != nil {
			t.Errorf("wrong=%s: %v\n%s", wrong, err, a)
		}
	}
}

// openWebSocket opens one through p and returns it with the 101 read.
func openWebSocket(p *process, target string) (*conn, error) {
	c, err := dial(p.addr)
	if err != nil {
		return nil, err
	}
	err = c.send([]byte("GET " + target + " HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + sampleKey + "\r\n\r\n"))
	if err == nil {
		var head string
		if head, err = c.readHead(); err == nil && !strings.Contains(head, sampleAccept) {
			err = fmt.Errorf("no handshake: %q", head)
		}
	}
	if err != nil {
		c.tcp.Close()
		return nil, err
	}
	return c, nil
}

// TestWebSocketBackpressure: who does not read holds up who sends, in either
// direction, and takes no memory for it; all of it arrives in the end.
func TestWebSocketBackpressure(t *testing.T) {
	messages, size := 800, 1<<16 // more than all sockets on the way can hold: 32 MiB where a system lets one grow
	if raceDetector || testing.Short() {
		messages = 100
	}
	up := fakeupstream.NewTest(t)
	p := serve(t, up, "A_TOKEN=token-of-route-a")
	c, err := openWebSocket(p, fmt.Sprintf("/w/ws?n=%d&size=%d", messages, size))
	if err != nil {
		t.Fatal(err)
	}
	defer c.tcp.Close()
	if err := c.tcp.(*net.TCPConn).SetReadBuffer(1 << 16); err != nil {
		t.Fatal(err)
	}
	sent := func() int {
		q := up.Requests()
		return int(q[0].Answer.Size)
	}
	if n := settled(sent); n >= messages*size && messages == 800 {
		t.Errorf("%d bytes were sent to an agent that reads none", n)
	}
	// The upstream reads nothing while it pushes: what the agent sends meanwhile waits, too.
	text := strings.Repeat("y", size)
	wrote := make(chan error, 1)
	go func() {
		for range messages {
			if err := c.send([]byte(frame(0x81, text))); err != nil {
				wrote <- err
				return
			}
		}
		wrote <- c.send([]byte(frame(0x88, "")))
	}()
	c.rw.SetReadDeadline(time.Now().Add(patience))
	all, err := io.ReadAll(c.br)
	if err != nil {
		t.Fatal(err)
	}
	if err := <-wrote; err != nil {
		t.Error(err)
	}
	const header = 10
	if want := 2*messages*(header+size) + 2; len(all) != want || bytes.Count(all, []byte("y")) != messages*size {
		t.Errorf("%d bytes, want %d", len(all), want)
	}
	if runtime.GOOS != "linux" {
		return
	}
	if peak := peakMemory(t, p); peak > 40<<20 && !raceDetector {
		t.Errorf("%d MiB of memory", peak>>20)
	}
}

// TestWebSocketsLeaveNothing has agents end many, in one way and another, and
// counts what is left of them in the program.
func TestWebSocketsLeaveNothing(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("descriptors are counted in /proc")
	}
	up := fakeupstream.NewTest(t)
	run := func(n int) (left, string) {
		p := serve(t, up, "A_TOKEN=token-of-route-a", "CRED_PROXY_DEBUG=1")
		var wg sync.WaitGroup
		for i := range n {
			wg.Go(func() {
				c, err := openWebSocket(p, "/w/ws?n=1")
				if err != nil {
					t.Error(err)
					return
				}
				defer c.tcp.Close()
				switch i % 3 {
				case 0:
					c.send([]byte(frame(0x88, "")))
					io.Copy(io.Discard, c.br)
				case 1:
					c.tcp.(*net.TCPConn).SetLinger(0)
				}
			})
		}
		wg.Wait()
		if err := p.waitLine(p.stderr, regexp.MustCompile(`^cred-proxy: GET /w/ 101 `), n); err != nil {
			t.Fatal(err)
		}
		return leftIn(t, p)
	}
	one, oneDump := run(1)
	all, allDump := run(60)
	if all.descriptors > one.descriptors || all.goroutines > one.goroutines {
		t.Errorf("%+v are left, %+v after one:\n%s\n\nafter one:\n%s", all, one, allDump, oneDump)
	}
}

// TestFigureIdleWebSockets holds 500 WebSockets at a time, all of which are alive.
func TestFigureIdleWebSockets(t *testing.T) {
	const sockets = 500
	up := fakeupstream.NewTest(t)
	p := serve(t, up, "A_TOKEN=token-of-route-a")
	conns := make([]*conn, sockets)
	places := make(chan struct{}, 32)
	var wg sync.WaitGroup
	for i := range conns {
		wg.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			c, err := openWebSocket(p, "/w/ws?n=1")
			if err != nil {
				t.Error(err)
				return
			}
			conns[i] = c
			t.Cleanup(func() { c.tcp.Close() })
		})
	}
	wg.Wait()
	for i, c := range conns {
		if c == nil {
			t.FailNow()
		}
		const first = "\x81\x09message 1"
		if err := c.send([]byte(frame(0x81, "alive"))); err != nil {
			t.Fatal(err)
		}
		if p, err := c.readBody(int64(len(first + "\x81\x05alive"))); err != nil || string(p) != first+"\x81\x05alive" {
			t.Fatalf("WebSocket %d of %d: %q, %v", i+1, sockets, p, err)
		}
	}
	if runtime.GOOS == "linux" {
		t.Logf("%d idle WebSockets: peak of resident memory %.1f MiB", sockets, float64(peakMemory(t, p))/(1<<20))
	}
}
