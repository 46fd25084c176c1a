package proxy

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// one is a routes.json with one route, of which one member is replaced or, if value is empty, left out.
func one(member, value string) string {
	m := map[string]string{"path": `"/a/"`, "upstream": `"https://h"`, "auth_scheme": `"Bearer"`, "token_env": `"T"`}
	if m[member] = value; value == "" {
		delete(m, member)
	}
	var s []string
	for _, k := range []string{"path", "upstream", "auth_scheme", "token_env"} {
		if m[k] != "" {
			s = append(s, `"`+k+`": `+m[k])
		}
	}
	return `{"routes": [{` + strings.Join(s, ", ") + `}]}`
}

// TestHostDigits: a host may have any digit and any letter.
func TestHostDigits(t *testing.T) {
	const host = "a0123456789-z_.test"
	if c, err := ParseConfig("f", []byte(one("upstream", `"https://`+host+`"`))); err != nil || c.Routes[0].UpstreamHost() != host {
		t.Errorf("%v", err)
	}
}

func TestConfigErrors(t *testing.T) {
	for _, test := range []struct {
		json string
		want []string
	}{
		{``, []string{"f:1:1: unexpected end of JSON input"}},
		{"{\n  \"routes\": [},\n", []string{"f:2:14: invalid character '}' looking for beginning of value"}},
		{`{"routes": []} x`, []string{"f:1:16: invalid character 'x' after top-level value"}},
		{"{\"routes\": [], \"x\xff\": 1}", []string{"f:1:18: invalid UTF-8"}},
		{`{"routes": [], "\ud800": 1}`, []string{"f:1:16: half of a surrogate pair"}},
		{`{"routes": [], "\ufffd�": 1}`, []string{"f: unknown key \"��\""}},
		{`{"routes": [], "routes": []}`, []string{`f:1:16: key "routes" given twice`}},
		{`[]`, []string{"f: top level must be an object (got array)"}},
		{`null`, []string{"f: top level must be an object (got null)"}},
		{`{}`, []string{"f: 'routes' must be a list"}},
		{`{"routes": {}}`, []string{"f: 'routes' must be a list"}},
		{`{"routes": [], "more": 1}`, []string{`f: unknown key "more"`}},
		{`{"Routes": []}`, []string{`f: unknown key "Routes" (names are case-sensitive: "routes")`, "f: 'routes' must be a list"}},
		{`{"routes": [1]}`, []string{"f: routes[0]: route must be an object (got number)"}},
		{`{"routes": [{}]}`, []string{"f: routes[0]: path: missing", "f: routes[0]: upstream: missing", "f: routes[0]: auth_scheme: missing", "f: routes[0]: token_env: missing"}},
		{one("path", `"/a/", "Path": "/b/"`), []string{`f: routes[0] "/a/": unknown key "Path" (names are case-sensitive: "path")`}},
		{one("path", `7`), []string{"f: routes[0]: path: must be a string (got number)"}},
		{one("path", `"/a"`), []string{`f: routes[0] "/a": path: must start and end with /`}},
		{one("path", `"a/"`), []string{`f: routes[0] "a/": path: must start and end with /`}},
		{one("path", `"/a b/"`), []string{`f: routes[0] "/a b/": path: byte ' ' cannot stand in a path`}},
		{one("path", `"/a?/"`), []string{`f: routes[0] "/a?/": path: byte '?' cannot stand in a path`}},
		{one("path", `"/é/"`), []string{`f: routes[0] "/é/": path: byte 'Ã' cannot stand in a path`}},
		{one("path", `"/a/../b/"`), []string{`f: routes[0] "/a/../b/": path: a dot segment`}},
		{one("path", `"/a%2/"`), []string{`f: routes[0] "/a%2/": path: a bad percent escape`}},
		{one("upstream", `"ftp://h"`), []string{`f: routes[0] "/a/": upstream: scheme must be http or https`}},
		{one("upstream", `"h"`), []string{`f: routes[0] "/a/": upstream: scheme must be http or https`}},
		{one("upstream", `"https://"`), []string{`f: routes[0] "/a/": upstream: missing host`}},
		{one("upstream", `"https://:80"`), []string{`f: routes[0] "/a/": upstream: missing host`}},
		{one("upstream", `"https://user:s3cret@h"`), []string{`f: routes[0] "/a/": upstream: must not hold a user or a password`}},
		{one("upstream", `"https://h?q"`), []string{`f: routes[0] "/a/": upstream: must not have a query`}},
		{one("upstream", `"https://h/?"`), []string{`f: routes[0] "/a/": upstream: must not have a query`}},
		{one("upstream", `"https://h/#"`), []string{`f: routes[0] "/a/": upstream: must not have a fragment`}},
		{one("upstream", `"https://h:0"`), []string{`f: routes[0] "/a/": upstream: port 0 is not in 1 to 65535`}},
		{one("upstream", `"https://h:65536"`), []string{`f: routes[0] "/a/": upstream: port 65536 is not in 1 to 65535`}},
		{one("upstream", `"https://h:"`), []string{`f: routes[0] "/a/": upstream: port is empty`}},
		{one("upstream", `"https://h:x"`), []string{`f: routes[0] "/a/": upstream: host or port cannot be read`}},
		{one("upstream", `"https://[::1"`), []string{`f: routes[0] "/a/": upstream: host or port cannot be read`}},
		{one("upstream", `"https://[h]"`), []string{`f: routes[0] "/a/": upstream: host or port cannot be read`}},
		{one("upstream", `"https://h%41"`), []string{`f: routes[0] "/a/": upstream: host or port cannot be read`}},
		{one("upstream", `"https://a\\b"`), []string{`f: routes[0] "/a/": upstream: host or port cannot be read`}},
		{one("upstream", `"https://ex ample"`), []string{`f: routes[0] "/a/": upstream: host or port cannot be read`}},
		{one("upstream", `"https://h*"`), []string{`f: routes[0] "/a/": upstream: host holds '*', which no host name has`}},
		{one("upstream", `"https://h/a/../b"`), []string{`f: routes[0] "/a/": upstream: a dot segment`}},
		{one("upstream", `"https://h/a b"`), []string{`f: routes[0] "/a/": upstream: byte ' ' cannot stand in a path`}},
		{one("auth_scheme", `"Bea\nrer"`), []string{`f: routes[0] "/a/": auth_scheme: byte '\n' cannot stand in a header field`}},
		{one("auth_scheme", `"Bearer "`), []string{`f: routes[0] "/a/": auth_scheme: must not begin or end with a space`}},
		{one("auth_scheme", `null`), []string{`f: routes[0] "/a/": auth_scheme: must be a string (got null)`}},
		{one("token_env", `""`), []string{`f: routes[0] "/a/": token_env: must be a non-empty string`}},
		{one("token_env", `"A=B"`), []string{`f: routes[0] "/a/": token_env: byte '=' cannot stand in the name of a variable`}},
		{one("token_env", `"A\u007f"`), []string{`f: routes[0] "/a/": token_env: byte '\x7f' cannot stand in the name of a variable`}},
		{one("token_env", ``), []string{`f: routes[0] "/a/": token_env: missing`}},
		{one("token_env", `"T", "auth_header": "te"`), []string{`f: routes[0] "/a/": auth_header: "te" is the proxy's own: it frames the message or belongs to the connection`}},
		{one("token_env", `"T", "username": "a"`), []string{`f: routes[0] "/a/": username: goes with the auth_scheme "Basic" alone`}},
		{one("token_env", `"T", "credentials": []`), []string{
			`f: routes[0] "/a/": auth_scheme: stands in each of 'credentials', or the route has this one credential and no list`,
			`f: routes[0] "/a/": token_env: stands in each of 'credentials', or the route has this one credential and no list`,
			`f: routes[0] "/a/": credentials: must be a list that is not empty`}},
		{one("token_env", `"T", "set_headers": {"X": "s3cret\u0000"}`), []string{`f: routes[0] "/a/": set_headers "X": value must be visible text that neither begins nor ends with a space`}},
		{one("token_env", `"T", "keep_headers": ["AUTHORIZATION"]`), []string{`f: routes[0] "/a/": keep_headers: "AUTHORIZATION" is always dropped`}},
		{one("token_env", `"T", "deny": [{"path": "/x/*y"}]`), []string{`f: routes[0] "/a/": deny[0]: path: * is a whole segment`}},
		{one("token_env", `"T", "deny": [{"path": "/\u0001"}, {"path": "/\u007f"}, {"path": "/a b~"}]`), []string{`f: routes[0] "/a/": deny[0]: path: byte '\x01' cannot stand in a rule`,
			`f: routes[0] "/a/": deny[1]: path: byte '\x7f' cannot stand in a rule`}},
		{one("token_env", `"T", "deny": [`+strings.Repeat(`{"path": "/x"}, `, maxRules)+`{"path": "/x"}]`), []string{`f: routes[0] "/a/": deny: more than 256 rules`}},
		{one("token_env", `"T", "deny": [`+strings.Repeat(`{"path": "/x"}, `, maxRules-1)+`{"path": "/x`+strings.Repeat("/x", maxSegments-1)+`"}]`), nil},
		{one("token_env", `"T", "strip_headers": [1, "te"]`), []string{`f: routes[0] "/a/": strip_headers[0]: must be a string (got number)`,
			`f: routes[0] "/a/": strip_headers[1]: "te" is the proxy's own: it frames the message or belongs to the connection`}},
		{one("auth_scheme", `"Basic", "username": "a\u0001"`), []string{`f: routes[0] "/a/": username: byte '\x01' cannot stand in a username`}},
		{one("auth_scheme", `"Basic", "username": "a\u007f"`), []string{`f: routes[0] "/a/": username: byte '\x7f' cannot stand in a username`}},
		{one("auth_scheme", `"Basic", "username": "a b~"`), nil},
		{`{"routes": [{"path": "/a/", "upstream": "https://h", "credentials": [{"auth_header": "X", "token_env": "T", "credentials": []}]}]}`, []string{`f: routes[0] "/a/": credentials[0]: unknown key "credentials"`}},
		{one("token_env", `"T", "deny_minting": null`), []string{`f: routes[0] "/a/": deny_minting: must be true or false (got null)`}},
		{one("token_env", `"T", "git": "push"`), []string{`f: routes[0] "/a/": git: must be "fetch" or "none"; a push is refused on every route`}},
	} {
		_, err := ParseConfig("f", []byte(test.json))
		var got []string
		if errs, ok := errors.AsType[ConfigErrors](err); ok {
			for _, e := range errs {
				got = append(got, e.Error())
			}
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s\n%s", test.json, diff)
		}
	}
}

func TestConfigDuplicatePaths(t *testing.T) {
	r := strings.TrimSuffix(strings.TrimPrefix(one("", ""), `{"routes": [`), `]}`)
	_, err := ParseConfig("f", []byte(`{"routes": [`+r+`, `+r+`, {"path": 1}]}`))
	want := `f: routes[1] "/a/": path: already the path of routes[0]; f: routes[2]: path: must be a string (got number); ` +
		`f: routes[2]: upstream: missing; f: routes[2]: auth_scheme: missing; f: routes[2]: token_env: missing`
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestConfigUpstream(t *testing.T) {
	for s, want := range map[string]struct {
		authority, base string
	}{
		"https://h":                {"h", ""},
		"HTTPS://H.Example:443/":   {"h.example", ""},
		"https://h:8443/a/b/":      {"h:8443", "/a/b"},
		"http://h:80/a%2Fb//":      {"h", "/a%2Fb"},
		"http://h:443":             {"h:443", ""},
		"https://[2001:db8::1]:99": {"[2001:db8::1]:99", ""},
		"https://[::1]":            {"[::1]", ""},
		"https://127.0.0.1:08443":  {"127.0.0.1:8443", ""},
	} {
		c, err := ParseConfig("f", []byte(one("upstream", `"`+s+`"`)))
		if err != nil {
			t.Errorf("%s: %v", s, err)
			continue
		}
		if r := c.Routes[0]; r.origin.authority() != want.authority || r.base != want.base {
			t.Errorf("%s: %q %q, want %+v", s, r.origin.authority(), r.base, want)
		}
	}
}

func TestConfigEmpty(t *testing.T) {
	if c, err := ParseConfig("f", []byte(`{"routes": []}`)); err != nil || len(c.Routes) != 0 {
		t.Errorf("%v, %v", c, err)
	}
}

// asWritten is a route as a routes.json could have it.
func asWritten(r *RouteConfig) map[string]any {
	m := map[string]any{"path": r.Path, "upstream": r.Upstream}
	var credentials []any
	for _, c := range r.Credentials {
		o := map[string]any{"auth_header": c.Header, "auth_scheme": c.Scheme}
		switch {
		case c.Token.File != "":
			o["token_file"] = c.Token.File
		case c.Token.Command != nil:
			o["token_command"], o["token_ttl"] = c.Token.Command, c.Token.TTL.String()
		default:
			o["token_env"] = c.Token.Env
		}
		if c.Username != nil {
			o["username"] = *c.Username
		}
		credentials = append(credentials, o)
	}
	m["credentials"] = credentials
	for key, fields := range map[string][]FieldConfig{"set_headers": r.Set, "append_headers": r.Append} {
		if o := (map[string]any{}); fields != nil {
			for _, f := range fields {
				o[f.Name] = f.Value
			}
			m[key] = o
		}
	}
	for key, names := range map[string][]string{"strip_headers": r.Strip, "keep_headers": r.Keep} {
		if names != nil {
			m[key] = names
		}
	}
	for key, rules := range map[string][]Rule{"allow": r.Allow, "deny": r.Deny} {
		var list []any
		for _, rule := range rules {
			o := map[string]any{"path": rule.Path}
			if rule.Methods != nil {
				o["methods"] = rule.Methods
			}
			list = append(list, o)
		}
		if rules != nil {
			m[key] = list
		}
	}
	if r.DenyMinting != nil {
		m["deny_minting"] = *r.DenyMinting
	}
	if r.GitNone {
		m["git"] = "none"
	}
	return m
}

// FuzzConfig: never a panic, and what is accepted encodes to the same routes again.
func FuzzConfig(f *testing.F) {
	f.Add([]byte(one("", "")))
	f.Add([]byte(one("upstream", `"http://[::1]:8/%2F/"`)))
	f.Add([]byte(`{"routes": [{"path": "/\ufffd/"}]}`))
	f.Add([]byte(`{"routes": [{"path": "/", "upstream": "http://h", "credentials": [{"auth_header": "X", "token_env": "T"}, {"username": "", "token_file": "T"}],
		"set_headers": {"A": "b"}, "append_headers": {"C": "d"}, "strip_headers": ["E"], "keep_headers": ["Api-Key"], "git": "none",
		"allow": [{"methods": ["GET"], "path": "/*/**"}], "deny": [{"path": "/"}], "deny_minting": true}]}`))
	f.Add([]byte(one("token_command", `["a", "b c"], "token_ttl": "90s"`)))
	f.Fuzz(func(t *testing.T, p []byte) {
		c, err := ParseConfig("f", p)
		if err != nil {
			return
		}
		doc := map[string]any{"routes": []any{}}
		for _, r := range c.Routes {
			doc["routes"] = append(doc["routes"].([]any), asWritten(&r))
		}
		again, err := json.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		c2, err := ParseConfig("f", again)
		if err != nil {
			t.Fatalf("%s: %v", again, err)
		}
		c2.Hash = c.Hash
		if diff := cmp.Diff(c, c2, cmp.AllowUnexported(RouteConfig{}, TokenSource{}, origin{}), cmpopts.SortSlices(func(a, b FieldConfig) bool { return a.Name < b.Name })); diff != "" {
			t.Fatal(diff)
		}
	})
}

// TestLoadConfigNoFile: what the file system says of a file is the error.
func TestLoadConfigNoFile(t *testing.T) {
	if _, err := LoadConfig(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
}

// TestFixedFields: of a fixed field that cannot be set the first thing that is wrong is told.
func TestFixedFields(t *testing.T) {
	const value = "value must be visible text that neither begins nor ends with a space"
	for member, want := range map[string]string{
		`"X": "a b"`: "", `"X": ""`: value, `"X": " "`: value, `"X": " a"`: value, `"X": "a\t"`: value, `"X": "\u0001"`: value,
		`"X": 1`: "must be a string (got number)", `"a b": 1`: "a b",
	} {
		_, err := ParseConfig("f", []byte(one("path", `"/a/", "set_headers": {`+member+"}")))
		if said := fmt.Sprint(err); (want == "") != (err == nil) || !strings.Contains(said, want) ||
			strings.HasPrefix(member, `"a b"`) && strings.Contains(said, "must be a string") {
			t.Errorf("%s: %v", member, err)
		}
	}
}

// TestFileNames: a file may have any name that a message can say.
func TestFileNames(t *testing.T) {
	for name, want := range map[string]bool{"/a b~/é": true, "~": true, "a\x7f": false, "a\x1f": false, "": false} {
		if err := checkFile(name); (err == nil) != want {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// TestMapURLsKey: map_urls is on unless it is turned off.
func TestMapURLsKey(t *testing.T) {
	for member, want := range map[string]bool{"": false, `"map_urls": true`: false, `"map_urls": false`: true} {
		if got := oneRoute(t, member).LeaveURLs; got != want {
			t.Errorf("%s: URLs are left: %v", member, got)
		}
	}
}

// TestMintingEverywhere: a route to an unknown host that denies minting does so for all services, and names them.
func TestMintingEverywhere(t *testing.T) {
	if names, rules := oneRoute(t, `"deny_minting": true`).Minting(); len(names) != len(services) || len(rules) == 0 {
		t.Errorf("%q, %v", names, rules)
	}
}

// TestVariableNames: a variable may have any visible ASCII in its name that is no equals sign.
func TestVariableNames(t *testing.T) {
	for _, name := range []string{"!", "A~", "a.b-c"} {
		if _, err := ParseConfig("f", []byte(one("token_env", strconv.Quote(name)))); err != nil {
			t.Error(err)
		}
	}
}
