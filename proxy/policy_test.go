package proxy

import (
	"bytes"
	"net/url"
	"path"
	"strings"
	"testing"

	"credproxy/proxy/http1"
)

// What is refused on every route, in all its spellings.

func TestPathRefused(t *testing.T) {
	for _, p := range []string{
		"/.", "/..", "/a/./b", "/a/../b", "/../a", "/a/..", "/a/.",
		"/a/%2e%2e/b", "/a/%2E./b", "/a/.%2e/b", "/a/%2e", "/a/%252e%252e/b", "/a/%252E%2e/b", "/a/%25%32%65./b",
		"/a/..%2fb", "/a/..%2Fb", "/a%2f..%2fb", "/a%252f..%252fb", "/a%2f%2e%2e", "/a/x%2f..",
		`/a\..\b`, `/a/..\b`, "/a%5c..%5cb", "/a%255c..%255cb", "/a%5C.",
		"/a/..;x=y/b", "/a/..;/b", "/a/.;", "/a/%2e%2e;x/b", "/a/..%3bx/b", "/a/..%253bx/b",
		"/a/..%20/b", "/a/%20../b", "/a/%c2%a0..", "/a/%2520../b", "/a/..%3f", "/a/..%23", "/a/..%253fb", "/a/.%3fx/b", "/a/..%23%3f", "/a/..;%3f", "/a/%c0%ae%c0%ae/b", "/a%c0%af../b", "/a/%e0%80%ae./b", "/a%c1%9c..", "/a%c0%80", "/a/%c0%8ab", "/a/%f8%80%80%80%ae./b", "/a/%fc%80%80%80%80%ae./b",
		"/a%00b", "/a%0ab", "/a%0d", "/a%1f", "/a%7f", "/a%2500", "/a%250a",
		"/a%", "/a%2", "/a%zz", "/a%2g", "/a%`0", "/a%@0", "/%u002e",
	} {
		if checkPath([]byte(p), nil) == "" {
			t.Errorf("%q passes", p)
		}
	}
}

func TestPathPasses(t *testing.T) {
	for _, p := range []string{
		"/", "//", "/a//b", "/a/", "/...", "/a/.../b", "/.well-known/x", "/a/.b", "/a/b.", "/a/..b", "/a/b..", "/a;x=../b",
		"/@scope%2fname", "/@scope%2Fname", "/a%20b", "/a+b", "/a%25b", "/a%2525", "/100%25", "/a%25zz", "/%e4%b8%ad", "/a:b@c!$&'()*,=",
		"/a/.git/config", "/a%2f.hidden", "/a~b", `/a"b<c>`, "/a%2ftags%2fv1.0",
	} {
		if why := checkPath([]byte(p), nil); why != "" {
			t.Errorf("%q: %s", p, why)
		}
	}
}

// FuzzPath: no accepted path resolves outside the directory that it is put under, whichever way an upstream reads it.
func FuzzPath(f *testing.F) {
	for _, s := range []string{"a/b", "%2e%2e/", `..\`, "%252e%252e%255c", "..;x/", "%c0%ae.", "a%2fb", "..%00"} {
		f.Add(s)
	}
	for suffix := range byChance(5000, 8, "/", "%2f", "%5c", `\`, "%2e", "..", "%252e", "%25", "%20", "%c2%a0", "+", ";", "%00", "%c0%af", "%3f", "%23", "a", ".") {
		f.Add(suffix)
	}
	f.Fuzz(func(t *testing.T, suffix string) {
		for i := range len(suffix) {
			if suffix[i] <= ' ' || suffix[i] > '~' || suffix[i] == '?' || suffix[i] == '#' {
				return // no request target
			}
		}
		if checkPath([]byte("/"+suffix), make([]byte, 0, 8)) != "" {
			return
		}
		read := "/base/" + suffix
		for range decodings + 1 {
			for _, as := range []string{read, strings.ReplaceAll(read, `\`, "/"), withoutParameters(read), cutAt(read, "?"), cutAt(read, "#"), cutAt(read, "?#")} {
				if got := path.Clean(as); got != "/base" && !strings.HasPrefix(got, "/base/") {
					t.Fatalf("%q resolves to %q", suffix, got)
				}
				if got := (&url.URL{Path: "/"}).ResolveReference(&url.URL{Path: as}).Path; !strings.HasPrefix(got, "/base/") {
					t.Fatalf("%q resolves to %q", suffix, got)
				}
			}
			decoded, err := url.PathUnescape(read)
			if err != nil {
				return
			}
			read = decoded
		}
	})
}

func cutAt(s, chars string) string {
	if i := strings.IndexAny(s, chars); i >= 0 {
		return s[:i]
	}
	return s
}

// withoutParameters cuts ";x" off each segment, as servlet containers do.
func withoutParameters(p string) string {
	segments := strings.Split(p, "/")
	for i, s := range segments {
		segments[i], _, _ = strings.Cut(s, ";")
	}
	return strings.Join(segments, "/")
}

func TestPush(t *testing.T) {
	for target, want := range map[string]bool{
		"/r.git/git-receive-pack":                                       true,
		"/git-receive-pack":                                             true,
		"/r/git-receive-pack/":                                          true,
		"/r/git-receive-pack//":                                         true,
		"/r//git-receive-pack":                                          true,
		"/r/GIT-Receive-Pack":                                           true,
		"/r/%67it-receive-pack":                                         true,
		"/r/git%2dreceive-pack":                                         true,
		"/r/git%252dreceive-pack":                                       true,
		"/r%2fgit-receive-pack":                                         true,
		"/r%252fgit-receive-pack":                                       true,
		`/r\git-receive-pack`:                                           true,
		"/r/git-receive-pack;x=y":                                       true,
		"/r/git-receive-pack%3bx":                                       true,
		"/r/git-receive-pack%3fx=/y":                                    true,
		"/r/git-receive-pack%23/y":                                      true,
		"/x%3f/git-receive-pack":                                        true,
		"/r/git-receive-pack.":                                          true,
		"/r/git-receive-pack%20":                                        true,
		"/r/%20git-receive-pack":                                        true,
		"/r/git-receive-pac%6b;a%2fb":                                   true,
		"/r/git-receive-pac%6b;a%5cb":                                   true,
		"/r/git-receive-pac%256b;a%252fb":                               true,
		"/r%2fgit-receive-pac%256b;a%252fb":                             true,
		"/r/inf%6f/refs;a%2fb?service=git-receive-pack":                 true,
		"/r/inf%6f;a%2fb/refs?service=git-receive-pack":                 true,
		"/r;%23/git-receive-pack%3fx":                                   true,
		"/r%3fx/git-receive-pack%23x":                                   true,
		"/r%23x/info/refs%3fservice=git-receive-pack":                   true,
		"/r/%c2%a0git-receive-pack%c2%a0.%20":                           true,
		"/r/info%20/%20refs?service=git-receive-pack":                   true,
		"/r/git-receive-pack?x":                                         true,
		"/r/info/refs?service=git-receive-pack":                         true,
		"/r/info/refs?a=b&service=git-receive-pack&c":                   true,
		"/r/info/refs?a=b;service=git-receive-pack":                     true,
		"/r/info/refs?service=git-upload-pack&service=git-receive-pack": true,
		"/r/info/refs?service=git%2Dreceive%2Dpack":                     true,
		"/r/info/refs?service=git%252Dreceive-pack":                     true,
		"/r/info/refs?%73ervice=git-receive-pack":                       true,
		"/r/info/refs?Service=GIT-RECEIVE-PACK":                         true,
		"/r/info/refs?service=+git-receive-pack+":                       true,
		"/r/info/refs?service[]=git-receive-pack":                       true,
		"/r/info/refs?service=git-receive-pack%00":                      true,
		"/r/info/refs/?service=git-receive-pack":                        true,
		"/r/info//refs?service=git-receive-pack":                        true,
		"/r/INFO/refs?service=git-receive-pack":                         true,
		"/r/info%2frefs?service=git-receive-pack":                       true,
		"/r/info/refs;x?service=git-receive-pack":                       true,
		"/r/info/refs%3fservice=git-receive-pack":                       true,
		"/r/info/refs%253fservice=git-receive-pack":                     true,
		"/r/info/refs;%2fgit-receive-pack":                              true,
		"/r/info/refs%3fservice=git-receive-pack?a=long-enough-to-cover-all-of-the-path-before-it-is-read": true,
		"/r/info/refs":                              false,
		"/r/info/refs?service=git-upload-pack":      false,
		"/r/info/refs?service=git-receive-packs":    false,
		"/r/info/refs?service=not-git-receive-pack": false,
		"/r/git-upload-pack":                        false,
		"/r/git-receive-packs":                      false,
		"/r/my-git-receive-pack":                    false,
		"/r/git-receive-pack/x":                     false,
		"/r/git-receive-pack.html":                  false,
		"/docs?page=git-receive-pack":               false,
		"/r/git%25252Dreceive-pack":                 false, // three times
		"/r;x/git%25252Dreceive-pack":               false,
		"/r/refs?service=git-receive-pack":          false,
		"/":                                         false,
	} {
		p, q, _ := bytes.Cut([]byte(target), []byte("?"))
		if got := isPush(p, q, make([]byte, 0, 16)); got != want {
			t.Errorf("%q: push %v, want %v", target, got, want)
		}
	}
}

func TestPushBody(t *testing.T) {
	for media, want := range map[string]bool{
		"application/x-git-receive-pack-request":            true,
		"Application/X-Git-Receive-Pack-Request; charset=x": true,
		"application/x-git-upload-pack-request":             false,
		"text/plain":                                        false,
	} {
		q := parsed(t, "POST /r HTTP/1.1\r\nHost: h\r\nContent-Type: "+media+"\r\n\r\n")
		if got := isPushBody(q); got != want {
			t.Errorf("%q: %v, want %v", media, got, want)
		}
	}
}

func parsed(t *testing.T, head string) *http1.Request {
	t.Helper()
	var q http1.Request
	if _, err := q.Parse([]byte(head), DefaultLimits.request()); err != nil {
		t.Fatalf("%q: %v", head, err)
	}
	return &q
}

// TestReceivePackIsAWord: a digit is of the word beside which it stands.
func TestReceivePackIsAWord(t *testing.T) {
	for query, want := range map[string]bool{"git-receive-pack": true, "0git-receive-pack": false, "git-receive-pack9": false, "/git-receive-pack:": true,
		"zgit-receive-pack": false, "Zgit-receive-pack": false, "`git-receive-pack@": true, "[git-receive-pack]": true, "{git-receive-pack}": true, `\git-receive-pack^`: true,
		"~git-receive-pack|": true, "\x7fgit-receive-pack\u00e9": true, "git%252Dreceive-pack": true, "git%25252Dreceive-pack": false} {
		if got := mentionsReceivePack([]byte(query), nil); got != want {
			t.Errorf("%s: %v", query, got)
		}
	}
}

func TestPyRepr(t *testing.T) {
	for s, want := range map[string]string{
		"/x": `'/x'`, "/it's": `"/it's"`, `/a"b`: `'/a"b'`, `/it's"`: `'/it\'s"'`, `/a\b`: `'/a\\b'`, `"'`: `'"\''`, "'": `"'"`,
	} {
		if got := pyRepr([]byte(s)); got != want {
			t.Errorf("pyRepr(%s) = %s, want %s", s, got, want)
		}
	}
}

// TestFoldOverlong: a character is read whatever bytes too many it is spelled in, and nothing else is.
func TestFoldOverlong(t *testing.T) {
	for text, want := range map[string]string{
		"":                                 "",
		"plain":                            "plain",
		"\xc0\xaf\xc1\xab":                 "/k",
		"a\xe0\x80\xaeb":                   "a.b",
		"\xe0\x81\x9c":                     "\\",
		"\xf0\x80\x80\xaf\xf0\x80\x81\xab": "/k",
		"x\xf8\x80\x80\x80\xafy":           "x/y",
		"\xf8\x80\x80\x81\xab":             "k",
		"\xfc\x80\x80\x80\x80\xafz":        "/z",
		"\xfc\x80\x80\x80\x81\xab":         "k",
		"\xc0":                             "\xc0", // cut short
		"\xe0\x80":                         "\xe0\x80",
		"\xfc\x80\x80\x80\x80":             "\xfc\x80\x80\x80\x80",
		"\xc0/":                            "\xc0/", // not what it looks like
		"\xe0\x82\x80":                     "\xe0\x82\x80",
		"\xe0\xa0\x80":                     "\xe0\xa0\x80",
		"\xf0\x90\x80\xaf":                 "\xf0\x90\x80\xaf",
		"\xf8\x88\x80\x80\xaf":             "\xf8\x88\x80\x80\xaf",
		"\xf8\x80\x90\x80\xaf":             "\xf8\x80\x90\x80\xaf",
		"\xfc\x80\x80\x90\x80\xaf":         "\xfc\x80\x80\x90\x80\xaf",
		"é\xc0\xafé":                       "é/é",
	} {
		p := []byte(text)
		if got := foldOverlong(p); string(got) != want || string(p) != text {
			t.Errorf("%q: %q, want %q; it is %q then", text, got, want, p)
		}
	}
}
