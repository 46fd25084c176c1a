package fakeupstream

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// spellings are the ways in which /reflect writes a credential.
var spellings = map[string]func(string) string{
	"plain":     func(s string) string { return s },
	"base64":    func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) },
	"base64url": func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) },
	"percent":   url.QueryEscape,
	"percent-all": func(s string) string {
		var b strings.Builder
		for i := range len(s) {
			fmt.Fprintf(&b, "%%%02X", s[i])
		}
		return b.String()
	},
	"json": func(s string) string { // escapes every character, as JSON allows
		var b strings.Builder
		for _, r := range s {
			fmt.Fprintf(&b, `\u%04x`, min(r, 0xffff))
		}
		return b.String()
	},
	"hex":   func(s string) string { return hex.EncodeToString([]byte(s)) },
	"upper": strings.ToUpper,
	"reverse": func(s string) string {
		b := []byte(s)
		slices.Reverse(b)
		return string(b)
	},
}

// newReflect is /reflect: an upstream that tells its client the credential.
func newReflect(p params) (Behaviour, error) {
	names := slices.Sorted(maps.Keys(spellings))
	as, err1 := p.oneOf("as", append([]string{"plain"}, names...)...)
	where, err2 := p.oneOf("where", "both", "header", "body", "trailer", "reason")
	split, err3 := p.num("split", 0)
	framing, err4 := p.oneOf("framing", string(Length), string(Chunked), string(Close))
	status, err5 := p.num("status", http.StatusOK)
	coding, err6 := p.oneOf("encoding", codingNames()...)
	err := firstError(err1, err2, err3, err4, err5, err6)
	if err == nil && split > 0 && framing == string(Length) && !p.query.Has("framing") {
		framing = string(Chunked)
	}
	if err == nil && (status < 200 || status > 999) {
		err = errors.New("want a status from 200 to 999")
	}
	if err != nil {
		return nil, err
	}
	if where == "trailer" {
		framing = string(Chunked)
	}
	return func(x *Exchange) error {
		if _, err := x.ReadBody(); err != nil {
			return err
		}
		value := spellings[as](x.rec.Get("Authorization"))
		fields := []Field{plainText}
		if where == "both" || where == "header" {
			fields = append(fields, Field{"X-Reflected", value})
		}
		body := []byte("nothing to see here\n")
		if where == "both" || where == "body" {
			body = []byte("your credential is " + value + ", is it not?\n")
		}
		if coding != "identity" {
			fields = append(fields, Field{"Content-Encoding", coding})
			body = codings[coding](body)
		}
		if where == "reason" {
			x.mangle = func(head []byte) []byte {
				_, rest, _ := strings.Cut(string(head), "\r\n")
				return []byte(fmt.Sprintf("HTTP/1.1 %d %s\r\n%s", status, value, rest))
			}
		}
		if err := x.Head(int(status), Framing(framing), int64(len(body)), fields...); err != nil {
			return err
		}
		size := len(body)
		if split > 0 {
			size = int(split)
		}
		for piece := range slices.Chunk(body, size) {
			if _, err := x.Write(piece); err != nil {
				return err
			}
		}
		if where == "trailer" {
			return x.Finish(Field{"X-Reflected", value})
		}
		return nil
	}, nil
}
