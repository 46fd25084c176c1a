package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The test's program is a bad proxy when it is run as one.
func TestMain(m *testing.M) {
	if strings.TrimSuffix(filepath.Base(os.Args[0]), ".exe") == "cred-proxy" {
		badProxy()
	}
	os.Exit(m.Run())
}

// badProxy is a reverse proxy as one writes it in a few minutes: it routes, and injects a credential, unless the agent
// has brought one.
func badProxy() {
	text, err := os.ReadFile(os.Getenv("CRED_PROXY_ROUTES"))
	var table struct {
		Routes []struct {
			Path, Upstream string
			AuthScheme     string `json:"auth_scheme"`
			TokenEnv       string `json:"token_env"`
		}
	}
	if err := errors.Join(err, json.Unmarshal(text, &table)); err != nil {
		panic(err)
	}
	var paths []string
	for _, r := range table.Routes {
		upstream, err := url.Parse(r.Upstream)
		if err != nil {
			panic(err)
		}
		forward := &httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(upstream)
			if p.Out.Header.Get("Authorization") == "" {
				p.Out.Header.Set("Authorization", r.AuthScheme+" "+os.Getenv(r.TokenEnv))
			}
		}}
		http.Handle(r.Path, http.StripPrefix(strings.TrimSuffix(r.Path, "/"), forward))
		paths = append(paths, r.Path)
	}
	l, err := net.Listen("tcp", os.Getenv("CRED_PROXY_BIND")+":"+os.Getenv("CRED_PROXY_PORT"))
	if err != nil {
		panic(err)
	}
	fmt.Fprintf(os.Stderr, "cred-proxy listening on %v; %d route(s): %s\n", l.Addr(), len(paths), strings.Join(paths, ", "))
	panic(http.Serve(l, nil))
}

// TestBadProxyFails judges a bad proxy by some scenarios: it must fail those that it breaks, for what it breaks, and pass
// the others.
func TestBadProxyFails(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes seconds")
	}
	want := map[string]string{ // "" for a pass
		"inject_authorization": "cmp stdout want",
		"inject_scheme":        "",
		"push_endpoints":       `answered 403: status line "HTTP/1.1 200 `,
		"method_allowed":       "",
		"upstream_certificate": "",
		"upstream_http":        "cmp stdout want",
	}
	var names []string
	for name := range want {
		names = append(names, name)
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var table, complaints strings.Builder
	err = run(t.Context(), []string{"-json", "-bin", program, "-run", "^(" + strings.Join(names, "|") + ")$"}, &table, &complaints)
	if err != errFailed {
		t.Fatalf("error %v\n%s%s", err, &complaints, &table)
	}
	for d := json.NewDecoder(strings.NewReader(table.String())); d.More(); {
		var got result
		if err := d.Decode(&got); err != nil {
			t.Fatal(err)
		}
		why, known := want[got.Scenario]
		if !known || (why == "") != (got.Result == "pass") || !strings.Contains(got.Reason, why) {
			t.Errorf("%+v, want it to fail with %q", got, why)
		}
		delete(want, got.Scenario)
	}
	if len(want) > 0 {
		t.Errorf("not judged: %v", want)
	}
}

// TestList: the suite is what is marked, and -all is more.
func TestList(t *testing.T) {
	var marked, all strings.Builder
	for out, args := range map[*strings.Builder][]string{&marked: {"-list"}, &all: {"-list", "-all"}} {
		if err := run(t.Context(), args, out, out); err != nil {
			t.Fatal(err)
		}
	}
	if m, a := strings.Count(marked.String(), "\n"), strings.Count(all.String(), "\n"); m < 20 || m >= a {
		t.Errorf("%d scenarios of %d are marked", m, a)
	}
	if !strings.Contains(marked.String(), "Each event of a stream reaches the agent") {
		t.Errorf("no rules are listed:\n%s", &marked)
	}
}

// TestUsage: what means nothing is said, and a program that is not there.
func TestUsage(t *testing.T) {
	for _, args := range [][]string{{"-run", "("}, {"inject_scheme"}, {"-what"}, {"-run", "^none$"}, {"-bin", "no-such-program"}} {
		var out strings.Builder
		if err := run(t.Context(), args, &out, &out); err == nil || err == errFailed {
			t.Errorf("%q: %v", args, err)
		}
	}
}

// TestReason finds the first line that failed in what a scenario's test says.
func TestReason(t *testing.T) {
	for _, test := range []struct{ said, want string }{
		{"    testscript.go:584: # rule (0.0s)\n        > request GET /\n        [stdout]\n        x\n        > answered 200\n" +
			"        FAIL: ../../testdata/scripts/a_b.txtar:7: status line \"x\", want 200\n        [cred-proxy] exit status 0\n",
			`a_b.txtar:7: answered 200: status line "x", want 200`},
		{"    testscript.go:584: \n        > request GET /\n        PASS\n    process_test.go:250: the value of A_TOKEN is in the log\n",
			"the value of A_TOKEN is in the log"},
		{"", ""},
	} {
		if got := reason(test.said); got != test.want {
			t.Errorf("%q\nwant %q", got, test.want)
		}
	}
}
