package fakeupstream

import (
	"context"
	"fmt"
	"sync"
)

// A recorder keeps what was sent. A record is changed only under mu, by the
// exchange that it belongs to.
type recorder struct {
	mu      sync.Mutex
	limit   int
	first   int // number of records[0] since the server began
	records []*Request
	changed chan struct{} // closed at the next change, while somebody waits
}

func (r *recorder) add(q *Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.records) >= r.limit {
		r.records[0] = nil // now and then append moves the rest
		r.records = r.records[1:]
		r.first++
	}
	r.records = append(r.records, q)
	r.tell()
}

// change runs f, which changes records, and tells those who wait.
func (r *recorder) change(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
	r.tell()
}

func (r *recorder) tell() {
	if r.changed != nil {
		close(r.changed)
		r.changed = nil
	}
}

// since returns copies of the records from number n on, n or the number of the
// first of them, and a channel that is closed at the next change.
func (r *recorder) since(n int) (copies []Request, first int, changed <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n = min(max(n, r.first), r.first+len(r.records))
	for _, q := range r.records[n-r.first:] {
		copies = append(copies, *q)
	}
	if r.changed == nil {
		r.changed = make(chan struct{})
	}
	return copies, n, r.changed
}

// Requests returns the requests so far, in the order in which their heads were
// complete. Those still arriving are among them: see Request.Done.
func (s *Server) Requests() []Request {
	requests, _, _ := s.rec.since(0)
	return requests
}

// Forget forgets the requests and the streams that are over.
func (s *Server) Forget() {
	s.rec.change(func() {
		s.rec.first += len(s.rec.records)
		s.rec.records = nil
	})
	s.streams.forget()
}

// WaitRequest returns the first request, past or future, that is Done and that
// match accepts. Match is called with the requests in order, once each.
func (s *Server) WaitRequest(ctx context.Context, match func(*Request) bool) (*Request, error) {
	return s.waitRequest(ctx, match, false)
}

// WaitArriving is WaitRequest for requests that may still be arriving: match is
// called when a head is complete and whenever some of the body has arrived.
func (s *Server) WaitArriving(ctx context.Context, match func(*Request) bool) (*Request, error) {
	return s.waitRequest(ctx, match, true)
}

func (s *Server) waitRequest(ctx context.Context, match func(*Request) bool, arriving bool) (*Request, error) {
	ctx, cancel := s.waiting(ctx)
	defer cancel()
	next := 0 // all before it were done and did not match
	asked := map[int]bool{}
	for {
		requests, first, changed := s.rec.since(next)
		next = first
		unfinished := 0
		for i := range requests {
			q := &requests[i]
			if !asked[first+i] && (q.Done || arriving) && match(q) {
				return q, nil
			}
			if !q.Done {
				unfinished++
			} else {
				asked[first+i] = true
			}
		}
		for asked[next] {
			delete(asked, next)
			next++
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, s.gaveUp(ctx, fmt.Sprintf("a request that matches (%d still arriving)", unfinished))
		case <-s.ctx.Done():
			return nil, s.gaveUp(ctx, "a request that matches")
		}
	}
}
