package proxy

import (
	"fmt"
	"math"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// RouteLimits are the limits of one route, for all of its agents together. A zero one is none.
type RouteLimits struct {
	Concurrent  int   // exchanges at a time
	PerMinute   int   // exchanges: a bucket of so many, that fills evenly
	BytesPerDay int64 // to the upstream and to the agents: a bucket of so many, that fills evenly
}

// minBytesPerDay holds that limit to what an exchange needs at least, however little it says.
const minBytesPerDay = 1 << 20

// limitKeys are the members of a route's limits.
var limitKeys = []struct {
	name     string
	min, max int64
	set      func(*RouteLimits, int64)
}{
	{"concurrent", 1, 1 << 20, func(l *RouteLimits, n int64) { l.Concurrent = int(n) }},
	{"per_minute", 1, 1 << 30, func(l *RouteLimits, n int64) { l.PerMinute = int(n) }},
	{"bytes_per_day", minBytesPerDay, 1 << 53, func(l *RouteLimits, n int64) { l.BytesPerDay = n }},
}

func (p *configParser) limits(where string, v jsonValue, r *RouteConfig) {
	if v.kind != "object" || len(v.members) == 0 {
		p.errorf(where, "must be an object that is not empty (got %s)", v.kind)
		return
	}
	var names []string
	for _, k := range limitKeys {
		names = append(names, k.name)
		m, ok := v.get(k.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(m.str, 10, 64)
		if m.kind != "number" || err != nil || n < k.min || n > k.max {
			p.errorf(where+": "+k.name, "must be a whole number from %d to %d", k.min, k.max)
		}
		k.set(&r.Limits, n)
	}
	p.unknown(where, v, names...)
}

// meter holds a route to its limits. It outlives a reload that leaves the route its path and its limits.
type meter struct {
	RouteLimits
	path     string
	open     atomic.Int64 // exchanges under way
	requests *rate.Limiter
	bytes    *rate.Limiter // in debt after an exchange that moved more than there was
}

// newMeter returns nil for a route without limits.
func newMeter(r *RouteConfig) *meter {
	m := &meter{RouteLimits: r.Limits, path: r.Path}
	if m.RouteLimits == (RouteLimits{}) {
		return nil
	}
	if m.PerMinute > 0 {
		m.requests = rate.NewLimiter(rate.Limit(float64(m.PerMinute)/60), m.PerMinute)
	}
	if m.BytesPerDay > 0 {
		m.bytes = rate.NewLimiter(rate.Limit(float64(m.BytesPerDay)/86400), int(min(m.BytesPerDay, math.MaxInt)))
	}
	return m
}

// enter counts an exchange in, which must then leave; or returns why it is refused, and after how many seconds it is worth
// another try. What is refused counts nowhere.
func (m *meter) enter(now time.Time) (refusal *Refusal, retryAfter int) {
	if m.bytes != nil && m.bytes.TokensAt(now) < 1 {
		return refuseLimitBytes.because(": %s has %d a day", m.path, m.BytesPerDay), untilOne(m.bytes, now)
	}
	if !m.takePlace() {
		return refuseLimitAtOnce.because(": %s has %d at a time", m.path, m.Concurrent), 1
	}
	// To reserve and cancel would not do: of what several reserve at once not all comes back.
	if m.requests != nil && !m.requests.AllowN(now, 1) {
		m.open.Add(-1)
		return refuseLimitRate.because(": %s has %d a minute", m.path, m.PerMinute), untilOne(m.requests, now)
	}
	return nil, 0
}

// takePlace counts an exchange in that has a place among those under way, and no other, not even for a moment.
func (m *meter) takePlace() bool {
	for {
		n := m.open.Load()
		if m.Concurrent > 0 && n >= int64(m.Concurrent) {
			return false
		}
		if m.open.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

func (m *meter) leave() { m.open.Add(-1) }

// moved counts bytes.
func (m *meter) moved(n int64, now time.Time) {
	if m.bytes == nil {
		return
	}
	for burst := int64(m.bytes.Burst()); n > 0; n -= burst {
		m.bytes.ReserveN(now, int(min(n, burst))) // never waited for: it is a debt
	}
}

// untilOne is how many seconds it takes until a limiter lets one more pass.
func untilOne(l *rate.Limiter, now time.Time) int {
	return int(math.Ceil(min(max(1, (1-l.TokensAt(now))/float64(l.Limit())), math.MaxInt32)))
}

// meters are those of a table, by what they outlive it by.
type meters map[meterKey]*meter

type meterKey struct {
	path   string
	limits RouteLimits
}

// share gives the routes of a table their meters, those that there were before if they are the same.
func (before meters) share(routes []*route) meters {
	now := meters{}
	for _, r := range routes {
		key := meterKey{r.Path, r.Limits}
		if r.meter = before[key]; r.meter == nil {
			r.meter = newMeter(&r.RouteConfig)
		}
		if r.meter != nil {
			now[key] = r.meter
		}
	}
	return now
}

// tally is what an agent's connection has moved, for the meter of the exchange under way. It reads the counts of the
// sockets, so that the exchange has nothing to do for it; and while it is under way so do the sweeps, so that an endless
// one is counted too. The agent's mutex guards it.
type tally struct {
	meter    *meter // nil: none
	down, up int64  // of the counts of the agent's and the upstream's socket, what is taken
}

// metered lets the exchange pass the meter of its route, or refuses it.
func (x *exchange) metered(m *meter) *Refusal {
	if m == nil {
		return nil
	}
	refusal, retryAfter := m.enter(time.Now())
	if refusal != nil {
		x.retryAfter = retryAfter
		return refusal
	}
	a := x.agent
	a.mu.Lock()
	defer a.mu.Unlock()
	a.tally = tally{meter: m, down: a.sock.wrote.Load()}
	return nil
}

// reckon counts what was moved since the last time; a.mu is held.
func (a *agent) reckon() {
	t := &a.tally
	if t.meter == nil {
		return
	}
	down, up := a.sock.wrote.Load(), t.up
	if a.up != nil {
		up = a.up.sock.wrote.Load()
	}
	t.meter.moved(down-t.down+up-t.up, time.Now())
	t.down, t.up = down, up
}

// settle ends what metered began, if it did.
func (a *agent) settle() {
	if a.tally.meter == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.reckon()
	a.tally.meter.leave()
	a.tally = tally{}
}

// String is what `cred-proxy check` shows.
func (l RouteLimits) String() string {
	s := ""
	for _, p := range []struct {
		n    int64
		what string
	}{{int64(l.Concurrent), "at a time"}, {int64(l.PerMinute), "a minute"}, {l.BytesPerDay, "bytes a day"}} {
		if p.n > 0 {
			s += fmt.Sprintf(", %d %s", p.n, p.what)
		}
	}
	return s[min(2, len(s)):]
}
