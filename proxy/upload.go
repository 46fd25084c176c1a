package proxy

import (
	"sync/atomic"
	"time"

	"credproxy/proxy/http1"
)

// upload sends the part of a request's body that was not there with its head, while the exchange already waits for the
// response: an upstream may answer before it has read everything.
type upload struct {
	agent *agent
	up    *upstreamConn

	chunks *rechunker // of a chunked body; else nil
	guard  *bodyGuard // nil: nobody wants to see the body

	left     atomic.Int64 // bytes not yet read from the agent; unknown up to the end of a chunked body
	stopped  atomic.Bool
	answered atomic.Bool // the upstream has a second for the rest
	done     chan struct{}
	ended    atomic.Int64 // when, in Unix nanoseconds; 0 before

	waited time.Duration // for the agent
	got    int64         // bytes of it, framing included

	// Good once done is closed.
	content     int64 // bytes of it that were read
	agentErr    error // the agent left, fell silent or broke the framing: the upstream connection was closed
	upstreamErr error // the upstream took no more; it may have answered
}

// startUpload begins to send the next n bytes of the agent's connection, or what chunks makes of them. Until it is done,
// nobody else may read there.
func startUpload(a *agent, up *upstreamConn, n int64, chunks *rechunker, guard *bodyGuard) *upload {
	u := &upload{agent: a, up: up, chunks: chunks, guard: guard, done: make(chan struct{})}
	u.left.Store(n)
	go u.run()
	return u
}

func (u *upload) run() {
	defer close(u.done)
	defer func() { u.ended.Store(time.Now().UnixNano()) }()
	defer u.agent.survive()
	for rd := &u.agent.rd; u.left.Load() > 0; {
		p, content, n, err := u.next(rd.Buffered())
		if err == http1.ErrIncomplete {
			if err = u.fill(); err == nil {
				continue
			}
		}
		if err == nil && u.guard.look(content) != nil {
			rd.Consume(n)
			err = errLeaked
		}
		if err != nil {
			if !u.stopped.Load() {
				u.agentErr = err
			}
			u.up.close() // what was sent is no whole request, and must not become one
			return
		}
		u.upstreamErr = u.write(p)
		rd.Consume(n) // also what was not taken: it is no request
		if u.upstreamErr != nil {
			return
		}
	}
}

// next returns what is to be sent for the n bytes at the start of p, and the content in it; http1.ErrIncomplete asks for
// more of them.
func (u *upload) next(p []byte) (send, content []byte, n int, err error) {
	left := u.left.Load()
	switch {
	case len(p) == 0:
		return nil, nil, 0, http1.ErrIncomplete
	case u.chunks != nil:
		send, content, n, err = u.chunks.next(p)
		u.content = u.chunks.content
		if u.chunks.body.Done() {
			left = 0
		}
	default:
		n = int(min(int64(len(p)), left))
		send, content = p[:n], p[:n]
		u.content += int64(n)
		left -= int64(n)
	}
	u.left.Store(left)
	return send, content, n, err
}

// fill waits for more from the agent.
func (u *upload) fill() error {
	a := u.agent
	a.rd.Release()
	a.sock.readWithin(a.srv.timeouts.Silence)
	if u.stopped.Load() {
		return errAgentGone
	}
	began := time.Now()
	n, err := a.rd.Fill()
	u.waited, u.got = u.waited+time.Since(began), u.got+int64(n)
	if err == nil && a.srv.tooSlow(u.got, u.waited) {
		err = errTooSlow
	}
	return err
}

func (u *upload) write(p []byte) (err error) {
	if len(p) > 0 {
		u.up.sock.writeWithin(u.agent.srv.timeouts.Silence)
		if u.answered.Load() { // finish may have been sooner than that
			u.up.sock.SetWriteDeadline(time.Now().Add(time.Second))
		}
		_, err = u.up.Write(p)
	}
	if u.chunks != nil {
		u.chunks.release()
	}
	return err
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
	u.answered.Store(true)
	u.up.sock.SetWriteDeadline(time.Now().Add(time.Second)) // who would still not take the rest
	<-u.done
	u.up.sock.sentBy = time.Time{}
	return u.agentErr == nil && u.upstreamErr == nil
}

// remaining is how much is left of the time that the upstream has once it is sent the request: all of it before that.
func (u *upload) remaining(limit time.Duration) time.Duration {
	if ended := u.ended.Load(); ended != 0 {
		return limit - time.Since(time.Unix(0, ended))
	}
	return limit
}

// refusal is what the agent is answered if it is why the upload broke off, or nil if it left.
func (u *upload) refusal() *Refusal {
	limits := &u.agent.srv.limits
	switch err := u.agentErr; {
	case isTimeout(err):
		return &refuseBodyTimeout
	case err == errLeaked:
		return &refuseLeaked
	case err == errTooSlow:
		return refuseBodySlow.because(": less than %d bytes a second", limits.Rate)
	case err == http1.ErrHeadTooLarge:
		return refuseHeadTooLarge.saying("trailer section of the request too large: more than %d bytes", limits.Head)
	case err == http1.ErrTooManyFields:
		return refuseTooManyFields.saying("too many trailer fields: more than %d", limits.Fields)
	}
	if m, ok := u.agentErr.(http1.Malformed); ok {
		return refuseMalformed.because(": %v", m)
	}
	return nil
}
