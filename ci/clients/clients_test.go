package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The test's program is what the program is by other names, too.
func TestMain(m *testing.M) {
	if inner[filepath.Base(os.Args[0])] != nil {
		main()
	}
	os.Exit(m.Run())
}

// TestClients has those clients do their work that need no more than the machine has.
func TestClients(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes seconds")
	}
	for name, args := range map[string][]string{
		"as they are":         {"-only", "git,curl,Python urllib,Go"},
		"with a client token": {"-ask", "-json", "-only", "git,git-lfs,curl,pip"},
	} {
		t.Run(name, func(t *testing.T) {
			var table, log strings.Builder
			err := outer(t.Context(), args, &table, &log)
			t.Logf("%s\n%s", log.String(), table.String())
			if err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestJudge: what a client must not do is seen.
func TestJudge(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds the program")
	}
	if (need{program: "curl"}).have(t.Context(), nil, io.Discard) != nil {
		t.Skip("curl is not on this machine")
	}
	j := &job{Dir: t.TempDir(), Missing: map[string]string{}, Options: options{Only: "curl"}}
	if err := j.prepare(t.Context(), io.Discard); err != nil {
		t.Fatal(err)
	}
	w, err := j.newWorld(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	port := strings.TrimPrefix(w.up.URL, "https://localhost:")
	past := `curl -sSk --noproxy '*' --connect-to ::127.0.0.1:` + port + " "
	for _, c := range []struct{ what, script, want string }{
		{"nothing wrong", `curl -fsS "$FILES_BASE_URL/sink"`, `^ok$`},
		{"another host", `curl -sS https://elsewhere.example.com/ || true`,
			`^FAILED: it: went past the proxy, to elsewhere.example.com:443$`},
		{"the upstream itself", past + `https://localhost/sink -H "Authorization: Bearer placeholder"`,
			`^FAILED: it: GET localhost/sink: a host of no route$`},
		{"the upstream by the name of a route", past + `https://github.com/sink`,
			`^FAILED: it: GET github.com/sink came with 0 credentials, and not the one of its host$`},
		{"a placeholder", past + `https://github.com/sink -H "X-Api-Key: ` + w.tokens["github.com"] + `" -H "A: placeholder"`,
			`^FAILED: it: GET github.com/sink came with a placeholder$`},
		{"a token by another way", past + `https://github.com/sink -H "X-Api-Key: ` + w.tokens["github.com"] + `"`,
			`^FAILED: it: 1 connections to the upstream are not the proxy's$`},
		{"a token printed", `echo ` + w.tokens["github.com"], `^FAILED: it: the client printed the token GITHUB_TOKEN$`},
		{"a token kept", `echo ` + w.tokens["github.com"] + ` >kept`,
			`^FAILED: it: the client has the token GITHUB_TOKEN in .+/kept$`},
		{"an error", `false`, `^FAILED: it: exit status 1: $`},
	} {
		t.Run(c.what, func(t *testing.T) {
			r := w.hold(t.Context(), client{name: c.what, route: "/files/", version: "curl --version", steps: []step{
				{"it", func(ctx context.Context, b *bottle) error { _, err := b.sh(ctx, c.script); return err }},
			}}, "")
			if !regexp.MustCompile(c.want).MatchString(r.result()) {
				t.Errorf("%s, want %s", r.result(), c.want)
			}
		})
	}
}

// TestReadme holds the README's table to the clients that there are.
func TestReadme(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, table, ok := strings.Cut(string(text), "\n| client | version | what was done | result |\n")
	if !ok {
		t.Fatal("README.md has no table of the clients")
	}
	table, _, _ = strings.Cut(table, "\n\n")
	rows := strings.Split(strings.TrimSpace(table), "\n")[1:]
	for i, c := range clients() {
		row := regexp.MustCompile(`^\| ` + regexp.QuoteMeta(c.name) + ` \|.*\| (ok|skipped: .*) \|$`)
		if i >= len(rows) || !row.MatchString(rows[i]) {
			t.Fatalf("README.md does not have %s at its place, as a row that is ok or skipped", c.name)
		}
	}
	if len(rows) != len(clients()) {
		t.Errorf("README.md has %d rows, not %d", len(rows), len(clients()))
	}
}

// TestLocks: a lock names no address.
func TestLocks(t *testing.T) {
	locks, err := filepath.Glob("npm/*/package-lock.json")
	if err != nil || len(locks) == 0 {
		t.Fatal("no locks", err)
	}
	for _, lock := range locks {
		text, err := os.ReadFile(lock)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), `"resolved"`) {
			t.Errorf("%s says where packages are", lock)
		}
	}
}
