package main

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"credproxy/fakeupstream"
)

// pushSpellings are the targets of a push in every combination of what a git
// server, or what is in front of it, may read as the same: the endpoint that
// takes a push, and the one that advertises it.
func pushSpellings() (targets []string) {
	const service = "git-receive-pack"
	words := func(plain string) []string {
		all, twice := "", ""
		for _, c := range []byte(plain) {
			all += fmt.Sprintf("%%%02x", c)
			twice += fmt.Sprintf("%%25%02X", c)
		}
		return []string{plain, strings.ToUpper(plain), all, twice, fmt.Sprintf("%%%02X", plain[0]) + plain[1:],
			plain[:3] + fmt.Sprintf("%%25%02x", plain[3]) + strings.ToUpper(plain[4:])}
	}
	before := []string{"/", "//", "/;x=y/", "%2f", "%2F%2f", "%252f", `\`, "%5c", "%255C"}
	behind := []string{"", "/", "//", "%2f", "%252f", ";x=y", "%3bx", ".", "%20", "%2520", "%3fx=/y", "%23x", `\`, "%5c", "?", "?x=y"}
	for _, b := range before {
		for _, w := range words(service) {
			for _, e := range behind {
				targets = append(targets, b+w+e)
			}
		}
	}
	var queries []string
	for _, w := range words(service) {
		for _, q := range []string{"service=%s", "Service=%s", "%%73ervice=%s", "service[]=%s", "service=%s&a=b", "a=b&service=%s", "a=b;service=%s",
			"a=b%%26service=%s", "&&service=%s", ";;service=%s;", "?service=%s", "service==%s", "service=+%s+", "service=%%20%s", "service=%s%%00",
			"service=%s%%0a", "service=%s%%zz", "service=git-upload-pack&service=%s", "service=%s&service=git-upload-pack",
			"service=git-upload-pack;service=%s", "service=git-upload-pack,%s", "service=%%22%s%%22", "%s"} {
			queries = append(queries, fmt.Sprintf(q, w))
		}
	}
	for _, info := range []string{"/info/refs", "//info//refs", "/INFO/Refs", "/info/refs/", "%2finfo%2frefs", "/%69nfo/ref%73", "/%2569nfo%252frefs",
		`/info\refs`, "/info/refs;x", "/info;x/refs", "/info/refs%20"} {
		for _, q := range queries {
			targets = append(targets, info+"?"+q, info+"%3f"+q)
		}
	}
	return targets
}

// TestPushSpellings asks for each spelling of a push, of a repository and of the
// route itself, and has none of them reach the upstream.
func TestPushSpellings(t *testing.T) {
	up := fakeupstream.NewTest(t)
	p := serve(t, up, "A_TOKEN=token-of-route-a")
	c, err := dial(p.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.tcp.Close()
	c.tcp.SetDeadline(time.Now().Add(2 * patience))
	var requests []string
	for _, s := range pushSpellings() {
		method := []string{"GET", "POST", "PUT"}[len(requests)%3]
		requests = append(requests, method+" /a/r.git"+s)
		if strings.HasPrefix(s, "/") {
			requests = append(requests, method+" /a"+s)
		}
	}
	go func() {
		for _, r := range requests {
			fmt.Fprintf(c.tcp, "%s HTTP/1.1\r\nHost: x\r\n\r\n", r)
		}
	}()
	br := bufio.NewReader(c.tcp)
	for i, r := range requests {
		resp, err := http.ReadResponse(br, nil)
		if err != nil {
			t.Fatalf("request %d, %s: %v", i, r, err)
		}
		io.Copy(io.Discard, resp.Body)
		// What cannot be decoded or has control bytes in its path is refused for that.
		if code := resp.Header.Get("X-Cred-Proxy-Error"); code != "push" && !(code == "path" && resp.StatusCode == 400) {
			t.Errorf("%s: %s %q", r, resp.Status, code)
		}
	}
	if n := len(up.Requests()); n != 0 {
		t.Errorf("%d requests reached the upstream, the first %s", n, up.Requests()[0].Target)
	}
	t.Logf("%d spellings", len(requests))
}
