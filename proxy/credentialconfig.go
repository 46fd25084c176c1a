package proxy

import (
	"fmt"
	"strings"
	"time"

	"credproxy/proxy/http1"
)

// CredentialConfig is one credential of a route: the field that it becomes, and where its token comes from.
//
//	Authorization: Bearer TOKEN               the usual
//	X-Api-Key: TOKEN                          Header, and no Scheme
//	Authorization: Basic base64(USER:TOKEN)   Username
type CredentialConfig struct {
	Header   string  // the field's name
	Scheme   string  // the word before the token; empty for the bare token
	Username *string // of Basic: the value is computed. nil: the token is sent as it is
	Token    TokenSource
}

// credentialKeys are the members of a credential. They stand in the route, or in each element of its "credentials".
var credentialKeys = []struct {
	name string
	set  func(p *configParser, where string, v jsonValue, c *CredentialConfig)
}{
	{"auth_header", stringKey(setAuthHeader)},
	{"auth_scheme", stringKey(setAuthScheme)},
	{"username", stringKey(setUsername)},
	{"token_env", stringKey(setTokenEnv)},
	{"token_file", stringKey(setTokenFile)},
	{"token_command", (*configParser).tokenCommand},
	{"token_ttl", stringKey(setTokenTTL)},
}

func credentialNames(plural bool) (names []string) {
	for _, k := range credentialKeys {
		names = append(names, k.name)
	}
	if plural {
		names = append(names, "credentials")
	}
	return names
}

// credentials reads what a route injects: the members of one credential, or the list of several.
func (p *configParser) credentials(where string, route jsonValue, r *RouteConfig) {
	list, ok := route.get("credentials")
	if !ok {
		r.Credentials = []CredentialConfig{p.credential(where, route)}
		return
	}
	for _, k := range credentialKeys {
		if _, both := route.get(k.name); both {
			p.errorf(where+": "+k.name, "stands in each of 'credentials', or the route has this one credential and no list")
		}
	}
	where += ": credentials"
	if list.kind != "array" || len(list.items) == 0 {
		p.errorf(where, "must be a list that is not empty")
	}
	for i, v := range list.items {
		where := fmt.Sprintf("%s[%d]", where, i)
		if v.kind != "object" {
			p.errorf(where, "must be an object (got %s)", v.kind)
			continue
		}
		r.Credentials = append(r.Credentials, p.credential(where, v))
		p.unknown(where, v, credentialNames(false)...)
	}
}

// credential reads the members of one credential. The scheme must be said where the field is Authorization; elsewhere
// the bare token is what is meant, and a username means Basic.
func (p *configParser) credential(where string, v jsonValue) CredentialConfig {
	c := CredentialConfig{Header: "Authorization"}
	for _, k := range credentialKeys {
		if m, ok := v.get(k.name); ok {
			k.set(p, where+": "+k.name, m, &c)
		}
	}
	_, header := v.get("auth_header")
	_, scheme := v.get("auth_scheme")
	_, user := v.get("username")
	switch {
	case user && !scheme:
		c.Scheme = "Basic"
	case user && !strings.EqualFold(c.Scheme, "Basic"):
		p.errorf(where+": username", "goes with the auth_scheme \"Basic\" alone")
	case !scheme && (!header || strings.EqualFold(c.Header, "Authorization")):
		p.errorf(where+": auth_scheme", "missing")
	}
	p.oneSource(where, v)
	if c.Token.Command != nil && c.Token.TTL == 0 {
		c.Token.TTL = DefaultTokenTTL
	}
	return c
}

// oneSource sees that a credential says once where its token comes from.
func (p *configParser) oneSource(where string, v jsonValue) {
	given := ""
	for _, name := range []string{"token_env", "token_file", "token_command"} {
		if _, ok := v.get(name); !ok {
			continue
		}
		if given != "" {
			p.errorf(where+": "+name, "goes with no %s: a token comes from one place", given)
		}
		given = name
	}
	if given == "" {
		p.errorf(where+": token_env", "missing")
	}
	if _, ok := v.get("token_ttl"); ok && given != "token_command" {
		p.errorf(where+": token_ttl", "goes with a token_command alone")
	}
}

func setAuthHeader(c *CredentialConfig, s string) error {
	c.Header = s
	return checkName(s)
}

func setAuthScheme(c *CredentialConfig, s string) error {
	for i := range len(s) {
		if b := s[i]; b < ' ' || b > '~' {
			return fmt.Errorf("byte %q cannot stand in a header field", b)
		}
	}
	if strings.TrimSpace(s) != s || !http1.IsValue(s) {
		return fmt.Errorf("must not begin or end with a space")
	}
	c.Scheme = s
	return nil
}

func setUsername(c *CredentialConfig, s string) error {
	for i := range len(s) {
		if b := s[i]; b < ' ' || b > '~' || b == ':' {
			return fmt.Errorf("byte %q cannot stand in a username", b)
		}
	}
	c.Username = &s
	return nil
}

func setTokenEnv(c *CredentialConfig, s string) error {
	c.Token.Env = s
	return checkVariable(s)
}

func setTokenFile(c *CredentialConfig, s string) error {
	c.Token.File = s
	return checkFile(s)
}

// tokenCommand reads a program and its arguments, as they are: no shell is between.
func (p *configParser) tokenCommand(where string, v jsonValue, c *CredentialConfig) {
	if v.kind != "array" || len(v.items) == 0 {
		p.errorf(where, "must be a list of a program and its arguments (got %s)", v.kind)
		return
	}
	for i, arg := range v.items {
		where := fmt.Sprintf("%s[%d]", where, i)
		switch {
		case arg.kind != "string":
			p.errorf(where, "must be a string (got %s)", arg.kind)
		case strings.Contains(arg.str, "\x00"):
			p.errorf(where, "byte '\\x00' cannot stand in an argument")
		case i == 0:
			if err := checkFile(arg.str); err != nil {
				p.errorf(where, "%v", err)
			}
		}
		c.Token.Command = append(c.Token.Command, arg.str)
	}
}

func setTokenTTL(c *CredentialConfig, s string) error {
	d, err := time.ParseDuration(s)
	if err != nil || d < time.Second {
		return fmt.Errorf("%q is not a duration of a second or more, such as 15m", s)
	}
	c.Token.TTL = d
	return nil
}

// checkVariable reports why s is not the name of a variable.
func checkVariable(s string) error {
	if s == "" {
		return fmt.Errorf("must be a non-empty string")
	}
	for i := range len(s) {
		if b := s[i]; b <= ' ' || b > '~' || b == '=' {
			return fmt.Errorf("byte %q cannot stand in the name of a variable", b)
		}
	}
	return nil
}

// checkFile reports why s is not the name of a file that messages can say.
func checkFile(s string) error {
	if s == "" {
		return fmt.Errorf("must be a non-empty string")
	}
	for i := range len(s) {
		if b := s[i]; b < ' ' || b == 0x7f {
			return fmt.Errorf("byte %q cannot stand in the name of a file", b)
		}
	}
	return nil
}
