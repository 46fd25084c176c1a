//go:build unix

package proxy

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestCommandEndsWithItsGroup: what a command started ends with it, when its time is over, when it printed too much and
// when it is done; and nobody waits longer than for the command.
func TestCommandEndsWithItsGroup(t *testing.T) {
	for name, test := range map[string]struct {
		script string
		within time.Duration
		want   string
	}{
		"slow":    {`sleep 60 & echo $! >PID; wait`, time.Second, "token command sh has not ended within 1s"},
		"endless": {`trap "" TERM; sleep 60 & echo $! >PID; yes`, time.Minute, "token command sh printed more than 65536 bytes"},
		"done":    {`sleep 60 >/dev/null & echo $! >PID; echo a-token`, time.Minute, ""},
		"open":    {`sleep 60 & echo $! >PID; echo a-token`, time.Minute, "token command sh has ended, but not what it started"},
		"failed":  {`sleep 60 & echo $! >PID; exit 7`, time.Minute, "token command sh failed: exit status 7"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "pid")
			source := TokenSource{Command: []string{"sh", "-c", strings.ReplaceAll(test.script, "PID", file)}}
			v := source.run(context.Background(), test.within, os.Environ())
			if v.problem != test.want {
				t.Errorf("%q, want %q", v.problem, test.want)
			}
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
			if err != nil {
				t.Fatal(err)
			}
			for by := time.Now().Add(10 * time.Second); runs(pid); time.Sleep(time.Millisecond) {
				if time.Now().After(by) {
					syscall.Kill(pid, syscall.SIGKILL)
					t.Fatal("what it started lives on")
				}
			}
		})
	}
}

// runs reports whether there is such a process that nobody has ended.
func runs(pid int) bool {
	if stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat"); err == nil {
		_, state, _ := strings.Cut(string(stat), ") ")
		return !strings.HasPrefix(state, "Z")
	}
	return syscall.Kill(pid, 0) == nil
}

// TestCommandLeavesItsGroup: what has left the group of a command and holds its output is not waited for; once it is gone
// nothing waits any more.
func TestCommandLeavesItsGroup(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("setsid"); err != nil {
		t.Skip(err)
	}
	src := TokenSource{Command: []string{"sh", "-c", "setsid sleep 15 & wait"}}
	for within := 100 * time.Millisecond; ; within *= 4 { // until it is long enough for it to leave
		began := time.Now()
		v := src.run(t.Context(), within, os.Environ())
		took := time.Since(began)
		if v.state != tokenInvalid || took > 12*time.Second {
			t.Errorf("%+v after %v", v, took)
		}
		if took >= within+endWithin/2 {
			break
		}
		if within > 4*time.Second {
			t.Fatalf("%+v after %v: it was waited for, or its output was not", v, took)
		}
	}
	nobodyIn(t, ".(*TokenSource).run.func")
}

// TestRenewal: however many exchanges are refused at a time, the command runs once, they all go on when its token is in
// force, and those with a token of before go on at once.
func TestRenewal(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "token"), "first-token")
	s := newServer(t, Options{}, `{"routes": [{"path": "/a/", "upstream": "https://h", "auth_scheme": "Bearer",
		"token_command": ["sh", "-c", "cd `+dir+`; echo run >>runs; cat token"]}]}`)
	src := s.sources.inOrder()[0]
	if src.TTL != DefaultTokenTTL {
		t.Errorf("its token is used for %v", src.TTL)
	}
	refused := func() {
		old := s.table.Load().routes[0]
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				old.renew[0]()
			})
		}
		all.Wait()
	}
	put(t, filepath.Join(dir, "token"), "second-token")
	old := s.table.Load().routes[0]
	refused()
	if injected(s) != "second-token" {
		t.Errorf("%q", injected(s))
	}
	put(t, filepath.Join(dir, "token"), "third-token")
	refused()
	old.renew[0]()
	if runs, _ := os.ReadFile(filepath.Join(dir, "runs")); injected(s) != "second-token" || string(runs) != "run\nrun\n" {
		t.Errorf("%q after %q", injected(s), runs)
	}
	// A minute later it may run again.
	src.command.renewed, src.command.until = src.command.renewed.Add(-renewEvery), time.Time{}
	for range 100 {
		old.renew[0]()
	}
	if injected(s) != "second-token" {
		t.Errorf("a token that is not used any more was renewed: %q", injected(s))
	}
	refused()
	if injected(s) != "third-token" || time.Until(src.command.until) < DefaultTokenTTL/2 {
		t.Errorf("%q until %v", injected(s), src.command.until)
	}
	over := make(chan struct{})
	go func() {
		s.commands.Wait()
		close(over)
	}()
	select {
	case <-over:
	case <-time.After(10 * time.Second):
		t.Error("a run that is over is waited for")
	}
	s.Shutdown(context.Background())
}

// TestRenewalOfWhatIsGone: what comes of a run whose route is gone in the meantime is of no account.
func TestRenewalOfWhatIsGone(t *testing.T) {
	dir := t.TempDir()
	gate := filepath.Join(dir, "gate")
	s := newServer(t, Options{Getenv: func(string) string { return "of-a-variable" }}, `{"routes": [{"path": "/a/", "upstream": "https://h", "auth_scheme": "Bearer",
		"token_command": ["sh", "-c", "cd `+dir+`; test ! -e gate || read x <gate; echo of-a-command"]}]}`)
	if err := syscall.Mkfifo(gate, 0o600); err != nil {
		t.Fatal(err)
	}
	route, done := s.table.Load().routes[0], make(chan struct{})
	if route.refusal != nil {
		t.Fatal(route.refusal.Message)
	}
	go func() {
		route.renew[0]()
		close(done)
	}()
	w, err := os.OpenFile(gate, os.O_WRONLY, 0) // once the command reads
	if err != nil {
		t.Fatal(err)
	}
	c, err := ParseConfig("f", []byte(one("", "")))
	if err == nil {
		err = s.Load(c)
	}
	if err != nil {
		t.Fatal(err)
	}
	w.Close()
	<-done
	if injected(s) != "of-a-variable" {
		t.Errorf("%q", injected(s))
	}
	s.Shutdown(context.Background())
}

// TestLoadWaitsForARun: a command does not run twice at a time, and of tokens the one whose run began later counts.
func TestLoadWaitsForARun(t *testing.T) {
	loadBesideARun(t, "", "the-token-3")
	loadBesideARun(t, "test $n -ne 3 || exit 1; ", "the-token-2")
}

func loadBesideARun(t *testing.T, then, want string) {
	t.Helper()
	dir := t.TempDir()
	gate := filepath.Join(dir, "gate")
	if err := syscall.Mkfifo(gate, 0o600); err != nil {
		t.Fatal(err)
	}
	routes := `{"routes": [{"path": "/a/", "upstream": "https://h", "auth_scheme": "Bearer",
		"token_command": ["sh", "-c", "cd ` + dir + `; echo run >>runs; n=$(wc -l <runs); test $n -ne 2 || read x <gate; ` + then + `echo the-token-$((n))"]}]}`
	s := newServer(t, Options{}, routes)
	renewed, loaded := make(chan struct{}), make(chan error, 1)
	go func() {
		s.table.Load().routes[0].renew[0]()
		close(renewed)
	}()
	w, err := os.OpenFile(gate, os.O_WRONLY, 0) // once the second run reads
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		c, err := ParseConfig("f", []byte(routes))
		if err == nil {
			err = s.Load(c)
		}
		loaded <- err
	}()
	select {
	case err := <-loaded:
		t.Errorf("loaded beside a run: %v", err)
		loaded <- err
	case <-time.After(100 * time.Millisecond):
	}
	w.Close()
	if err := <-loaded; err != nil {
		t.Error(err)
	}
	if <-renewed; injected(s) != want {
		t.Errorf("injects %s, not %s", injected(s), want)
	}
}

// TestCutEndsRuns: an exchange that waits for a command is cut off with the others.
func TestCutEndsRuns(t *testing.T) {
	dir := t.TempDir()
	up := answers(t, "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
	told := make(chan *Event, 1)
	s := newServer(t, Options{Observer: func(e *Event) { told <- e }}, `{"routes": [{"path": "/a/", "upstream": "http://`+up+`", "auth_scheme": "Bearer",
		"token_command": ["sh", "-c", "cd `+dir+`; if [ -e ran ]; then touch hangs; sleep 60; fi; touch ran; echo the-token"]}]}`)
	ln := listenLocal(t)
	go s.Serve(ln)
	conn := dialAgent(t, ln.Addr().String())
	io.WriteString(conn, "GET /a/ HTTP/1.1\r\nHost: h\r\n\r\n")
	until(t, func() string {
		if _, err := os.Stat(filepath.Join(dir, "hangs")); err != nil {
			return "the command is not run again"
		}
		return ""
	})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	began := time.Now()
	s.Shutdown(ctx)
	if took := time.Since(began); took >= endWithin || len(told) != 1 {
		t.Errorf("cut after %v; told of %d exchanges", took, len(told))
	}
}

// TestFailedLoadKeepsCommands: a load that fails leaves a command's token as renewable as it was.
func TestFailedLoadKeepsCommands(t *testing.T) {
	dir := t.TempDir()
	routes := func(more string) *Config {
		c, err := ParseConfig("f", []byte(`{"routes": [{"path": "/a/", "upstream": "https://h", "auth_scheme": "Bearer",
			"token_command": ["sh", "-c", "cd `+dir+`; echo run >>runs; echo the-token-$(($(wc -l <runs)))"]}`+more+`]}`))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	s := New(Options{})
	defer s.Shutdown(t.Context())
	if err := s.Load(routes("")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HTTP_PROXY", "ftp://x")
	if err := s.Load(routes(`, {"path": "/b/", "upstream": "http://h", "auth_scheme": "", "token_env": "T"}`)); err == nil {
		t.Fatal("loaded")
	}
	if s.table.Load().routes[0].renew[0](); injected(s) == "the-token-1" {
		t.Error("the token is not renewed any more")
	}
}

// TestCommandPrintsMuch: a token may be as long as one of a file, and no longer.
func TestCommandPrintsMuch(t *testing.T) {
	for more, want := range map[int]tokenState{0: tokenSet, 1: tokenInvalid} {
		src := TokenSource{Command: []string{"sh", "-c", fmt.Sprintf(`head -c %d /dev/zero | tr '\0' x`, maxToken+more)}}
		if v := src.run(t.Context(), 10*time.Second, os.Environ()); v.state != want {
			t.Errorf("%d bytes: %s, %s", maxToken+more, v.state, v.problem)
		}
	}
}

// TestTokenStatusKeepsTokens: a command that is run for its status is given no token of another source.
func TestTokenStatusKeepsTokens(t *testing.T) {
	t.Setenv("ANOTHER_TOKEN", "the-other-token")
	c, err := ParseConfig("f", []byte(`{"routes": [
		{"path": "/a/", "upstream": "https://h", "auth_scheme": "", "token_env": "ANOTHER_TOKEN"},
		{"path": "/b/", "upstream": "https://h", "auth_scheme": "", "token_command": ["sh", "-c", "test -z $ANOTHER_TOKEN && echo a-token"]}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if s := c.TokenStatus(&c.Routes[1].Credentials[0], os.Getenv, 10*time.Second); s.State != "set" {
		t.Errorf("%+v", s)
	}
	if s := c.TokenStatus(&c.Routes[0].Credentials[0], os.Getenv, 10*time.Second); s.State != "set" {
		t.Errorf("%+v", s)
	}
}
