package admin

import (
	"math/bits"
	"sort"
	"time"

	"credproxy/proxy"
)

// What is counted for one route.

// bounds are the upper bounds of the histograms' buckets, in seconds: from a cache next door to a model that thinks.
var bounds = [...]float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300}

// histogram counts durations.
type histogram struct {
	counts [len(bounds) + 1]uint64 // the last is what is beyond all bounds
	sum    float64
}

func (h *histogram) add(d time.Duration) {
	s := d.Seconds()
	h.counts[sort.SearchFloat64s(bounds[:], s)]++
	h.sum += s
}

// route is what is counted for one route, since the start and for the page.
type route struct {
	first, all  histogram
	in, out     int64
	connections [4]uint64 // in the order of proxy.Connections
	redactions  uint64
	leaked      uint64
	compressed  uint64
	live        *live // nil for routes beyond maxLive
}

func (r *route) count(e *proxy.Event, at time.Time) {
	if e.FirstByte > 0 && e.Refusal == "" {
		r.first.add(e.FirstByte)
	}
	r.all.add(e.Duration)
	r.in += e.BytesIn
	r.out += e.BytesOut
	r.redactions += uint64(e.Redactions)
	if e.Leaked {
		r.leaked++
	}
	if e.Compressed {
		r.compressed++
	}
	for i, c := range proxy.Connections {
		if c == e.Connection {
			r.connections[i]++
		}
	}
	if r.live != nil {
		r.live.count(e, at)
	}
}

const (
	// slotFor is how long one point of a sparkline is, slots how many there are.
	slotFor = 5 * time.Second
	slots   = 60

	// rateOver is how many slots a rate is taken over, besides the one that is not over yet.
	rateOver = 2
)

// live is the last five minutes of a route, as a ring.
type live [slots]slot

// slot is five seconds of a route.
type slot struct {
	number  int64 // of the slot, in slots since 1970: what has another is over
	n       uint32
	refused uint32
	broken  uint32
	in, out int64
	latency digest[uint16] // until the first byte, of what was not refused
}

func slotOf(t time.Time) int64 { return max(t.UnixNano()/int64(slotFor), slots) } // a clock can be very wrong

func (l *live) count(e *proxy.Event, at time.Time) {
	number := slotOf(at)
	s := &l[number%slots]
	if s.number != number { // be it of a time to come, as before the clock was set back
		*s = slot{number: number}
	}
	s.n++
	s.in += e.BytesIn
	s.out += e.BytesOut
	if e.Refusal != "" {
		s.refused++
	} else if e.FirstByte > 0 {
		s.latency.add(e.FirstByte)
	}
	if e.Broken != "" {
		s.broken++
	}
}

// window is what a page shows of a route's last five minutes.
type window struct {
	rate     float64 // exchanges per second, of late
	in, out  float64 // bytes per second, of late
	n        uint32
	refused  uint32
	broken   uint32
	p50, p95 float64   // until the first byte, in ms; negative if there was none
	spark    []float64 // p50 of each slot, the oldest first; negative likewise
}

func (l *live) window(now time.Time) (w window) {
	w.p50, w.p95 = -1, -1
	if l == nil {
		return w
	}
	var all digest[uint32]
	current := slotOf(now)
	over := float64(now.UnixNano()-(current-rateOver)*int64(slotFor)) / 1e9
	w.spark = make([]float64, slots)
	for i := range w.spark {
		w.spark[i] = -1
		number := current - slots + 1 + int64(i)
		s := &l[number%slots]
		if s.number != number {
			continue
		}
		if number >= current-rateOver {
			w.rate += float64(s.n) / over
			w.in += float64(s.in) / over
			w.out += float64(s.out) / over
		}
		w.n, w.refused, w.broken = w.n+s.n, w.refused+s.refused, w.broken+s.broken
		w.spark[i] = s.latency.quantile(.5)
		all.join(&s.latency)
	}
	w.p50, w.p95 = all.quantile(.5), all.quantile(.95)
	return w
}

// digest counts durations by their order of magnitude, two steps for each power of two from 64 µs to 4.5 minutes: a
// quantile of it is exact to a fifth.
type digest[N uint16 | uint32] [44]N

const digestFrom = 6 // 2^6 µs

func (d *digest[N]) add(t time.Duration) {
	us := uint64(max(t.Microseconds(), 1<<digestFrom))
	e := bits.Len64(us) - 1
	n := &d[min(2*(e-digestFrom)+int(us>>(e-1)&1), len(d)-1)]
	*n = max(*n, *n+1) // it stays full where it cannot count on
}

// quantile returns the q-quantile in ms; it is negative if there was no duration.
func (d *digest[N]) quantile(q float64) float64 {
	var n, before float64
	for _, c := range d {
		n += float64(c)
	}
	for i, c := range d {
		if c > 0 && before+float64(c) >= q*n {
			step := float64(uint64(1)<<(i/2+digestFrom-1)) / 1e3
			return step * (float64(2+i%2) + (q*n-before)/float64(c))
		}
		before += float64(c)
	}
	return -1
}

// join adds another digest.
func (d *digest[N]) join(other *digest[uint16]) {
	for i, n := range other {
		d[i] += N(n)
	}
}
