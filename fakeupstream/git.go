package fakeupstream

import (
	"bufio"
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Git over smart HTTP, by git itself.

// DemoRepository is the path of the repository that is there if Options.GitRoot
// is empty. Its branch main has two commits, the same in every process.
const DemoRepository = "/git/demo.git"

//go:embed data/demo.fastimport
var demoHistory []byte

var gitBuiltins = []builtin{
	{"/git/", "git smart HTTP by git http-backend; wants a token, counts pushes", func(p params) (Behaviour, error) {
		path, err := url.PathUnescape(p.arg)
		if err != nil || slices.Contains(strings.Split(path, "/"), "..") {
			return nil, errors.New("bad repository path")
		}
		return guarded(func(x *Exchange) error { return serveGit(x, path) }), nil
	}},
}

// gitRepos are the repositories of a server and what it knows of them.
type gitRepos struct {
	mu     sync.Mutex
	dir    string // of the server's own files; empty until they are needed
	made   bool   // dir has the demo repository
	pushes int
}

// Pushes returns how many pushes to /git/ had the token that they need.
func (s *Server) Pushes() int {
	s.git.mu.Lock()
	defer s.git.mu.Unlock()
	return s.git.pushes
}

func (g *gitRepos) remove() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.dir != "" {
		os.RemoveAll(g.dir)
	}
}

// prepare returns a directory for files of the server's own and the root of the
// repositories, which it makes if there is none.
func (g *gitRepos) prepare(ctx context.Context, root string) (dir, repositories string, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.dir == "" {
		if g.dir, err = os.MkdirTemp("", "fakeupstream-git-"); err != nil {
			return "", "", err
		}
	}
	if root != "" {
		return g.dir, root, nil
	}
	root = filepath.Join(g.dir, "root")
	if !g.made {
		demo := filepath.Join(root, "demo.git")
		if err := runGit(ctx, nil, "init", "--quiet", "--bare", "--initial-branch=main", "--template=", demo); err != nil {
			return "", "", err
		}
		if err := runGit(ctx, demoHistory, "--git-dir="+demo, "fast-import", "--quiet"); err != nil {
			return "", "", err
		}
		g.made = true
	}
	return g.dir, root, nil
}

func runGit(ctx context.Context, stdin []byte, args ...string) error {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Env = gitEnvironment()
	cmd.Stdin = bytes.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("git %s: %w: %s", args[0], err, out)
	}
	return nil
}

// gitEnvironment is the process's environment without what a git that started
// it may have set, such as GIT_DIR in a hook, and without the configuration of
// whoever runs this, whose hooks are not the repository's. A repository of
// another user is served: it was named.
func gitEnvironment() []string {
	env := slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "GIT_") && !strings.HasPrefix(v, "GIT_EXEC_PATH=")
	})
	return append(env, "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL="+os.DevNull,
		"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*")
}

// gitBackend returns the path of git-http-backend. Started as "git
// http-backend" it would be a grandchild that outlives being killed.
var gitBackend = sync.OnceValues(func() (string, error) {
	out, err := exec.Command("git", "--exec-path").Output()
	if err != nil {
		return "", fmt.Errorf("git: %w", err)
	}
	return exec.LookPath(filepath.Join(strings.TrimSpace(string(out)), "git-http-backend"))
})

// serveGit hands the request to git http-backend, a CGI program.
func serveGit(x *Exchange, path string) error {
	g := &x.c.s.git
	dir, root, err := g.prepare(x.Context(), x.c.s.opt.GitRoot)
	var program string
	if err == nil {
		program, err = gitBackend()
	}
	if err != nil {
		x.c.s.logf("%v", err)
		return x.Answer(http.StatusNotImplemented, []byte("git is not to be had here\n"), plainText)
	}
	// The body goes through a file: git answers while it reads, and an
	// exchange is in the hands of one goroutine.
	body, err := os.CreateTemp(dir, "body-")
	if err != nil {
		return err
	}
	defer os.Remove(body.Name())
	defer body.Close()
	size, err := io.Copy(body, struct{ io.Reader }{x})
	if err != nil {
		return err
	}
	if _, err := body.Seek(0, io.SeekStart); err != nil {
		return err
	}
	q := x.Request()
	if q.Method == http.MethodPost && strings.HasSuffix(path, "/git-receive-pack") {
		g.mu.Lock()
		g.pushes++
		g.mu.Unlock()
	}

	ctx, cancel := context.WithCancel(x.Context())
	defer cancel()
	cmd := exec.CommandContext(ctx, program)
	cmd.Stdin = body
	cmd.WaitDelay = time.Second
	cmd.Env = append(gitEnvironment(),
		"GIT_PROJECT_ROOT="+root,
		"GIT_HTTP_EXPORT_ALL=1",
		"GIT_PROTOCOL="+q.Get("Git-Protocol"),
		"REQUEST_METHOD="+q.Method,
		"PATH_INFO=/"+path,
		"QUERY_STRING="+q.Query(),
		"CONTENT_TYPE="+q.Get("Content-Type"),
		"CONTENT_LENGTH="+strconv.FormatInt(size, 10),
		"HTTP_CONTENT_ENCODING="+q.Get("Content-Encoding"),
		"REMOTE_USER=agent", // lets it push
		"REMOTE_ADDR=127.0.0.1",
		"GATEWAY_INTERFACE=CGI/1.1",
		"SERVER_PROTOCOL=HTTP/1.1",
	)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { out.Close() }) // a grandchild may hold it open
	err = answerCGI(x, bufio.NewReader(out))
	if err != nil {
		cancel()
	}
	stop()
	if werr := cmd.Wait(); err == nil && werr != nil {
		x.c.s.logf("git http-backend: %v", werr)
	}
	return err
}

// answerCGI answers with the output of a CGI program (RFC 3875 section 6).
func answerCGI(x *Exchange, out *bufio.Reader) error {
	head, err := readHead(out)
	if err != nil {
		return x.Answer(http.StatusInternalServerError, []byte("git http-backend gave no answer\n"), plainText)
	}
	status, framing, length := http.StatusOK, Chunked, int64(0)
	var fields []Field
	for _, f := range parseFields(head) {
		switch {
		case strings.EqualFold(f.Name, "Status"):
			code, _, _ := strings.Cut(f.Value, " ")
			if status, err = strconv.Atoi(code); err != nil {
				return fmt.Errorf("git http-backend: status %q", f.Value)
			}
		case strings.EqualFold(f.Name, "Content-Length"):
			if length, err = strconv.ParseInt(f.Value, 10, 64); err != nil {
				return fmt.Errorf("git http-backend: length %q", f.Value)
			}
			framing = Length
		default:
			fields = append(fields, f)
		}
	}
	if err := x.Head(status, framing, length, fields...); err != nil {
		return err
	}
	_, err = io.CopyBuffer(struct{ io.Writer }{x}, struct{ io.Reader }{out}, make([]byte, 32<<10))
	return err
}
