package main

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"credproxy/fakeupstream"
)

// TestDemoNotices: the tour tells only of what happens: where a proxy changes nothing, or none is, its steps are errors.
func TestDemoNotices(t *testing.T) {
	up := fakeupstream.NewTest(t, fakeupstream.Options{Plain: true})
	to, err := url.Parse(up.URL)
	if err != nil {
		t.Fatal(err)
	}
	lax := httptest.NewServer(http.StripPrefix("/demo", httputil.NewSingleHostReverseProxy(to)))
	defer lax.Close()
	gone := httptest.NewServer(nil)
	gone.Close()
	strange := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "20") // of which not all comes
		io.WriteString(w, "data: no JSON\n\n")
	}))
	defer strange.Close()
	for _, test := range []struct {
		name string
		step func(*tour, context.Context) error
		base string
		want string
	}{
		{"echo", (*tour).echo, lax.URL, "echo: the credential was not replaced"},
		{"push", (*tour).push, lax.URL, "not refused: "},
		{"chunked", (*tour).chunked, lax.URL, "not refused: 200 OK"},
		{"push", (*tour).push, gone.URL, "dial tcp"},
		{"echo", (*tour).echo, "http://\x7f", "invalid control character in URL"},
		{"echo", (*tour).echo, strange.URL, "echo: invalid character 'd'"},
		{"stream", (*tour).stream, gone.URL, "dial tcp"},
		{"stream", (*tour).stream, strange.URL, "stream: invalid character 'o'"},
		{"push", (*tour).push, strange.URL, "unexpected EOF"},
	} {
		err := test.step(&tour{out: io.Discard, base: test.base, up: up}, t.Context())
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s at %q: %v, want %s", test.name, test.base, err, test.want)
		}
	}
}
