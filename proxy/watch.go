package proxy

import (
	"fmt"
	"slices"
	"time"

	"credproxy/proxy/redact"
)

// Which tokens must not be seen, now and for a while after.

// watchedFor is how much longer the tokens of a table are looked for that was replaced.
const watchedFor = 10 * time.Minute

// watched is a token that is looked for on every route, in what agents send and in what upstreams answer.
type watched struct {
	token    Secret
	scheme   string
	username *string
	source   string    // what the operator named
	until    time.Time // of a token that is not in force any more
}

// same reports whether two are found in the same texts.
func (w *watched) same(other *watched) bool {
	return w.token.reveal() == other.token.reveal() && w.scheme == other.scheme &&
		(w.username == nil) == (other.username == nil) && (w.username == nil || *w.username == *other.username)
}

func (w watched) secret() redact.Secret {
	return redact.Secret{Token: w.token.reveal(), Scheme: w.scheme, Username: w.username}
}

// watch is what looks for the tokens of a table and of those shortly before it.
type watch struct {
	matcher *redact.Matcher // nil: there is none that is long enough
	sources []string        // of the secrets, by the index at which the matcher knows them
	guard   LeakGuard
}

func newWatch(guard LeakGuard, all ...watched) *watch {
	w := &watch{guard: guard}
	var secrets []redact.Secret
	for i := range all {
		secrets, w.sources = append(secrets, all[i].secret()), append(w.sources, all[i].source)
	}
	w.matcher = redact.New(secrets)
	return w
}

// watchFor has a table that is about to be swapped in look for its tokens, and for those that went out of force lately;
// s.loading is held.
func (s *Server) watchFor(t *table, now time.Time) {
	before := s.table.Load().watched
	for _, w := range before {
		w.until = now.Add(watchedFor)
		s.former = append(s.former, w)
	}
	s.former = slices.DeleteFunc(s.former, func(w watched) bool {
		return w.until.Before(now) || slices.ContainsFunc(t.watched, func(inForce watched) bool { return inForce.same(&w) })
	})
	t.watch.Store(newWatch(t.leakGuard, slices.Concat(t.watched, s.former)...))
	for _, w := range t.watched {
		known := func(b watched) bool { return b.same(&w) }
		if short := w.secret().Short(); short != "" && !slices.ContainsFunc(before, known) {
			s.warn(fmt.Sprintf("the %s of %s has fewer than %d bytes: it is not watched for", short, w.source, redact.Shortest))
		}
	}
}

// forget drops the tokens that have been out of force for long enough.
func (s *Server) forget(now time.Time) {
	if !s.loading.TryLock() {
		return // a new table forgets them, too
	}
	defer s.loading.Unlock()
	if slices.ContainsFunc(s.former, func(w watched) bool { return w.until.Before(now) }) {
		s.former = slices.DeleteFunc(s.former, func(w watched) bool { return w.until.Before(now) })
		t := s.table.Load()
		t.watch.Store(newWatch(t.leakGuard, slices.Concat(t.watched, s.former)...))
	}
}
