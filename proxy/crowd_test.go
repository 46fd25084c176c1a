package proxy

import (
	"net"
	"testing"
)

// TestRestful: an agent makes room for others only if it did nothing but wait between two sweeps, not if the sweeps found
// it between two of its requests.
func TestRestful(t *testing.T) {
	c, _ := net.Pipe()
	a := newAgent(New(Options{}), c)
	for i, step := range []struct {
		busy, served uint64
		want         bool
	}{
		{0, 0, true}, {1, 0, false}, {0, 1, false}, {0, 1, true}, {0, 2, false}, {0, 7, false}, {0, 7, true}, {8, 7, false},
	} {
		a.busy.Store(step.busy)
		a.served.Store(step.served)
		if a.sweep(); a.restful.Load() != step.want {
			t.Errorf("step %d: %v, want %v", i, !step.want, step.want)
		}
	}
}
