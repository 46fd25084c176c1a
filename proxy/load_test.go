package proxy

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestStatus: every swap is a generation, what goes wrong is kept with its time, and no token is in it.
func TestStatus(t *testing.T) {
	s := New(Options{Getenv: func(name string) string { return map[string]string{"T": "the-token", "BAD": "a\nb"}[name] }})
	if st := s.Status(); st.Generation != 0 || st.Hash != "" || !st.LastReload.IsZero() || st.Routes != nil {
		t.Errorf("before the first table: %+v", st)
	}
	file := filepath.Join(t.TempDir(), "routes.json")
	load := func(text string) error {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return s.LoadFile(file)
	}
	begin := time.Now()
	if err := load(one("", "")); err != nil {
		t.Fatal(err)
	}
	first := s.Status()
	if first.Generation != 1 || len(first.Hash) != 12 || first.LastReload.Before(begin) || first.Failures != 0 || !first.Routes[0].Ready() {
		t.Errorf("%+v", first)
	}
	if err := load("{"); err == nil {
		t.Fatal("a bad file was taken")
	}
	st := s.Status()
	if st.Generation != 1 || st.Hash != first.Hash || st.Failures != 1 || st.LastErrorAt.Before(first.LastReload) ||
		!strings.HasPrefix(st.LastError, file+":1:2: ") {
		t.Errorf("after a bad file: %+v", st)
	}
	if err := load(one("token_env", `"BAD"`)); err != nil {
		t.Fatal(err)
	}
	st = s.Status()
	want := []RouteStatus{{first.Routes[0].Path, first.Routes[0].Upstream,
		[]TokenStatus{{"env BAD", "invalid", "env var BAD cannot stand in a header", ""}}}}
	if diff := cmp.Diff(want, st.Routes); diff != "" || st.Routes[0].Ready() {
		t.Error(diff)
	}
	if st.Generation != 2 || st.Hash == first.Hash || st.Failures != 1 || st.LastError == "" {
		t.Errorf("%+v", st)
	}
}
