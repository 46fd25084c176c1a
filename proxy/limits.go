package proxy

import (
	"errors"
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
	Rate         int // bytes a second that a request's body must at least come with; 128. See Timeouts.Silence
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

// Descriptors is how many descriptors a Server needs for so many agents: one for each and one for its upstream, the kept
// connections to upstreams, and what the process itself has open.
func (l Limits) Descriptors() uint64 {
	return 2*uint64(l.orDefault().Agents) + otherDescriptors
}

// AgentsFor is how many agents can be served with so many descriptors; Descriptors is its inverse.
func AgentsFor(descriptors uint64) int {
	if descriptors < otherDescriptors+2 {
		return 1
	}
	return int(min((descriptors-otherDescriptors)/2, 1<<30))
}

const otherDescriptors = 64

// errTooSlow is what ends an upload that is slower than Limits.Rate.
var errTooSlow = errors.New("request body arrives too slowly")

// tooSlow reports whether n bytes are less than should have come in the time that was spent waiting for them. Only
// waiting counts: an upstream that takes its time is not the agent's fault.
func (s *Server) tooSlow(n int64, waited time.Duration) bool {
	return waited > s.timeouts.Silence && n < int64((waited-s.timeouts.Silence).Seconds()*float64(s.limits.Rate))
}
