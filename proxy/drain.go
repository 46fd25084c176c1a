package proxy

import (
	"context"
	"errors"
	"iter"
	"maps"
	"net"
	"slices"
	"time"
)

// The end of a Server.

// restFor is how long a connection does nothing before it is closed in the course of a Shutdown. Who connected or was
// served a moment ago is about to send a request, and would lose it.
const restFor = 100 * time.Millisecond

// maxQueue is how many connections can wait at a listener to be accepted (net.core.somaxconn, by default).
const maxQueue = 4096

// Shutdown stops accepting, closes what is idle, a WebSocket in which nothing passes, too, and waits until the exchanges
// under way are finished or ctx is done; then it closes every connection. Who had connected before is still served. The
// error is ctx's if exchanges were cut. It is called once, and the Server is of no use afterwards.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	if s.draining.Swap(true) {
		s.mu.Unlock()
		return errors.New("already shut down")
	}
	s.checkLeft()
	listeners := slices.Collect(maps.Keys(s.listeners))
	s.mu.Unlock()
	defer close(s.stopped)
	defer s.endCommands()
	defer context.AfterFunc(ctx, s.cutOff)() // also those who wait to be welcome
	for _, ln := range listeners {
		s.welcomeAll(ctx, queued(ln))
		ln.Close()
	}
	err := s.drain(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, u := range s.upstreams {
		u.retire()
	}
	return err
}

// welcomeAll serves the connections that wait at a listener, while there is time.
func (s *Server) welcomeAll(ctx context.Context, waiting iter.Seq[net.Conn]) {
	left := maxQueue // some may go on connecting
	for conn := range waiting {
		s.welcome(conn)
		if left--; left == 0 || ctx.Err() != nil {
			return
		}
	}
}

// drain waits until every agent has left, and closes the connections of those that do nothing. What is answered in the
// meantime says that the connection will be closed. Those who are cut off when ctx is done have a moment to be told of.
func (s *Server) drain(ctx context.Context) error {
	resting := map[*agent]uint64{} // those that did nothing at the last look, and how many exchanges they had had
	look := time.NewTimer(restFor)
	for {
		select {
		case <-s.left:
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.cut {
				return ctx.Err()
			}
			return nil
		case <-look.C:
			s.mu.Lock()
			agents := s.snapshot()
			s.mu.Unlock()
			for _, a := range agents {
				a.leaveIfResting(resting)
			}
			look.Reset(restFor) // from now on: a look that is late must not bring the next one close
		case <-ctx.Done():
			select {
			case <-s.left:
			case <-time.After(endWithin):
			}
			return ctx.Err()
		}
	}
}

// cutOff ends every connection, and the commands that exchanges wait for, and serves nobody any more.
func (s *Server) cutOff() {
	s.mu.Lock()
	s.end()
	s.cut = true
	agents := s.snapshot()
	s.mu.Unlock()
	for _, a := range agents {
		a.cutOff()
	}
}

// leaveIfResting closes the connection if nothing has come of it since the last look.
func (a *agent) leaveIfResting(resting map[*agent]uint64) {
	if a.busy.Load() != 0 {
		delete(resting, a)
		return
	}
	served := a.served.Load()
	if before, looked := resting[a]; looked && before == served {
		a.closeIdle()
	}
	resting[a] = served
}
