package proxy

import (
	"encoding/base64"
	"fmt"
	"log/slog"
	"strings"
)

const redacted = "[redacted]"

// Secret holds a secret and cannot be printed: every verb of fmt, JSON, text encodings and slog give "[redacted]". It
// is a pointer inside, so that it stays unprinted as an unexported field of a struct that somebody prints.
type Secret struct{ p *string }

// NewSecret returns a Secret of s.
func NewSecret(s string) Secret { return Secret{&s} }

// reveal returns the secret itself. Its only uses are the bytes sent to an upstream and the check that nothing said
// contains it.
func (s Secret) reveal() string {
	if s.p == nil {
		return ""
	}
	return *s.p
}

func (s Secret) String() string               { return redacted }
func (s Secret) GoString() string             { return redacted }
func (s Secret) Format(f fmt.State, _ rune)   { f.Write([]byte(redacted)) }
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }
func (s Secret) LogValue() slog.Value         { return slog.StringValue(redacted) }

// credential is a credential with its token, as a route injects it.
type credential struct {
	CredentialConfig
	token Secret
	field Secret // the whole field line, CRLF included
	state tokenState
}

type tokenState string

// The states of a token, as `cred-proxy check` prints them.
const (
	tokenSet     tokenState = "set"
	tokenUnset   tokenState = "unset"
	tokenInvalid tokenState = "invalid"
)

// resolve takes a credential's token from the environment. White space and line breaks at its end are cut, since files
// and shells leave them there; any other byte that is not visible ASCII or a space cannot stand in a credential.
func resolve(c *CredentialConfig, getenv func(string) string) credential {
	token := strings.TrimRight(getenv(c.TokenEnv), " \t\r\n")
	if token == "" {
		return credential{CredentialConfig: *c, state: tokenUnset}
	}
	for i := range len(token) {
		if token[i] < ' ' || token[i] > '~' {
			return credential{CredentialConfig: *c, state: tokenInvalid}
		}
	}
	value := token
	if c.Username != nil {
		value = base64.StdEncoding.EncodeToString([]byte(*c.Username + ":" + token)) // RFC 7617, section 2
	}
	return credential{*c, NewSecret(token), NewSecret(c.line(value) + "\r\n"), tokenSet}
}

// line is the field with this value in the token's place.
func (c *CredentialConfig) line(value string) string {
	if c.Scheme != "" {
		value = c.Scheme + " " + value
	}
	return c.Header + ": " + value
}

// refusal returns what a request gets whose route has no usable token here, or nil.
func (c *credential) refusal() *Refusal {
	switch c.state {
	case tokenUnset:
		return refuseToken.saying("cred-proxy: env var %s unset in sidecar", c.TokenEnv)
	case tokenInvalid:
		return refuseToken.saying("cred-proxy: env var %s cannot stand in a header", c.TokenEnv)
	}
	return nil
}

// problem says why the token cannot be used, or "".
func (c *credential) problem() string {
	switch c.state {
	case tokenUnset:
		return fmt.Sprintf("env var %s unset", c.TokenEnv)
	case tokenInvalid:
		return fmt.Sprintf("env var %s cannot stand in a header", c.TokenEnv)
	}
	return ""
}

// warning returns what the operator is told about a token that cannot be used on the route of that path, or "".
func (c *credential) warning(path string) string {
	if c.state == tokenSet {
		return ""
	}
	return fmt.Sprintf("route %s: %s; its requests get 500", path, c.problem())
}

// status is what can be told of the token.
func (c *credential) status() TokenStatus {
	return TokenStatus{Source: "env " + c.TokenEnv, State: string(c.state), Problem: c.problem()}
}

// Line returns the field that is injected, with a stand-in for the token.
func (c *CredentialConfig) Line() string {
	if c.Username != nil {
		return c.line("base64(" + *c.Username + ":<token>)")
	}
	return c.line("<token>")
}

// TokenState returns "set", "unset" or "invalid": whether the token can be used.
func (c *CredentialConfig) TokenState(getenv func(string) string) string {
	return string(resolve(c, getenv).state)
}
