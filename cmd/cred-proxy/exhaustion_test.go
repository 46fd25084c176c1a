package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"credproxy/fakeupstream"
	"credproxy/proxy"
)

// The tests here have agents, and an upstream, take as much as they can get:
// connections, time, memory. What they are to leave for others is asked for all
// the while.

// waits are how long a decent agent's requests took, shortest first: through the
// program, and straight to the upstream at the same time.
type waits struct{ proxied, direct []time.Duration }

// aDecentAgent makes requests at an interval, one after the other, until stop is called. Every
// one must be answered by the upstream.
func aDecentAgent(t *testing.T, up *fakeupstream.Server, p *process, every time.Duration) (stop func() waits) {
	t.Helper()
	done, ended := make(chan struct{}), make(chan struct{})
	var took waits
	var failed error
	go func() {
		defer close(ended)
		agent := &http.Client{Transport: &http.Transport{}, Timeout: patience}
		defer agent.CloseIdleConnections()
		ask := func(client *http.Client, url string) (time.Duration, error) {
			began := time.Now()
			resp, err := client.Get(url)
			if err == nil {
				if resp.Body.Close(); resp.StatusCode != 204 {
					err = errors.New(resp.Status)
				}
			}
			return time.Since(began), err
		}
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
			}
			direct, err := ask(up.Client(), up.URL+"/status/204")
			proxied, proxyErr := ask(agent, "http://"+p.addr+"/a/status/204")
			if failed = errors.Join(err, proxyErr); failed != nil {
				return
			}
			took.direct = append(took.direct, direct)
			took.proxied = append(took.proxied, proxied)
		}
	}()
	return func() waits {
		t.Helper()
		close(done)
		<-ended
		if failed != nil {
			t.Errorf("a decent agent's request failed: %v", failed)
		}
		slices.Sort(took.direct)
		slices.Sort(took.proxied)
		if n := len(took.proxied); n > 0 {
			t.Logf("a decent agent: %d requests, median %v, 99 %% within %v; without the program %v, %v",
				n, took.proxied[n/2], took.proxied[n*99/100], took.direct[n/2], took.direct[n*99/100])
		}
		return took
	}
}

// notDelayed checks that a decent agent did not have to wait for others, but for
// a machine that makes everybody wait.
func notDelayed(t *testing.T, took waits) {
	t.Helper()
	n := len(took.proxied)
	if n < 10 || took.proxied[n*9/10] > 250*time.Millisecond+10*took.direct[n*9/10] {
		t.Errorf("a decent agent had to wait: %v", took)
	}
}

// TestExhaustionDribble: 100 agents that dribble the head of a request and 100
// that dribble its body delay nobody, and are told and cut in time.
func TestExhaustionDribble(t *testing.T) {
	const each, limit = 100, 2 * time.Second
	up := fakeupstream.NewTest(t)
	p := serve(t, up, "A_TOKEN=token-of-route-a", "CRED_PROXY_HEAD_TIMEOUT="+limit.String(),
		"CRED_PROXY_SILENCE_TIMEOUT="+limit.String(), "CRED_PROXY_MIN_RATE=1000000")
	stop := make(chan struct{})
	defer close(stop)
	done := aDecentAgent(t, up, p, 5*time.Millisecond)
	var wg sync.WaitGroup
	var slow atomic.Int32
	for begin, code := range map[string]string{
		"GET /a/x HTTP/1.1\r\nX-": "head-timeout",
		"POST /a/sink HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n": "body-slow",
	} {
		for range each {
			c, err := dial(p.addr)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.tcp.Close() })
			if err := c.send([]byte(begin)); err != nil {
				t.Fatal(err)
			}
			go dribble(c, 100*time.Millisecond, stop)
			wg.Go(func() {
				began := time.Now()
				head, err := c.readHead()
				_, got, _ := strings.Cut(head, "\nX-Cred-Proxy-Error: ")
				switch got, _, _ = strings.Cut(got, "\n"); {
				case err == nil && got == "body-slow":
					slow.Add(1)
				case err == nil && got == "body-timeout": // this machine was, to dribble
				case err != nil || got != code:
					t.Errorf("%s: %q, %v", code, head, err)
					return
				}
				if took := time.Since(began); took < limit/2 || took > limit+patience/2 {
					t.Errorf("%s: cut after %v, limit %v", code, took, limit)
				}
			})
		}
	}
	wg.Wait()
	if n := slow.Load(); n < each/2 {
		t.Errorf("%d of %d bodies were found slow", n, each)
	}
	notDelayed(t, done())
}

// TestExhaustionSilence: 5,000 agents that connect and say nothing delay nobody,
// take little memory, and are cut in time.
func TestExhaustionSilence(t *testing.T) {
	const limit = 3 * time.Second
	agents := 5000
	if testing.Short() || raceDetector {
		agents = 500
	}
	up := fakeupstream.NewTest(t)
	p := serve(t, up, "A_TOKEN=token-of-route-a", "CRED_PROXY_HEAD_TIMEOUT="+limit.String(), fmt.Sprintf("CRED_PROXY_MAX_AGENTS=%d", agents+100))
	if strings.Contains(p.stderr.String(), "descriptors, and -max-agents") {
		t.Skipf("too few descriptors here: %s", p.stderr)
	}
	done := aDecentAgent(t, up, p, 5*time.Millisecond)
	conns := make([]net.Conn, agents)
	for i := range conns {
		c, err := net.DialTimeout("tcp", p.addr, patience)
		if errors.Is(err, syscall.EMFILE) {
			t.Skipf("too few descriptors for the test itself: %v", err)
		}
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		conns[i] = c
	}
	last := time.Now()
	for i, c := range conns {
		c.SetReadDeadline(last.Add(limit + patience))
		if n, err := c.Read(make([]byte, 1)); n != 0 || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("agent %d: %d bytes, %v", i, n, err)
		}
	}
	if took := time.Since(last); took > 3*limit {
		t.Errorf("the last was cut after %v, limit %v", took, limit)
	}
	notDelayed(t, done())
	if runtime.GOOS == "linux" && !raceDetector {
		peak := peakMemory(t, p)
		t.Logf("%d silent agents: peak of resident memory %.1f MiB", agents, float64(peak)/(1<<20))
		if max := int64(32<<20 + agents*16<<10); peak > max {
			t.Errorf("peak of resident memory: %d bytes, want at most %d", peak, max)
		}
	}
}

// TestExhaustionPlaces: 300 agents that say nothing do not keep the 20 places from
// those that do, neither from one that has a place nor from one that comes.
func TestExhaustionPlaces(t *testing.T) {
	const places, silent = 20, 300
	up := fakeupstream.NewTest(t)
	p := serve(t, up, "A_TOKEN=token-of-route-a", fmt.Sprintf("CRED_PROXY_MAX_AGENTS=%d", places))
	there, err := dial(p.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer there.tcp.Close()
	ask := func(c *conn) {
		t.Helper()
		if err := c.send([]byte("GET /a/status/204 HTTP/1.1\r\nHost: x\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
		if head, err := c.readHead(); err != nil || !strings.HasPrefix(head, "HTTP/1.1 204 ") {
			t.Fatalf("%q, %v", head, err)
		}
	}
	ask(there)
	stop := make(chan struct{})
	kept := make(chan int)
	go func() { // it goes on all the while, and is idle most of it
		n, tick := 0, time.NewTicker(20*time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				kept <- n
				return
			case <-tick.C:
				if there.send([]byte("GET /a/status/204 HTTP/1.1\r\nHost: x\r\n\r\n")) == nil {
					if head, err := there.readHead(); err != nil || !strings.HasPrefix(head, "HTTP/1.1 204 ") {
						t.Errorf("after %d requests: %q, %v", n, head, err)
						kept <- n
						return
					}
					n++
				}
			}
		}
	}()
	for range silent {
		c, err := dial(p.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.tcp.Close()
	}
	began := time.Now()
	c, err := dial(p.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.tcp.Close()
	ask(c)
	took := time.Since(began)
	close(stop)
	n := <-kept
	t.Logf("with %d silent agents at %d places, one that came was answered after %v; one that was there was %d times", silent, places, took, n)
	if took > 3*time.Second {
		t.Errorf("who came was answered after %v", took)
	}
	if n == 0 {
		t.Error("who was there was not answered")
	}
}

// TestExhaustionHeaderBomb: heads that are as much work as 64 KiB can be delay
// nobody: thousands of connection options to compare with each field, as many
// fields as there may be and more.
func TestExhaustionHeaderBomb(t *testing.T) {
	agents, heads := 16, 8
	if testing.Short() || raceDetector {
		heads = 4
	}
	up := fakeupstream.NewTest(t)
	p := serve(t, up, "A_TOKEN=token-of-route-a")
	const begin = "GET /a/status/204 HTTP/1.1\r\nHost: x\r\n"
	options := strings.TrimSuffix(strings.Repeat("o,", 60), ",")
	bombs := map[string]int{
		begin + strings.Repeat("X-Y:\r\n", 200) + "Connection: " + strings.Repeat("o,", 30_000) + "\r\n\r\n":     400,
		begin + strings.Repeat("Connection: o,p,q\r\n", 250) + "\r\n":                                            400,
		begin + strings.Repeat("o:\r\n", 250) + "Connection: close," + options + "\r\n\r\n":                      204,
		begin + strings.Repeat("x:\r\n", 15_000) + "\r\n":                                                        431,
		begin + "Connection: close\r\nX: " + strings.Repeat(`%41\u0041`, 6900) + "\r\n\r\n":                      204,
		begin + "Connection: close\r\nX: " + strings.Repeat("\t", 60_000) + "\r\n\r\n":                           204,
		"GET /a/" + strings.Repeat("%252e", 3000) + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n":          200,
		"GET /a/" + strings.Repeat("./", 8000) + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n":             400,
		"GET /a/info/refs?" + strings.Repeat("%25;", 4000) + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n": 200,
	}
	done := aDecentAgent(t, up, p, 5*time.Millisecond)
	var wg sync.WaitGroup
	for range agents {
		wg.Go(func() {
			for range heads {
				for bomb, want := range bombs {
					c, err := dial(p.addr)
					if err != nil {
						t.Error(err)
						return
					}
					c.send([]byte(bomb))
					head, err := c.readHead()
					if !strings.HasPrefix(head, fmt.Sprintf("HTTP/1.1 %d ", want)) {
						t.Errorf("%.100q: %q, %v", bomb, head, err)
					}
					c.tcp.Close()
				}
			}
		})
	}
	wg.Wait()
	notDelayed(t, done())
}

// TestExhaustionPipeline: agents that send requests without end and read no
// answer are not read without end; nobody is delayed, and whoever reads at last
// gets every answer, in order.
func TestExhaustionPipeline(t *testing.T) {
	const agents, requests = 4, 20_000
	up := fakeupstream.NewTest(t)
	p := serve(t, up, "A_TOKEN=token-of-route-a")
	done := aDecentAgent(t, up, p, 5*time.Millisecond)
	var flood bytes.Buffer
	for i := range requests {
		fmt.Fprintf(&flood, "GET /none/%0800d HTTP/1.1\r\nHost: x\r\n\r\n", i)
	}
	var wg sync.WaitGroup
	for n := range agents {
		c, err := dial(p.addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.tcp.Close() })
		c.tcp.SetDeadline(time.Now().Add(4 * patience))
		stuck := make(chan struct{})
		var sent atomic.Int64
		wg.Go(func() {
			for p := flood.Bytes(); len(p) > 0; {
				m, err := c.tcp.Write(p[:min(len(p), 4096)])
				sent.Add(int64(m))
				if p = p[m:]; err != nil && n == 0 {
					return
				} else if err != nil {
					t.Errorf("agent %d, after %d bytes: %v", n, sent.Load(), err)
					return
				}
			}
		})
		go func() {
			settled(func() int { return int(sent.Load()) }) // nothing more is taken
			close(stuck)
		}()
		wg.Go(func() {
			<-stuck
			if n == 0 {
				return // never reads
			}
			br := bufio.NewReader(c.tcp)
			for i := range requests {
				resp, err := http.ReadResponse(br, nil)
				if err != nil {
					t.Errorf("agent %d, answer %d: %v", n, i, err)
					return
				}
				body, err := io.ReadAll(resp.Body)
				if want := fmt.Sprintf("no route for '/none/%0800d'\n", i); string(body) != want || err != nil {
					t.Errorf("agent %d, answer %d: %q, %v, want %q", n, i, body, err, want)
					return
				}
			}
		})
		if n == 0 {
			<-stuck
			t.Logf("an agent that never reads could send %d of %d bytes", sent.Load(), flood.Len())
			if sent.Load() == int64(flood.Len()) {
				t.Error("an agent that never reads is read without end")
			}
			c.tcp.Close()
		}
	}
	wg.Wait()
	notDelayed(t, done())
}

// TestReloadStorm: reloads without a pause, among them ones that fail, and routes
// that move to another upstream and back, under load: no request fails.
func TestReloadStorm(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("there is no SIGHUP")
	}
	const agents, reloads = 4, 60
	up, other := fakeupstream.NewTest(t), fakeupstream.NewTest(t)
	p := serve(t, up, "A_TOKEN=token-of-route-a")
	dir := p.cmd.Dir
	if err := os.WriteFile(filepath.Join(dir, "ca.pem"), append(slices.Clone(up.CAPEM), other.CAPEM...), 0o666); err != nil {
		t.Fatal(err)
	}
	p.stop()
	p, err := start(dir, p.cmd.Env)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.stop)
	stops := make([]func() waits, agents)
	for i := range stops {
		stops[i] = aDecentAgent(t, up, p, 50*time.Microsecond)
	}
	// Many routes, so that building a table takes its time.
	var many strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&many, `{"path": "/many/%d/", "upstream": "https://127.0.0.1:1/%d", "auth_scheme": "", "token_env": "A_TOKEN"}, `, i, i)
	}
	route := `{"path": "/%s/", "upstream": %q, "auth_scheme": "Bearer", "token_env": "A_TOKEN"}`
	tables := []string{
		`{"routes": [` + many.String() + fmt.Sprintf(route, "a", other.URL) + `]}`,
		`{"routes": [`,
		`{"routes": [` + many.String() + fmt.Sprintf(route, "a", up.URL) + "," + fmt.Sprintf(route, "b", other.URL) + `]}`,
		`{"routes": [` + fmt.Sprintf(route, "a", up.URL) + `], "unknown": 1}`,
	}
	for i := range reloads {
		if err := os.WriteFile(filepath.Join(dir, "routes.json"), []byte(tables[i%len(tables)]), 0o666); err != nil {
			t.Fatal(err)
		}
		if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		if err := p.waitLine(p.stderr, regexp.MustCompile(`^cred-proxy: SIGHUP (ok|failed): `), i+1); err != nil {
			t.Fatal(err)
		}
	}
	all := 0
	for _, stop := range stops {
		all += len(stop().proxied)
	}
	if n := len(other.Requests()); all < reloads || n == 0 || n >= all {
		t.Errorf("%d requests, %d of them to the other upstream", all, n)
	}
}

// TestMemoryCeiling has as many agents as there may be send the largest heads,
// the upstream answer with the largest heads and with bodies faster than the
// agents read, all at the same time and again and again. The program must stay
// below the ceiling that follows from its limits.
func TestMemoryCeiling(t *testing.T) {
	if runtime.GOOS != "linux" || raceDetector {
		t.Skip("the peak of resident memory is read from /proc, and is not the program's own with -race")
	}
	const agents, rounds, body = 64, 3, 1 << 20
	limits := proxy.DefaultLimits
	limits.Agents = agents
	up := fakeupstream.NewTest(t, fakeupstream.Options{RequestLimit: 10})
	answer := "HTTP/1.1 200 OK\r\n" + fmt.Sprintf("Content-Length: %d\r\n", body) + strings.Repeat("X-Large: "+strings.Repeat("v", 245)+"\r\n", 1000)
	var heads atomic.Int64
	all := make(chan struct{}) // closed when every response has begun its head, and none has ended it
	up.Set("/large", func(x *fakeupstream.Exchange) error {
		if _, err := io.Copy(io.Discard, x); err != nil {
			return err
		}
		if err := x.WriteRaw([]byte(answer)); err != nil {
			return err
		}
		if heads.Add(1) == agents {
			close(all)
		}
		if err := x.Wait(all); err != nil {
			return err
		}
		content, err := io.ReadAll(fakeupstream.Bytes(0, body))
		return errors.Join(err, x.WriteRaw(append([]byte("\r\n"), content...)))
	})
	p := serve(t, up, "A_TOKEN=token-of-route-a", fmt.Sprintf("CRED_PROXY_MAX_AGENTS=%d", agents))
	var head strings.Builder
	head.WriteString("POST /a/large HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n")
	for range 250 {
		head.WriteString("X-Large: " + strings.Repeat("v", 248) + "\r\n")
	}
	head.WriteString("\r\n" + strings.Repeat("b", 100_000))
	var turn sync.WaitGroup // nobody reads before all have asked
	turn.Add(agents)
	var wg sync.WaitGroup
	for n := range agents {
		wg.Go(func() {
			c, err := dial(p.addr)
			if err != nil {
				t.Error(err)
				turn.Done()
				return
			}
			defer c.tcp.Close()
			c.tcp.SetDeadline(time.Now().Add(4 * patience))
			br := bufio.NewReader(c.tcp)
			for round := range rounds {
				if err := c.send([]byte(head.String())); err != nil {
					t.Errorf("agent %d: %v", n, err)
				}
				if round == 0 {
					turn.Done()
					turn.Wait()
				}
				resp, err := http.ReadResponse(br, nil)
				if err != nil || resp.StatusCode != 200 {
					t.Errorf("agent %d, round %d: %v, %v", n, round, resp, err)
					return
				}
				if got, err := io.Copy(io.Discard, resp.Body); got != body || err != nil {
					t.Errorf("agent %d, round %d: %d bytes, %v", n, round, got, err)
					return
				}
			}
		})
	}
	wg.Wait()
	peak := peakMemory(t, p)
	t.Logf("peak of resident memory: %.1f MiB, the ceiling is %.1f MiB", float64(peak)/(1<<20), float64(limits.Memory())/(1<<20))
	if peak > limits.Memory() {
		t.Errorf("peak of resident memory: %d bytes, the ceiling is %d", peak, limits.Memory())
	}
}
