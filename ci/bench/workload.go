package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"time"
)

// A workload is one kind of traffic and what is looked at in it.
type workload struct {
	name    string
	about   string
	who     who
	figures []figure
	run     func(b *bench, p peer) (values, error)
}

// A figure is a row of the table.
type figure struct {
	key, label string
	plain      bool   // no ratio is told
	added      string // key of the figure from which direct's is subtracted
}

// values are a run's figures by their keys.
type values map[string]float64

// who a workload is for.
type who int

const (
	all     who = iota
	proxies     // not direct
	own         // cred-proxies
)

func (w who) includes(p peer) bool { return p.own || w == all || w == proxies && p.name != direct }

// A scale is how much of everything there is.
type scale struct {
	window      time.Duration // that samples are taken in
	quiet       time.Duration // between two events of an idle stream
	busy        int           // streams with many events
	streams     int           // streams that are held idle
	bulk        int64         // bytes, each way
	connections int           // that cost per request is looked at with, besides 64
	routes      int           // likewise, besides 1
}

var (
	fullScale  = scale{window: 3 * time.Second, quiet: 2 * time.Second, busy: 200, streams: 1000, bulk: 1 << 30, connections: 2000, routes: 1000}
	quickScale = scale{window: 500 * time.Millisecond, quiet: time.Second, busy: 200, streams: 200, bulk: 64 << 20, connections: 2000, routes: 1000}
)

const (
	smallSize = 1024 // of a small request's body, and of its answer's
	eventGap  = 20 * time.Millisecond
)

func workloads(s scale) []workload {
	return []workload{
		{"small-c1", "1 KiB each way, one connection", all, []figure{
			{key: "p50", label: "latency p50, µs", plain: true}, {key: "p99", label: "latency p99, µs", plain: true},
			{key: "added50", label: "added latency p50, µs", added: "p50"}, {key: "added99", label: "added latency p99, µs", added: "p99"},
		}, smallC1},
		{"small-c64", "1 KiB each way, 64 kept connections", all, []figure{
			{key: "cpu", label: "CPU per request, µs"}, {key: "rate", label: "requests/s (the load's core is the limit)", plain: true},
		}, smallC64},
		{"newconn", "1 KiB each way, a new connection each, 16 at a time", proxies, []figure{{key: "cpu", label: "CPU per request, µs"}}, newConnections},
		{"sse-200", fmt.Sprintf("%d streams, an event each %v", s.busy, eventGap), all, []figure{
			{key: "p50", label: "delay p50, µs"}, {key: "p99", label: "delay p99, µs"}, {key: "cpu", label: "CPU per event, µs"},
		}, events},
		{"idle", fmt.Sprintf("%d streams, an event each %v", s.streams, s.quiet), proxies, []figure{{key: "kib", label: "memory per stream, KiB"}}, idle},
		{"down", fmt.Sprintf("%d MiB down", s.bulk>>20), proxies, []figure{{key: "cpu", label: "CPU per GiB, s"}}, down},
		{"up", fmt.Sprintf("%d MiB up", s.bulk>>20), proxies, []figure{{key: "cpu", label: "CPU per GiB, s"}}, up},
		{"start", "exec to the first proxied answer", proxies, []figure{
			{key: "ready", label: "time, ms"}, {key: "rss", label: "idle memory, MiB"}, {key: "size", label: "program, MiB (the rivals need libraries besides)", plain: true},
		}, start},
		{"growth", "small-c64's CPU per request, relative", own, []figure{
			{key: "routes", label: fmt.Sprintf("%d routes to 1", s.routes), plain: true},
			{key: "connections", label: fmt.Sprintf("%d connections, 64 active, to 64", s.connections), plain: true},
		}, growth},
	}
}

// A clientFunc is what one client of a load does until it meets an error, which may be that of its report.
type clientFunc func(ctx context.Context, t target, report report) error

// load samples n clients of a peer that has just been started before an upstream.
func (b *bench) load(p peer, upstream string, routes, n int, window time.Duration, client clientFunc) (values, error) {
	r, err := b.start(p, upstream, routes)
	if err != nil {
		return nil, err
	}
	defer r.stop()
	s, err := sample(b.ctx, r, n, window, client)
	if err != nil {
		return nil, err
	}
	v := values{"p50": s.quantile(0.5), "p99": s.quantile(0.99), "rate": float64(len(s.took)) / s.wall.Seconds()}
	if r.measurable() {
		v["cpu"] = s.cpu.Seconds() * 1e6 / float64(len(s.took))
		v["kib"] = s.rss / float64(n)
	}
	return v, nil
}

// small is n clients with a kept connection each, active of which ask at a time.
func (b *bench) small(p peer, routes, n, active int) (values, error) {
	places := make(chan struct{}, active)
	return b.load(p, b.upstreams.Lean, routes, n, b.scale.window, func(ctx context.Context, t target, report report) error {
		c, err := t.dial(ctx)
		if err != nil {
			return err
		}
		defer c.Close()
		for request := t.smallRequest(); err == nil; {
			places <- struct{}{}
			began := time.Now().UnixNano()
			err = c.roundTrip(request)
			ended := time.Now().UnixNano()
			<-places
			if err == nil {
				err = report(began, ended)
			}
		}
		return err
	})
}

func (t target) smallRequest() []byte {
	return append(t.request("POST", "/small", smallSize), bytes.Repeat([]byte("q"), smallSize)...)
}

func smallC1(b *bench, p peer) (values, error)  { return b.small(p, 1, 1, 1) }
func smallC64(b *bench, p peer) (values, error) { return b.small(p, 1, 64, 64) }

func newConnections(b *bench, p peer) (values, error) {
	return b.load(p, b.upstreams.Lean, 1, 16, b.scale.window, func(ctx context.Context, t target, report report) error {
		for request := t.smallRequest(); ; {
			began := time.Now().UnixNano()
			c, err := t.dial(ctx)
			if err != nil {
				return err
			}
			err = c.roundTrip(request)
			c.Close()
			if err == nil {
				err = report(began, time.Now().UnixNano())
			}
			if err != nil {
				return err
			}
		}
	})
}

// streams is n streams with an event at each interval. What counts of it is the time from the stamp that the upstream gave
// it to its arrival.
func (b *bench) streams(p peer, n int, interval, window time.Duration) (values, error) {
	events := (window + patience) / interval // more than there is time for
	opening := make(chan struct{}, 64)       // at a time: a storm of handshakes is not what this is about
	return b.load(p, b.upstreams.Fake, 1, n, window, func(ctx context.Context, t target, report report) error {
		opening <- struct{}{}
		c, err := t.dial(ctx)
		if err == nil {
			defer c.Close()
			_, err = c.ask(t.request("GET", fmt.Sprintf("/sse?n=%d&ms=%d", events, interval.Milliseconds()), 0))
		}
		<-opening
		if err != nil {
			return err
		}
		return c.events(report)
	})
}

func events(b *bench, p peer) (values, error) {
	return b.streams(p, b.scale.busy, eventGap, b.scale.window)
}

// idle looks at the memory when every stream has had an event and the proxy may have put away what it needed to open them.
func idle(b *bench, p peer) (values, error) {
	return b.streams(p, b.scale.streams, b.scale.quiet, b.scale.quiet)
}

func down(b *bench, p peer) (values, error) {
	return b.bulk(p, func(c *client, t target, buf []byte) error {
		left, err := c.ask(t.request("GET", fmt.Sprintf("/bytes?n=%d", b.scale.bulk), 0))
		if err == nil && left != b.scale.bulk {
			err = fmt.Errorf("a body of %d bytes", left)
		}
		for err == nil && left > 0 {
			var n int
			n, err = c.br.Read(buf[:min(left, int64(len(buf)))])
			left -= int64(n)
		}
		return err
	})
}

func up(b *bench, p peer) (values, error) {
	return b.bulk(p, func(c *client, t target, buf []byte) error {
		_, err := c.Write(t.request("POST", "/sink", b.scale.bulk))
		for left := b.scale.bulk; err == nil && left > 0; {
			var n int
			n, err = c.Write(buf[:min(left, int64(len(buf)))])
			left -= int64(n)
		}
		if err == nil {
			_, err = c.answer()
		}
		return err
	})
}

// bulk runs one client that moves a body.
func (b *bench) bulk(p peer, move func(c *client, t target, buf []byte) error) (values, error) {
	r, err := b.start(p, b.upstreams.Lean, 1)
	if err != nil {
		return nil, err
	}
	defer r.stop()
	ctx, cancel := context.WithTimeout(b.ctx, 4*patience)
	defer cancel()
	c, err := r.dial(ctx)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	before := r.usage()
	if err := move(c, r.target, make([]byte, 256<<10)); err != nil {
		return nil, err
	}
	if !r.measurable() {
		return values{}, nil
	}
	return values{"cpu": (r.usage().cpu - before.cpu).Seconds() / float64(b.scale.bulk) * (1 << 30)}, nil
}

// start looks at the memory once it has been quiet for a while.
func start(b *bench, p peer) (values, error) {
	r, err := b.start(p, b.upstreams.Fake, 1)
	if err != nil {
		return nil, err
	}
	defer r.stop()
	program, err := os.Stat(p.program)
	if err != nil {
		return nil, err
	}
	v := values{"ready": r.ready.Seconds() * 1e3, "size": float64(program.Size()) / (1 << 20)}
	sleep(b.ctx, b.scale.quiet/4)
	if r.measurable() {
		v["rss"] = r.usage().rss / 1024
	}
	return v, nil
}

// growth compares the cost of a request where there is little with that where there is much. Always 64 clients at a time
// ask: how many connections to the upstream there are is not what is looked at.
func growth(b *bench, p peer) (values, error) {
	if !canMeasure {
		return values{}, nil
	}
	var cost [3]float64
	for i, s := range []struct{ routes, clients int }{{1, 64}, {b.scale.routes, 64}, {1, b.scale.connections}} {
		v, err := b.small(p, s.routes, s.clients, 64)
		if err != nil {
			return nil, fmt.Errorf("%d routes, %d connections: %w", s.routes, s.clients, err)
		}
		cost[i] = v["cpu"]
	}
	return values{"routes": cost[1] / cost[0], "connections": cost[2] / cost[0]}, nil
}
