package proxy

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
)

// Config is a routes.json that was found to be right.
type Config struct {
	File   string
	Routes []RouteConfig // in the file's order
	Hash   string        // which text this was read from: the first twelve digits of its SHA-256

	LeakGuard LeakGuard // what becomes of requests that hold a token
}

// RouteConfig is one route as the file has it. This is all that it must say:
//
//	{"path": "/anthropic/", "upstream": "https://api.anthropic.com", "auth_scheme": "Bearer", "token_env": "TOKEN"}
type RouteConfig struct {
	Path        string             // the prefix that the agent uses; begins and ends with a slash
	Upstream    string             // as written
	Credentials []CredentialConfig // what is injected, at least one
	Set, Append []FieldConfig      // fixed fields: those that replace the agent's, those that join its list
	Strip, Keep []string           // names of fields that are dropped besides the usual ones, and that are not
	Allow, Deny []Rule             // which requests pass; Allow is empty where all do
	DenyMinting *bool              // whether endpoints that hand out credentials are denied; nil: if the host is known
	GitNone     bool               // git's fetches are refused too
	ClientToken ClientTokenConfig  // what an agent must present; the zero one: nothing
	Limits      RouteLimits        // the zero one: none
	Refusals    string             // "anthropic", "openai" or "text": how they are written; empty: as the upstream's host does
	Chunked     bool               // chunked request bodies are passed on and not refused
	WebSocket   bool               // an agent may open WebSockets
	LeaveURLs   bool               // URLs in answers are not mapped
	MapURLsIn   []string           // the media types of the bodies in which they are, in lower case

	Unscreened       bool // answers are not looked through for tokens
	CutReflected     bool // one that holds a token is broken off, and not masked
	RefuseCompressed bool // one that cannot be looked through since it is compressed is refused

	origin origin
	base   string // the upstream's base path, without a slash at its end

	among []*CredentialConfig // the credentials of all routes: no client token may be one of their tokens
}

// UpstreamHost is the host of the upstream as it is known: in lower case, without its port and without the dot that ends
// the name of one in the root of DNS.
func (r *RouteConfig) UpstreamHost() string { return strings.TrimSuffix(r.origin.host, ".") }

// origin is where an upstream listens (RFC 9110, section 4.3.2).
type origin struct {
	tls  bool
	host string // without brackets, lower case
	port string
}

func (o origin) scheme() string {
	if o.tls {
		return "https"
	}
	return "http"
}

// authority is the Host field: the port only where it is not the scheme's default.
func (o origin) authority() string {
	host := o.host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if o.tls && o.port == "443" || !o.tls && o.port == "80" {
		return host
	}
	return host + ":" + o.port
}

// ByPrefix returns the routes in the order in which they are tried: longest path first, in the file's order among equals.
func (c *Config) ByPrefix() []RouteConfig {
	routes := slices.Clone(c.Routes)
	slices.SortStableFunc(routes, func(a, b RouteConfig) int { return cmp.Compare(len(b.Path), len(a.Path)) })
	return routes
}

// ConfigError is one thing that is wrong with a routes.json. It never quotes what may hold a secret.
type ConfigError struct {
	File      string
	Line, Col int    // of a syntax error, from 1; else 0
	Where     string // the route and the field, such as `routes[1] "/x/": upstream`; or empty
	Msg       string
}

func (e *ConfigError) Error() string {
	s := e.File
	if e.Line > 0 {
		s += fmt.Sprintf(":%d:%d", e.Line, e.Col)
	}
	if e.Where != "" {
		s += ": " + e.Where
	}
	return s + ": " + e.Msg
}

// ConfigErrors is everything that is wrong with a routes.json, in its order.
type ConfigErrors []*ConfigError

func (e ConfigErrors) Error() string {
	var s []string
	for _, err := range e {
		s = append(s, err.Error())
	}
	return strings.Join(s, "; ")
}

// LoadConfig reads and parses a routes.json. Its errors are ConfigErrors, or that of the file system.
func LoadConfig(file string) (*Config, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return ParseConfig(file, data)
}

// ParseConfig parses a routes.json; file is its name in errors, which are ConfigErrors. Names are taken to the letter
// and an unknown one is an error: an old proxy must not ignore a restriction that it does not know.
func ParseConfig(file string, data []byte) (*Config, error) {
	doc, err := parseJSON(data)
	if err != nil {
		e := &ConfigError{File: file, Msg: err.Error()}
		if syntax, ok := err.(*jsonError); ok {
			e.Line, e.Col = syntax.at(data)
		}
		return nil, ConfigErrors{e}
	}
	p := configParser{file: file}
	c := &Config{File: file, Hash: fmt.Sprintf("%x", sha256.Sum256(data))[:12]}
	p.document(doc, c)
	if len(p.errs) > 0 {
		return nil, p.errs
	}
	return c, nil
}

// configParser collects the errors of one file.
type configParser struct {
	file string
	errs ConfigErrors
}

func (p *configParser) errorf(where, format string, args ...any) {
	p.errs = append(p.errs, &ConfigError{File: p.file, Where: where, Msg: fmt.Sprintf(format, args...)})
}

func (p *configParser) document(doc jsonValue, c *Config) {
	if doc.kind != "object" {
		p.errorf("", "top level must be an object (got %s)", doc.kind)
		return
	}
	p.unknown("", doc, "leak_guard", "routes")
	if v, ok := doc.get("leak_guard"); ok {
		stringKey(setLeakGuard)(p, "leak_guard", v, c)
	}
	list, ok := doc.get("routes")
	if !ok || list.kind != "array" {
		p.errorf("", "'routes' must be a list")
		return
	}
	var wheres []string
	first := map[string]int{}
	for i, v := range list.items {
		where := fmt.Sprintf("routes[%d]", i)
		if path, ok := v.get("path"); ok && path.kind == "string" {
			where += fmt.Sprintf(" %q", path.str)
		}
		r := p.route(where, v)
		if j, dup := first[r.Path]; dup && r.Path != "" {
			p.errorf(where+": path", "already the path of routes[%d]", j)
		} else {
			first[r.Path] = i
		}
		c.Routes, wheres = append(c.Routes, r), append(wheres, where)
	}
	p.checkClientTokens(wheres, c.Routes)
	var all []*CredentialConfig
	for _, r := range c.Routes {
		for i := range r.Credentials {
			all = append(all, &r.Credentials[i])
		}
	}
	for i := range c.Routes {
		c.Routes[i].among = all
	}
}

// unknown reports the members of an object that are not among the names.
func (p *configParser) unknown(where string, v jsonValue, names ...string) {
	for _, m := range v.members {
		hint, known := "", false
		for _, n := range names {
			known = known || m.name == n
			if strings.EqualFold(m.name, n) {
				hint = fmt.Sprintf(" (names are case-sensitive: %q)", n)
			}
		}
		if !known {
			p.errorf(where, "unknown key %q%s", m.name, hint)
		}
	}
}

// routeKeys are the members of a route, in the order in which their errors are told.
var routeKeys = []struct {
	name     string
	required bool
	set      func(p *configParser, where string, v jsonValue, r *RouteConfig)
}{
	{"path", true, stringKey(setPath)},
	{"upstream", true, stringKey(setUpstream)},
	{"set_headers", false, (*configParser).setFields},
	{"append_headers", false, (*configParser).appendFields},
	{"strip_headers", false, (*configParser).stripFields},
	{"keep_headers", false, (*configParser).keepFields},
	{"allow", false, (*configParser).allow},
	{"deny", false, (*configParser).deny},
	{"deny_minting", false, (*configParser).denyMinting},
	{"git", false, stringKey(setGit)},
	{"limits", false, (*configParser).limits},
	{"refusals", false, stringKey(setRefusals)},
	{"client_token_env", false, stringKey(setClientTokenEnv)},
	{"client_token_file", false, stringKey(setClientTokenFile)},
	{"chunked_bodies", false, stringKey(setChunked)},
	{"upgrade", false, (*configParser).upgrade},
	{"map_urls", false, (*configParser).mapURLs},
	{"map_urls_in", false, (*configParser).mapURLsIn},
	{"redact", false, (*configParser).redact},
	{"on_reflection", false, stringKey(setOnReflection)},
	{"compressed", false, stringKey(setCompressed)},
}

// stringKey makes the reader of a member that is a string.
func stringKey[T any](set func(*T, string) error) func(*configParser, string, jsonValue, *T) {
	return func(p *configParser, where string, v jsonValue, to *T) {
		if v.kind != "string" {
			p.errorf(where, "must be a string (got %s)", v.kind)
		} else if err := set(to, v.str); err != nil {
			p.errorf(where, "%v", err)
		}
	}
}

// boolean reads a member that is true or false.
func (p *configParser) boolean(where string, v jsonValue) (on, ok bool) {
	if v.kind != "boolean" {
		p.errorf(where, "must be true or false (got %s)", v.kind)
		return false, false
	}
	return v.str == "true", true
}

// setEither sets what one of two words says.
func setEither(on *bool, s, no, yes string) error {
	if s != no && s != yes {
		return fmt.Errorf("must be %q or %q", no, yes)
	}
	*on = s == yes
	return nil
}

func (p *configParser) route(where string, v jsonValue) (r RouteConfig) {
	if v.kind != "object" {
		p.errorf(where, "route must be an object (got %s)", v.kind)
		return r
	}
	names := credentialNames(true)
	before := len(p.errs)
	for _, k := range routeKeys {
		names = append(names, k.name)
		if m, ok := v.get(k.name); ok {
			k.set(p, where+": "+k.name, m, &r)
		} else if k.required {
			p.errorf(where+": "+k.name, "missing")
		}
	}
	p.credentials(where, v, &r)
	p.unknown(where, v, names...)
	if r.Unscreened && r.CutReflected {
		p.errorf(where+": on_reflection", "\"cut\" and \"redact\": false contradict each other")
	}
	if len(p.errs) == before {
		p.checkNames(where, &r)
	}
	return r
}

func setPath(r *RouteConfig, s string) error {
	if !strings.HasPrefix(s, "/") || !strings.HasSuffix(s, "/") {
		return fmt.Errorf("must start and end with /")
	}
	if err := checkConfiguredPath(s); err != nil {
		return err
	}
	r.Path = s
	return nil
}

// checkConfiguredPath holds a configured path to what a request's path is held to.
func checkConfiguredPath(s string) error {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c > '~' || c == '?' || c == '#' {
			return fmt.Errorf("byte %q cannot stand in a path", c)
		}
	}
	if why := checkPath([]byte(s), nil); why != "" {
		return fmt.Errorf("%s", why)
	}
	return nil
}

func setUpstream(r *RouteConfig, s string) error {
	scheme, rest, ok := strings.Cut(s, "://")
	scheme = strings.ToLower(scheme)
	if !ok || scheme != "http" && scheme != "https" {
		return fmt.Errorf("scheme must be http or https")
	}
	authority, path := rest, ""
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		authority, path = rest[:i], rest[i:]
	}
	switch {
	case strings.Contains(authority, "@"):
		return fmt.Errorf("must not hold a user or a password")
	case strings.Contains(path, "#"):
		return fmt.Errorf("must not have a fragment")
	case strings.Contains(path, "?"):
		return fmt.Errorf("must not have a query")
	}
	if err := checkConfiguredPath(path); err != nil {
		return err
	}
	o := origin{tls: scheme == "https", port: "80"}
	if o.tls {
		o.port = "443"
	}
	if err := o.setAuthority(authority); err != nil {
		return err
	}
	r.Upstream, r.origin, r.base = s, o, strings.TrimRight(path, "/")
	return nil
}

// setAuthority parses host [":" port].
func (o *origin) setAuthority(s string) error {
	u, err := url.Parse("//" + s)
	if err != nil || strings.ContainsAny(s, "%\\ ") {
		return fmt.Errorf("host or port cannot be read")
	}
	if o.host = strings.ToLower(u.Hostname()); o.host == "" {
		return fmt.Errorf("missing host")
	}
	if !strings.HasPrefix(s, "[") { // url.Parse takes only an IPv6 address in brackets
		for _, c := range o.host {
			if !('a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '.' || c == '_') {
				return fmt.Errorf("host holds %q, which no host name has", c)
			}
		}
	}
	if strings.HasSuffix(s, ":") {
		return fmt.Errorf("port is empty")
	}
	if port := u.Port(); port != "" {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return fmt.Errorf("port %s is not in 1 to 65535", port)
		}
		o.port = strconv.FormatUint(n, 10)
	}
	return nil
}
