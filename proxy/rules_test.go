package proxy

import (
	"fmt"
	"strings"
	"testing"
)

// oneRoute parses a route that has these members besides the four that it must have, and makes its row of the table.
func oneRoute(t testing.TB, more string) *route {
	t.Helper()
	return upstreamRoute(t, "https://h", more)
}

func upstreamRoute(t testing.TB, upstream, more string) *route {
	t.Helper()
	if more != "" {
		more = ", " + more
	}
	c, err := ParseConfig("f", fmt.Appendf(nil, `{"routes": [{"path": "/a/", "upstream": %q, "auth_scheme": "Bearer", "token_env": "T"%s}]}`, upstream, more))
	if err != nil {
		t.Fatal(err)
	}
	return newRoute(&c.Routes[0], tokensIn(map[string]string{"T": "the-token"}), nameSets{})
}

// passes reports whether the route's rules let a request pass: METHOD /path.
func (r *route) passes(request string) bool {
	method, path, _ := strings.Cut(request, " ")
	return r.rules.refusal("/a/", []byte(method), []byte("/a"+path)) == nil
}

func TestDeny(t *testing.T) {
	r := oneRoute(t, `"deny": [{"path": "/keys"}, {"methods": ["GET"], "path": "/users/*/tokens"}, {"path": "/admin/**"},
		{"path": "/dots. "}, {"methods": ["POST"], "path": "/post"}]`)
	for request, want := range map[string]bool{
		"POST /keys":              false,
		"POST /keys/":             false,
		"POST /keys//":            false,
		"POST //keys":             false,
		"POST /%6beys":            false,
		"POST /%256beys":          false,
		"POST /keys%2f":           false,
		"POST /keys;x=y":          false,
		"POST /keys;x%2fy":        false,
		"POST /;x%2fy/keys":       false,
		"POST /keys%3bx":          false,
		`POST /;x\y/keys`:         false,
		`POST /keys;x\y`:          false,
		"GET /users/%61/b/tokens": true,
		"POST /keys%3fx/y":        false,
		"POST /keys/%3fx/y":       false,
		"POST /keys%23":           false,
		"POST /keys.":             false,
		"POST /keys%20":           false,
		"POST /%20keys":           false,
		"POST /%c2%a0keys.%c2%a0": false,
		`POST /\keys`:             false,
		"POST /%5ckeys":           false,
		"POST /k%c0%afeys":        true,
		"POST /%70ost":            false,
		"GET /%70ost":             true,
		"POST /" + strings.Repeat("a/", maxPieces) + "%61":   true,
		"POST /" + strings.Repeat("a/", maxPieces+1) + "%61": false,
		"POST /%c0%afkeys":              false,
		"POST /%c1%abeys":               false,
		"POST /%e0%81%ab%f0%80%81%a5ys": false,
		"POST /Keys":                    true,
		"POST /keyss":                   true,
		"POST /keys.json":               true,
		"POST /keys/x":                  true,
		"POST /x/keys":                  true,
		"POST /":                        true,
		"GET /users/me/tokens":          false,
		"HEAD /users/me/tokens":         false,
		"POST /users/me/tokens":         true,
		"GET /users/a%2fb/tokens":       false,
		"GET /users/a%252fb/tokens":     false,
		`GET /users/a\b/tokens`:         false,
		"GET /users//tokens":            false,
		"GET /users%2fme%2ftokens":      false,
		"GET /users/me/tokens/1":        true,
		"GET /users/a/b/tokens":         true,
		"GET /users/tokens":             true,
		"GET /admin":                    false,
		"GET /admin/":                   false,
		"GET /admin/a/b":                false,
		"GET /admin%2fa":                false,
		"GET /administrator":            true,
		"GET /users/me/keys?x=/tokens":  true,
		"GET /dots":                     false,
		"GET /dots.":                    false,
		"GET /dots.%20":                 false,
		"GET /dot":                      true,
		"POST /post":                    false,
		"GET /post":                     true,
		"HEAD /post":                    true,
		"POST //x/keys":                 false,
		"POST ///x/keys":                false,
		`POST /\x/keys`:                 false,
		"POST //x%2fy/k%65ys":           false,
		"POST //x/y/keys":               true,
		"POST /;/x/keys":                true,
	} {
		path, _, _ := strings.Cut(request, "?")
		if got := r.passes(path); got != want {
			t.Errorf("%s: passes %v, want %v", request, got, want)
		}
	}
}

func TestAllow(t *testing.T) {
	r := oneRoute(t, `"allow": [{"methods": ["GET"], "path": "/v1/models/*"}, {"path": "/v1/messages"}, {"path": "/files/**"}, {"path": "/"}],
		"deny": [{"path": "/files/secret"}]`)
	for request, want := range map[string]bool{
		"GET /v1/models/x":            true,
		"GET /v1/models/%78":          true,
		"GET /v1/models/x;y":          true,
		"GET /v1/models/x%20y":        true,
		"GET /v1/models/100%25":       true,
		"GET /%761/models/x":          true,
		"HEAD /v1/models/x":           false,
		"POST /v1/models/x":           false,
		"GET /v1/models":              false,
		"GET /v1/models/":             false,
		"GET /v1/models/x/":           false,
		"GET /v1/models/x/y":          false,
		"GET /v1/models/x%2fy":        false,
		"GET /v1/models/x%252fy":      false,
		`GET /v1/models/x\y`:          false,
		"GET /v1/models/x%5cy":        false,
		"GET /v1/models/x%3fy":        false,
		"GET /v1/models/;y":           false,
		"GET /v1/models/%20":          false,
		"GET /v1/models/x%c0%afy":     false,
		"GET /v1%2fmodels/x":          false,
		"GET //v1/models/x":           false,
		"POST /v1/messages":           true,
		"POST /v1/messages/":          false,
		"POST /v1/%2561essages":       false,
		"POST /v1/messages;x":         false,
		"POST /v1/Messages":           false,
		"POST /v1/messages/batches":   false,
		"GET /files/":                 true,
		"GET /files/a/b//c%2fd":       true,
		"GET /files":                  false,
		"GET /files/secret":           false,
		"GET /files/%73ecret":         false,
		"GET /files%2fa":              false,
		"GET /":                       true,
		"GET /other":                  false,
		"DELETE /v1/messages":         true,
		"BREW /v1/messages":           false,
		"BREW /v1/models/x":           false,
		"GET /filesystem/secret/file": false,
	} {
		if got := r.passes(request); got != want {
			t.Errorf("%s: passes %v, want %v", request, got, want)
		}
	}
}

func TestMinting(t *testing.T) {
	for _, test := range []struct {
		upstream, more, request string
		passes                  bool
	}{
		{"https://api.anthropic.com", "", "POST /api/oauth/claude_cli/create_api_key", false},
		{"https://api.anthropic.com", "", "POST /API/oauth/claude_cli/create_api_key.json", false},
		{"https://api.anthropic.com", "", "POST /v1/messages", true},
		{"https://api.anthropic.com/api", "", "POST /oauth/claude_cli/create_api_key", false},
		{"https://api.anthropic.com/v1/oauth/x", "", "POST /y", false},
		{"https://api.anthropic.com/v2", "", "POST /v1/oauth/token", true},
		{"https://api.anthropic.com", `"deny_minting": false`, "POST /v1/oauth/token", true},
		{"https://api.github.com", "", "POST /app/installations/1/access_tokens", false},
		{"https://api.github.com", "", "GET /app/installations/1/access_tokens", true},
		{"https://api.github.com", "", "POST /repos/o/r/issues", true},
		{"https://api.github.com/user", "", "POST /keys", false},
		{"https://api.github.com/user/keys", "", "POST /x", true},
		{"https://api.github.com/user/keys/x", "", "POST /", true},
		{"https://api.github.com", "", "PUT /repos/o/r/contents/user/keys", true},
		{"https://api.acme.ghe.com", "", "POST /app/installations/1/access_tokens", false},
		{"https://ghe.com", "", "POST /app/installations/1/access_tokens", true},
		{"https://github.com", "", "POST /login/oauth/access_token", false},
		{"https://github.com", "", "POST /o/r.git/git-upload-pack", true},
		{"https://gitlab.com/api/v4", "", "POST /projects/g%2Fp/access_tokens", false},
		{"https://gitlab.com/api/v4", "", "POST /projects/g%2Fp/access_tokens/self/rotate", false},
		{"https://gitlab.com/api/v4", "", "POST /projects/g%2Fp/access_tokens.json", false},
		{"https://gitlab.com/api/v4", "", "POST /projects/1/deploy_keys%2Ejson", false},
		{"https://gitlab.com", "", "POST /oauth.json", false},
		{"https://gitlab.com/api/v4", "", "POST /code_suggestions/direct_access", false},
		{"https://gitlab.com/api/v4", "", "GET /projects/1/packages/conan/v1/users/authenticate", false},
		{"https://codeberg.org", "", "GET /v2/token", false},
		{"https://codeberg.org", "", "GET /api/packages/me/conan/v2/users/authenticate", false},
		{"https://eu.api.openai.com", "", "POST /v1/realtime/client_secrets", false},
		{"https://gitlab.com", "", "POST /api/v4/projects/1/issues", true},
		{"https://gitlab.com", "", "POST /oauth/token", false},
		{"https://codeberg.org", "", "POST /api/v1/users/me/tokens", false},
		{"https://registry.npmjs.test", "", "PUT /-/user/org.couchdb.user:me", false},
		{"https://registry.npmjs.test", "", "GET /@scope%2fname", true},
		{"https://npm.corp.test/repository/private", "", "PUT /-/user/org.couchdb.user:me", false},
		{"https://npm.corp.test/repository/private", "", "POST /-/npm/v1/tokens", false},
		{"https://npm.corp.test", "", "POST /repository/private/-/npm/v1/tokens", false},
		{"https://npm.corp.test", "", "POST /oauth/token", true},
		{"https://npm.corp.test/x", `"deny_minting": true`, "POST /-/npm/v1/tokens", false},
		{"https://npm.corp.test/x", `"deny_minting": true`, "POST /oauth/token", false},
		{"https://registry.npmjs.test/-/npm", "", "POST /v1/tokens", false},
		{"https://own.test", "", "POST /oauth/token", true},
		{"https://own.test", `"deny_minting": false`, "POST /oauth/token", true},
		{"https://own.test", `"deny_minting": true`, "POST /oauth/token", false},
		{"https://own.test", `"deny_minting": true`, "POST /gitlab/api/v4/users/1/personal_access_tokens", false},
		{"https://own.test/gitea/api/v1", `"deny_minting": true`, "POST /users/me/tokens", false},
		{"https://own.test/gitea/api", `"deny_minting": true`, "POST /v1/users/me/tokens", false},
		{"https://own.test", `"deny_minting": true`, "POST /api/v1/repos/o/r/issues", true},
	} {
		if got := upstreamRoute(t, test.upstream, test.more).passes(test.request); got != test.passes {
			t.Errorf("%s %s: %s passes %v", test.upstream, test.more, test.request, got)
		}
	}
}

// TestMintingNames: check names the services whose rules there are, each once.
func TestMintingNames(t *testing.T) {
	for _, test := range []struct {
		upstream, more string
		names          int
	}{
		{"https://own.test", "", 0}, {"https://npm.corp.test", "", 1}, {"https://npm.corp.test", `"deny_minting": true`, len(services)},
		{"https://registry.npmjs.org", `"deny_minting": true`, 1}, {"https://gitlab.com", `"deny_minting": true`, 1},
		{"https://own.test", `"deny_minting": true`, len(services)}, {"https://gitlab.com", `"deny_minting": false`, 0},
	} {
		if names, rules := upstreamRoute(t, test.upstream, test.more).Minting(); len(names) != test.names || (len(rules) > 0) != (test.names > 0) {
			t.Errorf("%s %s: %d rules of %q", test.upstream, test.more, len(rules), names)
		}
	}
}

// TestServicesAreRules: the built-in rules are such as a routes.json could have, and none is there twice.
func TestServicesAreRules(t *testing.T) {
	said := map[string]bool{}
	_, all := upstreamRoute(t, "https://own.test/api/v4", `"deny_minting": true`).Minting()
	for _, rule := range all {
		if said[rule.String()] {
			t.Errorf("%s is there twice", rule)
		}
		said[rule.String()] = true
	}
	for _, s := range services {
		for _, rule := range s.rules {
			if err := setRulePath(&Rule{}, rule.Path); err != nil {
				t.Errorf("%s: %s: %v", s.name, rule, err)
			}
			if rule.Path != strings.ToLower(rule.Path) {
				t.Errorf("%s: %s is not in lower case", s.name, rule)
			}
		}
	}
}

func TestGitNone(t *testing.T) {
	r := oneRoute(t, `"git": "none"`)
	for request, want := range map[string]bool{
		"GET /o/r/info/refs":                 false,
		"GET /info/refs":                     false,
		"GET /o/r/info%2Frefs":               false,
		"GET /o/r/INFO/refs/":                false,
		"POST /o/r.git/git-upload-pack":      false,
		"POST /o/r.git/git-upload-archive":   false,
		"POST /o/r.git/info/lfs/objects/x":   false,
		"GET /o/r.git/objects/info/packs":    false,
		"GET /o/r.git/gitlab-lfs/objects/00": false,
		"GET /repos/o/r/contents/info":       true,
		"GET /repos/o/r/git/refs/heads/main": true,
	} {
		if got := r.passes(request); got != want {
			t.Errorf("%s: passes %v, want %v", request, got, want)
		}
	}
	if !oneRoute(t, `"git": "fetch"`).passes("GET /o/r/info/refs") {
		t.Error("fetch does not pass")
	}
}

// TestOverrides: what makes some servers act on another method or path does not cross where there are rules.
func TestOverrides(t *testing.T) {
	if oneRoute(t, "").dropped.has([]byte("X-HTTP-Method-Override")) {
		t.Error("dropped on a route without rules")
	}
	for _, name := range []string{"X-HTTP-Method-Override", "x_http_method", "X-Original-URL"} {
		if !oneRoute(t, `"deny": [{"path": "/x"}]`).dropped.has([]byte(name)) {
			t.Errorf("%s crosses", name)
		}
	}
}

// TestManySegments: what would take long to hold against the rules is refused; a plain path is not.
func TestManySegments(t *testing.T) {
	r := oneRoute(t, `"deny": [{"path": "/x"}]`)
	for request, want := range map[string]bool{
		"GET /a%20" + strings.Repeat("/b", 500):        true,
		"GET /a%20" + strings.Repeat("/b", 600):        false,
		"GET /a" + strings.Repeat("%2fb", 600):         false,
		"GET /a" + strings.Repeat("%252fb", 600):       false,
		"GET /a" + strings.Repeat(`\b`, 600):           false,
		"GET /" + strings.Repeat("%25252525252f", 600): true, // no upstream decodes that often
	} {
		if got := r.passes(request); got != want {
			t.Errorf("%.20s...: passes %v, want %v", request, got, want)
		}
	}
}

// TestRulesAreFree: a request that passes costs no allocation.
func TestRulesAreFree(t *testing.T) {
	r := upstreamRoute(t, "https://gitlab.com", `"allow": [{"path": "/api/**"}], "deny": [{"path": "/x/*"}]`).rules
	plain, encoded, scratch := []byte("api/v4/projects/1/issues"), []byte("api/v4/projects/g%2fp/issues"), make([]byte, 100)
	post := methodBit([]byte("POST"))
	var room [12][]byte
	if segments, ok := splitPlain(room[:0], plain); !ok || len(segments) != 5 {
		t.Error("what is usual goes the long way")
	}
	if n := testing.AllocsPerRun(100, func() {
		if r.denied(post, plain) != nil || r.deniedInAny(post, encoded, scratch) != nil || !r.allow[0].matchesEvery(encoded, scratch) {
			t.Fatal("refused")
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkRules(b *testing.B) {
	for name, r := range map[string]*route{
		"none":      oneRoute(b, ""),
		"anthropic": upstreamRoute(b, "https://api.anthropic.com", ""),
		"gitlab":    upstreamRoute(b, "https://gitlab.com", ""),
	} {
		b.Run(name, func(b *testing.B) {
			method, path := []byte("POST"), []byte("/a/v1/messages")
			b.ReportAllocs()
			for b.Loop() {
				if r.rules.refusal("/a/", method, path) != nil {
					b.Fatal("refused")
				}
			}
		})
	}
	r := upstreamRoute(b, "https://own.test", `"deny_minting": true, "git": "none"`)
	for name, unit := range map[string]string{"slashes": "/", "encoded": "/%252f", "marks": "%3fx", "keys": "user%2f"} {
		b.Run("hostile/"+name, func(b *testing.B) {
			method, path := []byte("POST"), []byte("/a/"+strings.Repeat(unit, 16000/len(unit)))
			for b.Loop() {
				r.rules.refusal("/a/", method, path)
			}
		})
	}
}
