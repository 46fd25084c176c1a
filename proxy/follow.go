package proxy

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"time"
)

// followed is something that is looked at now and then. A change counts once two looks in a row have seen the same: what
// somebody is in the middle of writing differs from one to the next.
type followed struct{ taken, seen [sha256.Size]byte }

// takes makes what was seen what counts.
func (f *followed) takes(sum [sha256.Size]byte) { f.taken, f.seen = sum, sum }

// look reports whether what is seen now is a change that counts, or one that has to be looked at again.
func (f *followed) look(sum [sha256.Size]byte) (changed, settling bool) {
	changed = sum != f.taken && sum == f.seen
	settling = sum != f.taken && !changed
	f.seen = sum
	if changed {
		f.taken = sum
	}
	return changed, settling
}

// source is a source of tokens that the table in force uses.
type source struct {
	TokenSource
	value    tokenValue // what the table has of it
	followed            // what it gave last, be that of use or not
	command  *command   // of a Command; the same for the source of the next table
}

// sources are those of a table, by their keys.
type sources map[string]*source

// sources returns the sources that a configuration names, without values.
func (c *Config) sources() sources {
	list := sources{}
	for _, r := range c.Routes {
		for _, cr := range r.Credentials {
			list[cr.Token.key()] = &source{TokenSource: cr.Token, command: new(command)}
		}
		if t := r.ClientToken.source(); t != nil {
			list[t.key()] = &source{TokenSource: *t}
		}
	}
	return list
}

// valueOf is what the table has of a source.
func (l sources) valueOf(t *TokenSource) tokenValue { return l[t.key()].value }

// offer takes what a source gave, unless it is of no use and what it gave before is: then it returns what to tell the
// operator. Not so with client tokens: who takes them away wants to let nobody in. It reports whether the table is to be
// built anew.
func (s *Server) offer(src *source, v tokenValue) (changed bool, complaint string) {
	if v.state != tokenSet && src.value.state == tokenSet && !src.clients {
		return false, v.problem + "; the token that it gave before is used on"
	}
	if v.sum() == src.value.sum() {
		return false, ""
	}
	if src.Command != nil && v.state == tokenSet {
		v.renew = s.renewal(src.TokenSource, src.command, v.token)
	}
	src.value = v
	return true, ""
}

// change says what has changed in a value that was taken.
func (src *source) change() string {
	switch {
	case src.value.state != tokenSet:
		return src.value.problem
	case src.Command != nil:
		return src.named() + " gave another token"
	}
	return src.named() + " changed"
}

// follow looks after what changes by itself until the server is shut down.
func (s *Server) follow() {
	timer := time.NewTimer(s.poll)
	for {
		select {
		case <-s.stopped:
			return
		case <-timer.C:
			timer.Reset(s.look())
		}
	}
}

// look looks once at what may have changed, and returns when to look again.
func (s *Server) look() (again time.Duration) {
	s.loading.Lock()
	defer s.loading.Unlock()
	again = s.poll
	if s.watch && s.lookAtRoutes() {
		again = s.poll / settlingLooks
	}
	var changes []string
	for _, src := range s.sources.inOrder() {
		changed, soon := false, time.Duration(0)
		switch {
		case src.Command != nil:
			soon, changed = s.tend(src, time.Now())
		case src.File != "":
			soon, changed = s.lookAtFile(src)
		}
		if soon > 0 {
			again = min(again, soon)
		}
		if changed {
			changes = append(changes, src.change())
		}
	}
	s.rotate(changes...)
	return again
}

// routesFile is the file that the routes were read from.
type routesFile struct {
	followed
	file string // empty: from none
}

// maxRoutes bounds a file of routes that replaces one.
const maxRoutes = 64 << 20

// textSum tells what was read from a file from what was read before.
func textSum(text []byte, err error) [sha256.Size]byte {
	if err != nil {
		return sha256.Sum256([]byte("error: " + readError(err).Error()))
	}
	return sha256.Sum256(text)
}

// lookAtRoutes looks at the file of the routes and loads it if it has changed. It reports whether to look again soon.
func (s *Server) lookAtRoutes() (soon bool) {
	if s.routes.file == "" {
		return false
	}
	text, err := readRegular(s.routes.file, maxRoutes)
	changed, soon := s.routes.look(textSum(text, err))
	if !changed {
		return soon
	}
	if err != nil {
		err = fmt.Errorf("%s %w", s.routes.file, readError(err))
	} else {
		err = s.loadText(text)
	}
	if err != nil {
		s.failed(err.Error())
		s.warn("watch failed: reload failed: " + err.Error())
		return false
	}
	s.warn("watch ok: reloaded " + s.Routes())
	s.warn("in force: " + s.Status().String())
	return false
}

// lookAtFile looks at the file of a token. It returns when to look again, if that is soon, and reports whether the table
// is to be built anew.
func (s *Server) lookAtFile(src *source) (soon time.Duration, changed bool) {
	v := src.read(s.getenv)
	changed, settling := src.look(v.sum())
	if settling {
		soon = s.poll / settlingLooks
	}
	if !changed {
		return soon, false
	}
	changed, complaint := s.offer(src, v)
	if complaint != "" {
		s.complain(complaint)
	}
	return soon, changed
}

// settlingLooks is how many times as often something is looked at that is changing.
const settlingLooks = 4

// rotate swaps in the table with the tokens that its sources have given, if there is a change to tell; s.loading is held.
func (s *Server) rotate(changes ...string) {
	if len(changes) == 0 {
		return
	}
	s.install(s.config, s.sources, s.upstreams)
	for _, c := range changes {
		s.warn(c + "; in force: " + s.Status().String())
	}
}

// inOrder returns the sources by their keys, so that what is told of them has an order.
func (l sources) inOrder() (list []*source) {
	for _, key := range slices.Sorted(maps.Keys(l)) {
		list = append(list, l[key])
	}
	return list
}
