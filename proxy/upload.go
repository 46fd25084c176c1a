package proxy

import (
	"sync/atomic"
	"time"
)

// upload sends the part of a request's body that was not there with its head, while the exchange already waits for the
// response: an upstream may answer before it has read everything.
type upload struct {
	agent *agent
	up    *upstreamConn

	left    atomic.Int64 // bytes not yet read from the agent
	stopped atomic.Bool
	done    chan struct{}
	ended   atomic.Int64 // when, in Unix nanoseconds; 0 before

	// Good once done is closed.
	agentErr    error // the agent left or fell silent: the upstream connection was closed
	upstreamErr error // the upstream took no more; it may have answered
}

// startUpload begins to send the next n bytes of the agent's connection. Until it is done, nobody else may read there.
func startUpload(a *agent, up *upstreamConn, n int64) *upload {
	u := &upload{agent: a, up: up, done: make(chan struct{})}
	u.left.Store(n)
	go u.run()
	return u
}

func (u *upload) run() {
	defer close(u.done)
	defer func() { u.ended.Store(time.Now().UnixNano()) }()
	defer u.agent.survive()
	var waited time.Duration // for the agent
	var got int64
	a, silence := u.agent, u.agent.srv.timeouts.Silence
	for left := u.left.Load(); left > 0; {
		if len(a.rd.Buffered()) == 0 {
			a.rd.Release()
			a.sock.readWithin(silence)
			if u.stopped.Load() {
				return
			}
			began := time.Now()
			n, err := a.rd.Fill()
			waited, got = waited+time.Since(began), got+int64(n)
			if err == nil && a.srv.tooSlow(got, waited) {
				err = errTooSlow
			}
			if err != nil {
				if !u.stopped.Load() {
					u.agentErr = err
				}
				u.up.close() // what was sent is no whole request, and must not become one
				return
			}
		}
		p := a.rd.Buffered()
		p = p[:min(int64(len(p)), left)]
		left -= int64(len(p))
		u.left.Store(left)
		u.up.sock.writeWithin(silence)
		if _, err := u.up.Write(p); err != nil {
			u.upstreamErr = err
			return
		}
		a.rd.Consume(len(p))
	}
}

// stop ends an upload that nobody waits for any more and the connection that it went to.
func (u *upload) stop() {
	u.stopped.Store(true)
	u.agent.sock.Conn.SetReadDeadline(time.Unix(1, 0))
	u.up.close()
	<-u.done
	u.agent.sock.readBy = time.Time{}
	u.agent.sock.Conn.SetReadDeadline(time.Time{})
}

// finish waits for an upload of which everything was read, and reports whether everything was sent.
func (u *upload) finish() bool {
	if u.left.Load() > 0 {
		u.stop()
		return false
	}
	u.up.sock.SetWriteDeadline(time.Now().Add(time.Second)) // it was answered: who would still not take the rest
	<-u.done
	u.up.sock.sentBy = time.Time{}
	return u.agentErr == nil && u.upstreamErr == nil
}

// waiting reports whether the time for the upstream's answer has not begun or is not over.
func (u *upload) waiting(limit time.Duration) bool {
	ended := u.ended.Load()
	return ended == 0 || time.Since(time.Unix(0, ended)) < limit
}
