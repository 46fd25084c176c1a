package proxy

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// bodyHomes is the table of the tests of bodies.
var bodyHomes = append([]string{"/root/", "https://root.test", "/root/shut/", "https://elsewhere.test/a/b", "/root/shut/x/", "https://root.test/shut/deep", "/twin/", "https://root.test"}, fourHomes...)

func testMapper(t testing.TB, own string) *bodyMapper {
	table := homeTable(t, bodyHomes...)
	table.routes[0].MapURLsIn = []string{"text/plain"}
	return &bodyMapper{search: newURLSearch(table), own: table.byPath[own], address: "p:9099"}
}

// mapBody maps a body that comes in pieces.
func mapBody(b *bodyMapper, body string, pieces func(i int) int) string {
	var out []byte
	for i := 0; body != ""; i++ {
		n := min(len(body), max(1, pieces(i)))
		out = b.edit(out, []byte(body[:n]))
		body = body[n:]
	}
	return string(b.flush(out))
}

func TestMapBody(t *testing.T) {
	for _, test := range []struct {
		own, body, want string
		foreign         int
	}{
		{"/api/", `{"url":"https://api.test/v1/x?a=b#c"}`, `{"url":"http://p:9099/api/x?a=b#c"}`, 0},
		{"/api/", `{"url":"https:\/\/api.test\/v1\/x\/y"}`, `{"url":"http:\/\/p:9099\/api\/x\/y"}`, 0},
		{"/api/", `<a href='https://API.test:443/v1/x'>https://api.test:/v1</a>`, `<a href='http://p:9099/api/x'>http://p:9099/api</a>`, 0},
		{"/root/", `"https://root.test","https://root.test/","https://root.test?x","https:\/\/root.test#y"`, `"http://p:9099/root","http://p:9099/root/","http://p:9099/root/?x","http:\/\/p:9099\/root\/#y"`, 0},
		{"/root/", `"https://root.test/users{/owner}" git+https://root.test/x.git (https://root.test)`, `"http://p:9099/root/users{/owner}" git+http://p:9099/root/x.git (http://p:9099/root)`, 0},
		{"/api/", "https://api.test/v1\nhttps://api.test/v1\thttps://api.test/v1", "http://p:9099/api\nhttp://p:9099/api\thttp://p:9099/api", 0},

		// Neighbours that are none of ours.
		{"/api/", "https://api.test.evil/v1/ https://api.test:8443/v1/ https://api.testing/v1/ https://api.test@evil/v1/ https://u@api.test/v1/", "", 5},
		{"/api/", "http://api.test/v1/ https://api.test/v1beta https://api.test/v1.git https://api.test/V1/ https://api.test", "", 5},
		{"/api/", "httpS://api.test /v1 https:/api.test/v1 https//api.test/v1 ftps://api.test/v1 ://api.test/v1 //api.test/v1", "", 1},
		{"/api/", `https:\/\/api.test/v1/ https://api.test\/v1 https:\//api.test/v1 https:\n\/api.test https:x/\/api.test httpsx\/\/api.test`, "", 2},
		{"/api/", "xhttps://api.test/v1/ hhttps://api.test/v1/ https://https://api.test/v1/", "xhttp://p:9099/api/ hhttp://p:9099/api/ https://http://p:9099/api/", 1},

		// Other routes, and what lies in the way of a longer prefix.
		{"/api/", "https://api.test/v1/org/x https://files.test:8443/x https://files.test/x http://plain.test/x https://[::1]/x/y", "http://p:9099/api/org/x http://p:9099/files/x https://files.test/x http://p:9099/plain/x http://p:9099/six/y", 1},
		{"/org/", "https://api.test/v1/org/x https://api.test/v1/orgs https://api.test/v1/fenced/x https://api.test/v1/fence", "http://p:9099/org/x http://p:9099/api/orgs https://api.test/v1/fenced/x http://p:9099/api/fence", 1},
		{"/files/", "https://root.test/shut/a https://root.test/shut https://root.test/shut/deep/a https://root.test/shut/deeper", "https://root.test/shut/a http://p:9099/root/shut http://p:9099/root/shut/x/a https://root.test/shut/deeper", 2},
		{"/twin/", "https://root.test/shut/a https://root.test/shut/deep/a", "http://p:9099/twin/shut/a http://p:9099/twin/shut/deep/a", 0},

		// Ends.
		{"/root/", "https://root.test", "http://p:9099/root", 0},
		{"/root/", `https:\/\/root.test\`, `http:\/\/p:9099\/root\`, 0},
		{"/root/", "https://root.tes", "", 1},
		{"/files/", "https://files.test:8443:8443/x https://files.test:8443:/x", "", 2},
		{"/api/", "https://Z.Test/x", "http://p:9099/zone/x", 0},
		{"/api/", `https:\/\/api.test\xv1\/y https:\/\/api.test\"v1\/y`, "", 2},
		{"/root/", "https:/", "", 0},
		{"/root/", "h", "", 0},
		{"/root/", "", "", 0},
	} {
		want := test.want
		if want == "" {
			want = test.body
		}
		for split := 1; split <= len(test.body)+1; split++ {
			b := testMapper(t, test.own)
			if got := mapBody(b, test.body, func(int) int { return split }); got != want || b.foreign != test.foreign {
				t.Errorf("%s by %d on %s: %d foreign\n%s\nwant %d\n%s", test.body, split, test.own, b.foreign, got, test.foreign, want)
				break
			}
		}
	}
}

// TestMapBodyInTwo: wherever a body is cut in two, it becomes the same, however much is behind the cut.
func TestMapBodyInTwo(t *testing.T) {
	const much = " and much, much, much, much, much, much, much, much, much more of it"
	for _, test := range []struct {
		upstream, body, want string
		foreign              int
	}{
		// The longest that is looked for, and one byte to decide by.
		{"https://api.test/v1/long", `https:\/\/api.test:443\/v1\/long\/x` + much, `http:\/\/p:9099\/a\/x` + much, 0},
		// A URL that begins in what was held for another.
		{"https://https.http.test/h", "https://https://https.http.test/h/x" + much, "https://http://p:9099/a/x" + much, 1},
		{"https://https.http.test/h", "https://https.https://https.http.http://https.http.test/hhttps://https.http.test/h" + much,
			"https://https.https://https.http.http://https.http.test/hhttp://p:9099/a" + much, 3},
		{"https://hth.test", "https://https://hth.test/x" + much, "https://http://p:9099/a/x" + much, 1},
		// With upstreams of one scheme, those of the other are counted.
		{"https://api.test/v1", "http://api.test/v1" + much, "http://api.test/v1" + much, 1},
	} {
		table := homeTable(t, "/a/", test.upstream)
		table.routes[0].MapURLsIn = []string{"text/plain"}
		for cut := range test.body {
			b := &bodyMapper{search: newURLSearch(table), own: table.routes[0], address: "p:9099"}
			got := string(b.flush(b.edit(b.edit(nil, []byte(test.body[:cut])), []byte(test.body[cut:]))))
			if got != test.want || b.foreign != test.foreign {
				t.Errorf("%s | %s: %d foreign, want %d\n%s", test.body[:cut], test.body[cut:], b.foreign, test.foreign, got)
				break
			}
		}
		b := &bodyMapper{search: newURLSearch(table), own: table.routes[0], address: "p:9099"}
		if got := mapBody(b, test.body, func(int) int { return 1 }); got != test.want {
			t.Errorf("%s, by one: %s", test.body, got)
		}
	}
}

// TestMapBodyHoldsNothing: what is no beginning of a URL that is looked for leaves at once, and of what is one no more is
// held than the longest of them has.
func TestMapBodyHoldsNothing(t *testing.T) {
	for _, test := range []struct{ body, held string }{
		{"data: {\"text\":\"hello\"}\n\n", ""}, {"data: https://root.test/x\n\n", ""}, {"data: wit", ""}, {"with", "h"}, {"http", "http"}, {"x https", "https"},
		{"HTTPS:/", "HTTPS:/"}, {`https:\/\`, `https:\/\`}, {"https://", "https://"}, {"https://ro", "https://ro"}, {"https://rox", ""}, {"https://root.test:4", "https://root.test:4"},
		{"https://root.test:44x", ""}, {"https://root.test/sh", "https://root.test/sh"}, {"https://root.test/x", ""}, {"ht https", "https"}, {"http https://evil.test/ htt", "htt"},
		{`https:\/\/root.test\/shut\`, `https:\/\/root.test\/shut\`}, {`https:\/\/root.test\x`, ""},
	} {
		b := testMapper(t, "/files/")
		b.edit(nil, []byte(test.body))
		if string(b.held) != test.held {
			t.Errorf("%q: holds %q, want %q", test.body, b.held, test.held)
		}
	}
}

// refMapBody is what mapping a whole body comes to: every URL is held against every route.
func refMapBody(table *table, own *route, body string) (_ string, foreign int) {
	var out strings.Builder
	begin := regexp.MustCompile(`(?i)https?:(//|\\/\\/)`)
	for {
		m := begin.FindStringSubmatchIndex(body)
		if m == nil {
			return out.String() + body, foreign
		}
		out.WriteString(body[:m[0]])
		r, n, escaped := refMatch(table, own, body[m[0]:], m[3]-m[2] > len("//"))
		if r == nil {
			foreign++
			out.WriteString(body[m[0]:m[1]])
			body = body[m[1]:]
			continue
		}
		body = body[m[0]:]
		home := "http://p:9099" + strings.TrimSuffix(r.Path, "/")
		if body = body[n:]; strings.HasPrefix(body, "?") || strings.HasPrefix(body, "#") {
			home += "/"
		}
		if escaped {
			home = strings.ReplaceAll(home, "/", `\/`)
		}
		out.WriteString(home)
	}
}

func refMatch(table *table, own *route, url string, escaped bool) (found *route, n int, _ bool) {
	var text []byte // without escapes, as far as a pattern can go; ends[i] is where its first i bytes end
	ends, slashes := []int{0}, 0
	for i := 0; i < min(len(url), 200); { // no base URL is as long
		c := url[i]
		i++
		if escaped && c == '\\' && i < len(url) && url[i] == '/' {
			c = '/'
			i++
		} else if escaped && (c == '/' || c == '\\') {
			c = '\\' // not as a slash
		}
		if c == '/' {
			slashes++
		}
		if slashes < 3 {
			c = bytes.ToLower([]byte{c})[0]
		}
		text, ends = append(text, c), append(ends, i)
	}
	longest := -1
	for _, r := range table.routes {
		o := r.origin.scheme() + "://" + r.origin.authority()
		spellings := []string{o}
		if r.origin.port == "443" && r.origin.tls || r.origin.port == "80" && !r.origin.tls {
			spellings = append(spellings, o+":", o+":"+r.origin.port)
		}
		for _, o := range spellings {
			base := o + r.base
			if !strings.HasPrefix(string(text), base) || len(text) > len(base) && !endsBase(text[len(base)]) {
				continue
			}
			if r == own || found != own && len(r.base) > longest {
				found, n, longest = r, len(base), len(r.base)
			}
		}
	}
	if found == nil {
		return nil, 0, escaped
	}
	if rest, ok := strings.CutPrefix(string(text[n:]), "/"); ok {
		for _, s := range table.routes {
			if len(s.Path) > len(found.Path) && strings.HasPrefix(found.Path+rest, s.Path) {
				return nil, 0, escaped
			}
		}
	}
	return found, ends[n], escaped
}

// FuzzMapBody: any body in any pieces becomes what the whole body does.
func FuzzMapBody(f *testing.F) {
	for _, body := range []string{`{"a":"https://api.test/v1/x","b":"https:\/\/root.test\/shut\/deep\/y"}`, "https://https://root.test/shuthttp://plain.test:80#",
		"HTTPS://[::1]:443/x https://files.test:8443/ https://api.test/v1/org", `https:\/\/root.test\`} {
		for own := range 4 {
			f.Add([]byte(body), []byte{3, 1, 200}, byte(own))
		}
	}
	table := testMapper(f, "/root/").own.table
	search := newURLSearch(table)
	f.Fuzz(func(t *testing.T, body, splits []byte, which byte) {
		own := table.routes[int(which)%len(table.routes)]
		checkMapBody(t, search, own, string(body), func(i int) int {
			if len(splits) == 0 {
				return len(body)
			}
			return int(splits[i%len(splits)])
		})
	})
}

func checkMapBody(t *testing.T, search *urlSearch, own *route, body string, pieces func(i int) int) {
	t.Helper()
	b := &bodyMapper{search: search, own: own, address: "p:9099"}
	got := mapBody(b, body, func(i int) int {
		if len(b.held) > search.longest {
			t.Fatalf("holds %q", b.held)
		}
		return pieces(i)
	})
	want, foreign := refMapBody(own.table, own, body)
	if got != want || b.foreign != foreign {
		t.Fatalf("%q on %s:\n%q, %d foreign, want\n%q, %d", body, own.Path, got, b.foreign, want, foreign)
	}
}

// TestMapBodyByChance: whole and half URLs, written this way and that, side by side, become what the reference makes of them.
func TestMapBodyByChance(t *testing.T) {
	b := testMapper(t, "/root/")
	search, routes := b.search, b.own.table.routes
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 5))
		var body strings.Builder
		for range 1 + r.IntN(6) {
			url := search.texts[r.IntN(len(search.texts))]
			switch r.IntN(5) {
			case 0:
				url = url[:r.IntN(len(url))]
			case 1:
				url = url[r.IntN(len(url)):]
			}
			switch r.IntN(5) {
			case 0:
				url = strings.ToUpper(url)
			case 1, 2:
				url = strings.Replace(url, "/", `\/`, 1+r.IntN(6))
			case 3:
				url = strings.ReplaceAll(url, "/", `\/`)
			}
			const behind = `/\?#:"x h4`
			n := r.IntN(len(behind))
			body.WriteString(url + behind[n:n+r.IntN(3)%(len(behind)-n)])
		}
		most := 1 + r.IntN(30)
		checkMapBody(t, search, routes[r.IntN(len(routes))], body.String(), func(int) int { return 1 + r.IntN(most) })
	}
}

// BenchmarkMapBody is what mapping costs, in bodies with many URLs, with none, and that are nothing but slashes.
func BenchmarkMapBody(b *testing.B) {
	for name, unit := range map[string]string{
		"packument": `"1.%d.0":{"name":"x","version":"1.%[1]d.0","dist":{"integrity":"sha512-1234567890abcdefghijklmnopqrstuvwxyz==","tarball":"https://root.test/x/-/x-1.%[1]d.0.tgz"}},`,
		"plain":     `"%d":"some text without any of what is looked for, as most of what streams by",`,
		"slashes":   `//////////////////////////////////////////////////////////////////////////`,
		"openings":  `https://root.test/shuhttps://root.test/shu`,
	} {
		var body bytes.Buffer
		for i := 0; body.Len() < 64<<10; i++ {
			if strings.Contains(unit, "%") {
				fmt.Fprintf(&body, unit, i)
			} else {
				body.WriteString(unit)
			}
		}
		b.Run(name, func(b *testing.B) {
			m := testMapper(b, "/root/")
			out := make([]byte, 0, 2*body.Len())
			b.SetBytes(int64(body.Len()))
			b.ReportAllocs()
			for b.Loop() {
				m.edit(out, body.Bytes())
			}
		})
	}
}

// TestMapBodyOnTheWire: whatever framing a body has and wherever its chunks and the upstream's writes split it, net/http
// gets what mapping the whole comes to, over connections that are kept.
func TestMapBodyOnTheWire(t *testing.T) {
	ln := listenLocal(t)
	upstream := "http://" + ln.Addr().String()
	s := newServer(t, Options{Getenv: func(string) string { return "token" }}, fmt.Sprintf(`{"routes": [
		{"path": "/a/", "upstream": %q, "auth_scheme": "", "token_env": "T", "map_urls_in": ["text/html"]},
		{"path": "/other/", "upstream": "https://other.test/base", "auth_scheme": "", "token_env": "T"}]}`, upstream))
	front, _ := serve(t, s)

	bodies := make(chan string, 1)
	go func() {
		for conn, err := ln.Accept(); err == nil; conn, err = ln.Accept() {
			go sendInPieces(conn, bodies)
		}
	}()
	words := []string{upstream, upstream + "/x", strings.ReplaceAll(upstream, "/", `\/`), "https://other.test/base", "HTTPS://Other.test:443/base/", "https://other.test/bas",
		"h", "http", "https:/", `\/`, "/", "?", " some text ", strings.Repeat("bulk\n", 2000)}
	rng := rand.New(rand.NewPCG(3, 4))
	table := s.table.Load()
	for range 200 {
		var body strings.Builder
		for range rng.IntN(40) {
			body.WriteString(words[rng.IntN(len(words))])
		}
		bodies <- body.String()
		resp, err := http.Get("http://" + front + "/a/")
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		want, _ := refMapBody(table, table.byPath["/a/"], body.String())
		want = strings.ReplaceAll(want, "//p:9099", "//"+front)
		want = strings.ReplaceAll(want, `\/p:9099`, `\/`+front)
		if err != nil || string(got) != want {
			t.Fatalf("%v: of %q\n%q, want\n%q", err, body.String(), got, want)
		}
	}
}

// sendInPieces answers the requests of a connection with the bodies, in a framing and in writes that follow from the body.
func sendInPieces(conn net.Conn, bodies <-chan string) {
	defer conn.Close()
	br := bufio.NewReader(conn)
	for {
		if _, err := http.ReadRequest(br); err != nil {
			return
		}
		body := <-bodies
		rng := rand.New(rand.NewPCG(uint64(len(body)), 6))
		framing := rng.IntN(3)
		message := "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nX-Request-Id: 12 letters, too\r\n"
		switch framing {
		case 0:
			message += fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body)
		case 1:
			message += "Connection: close\r\n\r\n" + body
		case 2:
			message += "Transfer-Encoding: chunked\r\n\r\n"
			for body != "" {
				n := 1 + rng.IntN(min(len(body), 1+rng.IntN(8000)))
				message += fmt.Sprintf("%x;x\r\n%s\r\n", n, body[:n])
				body = body[n:]
			}
			message += "0\r\nX-Trailer: 1\r\n\r\n"
		}
		for message != "" {
			n := 1 + rng.IntN(min(len(message), 1+rng.IntN(20000)))
			if _, err := conn.Write([]byte(message[:n])); err != nil {
				return
			}
			message = message[n:]
		}
		if framing == 1 {
			return
		}
	}
}

// TestEndsBase: a base URL ends before what no segment or host can go on with.
func TestEndsBase(t *testing.T) {
	for c := range 256 {
		on := '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || strings.ContainsRune("!$%+-.:=@_~", rune(c)) || c > 0x7f
		if endsBase(byte(c)) == on {
			t.Errorf("%q ends one: %v", rune(c), !on)
		}
	}
}
