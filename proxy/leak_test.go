package proxy

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

// What an operator is told of tokens that came in requests.

// TestLeaksTold: of many requests with a token the operator is told once, and the next time how many there were since.
func TestLeaksTold(t *testing.T) {
	var said []string
	s := New(Options{Warn: func(line string) { said = append(said, line) }})
	conn, _ := net.Pipe()
	a, w := newAgent(s, conn), &lookout{guard: LeakLog, sources: []string{"env var T"}}
	leaked := func(told int64) {
		s.leaks.told.Store(told)
		if s.leaked(w, 0, "the head", a) != nil {
			t.Error("refused")
		}
	}
	for _, since := range []int{0, 1, 3, 0} {
		for range since {
			leaked(time.Now().UnixNano())
		}
		if since < 3 {
			leaked(0) // never
		} else {
			leaked(time.Now().Add(time.Hour).UnixNano()) // before the clock was set back
		}
		end := "revoke the token"
		if since > 0 {
			end = fmt.Sprintf("revoke the token (and %d more requests of which nothing was said)", since)
		}
		if len(said) != 1 || !strings.HasSuffix(said[0], end) {
			t.Errorf("after %d: %q", since, said)
		}
		said = nil
	}
}
