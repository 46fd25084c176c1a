package proxy

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"credproxy/proxy/http1"
)

// homeTable has a route for each pair of prefix and upstream.
func homeTable(t testing.TB, pairs ...string) *table {
	t.Helper()
	var routes []string
	for i := 0; i < len(pairs); i += 2 {
		routes = append(routes, fmt.Sprintf(`{"path": %q, "upstream": %q, "auth_scheme": "", "token_env": "T"}`, pairs[i], pairs[i+1]))
	}
	c, err := ParseConfig("f", []byte(`{"routes": [`+strings.Join(routes, ",")+`]}`))
	if err != nil {
		t.Fatal(err)
	}
	return newTable(c, tokensIn(map[string]string{"T": "t"}), nil)
}

func testHoming(t testing.TB, own string, pairs ...string) *homing {
	table := homeTable(t, pairs...)
	return &homing{own: table.byPath[own], table: table, address: "p:9099", limit: 1 << 20}
}

// fourHomes is the table of the tests: two routes of one host, one of them below the other's prefix, and others.
var fourHomes = []string{"/api/", "https://api.test/v1", "/org/", "https://api.test/v1/org", "/api/fenced/", "https://fenced.test", "/files/", "https://files.test:8443",
	"/plain/", "http://plain.test", "/six/", "https://[::1]/x", "/zone/", "https://z.test"}

func TestMapURL(t *testing.T) {
	for _, test := range []struct{ own, url, want string }{ // want: empty is as it was, "!" too and counted
		{"/api/", "https://api.test/v1/models", "http://p:9099/api/models"},
		{"/api/", "https://api.test/v1/models?a=b&c=%2F#frag", "http://p:9099/api/models?a=b&c=%2F#frag"},
		{"/api/", "HTTPS://API.Test:443/v1/models", "http://p:9099/api/models"},
		{"/api/", "https://api.test:/v1/models", "http://p:9099/api/models"},
		{"/api/", "https://api.test/v1", "http://p:9099/api/"},
		{"/api/", "https://api.test/v1?x", "http://p:9099/api/?x"},
		{"/api/", "https://api.test/v1#x", "http://p:9099/api/#x"},
		{"/api/", "https://api.test/v1//x", "http://p:9099/api//x"},
		{"/api/", "https://api.test/v1/a%2fb%20c", "http://p:9099/api/a%2fb%20c"},
		{"/api/", "https://api.test/v1/a?next=/../x", "http://p:9099/api/a?next=/../x"},

		// A base path is a path, not a string; its case counts.
		{"/api/", "https://api.test/v1beta/x", "!"},
		{"/api/", "https://api.test/V1/x", "!"},
		{"/api/", "https://api.test/", "!"},
		{"/api/", "https://api.test", "!"},

		// Other origins.
		{"/api/", "https://api.test:8443/v1/x", "!"},
		{"/api/", "https://api.test:8/v1/x", "!"},
		{"/api/", "https://api.test:0443/v1/x", "!"},
		{"/api/", "http://api.test/v1/x", "!"},
		{"/api/", "https://api.test.evil/v1/x", "!"},
		{"/api/", "https://api.test./v1/x", "!"},
		{"/api/", "https://evil.test/https://api.test/v1/x", "!"},
		{"/api/", "https://u@api.test/v1/x", "!"},
		{"/api/", "https://api.test:443@evil.test/v1/x", "!"},
		{"/api/", `https://api.test\@evil.test/v1/x`, "!"},
		{"/api/", "https:///v1/x", "!"},
		{"/api/", "https://", "!"},
		{"/api/", "http://", "!"},
		{"/api/", "https://" + strings.Repeat("a", 1000) + "/v1/x", "!"},

		// Of another route; the own one goes first, then the longest base path.
		{"/api/", "https://api.test/v1/org/x", "http://p:9099/api/org/x"},
		{"/org/", "https://api.test/v1/org/x", "http://p:9099/org/x"},
		{"/org/", "https://api.test/v1/orgs/x", "http://p:9099/api/orgs/x"},
		{"/files/", "https://api.test/v1/org/x", "http://p:9099/org/x"},
		{"/files/", "https://api.test/v1/x", "http://p:9099/api/x"},
		{"/api/", "https://files.test:8443/x", "http://p:9099/files/x"},
		{"/api/", "https://files.test/x", "!"},
		{"/api/", "http://plain.test:80", "http://p:9099/plain/"},
		{"/api/", "https://[::1]:443/x/y", "http://p:9099/six/y"},
		{"/api/", "https://[::1/x/y", "!"},
		{"/api/", "https://Z.Test/x", "http://p:9099/zone/x"},

		// What would lead to another route than the one whose URL it is.
		{"/api/", "https://api.test/v1/fenced/x", "!"},
		{"/api/", "https://api.test/v1/../org/x", "!"},
		{"/api/", "https://api.test/v1/%2e%2e/x", "!"},
		{"/api/", `https://api.test/v1/..\x`, "!"},
		{"/api/", "https://api.test/v1/%zz", "!"},

		// Without a scheme.
		{"/api/", "//api.test/v1/x", "http://p:9099/api/x"},
		{"/plain/", "//api.test/v1/x", "!"},
		{"/api/", "//evil.test/v1/x", "!"},
		{"/api/", "///v1/x", "!"},
		{"/files/", "//", "!"},
		{"/api/", "/v1/x?y", "/api/x?y"},
		{"/api/", "/v1", "/api/"},
		{"/org/", "/v1/x", "/api/x"},
		{"/files/", "/x", "/files/x"},
		{"/files/", `/\evil.test/x`, `/files/\evil.test/x`},
		{"/files/", "/", "/files/"},
		{"/api/", "/v2/x", "!"},
		{"/api/", "/v1/../x", "!"},
		{"/api/", "x/y", ""},
		{"/api/", "../x", ""},
		{"/api/", "?x", ""},
		{"/api/", "", ""},
		{"/api/", "mailto:a@api.test", ""},
		{"/api/", "https:/v1/x", ""},
		{"/api/", "https:/", ""},
		{"/api/", "http:/", ""},
	} {
		h := testHoming(t, test.own, fourHomes...)
		want, foreign := test.want, 0
		switch want {
		case "!":
			want, foreign = test.url, 1
		case "":
			want = test.url
		}
		if got := string(h.appendURL([]byte("> "), slices.Clip([]byte(test.url)))); got != "> "+want || h.foreign != foreign {
			t.Errorf("%s on %s: %q, %d foreign", test.url, test.own, got, h.foreign)
		}
	}
}

func TestMapFields(t *testing.T) {
	for _, test := range []struct{ line, want string }{
		{"Location: https://api.test/v1/x", "Location: http://p:9099/api/x"},
		{"location:\t https://api.test/v1/x \t", "location:\t http://p:9099/api/x \t"},
		{"CONTENT-LOCATION:https://api.test/v1/x", "CONTENT-LOCATION:http://p:9099/api/x"},
		{"Location:", "Location:"},
		{"Location:   ", "Location:   "},
		{"Location: :", "Location: :"},
		{"X-Location: https://api.test/v1/x", "X-Location: https://api.test/v1/x"},
		{"Cache-Control: https://api.test/v1/x", "Cache-Control: https://api.test/v1/x"},
		{`ETag: "x"`, `ETag: "x"`},
		{"Link: <https://api.test/v1/x?page=2>; rel=\"next\", <https://evil.test/>;rel=last,</v1/y>", "Link: <http://p:9099/api/x?page=2>; rel=\"next\", <https://evil.test/>;rel=last,</api/y>"},
		{`Link: <a>; title="x \" <https://api.test/v1/x>, ", <https://api.test/v1/y>`, `Link: <a>; title="x \" <https://api.test/v1/x>, ", <http://p:9099/api/y>`},
		{"Link: <https://api.test/v1/a,b;c>", "Link: <http://p:9099/api/a,b;c>"},
		{"Link: <https://api.test/v1/x", "Link: <http://p:9099/api/x"},
		{"Link: <>; rel=self, <https://api.test/v1/x>", "Link: <>; rel=self, <http://p:9099/api/x>"},
		{`Link: <a>; title="", <https://api.test/v1/x>; rel="b"`, `Link: <a>; title="", <http://p:9099/api/x>; rel="b"`},
		{"Link: >https://api.test/v1/x<", "Link: >https://api.test/v1/x<"},
		{`Link: <a>; rel="`, `Link: <a>; rel="`},
		{`Link: <a>; rel="\`, `Link: <a>; rel="\`},
		{`WWW-Authenticate: Bearer realm="https://api.test/v1/token",service="https://api.test/v1/x"`, `WWW-Authenticate: Bearer realm="http://p:9099/api/token",service="https://api.test/v1/x"`},
		{`www-authenticate: Basic realm = "x", Bearer scope="realm=", REALM="https://files.test:8443/t?a"`, `www-authenticate: Basic realm = "x", Bearer scope="realm=", REALM="http://p:9099/files/t?a"`},
		{`WWW-Authenticate: Bearer service="r",realm="https://api.test/v1/x"`, `WWW-Authenticate: Bearer service="r",realm="http://p:9099/api/x"`},
		{`WWW-Authenticate: Bearer realm,"https://api.test/v1/x"`, `WWW-Authenticate: Bearer realm,"https://api.test/v1/x"`},
		{`WWW-Authenticate: Bearer realm=x,"https://api.test/v1/x"`, `WWW-Authenticate: Bearer realm=x,"https://api.test/v1/x"`},
		{`WWW-Authenticate: Basic realm="/v1/x"`, `WWW-Authenticate: Basic realm="/v1/x"`},
		{`WWW-Authenticate: Basic realm="", Bearer realm="https://api.test/v1/x"`, `WWW-Authenticate: Basic realm="", Bearer realm="http://p:9099/api/x"`},
		{`WWW-Authenticate: Basic realm="x" "https://api.test/v1/x"`, `WWW-Authenticate: Basic realm="x" "https://api.test/v1/x"`},
		{`WWW-Authenticate: Basic realm="https://api.test/v1/x" "https://api.test/v1/x"`, `WWW-Authenticate: Basic realm="http://p:9099/api/x" "https://api.test/v1/x"`},
		{`WWW-Authenticate: realm="`, `WWW-Authenticate: realm="`},
		{`WWW-Authenticate: "https://api.test/v1/x"`, `WWW-Authenticate: "https://api.test/v1/x"`},
		{`WWW-Authenticate: Basic xrealm="https://api.test/v1/x", y="\", realm=\"https://api.test/v1/x"`, `WWW-Authenticate: Basic xrealm="https://api.test/v1/x", y="\", realm=\"https://api.test/v1/x"`},
		{`WWW-Authenticate: Basic realm="https://api.test/v1/x`, `WWW-Authenticate: Basic realm="https://api.test/v1/x`},
		{`WWW-Authenticate: Bearer realm="https://api.test/v1/\"x"`, `WWW-Authenticate: Bearer realm="http://p:9099/api/\"x"`},
		{`WWW-Authenticate: Negotiate YII==`, `WWW-Authenticate: Negotiate YII==`},
		{`WWW-Authenticate: realm`, `WWW-Authenticate: realm`},
		{"Connection: Location\r\nLocation: https://api.test/v1/x\r\nX: y", "X: y"},
		{"A: b\r\nLocation: /v1/x\r\nTransfer-Encoding: chunked\r\nC: d\r\nLocation: /v1/y", "A: b\r\nLocation: /api/x\r\nC: d\r\nLocation: /api/y"},
	} {
		var s http1.Response
		if _, err := s.Parse([]byte("HTTP/1.1 200 OK\r\n"+test.line+"\r\n\r\n"), DefaultLimits.response()); err != nil {
			t.Fatalf("%s: %v", test.line, err)
		}
		h := testHoming(t, "/api/", fourHomes...)
		if got := string(h.appendFields(nil, s.Fields, &s, droppedDown)); got != test.want+"\r\n" {
			t.Errorf("%s:\n%q", test.line, got)
		}
	}
}

// TestMapURLUnnamed: where nobody knows what the agent calls the proxy, what is absolute stays as it is.
func TestMapURLUnnamed(t *testing.T) {
	h := testHoming(t, "/api/", fourHomes...)
	h.address = ""
	for url, want := range map[string]string{"https://api.test/v1/x": "https://api.test/v1/x", "//api.test/v1/x": "//api.test/v1/x", "/v1/x": "/api/x"} {
		if got := string(h.appendURL(nil, []byte(url))); got != want {
			t.Errorf("%s: %s", url, got)
		}
	}
	if h.foreign != 2 {
		t.Errorf("%d foreign", h.foreign)
	}
}

// TestMapURLLimit: a URL is mapped if what there is then, at the most, is as long as the limit, and not if it is longer.
func TestMapURLLimit(t *testing.T) {
	const before, url, mapped = "what was there before", "https://api.test/v1/x", "http://p:9099/api/x"
	h := testHoming(t, "/api/", fourHomes...)
	h.limit = len(before) + len(h.address) + len(h.own.Path) + len(url)
	if got := string(h.appendURL([]byte(before), []byte(url))); got != before+mapped {
		t.Errorf("at the limit: %s", got)
	}
	h.limit--
	if got := string(h.appendURL([]byte(before), []byte(url))); got != before+url || h.foreign != 1 {
		t.Errorf("above the limit: %s, %d foreign", got, h.foreign)
	}
}

// TestMapURLOfTheRoot: with a prefix that is the root no path becomes the name of another host.
func TestMapURLOfTheRoot(t *testing.T) {
	for url, want := range map[string]string{
		"/v1/x": "/x", "/v1": "/", "/v1//": "", "/v1/\\": "", "/v1/ x": "/ x", "/v1//evil.test/x": "", `/v1/\evil.test/x`: "", "/v1/\t/evil.test/x": "", "https://h/v1//x": "http://p:9099//x", "/v1/x//y": "/x//y",
	} {
		h := testHoming(t, "/", "/", "https://h/v1")
		if want == "" {
			want = url
		}
		if got := string(h.appendURL(nil, []byte(url))); got != want || (want == url) != (h.foreign == 1) {
			t.Errorf("%s: %s, %d foreign", url, got, h.foreign)
		}
	}
}

// TestMappedHeadBounded: the URLs in a head are mapped until it is twice as long as the longest that may come.
func TestMappedHeadBounded(t *testing.T) {
	told := make(chan Event, 1)
	link := &strings.Builder{}
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Header().Set("Link", link.String()) }))
	defer up.Close()
	const limit, links = 4000, 140
	link.WriteString(strings.Repeat("<"+up.URL+">,", links))
	s := newServer(t, Options{Limits: Limits{ResponseHead: limit}, Getenv: func(string) string { return "a-token" },
		Observer: func(e *Event) { told <- *e }}, one("upstream", strconv.Quote(up.URL)))
	addr, _ := serve(t, s)
	for _, size := range []int{limit * 3 / 2, limit * 5 / 2} {
		conn := dialAgent(t, addr)
		host := strings.Repeat("h", size/links-len("<http:///a/>,"))
		io.WriteString(conn, "GET /a/ HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n\r\n")
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		all := len(resp.Header.Get("Link"))
		if e := <-told; (e.ForeignURLs == 0) != (size < 2*limit) || size < 2*limit && all < size*9/10 {
			t.Errorf("%d: %d bytes, %d foreign", size, all, e.ForeignURLs)
		}
	}
}

// TestMapURLBounded: a head full of short URLs does not grow without end because the agent gave the proxy a long name.
func TestMapURLBounded(t *testing.T) {
	h := testHoming(t, "/a/", "/a/", "https://h")
	h.address, h.limit = strings.Repeat("x", maxKey), 10_000
	line := []byte("Link: " + strings.Repeat("<https://h>,", 1000) + "\r\n")
	var s http1.Response
	if _, err := s.Parse([]byte("HTTP/1.1 200 OK\r\n"+string(line)+"\r\n"), DefaultLimits.response()); err != nil {
		t.Fatal(err)
	}
	got := h.appendFields(nil, s.Fields, &s, droppedDown)
	if len(got) > 10_000+len(line) || !bytes.HasSuffix(got, []byte("<https://h>,\r\n")) || h.foreign == 0 {
		t.Errorf("%d bytes, %d foreign", len(got), h.foreign)
	}
}

// TestPlainHost: what an agent calls the proxy stands in answers; it must end no quotes and open no tags.
func TestPlainHost(t *testing.T) {
	for host, want := range map[string]bool{"p": true, "cred-proxy.ns_1:9099": true, "[::1]:9099": true, "127.0.0.1": true,
		"": false, "a'b": false, "a&b": false, "a;b": false, "a,b": false, "a(b)": false, "%22": false, "a=b": false, "a$b": false,
		strings.Repeat("a", maxKey): true, strings.Repeat("a", maxKey+1): false} {
		if isPlainHost([]byte(host)) != want {
			t.Errorf("%q", host)
		}
	}
}

// FuzzMapURL: what is mapped is, to net/url, a URL of the route's upstream, and becomes one of the proxy that has the
// route's prefix and is otherwise the same.
func FuzzMapURL(f *testing.F) {
	for _, s := range []string{"https://api.test/v1/x?a#b", "HTTPS://API.test:443/v1//x", "//api.test/v1", "/v1/x", "https://u:p@api.test/v1", "https://api.test/v1/%2e%2e/x",
		"https://api.test/v1/fenced/", "https://[::1]/x", "http://plain.test:80?x", `https://files.test:8443\@x/`, "/", "//", "x"} {
		f.Add(s)
	}
	h := testHoming(f, "/api/", fourHomes...)
	for url := range byChance(5000, 7, "https://", "http://", "//", "/", "api.test", "API.test", ":443", ":80", ":", "/v1", "/v1/org", "root.test", "plain.test", "[::1]", "files.test:8443", "x", "?a", "#b", "..", "%2e", "@", "u:p@", `\`) {
		f.Add(url)
	}
	f.Fuzz(func(t *testing.T, u string) {
		got := string(h.appendURL(nil, []byte(u)))
		if got == u {
			return
		}
		from, err1 := url.Parse(u)
		to, err2 := url.Parse(got)
		if err1 != nil || err2 != nil {
			return // what net/url does not read it cannot judge
		}
		r := h.table.find([]byte(to.EscapedPath()))
		if r == nil {
			t.Fatalf("%q became %q, which leads nowhere", u, got)
		}
		if from.Scheme == "" {
			from.Scheme = "https"
		}
		if from.Host == "" {
			from.Host = "api.test"
		} else if to.Scheme != "http" || to.Host != "p:9099" {
			t.Fatalf("%q became %q", u, got)
		}
		port := from.Port()
		if port == "" {
			port = map[string]string{"http": "80", "https": "443"}[from.Scheme]
		}
		if from.User != nil || to.User != nil || (origin{from.Scheme == "https", strings.ToLower(from.Hostname()), port}) != r.origin {
			t.Fatalf("%q became %q, of the route to %s", u, got, r.Upstream)
		}
		rest := strings.TrimPrefix(strings.TrimPrefix(from.EscapedPath(), r.base), "/")
		if to.EscapedPath() != r.Path+rest || to.RawQuery != from.RawQuery || to.EscapedFragment() != from.EscapedFragment() {
			t.Fatalf("%q became %q", u, got)
		}
	})
}

// TestWeak: a strong entity tag becomes a weak one; what is none stays as it is.
func TestWeak(t *testing.T) {
	for tag, want := range map[string]string{`"a"`: `W/"a"`, `""`: `W/""`, `W/"a"`: `W/"a"`, "a": "a", "": ""} {
		if got := string(appendWeak(nil, []byte(tag))); got != want {
			t.Errorf("%s: %s, want %s", tag, got, want)
		}
	}
}

// TestHomesThatQuoteNothing: a prefix that could end a URL, or what is around one, is no home.
func TestHomesThatQuoteNothing(t *testing.T) {
	for path, plain := range map[string]bool{"/a-b.c_d~/%20/": true, "/a:b@c/": true, `/a"b/`: false, "/a'b/": false, "/a<b/": false, "/a)b/": false, "/a;b/": false} {
		if isPlainPath(path) != plain {
			t.Errorf("%s: %v", path, !plain)
		}
	}
}

// TestNoAddress: an agent that says no Host, on a socket that has none, reaches the proxy nobody knows where.
func TestNoAddress(t *testing.T) {
	conn, other := net.Pipe()
	defer conn.Close()
	defer other.Close()
	if at := newAgent(New(Options{}), conn).address(); at != "" {
		t.Errorf("%q", at)
	}
}
