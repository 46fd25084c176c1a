package proxy

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// tokenServer returns a server whose one route takes its token from a file, and what it tells the operator. It is not
// served: the test looks at the file in its place.
func tokenServer(t *testing.T, file string) (s *Server, said *[]string) {
	t.Helper()
	said = new([]string)
	return newServer(t, Options{Poll: time.Minute, Warn: func(line string) { *said = append(*said, line) }},
		fmt.Sprintf(`{"routes": [{"path": "/a/", "upstream": "https://h", "auth_scheme": "Bearer", "token_file": %q}]}`, file)), said
}

// injected is the token that the table in force has.
func injected(s *Server) string {
	_, token, _ := strings.Cut(s.table.Load().routes[0].fields.reveal(), "Authorization: Bearer ")
	token, _, _ = strings.Cut(token, "\r\n")
	return token
}

func put(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestHalfWritten: a file that grows from look to look is taken when it has stopped growing, even where each part of it
// could be a token.
func TestHalfWritten(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	put(t, file, "the-old-token\n")
	s, said := tokenServer(t, file)
	for _, part := range []string{"the", "the-new", "", "the-new-tok", "the-new-token"} {
		put(t, file, part)
		if again := s.look(); again >= s.poll {
			t.Errorf("%q is looked at again after %v", part, again)
		}
		if got := injected(s); got != "the-old-token" {
			t.Errorf("with %q written the token is %q", part, got)
		}
	}
	if again := s.look(); again != s.poll || injected(s) != "the-new-token" {
		t.Errorf("the token is %q, and looked at again after %v", injected(s), again)
	}
	if len(*said) != 1 || !strings.HasPrefix((*said)[0], "token file "+file+" changed; in force: generation 2, ") {
		t.Errorf("%q", *said)
	}
	if s.look(); s.Status().Generation != 2 {
		t.Error("a swap without a change")
	}
}

// TestRoutesFollowed: a file of routes that changes is taken when it has stopped changing, once; what is wrong with it is
// told once, is the last error of Status, and changes nothing.
func TestRoutesFollowed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "routes.json")
	put(t, file, one("", ""))
	var said []string
	s := New(Options{Poll: time.Minute, Watch: true, Warn: func(line string) { said = append(said, line) }, Getenv: func(string) string { return "a-token" }})
	if err := s.LoadFile(file); err != nil {
		t.Fatal(err)
	}
	const soon = time.Minute / settlingLooks
	for i, step := range []struct {
		text  string
		again time.Duration
		said  string // its beginning
	}{
		{one("", ""), time.Minute, ""},
		{"{", soon, ""},
		{"{", time.Minute, "watch failed: reload failed: " + file + ":1:2: "},
		{"{", time.Minute, ""},
		{one("path", `"/b/"`), soon, ""},
		{one("path", `"/c/"`), soon, ""},
		{one("path", `"/c/"`), time.Minute, "watch ok: reloaded 1 route(s): /c/"},
		{one("path", `"/c/"`), time.Minute, ""},
	} {
		said = nil
		put(t, file, step.text)
		again := s.look()
		if again != step.again || strings.Join(said, "\n") != "" != (step.said != "") || len(said) > 0 && !strings.HasPrefix(said[0], step.said) {
			t.Errorf("step %d: again after %v, said %q", i, again, said)
		}
	}
	if st := s.Status(); st.Generation != 2 || st.Failures != 1 || !strings.HasPrefix(st.LastError, file+":1:2: ") {
		t.Errorf("%+v", st)
	}
	unnamed := newServer(t, Options{Poll: time.Minute, Watch: true}, one("", ""))
	if again := unnamed.look(); again != time.Minute || unnamed.Status().Failures != 0 {
		t.Errorf("without a file: again after %v, %+v", again, unnamed.Status())
	}
}

// TestTokenGone: what is of no use is told once, counts as a failure, and keeps what was there before, also through a
// reload; what was never of use is replaced by what is.
func TestTokenGone(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	s, said := tokenServer(t, file)
	look := func() { s.look(); s.look(); s.look() }
	look()
	put(t, file, "a\nb")
	look()
	put(t, file, "the-token")
	look()
	os.Remove(file)
	look()
	if err := s.Load(s.config); err != nil {
		t.Fatal(err)
	}
	look()
	if injected(s) != "the-token" {
		t.Errorf("%q", injected(s))
	}
	put(t, file, "the-token")
	look()
	hash := s.Status().Hash
	want := []string{
		"route /a/: token file " + file + " missing; its requests get 500",
		"token file " + file + " cannot stand in a header; in force: generation 2, routes " + hash,
		"token file " + file + " changed; in force: generation 3, routes " + hash,
		"token file " + file + " missing; the token that it gave before is used on",
		"token file " + file + " missing; the token that it gave before is used on", // by the reload
	}
	if diff := cmp.Diff(want, *said); diff != "" {
		t.Error(diff)
	}
	if st := s.Status(); st.Generation != 4 || st.Failures != 2 || st.LastError != want[3] {
		t.Errorf("%+v", st)
	}
}
