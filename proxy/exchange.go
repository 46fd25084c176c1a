package proxy

import (
	"bytes"
	"strconv"
	"sync"
	"time"

	"credproxy/proxy/http1"
)

// The path of one exchange, from the first byte of its request to the last of its answer: read serve first.

// ending is what becomes of the agent's connection after an exchange.
type ending int

const (
	keepOpen       ending = iota
	closeAtOnce           // everything was said, or the agent is to see that it was not
	closeLingering        // bytes of the agent are unread: it must be able to read its answer first
)

// exchange is one request and its response.
type exchange struct {
	agent  *agent
	srv    *Server
	*heads        // nil once the response's head is composed: a stream can last for hours
	out    []byte // the request while it is sent, then what is not yet written of the response

	route      *route
	handshake  *handshake // what the request is besides; or nil
	shape      shape      // of a refusal
	retryAfter int        // seconds, that a refusal says; 0: nothing
	isHead     bool       // the request's method is HEAD
	safe       bool       // it is GET, HEAD or OPTIONS: nothing happens if an upstream sees it twice
	headSize   int        // bytes of the request's head that are not consumed
	unread     int64      // bytes of the request's body that are neither consumed nor left to upload
	upload     *upload
	lookout    *lookout    // what looks for tokens
	guard      *bodyGuard  // for those in the part of the request's body that is not there yet; nil: not looked at
	masked     int         // tokens in the head of the response
	screen     screen      // of its content
	headBy     time.Time   // when the head of the response that has begun must be there
	closing    bool        // the response says Connection: close
	agentErr   error       // writing to the agent failed
	upErr      error       // reading of the upstream failed while the end of what came was held
	mapped     bool        // the head of the response is that of a body in which URLs are mapped
	mapper     *bodyMapper // maps them, if there is such a body; else nil
	event      Event
}

// unknown is how much is unread of a request that was not understood.
const unknown = 1 << 62

// heads is what is parsed in the course of an exchange.
type heads struct {
	req  http1.Request
	resp http1.Response
}

var headsPool = sync.Pool{New: func() any { return new(heads) }}

var exchanges = sync.Pool{New: func() any { return new(exchange) }}

func newExchange(a *agent) *exchange {
	x := exchanges.Get().(*exchange)
	*x = exchange{agent: a, srv: a.srv, heads: headsPool.Get().(*heads)}
	x.req.Reset()
	x.event = a.srv.newEvent(a.peer)
	return x
}

// run is the exchange from the first byte of the request to the last one of the response.
func (x *exchange) run() (end ending) {
	if x.srv.observer == nil {
		end = x.serve()
	} else {
		end = x.observed()
	}
	x.dropOut()
	x.dropHeads()
	*x = exchange{}
	exchanges.Put(x)
	return end
}

func (x *exchange) serve() ending {
	defer x.agent.settle()
	refusal, ok := x.readHead()
	if !ok {
		return closeAtOnce
	}
	if refusal == nil {
		refusal = x.choose()
	}
	if refusal != nil {
		return x.refuse(refusal)
	}
	x.progress()
	x.compose()
	up, err := x.send()
	if err != nil {
		return x.refuseUpstream(err)
	}
	if x.resp.Status == 101 {
		return x.tunnel(up)
	}
	return x.relay(up)
}

// readHead reads the request's head. ok is false if the agent left before its end.
func (x *exchange) readHead() (_ *Refusal, ok bool) {
	rd := &x.agent.rd
	var by time.Time
	for {
		n, err := x.req.Parse(rd.Buffered(), x.srv.heads.up)
		switch err {
		case nil:
			x.isHead = string(x.req.Method) == "HEAD"
			x.safe = x.isHead || string(x.req.Method) == "GET" || string(x.req.Method) == "OPTIONS"
			x.event.Method = knownMethod(x.req.Method)
			if x.unread = x.req.Length; x.req.Framing > http1.Length {
				x.unread = unknown
			}
			x.headSize = n
			return nil, true
		case http1.ErrIncomplete:
			if by.IsZero() { // whoever dribbles gets no new time with each byte
				by = x.event.Time.Add(x.srv.timeouts.Head)
				x.agent.sock.readBy = by
				x.agent.sock.SetReadDeadline(by)
			}
			if _, err := rd.Fill(); isTimeout(err) {
				x.unread = unknown
				return refuseHeadTimeout.saying("request head not complete within %v", x.srv.timeouts.Head), true
			} else if err != nil {
				return nil, false
			}
			continue
		}
		x.unread = unknown
		switch err {
		case http1.ErrTargetTooLong:
			return refuseTargetTooLong.because(": more than %d bytes", x.srv.limits.Target), true
		case http1.ErrHeadTooLarge:
			return refuseHeadTooLarge.because(": more than %d bytes", x.srv.limits.Head), true
		case http1.ErrTooManyFields:
			return refuseTooManyFields.because(": more than %d", x.srv.limits.Fields), true
		}
		return refuseMalformed.because(": %v", err), true
	}
}

// choose finds the request's route, or the reason to refuse it. The order of the checks is the contract's.
func (x *exchange) choose() *Refusal {
	t := x.srv.table.Load()
	path, _, _ := bytes.Cut(x.req.Target, []byte("?"))
	leak := x.guardHead(t, path)
	x.seen(path)
	if leak != nil {
		return leak
	}
	scratch := http1.TakeBuffer(false)
	refusal := admit(&x.req, scratch)
	http1.ReturnBuffer(scratch)
	if refusal != nil {
		return refusal
	}
	r := t.find(path)
	if r == nil {
		return refuseNoRoute.because(" for %s", pyRepr(path))
	}
	x.event.Route, x.shape = r.Path, r.shape.askedFor(&x.req)
	if refusal := r.callers.refusal(&x.req); refusal != nil {
		return refusal
	}
	if refusal := r.rules.refusal(r.Path, x.req.Method, path); refusal != nil {
		return refusal
	}
	if r.refusal != nil {
		return r.refusal
	}
	x.route = r
	if refusal := checkLength(&x.req, r.Chunked); refusal != nil {
		return refusal
	}
	if x.handshake, refusal = r.handshakeOn(&x.req); refusal != nil {
		return refusal
	}
	if refusal := x.guardBody(); refusal != nil {
		return refusal
	}
	return x.metered(r.meter)
}

// compose puts the request that goes up into out, and as much of its body as is there; both are then consumed.
func (x *exchange) compose() {
	head, rd, r := x.headSize, &x.agent.rd, x.route
	body := rd.Buffered()[head:]
	body = body[:min(int64(len(body)), x.req.Length)]
	fields := r.fields.reveal()
	p := http1.TakeBuffer(head+len(r.target)+len(fields)+len(body)+64 > http1.SmallBuffer)[:0]
	p = append(p, x.req.Method...)
	p = append(p, ' ')
	p = append(p, r.target...)
	p = append(p, x.req.Target[len(r.Path):]...)
	p = append(p, " HTTP/1.1\r\n"...)
	p = appendFields(p, x.req.Fields, &x.req, r.dropped)
	p = append(p, fields...)
	p = appendJoined(p, x.req.Fields, &x.req, r.joined)
	p = x.handshake.appendTo(p, &x.req)
	switch x.req.Framing {
	case http1.Length:
		p = append(p, "Content-Length: "...)
		p = strconv.AppendInt(p, x.req.Length, 10)
		p = append(p, "\r\n"...)
	case http1.Chunked: // the body is the upload's from its first byte
		p = append(p, "Transfer-Encoding: chunked\r\n"...)
	}
	p = append(p, "\r\n"...)
	p = append(p, body...)
	x.out = p
	x.agent.calls(x.req.Host)
	rd.Consume(head + len(body))
	rd.Release()
	x.headSize = 0
	x.unread -= int64(len(body))
	x.event.BytesIn = int64(len(body))
}

// send brings the request to the upstream and reads the head of the response. It is tried a second time, on a new
// connection, if a kept one turns out to be closed and nothing of the request can have been acted upon.
func (x *exchange) send() (*upstreamConn, error) {
	for fresh := false; ; fresh = true {
		up, err := x.agent.connect(x.route.upstream, fresh)
		if err != nil {
			x.event.Connection = "failed"
			return nil, err
		}
		x.event.Connection = connectionKind(up.used, fresh)
		before := up.sock.wrote.Load()
		if err = x.ask(up); err == nil {
			return up, nil
		}
		untouched := up.sock.wrote.Load() == before
		heard := len(up.rd.Buffered()) > 0 || x.event.FirstByte > 0
		stale := up.used && !heard && !isTimeout(err) && x.out != nil && (untouched || x.safe)
		x.agent.detach()
		up.free()
		if fresh || !stale || x.agent.isGone() {
			return nil, err
		}
	}
}

// ask writes the request to one connection and reads the head of the response. After an error the upload, if there is
// one, has ended; out is still there only if the request may be sent again.
func (x *exchange) ask(up *upstreamConn) error {
	x.resp.Reset()
	up.sock.writeWithin(x.srv.timeouts.Silence)
	if _, err := up.Write(x.out); err != nil {
		return err
	}
	if !x.safe || x.unread > 0 {
		x.dropOut() // the answer can be minutes away
	}
	if x.unread > 0 {
		if x.req.Expect && len(x.agent.rd.Buffered()) == 0 {
			x.agent.sock.writeWithin(x.srv.timeouts.Silence)
			x.agent.sock.Write([]byte("HTTP/1.1 100 Continue\r\n\r\n")) // an error will come again
		}
		x.upload = startUpload(x.agent, up, x.unread, newRechunker(&x.req, x.srv.heads.up), x.guard)
	}
	err := x.readResponse(up)
	if err != nil && x.upload != nil {
		x.upload.stop()
	}
	return err
}

func (x *exchange) dropHeads() {
	if x.heads != nil {
		headsPool.Put(x.heads)
		x.heads = nil
	}
}

// dropOut gives the buffer of out back.
func (x *exchange) dropOut() {
	if x.out != nil {
		http1.ReturnBuffer(x.out[:cap(x.out)])
		x.out = nil
	}
}

// ending says what becomes of the agent's connection once the response is written.
func (x *exchange) ending() ending {
	switch {
	case x.agentErr != nil:
		return closeAtOnce
	case x.closing && (x.unread > 0 || x.agent.hasMore()):
		return closeLingering
	case x.closing:
		return closeAtOnce
	}
	return keepOpen
}

// countUpload takes an upload that has ended into account.
func (x *exchange) countUpload() {
	x.event.BytesIn += x.upload.content
	x.event.Leaked = x.event.Leaked || x.guard != nil && x.guard.leaked
	x.unread = x.upload.left.Load()
}

// refuse answers the agent instead of forwarding its request.
func (x *exchange) refuse(r *Refusal) ending {
	x.event.Status, x.event.Refusal = r.Status, r.Code
	x.closing = x.unread > 0 || x.req.Minor == 0 || !x.req.Persistent() || x.handshake != nil || x.srv.draining.Load()
	x.agent.rd.Consume(x.headSize)
	x.dropOut()
	x.out, x.event.BytesOut = r.appendTo(http1.TakeBuffer(false)[:0],
		answer{id: x.event.ID, shape: x.shape, retryAfter: x.retryAfter, head: x.isHead, closing: x.closing})
	x.flush()
	return x.ending()
}

// refuseUpstream answers the agent after the upstream failed to, unless the agent is why.
func (x *exchange) refuseUpstream(err error) ending {
	gone := x.agent.isGone() || x.agentErr != nil
	if x.upload != nil {
		x.countUpload()
		if r := x.upload.refusal(); r != nil && !gone {
			return x.refuse(r)
		}
		gone = gone || x.upload.agentErr != nil
	}
	switch {
	case gone:
	case err == errReflected:
		return x.refuse(&refuseReflected)
	case err == errCompressed:
		return x.refuse(&refuseCompressed)
	case isTimeout(err):
		return x.refuse(&refuseUpstreamSilent)
	case err == http1.ErrHeadTooLarge:
		return x.refuse(refuseResponseHead.because(": more than %d bytes", x.srv.limits.ResponseHead))
	case err == http1.ErrTooManyFields:
		return x.refuse(refuseResponseHead.because(": more than %d header fields", x.srv.heads.down.Fields))
	default:
		return x.refuse(refuseUpstream.because(": %s", describe(err)))
	}
	x.event.Broken = x.agent.breaker()
	return closeAtOnce
}
