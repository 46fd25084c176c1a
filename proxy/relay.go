package proxy

import (
	"io"
	"strconv"
	"time"

	"credproxy/proxy/http1"
)

// The way of a response, from its first bytes to what becomes of both connections.

// readResponse reads up to the head of the final response, passing interim ones on.
func (x *exchange) readResponse(up *upstreamConn) error {
	for interim := 0; ; {
		n, err := x.resp.Parse(up.rd.Buffered(), x.srv.heads.down)
		if err == nil {
			err = x.screenHead(up.rd.Buffered()[:n])
		}
		switch {
		case err == http1.ErrIncomplete:
			if err := x.awaitResponse(up); err != nil {
				return err
			}
			continue
		case err != nil:
			return err
		case x.resp.Status == 101:
			if err := x.handshake.check(&x.resp); err != nil {
				return err
			}
			fallthrough
		case x.resp.Status >= 200:
			x.dropOut()
			x.out = x.responseHead()
			up.rd.Consume(n)
			return nil
		}
		if interim++; interim > maxInterim {
			return http1.Malformed("too many interim responses")
		}
		if x.resp.Status != 100 && x.req.Minor == 1 {
			x.dropOut()
			x.out = append(x.responseHead(), "\r\n"...)
			if x.flush(); x.agentErr != nil {
				return x.agentErr
			}
		}
		up.rd.Consume(n)
		x.headBy = time.Time{} // the next head has its own time
	}
}

// awaitResponse waits for more of the head of the response. The time for it begins when the request is sent.
func (x *exchange) awaitResponse(up *upstreamConn) error {
	for within := x.srv.timeouts.Response; ; {
		if len(up.rd.Buffered()) > 0 { // whoever dribbles gets no new time with each byte
			if x.headBy.IsZero() {
				x.headBy = time.Now().Add(within)
			}
			within = time.Until(x.headBy)
		}
		up.sock.readWithin(within)
		_, err := up.rd.Fill()
		if err == nil || !isTimeout(err) || !x.headBy.IsZero() || x.upload == nil {
			return err
		}
		if within = x.upload.remaining(x.srv.timeouts.Response); within <= 0 {
			return err
		}
	}
}

// responseHead returns a new out: the status line and the fields that cross, without the framing and the empty line.
func (x *exchange) responseHead() []byte {
	size := len(x.resp.Reason) + 64
	for i := range x.resp.Fields {
		size += len(x.resp.Fields[i].Line)
	}
	p := http1.TakeBuffer(size > http1.SmallBuffer)[:0]
	p = append(p, "HTTP/1.1 "...)
	p = strconv.AppendInt(p, int64(x.resp.Status), 10)
	p = append(p, ' ')
	p = append(p, x.resp.Reason...)
	p = append(p, "\r\n"...)
	dropped := droppedDown
	switch {
	case x.resp.Status < 200 || x.resp.Status == 204:
		dropped = noContentDown
	case x.mapsBody():
		dropped = mappedDown
	}
	p = x.appendFieldsDown(p, x.resp.Fields, &x.resp, dropped)
	if x.masked > 0 {
		p = append(p, RedactedField+": "...)
		p = strconv.AppendInt(p, int64(x.masked), 10)
		p = append(p, "\r\n"...)
	}
	return p
}

// appendFieldsDown appends the field lines that cross to the agent.
func (x *exchange) appendFieldsDown(p []byte, fields []http1.Field, m connected, dropped *nameSet) []byte {
	if x.route.LeaveURLs || !anyURL(fields) && !x.mapped {
		return appendFields(p, fields, m, dropped)
	}
	h := homing{own: x.route, table: x.route.table, address: x.agent.address(),
		limit: len(p) + 2*x.srv.limits.ResponseHead, weaken: x.mapped}
	p = h.appendFields(p, fields, m, dropped)
	x.event.ForeignURLs += h.foreign
	return p
}

// relay passes the response on as it arrives and says what becomes of the agent's connection. The connection to the
// upstream is kept if it can serve again.
func (x *exchange) relay(up *upstreamConn) ending {
	x.event.Status = x.resp.Status
	if x.resp.Status == 401 {
		for _, renew := range x.route.renew { // before the agent hears of it: its next request has the new token
			renew()
		}
	}
	x.progress()
	body := x.resp.Body(x.isHead)
	old := x.req.Minor == 0
	x.closing = old || !x.req.Persistent() || x.srv.draining.Load() || x.upload != nil && x.upload.left.Load() > 0
	if !old && (body.Chunked() || body.UntilClose() || x.isHead && (x.resp.Chunked() || x.mapped) || x.mapper != nil) {
		x.out = append(x.out, "Transfer-Encoding: chunked\r\n"...)
	}
	if x.closing {
		x.out = append(x.out, "Connection: close\r\n"...)
	}
	x.out = append(x.out, "\r\n"...)
	reusable := !body.UntilClose() && x.resp.Persistent()
	x.agent.openEnded.Store(old && (body.UntilClose() || body.Chunked() || x.mapper != nil))
	x.dropHeads()

	err := x.screenBody(up, body)
	switch {
	case err != nil:
	case x.mapper != nil:
		err = x.relayMapped(up, &body, old)
	case old && body.Chunked():
		err = x.relayContent(up, &body)
	case !old && body.UntilClose():
		err = x.relayInChunks(up)
	default:
		err = x.relayAsItComes(up, &body)
	}
	if x.flush(); err == nil && x.agentErr == nil {
		x.agent.openEnded.Store(false) // before the upload is waited for
	}

	sent := true
	if x.upload != nil {
		sent = x.upload.finish()
		x.countUpload()
	}
	here := x.agent.detach() && x.agentErr == nil
	if err == nil && here && sent && reusable && len(up.rd.Buffered()) == 0 {
		up.put(up)
	} else {
		up.free()
	}
	switch {
	case !here:
		x.event.Broken = x.agent.breaker()
		return closeAtOnce
	case err != nil:
		x.event.Broken = "upstream"
		if err == errReflected {
			x.event.Broken = "reflection"
		}
		if x.upload != nil && x.upload.agentErr != nil {
			x.event.Broken = "agent"
		}
		return closeAtOnce
	}
	return x.ending()
}

// relayAsItComes passes the bytes of the body on as they were sent, chunk framing included; only a trailer section is
// rewritten. The error is the upstream's unless there is an x.agentErr, which is what goes wrong on the agent's side, here as
// below.
func (x *exchange) relayAsItComes(up *upstreamConn, body *http1.Body) error {
	for !body.Done() && x.agentErr == nil {
		if body.InTrailer() {
			return x.readTrailer(up)
		}
		p, err := x.more(up)
		if err == io.EOF && body.UntilClose() {
			return nil
		}
		if err != nil {
			return err
		}
		n, err := body.Scan(p)
		x.emit(p[:n])
		up.rd.Consume(n)
		if err != nil {
			return err
		}
	}
	return nil
}

// relayContent takes the chunk framing off, for an agent that does not know it.
func (x *exchange) relayContent(up *upstreamConn, body *http1.Body) error {
	for !body.Done() && !body.InTrailer() && x.agentErr == nil {
		p, err := x.more(up)
		if err != nil {
			return err
		}
		n, content, err := body.Next(p)
		if err != nil {
			return err
		}
		if content {
			x.emit(p[:n])
		}
		up.rd.Consume(n)
	}
	return nil
}

// relayInChunks frames a body that ends with the upstream's connection, so that the agent's can stay open and the agent
// can tell the end from a failure.
func (x *exchange) relayInChunks(up *upstreamConn) error {
	for {
		p, err := x.more(up)
		if err == io.EOF {
			x.out = append(x.out, "0\r\n\r\n"...)
			return nil
		}
		if err != nil {
			return err
		}
		x.out = strconv.AppendInt(x.out, int64(len(p)), 16)
		x.out = append(x.out, "\r\n"...)
		x.out = append(x.out, p...)
		x.out = append(x.out, "\r\n"...)
		x.event.BytesOut += int64(len(p))
		up.rd.Consume(len(p))
	}
}

// relayMapped passes the content on with the URLs in it mapped. It is framed anew: in chunks, but for an agent that is
// too old for them.
func (x *exchange) relayMapped(up *upstreamConn, body *http1.Body, old bool) error {
	var err error
	for err == nil && !body.Done() && !body.InTrailer() && x.agentErr == nil {
		var p []byte
		if p, err = x.more(up); err == nil {
			err = x.mapPiece(up, body, p, old)
		}
	}
	if err == io.EOF && body.UntilClose() {
		err = nil
	}
	x.emitChunk(x.mapper.flush(make([]byte, chunkLine)), old)
	x.event.ForeignURLs += x.mapper.foreign
	if err != nil || x.agentErr != nil || old {
		return err
	}
	if body.InTrailer() {
		x.out = append(x.out, "0\r\n"...)
		return x.readTrailer(up)
	}
	x.out = append(x.out, "0\r\n\r\n"...)
	return nil
}

// mapAtOnce is how much content is mapped in one go: what becomes of it may be much longer.
const mapAtOnce = 4 << 10

// mapPiece passes on what is there of a body.
func (x *exchange) mapPiece(up *upstreamConn, body *http1.Body, p []byte, old bool) (err error) {
	buf := http1.TakeBuffer(len(p) > http1.SmallBuffer/2)
	defer http1.ReturnBuffer(buf)
	out := buf[:chunkLine]
	for err == nil && len(p) > 0 && !body.Done() && !body.InTrailer() {
		var n int
		var content bool
		if n, content, err = body.Next(p[:min(len(p), mapAtOnce)]); content {
			out = x.mapper.edit(out, p[:n])
		}
		up.rd.Consume(n)
		if p = p[n:]; len(out) > http1.LargeBuffer/2 {
			x.emitChunk(out, old)
			out = buf[:chunkLine]
		}
	}
	x.emitChunk(out, old)
	return err
}

// chunkLine is the room for the line with the size of a chunk.
const chunkLine = len("12345678\r\n")

// emitChunk has content written to the agent, at the latest before more of it is waited for. p begins with room for a
// chunk's size, which an agent that is too old for chunks is not sent.
func (x *exchange) emitChunk(p []byte, old bool) {
	size := len(p) - chunkLine
	if size == 0 {
		return
	}
	x.event.BytesOut += int64(size)
	if old {
		x.queue(p[chunkLine:])
		return
	}
	line := append(strconv.AppendInt(make([]byte, 0, chunkLine), int64(size), 16), "\r\n"...)
	p = p[chunkLine-len(line):]
	copy(p, line)
	x.queue(append(p, "\r\n"...))
}

// queue writes p to the agent, or leaves it in out, if it fits there, to what follows.
func (x *exchange) queue(p []byte) {
	if len(p) > cap(x.out)-len(x.out) {
		x.flush()
	}
	if len(p) > cap(x.out) {
		x.write(p)
		return
	}
	x.out = append(x.out, p...)
}

// more returns the next bytes from the upstream that may be passed on. Before it waits for them it sends the agent
// everything that is there; what the screen holds is not, but for no longer than that wants it.
func (x *exchange) more(up *upstreamConn) ([]byte, error) {
	for silence := x.srv.timeouts.Silence; ; {
		if p := up.rd.Buffered(); len(p) > x.screen.held {
			return p[:len(p)-x.screen.held], nil
		}
		if x.upErr != nil {
			return nil, x.upErr
		}
		if x.flush(); x.agentErr != nil {
			return nil, x.agentErr // nobody waits for more
		}
		x.dropOut()
		up.rd.Release()
		if x.screen.held > 0 {
			up.sock.readWithin(time.Until(x.screen.by))
		} else {
			up.sock.readWithin(silence)
		}
		_, err := up.rd.Fill()
		if x.screen.held > 0 && isTimeout(err) {
			err = up.fillNow() // what came while the processor was elsewhere is not late
		} else if isTimeout(err) && x.upload != nil {
			// An upstream that is still sent its request may have nothing to say yet.
			if silence = x.upload.remaining(x.srv.timeouts.Silence); silence > 0 {
				continue
			}
		}
		switch {
		case err == nil:
			err = x.screenMore(up)
		case x.screen.held > 0:
			x.screen.release()
			if !isTimeout(err) {
				x.upErr = err // which comes after what was held: that a connection was reset is said once
			}
			err = nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// readTrailer puts the trailer fields that cross and the end of the message into out.
func (x *exchange) readTrailer(up *upstreamConn) error {
	var t http1.Trailer
	for {
		n, err := t.Parse(up.rd.Buffered(), x.srv.heads.down)
		if err == http1.ErrIncomplete {
			if x.flush(); x.agentErr != nil {
				return x.agentErr
			}
			up.sock.readWithin(x.srv.timeouts.Silence)
			if _, err := up.rd.Fill(); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		if err := x.screenTrailer(up.rd.Buffered()[:n], t.Fields); err != nil {
			return err
		}
		dropped := noContentDown
		if x.mapped {
			dropped = mappedDown
		}
		x.out = x.appendFieldsDown(x.out, t.Fields, &t, dropped)
		x.out = append(x.out, "\r\n"...)
		up.rd.Consume(n)
		return nil
	}
}

// emit writes p to the agent, in one go with what is in out if both fit there.
func (x *exchange) emit(p []byte) {
	x.event.BytesOut += int64(len(p))
	if len(x.out) > 0 && len(p) <= cap(x.out)-len(x.out) {
		x.out = append(x.out, p...)
		p = nil
	}
	x.flush()
	x.write(p)
}

// flush writes what is in out to the agent.
func (x *exchange) flush() {
	x.write(x.out)
	x.out = x.out[:0]
}

// write writes to the agent. After an error nothing more is written.
func (x *exchange) write(p []byte) {
	if len(p) == 0 || x.agentErr != nil {
		return
	}
	x.agent.sock.writeWithin(x.srv.timeouts.Silence)
	_, x.agentErr = x.agent.sock.Write(p)
	if x.event.FirstByte == 0 {
		x.event.FirstByte = time.Since(x.event.Time)
	}
}
