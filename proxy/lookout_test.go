package proxy

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"
)

// loadTokens loads routes that have these tokens.
func loadTokens(t *testing.T, s *Server, env map[string]string, tokens ...string) {
	t.Helper()
	var routes []string
	for i, token := range tokens {
		name := fmt.Sprintf("T%d", i)
		env[name] = token
		routes = append(routes, fmt.Sprintf(`{"path": "/%d/", "upstream": "https://h", "auth_scheme": "Bearer", "token_env": %q}`, i, name))
	}
	c, err := ParseConfig("f", []byte(`{"routes": [`+strings.Join(routes, ",")+`]}`))
	if err == nil {
		err = s.Load(c)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestFormerTokens: the tokens of a table that was replaced are looked for ten minutes longer, however often it is
// replaced in the meantime, and then no more.
func TestFormerTokens(t *testing.T) {
	env := map[string]string{}
	s := New(Options{Getenv: func(name string) string { return env[name] }})
	sought := func(token string) bool {
		m := s.table.Load().lookout.Load().matcher
		return m != nil && m.Find([]byte("x"+token)) >= 0
	}
	loadTokens(t, s, env, "the-first-token", "a-token-that-stays")
	loadTokens(t, s, env, "the-second-token", "a-token-that-stays")
	loadTokens(t, s, env, "the-third-token", "a-token-that-stays", "short")
	for _, token := range []string{"the-first-token", "the-second-token", "the-third-token", "a-token-that-stays"} {
		if !sought(token) {
			t.Errorf("%s is not looked for", token)
		}
	}
	if len(s.former) != 2 {
		t.Errorf("%d former tokens", len(s.former))
	}
	if sought("short") {
		t.Error("a short token is looked for")
	}
	s.forget(time.Now().Add(soughtFor - time.Minute))
	if !sought("the-first-token") {
		t.Error("a former token was forgotten too early")
	}
	s.forget(time.Now().Add(soughtFor + time.Second))
	if sought("the-first-token") || sought("the-second-token") || len(s.former) > 0 {
		t.Error("a former token was not forgotten")
	}
	if !sought("the-third-token") || !sought("a-token-that-stays") {
		t.Error("a token in force was forgotten")
	}
	loadTokens(t, s, env)
	s.forget(time.Now().Add(soughtFor + time.Second))
	if sought("the-third-token") {
		t.Error("a former token was not forgotten")
	}
}

// TestWatchedApart: one token is looked for in every credential that it is part of, and no text twice.
func TestWatchedApart(t *testing.T) {
	var list []string
	schemes := []string{`"auth_scheme": "Bearer"`, `"auth_scheme": "token"`, `"username": "me"`, `"username": "somebody"`, `"username": ""`}
	for i, scheme := range append(schemes, schemes...) {
		list = append(list, fmt.Sprintf(`{"path": "/%d/", "upstream": "https://h", %s, "token_env": "T"}`, i, scheme))
	}
	s := newServer(t, Options{Getenv: func(string) string { return "the-token" }}, `{"routes": [`+strings.Join(list, ",")+`]}`)
	if n := len(s.table.Load().sought); n != len(schemes) {
		t.Errorf("%d are looked for", n)
	}
	for _, text := range []string{"Bearer the-token", "token the-token", "me:the-token", "somebody:the-token", ":the-token"} {
		if s.table.Load().lookout.Load().matcher.Find([]byte(base64.StdEncoding.EncodeToString([]byte(text)))) < 0 {
			t.Errorf("%s in base64 is not found", text)
		}
	}
}

// TestWatchIsNotPrinted: what looks for tokens can be printed without saying one.
func TestWatchIsNotPrinted(t *testing.T) {
	env := map[string]string{}
	s := New(Options{Getenv: func(name string) string { return env[name] }})
	loadTokens(t, s, env, "the-first-token")
	loadTokens(t, s, env, "the-second-token")
	table := s.table.Load()
	for _, v := range []any{table.sought, table.sought[0].secret(), table.lookout.Load(), s.former, table.routes[0]} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
			if text := fmt.Sprintf(verb, v); strings.Contains(text, "the-first") || strings.Contains(text, "the-second") {
				t.Errorf("%T by %s: %s", v, verb, text)
			}
		}
	}
}
