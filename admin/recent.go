package admin

import (
	"strings"
	"time"

	"credproxy/proxy"
)

// What an Admin is told of exchanges: those that are under way, and the last that were.

const (
	// maxRecent is how many exchanges are kept.
	maxRecent = 200

	// maxPath is how much of a path is kept, of which an agent can make 16 KiB.
	maxPath = 256

	// maxRoutes is how many routes are counted apart. There are more only if tables come and go.
	maxRoutes = 4096

	// maxLive is how many of them have rates and a sparkline, at 8 KiB each: the first to be used.
	maxLive = 512
)

// open is an exchange that is under way.
type open struct {
	id     proxy.ID
	began  time.Time
	route  string
	method string
	path   string
	peer   string
	status int // 0 while the upstream has not answered
}

// record is an exchange that has ended. It is kept for long: what it refers to must not hold more than itself.
type record struct {
	seq        uint64 // 1 is the first
	id         proxy.ID
	began      time.Time
	route      string
	method     string
	path       string
	status     int
	refusal    string
	broken     string
	in, out    int64
	first, all time.Duration
	connection string
	peer       string
	redactions int
}

// recent is a ring of the last exchanges.
type recent struct {
	ring []record
	seq  uint64 // of the last one
}

func (r *recent) add(x record) {
	r.seq++
	x.seq = r.seq
	if len(r.ring) < maxRecent {
		r.ring = append(r.ring, x)
	} else {
		r.ring[(x.seq-1)%maxRecent] = x
	}
}

// since returns what was added behind seq, as far as it is kept, the oldest first.
func (r *recent) since(seq uint64) (all []record) {
	for i := max(seq, r.seq-uint64(len(r.ring))); i < r.seq; i++ {
		all = append(all, r.ring[i%maxRecent])
	}
	return all
}

// Progress takes an exchange that has come a step further.
func (a *Admin) Progress(e *proxy.Event) {
	a.mu.Lock()
	defer a.mu.Unlock()
	o := a.open[e.ID]
	if o == nil {
		o = &open{id: e.ID, began: e.Time, route: e.Route, method: e.Method, path: shortened(e.Path), peer: peer(e)}
		a.open[e.ID] = o
	}
	o.status = e.Status
}

// Finished takes an exchange that has ended.
func (a *Admin) Finished(e *proxy.Event) {
	x := record{id: e.ID, began: e.Time, route: e.Route, method: e.Method, path: shortened(e.Path), status: e.Status,
		refusal: e.Refusal, broken: e.Broken, in: e.BytesIn, out: e.BytesOut, first: e.FirstByte, all: e.Duration,
		connection: e.Connection, peer: peer(e), redactions: e.Redactions}
	at := e.Time.Add(e.Duration)
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.open, e.ID)
	a.recent.add(x)
	a.count(e)
	a.routeOf(e.Route).count(e, at)
}

// routeOf returns what is counted for a route; a.mu is held.
func (a *Admin) routeOf(path string) *route {
	r := a.routes[path]
	if r == nil {
		if len(a.routes) >= maxRoutes {
			return &a.other
		}
		r = new(route)
		if len(a.routes) < maxLive {
			r.live = new(live)
		}
		a.routes[path] = r
	}
	return r
}

// shortened returns as much of a path as is kept.
func shortened(path string) string {
	if len(path) <= maxPath {
		return path
	}
	return strings.Clone(path[:maxPath]) + "…"
}

func peer(e *proxy.Event) string {
	if e.Peer == nil {
		return ""
	}
	return e.Peer.String()
}
