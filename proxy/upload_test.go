package proxy

import (
	"net"
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

// TestUploadCounts: what an agent has sent of a body counts for its rate, and the time that it took.
func TestUploadCounts(t *testing.T) {
	agent, conn := net.Pipe()
	defer agent.Close()
	u := &upload{agent: newAgent(New(Options{}), conn), waited: time.Second, got: 10}
	defer u.agent.abandon()
	go agent.Write([]byte("hello"))
	if err := u.fill(); err != nil || u.got != 15 || u.waited <= time.Second {
		t.Errorf("%d bytes in %v, %v", u.got, u.waited, err)
	}
}
