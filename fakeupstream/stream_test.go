package fakeupstream_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"credproxy/fakeupstream"
)

// Streams of events, in lock-step and on a timetable.

func TestStreamInLockStep(t *testing.T) {
	up := start(t)
	ctx := t.Context()
	resp := get(t, up, "/sse?name=a") // the head is there before any event
	if got := resp.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Errorf("Content-Type %q", got)
	}
	if err := up.WaitStream(ctx, "a"); err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 100)
	for _, data := range []string{"one", "two"} {
		if err := up.Emit(ctx, "a", data); err != nil {
			t.Fatal(err)
		}
		n, err := resp.Body.Read(p)
		if got, want := string(p[:n]), "data: "+data+"\n\n"; got != want || err != nil {
			t.Errorf("event %q, %v, want %q", got, err, want)
		}
	}
	if err := up.EmitEvent(ctx, "a", fakeupstream.Event{Comment: "ping", Event: "e", ID: "7", Retry: time.Second, Data: "x\ny"}); err != nil {
		t.Fatal(err)
	}
	n, _ := resp.Body.Read(p)
	if got, want := string(p[:n]), ": ping\nevent: e\nid: 7\nretry: 1000\ndata: x\ndata: y\n\n"; got != want {
		t.Errorf("event %q want %q", got, want)
	}
	if err := up.EndStream(ctx, "a"); err != nil {
		t.Fatal(err)
	}
	if n, err := resp.Body.Read(p); n != 0 || err != io.EOF {
		t.Errorf("end: %d bytes, %v", n, err)
	}
	if err := up.WaitStreamGone(ctx, "a"); err == nil {
		t.Error("WaitStreamGone of a stream that the server has ended: no error")
	}
	get(t, up, "/echo")
	if accepted, open := up.Connections(); accepted != 1 || open != 1 {
		t.Errorf("%d connections accepted, %d open: the connection was not kept", accepted, open)
	}
}

func TestEmitIsOneChunk(t *testing.T) {
	up := start(t)
	w := dial(t, up)
	w.send(t, "GET /sse HTTP/1.1\r\nHost: x\r\n\r\n")
	if err := up.Emit(t.Context(), "", "hi"); err != nil {
		t.Fatal(err)
	}
	if err := up.EndStream(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	w.response(t, "HEAD") // leaves the body on the wire
	const want = "a\r\ndata: hi\n\n\r\n0\r\n\r\n"
	p := make([]byte, len(want))
	if _, err := io.ReadFull(w, p); string(p) != want {
		t.Errorf("wire %q, %v, want %q", p, err, want)
	}
}

func TestCutStream(t *testing.T) {
	up := start(t)
	resp := get(t, up, "/sse")
	if err := up.Emit(t.Context(), "", "x"); err != nil {
		t.Fatal(err)
	}
	if err := up.CutStream(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	if p, err := io.ReadAll(resp.Body); err != io.ErrUnexpectedEOF || string(p) != "data: x\n\n" {
		t.Errorf("read %q, %v", p, err)
	}
}

func TestSilentStreamNoticesItsClientLeaving(t *testing.T) {
	leave := map[string]func(*wire){
		"close":      func(w *wire) { w.Conn.Close() },
		"FIN":        func(w *wire) { w.tcp.Close() },
		"half-close": func(w *wire) { w.tcp.CloseWrite() },
		"RST":        func(w *wire) { w.tcp.SetLinger(0); w.tcp.Close() },
	}
	for name, leave := range leave {
		for _, plain := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/plain=%v", name, plain), func(t *testing.T) {
				up := start(t, fakeupstream.Options{Plain: plain})
				w := dial(t, up)
				w.send(t, "GET /sse?name=s HTTP/1.1\r\nHost: x\r\n\r\n")
				if err := up.WaitStream(t.Context(), "s"); err != nil {
					t.Fatal(err)
				}
				leave(w)
				if err := up.WaitStreamGone(t.Context(), "s"); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// TestStreamWhoseClientLeavesBeforeItsHead is about the moment in which a
// stream is open, since its name can be waited for, but has no head yet.
func TestStreamWhoseClientLeavesBeforeItsHead(t *testing.T) {
	up := start(t)
	if err := up.Inject(fakeupstream.Fault{Kind: fakeupstream.FaultDrip, Every: 2 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	w := dial(t, up)
	w.send(t, "GET /sse?name=s HTTP/1.1\r\nHost: x\r\n\r\n")
	if err := up.WaitStream(t.Context(), "s"); err != nil {
		t.Fatal(err)
	}
	w.tcp.SetLinger(0)
	w.tcp.Close()
	if err := up.WaitStreamGone(t.Context(), "s"); err != nil {
		t.Error(err)
	}
}

func TestTimetable(t *testing.T) {
	up := start(t)
	resp := get(t, up, "/sse?n=3&ms=5&id=1&ping=2&retry=100&event=tick")
	var lines []string
	last := int64(0)
	for scanner := bufio.NewScanner(resp.Body); scanner.Scan(); {
		line := scanner.Text()
		if data, ok := strings.CutPrefix(line, "data: "); ok {
			var e struct{ N, T int64 }
			if err := json.Unmarshal([]byte(data), &e); err != nil || e.T <= last || e.T > time.Now().UnixNano() {
				t.Errorf("event %s: %v", data, err)
			}
			last, line = e.T, fmt.Sprintf("data %d", e.N)
		}
		lines = append(lines, line)
	}
	want := "event: tick|id: 1|retry: 100|data 1||: ping|event: tick|id: 2|data 2||event: tick|id: 3|data 3|"
	if got := strings.Join(lines, "|"); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
