package fakeupstream_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"credproxy/fakeupstream"
)

// git runs git in dir, with a configuration of its own and trust in up.
func git(t *testing.T, up *fakeupstream.Server, dir string, args ...string) (string, error) {
	t.Helper()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, up.CAPEM, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "git", args...)
	cmd.WaitDelay = time.Second
	cmd.Dir = dir
	cmd.Env = append(os.Environ(),
		"GIT_SSL_CAINFO="+ca, "GIT_TERMINAL_PROMPT=0", "GIT_CONFIG_NOSYSTEM=1", "HOME="+dir, "LC_ALL=C",
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@a.test", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@a.test")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestGit(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is not installed")
	}
	home := t.TempDir() // of somebody whose hooks refuse everything
	hook := filepath.Join(home, "hooks", "pre-receive")
	if err := errors.Join(os.Mkdir(filepath.Dir(hook), 0o777), os.WriteFile(hook, []byte("#!/bin/sh\nexit 1\n"), 0o777),
		os.WriteFile(filepath.Join(home, ".gitconfig"), []byte("[core]\n\thooksPath = "+filepath.ToSlash(filepath.Dir(hook))+"\n"), 0o666)); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HOME", home)
	up := start(t, fakeupstream.Options{Token: "s3cret"})
	dir := t.TempDir()
	repo := up.URL + "/base" + fakeupstream.DemoRepository
	auth := []string{"-c", "http.extraHeader=Authorization: Bearer s3cret"}
	run := func(dir string, args ...string) string {
		t.Helper()
		out, err := git(t, up, dir, args...)
		if err != nil {
			t.Fatalf("git %q: %v\n%s", args, err, out)
		}
		return out
	}

	if out, err := git(t, up, dir, "clone", repo, "without"); err == nil || !strings.Contains(out, "could not read Username") {
		t.Errorf("clone without a token: %v\n%s", err, out)
	}
	run(dir, append(auth, "clone", "-q", repo, "work")...)
	work := filepath.Join(dir, "work")
	if p, err := os.ReadFile(filepath.Join(work, "greeting", "hello.txt")); err != nil || string(p) != "Hello from the fake upstream.\n" {
		t.Errorf("clone has %q, %v", p, err)
	}
	if got, want := strings.TrimSpace(run(work, "rev-parse", "v1.0.0^{commit}")), strings.TrimSpace(run(work, "rev-parse", "HEAD")); got != want {
		t.Errorf("tag at %s, HEAD at %s", got, want)
	}
	run(work, "commit", "-q", "--allow-empty", "-m", "more")
	if n := up.Pushes(); n != 0 {
		t.Errorf("%d pushes before the push", n)
	}
	run(work, append(auth, "push", "-q", "origin", "HEAD:main")...)
	if n := up.Pushes(); n != 1 {
		t.Errorf("%d pushes", n)
	}
	if got, want := run(work, append(auth, "ls-remote", "origin", "main")...), strings.TrimSpace(run(work, "rev-parse", "HEAD")); !strings.HasPrefix(got, want) {
		t.Errorf("remote main at %s, want %s", got, want)
	}
}

func TestGitOfARoot(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("git is not installed")
	}
	root := t.TempDir()
	up := start(t, fakeupstream.Options{GitRoot: root})
	if out, err := git(t, up, root, "init", "--bare", "-q", "org/own.git"); err != nil {
		t.Fatal(out)
	}
	out, err := git(t, up, root, "-c", "http.extraHeader=Authorization: token x", "ls-remote", up.URL+"/git/org/own.git")
	if err != nil || strings.TrimSpace(out) != "" {
		t.Errorf("ls-remote: %v\n%s", err, out)
	}
	if resp := get(t, up, "/git/../etc/passwd"); resp.StatusCode == 200 {
		t.Error("a path with .. was served")
	}
}
