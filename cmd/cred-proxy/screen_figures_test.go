package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"credproxy/fakeupstream"
)

// TestFigureRedact measures what it costs to look for tokens in answers: the same
// work over a route that does and over one that does not, in turn, in one
// process. What is printed is the median of each. A quiet machine and -v make it
// mean something:
//
//	go test -v -count=1 -run TestFigureRedact ./cmd/cred-proxy
func TestFigureRedact(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("processor time is read from /proc")
	}
	rounds, size, events, streams := 2, int64(16<<20), 50, 4
	if testing.Verbose() && !testing.Short() {
		rounds, size, events, streams = 11, 512<<20, 500, 20
	}
	up := fakeupstream.NewTest(t)
	const token = "ghp_16C7e42F292c6912E7710c838347Ae178B4a"
	p := serveRoutes(t, up, fmt.Sprintf(`{"routes": [
		{"path": "/on/", "upstream": %q, "auth_scheme": "Bearer", "token_env": "A_TOKEN"},
		{"path": "/off/", "upstream": %[1]q, "auth_scheme": "Bearer", "token_env": "A_TOKEN", "redact": false}]}`, up.URL), "A_TOKEN="+token)
	sum := fakeupstream.BytesSHA256(size)
	type figures struct{ bulk, event, p50, p99 []float64 }
	var on, off figures
	for range rounds {
		for name, f := range map[string]*figures{"on": &on, "off": &off} { // in any order
			before := cpu(t, p)
			if err := download(agent(), fmt.Sprintf("http://%s/%s/bytes?n=%d&framing=chunked", p.addr, name, size), size, sum); err != nil {
				t.Fatal(err)
			}
			between := cpu(t, p)
			f.bulk = append(f.bulk, (between-before).Seconds()*float64(1<<30)/float64(size))
			var mu sync.Mutex
			var all []time.Duration
			var wg sync.WaitGroup
			for range streams {
				wg.Go(func() {
					d, err := delays(agent(), fmt.Sprintf("http://%s/%s/sse?n=%d&ms=5", p.addr, name, events))
					mu.Lock()
					defer mu.Unlock()
					if all = append(all, d...); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			slices.Sort(all)
			if len(all) != events*streams {
				t.Fatalf("%d events arrived", len(all))
			}
			f.event = append(f.event, float64((cpu(t, p)-between).Nanoseconds())/1e3/float64(len(all)))
			f.p50 = append(f.p50, float64(all[len(all)/2].Microseconds()))
			f.p99 = append(f.p99, float64(all[len(all)*99/100].Microseconds()))
		}
	}
	for _, row := range []struct {
		what    string
		on, off []float64
	}{{"CPU per GiB, s", on.bulk, off.bulk}, {"CPU per event, µs", on.event, off.event},
		{"delay of an event, median, µs", on.p50, off.p50}, {"delay of an event, p99, µs", on.p99, off.p99}} {
		slices.Sort(row.on)
		slices.Sort(row.off)
		with, without := row.on[len(row.on)/2], row.off[len(row.off)/2]
		t.Logf("%-30s %8.2f looked through, %8.2f with \"redact\": false: %+.1f %% (best %.2f and %.2f: %+.1f %%)", row.what, with, without,
			100*(with/without-1), row.on[0], row.off[0], 100*(row.on[0]/row.off[0]-1))
	}
}

// cpu is the processor time that a program has used so far.
func cpu(t *testing.T, p *process) (used time.Duration) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("/proc", strconv.Itoa(p.cmd.Process.Pid), "task", "*", "schedstat"))
	if err != nil || len(files) == 0 {
		t.Skip("no processor time in /proc")
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // a thread that has ended
		}
		ns, _, _ := strings.Cut(string(text), " ")
		n, _ := strconv.ParseInt(ns, 10, 64)
		used += time.Duration(n)
	}
	return used
}
