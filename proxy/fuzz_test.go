package proxy

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"net/url"
	"strings"
	"testing"

	"credproxy/proxy/http1"
)

// byChance are n texts, always the same, each of up to most of the pieces.
func byChance(n, most int, pieces ...string) iter.Seq[string] {
	return func(yield func(string) bool) {
		r := rand.New(rand.NewPCG(uint64(n), uint64(most)))
		for range n {
			var b strings.Builder
			for range 1 + r.IntN(most) {
				b.WriteString(pieces[r.IntN(len(pieces))])
			}
			if !yield(b.String()) {
				return
			}
		}
	}
}

// FuzzFind: the route of a path is the longest prefix there is, as a loop over all of them finds it.
func FuzzFind(f *testing.F) {
	f.Add("/a/,/a/b/,/ab/", "/a/b/c")
	f.Add("/a/", "/a")
	f.Add("/a/b/c/,/a/%2f/", "/a/%2f/c")
	f.Add("/", "//")
	f.Fuzz(func(t *testing.T, list, path string) {
		var routes, paths []string
		for _, p := range strings.Split(list, ",") {
			routes = append(routes, fmt.Sprintf(`{"path": %q, "upstream": "https://h", "auth_scheme": "", "token_env": "T"}`, p))
			paths = append(paths, p)
		}
		c, err := ParseConfig("f", []byte(`{"routes": [`+strings.Join(routes, ",")+`]}`))
		if err != nil {
			return
		}
		table := newTable(c, tokensIn(nil), nil)
		want, got := "", ""
		for _, p := range paths {
			if strings.HasPrefix(path, p) && len(p) > len(want) {
				want = p
			}
		}
		if r := table.find([]byte(path)); r != nil {
			got = r.Path
		}
		if got != want {
			t.Fatalf("%q in %q: %q, want %q", path, list, got, want)
		}
	})
}

// FuzzPush: whatever a server that decodes, folds case and drops what is empty takes for a push is refused as one, or for
// its path.
func FuzzPush(f *testing.F) {
	for _, s := range []string{"/r/git-receive-pack", "/r/info/refs?service=git-receive-pack", "/r/%67it-receive-pac%256b/", "/a%2finfo//refs?x&service=git%2dreceive-pack",
		"/git-upload-pack", "/info/refs?service=git-upload-pack", `/r\GIT-receive-pack;x`, "/info/refs?a=b;service=git-receive-pack#"} {
		f.Add(s)
	}
	for target := range byChance(5000, 10, "/", "%2f", "%5c", `\`, "%2e", "..", "%252e", "%25", "%20", "%c2%a0", "+", ";", "%00", "%c0%af", "git-receive-pack", "git%2dreceive-pack", "GIT-receive-PACK", "info", "refs", "%69nfo", "?", "service=", "&", "=", "#", "%3f", "%26", "%3d", "%253f", "%23", ";x%2f", "%6b", "git-receive-pac") {
		f.Add("/" + target)
	}
	f.Fuzz(func(t *testing.T, target string) {
		q := http1.Request{}
		if _, err := q.Parse([]byte("GET "+target+" HTTP/1.1\r\nHost: h\r\n\r\n"), DefaultLimits.request()); err != nil {
			return
		}
		if admit(&q, make([]byte, 0, 8)) != nil {
			return
		}
		path, query, _ := strings.Cut(target, "?")
		paths := []string{path}
		for range decodings + 1 {
			var decoded []string
			for _, path := range paths {
				if liberalPush(path, query) {
					t.Fatalf("%q passes", target)
				}
				decoded = append(decoded, liberalDecode(path), liberalDecode(withoutParameters(path)))
			}
			paths, query = decoded, liberalDecode(query)
		}
	})
}

// liberalPush is how a server that wants to please reads a push.
func liberalPush(path, query string) bool {
	return liberalPushTo(path, "?", query) || liberalPushTo(path, "#", query)
}

func liberalPushTo(path, end, query string) bool {
	path, more, _ := strings.Cut(path, end)
	query += "&" + more
	var segments []string
	for _, s := range strings.FieldsFunc(path, func(r rune) bool { return r == '/' || r == '\\' }) {
		s, _, _ = strings.Cut(s, ";")
		if s = strings.TrimSpace(s); s != "" {
			segments = append(segments, strings.ToLower(s))
		}
	}
	n := len(segments)
	if n > 0 && segments[n-1] == "git-receive-pack" {
		return true
	}
	if n < 2 || segments[n-1] != "refs" || segments[n-2] != "info" {
		return false
	}
	for _, p := range strings.FieldsFunc(query, func(r rune) bool { return r == '&' || r == ';' }) {
		name, value, _ := strings.Cut(p, "=")
		if strings.EqualFold(strings.TrimSpace(name), "service") && strings.EqualFold(strings.Trim(value, " +\"'"), "git-receive-pack") {
			return true
		}
	}
	return false
}

// liberalDecode decodes what can be, and leaves the rest.
func liberalDecode(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if c, err := url.PathUnescape(s[i : i+3]); err == nil {
				b.WriteString(c)
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// FuzzFieldsUp: of the fields of an agent's request none crosses that is the proxy's to send, whatever Connection names,
// and all others cross once, in order, byte for byte.
func FuzzFieldsUp(f *testing.F) {
	for _, s := range []string{"authorization:x\r\nX: y\r\n", "Connection: x, host\r\nX: y\r\nx: z\r\n", "Content-Length: 5\r\nTE: trailers\r\n", "Proxy-Authorization: b\r\nUpgrade: h2c\r\n", "X_Api-KEY: a\r\nX-Api-Keys: b\r\n"} {
		f.Add([]byte(s))
	}
	dropped := oneRoute(f, "").dropped
	for fields := range byChance(2000, 8, "authorization: x\r\n", "X-Api-Key: y\r\n", "x_api.key: z\r\n", "Connection: x, authorization\r\n", "Connection: ,,\tx-a ,host\r\n", "X-A: 1\r\n", "x-a: 2\r\n", "Cookie: c\r\n", "TE: trailers\r\n", "Keep-Alive: 5\r\n", "Upgrade: h2c\r\n", "Accept-Encoding: gzip\r\n", "Connection: connection\r\n", "Content-Length: 0\r\n", "Expect: 100-continue\r\n") {
		f.Add([]byte(fields))
	}
	f.Fuzz(func(t *testing.T, fields []byte) {
		var q http1.Request
		head := []byte("GET / HTTP/1.1\r\nHost: h\r\n" + string(fields) + "\r\n")
		if n, err := q.Parse(head, DefaultLimits.request()); err != nil || n != len(head) {
			return // what follows is not of the head
		}
		named, closed := map[string]bool{}, map[string]bool{}
		for _, n := range append([]string{"connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
			"trailers", "transfer-encoding", "upgrade", "host", "authorization", "content-length", "accept-encoding"}, slots...) {
			closed[n] = true
		}
		lines := strings.SplitAfter(string(fields), "\r\n")
		for _, line := range lines {
			if name, value, _ := strings.Cut(line, ":"); strings.EqualFold(name, "connection") {
				for _, o := range strings.Split(value, ",") {
					named[strings.ToLower(strings.Trim(o, " \t\r\n"))] = true
				}
			}
		}
		want := ""
		for _, line := range lines {
			if name, _, _ := strings.Cut(line, ":"); !named[strings.ToLower(name)] && !closed[canonicalName(name)] {
				want += line
			}
		}
		if got := string(appendFields(nil, q.Fields, &q, dropped)); got != want {
			t.Fatalf("crosses %q, want %q", got, want)
		}
	})
}
