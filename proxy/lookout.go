package proxy

import (
	"fmt"
	"slices"
	"time"

	"credproxy/proxy/redact"
)

// Which tokens must not be seen, now and for a while after.

// soughtFor is how much longer the tokens of a table are looked for that was replaced.
const soughtFor = 10 * time.Minute

// sought is a token that is looked for on every route, in what agents send and in what upstreams answer.
type sought struct {
	token    Secret
	scheme   string
	username *string
	source   string    // what the operator named
	until    time.Time // of a token that is not in force any more
}

// same reports whether two are found in the same texts.
func (tok *sought) same(other *sought) bool {
	return tok.token.reveal() == other.token.reveal() && tok.scheme == other.scheme &&
		(tok.username == nil) == (other.username == nil) && (tok.username == nil || *tok.username == *other.username)
}

func (tok sought) secret() redact.Secret {
	return redact.Secret{Token: tok.token.reveal(), Scheme: tok.scheme, Username: tok.username}
}

// lookout is what looks for the tokens of a table and of those shortly before it.
type lookout struct {
	matcher *redact.Matcher // nil: there is none that is long enough
	sources []string        // of the secrets, by the index at which the matcher knows them
	guard   LeakGuard
}

func newLookout(guard LeakGuard, all ...sought) *lookout {
	l := &lookout{guard: guard}
	var secrets []redact.Secret
	for i := range all {
		secrets, l.sources = append(secrets, all[i].secret()), append(l.sources, all[i].source)
	}
	l.matcher = redact.New(secrets)
	return l
}

// lookFor has a table that is about to be swapped in look for its tokens, and for those that went out of force lately;
// s.loading is held.
func (s *Server) lookFor(t *table, now time.Time) {
	before := s.table.Load().sought
	for _, tok := range before {
		tok.until = now.Add(soughtFor)
		s.former = append(s.former, tok)
	}
	s.former = slices.DeleteFunc(s.former, func(tok sought) bool {
		return tok.until.Before(now) || slices.ContainsFunc(t.sought, func(inForce sought) bool { return inForce.same(&tok) })
	})
	t.lookout.Store(newLookout(t.leakGuard, slices.Concat(t.sought, s.former)...))
	for _, tok := range t.sought {
		known := func(b sought) bool { return b.same(&tok) }
		if short := tok.secret().Short(); short != "" && !slices.ContainsFunc(before, known) {
			s.warn(fmt.Sprintf("the %s of %s has fewer than %d bytes: it is not watched for", short, tok.source, redact.Shortest))
		}
	}
}

// forget drops the tokens that have been out of force for long enough.
func (s *Server) forget(now time.Time) {
	if !s.loading.TryLock() {
		return // a new table forgets them, too
	}
	defer s.loading.Unlock()
	if slices.ContainsFunc(s.former, func(tok sought) bool { return tok.until.Before(now) }) {
		s.former = slices.DeleteFunc(s.former, func(tok sought) bool { return tok.until.Before(now) })
		t := s.table.Load()
		t.lookout.Store(newLookout(t.leakGuard, slices.Concat(t.sought, s.former)...))
	}
}
