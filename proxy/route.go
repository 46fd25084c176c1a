package proxy

import (
	"cmp"
	"slices"
	"strings"
)

// route is one row of a table, with everything computed that an exchange needs.
type route struct {
	RouteConfig
	credential
	upstream *upstream
	target   string // what takes the prefix's place in a request target: the base path and one slash
	fields   Secret // the lines added to every request: Host, the credential, Accept-Encoding
}

// table is an immutable snapshot of routes and tokens. An exchange loads it once and keeps it to its end.
type table struct {
	routes  []*route // longest path first, in the file's order among equals
	byPath  map[string]*route
	lengths []int // of the paths, each once, longest first
}

// newTable resolves a configuration. upstreamOf gives the connections to an origin; tables share them.
func newTable(c *Config, getenv func(string) string, upstreamOf func(origin) (*upstream, error)) (*table, error) {
	t := &table{byPath: map[string]*route{}}
	for i := range c.Routes {
		r := &route{RouteConfig: c.Routes[i], target: c.Routes[i].base + "/"}
		var err error
		if r.upstream, err = upstreamOf(r.origin); err != nil {
			return nil, err
		}
		r.credential = resolve(&r.RouteConfig, getenv)
		r.fields = NewSecret("Host: " + r.origin.authority() + "\r\n" + r.field.reveal() + "Accept-Encoding: identity\r\n")
		t.routes = append(t.routes, r)
		t.byPath[r.Path] = r
	}
	slices.SortStableFunc(t.routes, func(a, b *route) int { return cmp.Compare(len(b.Path), len(a.Path)) })
	for _, r := range t.routes {
		if n := len(r.Path); len(t.lengths) == 0 || t.lengths[len(t.lengths)-1] != n {
			t.lengths = append(t.lengths, n)
		}
	}
	return t, nil
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

// String is the table as the log lines name it: `2 route(s): /a/, /b/`.
func (t *table) paths() string {
	var p []string
	for _, r := range t.routes {
		p = append(p, r.Path)
	}
	return strings.Join(p, ", ")
}
