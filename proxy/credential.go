package proxy

import (
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

// credential is what a route injects.
type credential struct {
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

// resolve takes a route's token from the environment. White space and line breaks at its end are cut, since files and
// shells leave them there; any other byte that is not visible ASCII or a space cannot stand in a credential.
func resolve(r *RouteConfig, getenv func(string) string) credential {
	token := strings.TrimRight(getenv(r.TokenEnv), " \t\r\n")
	if token == "" {
		return credential{state: tokenUnset}
	}
	for i := range len(token) {
		if token[i] < ' ' || token[i] > '~' {
			return credential{state: tokenInvalid}
		}
	}
	value := token
	if r.AuthScheme != "" {
		value = r.AuthScheme + " " + token
	}
	return credential{NewSecret(token), NewSecret("Authorization: " + value + "\r\n"), tokenSet}
}

// refusal returns what a request gets whose route has no usable token, or nil.
func (c *credential) refusal(r *RouteConfig) *Refusal {
	switch c.state {
	case tokenUnset:
		return refuseToken.saying("cred-proxy: env var %s unset in sidecar", r.TokenEnv)
	case tokenInvalid:
		return refuseToken.saying("cred-proxy: env var %s cannot stand in a header", r.TokenEnv)
	}
	return nil
}

// warning returns what the operator is told about a token that cannot be used, or "".
func (c *credential) warning(r *RouteConfig) string {
	switch c.state {
	case tokenUnset:
		return fmt.Sprintf("route %s: env var %s unset; its requests get 500", r.Path, r.TokenEnv)
	case tokenInvalid:
		return fmt.Sprintf("route %s: env var %s cannot stand in a header; its requests get 500", r.Path, r.TokenEnv)
	}
	return ""
}

// Header returns the field that a route injects, with a stand-in for the token.
func (r *RouteConfig) Header() string {
	if r.AuthScheme == "" {
		return "Authorization: <token>"
	}
	return "Authorization: " + r.AuthScheme + " <token>"
}

// TokenState returns "set", "unset" or "invalid": whether the route's token can be used.
func (r *RouteConfig) TokenState(getenv func(string) string) string {
	return string(resolve(r, getenv).state)
}
