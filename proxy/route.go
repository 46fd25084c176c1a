package proxy

import (
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// route is one row of a table, with everything computed that an exchange needs.
type route struct {
	RouteConfig
	upstream *upstream
	table    *table        // that it is a row of
	key      string        // of its origin
	warnings []string      // what the operator is told of its tokens
	tokens   []TokenStatus // of its credentials, one each, and of its client token if that cannot be used
	renew    []func()      // what to do when the upstream refuses a token: see tokenValue
	refusal  *Refusal      // what every request gets, if a token cannot be used; else nil
	shape    shape         // of its refusals, for whom asks for JSON
	sought   []sought      // its tokens
	meter    *meter        // of its limits; nil: none
	callers  *callers      // who may use it; nil: everybody
	rules    *rules        // which requests are refused; nil: none
	target   string        // what takes the prefix's place in a request target: the base path and one slash
	dropped  *nameSet      // the agent's fields that do not cross
	fields   Secret        // the lines added to every request: Host, the credentials, the fixed fields, Accept-Encoding
	joined   []FieldConfig // the fields that join the agent's lists
}

// nameSets are the sets of a table, by their names: most routes drop the same fields.
type nameSets map[string]*nameSet

func (s nameSets) of(names []string) *nameSet {
	key := strings.Join(names, " ")
	if s[key] == nil {
		s[key] = newNameSet(droppedUp, names...)
	}
	return s[key]
}

// newRoute resolves one route; its upstream is set by who has the connections.
func newRoute(rc *RouteConfig, valueOf func(*TokenSource) tokenValue, sets nameSets) *route {
	r := &route{RouteConfig: *rc, shape: rc.shape(), rules: rc.compile(), key: rc.origin.key(),
		target: rc.base + "/", joined: rc.Append}
	r.dropped = sets.of(rc.dropped(r.rules != nil))
	var credentials []credential
	for i := range rc.Credentials {
		credentials = append(credentials, resolve(&rc.Credentials[i], valueOf(&rc.Credentials[i].Token)))
	}
	var w string
	if r.callers, w = newCallers(rc, valueOf, r.dropped); w != "" {
		r.warnings = append(r.warnings, w)
	}
	lines := "Host: " + r.origin.authority() + "\r\n"
	for _, c := range credentials {
		if w := c.warning(r.Path); w != "" && !slices.Contains(r.warnings, w) {
			r.warnings = append(r.warnings, w)
		}
		if r.refusal == nil {
			r.refusal = c.refusal()
		}
		r.tokens = append(r.tokens, c.status())
		if c.renew != nil {
			r.renew = append(r.renew, c.renew)
		}
		if c.state == tokenSet {
			r.sought = append(r.sought, c.sought())
		}
		lines += c.field.reveal()
	}
	if r.callers != nil && r.callers.problem != "" {
		r.tokens = append(r.tokens, TokenStatus{Source: rc.ClientToken.source().String(), State: string(tokenInvalid),
			Problem: r.callers.problem})
	}
	for _, f := range rc.Set {
		lines += f.Name + ": " + f.Value + "\r\n"
	}
	r.fields = NewSecret(lines + "Accept-Encoding: identity\r\n")
	return r
}

// table is an immutable snapshot of routes and tokens. An exchange loads it once and keeps it to its end.
type table struct {
	routes  []*route // in the order of Config.ByPrefix
	byPath  map[string]*route
	homes   homes
	search  *urlSearch // nil where no route needs one
	lengths []int      // of the paths, each once, longest first
	sought  []sought   // the tokens of all routes, each once
	lookout atomic.Pointer[lookout]

	leakGuard  LeakGuard
	generation uint64    // how many tables there were before, and this one
	hash       string    // of the routes.json
	since      time.Time // when it was swapped in
}

// newTable resolves a configuration. valueOf gives what came from a source, upstreams are the connections to its origins,
// which tables share.
func newTable(c *Config, valueOf func(*TokenSource) tokenValue, upstreams map[origin]*upstream) *table {
	t, sets := &table{byPath: map[string]*route{}, leakGuard: c.LeakGuard}, nameSets{}
	for _, rc := range c.ByPrefix() {
		r := newRoute(&rc, valueOf, sets)
		r.upstream, r.table = upstreams[r.origin], t
		for _, tok := range r.sought {
			if !slices.ContainsFunc(t.sought, func(known sought) bool { return known.same(&tok) }) {
				t.sought = append(t.sought, tok)
			}
		}
		t.routes = append(t.routes, r)
		t.byPath[r.Path] = r
		if n := len(r.Path); len(t.lengths) == 0 || t.lengths[len(t.lengths)-1] != n {
			t.lengths = append(t.lengths, n)
		}
	}
	t.homes = newHomes(t.routes)
	t.search = newURLSearch(t)
	return t
}

// find returns the route with the longest prefix of path, or nil.
func (t *table) find(path []byte) *route {
	for _, n := range t.lengths {
		if n <= len(path) && path[n-1] == '/' {
			if r := t.byPath[string(path[:n])]; r != nil {
				return r
			}
		}
	}
	return nil
}

// paths lists the routes' paths.
func (t *table) paths() string {
	var p []string
	for _, r := range t.routes {
		p = append(p, r.Path)
	}
	return strings.Join(p, ", ")
}
