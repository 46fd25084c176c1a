package proxy

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// testTable makes a table of routes with these paths.
func testTable(t testing.TB, paths ...string) *table {
	t.Helper()
	var routes []string
	for _, p := range paths {
		routes = append(routes, fmt.Sprintf(`{"path": %q, "upstream": "https://h/base", "auth_scheme": "Bearer", "token_env": "T"}`, p))
	}
	c, err := ParseConfig("f", []byte(`{"routes": [`+strings.Join(routes, ",")+`]}`))
	if err != nil {
		t.Fatal(err)
	}
	return newTable(c, tokensIn(nil), nil)
}

func TestFind(t *testing.T) {
	table := testTable(t, "/a/", "/a/b/", "/ab/", "/a/b/c/d/")
	for path, want := range map[string]string{
		"/a/": "/a/", "/a/x": "/a/", "/a/b": "/a/", "/a/b/": "/a/b/", "/a/b/c": "/a/b/", "/a/b/c/d/e": "/a/b/c/d/",
		"/ab/x": "/ab/", "/a": "", "/abc/": "", "/": "", "/A/": "", "/x/a/": "", "//a/": "",
	} {
		got := ""
		if r := table.find([]byte(path)); r != nil {
			got = r.Path
		}
		if got != want {
			t.Errorf("%s: route %q, want %q", path, got, want)
		}
	}
}

// TestFindReference holds find against a loop over all routes, on tables and paths made at random.
func TestFindReference(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	word := func() string {
		var b strings.Builder
		for range rng.IntN(5) {
			b.WriteString([]string{"a", "b", "aa", "/", "%2f"}[rng.IntN(5)])
		}
		return b.String()
	}
	for range 300 {
		paths := map[string]bool{}
		for range rng.IntN(12) {
			paths["/"+word()+"/"] = true
		}
		var list []string
		for p := range paths {
			list = append(list, p)
		}
		table := testTable(t, list...)
		for range 50 {
			path := "/" + word() + "/" + word()
			want := ""
			for _, p := range list {
				if strings.HasPrefix(path, p) && len(p) > len(want) {
					want = p
				}
			}
			got := ""
			if r := table.find([]byte(path)); r != nil {
				got = r.Path
			}
			if got != want {
				t.Fatalf("%q in %q: %q, want %q", path, list, got, want)
			}
		}
	}
}

func BenchmarkFind(b *testing.B) {
	for _, n := range []int{1, 1000} {
		var paths []string
		for i := range n {
			paths = append(paths, fmt.Sprintf("/route-%d/", i))
		}
		table := testTable(b, paths...)
		path := []byte(paths[n/2] + "v1/messages/with/a/few/segments")
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if table.find(path) == nil {
					b.Fatal("not found")
				}
			}
		})
	}
}

// TestSharedSets: a thousand routes that drop the same fields have one set of them.
func TestSharedSets(t *testing.T) {
	var paths []string
	for i := range 1000 {
		paths = append(paths, fmt.Sprintf("/%d/", i))
	}
	table := testTable(t, paths...)
	for _, r := range table.routes {
		if r.dropped != table.routes[0].dropped {
			t.Fatalf("%s has a set of its own", r.Path)
		}
	}
}
