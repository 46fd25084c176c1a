// Bench compares cred-proxy with nginx and HAProxy, as far as the machine has them, and with no proxy at all. From the
// root of the repository:
//
//	go run ./ci/bench
//
// It builds the release binary, has every peer do the same work (see peer.go) before an upstream in a process of its own
// (upstream.go), and prints a table of medians, ranges, and ratios to the better of nginx and HAProxy. README.md's was
// made so; -h shows what else there is. Everything is on 127.0.0.1 and ends by itself.
//
// A workload (workload.go) is run for one peer after the other, round after round, each time against a fresh process that
// has first proved to pass on what it is sent. So a machine that changes its speed does it to all. Only what is measured
// in the same run can be compared, on a machine that does nothing else.
//
// With -pin, the proxy has one core and load generator and upstream together have another. That other one is mostly what
// limits throughput, which therefore says little about a proxy; its CPU time does. It is that of the process and its
// children in /proc (usage.go), as is memory: on a system without that they are not measured. Delays are seen by the load
// generator (load.go), whose own they include.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	if len(os.Args) == 2 && os.Args[1] == "upstream" {
		err = serveUpstreams(os.Stdin, os.Stdout)
	} else {
		var o options
		if o, err = parse(os.Args[1:], os.Stderr); err == nil {
			err = run(ctx, o, os.Stdout, os.Stderr)
		}
	}
	if err != nil && err != flag.ErrHelp {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// A bench is one run of the program.
type bench struct {
	ctx       context.Context
	dir       string // for whatever files there must be
	pin       bool
	scale     scale
	upstreams upstreams
	tls       *tls.Config // of clients that go straight there
	log       io.Writer
}

// options are what the command line says.
type options struct {
	rounds           int
	workloads, peers string
	bins             string
	pin              bool
	markdown, svg    string
	scale            scale
}

func parse(args []string, stderr io.Writer) (o options, err error) {
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.IntVar(&o.rounds, "rounds", 3, "how many times everything is measured, at two minutes each")
	f.StringVar(&o.workloads, "workloads", "", "comma-separated `names` (default all)")
	f.StringVar(&o.peers, "peers", "", "comma-separated `names` of direct, nginx, haproxy and the cred-proxies (default all that are there)")
	f.StringVar(&o.bins, "bins", "", "comma-separated `name=path` of cred-proxies, in place of the one that is built")
	f.BoolVar(&o.pin, "pin", canPin(), "proxy on core 0, the rest on core 1; needs taskset")
	f.StringVar(&o.markdown, "md", "", "`file` to write the table to, besides stdout")
	f.StringVar(&o.svg, "svg", "", "`file` to write a chart of the ratios to")
	quick := f.Bool("quick", false, "one round of little, in less than a minute: to see whether it works")
	streams := f.Int("streams", 0, "how many streams are held idle (default 1000)")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	o.scale = fullScale
	if *quick {
		o.scale, o.rounds = quickScale, 1
	}
	if *streams > 0 {
		o.scale.streams = *streams
	}
	if f.NArg() > 0 || o.rounds < 1 || *streams < 0 {
		return o, fmt.Errorf("wrong usage: %q", args)
	}
	return o, nil
}

func run(ctx context.Context, o options, stdout, stderr io.Writer) error {
	res, err := measure(ctx, o, stderr)
	if err != nil {
		return err
	}
	table := res.markdown()
	_, err = io.WriteString(stdout, table)
	for file, text := range map[string]string{o.markdown: table, o.svg: res.chart()} {
		if file != "" {
			err = errors.Join(err, os.WriteFile(file, []byte(text), 0o644))
		}
	}
	if res.failed > 0 {
		err = errors.Join(err, fmt.Errorf("%d measurement(s) failed", res.failed))
	}
	return err
}

// measure runs the workloads that o asks for.
func measure(ctx context.Context, o options, log io.Writer) (*results, error) {
	dir, err := os.MkdirTemp("", "bench-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	b := &bench{ctx: ctx, dir: dir, pin: o.pin, scale: o.scale, log: log}
	peers, err := b.choosePeers(o)
	if err != nil {
		return nil, err
	}
	chosen, err := choose("workload", workloads(o.scale), func(w workload) string { return w.name }, o.workloads)
	if err != nil {
		return nil, err
	}
	if o.pin {
		if err := pinSelf(); err != nil {
			return nil, fmt.Errorf("%w; see -pin=false", err)
		}
	}
	var stop func()
	if b.upstreams, stop, err = startUpstreams(ctx); err != nil {
		return nil, err
	}
	defer stop()
	b.tls = trust(b.upstreams.CA)
	if err := os.WriteFile(filepath.Join(dir, "ca.pem"), []byte(b.upstreams.CA), 0o644); err != nil {
		return nil, err
	}
	res := newResults(o, peers, chosen)
	for _, w := range chosen {
		for round := range o.rounds {
			if err := b.round(w, round, peers, res); err != nil {
				return nil, err
			}
		}
	}
	return res, nil
}

// round measures a workload once for each peer. One that fails has no figures for it; the others go on.
func (b *bench) round(w workload, round int, peers []peer, res *results) error {
	var straight values
	for _, p := range peers {
		if !w.who.includes(p) {
			continue
		}
		began := time.Now()
		v, err := w.run(b, p)
		if b.ctx.Err() != nil {
			return context.Cause(b.ctx)
		}
		fmt.Fprintf(b.log, "%s, round %d: %s, %.1f s\n", w.name, round+1, p.name, time.Since(began).Seconds())
		if err != nil {
			fmt.Fprintf(b.log, "%s, round %d: %s FAILED: %v\n", w.name, round+1, p.name, err)
			res.failed++
			continue
		}
		if p.name == direct {
			straight = v
		}
		for _, f := range w.figures {
			if f.added != "" && straight != nil && p.name != direct {
				v[f.key] = v[f.added] - straight[f.added]
			}
			if value, ok := v[f.key]; ok {
				res.add(w, f, p, value)
			}
		}
	}
	return nil
}

// choosePeers finds out who takes part: direct, which others are compared to, first.
func (b *bench) choosePeers(o options) ([]peer, error) {
	peers := []peer{{name: direct}}
	bins := o.bins
	if bins == "" {
		fmt.Fprintln(b.log, "building cred-proxy")
		program, err := build(b.ctx, b.dir)
		if err != nil {
			return nil, err
		}
		bins = "cred-proxy=" + program
	}
	for bin := range strings.SplitSeq(bins, ",") {
		name, program, ok := strings.Cut(bin, "=")
		if !ok {
			return nil, fmt.Errorf("-bins: %q is not name=path", bin)
		}
		p, err := ownPeer(b.ctx, name, program)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(append(rivals(), peers...), func(other peer) bool { return strings.EqualFold(other.name, name) }) {
			return nil, fmt.Errorf("-bins: there is a %q already", name)
		}
		peers = append(peers, p)
	}
	for _, p := range rivals() {
		if err := p.find(b.ctx); err != nil {
			fmt.Fprintf(b.log, "SKIPPED: %v\n", err)
			continue
		}
		peers = append(peers, p)
	}
	return choose("peer", peers, func(p peer) string { return p.name }, o.peers)
}

// choose returns those of all that names, separated by commas, ask for; all of them if there are none.
func choose[T any](what string, all []T, name func(T) string, names string) (chosen []T, err error) {
	if names == "" {
		return all, nil
	}
	wanted := strings.Split(names, ",")
	for _, one := range all {
		asked := func(s string) bool { return strings.EqualFold(s, name(one)) }
		if slices.ContainsFunc(wanted, asked) {
			chosen = append(chosen, one)
			wanted = slices.DeleteFunc(wanted, asked)
		}
	}
	if len(wanted) > 0 {
		return nil, fmt.Errorf("there is no %s %q", what, wanted)
	}
	return chosen, nil
}
