package redact

import (
	"maps"
	"slices"
	"testing"
	"time"
)

// TestFigureSpeed says how fast each kind of body is looked through, by the length of the tokens: the best of many
// passes over 64 KiB, which is what one core can do when nothing else takes its time.
func TestFigureSpeed(t *testing.T) {
	if testing.Short() || !testing.Verbose() {
		t.Skip("it only prints: go test -v -run TestFigure ./proxy/redact")
	}
	all := bodies(64 << 10)
	for _, length := range []int{108, 40, 20, 16, 8} {
		token := (tokens[2] + tokens[3])[:length]
		m := New([]Secret{{Token: token, Scheme: "Bearer"}, {Token: token[1:] + "x", Username: user("x-access-token")}})
		for _, name := range slices.Sorted(maps.Keys(all)) {
			s, p, best, event := Stream{M: m}, all[name], time.Hour, time.Hour
			for range 300 {
				began := time.Now()
				s.Next(p)
				best = min(best, time.Since(began))
				began = time.Now()
				for i := range 20 {
					s.Next(p[i*200:][:200])
				}
				event = min(event, time.Since(began)/20)
			}
			t.Logf("tokens of %3d bytes, %-7s %5.2f GiB/s; %4d ns for a piece of 200 bytes", length, name,
				float64(len(p))/best.Seconds()/(1<<30), event.Nanoseconds())
		}
	}
}
