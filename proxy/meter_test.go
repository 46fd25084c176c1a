package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// How much of a route is used, counted at the edges and under contention.

func testMeter(l RouteLimits) *meter { return newMeter(&RouteConfig{Path: "/a/", Limits: l}) }

// TestMeter: what is used comes back evenly, what is refused is not used, and the answer says when to come back.
func TestMeter(t *testing.T) {
	now := time.Now()
	enter := func(m *meter, want string, retry int) {
		t.Helper()
		refusal, after := m.enter(now)
		code := ""
		if refusal != nil {
			code = refusal.Code
		}
		if code != want || after != retry {
			t.Fatalf("%q after %d, want %q after %d", code, after, want, retry)
		}
	}
	if testMeter(RouteLimits{}) != nil {
		t.Error("a meter without limits")
	}

	m := testMeter(RouteLimits{PerMinute: 3, Concurrent: 5})
	for range 3 {
		enter(m, "", 0)
	}
	for range 100 {
		enter(m, "limit-rate", 20)
	}
	now = now.Add(19 * time.Second)
	enter(m, "limit-rate", 1)
	now = now.Add(time.Second)
	enter(m, "", 0)
	enter(m, "limit-rate", 20)
	now = now.Add(time.Hour)
	enter(m, "", 0)
	enter(m, "limit-concurrent", 1)
	m.leave()
	enter(m, "", 0)
	m.leave()
	enter(m, "", 0)
	m.leave()
	enter(m, "limit-rate", 20)

	const mib = 1 << 20
	m = testMeter(RouteLimits{BytesPerDay: 24 * mib})
	m.moved(24*mib-1, now)
	enter(m, "", 0)
	m.moved(1, now)
	enter(m, "limit-bytes", 1)
	m = testMeter(RouteLimits{BytesPerDay: 24 * mib})
	m.moved(23*mib, now)
	enter(m, "", 0)
	m.moved(3*mib, now) // what was under way goes on
	enter(m, "limit-bytes", 2*3600+1)
	m.moved(1000*mib, now)
	now = now.Add(1002 * time.Hour)
	enter(m, "limit-bytes", 1)
	now = now.Add(time.Second)
	enter(m, "", 0)
	m.moved(1<<43, now)
	if _, after := m.enter(now); after < 1<<30 {
		t.Errorf("after %d", after)
	}
}

// TestMeterConcurrent: however many ask at the same moment, no more are let in than may be, and refusing them costs those
// that come later nothing.
func TestMeterConcurrent(t *testing.T) {
	m, now := testMeter(RouteLimits{PerMinute: 60, Concurrent: 100}), time.Now()
	for _, want := range []int{60, 1, 1} {
		var let sync.Map
		var all sync.WaitGroup
		for i := range 200 {
			all.Go(func() {
				if r, _ := m.enter(now); r == nil {
					let.Store(i, true)
				}
			})
		}
		all.Wait()
		got := 0
		let.Range(func(any, any) bool { got++; return true })
		if got != want {
			t.Fatalf("%d were let in, want %d", got, want)
		}
		for range got {
			m.leave()
		}
		now = now.Add(time.Second)
	}
	if n := m.open.Load(); n != 0 {
		t.Errorf("%d are under way", n)
	}
}

// TestMeterWhileItGoes: what a stream moves is counted before it ends, both ways,
// each byte once.
func TestMeterWhileItGoes(t *testing.T) {
	more, done := make(chan bool), make(chan bool, 1)
	end := sync.OnceFunc(func() { close(more) })
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		for range more {
			w.Write(make([]byte, 100_000))
			w.(http.Flusher).Flush()
		}
	}))
	defer up.Close()
	defer end()
	s := newServer(t, Options{Getenv: func(string) string { return "token" }, Observer: func(*Event) { done <- true }},
		fmt.Sprintf(`{"routes": [{"path": "/a/", "upstream": %q, "auth_scheme": "", "token_env": "T",
			"limits": {"bytes_per_day": 1048576}}]}`, up.URL))
	m := s.table.Load().routes[0].meter
	used := func() int { return m.bytes.Burst() - int(m.bytes.TokensAt(time.Now().Add(-time.Hour))) } // nothing comes back meanwhile
	addr, _ := serve(t, s)
	conn := dialAgent(t, addr)
	fmt.Fprintf(conn, "POST /a/ HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\n%s", strings.Repeat("x", 300_000))
	more <- true
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(resp.Body, make([]byte, 100_000)); err != nil {
		t.Fatal(err)
	}
	sweeps, over := time.NewTicker(sweepEvery/8), time.After(10*time.Second)
	defer sweeps.Stop()
	for used() < 400_000 {
		select {
		case <-sweeps.C:
		case <-over:
			t.Fatalf("%d bytes are counted", used())
		}
	}
	more <- true
	end()
	if _, err := io.ReadAll(resp.Body); err != nil {
		t.Fatal(err)
	}
	<-done
	if n := used(); n < 500_000 || n > 502_000 {
		t.Errorf("%d bytes are counted", n)
	}
	if n := m.open.Load(); n != 0 {
		t.Errorf("%d are under way", n)
	}
}

// TestSettle: what comes on the connection after an exchange is none of its route's meter.
func TestSettle(t *testing.T) {
	conn, _ := net.Pipe()
	a, m := newAgent(New(Options{}), conn), testMeter(RouteLimits{Concurrent: 1})
	for range 2 {
		if r, _ := m.enter(time.Now()); r != nil {
			t.Fatal(r.Message)
		}
		a.tally.meter = m
		a.settle()
		a.settle() // of an exchange without a meter
		if n := m.open.Load(); n != 0 {
			t.Fatalf("%d are under way", n)
		}
	}
}

// TestSettleCounts: what an exchange has moved by its end is counted, and a limit of one byte is one.
func TestSettleCounts(t *testing.T) {
	conn, _ := net.Pipe()
	a, m := newAgent(New(Options{}), conn), testMeter(RouteLimits{BytesPerDay: 1})
	if r, _ := m.enter(time.Now()); r != nil {
		t.Fatal(r.Message)
	}
	a.tally.meter = m
	a.sock.wrote.Store(1000)
	a.settle()
	if r, _ := m.enter(time.Now()); r == nil {
		t.Error("another one is let in")
	}
}

func TestLimitsShown(t *testing.T) {
	for want, l := range map[string]RouteLimits{
		"": {}, "5 a minute": {PerMinute: 5}, "2 at a time, 7 bytes a day": {Concurrent: 2, BytesPerDay: 7},
	} {
		if got := l.String(); got != want {
			t.Errorf("%+v: %q", l, got)
		}
	}
}
