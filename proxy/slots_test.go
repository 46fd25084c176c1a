package proxy

import (
	"slices"
	"strings"
	"testing"

	"credproxy/proxy/http1"
)

// TestSlots: each is a field name in lower case, named once, that a configuration could name; Cookie is none.
func TestSlots(t *testing.T) {
	for i, s := range slots {
		if checkName(s) != nil || canonicalName(s) != s || slices.Contains(slots[:i], s) {
			t.Errorf("%q", s)
		}
	}
	if isSlot("Cookie") || !isSlot("X_Api_Key") {
		t.Error("Cookie, or not X_Api_Key")
	}
}

// TestDropped holds the set of a route against a plain list, in several spellings.
func TestDropped(t *testing.T) {
	plain := oneRoute(t, "")
	shaped := oneRoute(t, `"strip_headers": ["X-`+strings.Repeat("Long-", 60)+`Name"], "keep_headers": ["api_key"], "set_headers": {"X-Set": "1"}, "append_headers": {"X-List": "1"}`)
	for _, test := range []struct {
		name          string
		plain, shaped bool
	}{
		{"authorization", true, true}, {"host", true, true}, {"te", true, true}, {"x-api-key", true, true}, {"api-key", true, false},
		{"x-set", false, true}, {"x-list", false, true}, {"x-" + strings.Repeat("long-", 60) + "name", false, true},
		{"cookie", false, false}, {"x-api-keys", false, false}, {"content-type", false, false}, {"x", false, false}, {"", false, false},
	} {
		for _, spelling := range []string{test.name, strings.ToUpper(test.name), strings.ReplaceAll(test.name, "-", "_")} {
			if got := plain.dropped.has([]byte(spelling)); got != test.plain {
				t.Errorf("%s: dropped %v", spelling, got)
			}
			if got := shaped.dropped.has([]byte(spelling)); got != test.shaped {
				t.Errorf("%s on the shaped route: dropped %v", spelling, got)
			}
		}
	}
}

func TestFields(t *testing.T) {
	r := oneRoute(t, `"set_headers": {"B": "2", "A": "1"}`)
	want := "Host: h\r\nAuthorization: Bearer the-token\r\nB: 2\r\nA: 1\r\nAccept-Encoding: identity\r\n"
	if got := r.fields.reveal(); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestJoined(t *testing.T) {
	joined := []FieldConfig{{"X-List", "z"}}
	for lines, want := range map[string]string{
		"":                                    "X-List: z\r\n",
		"x-list: a\r\nX_LIST: b, c\r\n":       "X-List: a, b, c, z\r\n",
		"X-List:\r\nX-Lists: a\r\n":           "X-List: z\r\n",
		"Connection: x-list\r\nX-List: a\r\n": "X-List: z\r\n",
		"X-List: a,\r\nY: X-List\r\nX-List: b\r\n": "X-List: a,, b, z\r\n", // an empty element is none (RFC 9110, section 5.6.1)
	} {
		q := parsed(t, "GET / HTTP/1.1\r\nHost: h\r\n"+lines+"\r\n")
		if got := string(appendJoined(nil, q.Fields, q, joined)); got != want {
			t.Errorf("%q: %q, want %q", lines, got, want)
		}
	}
	var q http1.Request
	if got := string(appendJoined(nil, nil, &q, nil)); got != "" {
		t.Errorf("%q", got)
	}
}

// TestUsableTokens: what a route says of its tokens is computed with it.
func TestUsableTokens(t *testing.T) {
	c, err := ParseConfig("f", []byte(`{"routes": [{"path": "/a/", "upstream": "https://h", "credentials": [
		{"username": "me", "token_env": "T"}, {"auth_header": "X", "token_env": "U"}, {"auth_header": "Y", "token_env": "V"}]}]}`))
	if err != nil {
		t.Fatal(err)
	}
	r := newRoute(&c.Routes[0], tokensIn(map[string]string{"T": "t", "U": "a\nb"}), nameSets{})
	if want := []string{"route /a/: env var U cannot stand in a header; its requests get 500", "route /a/: env var V unset; its requests get 500"}; !slices.Equal(r.warnings, want) {
		t.Errorf("%q", r.warnings)
	}
	if r.refusal == nil || r.refusal.Message != "cred-proxy: env var U cannot stand in a header" {
		t.Errorf("%+v", r.refusal)
	}
}
