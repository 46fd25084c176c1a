package proxy

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"path/filepath"
	"slices"
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
	maxClientTokens = 64  // of a route: each is compared
	maxClientToken  = 512 // bytes of one
)

func setClientTokenEnv(r *RouteConfig, s string) error {
	r.ClientToken.Env = s
	return checkVariable(s)
}

func setClientTokenFile(r *RouteConfig, s string) error {
	if r.ClientToken.Env != "" {
		return fmt.Errorf("a route has client_token_env or client_token_file")
	}
	r.ClientToken.File = s
	return checkFile(s)
}

// checkClientTokens reports client tokens that come from where a token comes from: the agent has to know them.
func (p *configParser) checkClientTokens(where []string, routes []RouteConfig) {
	holds := map[string]string{}
	key := func(env, file string) string {
		if file != "" {
			file = filepath.Clean(file)
		}
		return (&TokenSource{Env: env, File: file}).key()
	}
	for i, r := range routes {
		for _, c := range r.Credentials {
			if key := key(c.Token.Env, c.Token.File); holds[key] == "" && c.Token.Command == nil {
				holds[key] = where[i]
			}
		}
	}
	for i, r := range routes {
		place := &r.ClientToken
		of, ok := holds[key(place.Env, place.File)]
		switch {
		case ok && place.Env != "":
			p.errorf(where[i]+": client_token_env", "%q holds a token of %s, which an agent must not have", place.Env, of)
		case ok && place.File != "":
			p.errorf(where[i]+": client_token_file", "%q holds a token of %s, which an agent must not have", place.File, of)
		}
	}
}

// source is where they come from, or nil where a route has none.
func (c *ClientTokenConfig) source() *TokenSource {
	if *c == (ClientTokenConfig{}) {
		return nil
	}
	return &TokenSource{Env: c.Env, File: c.File, clients: true}
}

// String names the source, as "env var AGENT_TOKEN".
func (c ClientTokenConfig) String() string {
	return (&TokenSource{Env: c.Env, File: c.File}).place()
}

// clientTokens is the value of a source that gave client tokens: the lines of the text that are not empty.
func (t *TokenSource) clientTokens(text string) tokenValue {
	var tokens []string
	for line := range strings.Lines(text) {
		if line = strings.Trim(line, " \t\r\n"); line != "" {
			tokens = append(tokens, line)
		}
	}
	for _, token := range tokens {
		if len(token) > maxClientToken || strings.ContainsFunc(token, func(c rune) bool { return c <= ' ' || c > '~' }) {
			return t.not(tokenInvalid, "cannot be sent by a client")
		}
	}
	if len(tokens) > maxClientTokens {
		return t.not(tokenInvalid, "has more than %d lines", maxClientTokens)
	}
	return tokenValue{token: NewSecret(strings.Join(tokens, "\n")), state: tokenSet}
}

// clientTokensFrom returns the client tokens of the route, from their source; or why they cannot be used: one of them is a
// token of a route.
func (r *RouteConfig) clientTokensFrom(t *TokenSource, valueOf func(*TokenSource) tokenValue) (tokens []string, problem string) {
	v := valueOf(t)
	if v.state != tokenSet {
		return nil, v.problem
	}
	tokens = strings.Split(v.token.reveal(), "\n")
	for _, c := range r.among {
		if other := valueOf(&c.Token); other.state == tokenSet && slices.Contains(tokens, other.token.reveal()) {
			return nil, t.named() + " is the token that the agent must not have"
		}
	}
	return tokens, ""
}

// ClientTokens returns the route's client tokens, which are for the sandbox and for nobody else; or why they cannot be
// used, in words that name their source, and nobody can use the route. Both are empty if the route has none.
func (r *RouteConfig) ClientTokens(getenv func(string) string) (tokens []string, problem string) {
	t := r.ClientToken.source()
	if t == nil {
		return nil, ""
	}
	return r.clientTokensFrom(t, func(t *TokenSource) tokenValue { return t.read(getenv) })
}

// callers is who may use a route: those who present one of its client tokens.
type callers struct {
	problem string              // why there is no client token that can be used; or empty
	refused *Refusal            // what everybody gets, if there is no client token that can be used; else nil
	tokens  [][sha256.Size]byte // their hashes: comparing two tells nothing of their lengths either
	places  *nameSet            // the fields in which one is looked for: those that do not cross
	crosses *nameSet            // those in which none may be, since their values do; nil: none

	subprotocols bool // one may also be among an agent's, where those that are a credential do not cross
}

// newCallers returns nil for a route that is open to all. warning is what the operator is told.
func newCallers(rc *RouteConfig, valueOf func(*TokenSource) tokenValue, dropped *nameSet) (c *callers, warning string) {
	t := rc.ClientToken.source()
	if t == nil {
		return nil, ""
	}
	tokens, problem := rc.clientTokensFrom(t, valueOf)
	if problem != "" {
		return &callers{problem: problem, refused: refuseToken.saying("cred-proxy: %s", problem)},
			fmt.Sprintf("route %s: %s; its requests get 500", rc.Path, problem)
	}
	c = &callers{places: dropped, subprotocols: rc.WebSocket}
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
		case c.subprotocols && len(f.Name) == len(subprotocols) && bytes.EqualFold(f.Name, []byte(subprotocols)):
			for item := range listItems(f.Value) {
				credential, closed := closedSubprotocol(item)
				presented = presented || closed && c.isToken(credential)
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
