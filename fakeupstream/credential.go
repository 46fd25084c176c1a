package fakeupstream

import (
	"encoding/base64"
	"net/http"
	"strings"
)

// credential returns the token that a request shows: what follows the scheme of
// its Authorization, the password of a Basic one, or its x-api-key.
func credential(q Request) string {
	scheme, token, ok := strings.Cut(q.Get("Authorization"), " ")
	if !ok {
		scheme, token = "", scheme
	}
	if strings.EqualFold(scheme, "Basic") {
		pair, _ := base64.StdEncoding.DecodeString(token)
		_, token, _ = strings.Cut(string(pair), ":")
	}
	if token == "" {
		return q.Get("x-api-key")
	}
	return token
}

// allowed says whether the request shows the credential that is wanted.
func (x *Exchange) allowed() bool {
	token := credential(*x.rec)
	return token != "" && (x.c.s.opt.Token == "" || token == x.c.s.opt.Token)
}

// guarded is b for requests that show a credential, and 401 for the others.
func guarded(b Behaviour) Behaviour {
	return func(x *Exchange) error {
		if x.allowed() {
			return b(x)
		}
		if _, err := x.ReadBody(); err != nil {
			return err
		}
		return x.Answer(http.StatusUnauthorized, []byte("a token is required\n"), plainText,
			Field{"WWW-Authenticate", `Basic realm="fakeupstream"`})
	}
}
