package proxy

import (
	"bytes"
	"fmt"
	"sync/atomic"
	"time"

	"credproxy/proxy/http1"
)

// Who is served, who waits for a place and who is turned away.

const (
	// minDoors and maxDoors bound how many agents wait at a time for a place, or are told that there is none: as many as
	// there are places, within these. Further ones wait to be accepted.
	minDoors, maxDoors = 64, 1024

	// atDoorFor is how long an agent has to say something when there is no place.
	atDoorFor = 250 * time.Millisecond

	// turnAwayFor is how long an agent waits for a place, and how long it has to take its answer if there is none.
	turnAwayFor = time.Second

	// maxRefusedPeers is how many connections from elsewhere are told so at a time.
	maxRefusedPeers = 32

	// tellEvery is how often an operator is told of what others can bring about.
	tellEvery = time.Minute
)

// crowd is who is served and who is not.
type crowd struct {
	places chan struct{} // one for each agent that is served
	doors  chan struct{} // one for each that is turned away
	peers  chan struct{} // one for each that comes from elsewhere

	toldFull, toldPeer, toldAccept telling // of no place, of a peer from elsewhere, of one that could not be accepted
}

func newCrowd(agents int) *crowd {
	return &crowd{
		places: make(chan struct{}, agents),
		doors:  make(chan struct{}, doorsFor(agents)),
		peers:  make(chan struct{}, maxRefusedPeers),
	}
}

func doorsFor(agents int) int { return max(minDoors, min(agents, maxDoors)) }

// admitAgent serves an agent that was accepted, or lets it wait at the door. It returns at once unless there is not even
// a place to wait.
func (s *Server) admitAgent(a *agent) {
	select {
	case s.crowd.places <- struct{}{}:
		s.serveAgent(a)
		return
	default:
	}
	a.busy.Store(1) // with its first exchange: it is not idle, and does not make room for itself
	select {
	case s.crowd.places <- struct{}{}:
		a.busy.Store(0)
		s.serveAgent(a)
	case s.crowd.doors <- struct{}{}:
		go func() {
			served := false
			defer func() {
				if !served {
					s.leave(a)
				}
				<-s.crowd.doors
			}()
			defer a.survive()
			served = s.waitAtDoor(a)
		}()
	}
}

// waitAtDoor makes room for an agent, or turns it away if nobody leaves who could. It reports whether the agent is served
// from now on.
func (s *Server) waitAtDoor(a *agent) bool {
	a.sock.SetDeadline(time.Now().Add(atDoorFor))
	// Who says nothing is given no place, and no answer: an answer to nothing confuses clients.
	if _, err := a.rd.Fill(); err != nil {
		a.close()
		return false
	}
	retry := time.NewTicker(sweepEvery)
	for range turnAwayFor / sweepEvery { // and not until a time: a process that is held up misses sweeps, and then these as well
		s.makeRoom()
		select {
		case s.crowd.places <- struct{}{}:
			a.sock.SetDeadline(time.Time{})
			s.serveAgent(a)
			return true
		case <-retry.C:
		}
	}
	if s.crowd.toldFull.now() {
		s.warn(fmt.Sprintf("all %d places for connections of agents are taken; further ones get 503", cap(s.crowd.places)))
	}
	a.turnAway(&refuseBusy)
	return false
}

// telling is when the operator was last told of something, in Unix nanoseconds.
type telling struct{ atomic.Int64 }

// now reports whether it is time to tell, which then is done.
func (t *telling) now() bool { return t.at(time.Now(), tellEvery) }

func (t *telling) at(now time.Time, every time.Duration) bool {
	told := t.Load()
	since := now.UnixNano() - told // below zero if the clock was set back
	return (told == 0 || since < 0 || since > int64(every)) && t.CompareAndSwap(told, now.UnixNano())
}

func (s *Server) serveAgent(a *agent) {
	go func() {
		defer func() { <-s.crowd.places }()
		defer s.leave(a)
		a.serve()
	}()
}

// makeRoom closes some of the connections that only wait for a next request.
func (s *Server) makeRoom() {
	s.mu.Lock()
	defer s.mu.Unlock()
	some := cap(s.crowd.places)/16 + 1
	for a := range s.agents {
		if a.restful.Load() {
			a.closeIdle()
			if some--; some == 0 {
				break
			}
		}
	}
}

// turnAway answers an agent that is not served, and closes its connection.
func (a *agent) turnAway(r *Refusal) {
	defer a.close()
	event := a.srv.newEvent(a.peer)
	p, sent := r.appendTo(http1.TakeBuffer(false)[:0],
		answer{id: event.ID, head: bytes.HasPrefix(a.rd.Buffered(), []byte("HEAD ")), closing: true})
	event.Status, event.Refusal, event.BytesOut = r.Status, r.Code, sent
	a.sock.SetDeadline(time.Now().Add(turnAwayFor))
	a.sock.Write(p)
	http1.ReturnBuffer(p[:cap(p)])
	a.linger(turnAwayFor)
	if a.srv.observer != nil {
		event.Duration = time.Since(event.Time)
		a.srv.observer(&event)
	}
}
