package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// registryClients install packages.
func registryClients() []client {
	return []client{
		{
			name: "pip", route: "/pypi/", version: "python3 -m pip --version",
			needs: []need{{program: "python3"}, {python: "pip"}},
			steps: []step{
				prints("install of a package and its dependency", pipInstall("relative"), "<- Hello, pip"),
			},
		},
		{
			name: "uv", route: "/pypi/", version: "uv --version",
			needs: []need{{program: "python3"}, {program: "uv"}},
			steps: []step{prints("install of a package and its dependency", `uv pip install -q --no-cache --target it fake-greeter && `+
				`PYTHONPATH=it python3 -c "from fake_greeter import greet; print(greet('uv'))"`, "<- Hello, uv")},
		},
		{
			name: "Go modules", route: "/go/", version: "go version",
			needs: []need{{program: "go"}},
			steps: []step{
				prints("go mod download of a module and its dependency by GOPROXY", goDownload("export GONOSUMDB=fake.test", "fake.test/greeter@v1.2.0 fake.test/left@v1.0.0")+
					` && cat "$HOME/go/pkg/mod/fake.test/left@v1.0.0/go.mod"`, "module fake.test/left\n\ngo 1.20"),
				prints("go list of its versions", "export GONOSUMDB=fake.test\n"+`go list -m -versions fake.test/left`, "fake.test/left v1.0.0 v1.1.0"),
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

func pipInstall(target string) string {
	return `python3 -m pip install -q --no-cache-dir --disable-pip-version-check --retries 0 --target ` + target + ` fake-greeter && ` +
		`PYTHONPATH=` + target + ` python3 -c "from fake_greeter import greet; print(greet('pip'))"`
}

// goDownload downloads a module into the home, whose files the owner may remove again.
func goDownload(settings, module string) string {
	return "export GOFLAGS=-modcacherw GOTOOLCHAIN=local\n" + settings + "\n" +
		`{ [ -e go.mod ] || go mod init it.test; } 2>/dev/null && go mod download ` + module
}

func goByGit(ctx context.Context, b *bottle) error {
	files := "module github.com/git/left\n\ngo 1.20\n"
	stream := fmt.Sprintf("commit refs/heads/main\nmark :1\ncommitter A <a@example.com> 1700000000 +0000\ndata 1\nx\nM 100644 inline go.mod\ndata %d\n%s\n"+
		"reset refs/tags/v1.0.0\nfrom :1\n", len(files), files)
	if _, err := b.repository(ctx, "left", []byte(stream)); err != nil {
		return err
	}
	if _, err := b.sh(ctx, goDownload("export GOPRIVATE=github.com/git", "github.com/git/left@v1.0.0")); err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(b.dir, "home", "go/pkg/mod/github.com/git/left@v1.0.0/go.mod"))
	if err != nil {
		return err
	}
	return want(string(text), strings.TrimSpace(files))
}
