package proxy

import (
	"testing"
	"time"
)

// TestUploadIsWaitedFor: an upstream has its time for the answer from the end of the request on, however long that takes.
func TestUploadIsWaitedFor(t *testing.T) {
	for ago, want := range map[time.Duration]bool{-1: true, 0: true, 100 * time.Millisecond: false, 500 * time.Millisecond: false, time.Hour: false} {
		var u upload
		if ago >= 0 {
			u.ended.Store(time.Now().Add(-ago).UnixNano())
		}
		limit := 100 * time.Millisecond
		if want {
			limit = time.Hour
		}
		if got := u.waiting(limit); got != want {
			t.Errorf("ended %v ago, of %v: %v", ago, limit, got)
		}
	}
}
