package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"credproxy/fakeupstream"
)

// The tests here hold the program to its figures: how soon, how much, how many.
// What they measure is logged, see go test -v -run TestFigure.

// TestFigureEvents sends 30 events, one each 50 ms. Each must arrive within 20 ms
// of being sent. A machine that is busy with something else holds up events
// without the proxy, too: the same events are sent on a direct stream at the
// same time, and three and twice as many as are late there may be late. One of
// five attempts must do: a machine is not busy at all times, but a proxy that
// gathers, or waits for anything but the event, is late for most in each.
func TestFigureEvents(t *testing.T) {
	up := fakeupstream.NewTest(t)
	p := serve(t, up, "A_TOKEN=token-of-route-a")
	late := ""
	for range 5 {
		if late = lateEvents(t, up, p); late == "" {
			return
		}
		t.Log(late)
	}
	t.Error("late in each attempt")
}

// lateEvents is an attempt of TestFigureEvents. It says what was late, if too much was.
func lateEvents(t *testing.T, up *fakeupstream.Server, p *process) string {
	t.Helper()
	const events, inTime = 30, 20 * time.Millisecond
	var direct []time.Duration
	var failed error
	var wg sync.WaitGroup
	wg.Go(func() { direct, failed = delays(up.Client(), fmt.Sprintf("%s/sse?n=%d&ms=50", up.URL, events)) })
	proxied, err := delays(agent(), fmt.Sprintf("http://%s/a/sse?n=%d&ms=50", p.addr, events))
	if wg.Wait(); err != nil || failed != nil {
		t.Fatal(err, failed)
	}
	if len(proxied) != events || len(direct) != events {
		t.Fatalf("%d and %d events arrived, want %d", len(proxied), len(direct), events)
	}
	late := func(delays []time.Duration) int {
		n, _ := slices.BinarySearch(delays, inTime)
		return len(delays) - n
	}
	t.Logf("events arrived after: median %v, max %v; without the proxy: median %v, max %v",
		proxied[events/2], proxied[events-1], direct[events/2], direct[events-1])
	if n, most := late(proxied), min(3+2*late(direct), events/2); n > most {
		return fmt.Sprintf("%d of %d events took longer than %v, at most %d should:\n%v\nwithout the proxy:\n%v",
			n, events, inTime, most, proxied, direct)
	}
	return ""
}

// delays gets a timetable of the fake upstream's and returns, in ascending
// order, how long its events were under way.
func delays(client *http.Client, url string) (delays []time.Duration, err error) {
	resp, err := client.Get(url)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		var event struct{ N, T int64 }
		if err := json.Unmarshal([]byte(data), &event); err != nil {
			return nil, fmt.Errorf("%w: %s", err, data)
		}
		delays = append(delays, time.Since(time.Unix(0, event.T)))
	}
	slices.Sort(delays)
	return delays, lines.Err()
}

// TestFigureMemory passes 1 GiB up and 1 GiB down through one program, whose
// peak of resident memory must stay below 32 MiB.
func TestFigureMemory(t *testing.T) {
	size := int64(1 << 30)
	if raceDetector || testing.Short() {
		size = 64 << 20
		t.Logf("with -race or -short: %d MiB each way, and no bar for memory", size>>20)
	}
	up := fakeupstream.NewTest(t)
	p := serve(t, up, "A_TOKEN=token-of-route-a")
	sum := fakeupstream.BytesSHA256(size)
	before := time.Now()
	if err := upload(agent(), "http://"+p.addr+"/a/sink", size, sum, false); err != nil {
		t.Errorf("up: %v", err)
	}
	between := time.Now()
	if err := download(agent(), fmt.Sprintf("http://%s/a/bytes?n=%d&framing=chunked", p.addr, size), size, sum); err != nil {
		t.Errorf("down: %v", err)
	}
	t.Logf("%d MiB up in %v, down in %v", size>>20, between.Sub(before), time.Since(between))
	if runtime.GOOS != "linux" {
		t.Skip("the peak of resident memory is read from /proc")
	}
	peak := peakMemory(t, p)
	t.Logf("peak of resident memory: %.1f MiB", float64(peak)/(1<<20))
	if peak >= 32<<20 && !raceDetector && !testing.Short() {
		t.Errorf("peak of resident memory: %d bytes, want less than 32 MiB", peak)
	}
}

// TestFigureBackpressure has an agent that does not read what it asked for and
// an upstream that does not read what it is sent, 1 GiB each. Neither is held in
// the program's memory while it passes 64 MiB to somebody else.
func TestFigureBackpressure(t *testing.T) {
	const much, some = 1 << 30, 64 << 20
	if runtime.GOOS != "linux" || raceDetector {
		t.Skip("the peak of resident memory is read from /proc, and is not the program's own with -race")
	}
	up := fakeupstream.NewTest(t)
	up.Set("/stuck", func(x *fakeupstream.Exchange) error { return x.Wait(nil) })
	p := serve(t, up, "A_TOKEN=token-of-route-a")
	for head, body := range map[string]int64{
		fmt.Sprintf("GET /a/bytes?n=%d HTTP/1.1\r\nHost: x\r\n\r\n", much):                   0,
		fmt.Sprintf("POST /a/stuck HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", much): much,
	} {
		c, err := dial(p.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.tcp.Close()
		if err := c.send([]byte(head)); err != nil {
			t.Fatal(err)
		}
		go io.Copy(c.tcp, fakeupstream.Bytes(0, body)) // ends when c is closed
	}
	if err := download(agent(), fmt.Sprintf("http://%s/a/bytes?n=%d", p.addr, some), some, fakeupstream.BytesSHA256(some)); err != nil {
		t.Fatal(err)
	}
	peak := peakMemory(t, p)
	t.Logf("peak of resident memory: %.1f MiB", float64(peak)/(1<<20))
	if peak >= 32<<20 {
		t.Errorf("peak of resident memory: %d bytes, want less than 32 MiB", peak)
	}
}

// TestFigureIdleStreams holds 500 streams at a time, all of which are alive.
func TestFigureIdleStreams(t *testing.T) {
	const streams = 500
	up := fakeupstream.NewTest(t)
	p := serve(t, up, "A_TOKEN=token-of-route-a")
	conns := openStreams(t, p, streams, func(int) string { return "held" })
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := up.Emit(ctx, "held", "still there"); err != nil {
		t.Fatal(err)
	}
	for i, c := range conns {
		if event, err := c.readEvent(); event != "data: still there\n\n" || err != nil {
			t.Fatalf("stream %d of %d: %q, %v", i+1, streams, event, err)
		}
	}
	if runtime.GOOS == "linux" {
		t.Logf("%d idle streams: peak of resident memory %.1f MiB", streams, float64(peakMemory(t, p))/(1<<20))
	}
}

// TestFigureNothingLeft has agents leave 1,000 streams in the middle and then
// counts what is left of them in the program: descriptors in /proc, goroutines
// in the dump that SIGQUIT makes it write. There must be as many as in a program
// that has seen one such stream.
func TestFigureNothingLeft(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("descriptors are counted in /proc")
	}
	streams := 1000
	if raceDetector || testing.Short() {
		streams = 200
		t.Logf("with -race or -short: %d streams", streams)
	}
	one, oneDump := leftAfter(t, 1)
	all, allDump := leftAfter(t, streams)
	t.Logf("after 1 stream: %v; after %d: %v", one, streams, all)
	if all.descriptors > one.descriptors {
		t.Errorf("%d descriptors are left, %d after one stream", all.descriptors, one.descriptors)
	}
	if all.goroutines > one.goroutines {
		t.Errorf("%d goroutines are left, %d after one stream:\n%s\n\nafter one:\n%s",
			all.goroutines, one.goroutines, allDump, oneDump)
	}
}

type left struct{ descriptors, goroutines int }

// leftAfter has n streams cut by their agents and returns what a program then
// holds, and its goroutines' stacks.
func leftAfter(t *testing.T, n int) (left, string) {
	up := fakeupstream.NewTest(t)
	p := serve(t, up, "A_TOKEN=token-of-route-a", "CRED_PROXY_DEBUG=1")
	const atOnce = 100
	for first := 0; first < n; first += atOnce {
		for _, c := range openStreams(t, p, min(atOnce, n-first), func(i int) string { return strconv.Itoa(first + i) }) {
			c.tcp.Close()
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for i := range n {
		if err := up.WaitStreamGone(ctx, strconv.Itoa(i)); err != nil {
			t.Fatalf("stream %d: %v", i, err)
		}
	}
	if err := p.waitLine(p.stderr, regexp.MustCompile(`^cred-proxy: GET /a/ `), n); err != nil {
		t.Fatal(err)
	}
	return leftIn(t, p)
}

// leftIn stops a program whose exchanges are over and returns what it held, and
// its goroutines' stacks. The runtime's own goroutines do not count: the workers
// of its garbage collector are there from the first collection on.
func leftIn(t *testing.T, p *process) (left, string) {
	fds := filepath.Join("/proc", strconv.Itoa(p.cmd.Process.Pid), "fd")
	// The line of an exchange is written a moment before its last descriptor goes.
	descriptors := settled(func() int {
		entries, err := os.ReadDir(fds)
		if errors.Is(err, fs.ErrPermission) {
			t.Log("descriptors are not counted: the program has closed itself to others of its user, and this is not root")
			return 0
		}
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	})
	if err := p.cmd.Process.Signal(syscall.SIGQUIT); err != nil {
		t.Fatal(err)
	}
	if _, err := p.wait(); err != nil {
		t.Fatal(err)
	}
	_, dump, _ := strings.Cut(p.stderr.String(), "SIGQUIT")
	goroutines := 0
	for stack := range strings.SplitSeq(dump, "\n\n") {
		if strings.HasPrefix(stack, "goroutine ") && !strings.HasPrefix(stack, "goroutine 0 ") && !strings.Contains(stack, "\ncreated by runtime.") {
			goroutines++
		}
	}
	return left{descriptors, goroutines}, dump
}

// settled returns what count gives once it gives the same 20 times in a row, at
// intervals that let others run; after a second it gives up and returns the last.
func settled(count func() int) int {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	last, same := count(), 0
	for range 200 {
		<-tick.C
		n := count()
		if n == last {
			same++
		} else {
			last, same = n, 0
		}
		if same == 20 {
			break
		}
	}
	return last
}

// openStreams opens n streams of the fake upstream through p, some at a time,
// and returns them with their heads read.
func openStreams(t *testing.T, p *process, n int, name func(int) string) []*conn {
	t.Helper()
	conns := make([]*conn, n)
	errs := make([]error, n)
	places := make(chan struct{}, 32)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			c, err := dial(p.addr)
			if err != nil {
				errs[i] = err
				return
			}
			conns[i] = c
			errs[i] = c.send([]byte("GET /a/sse?name=" + name(i) + " HTTP/1.1\r\nHost: x\r\n\r\n"))
			if errs[i] == nil {
				_, errs[i] = c.readHead()
			}
		})
	}
	wg.Wait()
	t.Cleanup(func() {
		for _, c := range conns {
			if c != nil {
				c.tcp.Close()
			}
		}
	})
	for i, err := range errs {
		if err != nil {
			t.Fatalf("stream %d of %d: %v", i+1, n, err)
		}
	}
	return conns
}

// TestFigureAdmin holds what an idle program's resident memory grows by when it has an operator's port, which was asked for
// all that it has, to 4 MiB.
func TestFigureAdmin(t *testing.T) {
	if runtime.GOOS != "linux" || raceDetector {
		t.Skip("resident memory is read from /proc, and is not the program's own with -race")
	}
	up := fakeupstream.NewTest(t)
	idle := func(env ...string) int64 {
		var all []int64
		for range 3 {
			p := serve(t, up, append(env, "A_TOKEN=token-of-route-a")...)
			for range 10 {
				if _, err := ask(p.addr, "GET /a/echo"); err != nil {
					t.Fatal(err)
				}
			}
			if len(env) > 0 {
				client, err := adminOf(p)
				if err != nil {
					t.Fatal(err)
				}
				for _, path := range []string{"/", "/status", "/metrics", "/readyz", "/livez"} {
					if _, err := askAdmin(client, "GET", "localhost", path); err != nil {
						t.Fatal(err)
					}
				}
			}
			all = append(all, memory(t, p, "VmRSS"))
			p.stop()
		}
		slices.Sort(all)
		return all[1]
	}
	off, on := idle(), idle("CRED_PROXY_ADMIN=127.0.0.1:0")
	t.Logf("resident memory: %.1f MiB without the operator's port, %.1f MiB with it", float64(off)/(1<<20), float64(on)/(1<<20))
	if on-off >= 4<<20 {
		t.Errorf("it grows by %d bytes", on-off)
	}
}

// peakMemory is the peak of p's resident memory, in bytes.
func peakMemory(t *testing.T, p *process) int64 {
	t.Helper()
	return memory(t, p, "VmHWM")
}

// memory is a figure of p's memory in /proc, in bytes.
func memory(t *testing.T, p *process, name string) int64 {
	t.Helper()
	status, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.cmd.Process.Pid), "status"))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^` + name + `:\s*(\d+) kB$`).FindSubmatch(status)
	if m == nil {
		t.Fatalf("no %s in:\n%s", name, status)
	}
	kb, err := strconv.ParseInt(string(m[1]), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return kb << 10
}

// serve starts a cred-proxy that has the route /a/ to up, and /w/ for WebSockets.
func serve(t *testing.T, up *fakeupstream.Server, env ...string) *process {
	t.Helper()
	return serveRoutes(t, up, fmt.Sprintf(`{"routes": [{"path": "/a/", "upstream": %[1]q, "auth_scheme": "Bearer", "token_env": "A_TOKEN"},
		{"path": "/w/", "upstream": %[1]q, "auth_scheme": "Bearer", "token_env": "A_TOKEN", "upgrade": ["websocket"]}]}`, up.URL), env...)
}

// serveRoutes starts a cred-proxy that has these routes and trusts up.
func serveRoutes(t *testing.T, up *fakeupstream.Server, routes string, env ...string) *process {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"routes.json": routes, "ca.pem": string(up.CAPEM)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	env = append(append([]string{"GOTRACEBACK=all"}, env...),
		"PATH="+os.Getenv("PATH"), "GORACE="+os.Getenv("GORACE"),
		"CRED_PROXY_ROUTES="+filepath.Join(dir, "routes.json"), "CRED_PROXY_ADDR_FILE="+filepath.Join(dir, "address"),
		"CRED_PROXY_PORT=0", "CRED_PROXY_BIND=127.0.0.1", "SSL_CERT_FILE="+filepath.Join(dir, "ca.pem"))
	p, err := start(dir, append(env, coverage()...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.stop)
	return p
}
