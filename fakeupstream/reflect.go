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
	"plain": func(s string) string { return s },
	// Of base64 there are three, by where in the encoded bytes the credential stands.
	"base64":        func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) },
	"base64-1":      func(s string) string { return base64.StdEncoding.EncodeToString([]byte("<" + s + ">")) },
	"base64-2":      func(s string) string { return base64.StdEncoding.EncodeToString([]byte("<<" + s + ">")) },
	"base64url":     func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) },
	"base64url-1":   func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte("<" + s + ">")) },
	"base64url-2":   func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte("<<" + s + ">")) },
	"percent":       url.QueryEscape,
	"percent-all":   func(s string) string { return escaped(s, "%%%02X", 1) },
	"percent-lower": func(s string) string { return escaped(s, "%%%02x", 1) },
	"percent-some":  func(s string) string { return escaped(s, "%%%02x", 3) },
	"json":          func(s string) string { return escaped(s, `\u%04x`, 1) }, // escapes every character, as JSON allows
	"json-upper":    func(s string) string { return escaped(s, `\u%04X`, 1) },
	"json-some":     func(s string) string { return escaped(s, `\u%04x`, 3) },
	"json-slash":    strings.NewReplacer("/", `\/`, `"`, `\"`).Replace,
	"hex":           func(s string) string { return hex.EncodeToString([]byte(s)) },
	"hex-upper":     func(s string) string { return strings.ToUpper(hex.EncodeToString([]byte(s))) },
	"upper":         strings.ToUpper,
	"reverse": func(s string) string {
		b := []byte(s)
		slices.Reverse(b)
		return string(b)
	},
}

// escaped escapes every nth byte.
func escaped(s, format string, n int) string {
	var b strings.Builder
	for i := range len(s) {
		if i%n > 0 {
			b.WriteByte(s[i])
		} else {
			fmt.Fprintf(&b, format, s[i])
		}
	}
	return b.String()
}

// newReflect is /reflect: an upstream that tells its client the credential.
func newReflect(p params) (Behaviour, error) {
	names := slices.Sorted(maps.Keys(spellings))
	as, err1 := p.oneOf("as", append([]string{"plain"}, names...)...)
	where, err2 := p.oneOf("where", "both", "header", "body", "trailer", "reason")
	part, err7 := p.oneOf("part", "value", "token")
	split, err3 := p.num("split", 0)
	framing, err4 := p.oneOf("framing", string(Length), string(Chunked), string(Close))
	status, err5 := p.num("status", http.StatusOK)
	coding, err6 := p.oneOf("encoding", codingNames()...)
	err := firstError(err1, err2, err3, err4, err5, err6, err7)
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
		value := x.rec.Get("Authorization")
		if _, token, ok := strings.Cut(value, " "); ok && part == "token" {
			value = token
		}
		value = spellings[as](value)
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
			x.setStatusLine(fmt.Sprintf("HTTP/1.1 %d %s", status, value))
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
