package proxy

import "strings"

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
	routes  []*route // in the order of Config.ByPrefix
	byPath  map[string]*route
	lengths []int // of the paths, each once, longest first
}

// newTable resolves a configuration. upstreamOf gives the connections to an origin; tables share them.
func newTable(c *Config, getenv func(string) string, upstreamOf func(origin) (*upstream, error)) (*table, error) {
	t := &table{byPath: map[string]*route{}}
	for _, rc := range c.ByPrefix() {
		r := &route{RouteConfig: rc, target: rc.base + "/"}
		var err error
		if r.upstream, err = upstreamOf(r.origin); err != nil {
			return nil, err
		}
		r.credential = resolve(&r.RouteConfig, getenv)
		r.fields = NewSecret("Host: " + r.origin.authority() + "\r\n" + r.field.reveal() + "Accept-Encoding: identity\r\n")
		t.routes = append(t.routes, r)
		t.byPath[r.Path] = r
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

// paths lists the routes' paths.
func (t *table) paths() string {
	var p []string
	for _, r := range t.routes {
		p = append(p, r.Path)
	}
	return strings.Join(p, ", ")
}
