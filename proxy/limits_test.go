package proxy

import (
	"net"
	"testing"
	"time"
)

// TestDescriptors: as many agents as there are descriptors for, and not one more.
func TestDescriptors(t *testing.T) {
	for _, agents := range []int{1, 12, 1000, 1024, 1025, 4096, 4097, 16384, 100_000} {
		need := Limits{Agents: agents}.Descriptors()
		if got := AgentsFor(need); got != agents {
			t.Errorf("%d descriptors, which %d agents need, are for %d", need, agents, got)
		}
		if got := AgentsFor(need - 1); got >= agents && agents > 1 {
			t.Errorf("%d descriptors, one less than %d agents need, are for %d", need-1, agents, got)
		}
	}
	if AgentsFor(0) != 1 || AgentsFor(1<<63) < 1<<20 {
		t.Errorf("none: %d, no limit: %d", AgentsFor(0), AgentsFor(1<<63))
	}
}

// TestKept: the connections kept to all upstreams together have a bound, each with its own besides.
func TestKept(t *testing.T) {
	all := &kept{max: 3}
	one, other := &upstream{kept: all}, &upstream{kept: all}
	put := func(u *upstream) (kept bool) {
		before := len(u.idle)
		c, _ := net.Pipe()
		u.put(&upstreamConn{upstream: u, sock: newSock(c)})
		return len(u.idle) > before
	}
	for _, u := range []*upstream{one, one, other} {
		if !put(u) {
			t.Error("not kept while there is room")
		}
	}
	if put(one) || put(other) {
		t.Error("kept without room")
	}
	one.closeIdle(time.Now().Add(time.Hour))
	if all.n.Load() != 1 || !put(other) || !put(other) || put(other) {
		t.Errorf("%d are kept after two were closed", all.n.Load())
	}
	other.retire()
	if put(other) || all.n.Load() != 0 {
		t.Errorf("%d are kept after all were closed", all.n.Load())
	}
}

// TestTooSlow: only what is waited for counts, and only beyond a grace.
func TestTooSlow(t *testing.T) {
	s := New(Options{Limits: Limits{Rate: 100}})
	for _, test := range []struct {
		n      int64
		waited time.Duration
		want   bool
	}{
		{0, 0, false}, {0, rateGrace, false}, {1, rateGrace + time.Second, true}, {99, rateGrace + time.Second, true},
		{100, rateGrace + time.Second, false}, {1 << 30, time.Hour, false}, {3600, time.Hour, true},
	} {
		if got := s.tooSlow(test.n, test.waited); got != test.want {
			t.Errorf("%d bytes in %v: %v, want %v", test.n, test.waited, got, test.want)
		}
	}
}

// TestMemoryOfDefaults: a bound that is not set counts as what it is then.
func TestMemoryOfDefaults(t *testing.T) {
	if got, want := (Limits{}).Memory(), DefaultLimits.Memory(); got != want {
		t.Errorf("%d, want %d", got, want)
	}
}

// TestDescriptorsAreCounted: two for each agent, one for each that waits, and what else is open.
func TestDescriptorsAreCounted(t *testing.T) {
	l := Limits{Agents: 2000}
	if got, want := l.Descriptors(), uint64(2*2000+maxDoors+l.kept()+otherDescriptors); got != want {
		t.Errorf("%d, want %d", got, want)
	}
}
