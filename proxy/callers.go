package proxy

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"strings"

	"credproxy/proxy/http1"
)

// ClientTokenConfig says where a route's client tokens come from: placeholders, one of which an agent must present to
// use the route. They are worth nothing elsewhere and never go upstream. The zero one lets everybody in.
type ClientTokenConfig struct {
	Env  string // the environment variable that holds them, one a line
	File string // or the file that does
}

const (
	maxClientTokens     = 64       // of a route: each is compared
	maxClientToken      = 512      // bytes of one
	maxClientTokensFile = 64 << 10 // bytes of a file of them
)

func setClientTokenEnv(r *RouteConfig, s string) error {
	r.ClientToken.Env = s
	return checkVariable(s)
}

func setClientTokenFile(r *RouteConfig, s string) error {
	if s == "" {
		return fmt.Errorf("must be a non-empty string")
	}
	if r.ClientToken.Env != "" {
		return fmt.Errorf("a route has client_token_env or client_token_file")
	}
	r.ClientToken.File = s
	return nil
}

// checkClientTokens reports client tokens that come from where a token comes from: the agent has to know them.
func (p *configParser) checkClientTokens(where []string, routes []RouteConfig) {
	holds := map[string]string{}
	for i, r := range routes {
		for _, c := range r.Credentials {
			if holds[c.TokenEnv] == "" {
				holds[c.TokenEnv] = where[i]
			}
		}
	}
	for i, r := range routes {
		if of, ok := holds[r.ClientToken.Env]; ok && r.ClientToken.Env != "" {
			p.errorf(where[i]+": client_token_env", "%q holds a token of %s, which an agent must not have", r.ClientToken.Env, of)
		}
	}
}

// String names the source, as "env var AGENT_TOKEN".
func (c ClientTokenConfig) String() string {
	if c.File != "" {
		return "file " + c.File
	}
	return "env var " + c.Env
}

// ClientTokens returns the route's client tokens, which are for the sandbox and for nobody else; or the problem for which
// they cannot be used, and nobody can use the route. Both are empty if the route has none.
func (r *RouteConfig) ClientTokens(getenv func(string) string) (tokens []string, problem string) {
	c := r.ClientToken
	text := ""
	switch {
	case c.Env != "":
		text, problem = getenv(c.Env), "unset"
	case c.File != "":
		text, problem = readSmallFile(c.File), "missing or empty"
	default:
		return nil, ""
	}
	for line := range strings.Lines(text) {
		if line = strings.Trim(line, " \t\r\n"); line != "" {
			tokens = append(tokens, line)
		}
	}
	for _, token := range tokens {
		if len(token) > maxClientToken || strings.ContainsFunc(token, func(c rune) bool { return c <= ' ' || c > '~' }) {
			return nil, "cannot be sent by a client"
		}
		for i := range r.Credentials {
			if token == resolve(&r.Credentials[i], getenv).token.reveal() {
				return nil, "is the token that the agent must not have"
			}
		}
	}
	switch {
	case len(tokens) == 0:
		return nil, problem
	case len(tokens) > maxClientTokens:
		return nil, fmt.Sprintf("has more than %d lines", maxClientTokens)
	}
	return tokens, ""
}

// readSmallFile returns a file's content, or "" where there is none that can be used.
func readSmallFile(name string) string {
	if info, err := os.Stat(name); err != nil || !info.Mode().IsRegular() { // another kind could block
		return ""
	}
	f, err := os.Open(name)
	if err != nil {
		return ""
	}
	defer f.Close()
	p, err := io.ReadAll(io.LimitReader(f, maxClientTokensFile+1))
	if err != nil || len(p) > maxClientTokensFile {
		return ""
	}
	return string(p)
}

// callers is who may use a route: those who present one of its client tokens.
type callers struct {
	refused *Refusal            // what everybody gets, if there is no client token that can be used; else nil
	tokens  [][sha256.Size]byte // their hashes: comparing two tells nothing of their lengths either
	places  *nameSet            // the fields in which one is looked for: those that do not cross
	crosses *nameSet            // those in which none may be, since their values do; nil: none
}

// newCallers returns nil for a route that is open to all. warning is what the operator is told.
func newCallers(rc *RouteConfig, getenv func(string) string, dropped *nameSet) (c *callers, warning string) {
	tokens, problem := rc.ClientTokens(getenv)
	switch {
	case problem != "":
		r := refuseToken.saying("cred-proxy: client token %s %s", rc.ClientToken, problem)
		return &callers{refused: r}, fmt.Sprintf("route %s: client token %s %s; its requests get 500", rc.Path, rc.ClientToken, problem)
	case len(tokens) == 0:
		return nil, ""
	}
	c = &callers{places: dropped}
	for _, t := range tokens {
		c.tokens = append(c.tokens, sha256.Sum256([]byte(t)))
	}
	var crosses []string
	for _, n := range rc.Keep {
		crosses = append(crosses, canonicalName(n))
	}
	for _, f := range rc.Append {
		crosses = append(crosses, canonicalName(f.Name))
	}
	if len(crosses) > 0 {
		c.crosses = newNameSet(crosses)
	}
	return c, ""
}

// refusal returns why a request is refused, or nil if it presents a client token where it does not cross.
func (c *callers) refusal(q *http1.Request) *Refusal {
	if c == nil {
		return nil
	}
	if c.refused != nil {
		return c.refused
	}
	presented := false
	for i := range q.Fields {
		switch f := &q.Fields[i]; {
		case c.crosses != nil && c.crosses.has(f.Name):
			if c.presents(f.Value) {
				return refuseClientToken.saying("cred-proxy: %s crosses on this route: present the client token in another field", f.Name)
			}
		case c.places.has(f.Name):
			presented = presented || c.presents(f.Value)
		}
	}
	if !presented {
		return &refuseClientToken
	}
	return nil
}

// presents reports whether the value of a field is a client token, bare or behind the word of a scheme; or Basic with one
// as its user or its password (RFC 7617, section 2).
func (c *callers) presents(value []byte) bool {
	scheme, rest, ok := bytes.Cut(value, []byte(" "))
	rest = bytes.TrimLeft(rest, " \t")
	if c.isToken(value) || ok && c.isToken(rest) {
		return true
	}
	var room [2*maxClientToken + 1]byte
	rest = bytes.TrimRight(rest, "=")
	if !http1.EqualFold(scheme, "basic") || base64.RawStdEncoding.DecodedLen(len(rest)) > len(room) {
		return false
	}
	n, err := base64.RawStdEncoding.Decode(room[:], rest)
	user, password, _ := bytes.Cut(room[:n], []byte(":"))
	return err == nil && (c.isToken(user) || c.isToken(password))
}

// isToken takes the same time for any p of one length.
func (c *callers) isToken(p []byte) bool {
	sum, is := sha256.Sum256(p), 0
	for i := range c.tokens {
		is |= subtle.ConstantTimeCompare(sum[:], c.tokens[i][:])
	}
	return is == 1
}
