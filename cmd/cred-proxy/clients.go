package main

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"credproxy/proxy"
)

// What each client needs in the sandbox to use a route.

// place is a route as a client in the sandbox sees it.
type place struct {
	url      string // of the route, without a slash at its end
	host     string // of the proxy, with its port
	upstream string // as in the table, without a slash at its end
	word     string // the prefix as part of a name: ANTHROPIC
	token    string // what a client is given for a credential: the client token or, where it has none, a word
	asked    bool   // the proxy asks for it
	chunked  bool   // chunked request bodies pass
}

// withUser is a URL of the place for a client that takes what it presents from there. The proxy takes any user.
func withUser(p *place, at string) string {
	if !p.asked {
		return at
	}
	return "http://" + url.UserPassword("agent", p.token).String() + "@" + strings.TrimPrefix(at, "http://")
}

// bare is the proxy's host without its port.
func (p *place) bare() string {
	u := url.URL{Host: p.host}
	return strings.TrimSuffix(p.host, ":"+u.Port())
}

// client is one tool, and what it needs in the sandbox to use a route.
type client struct {
	name  string
	hosts []string // of the upstreams that it is for; ".x" is any host below x
	words []string // of the prefixes that it is for where the upstream is none of those
	give  func(p *place, s *settings)
}

// clients is the table that `cred-proxy env` prints from. A route has the clients of its upstream's host; if no client
// is for that host, those whose word is in its prefix.
var clients = []client{
	{"Claude Code and the Anthropic SDKs", []string{"api.anthropic.com"}, []string{"anthropic"}, func(p *place, s *settings) {
		s.env("ANTHROPIC_BASE_URL", p.url)
		s.env("ANTHROPIC_AUTH_TOKEN", p.token)
		s.env("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1") // to hosts that have no route
	}},
	{"the OpenAI SDKs", []string{"api.openai.com", ".api.openai.com"}, []string{"openai"}, func(p *place, s *settings) {
		s.env("OPENAI_BASE_URL", versioned(p, "/v1"))
		s.env("OPENAI_API_KEY", p.token)
	}},
	{"Codex", []string{"api.openai.com", ".api.openai.com"}, []string{"openai"}, func(p *place, s *settings) {
		s.file(".codex/config.toml", `model_provider = "cred-proxy"`,
			`check_for_update_on_startup = false`, `analytics.enabled = false`, `features.plugins = false`, ``, // each at a host that has no route
			`[model_providers.cred-proxy]`, `name = "cred-proxy"`, `base_url = `+strconv.Quote(versioned(p, "/v1")),
			`env_key = "OPENAI_API_KEY"`, `wire_api = "responses"`)
	}},
	{"git", []string{"github.com", "gitlab.com", "gitea.com", "codeberg.org", "bitbucket.org", ".ghe.com"},
		[]string{"git", "github", "gitlab", "gitea", "forgejo"}, func(p *place, s *settings) {
			if strings.Contains(p.upstream, "/api/") {
				return // no repositories below an API
			}
			s.git("url."+p.url+"/.insteadOf", p.upstream+"/")
			if !p.chunked {
				s.git("http."+p.url+"/.postBuffer", "52428800") // so that the negotiation of a big fetch is not chunked
			}
			if p.asked {
				s.git("http."+p.url+"/.extraHeader", "Authorization: Bearer "+p.token)
			}
		}},
	{"tea", []string{"gitea.com", "codeberg.org"}, []string{"gitea", "forgejo"}, func(p *place, s *settings) {
		s.env("GITEA_INSTANCE_URL", strings.TrimSuffix(p.url, "/api/v1"))
		s.env("GITEA_TOKEN", p.token)
	}},
	{"GitHub's API (Octokit)", []string{"api.github.com"}, nil, func(p *place, s *settings) {
		s.env("GITHUB_API_URL", p.url)
		s.env("GITHUB_TOKEN", p.token)
	}},
	{"npm", nil, []string{"npm"}, func(p *place, s *settings) {
		_, path, _ := strings.Cut(p.url, "://"+p.host)
		if strings.Contains(p.token, "${") {
			s.tell("npm takes ${ in a client token for a variable")
			return
		}
		s.file(".npmrc", "registry="+p.url+"/", "//"+p.host+path+"/:_authToken="+iniEscapes.Replace(p.token))
	}},
	{"pip", nil, []string{"pypi"}, func(p *place, s *settings) {
		s.file(".config/pip/pip.conf", "[global]", "index-url = "+withUser(p, versioned(p, "/simple"))+"/", "trusted-host = "+p.bare())
	}},
	{"uv", nil, []string{"pypi"}, func(p *place, s *settings) {
		s.env("UV_DEFAULT_INDEX", withUser(p, versioned(p, "/simple"))+"/")
		s.env("UV_INSECURE_HOST", p.host)
	}},
	{"Go", nil, []string{"goproxy", "go"}, func(p *place, s *settings) {
		if p.asked {
			s.tell("the go command presents nothing over plain HTTP: it cannot use a route that has a client token")
			return
		}
		s.env("GOPROXY", p.url)
	}},
}

// iniEscapes has a value of .npmrc mean what it says: npm reads that as ini files are read, with comments and escapes.
var iniEscapes = strings.NewReplacer(`\`, `\\`, ";", `\;`, "#", `\#`)

// anyClient is what a route has that no other client makes anything of.
var anyClient = client{"any HTTP client", nil, nil, func(p *place, s *settings) {
	s.env(p.word+"_BASE_URL", p.url)
	if p.asked {
		s.env(p.word+"_CLIENT_TOKEN", p.token)
	}
}}

// versioned is the place's URL with a path at its end that clients want there, unless the upstream has it already.
func versioned(p *place, path string) string {
	if strings.HasSuffix(p.upstream, path) {
		return p.url
	}
	return p.url + path
}

// clientsOf returns the clients of a route.
func clientsOf(r *proxy.RouteConfig) (found []client) {
	host := r.UpstreamHost()
	for _, c := range clients {
		if slices.ContainsFunc(c.hosts, func(h string) bool { return h == host || h[0] == '.' && strings.HasSuffix(host, h) }) {
			found = append(found, c)
		}
	}
	if len(found) > 0 {
		return found
	}
	words := strings.FieldsFunc(strings.ToLower(r.Path), func(c rune) bool { return strings.ContainsRune("/-_.", c) })
	for _, c := range clients {
		if slices.ContainsFunc(c.words, func(w string) bool { return slices.Contains(words, w) }) {
			found = append(found, c)
		}
	}
	return found
}

// newPlace is a route as it is seen behind the proxy's URL, by whom has its client tokens.
func newPlace(r *proxy.RouteConfig, url string, tokens []string) *place {
	_, host, _ := strings.Cut(url, "://")
	word := strings.ToUpper(strings.Map(func(c rune) rune {
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' {
			return c
		}
		return '_'
	}, strings.Trim(r.Path, "/")))
	if word == "" || word[0] <= '9' {
		word = "ROUTE_" + word
	}
	return &place{
		url:      url + strings.TrimRight(r.Path, "/"),
		host:     host,
		upstream: strings.TrimRight(r.Upstream, "/"),
		word:     strings.TrimRight(word, "_"),
		token:    append(tokens, "placeholder")[0],
		asked:    len(tokens) > 0,
		chunked:  r.Chunked,
	}
}

// settings is what is to be put into the sandbox, in order, each thing once.
type settings struct {
	vars    []pair // of the environment
	gits    []pair // of git's configuration
	files   []file // of the home directory
	skipped []string

	what string // for which route and client it is given now
	used bool   // whether any of the route's clients made something of it
}

type pair struct{ name, value, about string }

type file struct {
	path, about string
	lines       []string
}

// add adds what the clients of a route need, if the sandbox reaches the proxy at this URL and has these client tokens.
func (s *settings) add(r *proxy.RouteConfig, url string, tokens []string) {
	p := newPlace(r, url, tokens)
	s.used = false
	for _, c := range append(clientsOf(r), anyClient) {
		if c.name != anyClient.name || !s.used {
			s.what = r.Path + ": " + c.name
			c.give(p, s)
		}
	}
}

func (s *settings) env(name, value string) {
	s.vars = s.once(s.vars, pair{name, value, s.what})
}

func (s *settings) git(key, value string) {
	s.gits = s.once(s.gits, pair{key, value, s.what})
}

// once adds a pair whose name is not there yet. One that has another value is told of: it is for the first route.
func (s *settings) once(list []pair, p pair) []pair {
	s.used = true
	for _, have := range list {
		if have.name == p.name {
			s.skip(p.name, have.value != p.value)
			return list
		}
	}
	return append(list, p)
}

func (s *settings) file(path string, lines ...string) {
	s.used = true
	for _, have := range s.files {
		if have.path == path {
			s.skip("~/"+path, true)
			return
		}
	}
	s.files = append(s.files, file{path, s.what, lines})
}

func (s *settings) skip(name string, differs bool) {
	if differs {
		s.tell(name + " is given for another route already; name this route to have it")
	}
}

func (s *settings) tell(why string) {
	s.used = true
	s.skipped = append(s.skipped, s.what+": "+why)
}
