package proxy

import (
	"context"
	"encoding/base64"
	"fmt"
	"log/slog"
	"time"
)

// What a token becomes: the field that is injected, and how it is kept from being seen.

const redacted = "[redacted]"

// Secret holds a secret and cannot be printed: every verb of fmt, JSON, text encodings and slog give "[redacted]". It
// is a pointer inside, so that it stays unprinted as an unexported field of a struct that somebody prints.
type Secret struct{ p *string }

// NewSecret returns a Secret of s.
func NewSecret(s string) Secret { return Secret{&s} }

// reveal returns the secret itself: for the bytes sent to an upstream, for what is looked for in all that passes, for the
// hashes of client tokens; and for `env` to print these, which the sandbox is to have.
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
	tokenValue
	field Secret // the whole field line, CRLF included
}

// resolve makes the field of a credential from the token that its source gave.
func resolve(c *CredentialConfig, v tokenValue) credential {
	if v.state != tokenSet {
		return credential{CredentialConfig: *c, tokenValue: v}
	}
	value := v.token.reveal()
	if c.Username != nil {
		value = base64.StdEncoding.EncodeToString([]byte(*c.Username + ":" + value)) // RFC 7617, section 2
	}
	return credential{*c, v, NewSecret(c.line(value) + "\r\n")}
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
	case tokenSet:
		return nil
	case tokenUnset:
		return refuseToken.saying("cred-proxy: %s in sidecar", c.problem)
	}
	return refuseToken.saying("cred-proxy: %s", c.problem)
}

// warning returns what the operator is told about a token that cannot be used on the route of that path, or "".
func (c *credential) warning(path string) string {
	if c.state == tokenSet {
		return ""
	}
	return fmt.Sprintf("route %s: %s; its requests get 500", path, c.problem)
}

// sought is the token as it is looked for.
func (c *credential) sought() sought {
	return sought{token: c.token, scheme: c.Scheme, username: c.Username, source: c.Token.place()}
}

// status is what can be told of the token.
func (c *credential) status() TokenStatus {
	t := TokenStatus{Source: c.Token.String(), State: string(c.state), Problem: c.problem}
	if c.state == tokenSet {
		t.Short = c.sought().secret().Short()
	}
	return t
}

// Line returns the field that is injected, with a stand-in for the token.
func (c *CredentialConfig) Line() string {
	if c.Username != nil {
		return c.line("base64(" + *c.Username + ":<token>)")
	}
	return c.line("<token>")
}

// TokenStatus reads a credential's token and returns whether it can be used. A command is run only if it is given time.
func (c *Config) TokenStatus(of *CredentialConfig, getenv func(string) string, command time.Duration) TokenStatus {
	v := of.Token.read(getenv)
	if of.Token.Command != nil && command > 0 {
		secrets := map[string]bool{}
		c.secretVariables(secrets)
		v = of.Token.run(context.Background(), command, commandEnv(secrets))
	}
	r := resolve(of, v)
	return r.status()
}
