package proxy

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"credproxy/proxy/http1"
)

// callersOf returns a route's callers, with this text in its variable and further members.
func callersOf(t testing.TB, text, more string) *callers {
	t.Helper()
	c, err := ParseConfig("f", []byte(`{"routes": [{"path": "/a/", "upstream": "https://h", "auth_scheme": "", "token_env": "T", "client_token_env": "C"`+more+`}]}`))
	if err != nil {
		t.Fatal(err)
	}
	return newRoute(&c.Routes[0], tokensIn(map[string]string{"T": "the-real-token", "C": text}), nameSets{}).callers
}

// asking returns the request with these field lines.
func asking(t testing.TB, lines ...string) *http1.Request {
	t.Helper()
	q := new(http1.Request)
	head := "GET /a/x HTTP/1.1\r\nHost: x\r\n" + strings.Join(append(lines, ""), "\r\n") + "\r\n"
	if _, err := q.Parse([]byte(head), DefaultLimits.request()); err != nil {
		t.Fatal(err)
	}
	return q
}

func basic(s string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(s)) }

// TestClientTokenForms: a client token is taken in every form, and nothing else is.
func TestClientTokenForms(t *testing.T) {
	c := callersOf(t, "one:1\ntwo\n!~\n\n "+strings.Repeat("x", maxClientToken)+"\r\n", `, "strip_headers": ["X-Mine"]`)
	for line, want := range map[string]bool{
		"Authorization: two":                                                true,
		"Authorization: Bearer two":                                         true,
		"Authorization: token   two":                                        true,
		"Authorization: Bearer one:1":                                       true,
		"Authorization: " + basic("x:two"):                                  true,
		"Authorization: " + basic("two:"):                                   true,
		"Authorization: " + basic("two"):                                    true,
		"Authorization: " + basic("x:one:1"):                                true,
		"Authorization: " + strings.TrimRight(basic("x:two"), "="):          true,
		"Authorization: " + basic("x:"+strings.Repeat("x", maxClientToken)): true,
		"Authorization: Bearer !~":                                          true,
		"X-Mine: two":                                                       true,
		"ApiKey: two":                                                       true,
		"Authorization: Bearer one":                                         false,
		"Authorization: Bearer two two":                                     false,
		"Authorization: Bearer TWO":                                         false,
		"Authorization: Bearer":                                             false,
		"Authorization: Basic":                                              false,
		"Authorization: Basic %":                                            false,
		"Authorization: " + basic(""):                                       false,
		"Authorization: " + basic("x:two "):                                 false,
		"Authorization: " + basic("x:y:two"):                                false,
		"Authorization: Bearer " + base64.StdEncoding.EncodeToString([]byte("two")): false,
		"Authorization: " + basic(strings.Repeat("x", 4*maxClientToken)+":two"):     false,
		"X-Other: two": false,
		"Sec-WebSocket-Protocol: openai-insecure-api-key.two":                                                  false, // of a route without upgrades
		"Authorization: " + basic(strings.Repeat("y", maxClientToken)+":"+strings.Repeat("x", maxClientToken)): true,
	} {
		if got := c.refusal(asking(t, line)) == nil; got != want {
			t.Errorf("%.80s: %v", line, got)
		}
	}
}

// TestClientTokensMany: as many client tokens as a route may have are all taken.
func TestClientTokensMany(t *testing.T) {
	var text strings.Builder
	for i := range maxClientTokens {
		fmt.Fprintf(&text, "token-%d\n", i)
	}
	c := callersOf(t, text.String(), "")
	for i := range maxClientTokens {
		if r := c.refusal(asking(t, fmt.Sprintf("Authorization: Bearer token-%d", i))); r != nil {
			t.Errorf("%d: %s", i, r.Message)
		}
	}
}

// TestClientTokenCrosses: a client token in the one field that a route keeps goes no further, also where it is presented
// rightly besides.
func TestClientTokenCrosses(t *testing.T) {
	c := callersOf(t, "worthless", `, "keep_headers": ["X-Api-Key"]`)
	for key, want := range map[string]bool{"worthless": false, "Bearer worthless": false, "another": true} {
		if got := c.refusal(asking(t, "Authorization: Bearer worthless", "X-Api-Key: "+key)) == nil; got != want {
			t.Errorf("%s: passes %v", key, got)
		}
	}
}

// TestClientTokensUnusable: what cannot be a client token lets nobody through.
func TestClientTokensUnusable(t *testing.T) {
	for _, text := range []string{"", "\n \r\n", "a b", "ok\na\x00b", "é", "the-real-token", "ok\nthe-real-token",
		strings.Repeat("x", maxClientToken+1), strings.Repeat("x\n", maxClientTokens+1)} {
		c := callersOf(t, text, "")
		for _, line := range []string{"Authorization: " + strings.TrimSpace(strings.Split(text, "\n")[0]), "Authorization: Basic Og==", "X: y"} {
			if strings.ContainsAny(line, "\x00") {
				continue
			}
			if r := c.refusal(asking(t, line)); r == nil || r.Code != refuseToken.Code {
				t.Errorf("%.80q: %v", text, r)
			}
		}
	}
}

// TestClientTokenAllocations: who presents a client token costs no allocation.
func TestClientTokenAllocations(t *testing.T) {
	c := callersOf(t, "worthless", "")
	q := asking(t, "Accept: */*", "X-Api-Key: something-else", "Authorization: "+basic("x:worthless"))
	if n := testing.AllocsPerRun(100, func() {
		if c.refusal(q) != nil {
			t.Fatal("refused")
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzClientToken holds what is taken against net/http's reading of Basic, and against the bytes that were sent.
func FuzzClientToken(f *testing.F) {
	for _, s := range []string{"worthless", "Bearer worthless", "Basic eDp3b3J0aGxlc3M=", "Basic d29ydGhsZXNzOg==", "basic  d29ydGhsZXNz"} {
		f.Add(s)
	}
	c := callersOf(f, "worthless", "")
	f.Fuzz(func(t *testing.T, value string) {
		if strings.ContainsAny(value, "\r\n") {
			return // no field has such a value; base64 is read across them
		}
		got := c.presents([]byte(value))
		req := http.Request{Header: http.Header{"Authorization": {value}}}
		if user, password, ok := req.BasicAuth(); ok && (user == "worthless" || password == "worthless") && len(value) < 1000 && !got {
			t.Fatalf("%q is not taken", value)
		}
		decoded := ""
		if words := strings.Fields(value); len(words) > 1 {
			p, _ := base64.RawStdEncoding.DecodeString(strings.TrimRight(words[1], "="))
			decoded = string(p)
		}
		if got && !strings.Contains(value, "worthless") && !strings.Contains(decoded, "worthless") {
			t.Fatalf("%q is taken", value)
		}
	})
}

// TestClientTokenIsNotPrinted: a table holds no client token that a careless line could print.
func TestClientTokenIsNotPrinted(t *testing.T) {
	c := callersOf(t, "worthless", "")
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if s := fmt.Sprintf(verb, c); strings.Contains(s, "worthless") {
			t.Errorf("%s prints it", verb)
		}
	}
}
