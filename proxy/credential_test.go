package proxy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// tokensIn takes tokens from an environment.
func tokensIn(env map[string]string) func(*TokenSource) tokenValue {
	return func(t *TokenSource) tokenValue { return t.read(func(name string) string { return env[name] }) }
}

func TestResolve(t *testing.T) {
	for _, test := range []struct {
		scheme, token string
		field         string
		state         tokenState
	}{
		{"Bearer", "abc", "Authorization: Bearer abc\r\n", tokenSet},
		{"token", "abc\r\n", "Authorization: token abc\r\n", tokenSet},
		{"", "abc \t\n\n", "Authorization: abc\r\n", tokenSet},
		{"", " \n\tabc", "Authorization: abc\r\n", tokenSet},
		{"Bearer", "a b", "Authorization: Bearer a b\r\n", tokenSet},
		{"Bearer", "", "", tokenUnset},
		{"Bearer", "\n", "", tokenUnset},
		{"Bearer", "a\nb", "", tokenInvalid},
		{"Bearer", "a\r\nX: y", "", tokenInvalid},
		{"Bearer", "a\x00", "", tokenInvalid},
		{"Bearer", "a\x7f", "", tokenInvalid},
		{"Bearer", "\ufeffabc", "", tokenInvalid},
	} {
		source := TokenSource{Env: "T"}
		c := resolve(&CredentialConfig{Header: "Authorization", Scheme: test.scheme, Token: source}, tokensIn(map[string]string{"T": test.token})(&source))
		if c.field.reveal() != test.field || c.state != test.state {
			t.Errorf("%q: %q %s, want %q %s", test.token, c.field.reveal(), c.state, test.field, test.state)
		}
	}
}

// TestSecretIsNotPrinted tries every way to print a secret and what holds one.
func TestSecretIsNotPrinted(t *testing.T) {
	const value = "the-secret-value"
	s := NewSecret(value)
	var said bytes.Buffer
	for _, v := range []any{s, &s, []Secret{s}, map[string]Secret{"k": s}, map[Secret]string{s: "v"}, struct{ Exported Secret }{s}, struct{ hidden Secret }{s},
		credential{tokenValue: tokenValue{token: s}, field: s}, &source{value: tokenValue{token: s}}, &route{fields: s}, route{fields: s}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%p", "%T", "%t", "%b", "%o", "%c", "%U", "%e", "%w"} {
			fmt.Fprintf(&said, verb+"\n", v)
		}
		j, _ := json.Marshal(v)
		said.Write(j)
		slog.New(slog.NewTextHandler(&said, nil)).Info("x", "v", v)
		slog.New(slog.NewJSONHandler(&said, nil)).Info("x", "v", v)
	}
	fmt.Fprintln(&said, s, s.String(), s.GoString())
	for _, text := range []string{s.String(), s.GoString(), fmt.Sprint(s), fmt.Sprintf("%x", s)} {
		if text != redacted {
			t.Errorf("printed as %q", text)
		}
	}
	for _, form := range []string{value, fmt.Sprintf("%x", value), fmt.Sprintf("%X", value), fmt.Sprint([]byte(value)), "the-secret"} {
		if strings.Contains(said.String(), form) {
			t.Errorf("printed as %q", form)
		}
	}
}

// TestShownName: a name is shown as it is, what is probably a token is not.
func TestShownName(t *testing.T) {
	for name, want := range map[string]string{
		"ghp_16C7e42F292c6912E7710c838347Ae178B4a": "ghp_... (a token in place of a name?)",
		"abcdefghijklmnopqrs1":                     "abcd... (a token in place of a name?)",
		"abcdefghijklmnopqr1":                      "abcdefghijklmnopqr1",
		"TOKEN_OF_THE_SERVICE_2":                   "TOKEN_OF_THE_SERVICE_2",
		"token_of_the_second_service":              "token_of_the_second_service",
	} {
		if got := shownName(name); got != want {
			t.Errorf("%s: %s", name, got)
		}
	}
	const key = "abcd/efgh+ijkl0123456789=="
	for _, source := range []TokenSource{{Env: key}, {Command: []string{key}}, {Command: []string{"curl -H 'X-Vault-Token: " + key + "'"}},
		{Command: []string{"TOKEN=" + key + " sh"}}} {
		for _, said := range []string{source.String(), source.place(), source.named()} {
			if strings.Contains(said, key[5:]) {
				t.Errorf("%+v: %s", source, said)
			}
		}
	}
	for _, test := range []struct {
		source TokenSource
		want   string
	}{
		{TokenSource{Command: []string{"gh auth token"}}, "command gh ..."}, {TokenSource{Command: []string{"gh", "auth"}}, "command gh"},
		{TokenSource{File: key}, "file abcd... (a token in place of a path?)"}, {TokenSource{File: "/" + key}, "file /abc... (a token in place of a path?)"},
	} {
		if got := test.source.place(); got != test.want {
			t.Error(got)
		}
	}
	for _, name := range []string{"/run/secrets/the-token-2-of-the-route", "secrets/token-2", "../token-2-of-the-first-route", "token_of_route"} {
		if said := (&TokenSource{File: name}).place(); said != "file "+name {
			t.Error(said)
		}
	}
	for _, name := range []string{"/usr/local/bin/vault2-helper", "./get-token-of-route-1", "aws"} {
		if said := (&TokenSource{Command: []string{name, "x"}}).place(); said != "command "+name {
			t.Error(said)
		}
	}
}
