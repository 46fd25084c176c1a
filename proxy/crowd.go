package proxy

import (
	"fmt"
	"time"

	"credproxy/proxy/http1"
)

const (
	// turnAwayAtOnce is how many agents are told at a time that there is no place for them; further ones wait to be
	// accepted.
	turnAwayAtOnce = 64

	// turnAwayFor is how long an agent has to send something, and then to take its answer, when it is turned away.
	turnAwayFor = time.Second

	// crowdedEvery is how often an operator is told that there is no place.
	crowdedEvery = time.Minute
)

// crowd is who is served and who is not.
type crowd struct {
	places chan struct{} // one for each agent that is served
	doors  chan struct{} // one for each that is turned away
	told   time.Time     // when the operator was; for the goroutine that accepts only
}

func newCrowd(agents int) crowd {
	return crowd{places: make(chan struct{}, agents), doors: make(chan struct{}, turnAwayAtOnce)}
}

// admitAgent serves an agent that was accepted, or turns it away if nobody leaves who could. It returns at once unless
// there are too many even to be turned away.
func (s *Server) admitAgent(a *agent) {
	select {
	case s.crowd.places <- struct{}{}:
		s.serveAgent(a)
		return
	default:
	}
	if s.makeRoom() {
		wait := time.NewTimer(sweepEvery)
		defer wait.Stop()
		select {
		case s.crowd.places <- struct{}{}:
			s.serveAgent(a)
			return
		case <-wait.C:
		}
	}
	if now := time.Now(); now.Sub(s.crowd.told) > crowdedEvery {
		s.crowd.told = now
		s.warn(fmt.Sprintf("all %d places for connections of agents are taken; further ones get 503", cap(s.crowd.places)))
	}
	select {
	case s.crowd.places <- struct{}{}:
		s.serveAgent(a)
	case s.crowd.doors <- struct{}{}:
		go func() {
			defer func() { <-s.crowd.doors }()
			defer s.leave(a)
			a.turnAway()
		}()
	}
}

func (s *Server) serveAgent(a *agent) {
	go func() {
		defer func() { <-s.crowd.places }()
		defer s.leave(a)
		a.serve()
	}()
}

// makeRoom closes some of the connections that only wait for a next request, and reports whether there were any.
func (s *Server) makeRoom() (any bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	some := cap(s.crowd.places)/16 + 1
	for a := range s.agents {
		if a.restful.Load() {
			a.closeIdle()
			any = true
			if some--; some == 0 {
				break
			}
		}
	}
	return any
}

// turnAway answers an agent for which there is no place, once it has said something: an answer to nothing confuses
// clients.
func (a *agent) turnAway() {
	defer a.close()
	a.sock.SetDeadline(time.Now().Add(turnAwayFor))
	if _, err := a.rd.Fill(); err != nil {
		return
	}
	event := Event{Time: time.Now(), Status: refuseBusy.Status, Refusal: refuseBusy.Code, Peer: a.sock.RemoteAddr()}
	head := string(a.rd.Buffered()[:min(5, len(a.rd.Buffered()))]) == "HEAD "
	p := refuseBusy.appendTo(http1.TakeBuffer(false)[:0], head, true)
	a.sock.Write(p)
	http1.ReturnBuffer(p[:cap(p)])
	a.linger(turnAwayFor)
	if a.srv.observer != nil {
		event.Duration = time.Since(event.Time)
		a.srv.observer(&event)
	}
}
