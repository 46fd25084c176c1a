package admin

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"credproxy/proxy"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
)

// aStatus is of a proxy with two routes, of which one has no token.
func aStatus() proxy.Status {
	return proxy.Status{Generation: 3, Hash: "0123456789ab", LastReload: time.Unix(1_700_000_000, 0), Failures: 1, LastError: "no good",
		LastErrorAt: time.Unix(1_700_000_001, 0), Routes: []proxy.RouteStatus{
			{Path: "/a/", Upstream: "https://a.example", Tokens: []proxy.TokenStatus{{Source: "env A", State: "set"}}},
			{Path: "/b/", Upstream: "https://b.example", Tokens: []proxy.TokenStatus{{Source: "env B", State: "unset", Problem: "env var B unset"}}},
		}}
}

func get(a *Admin, method, target string) *http.Response {
	w := httptest.NewRecorder()
	a.ServeHTTP(w, httptest.NewRequest(method, target, nil))
	return w.Result()
}

// metricsOf reads the metrics as Prometheus does.
func metricsOf(t *testing.T, a *Admin) map[string]*dto.MetricFamily {
	t.Helper()
	resp := get(a, "GET", "http://localhost/metrics")
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if got := resp.Header.Get("Content-Type"); expfmt.ResponseFormat(resp.Header) != expfmt.NewFormat(expfmt.TypeTextPlain) {
		t.Errorf("Content-Type %s", got)
	}
	var parser expfmt.TextParser
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		t.Fatalf("%v in:\n%s", err, text)
	}
	return families
}

// sample returns the metric of a family with these labels, as name=value.
func sample(t *testing.T, families map[string]*dto.MetricFamily, name string, labels ...string) *dto.Metric {
	t.Helper()
next:
	for _, m := range families[name].GetMetric() {
		has := map[string]bool{}
		for _, l := range m.GetLabel() {
			has[l.GetName()+"="+l.GetValue()] = true
		}
		for _, l := range labels {
			if !has[l] {
				continue next
			}
		}
		return m
	}
	t.Fatalf("no %s with %q in %v", name, labels, families[name])
	return nil
}

// TestMetrics: what was told is counted, under the names and labels that were promised, as Prometheus reads them.
func TestMetrics(t *testing.T) {
	a := New(Options{Status: aStatus, Version: `v1 "x"\`})
	e := proxy.Event{ID: 1, Time: time.Now(), Route: "/a/", Method: "POST"}
	a.Progress(&e)
	if got := sample(t, metricsOf(t, a), "credproxy_streams_open").GetGauge().GetValue(); got != 1 {
		t.Errorf("%v open", got)
	}
	e.Status = 200
	a.Progress(&e)
	e.BytesIn, e.BytesOut, e.FirstByte, e.Duration, e.Connection, e.Redactions = 10, 20, 30*time.Millisecond, 2*time.Second, "reused", 2
	e.Leaked, e.Compressed = true, true
	a.Finished(&e)
	a.Finished(&proxy.Event{ID: 2, Time: time.Now(), Method: "GET", Status: 404, Refusal: "no-route", FirstByte: time.Millisecond, Duration: time.Millisecond})
	a.Finished(&proxy.Event{ID: 3, Time: time.Now(), Route: "/a/", Status: 987, Duration: time.Hour, Connection: "failed"})

	m := metricsOf(t, a)
	for _, c := range []struct {
		name   string
		labels []string
		want   float64
	}{
		{"credproxy_exchanges_total", []string{"route=/a/", "method=POST", "code=200", "refusal="}, 1},
		{"credproxy_exchanges_total", []string{"route=", "method=GET", "code=404", "refusal=no-route"}, 1},
		{"credproxy_exchanges_total", []string{"route=/a/", "method=other", "code=9xx", "refusal="}, 1},
		{"credproxy_bytes_total", []string{"route=/a/", "direction=in"}, 10},
		{"credproxy_bytes_total", []string{"route=/a/", "direction=out"}, 20},
		{"credproxy_streams_open", nil, 0},
		{"credproxy_upstream_connections_total", []string{"route=/a/", "kind=reused"}, 1},
		{"credproxy_upstream_connections_total", []string{"route=/a/", "kind=failed"}, 1},
		{"credproxy_upstream_connections_total", []string{"route=/a/", "kind=new"}, 0},
		{"credproxy_reloads_total", []string{"result=ok"}, 2},
		{"credproxy_reloads_total", []string{"result=failed"}, 1},
		{"credproxy_redactions_total", []string{"route=/a/"}, 2},
		{"credproxy_leaked_requests_total", []string{"route=/a/"}, 1},
		{"credproxy_compressed_answers_total", []string{"route=/a/"}, 1},
		{"credproxy_build_info", []string{`version=v1 "x"\`}, 1},
		{"credproxy_table_generation", nil, 3},
		{"credproxy_table_info", []string{"hash=0123456789ab"}, 1},
		{"credproxy_ready", nil, 0},
	} {
		s := sample(t, m, c.name, c.labels...)
		if got := s.GetCounter().GetValue() + s.GetGauge().GetValue(); got != c.want {
			t.Errorf("%s%q = %v, want %v", c.name, c.labels, got, c.want)
		}
	}
	first := sample(t, m, "credproxy_first_byte_seconds", "route=/a/").GetHistogram()
	if first.GetSampleCount() != 1 || first.GetSampleSum() != .03 {
		t.Errorf("first byte: %v", first)
	}
	all := sample(t, m, "credproxy_exchange_seconds", "route=/a/").GetHistogram()
	var below, infinite uint64
	for _, b := range all.GetBucket() {
		if b.GetUpperBound() == 2.5 {
			below = b.GetCumulativeCount()
		}
		if math.IsInf(b.GetUpperBound(), 1) {
			infinite = b.GetCumulativeCount()
		}
	}
	if below != 1 || infinite != 2 || all.GetSampleCount() != 2 || all.GetSampleSum() != 3602 {
		t.Errorf("exchanges: %v", all)
	}
	for _, name := range []string{"go_goroutines", "go_info", "go_memstats_sys_bytes", "go_threads", "go_gc_cycles_total_gc_cycles_total", "process_start_time_seconds"} {
		if m[name] == nil {
			t.Errorf("no %s", name)
		}
	}
}

// TestMetricsLint: the linter of Prometheus' client library has nothing to say.
func TestMetricsLint(t *testing.T) {
	a := New(Options{Status: aStatus})
	a.Finished(&proxy.Event{ID: 1, Time: time.Now(), Route: "/a/", Method: "GET", Status: 200, Connection: "new"})
	problems, err := promlint.New(get(a, "GET", "http://localhost/metrics").Body).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// TestMetricsAreBounded: neither agents nor upstreams nor tables that come and go make series without end.
func TestMetricsAreBounded(t *testing.T) {
	a := New(Options{Status: aStatus})
	for status := range 1000 {
		a.Finished(&proxy.Event{Route: "/a/", Method: "GET", Status: status})
	}
	if n := len(a.exchanges); n > 80 {
		t.Errorf("%d series of 1000 statuses", n)
	}
	for i := range 2 * maxRoutes {
		for _, method := range []string{"GET", "PUT", "POST"} {
			a.Finished(&proxy.Event{ID: proxy.ID(i), Time: time.Now(), Route: fmt.Sprintf("/%d/", i), Method: method, Status: 200})
		}
	}
	if len(a.exchanges) > maxSeries+1 || len(a.routes) > maxRoutes {
		t.Errorf("%d series, %d routes", len(a.exchanges), len(a.routes))
	}
	m := metricsOf(t, a)
	sample(t, m, "credproxy_exchanges_total", "route=other")
	sample(t, m, "credproxy_bytes_total", "route=other")
	if len(a.recent.ring) != maxRecent || len(a.recent.since(0)) != maxRecent {
		t.Errorf("%d exchanges are kept", len(a.recent.ring))
	}
}

// TestRecent: what is kept comes out once, in order.
func TestRecent(t *testing.T) {
	var r recent
	if got := r.since(0); len(got) != 0 {
		t.Error(got)
	}
	var seq uint64
	for n := range 3 * maxRecent {
		r.add(record{status: n})
		if n%7 == 0 {
			for _, x := range r.since(seq) {
				if x.seq != seq+1 || x.status != int(seq) {
					t.Fatalf("%d behind %d", x.seq, seq)
				}
				seq = x.seq
			}
		}
	}
	if all := r.since(5); len(all) != maxRecent || all[0].seq != 2*maxRecent+1 || all[maxRecent-1].seq != 3*maxRecent {
		t.Errorf("%d from %d", len(all), all[0].seq)
	}
}

// TestWindow: rates are of late, quantiles of five minutes, and what is over is forgotten.
func TestWindow(t *testing.T) {
	var l live
	now := time.Unix(1_700_000_002, 500_000_000) // in the middle of a slot
	for i := range 100 {
		l.count(&proxy.Event{Status: 200, BytesOut: 50, FirstByte: time.Duration(i+1) * time.Millisecond}, now.Add(-5*time.Second))
	}
	l.count(&proxy.Event{Status: 403, Refusal: "push", FirstByte: time.Hour}, now)
	w := l.window(now)
	if math.Abs(w.rate-101/12.5) > .01 || math.Abs(w.out-5000/12.5) > .01 || w.n != 101 || w.refused != 1 {
		t.Errorf("%+v", w)
	}
	if math.Abs(w.p50-50) > 10 || math.Abs(w.p95-95) > 20 || len(w.spark) != slots || w.spark[slots-2] != w.p50 || w.spark[slots-1] != -1 {
		t.Errorf("p50 %v, p95 %v, %v", w.p50, w.p95, w.spark)
	}
	if w := l.window(now.Add(slots * slotFor)); w.n != 0 || w.rate != 0 || w.p50 != -1 {
		t.Errorf("five minutes later: %+v", w)
	}
	l.count(&proxy.Event{Status: 200}, now.Add(-time.Hour)) // a clock that was set back
	if w := l.window(now.Add(-time.Hour)); w.n != 1 {
		t.Errorf("after a step back: %+v", w)
	}
}

// TestQuantiles: a digest is right to a fifth over all that it is for, and bounded beyond.
func TestQuantiles(t *testing.T) {
	for us := time.Duration(64); us < 250e6; us = us*11/10 + 1 {
		var d digest[uint16]
		d.add(us * time.Microsecond)
		got, want := d.quantile(1), float64(us)/1e3
		if got < want/1.01 || got > want*1.51 {
			t.Fatalf("%v ms for %v ms", got, want)
		}
	}
	var d digest[uint16]
	for range 1 << 17 {
		d.add(time.Millisecond)
	}
	d.add(time.Hour)
	d.add(-time.Hour)
	if got := d.quantile(.5); got < .7 || got > 1.1 {
		t.Errorf("%v", got)
	}
	if got := new(digest[uint32]).quantile(.5); got >= 0 {
		t.Errorf("%v of nothing", got)
	}
}

// TestRefusesStrangers: no web page can have its own name stand for this port, and nothing can be changed here.
func TestRefusesStrangers(t *testing.T) {
	a := New(Options{Status: aStatus, Name: "Proxy.Example.com"})
	for host, want := range map[string]int{
		"localhost": 200, "localhost:9100": 200, "127.0.0.1:9100": 200, "10.1.2.3": 200, "[::1]:9100": 200, "cred-proxy:9100": 200,
		"proxy.example.com:9100": 200, "x.svc.cluster.local": 200, "a.internal:1": 200, "": 200,
		"evil.example": 403, "localhost.evil.example:9100": 403, "127.0.0.1.evil.example": 403, "internal.evil.example": 403, "a.local.": 200,
	} {
		r := httptest.NewRequest("GET", "/livez", nil)
		r.Host = host
		w := httptest.NewRecorder()
		a.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("%q: %d, want %d", host, w.Code, want)
		}
	}
	for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS", "TRACE"} {
		if resp := get(a, method, "http://localhost/status"); resp.StatusCode != 405 {
			t.Errorf("%s: %s", method, resp.Status)
		}
	}
	for path := range resources {
		resp := get(a, "HEAD", "http://localhost"+path)
		if p := resp.Header.Get("Content-Security-Policy"); !strings.HasPrefix(p, "default-src 'none'; script-src 'sha256-") ||
			resp.Header.Get("X-Content-Type-Options") != "nosniff" || resp.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %v", path, resp.Header)
		}
		if resp.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: for all", path)
		}
	}
	if resp := get(a, "GET", "http://localhost/metrics/../etc"); resp.StatusCode != 404 {
		t.Error(resp.Status)
	}
}

// TestPageIsWhole: the page names nothing outside of itself, and its text is never made of markup.
func TestPageIsWhole(t *testing.T) {
	if m := regexp.MustCompile(`(?i)(src|href)="[^"]|url\(|@import|innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(`).FindAll(pageHTML, -1); len(m) != 1 || string(m[0]) != `href="d` {
		t.Errorf("%q", m)
	}
	if n := bytes.Count(pageHTML, []byte("<script>")) + bytes.Count(pageHTML, []byte("<style>")); n != 2 {
		t.Errorf("%d scripts and styles", n)
	}
}

// serving serves a on a port of its own until the test is over.
func serving(t *testing.T, a *Admin) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() { a.Serve(ln) })
	t.Cleanup(func() {
		a.Close()
		wg.Wait()
	})
	return ln.Addr().String()
}

// TestEvents: a page is told what is kept, then what comes, and the state.
func TestEvents(t *testing.T) {
	a := New(Options{Status: aStatus, Version: "v1"})
	a.Finished(&proxy.Event{ID: 7, Time: time.Now(), Route: "/a/", Method: "GET", Path: "/a/<b>\n", Status: 200, FirstByte: time.Millisecond})
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 20 * time.Second}
	resp, err := client.Get("http://" + serving(t, a) + "/events")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got := resp.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Error(got)
	}
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 1<<20)
	next := func(event string, v any) {
		t.Helper()
		for seen := false; lines.Scan(); {
			if lines.Text() == "event: "+event {
				seen = true
			} else if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok && seen {
				if err := json.Unmarshal([]byte(data), v); err != nil {
					t.Fatalf("%v: %s", err, data)
				}
				return
			}
		}
		t.Fatal("the stream ends: ", lines.Err())
	}
	var ended []exchangeJSON
	next("exchanges", &ended)
	if len(ended) != 1 || ended[0].Path != "/a/<b>\n" || ended[0].ID != "0000000000000007" {
		t.Errorf("%+v", ended)
	}
	var s stateJSON
	next("state", &s)
	if len(s.Routes) != 2 || !s.Routes[0].Ready || s.Routes[1].Ready || len(s.Routes[0].Spark) != slots || s.Generation != 3 || len(s.Missing) != 1 || s.Error != "no good" {
		t.Errorf("%+v", s)
	}
	long := "/a/" + strings.Repeat("x", maxPath)
	a.Progress(&proxy.Event{ID: 10, Time: time.Now(), Route: "/a/", Method: "POST", Path: long})
	a.Progress(&proxy.Event{ID: 8, Time: time.Now().Add(-time.Second), Route: "/a/", Method: "POST", Path: "/a/c"})
	a.Finished(&proxy.Event{ID: 9, Time: time.Now(), Status: 404, Refusal: "no-route", Path: "/none"})
	next("exchanges", &ended)
	if len(ended) != 1 || ended[0].Refusal != "no-route" {
		t.Errorf("%+v", ended)
	}
	s = stateJSON{}
	next("state", &s)
	if len(s.Open) != 2 || s.OpenInAll != 2 || s.Routes[0].Open != 2 || len(s.Routes) != 3 || s.Routes[2].Refused != 1 {
		t.Errorf("%+v", s)
	} else if s.Open[0].Path != "/a/c" || s.Open[1].Path != long[:maxPath]+"…" { // the oldest first
		t.Errorf("%+v", s.Open)
	}
}

// TestPagesAreBounded: one page more than there may be is told so, and has no part in what the others take.
func TestPagesAreBounded(t *testing.T) {
	a := New(Options{Status: aStatus})
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 20 * time.Second}
	url := "http://" + serving(t, a) + "/events"
	for n := range maxPages + 1 {
		resp, err := client.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		want := http.StatusOK
		if n == maxPages {
			want = http.StatusServiceUnavailable
		}
		if resp.StatusCode != want {
			t.Errorf("page %d: %s", n+1, resp.Status)
		}
	}
}

// TestNoRoutes: a proxy that has not loaded any routes yet is not ready, and says why.
func TestNoRoutes(t *testing.T) {
	resp := get(New(Options{Status: func() proxy.Status { return proxy.Status{} }}), "GET", "http://localhost/readyz")
	if said, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusServiceUnavailable || string(said) != "not ready: no routes are loaded\n" {
		t.Errorf("%s: %q", resp.Status, said)
	}
}

// TestPanics: what goes wrong in here is told to the operator by its type, as its text may hold anything, and ends one
// connection, nothing else.
func TestPanics(t *testing.T) {
	told := make(chan string, 1)
	for _, warn := range []func(string){nil, func(s string) { told <- s }} {
		addr := serving(t, New(Options{Status: func() proxy.Status { panic("a secret") }, Warn: warn}))
		if resp, err := http.Get("http://" + addr + "/status"); err == nil {
			t.Errorf("answered: %s", resp.Status)
		}
		resp, err := http.Get("http://" + addr + "/livez")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	if got := <-told; got != "internal error (string) on the admin port" {
		t.Errorf("told %q", got)
	}
}

// failing is a listener that fails so often.
type failing struct {
	net.Listener
	left int
}

func (l *failing) Accept() (net.Conn, error) {
	if l.left--; l.left >= 0 {
		return nil, syscall.ENOMEM
	}
	return nil, net.ErrClosed
}

// TestAcceptFails: a connection that cannot be accepted does not end the port.
func TestAcceptFails(t *testing.T) {
	b := &bounded{Listener: &failing{left: 2}}
	if _, err := b.Accept(); err != net.ErrClosed {
		t.Error(err)
	}
}

// TestConnectionsAreBounded: who takes all places loses them soon, and takes no more than there are.
func TestConnectionsAreBounded(t *testing.T) {
	a := New(Options{Status: aStatus})
	addr := serving(t, a)
	var conns []net.Conn
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	closed := 0
	for range 2 * maxConns {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, c)
	}
	for _, c := range conns[maxConns:] {
		c.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, err := c.Read(make([]byte, 1)); err != nil && !isTimeout(err) {
			closed++
		}
	}
	if closed != maxConns {
		t.Errorf("%d of %d further connections are closed", closed, maxConns)
	}
	conns[0].Close()
	resp, err := http.Get("http://" + addr + "/livez")
	for end := time.Now().Add(10 * time.Second); err != nil && time.Now().Before(end); {
		resp, err = http.Get("http://" + addr + "/livez") // until it is noticed that there is a place
	}
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	// A request whose body never comes holds its place no longer than any other.
	for i, r := range []struct{ method, host, status string }{
		{"GET", "localhost", "400"}, {"POST", "localhost", "405"}, {"GET", "evil.example", "403"},
	} {
		c := conns[1+i]
		c.SetDeadline(time.Now().Add(10 * time.Second))
		fmt.Fprintf(c, "%s /livez HTTP/1.1\r\nHost: %s\r\nContent-Length: 5\r\n\r\n", r.method, r.host)
		if answer, err := io.ReadAll(c); err != nil || !bytes.HasPrefix(answer, []byte("HTTP/1.1 "+r.status+" ")) {
			t.Errorf("%s, Host %s: %v, %.100q", r.method, r.host, err, answer)
		}
	}
}

func isTimeout(err error) bool {
	e, ok := err.(net.Error)
	return ok && e.Timeout()
}

// BenchmarkObserve is what an exchange costs while the port is on.
func BenchmarkObserve(b *testing.B) {
	a := New(Options{Status: aStatus})
	e := proxy.Event{Time: time.Now(), Route: "/a/", Method: "GET", Path: "/a/b", FirstByte: time.Millisecond, Duration: time.Second,
		Connection: "reused", Peer: &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 99}}
	b.ReportAllocs()
	for b.Loop() {
		e.ID++
		e.Status = 0
		a.Progress(&e)
		e.Status = 200
		a.Progress(&e)
		a.Finished(&e)
	}
}
