package redact

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
)

// Secret is what must not be seen.
type Secret struct {
	Token    string  // itself; of printable ASCII
	Scheme   string  // the word before it where it is sent, or empty
	Username *string // if it is sent as the password of a Basic credential
}

// Format prints nothing of it.
func (Secret) Format(f fmt.State, _ rune) { io.WriteString(f, "[redacted]") }

// patterns returns the texts to look for, none if the secret is too short.
func (s *Secret) patterns() (p []string) {
	if len(s.Token) < Shortest {
		return nil
	}
	p = appendWritings(p, s.Token)
	if s.Username != nil {
		p = appendWritings(p, base64.RawStdEncoding.EncodeToString([]byte(s.whole())))
	}
	if pair := s.pair(); pair != nil {
		p = append(p, pair.patterns()...)
	}
	if scheme, token, ok := strings.Cut(s.Token, " "); ok && s.Scheme == "" && s.Username == nil { // it brings its own
		p = append(p, (&Secret{Token: strings.TrimLeft(token, " "), Scheme: scheme}).patterns()...)
	}
	return append(p, alphabets(base64.RawStdEncoding.EncodeToString([]byte(s.whole())))...)
}

// whole is the token with what goes before it.
func (s *Secret) whole() string {
	switch {
	case s.Username != nil:
		return *s.Username + ":" + s.Token
	case s.Scheme != "":
		return s.Scheme + " " + s.Token
	}
	return s.Token
}

// Short returns what of it is too short to be looked for, or "".
func (s Secret) Short() string {
	if len(s.Token) < Shortest {
		return "token"
	}
	if pair := s.pair(); pair != nil && len(pair.Token) < Shortest {
		return "password in the token"
	}
	return ""
}

// pair is what a token stands for that is a ready-made Basic credential, the base64 of user and password (RFC 7617), or of
// a key in the user's place and no password, or the word that GitHub takes for none. It is nil for any other, and where
// that is not of printable ASCII.
func (s *Secret) pair() *Secret {
	scheme, value, _ := strings.Cut(s.whole(), " ")
	if s.Username != nil || !strings.EqualFold(scheme, "Basic") {
		return nil
	}
	text, err := base64.RawStdEncoding.DecodeString(strings.Trim(value, " ="))
	user, password, ok := strings.Cut(string(text), ":")
	pair := &Secret{Token: password, Username: &user}
	if password == "" || password == "x-oauth-basic" {
		pair = &Secret{Token: user}
	}
	if err != nil || !ok || strings.ContainsFunc(pair.Token, func(r rune) bool { return r < ' ' || r > '~' }) {
		return nil
	}
	return pair
}

// appendWritings appends a text and its base64.
func appendWritings(p []string, text string) []string {
	p = append(p, text)
	if strings.Contains(text, `\`) {
		p = append(p, strings.ReplaceAll(text, `\`, `\\`)) // as JSON has it; the other escapes are those of a reading
	}
	if strings.Contains(text, " ") {
		p = append(p, strings.ReplaceAll(text, " ", "+")) // as a form has it
	}
	for before := range 3 {
		e := base64.RawStdEncoding.EncodeToString([]byte("\x00\x00"[:before] + text))
		e = e[(8*before+5)/6:]         // from the first character that is the text's alone
		p = append(p, alphabets(e)...) // to the end of what was encoded
		if whole := 8 * (before + len(text)); whole%6 != 0 {
			p = append(p, alphabets(e[:len(e)-1])...) // to the last character that is the text's alone
		}
	}
	return p
}

// alphabets returns some base64 in the standard alphabet and in the one of URLs.
func alphabets(s string) []string {
	return []string{s, strings.NewReplacer("+", "-", "/", "_").Replace(s)}
}

func hexOf(s string) string { return hex.EncodeToString([]byte(s)) }
