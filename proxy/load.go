package proxy

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// How a table of routes and tokens comes into force, and what is in force.

// LoadFile reads a routes.json and loads it as Load does. What goes wrong changes nothing, and is the last error of
// Status. The error is one of LoadConfig or of Load. With Options.Watch the file is followed from then on.
func (s *Server) LoadFile(file string) error {
	s.loading.Lock()
	defer s.loading.Unlock()
	s.routes.file = file
	text, err := s.readRoutes()
	s.routes.takes(textSum(text, err))
	if err == nil {
		err = s.loadText(text)
	} else if s.config != nil {
		err = fmt.Errorf("%s %w", file, readError(err))
	}
	if err != nil {
		s.failed(err.Error())
	}
	return err
}

// readRoutes reads the file of the routes. The first ones may come from anything, such as the pipe of a shell; what replaces
// those in force waits for nobody, so it is a regular file.
func (s *Server) readRoutes() ([]byte, error) {
	if s.config == nil {
		return os.ReadFile(s.routes.file)
	}
	return readRegular(s.routes.file, maxRoutes)
}

// loadText loads what the file of the routes holds; s.loading is held.
func (s *Server) loadText(text []byte) error {
	c, err := ParseConfig(s.routes.file, text)
	if err != nil {
		return err
	}
	return s.load(c)
}

// Load resolves a configuration and swaps it in; an error changes nothing. Exchanges under way keep the routes and the
// tokens that they began with; a WebSocket ends with the route of its path. A token that cannot be used is no error: it is
// told to Options.Warn, and its route's requests are refused, unless its source gave a better one before.
func (s *Server) Load(c *Config) error {
	s.loading.Lock()
	defer s.loading.Unlock()
	return s.load(c)
}

// load is Load with s.loading held: it reads every token anew.
func (s *Server) load(c *Config) error {
	next := c.sources()
	c.secretVariables(s.secrets)
	order := next.inOrder()
	for _, src := range order {
		if before := s.sources[src.key()]; before != nil {
			src.value, src.command = before.value, before.command
		}
	}
	upstreams, err := s.upstreamsOf(c)
	if err != nil {
		return err
	}
	given := s.read(order)
	if s.life.Err() != nil {
		return errors.New("the program stops")
	}
	var complaints []string // from here on nothing fails: commands are shared with what is in force
	for i, src := range order {
		src.takes(given[i].sum())
		if src.Command != nil {
			src.command.gave(given[i].tokenValue, src.TTL, given[i].at)
		}
		if _, complaint := s.offer(src, given[i].tokenValue); complaint != "" {
			complaints = append(complaints, complaint)
		}
	}
	s.install(c, next, upstreams)
	s.config, s.sources = c, next
	for _, line := range complaints {
		s.complain(line)
	}
	for _, r := range s.table.Load().routes {
		for _, w := range r.warnings {
			s.warn(w)
		}
	}
	return nil
}

// read takes the tokens from their sources, and runs all commands at the same time.
func (s *Server) read(from []*source) []givenToken {
	given := make([]givenToken, len(from))
	env := commandEnv(s.secrets)
	var running sync.WaitGroup
	for i, src := range from {
		if src.Command == nil {
			given[i].tokenValue = src.TokenSource.read(s.getenv)
			continue
		}
		running.Go(func() { given[i] = s.runInTurn(&src.TokenSource, src.command, env) })
	}
	running.Wait()
	return given
}

// upstreamsOf returns the upstreams of a configuration: those that there are, and new ones; s.loading is held.
func (s *Server) upstreamsOf(c *Config) (map[origin]*upstream, error) {
	upstreams := map[origin]*upstream{}
	for _, r := range c.Routes {
		u := cmp.Or(upstreams[r.origin], s.upstreams[r.origin])
		if u == nil {
			var err error
			if u, err = newUpstream(r.origin, &s.timeouts, s.roots); err != nil {
				return nil, err
			}
			u.kept = &s.kept
		}
		upstreams[r.origin] = u
	}
	return upstreams, nil
}

// install builds the table of a configuration, its tokens and its upstreams aside and swaps it in; s.loading is held.
func (s *Server) install(c *Config, tokens sources, upstreams map[origin]*upstream) {
	t := newTable(c, tokens.valueOf, upstreams)
	s.meters = s.meters.share(t.routes)
	t.generation, t.hash, t.since = s.table.Load().generation+1, c.Hash, time.Now()
	s.lookFor(t, t.since)
	s.mu.Lock()
	s.table.Store(t)
	for o, u := range s.upstreams {
		if upstreams[o] == nil {
			u.retire()
		}
	}
	s.upstreams = upstreams
	for a := range s.agents {
		if tunnel := a.tunnel.Load(); tunnel != nil && t.byPath[tunnel.route] == nil {
			a.abandon()
		}
	}
	s.mu.Unlock()
}

// failed records what went wrong when a table or a token was to be replaced.
func (s *Server) failed(why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failures.count++
	s.failures.last, s.failures.at = why, time.Now()
}

// complain records what went wrong and tells the operator.
func (s *Server) complain(why string) {
	s.failed(why)
	s.warn(why)
}

// Routes describes the table in force as the log lines do: "2 route(s): /github/, /npm/", longest path first.
func (s *Server) Routes() string {
	t := s.table.Load()
	return fmt.Sprintf("%d route(s): %s", len(t.routes), t.paths())
}

// Status is what a Server has in force and what became of the last attempts to replace it. It is a copy, and holds
// nothing of a token.
type Status struct {
	Generation  uint64    // of the table: 1 is the first, each swap adds one; 0 before the first
	Hash        string    // of its routes: the first twelve digits of the SHA-256 of routes.json
	LastReload  time.Time // when it was swapped in
	Failures    uint64    // how often something was to be swapped in and was wrong
	LastError   string    // of the last time that this happened, in one line; it stays when all is well again
	LastErrorAt time.Time // when that was
	Routes      []RouteStatus
}

// RouteStatus is one route of a Status. The order is that in which they are tried.
type RouteStatus struct {
	Path, Upstream string
	Tokens         []TokenStatus // of its credentials, and of its client token if that cannot be used
}

// TokenStatus is whether a credential's token can be used.
type TokenStatus struct {
	Source  string // what the operator named: "env NAME", "file PATH", "command WORD"
	State   string // "set", "unset", "invalid", or "not run" of a command that was not
	Problem string // why it is not set, in words that name the source; or empty
	Short   string // what is too short to be looked for, "token" or "password in the token"; or empty
}

// Ready reports whether every token is there; no route is refused for want of one.
func (r *RouteStatus) Ready() bool {
	for _, t := range r.Tokens {
		if t.State != string(tokenSet) {
			return false
		}
	}
	return true
}

// Status returns what is in force now. It is safe to call at any time, and never waits for a reload.
func (s *Server) Status() Status {
	t := s.table.Load()
	st := Status{Generation: t.generation, Hash: t.hash, LastReload: t.since}
	s.mu.Lock()
	st.Failures, st.LastError, st.LastErrorAt = s.failures.count, s.failures.last, s.failures.at
	s.mu.Unlock()
	for _, r := range t.routes {
		st.Routes = append(st.Routes, RouteStatus{Path: r.Path, Upstream: r.Upstream, Tokens: r.tokens})
	}
	return st
}

// String is which table it is, as the log lines say it: "generation 3, routes 1f2e3d4c5b6a".
func (st Status) String() string {
	return fmt.Sprintf("generation %d, routes %s", st.Generation, st.Hash)
}
