package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"credproxy/fakeupstream"
)

// registryClients install packages.
func registryClients() []client {
	return []client{
		{
			name: "npm", route: "/npm/", version: "npm --version",
			needs: []need{{program: "npm"}},
			steps: []step{
				prints("install of a scoped package and its dependency, whose tarballs have absolute URLs",
					npm("install @fake/greeter")+` && node -p "require('@fake/greeter')('npm')"`, "<- Hello, npm"),
				prints("install of a plain one",
					npm("install fake-left@1.0.0")+` && node -p "require('fake-left')('npm')"`, "<npm"),
				prints("npm ci from the lock",
					`rm -rf node_modules "$HOME/.npm" && `+npm("ci")+` && node -p "require('@fake/greeter')('npm')"`, "<Hello, npm"),
				prints("npm view and whoami", `npm view fake-left version && npm whoami`, "1.1.0\nagent"),
			},
		},
		{
			name: "pip", route: "/pypi/", version: "python3 -m pip --version",
			needs: []need{{program: "python3"}, {python: "pip"}},
			steps: []step{
				prints("install of a package and its dependency", pip("relative"), "<- Hello, pip"),
				{"the same with files on another host, by a route of their own", func(ctx context.Context, b *bottle) error {
					for _, name := range []string{"fake-left", "fake-greeter"} {
						page := "/pypi/simple/" + name + "/"
						b.up.Set(page, fakeupstream.Like(page+"?files=https://pypi-files.example.com/pypi/files/"))
						defer b.up.Set(page, nil)
					}
					out, err := b.sh(ctx, pip("absolute"))
					if err != nil {
						return err
					}
					return want(out, "<- Hello, pip")
				}},
			},
		},
		{
			name: "uv", route: "/pypi/", version: "uv --version",
			needs: []need{{program: "python3"}, {program: "uv"}},
			steps: []step{prints("install of a package and its dependency",
				"uv pip install -q --no-cache --target it fake-greeter && "+greet("it", "uv"), "<- Hello, uv")},
		},
		{
			name: "Go modules", route: "/go/", cannot: present, version: "go version",
			needs: []need{{program: "go"}},
			steps: []step{
				prints("go mod download of a module and its dependency by GOPROXY",
					goDownload("GONOSUMDB=fake.test", "fake.test/greeter@v1.2.0 fake.test/left@v1.0.0")+
						` && cat "$HOME/go/pkg/mod/fake.test/left@v1.0.0/go.mod"`, "module fake.test/left\n\ngo 1.20"),
				prints("go list of its versions",
					"GONOSUMDB=fake.test go list -m -versions fake.test/left", "fake.test/left v1.0.0 v1.1.0"),
			},
		},
		{
			name: "Go modules by git", route: "/github/", version: "go version",
			needs: []need{{program: "go"}, {program: "git"}},
			steps: []step{{"go mod download past a module proxy (GOPRIVATE), by url.insteadOf", goByGit}},
		},
		{
			name: "tea", route: "/gitea/", version: "tea --version",
			needs: []need{{program: "tea"}},
			steps: []step{{"a request for repositories", func(ctx context.Context, b *bottle) error {
				_, _, err := b.try(ctx, "tea repos ls </dev/null || true") // the upstream has no such API
				if err == nil && len(b.up.Requests()) == 0 {
					err = errors.New("nothing came")
				}
				return err
			}}},
		},
	}
}

func npm(args string) string { return "npm --loglevel=error --fetch-retries=0 " + args + " >&2" }

func pip(target string) string {
	return "python3 -m pip install -q --no-cache-dir --retries 0 --target " + target + " fake-greeter && " + greet(target, "pip")
}

// greet is what greets by the package fake-greeter.
func greet(target, whom string) string {
	return "PYTHONPATH=" + target + ` python3 -c "from fake_greeter import greet; print(greet('` + whom + `'))"`
}

// goDownload downloads modules into the home, whose files the owner may remove again.
func goDownload(setting, modules string) string {
	return "export GOFLAGS=-modcacherw GOTOOLCHAIN=local " + setting + "\n" +
		"{ [ -e go.mod ] || go mod init it.test; } 2>/dev/null && go mod download " + modules
}

func goByGit(ctx context.Context, b *bottle) error {
	mod := "module github.com/git/left\n\ngo 1.20\n"
	var stream bytes.Buffer
	writeCommit(&stream, "main", 1, "", "it", "go.mod", mod)
	stream.WriteString("reset refs/tags/v1.0.0\nfrom :1\n")
	if _, err := b.repository(ctx, "left", stream.Bytes()); err != nil {
		return err
	}
	if _, err := b.sh(ctx, goDownload("GOPRIVATE=github.com/git", "github.com/git/left@v1.0.0")); err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(b.dir, "home", "go/pkg/mod/github.com/git/left@v1.0.0/go.mod"))
	if err != nil {
		return err
	}
	return want(string(text), strings.TrimSpace(mod))
}
