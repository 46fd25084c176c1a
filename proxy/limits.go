package proxy

import (
	"errors"
	"sort"
	"sync/atomic"
	"time"

	"credproxy/proxy/http1"
)

// Limits bounds everything that grows with what somebody else sends. A zero one is the default.
type Limits struct {
	Head         int // bytes of a request's head; 64 KiB
	Fields       int // header fields of a request, and a quarter of those of a response; 256
	Target       int // bytes of a request target; 16 KiB
	ResponseHead int // bytes of a response's head, and of a trailer section; 256 KiB
	Agents       int // connections of agents served at a time; 16,384
	Rate         int // bytes a second that a request's body must at least come with; 128
}

// DefaultLimits are those of the zero Limits.
var DefaultLimits = Limits{Head: 64 << 10, Fields: 256, Target: 16 << 10, ResponseHead: 256 << 10, Agents: 16384, Rate: 128}

func (l Limits) orDefault() Limits {
	for _, f := range []struct{ v, d *int }{{&l.Head, &DefaultLimits.Head}, {&l.Fields, &DefaultLimits.Fields},
		{&l.Target, &DefaultLimits.Target}, {&l.ResponseHead, &DefaultLimits.ResponseHead}, {&l.Agents, &DefaultLimits.Agents},
		{&l.Rate, &DefaultLimits.Rate}} {
		if *f.v <= 0 {
			*f.v = *f.d
		}
	}
	return l
}

func (l *Limits) request() *http1.Limits {
	return &http1.Limits{Head: l.Head, Fields: l.Fields, Target: l.Target}
}

func (l *Limits) response() *http1.Limits {
	return &http1.Limits{Head: l.ResponseHead, Fields: 4 * l.Fields}
}

const (
	// memoryBase and memoryAgent are the ceiling on memory: see Memory. The first is the program itself and the
	// buffers in its pools; the second is a connection's sockets, goroutines, TLS records and bulk buffers.
	memoryBase  = 32 << 20
	memoryAgent = 512 << 10
)

// Memory is the most bytes of memory that a Server takes, whatever agents and upstreams send. A head is held once as it
// came and once as it is passed on, each in a buffer that may have doubled; and the collector lets twice of what is
// used come together.
func (l Limits) Memory() int64 {
	l = l.orDefault()
	return memoryBase + int64(l.Agents)*int64(memoryAgent+4*max(l.Head, l.ResponseHead))
}

// Descriptors is how many descriptors a Server needs for so many agents: one for each and one for its upstream, those who
// wait for a place, the kept connections to upstreams, and what the process itself has open.
func (l Limits) Descriptors() uint64 {
	l = l.orDefault()
	return uint64(2*l.Agents + doorsFor(l.Agents) + l.kept() + otherDescriptors)
}

// AgentsFor is how many agents can be served with so many descriptors, at least one; Descriptors is its inverse.
func AgentsFor(descriptors uint64) int {
	return max(1, sort.Search(1<<20, func(n int) bool { return Limits{Agents: n + 1}.Descriptors() > descriptors }))
}

// otherDescriptors are the program's own and those of refused peers.
const otherDescriptors = 32 + maxRefusedPeers

// maxKept is how many idle connections to upstreams are kept in all, if there may be as many agents.
const maxKept = 4096

func (l Limits) kept() int { return min(l.Agents, maxKept) }

// kept counts the idle connections to all upstreams. Without it, agents could leave some behind at each of many.
type kept struct {
	n   atomic.Int64
	max int64
}

// another counts one more, if there may be one.
func (k *kept) another() bool {
	if k.n.Add(1) <= k.max {
		return true
	}
	k.n.Add(-1)
	return false
}

func (k *kept) gone(n int) { k.n.Add(int64(-n)) }

// errTooSlow is what ends an upload that is slower than Limits.Rate.
var errTooSlow = errors.New("request body arrives too slowly")

// rateGrace is how long may be waited for a request's body before its rate counts: many begin slowly.
const rateGrace = 30 * time.Second

// tooSlow reports whether n bytes are less than should have come in the time that was spent waiting for them. Only
// waiting counts: an upstream that takes its time is not the agent's fault.
func (s *Server) tooSlow(n int64, waited time.Duration) bool {
	counts := waited - min(rateGrace, s.timeouts.Silence)
	return counts > 0 && n < int64(counts.Seconds()*float64(s.limits.Rate))
}
