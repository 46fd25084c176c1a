package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"credproxy/fakeupstream"
)

// TestHandover replaces the program several times, with 200 streams open in the
// first one and under steady load from agents that connect for each request and
// from agents that keep their connection. No request fails, every stream is
// whole, and each program ends by itself.
func TestHandover(t *testing.T) {
	const streams, agents, replacements, between = 200, 4, 4, 200
	up := fakeupstream.NewTest(t)
	p := serve(t, up, "A_TOKEN=token-of-route-a", "CRED_PROXY_REUSEPORT=1", "CRED_PROXY_DRAIN_TIMEOUT=60s", "CRED_PROXY_DIAL_TIMEOUT=60s", "CRED_PROXY_TLS_TIMEOUT=60s",
		"CRED_PROXY_MAX_AGENTS=1000")

	var opened, closed sync.WaitGroup
	opened.Add(streams)
	var whole atomic.Int64
	for range streams {
		closed.Go(func() {
			if err := wholeStream(p.addr, opened.Done); err != nil {
				t.Error(err)
				return
			}
			whole.Add(1)
		})
	}
	opened.Wait()

	var load loaded
	var working sync.WaitGroup
	stop := make(chan struct{})
	for i := range 2 * agents {
		working.Go(func() { load.work(p.addr, i%2 == 0, stop) })
	}
	former := []*process{p}
	for range replacements {
		load.await(t, between)
		before := former[len(former)-1]
		next, err := start(before.cmd.Dir, append(before.cmd.Env, "CRED_PROXY_PORT="+p.addr[strings.LastIndexByte(p.addr, ':')+1:]))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(next.stop)
		load.await(t, between)
		before.cmd.Process.Signal(stopSignals[1])
		former = append(former, next)
	}
	load.await(t, between)
	close(stop)
	working.Wait()
	closed.Wait()
	for _, p := range former[:replacements] {
		if code, err := p.wait(); code != 0 || err != nil {
			t.Errorf("exit code %d, %v: %s", code, err, p.stderr)
		}
	}
	t.Logf("%d replacements under %d requests, of which %d were sent again as their kept connection was closed; %d of %d streams whole",
		replacements, load.done.Load(), load.again.Load(), whole.Load(), streams)
	if n := load.failed.Load(); n > 0 {
		t.Errorf("%d requests failed: %v", n, load.first.Load())
	}
}

// wholeStream opens a stream and reads it to its end.
func wholeStream(addr string, opened func()) error {
	const events = 100
	tell := sync.OnceFunc(opened)
	defer tell()
	resp, err := agent().Get(fmt.Sprintf("http://%s/a/sse?n=%d&ms=40", addr, events))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	tell()
	text, err := io.ReadAll(resp.Body)
	if n := strings.Count(string(text), "data: "); err != nil || n != events {
		return fmt.Errorf("%s, %d of %d events, %v: %.100q", resp.Status, n, events, err, text)
	}
	return nil
}

// loaded is what has come of requests.
type loaded struct {
	done, again, failed atomic.Int64
	first               atomic.Value // the first error, as a string
}

// await waits for n more requests.
func (l *loaded) await(t *testing.T, n int64) {
	for by, want := time.Now().Add(4*patience), l.done.Load()+n; l.done.Load() < want; time.Sleep(time.Millisecond) {
		if time.Now().After(by) {
			t.Fatalf("%d requests in %v", n-(want-l.done.Load()), 4*patience)
		}
	}
}

// work sends one request after the other. A connection that is kept may be
// closed when the next request is on its way: then it is sent again, as every
// client does (RFC 9112, section 9.3.1). Nothing else may go wrong.
func (l *loaded) work(addr string, keep bool, stop <-chan struct{}) {
	var kept *bufio.ReadWriter
	var conn net.Conn
	for {
		select {
		case <-stop:
			if conn != nil {
				conn.Close()
			}
			return
		default:
		}
		reused := conn != nil
		var err error
		if !reused {
			if conn, err = net.Dial("tcp", addr); err != nil {
				l.fail(err)
				conn = nil
				continue
			}
			kept = bufio.NewReadWriter(bufio.NewReader(conn), bufio.NewWriter(conn))
		}
		conn.SetDeadline(time.Now().Add(patience))
		stays, touched, err := oneMore(kept, keep)
		switch {
		case err == nil:
			l.done.Add(1)
		case reused && !touched:
			l.again.Add(1)
		default:
			l.fail(err)
		}
		if err != nil || !stays {
			conn.Close()
			conn = nil
		}
	}
}

func (l *loaded) fail(err error) {
	l.failed.Add(1)
	l.first.CompareAndSwap(nil, err.Error())
}

// oneMore sends a request and reads its answer. stays says that the connection can take another one, touched that something
// came back.
func oneMore(rw *bufio.ReadWriter, keep bool) (stays, touched bool, err error) {
	end := ""
	if !keep {
		end = "Connection: close\r\n"
	}
	fmt.Fprintf(rw, "GET /a/status/200 HTTP/1.1\r\nHost: x\r\n%s\r\n", end)
	if err := rw.Flush(); err != nil {
		return false, false, err
	}
	if _, err := rw.Peek(1); err != nil {
		return false, false, err
	}
	resp, err := http.ReadResponse(rw.Reader, nil)
	if err != nil {
		return false, true, err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return false, true, err
	}
	if resp.StatusCode != 200 {
		return false, true, errors.New(resp.Status)
	}
	return !resp.Close, true, nil
}
