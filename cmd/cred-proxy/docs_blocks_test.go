package main

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"credproxy/fakeupstream"
)

// trials are the blocks that are executed, by how they begin.
var trials = map[string]func(*testing.T, *block){
	"go run ./cmd/cred-proxy demo": tryDemo,
	"go build ./cmd/cred-proxy":    tryServing,
	"p = subprocess.Popen(":        tryPython,
	"./fakeupstream -detached":     tryFakeUpstream,
}

// TestReadmeBlocks: what stands between fences is executed or, at least, read by whom it is for. One that no rule covers
// is an error.
func TestReadmeBlocks(t *testing.T) {
	tried := map[string]bool{}
	for _, d := range documents(t) {
		for _, b := range d.blocks {
			var try func(*testing.T, *block)
			for begin, f := range trials {
				if strings.HasPrefix(b.text, begin) {
					try, tried[begin] = f, true
				}
			}
			t.Run(fmt.Sprintf("%s:%d", b.doc, b.line), func(t *testing.T) {
				t.Parallel()
				switch b.info {
				case "json":
					readJSONBlock(t, &b)
				case "go":
					compareGoBlock(t, &b)
				case "mermaid":
					readDiagram(t, &b)
				case "sh", "":
					// What builds, tests or measures the tree is held to what there is, and not run: it would run this.
					unknown := checkShell(t, b.text)
					if len(unknown) > 0 && try == nil {
						t.Errorf("no rule covers the commands %q: add a trial", unknown)
					}
				default:
					if try == nil {
						t.Errorf("no rule covers a block of %s: add a trial", b.info)
					}
				}
				if try != nil {
					try(t, &b)
				}
			})
		}
	}
	for begin := range trials {
		if !tried[begin] {
			t.Errorf("no block begins with %q", begin)
		}
	}
}

// notRun are the commands in running text, by their first word, that no test runs, and why. They are parsed.
var notRun = map[string]string{
	"curl":            "the one that is whole is run with the block that serves",
	"git":             "the scenarios push_* and ci/clients have a real one",
	"head":            "it prints files",
	"kill":            "the block that serves is sent the signal",
	"kubectl":         "it needs a cluster",
	"sha256sum":       "the block that serves has the hash computed",
	"systemctl":       "it needs a booted systemd",
	"systemd-analyze": "ci/deploy/test runs it",
}

// TestReadmeCommands: the commands in running text can be read by a shell and name what there is.
func TestReadmeCommands(t *testing.T) {
	var lines []string
	used := map[string]bool{}
	for _, d := range documents(t) {
		for _, s := range d.spans {
			checkShell(t, s)
			for _, m := range regexp.MustCompile(`\$\((cred-proxy [^)]*)\)`).FindAllStringSubmatch(s, -1) {
				checkShell(t, m[1])
			}
			for _, words := range shellCommands(s) {
				if notRun[words[0]] != "" || isOurs(words[0]) {
					used[words[0]] = true
					lines = append(lines, s)
				}
			}
		}
	}
	for word := range notRun {
		if !used[word] {
			t.Errorf("no document has a command %s", word)
		}
	}
	if len(lines) < 30 {
		t.Errorf("%d commands", len(lines))
	}
	parseShell(t, strings.Join(lines, "\n"))
	readme := documentOf(t, "README.md")
	for _, c := range commands() {
		if !slices.ContainsFunc(readme.spans, func(s string) bool { return strings.Contains(s, "cred-proxy "+c.name) }) &&
			!slices.ContainsFunc(readme.blocks, func(b block) bool { return strings.Contains(b.text, "cred-proxy "+c.name) }) {
			t.Errorf("README.md does not tell of cred-proxy %s", c.name)
		}
		for _, f := range flagsOf(c.flags) {
			if !slices.ContainsFunc(readme.spans, func(s string) bool { return regexp.MustCompile(`(^| )-` + f.Name + `\b`).MatchString(s) }) {
				t.Errorf("README.md does not tell of cred-proxy %s -%s", c.name, f.Name)
			}
		}
	}
}

// isOurs reports whether a command is one that checkShell knows.
func isOurs(word string) bool {
	return word == "cred-proxy" || word == "./cred-proxy" || word == "go" || strings.HasPrefix(word, "ci/")
}

var (
	heredoc    = regexp.MustCompile(`(?ms)<<'?(\w+)'?$.*?^EOF$`)
	comment    = regexp.MustCompile(`(?m)(^|\s)#.*$`)
	separator  = regexp.MustCompile(`\n|&&|\|\||[;|&]`)
	assignment = regexp.MustCompile(`^[A-Za-z_]+=`)
)

// shellCommands are the commands of a text as words, without assignments before them. It knows as much of a shell as
// documents need.
func shellCommands(text string) (found [][]string) {
	text = comment.ReplaceAllString(heredoc.ReplaceAllString(text, ""), "")
	for _, line := range separator.Split(text, -1) {
		words := strings.Fields(line)
		for len(words) > 0 && assignment.MatchString(words[0]) {
			words = words[1:]
		}
		for i := range words {
			words[i] = strings.Trim(words[i], `"'`)
		}
		if len(words) > 0 {
			found = append(found, words)
		}
	}
	return found
}

// checkShell holds the commands that are ours to the tree and to the program's command line, and returns the others.
func checkShell(t *testing.T, text string) (others []string) {
	t.Helper()
	for _, words := range shellCommands(text) {
		switch {
		case !isOurs(words[0]):
			others = append(others, words[0])
		case strings.TrimPrefix(words[0], "./") == "cred-proxy":
			checkCommandLine(t, words[1:])
		case words[0] == "go":
			checkGo(t, words)
		case !exists(t, ".", words[0]):
			t.Errorf("%s is not there", words[0])
		}
	}
	return others
}

// checkCommandLine holds the arguments of a cred-proxy to its commands and their flags.
func checkCommandLine(t *testing.T, args []string) {
	t.Helper()
	declare := settingFlags
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		i := slices.IndexFunc(commands(), func(c command) bool { return c.name == args[0] })
		if i < 0 {
			t.Errorf("there is no command cred-proxy %s", args[0])
			return
		}
		if declare = commands()[i].flags; declare == nil {
			declare = func(*flag.FlagSet) {}
		}
		if words := (completed{}).after(commands()[i].usage).words; words != nil && len(args) > 1 &&
			!slices.ContainsFunc(words, func(w word) bool { return w.text == args[1] }) {
			t.Errorf("cred-proxy %s has no %s", args[0], args[1])
		}
		args = args[1:]
	}
	set := flag.NewFlagSet("", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	declare(set)
	if err := set.Parse(args); err != nil {
		t.Errorf("cred-proxy %s: %v", strings.Join(args, " "), err)
	}
}

// checkGo holds a go command to the packages, tests and flags that there are.
func checkGo(t *testing.T, words []string) {
	t.Helper()
	line := strings.Join(words, " ")
	var pattern string
	dirs := []string{}
	for i := 2; i < len(words); i++ {
		dir, here := strings.CutPrefix(words[i], "./")
		if pkg, ok := strings.CutPrefix(words[i], "credproxy/"); ok {
			dir, here = pkg, true
		}
		switch {
		case words[i] == "-run":
			i++
			pattern = words[i]
		case here && dir != "...":
			dirs = append(dirs, strings.TrimSuffix(dir, "/..."))
			if sources, _ := filepath.Glob(filepath.Join(root, filepath.FromSlash(strings.TrimSuffix(dir, "/...")), "*.go")); len(sources) == 0 {
				t.Errorf("%s: there is no package %s", line, dir)
			}
			if words[1] != "run" {
				break
			}
			if dir == "cmd/cred-proxy" {
				checkCommandLine(t, words[i+1:])
				return
			}
			for _, w := range words[i+1:] {
				if name, ok := strings.CutPrefix(w, "-"); ok && !declaredFlags(t)[name] {
					t.Errorf("%s: there is no flag %s", line, w)
				}
			}
			return
		}
	}
	if pattern == "" {
		return
	}
	name, scenario, _ := strings.Cut(pattern, "/")
	code := ""
	for _, dir := range dirs {
		code += testSources(t, dir)
	}
	if !slices.ContainsFunc(aFunc.FindAllStringSubmatch(code, -1), func(m []string) bool { return regexp.MustCompile(name).MatchString(m[1]) }) {
		t.Errorf("%s: no such test in %q", line, dirs)
	}
	if !slices.ContainsFunc(scenarioNames(t), regexp.MustCompile(scenario).MatchString) {
		t.Errorf("%s: no such scenario", line)
	}
}

// parseShell has bash read a script, if there is one.
func parseShell(t *testing.T, script string) {
	t.Helper()
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Log("SKIPPED: bash is not here to parse this")
		return
	}
	cmd := exec.Command(bash, "-n")
	cmd.Stdin = strings.NewReader(script)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("bash -n: %v\n%s%s", err, out, script)
	}
}

// readJSONBlock has `cred-proxy check` read a routes.json, or one route.
func readJSONBlock(t *testing.T, b *block) {
	text := b.text
	if !strings.Contains(text, `"routes"`) {
		text = `{"routes": [` + text + `]}`
	}
	file := filepath.Join(t.TempDir(), "routes.json")
	if err := os.WriteFile(file, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr strings.Builder
	getenv := func(name string) string {
		if strings.HasSuffix(name, "_TOKEN") {
			return "a-token-of-a-test"
		}
		return ""
	}
	if code := run([]string{"check", file}, getenv, &stdout, &stderr); code != exitOK {
		t.Errorf("%s", &stderr)
	}
	if !strings.Contains(stdout.String(), " set\n") {
		t.Errorf("no token is set:\n%s", &stdout)
	}
}

// compareGoBlock sees that the code is in a test that is run. Each "// ..." stands for something.
func compareGoBlock(t *testing.T, b *block) {
	plain := func(s string) string { return strings.Join(strings.Fields(s), " ") }
	rest := plain(testSources(t, "fakeupstream"))
	for part := range strings.SplitSeq(b.text, "// ...\n") {
		_, after, ok := strings.Cut(rest, plain(part))
		if !ok {
			t.Errorf("no test of fakeupstream has\n%s", part)
		}
		rest = after
	}
}

// readDiagram reads as much of Mermaid as the tree uses.
func readDiagram(t *testing.T, b *block) {
	node := `\w+(?:\["[^"\]]+"\])?`
	forms := regexp.MustCompile(`^(?:flowchart LR|subgraph ` + node + `|end|` + node + `|` + node + ` -- "[^"]+" --> ` + node + `)$`)
	depth := 0
	for line := range strings.Lines(b.text) {
		line = strings.TrimSpace(line)
		if !forms.MatchString(line) {
			t.Errorf("not Mermaid that is known: %s", line)
		}
		if strings.HasPrefix(line, "subgraph ") {
			depth++
		} else if line == "end" {
			depth--
		}
	}
	if depth != 0 {
		t.Errorf("%d subgraphs do not end", depth)
	}
}

// A workshop is a directory in which blocks are executed: the home of who types them, with the programs that they run.
type workshop struct {
	dir string
	env []string
}

func newWorkshop(t *testing.T) *workshop {
	if runtime.GOOS == "windows" {
		t.Skip("the documents are for POSIX shells")
	}
	w := &workshop{dir: t.TempDir()}
	bin := filepath.Join(w.dir, "bin")
	if err := os.Mkdir(bin, 0o777); err != nil {
		t.Fatal(err)
	}
	// Each says which process it is, and ends with the shell that started it.
	for _, name := range []string{"cred-proxy", "fakeupstream"} {
		program, err := exec.LookPath(name)
		if err != nil {
			t.Fatal(err)
		}
		w.write(t, filepath.Join("bin", name), fmt.Sprintf("#!/bin/sh\necho $$ >>\"$HOME/%s.pid\"\n"+
			"if command -v setpriv >/dev/null; then exec setpriv --pdeathsig KILL %[2]s \"$@\"; fi\nexec %[2]s \"$@\"\n", name, program))
	}
	// The go command is a stand-in: it would build for long, and its tests would be these.
	w.write(t, "bin/go", "#!/bin/sh\necho \"go $*\" >>\"$HOME/go.log\"\n"+
		"case \"$1 $2\" in\n'run ./cmd/cred-proxy') shift 2; exec cred-proxy \"$@\" ;;\n"+
		"'build ./cmd/cred-proxy') ln -s bin/cred-proxy . ;;\nesac\n")
	if _, err := exec.LookPath("git"); err != nil {
		w.write(t, "bin/git", "#!/bin/sh\n")
	}
	w.env = []string{"PATH=" + bin + string(os.PathListSeparator) + os.Getenv("PATH"), "HOME=" + w.dir, "TMPDIR=" + w.dir,
		"GORACE=" + os.Getenv("GORACE"), "MANPAGER=cat"}
	w.env = append(w.env, coverage()...)
	return w
}

func (w *workshop) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(w.dir, name), []byte(text), 0o777); err != nil {
		t.Fatal(err)
	}
}

func (w *workshop) read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(w.dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// start has an interpreter run a script.
func (w *workshop) start(t *testing.T, script string, interpreter ...string) *process {
	t.Helper()
	program, err := exec.LookPath(interpreter[0])
	if err != nil {
		t.Skipf("%s is not here", interpreter[0])
	}
	cmd := exec.Command(program, append(interpreter[1:], "-c", script)...)
	cmd.Dir, cmd.Env = w.dir, w.env
	p, err := follow(cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.stop()
		if t.Failed() {
			t.Logf("%s\n%s%s", script, p.stdout, p.stderr)
		}
	})
	return p
}

// bash has bash run a script that stops at the first command that fails.
func (w *workshop) bash(t *testing.T, script string) *process {
	return w.start(t, script, "bash", "-e", "-o", "pipefail")
}

// done waits until a script has ended well.
func done(t *testing.T, p *process) {
	t.Helper()
	if code, err := p.wait(); err != nil || code != 0 {
		t.Fatalf("exit code %d, %v", code, err)
	}
}

// started is the cred-proxy that was started last.
func (w *workshop) started(t *testing.T) *os.Process {
	t.Helper()
	pids := strings.Fields(w.read(t, "cred-proxy.pid"))
	pid, err := strconv.Atoi(pids[len(pids)-1])
	if err != nil {
		t.Fatal(err)
	}
	p, err := os.FindProcess(pid)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// tryDemo runs the demo to its end, which is Ctrl-C, and sees that the other commands are come to.
func tryDemo(t *testing.T, b *block) {
	w := newWorkshop(t)
	p := w.bash(t, b.text)
	if err := p.waitLine(p.stdout, regexp.MustCompile(`^Listening until interrupted`), 1); err != nil {
		t.Fatal(err)
	}
	if err := w.started(t).Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	done(t, p)
	if n := strings.Count(p.stdout.String(), "proxy < "); n != 2 {
		t.Errorf("%d refusals, and the README says two", n)
	}
	if got, want := strings.Count(w.read(t, "go.log"), "\n"), len(shellCommands(b.text)); got != want {
		t.Errorf("%d commands of %d were run", got, want)
	}
}

// tryServing has the program serve the very routes of the README. Its upstreams are a fake one behind the only way out,
// which has their names; the other commands of the README are typed meanwhile.
func tryServing(t *testing.T, b *block) {
	w := newWorkshop(t)
	up, err := fakeupstream.Start(context.Background(), fakeupstream.Options{Names: []string{"api.anthropic.com", "github.com"}})
	if err != nil {
		t.Fatal(err)
	}
	defer up.Close()
	_, host, _ := strings.Cut(up.URL, "://")
	out, err := fakeupstream.StartEgress((&egress{upstream: host, names: []string{"api.anthropic.com", "github.com"}}).lead)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	w.write(t, "ca.pem", string(up.CAPEM))
	typed := w.env
	w.env = append(slices.Clone(typed), "CRED_PROXY_PORT=0", "CRED_PROXY_BIND=127.0.0.1", "CRED_PROXY_MAX_AGENTS=100",
		"CRED_PROXY_ADDR_FILE="+filepath.Join(w.dir, "address"), "SSL_CERT_FILE="+filepath.Join(w.dir, "ca.pem"), "HTTPS_PROXY="+out.URL)
	p := w.bash(t, b.text)
	if err := p.listening(); err != nil {
		t.Fatal(err)
	}
	program := w.started(t)
	if shown := p.stdout.String(); !strings.Contains(shown, "env ANTHROPIC_TOKEN") || !strings.Contains(shown, "env GITHUB_TOKEN") {
		t.Error("check does not show the routes")
	}

	w.env = append(typed, "CRED_PROXY_ROUTES=routes.json")
	eval, completes := spanOf(t, `eval "$(cred-proxy env`), spanOf(t, `eval "$(cred-proxy completion`)
	env := w.bash(t, eval+"\n"+completes+"\necho $ANTHROPIC_BASE_URL; complete -p cred-proxy\n")
	done(t, env)
	if want := "http://cred-proxy:9099/anthropic\ncomplete -F _cred_proxy cred-proxy\n"; env.stdout.String() != want {
		t.Errorf("%s", env.stdout)
	}
	t.Run("manual", func(t *testing.T) {
		if _, err := exec.LookPath("man"); err != nil || runtime.GOOS != "linux" {
			t.Skip("man is not here")
		}
		done(t, w.bash(t, spanOf(t, "cred-proxy man | ")+" >/dev/null"))
	})
	t.Run("curl", func(t *testing.T) {
		if _, err := exec.LookPath("curl"); err != nil {
			t.Skip("curl is not here")
		}
		w.write(t, ".curlrc", "connect-to = \"cred-proxy:9099:"+p.addr+"\"\n")
		const request = `{"model": "m", "max_tokens": 9, "stream": true, "messages": [{"role": "user", "content": "hello"}]}`
		w.write(t, "request.json", request)
		curl := w.bash(t, spanOf(t, "curl -N "))
		done(t, curl)
		if !strings.Contains(curl.stdout.String(), "event: message_stop") {
			t.Errorf("no stream came: %s", curl.stdout)
		}
		got := up.Requests()[0].Dump()
		if !strings.HasPrefix(got, "POST /v1/messages ") || !strings.HasSuffix(strings.TrimSpace(got), request) || !strings.Contains(got, "\nAuthorization: Bearer ...\n") {
			t.Errorf("upstream received\n%s", got)
		}
	})
	resp, err := http.Get("http://" + p.addr + "/github/org/repo")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	got := up.Requests()[len(up.Requests())-1]
	if want := "Basic " + base64.StdEncoding.EncodeToString([]byte("x-access-token:...")); !strings.Contains(got.Dump(), "\nHost: github.com\nAuthorization: "+want+"\n") {
		t.Errorf("upstream received\n%s", got.Dump())
	}
	if err := program.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	hash := fmt.Sprintf("%x", sha256.Sum256([]byte(w.read(t, "routes.json"))))
	if err := p.waitLine(p.stderr, regexp.MustCompile("generation 2, routes "+hash[:12]+"$"), 1); err != nil {
		t.Error(err)
	}
	if err := program.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	done(t, p)
}

// spanOf is the code in the README's running text that begins so.
func spanOf(t *testing.T, begin string) string {
	t.Helper()
	spans := documentOf(t, "README.md").spans
	i := slices.IndexFunc(spans, func(s string) bool { return strings.HasPrefix(s, begin) })
	if i < 0 {
		t.Fatalf("README.md has no %s", begin)
	}
	return spans[i]
}

func tryPython(t *testing.T, b *block) {
	w := newWorkshop(t)
	if err := os.Symlink("bin/fakeupstream", filepath.Join(w.dir, "fakeupstream")); err != nil {
		t.Fatal(err)
	}
	done(t, w.start(t, "import json, ssl, subprocess, urllib.request\n"+b.text, "python3"))
}

// tryFakeUpstream reads the line that the program says from a pipe in place of a file, so that nothing has to wait.
func tryFakeUpstream(t *testing.T, b *block) {
	w := newWorkshop(t)
	for _, name := range []string{"curl", "mkfifo", "sed"} {
		if _, err := exec.LookPath(name); err != nil {
			t.Skipf("%s is not here", name)
		}
	}
	if err := os.Symlink("bin/fakeupstream", filepath.Join(w.dir, "fakeupstream")); err != nil {
		t.Fatal(err)
	}
	started, rest, _ := strings.Cut(b.text, "\n")
	for _, member := range []string{"url", "control", "ca_file"} {
		if !regexp.MustCompile(`#.*\b` + member + `\b`).MatchString(started) {
			t.Errorf("README.md does not say what %s is", member)
		}
	}
	p := w.bash(t, "mkfifo up.json\n"+started+`
trap "kill $!" EXIT
read -r ready < up.json
member() { printf '%s' "$ready" | sed "s/.*\"$1\":\"\([^\"]*\)\".*/\1/"; }
URL=$(member url) CONTROL=$(member control) CA_FILE=$(member ca_file)
`+rest)
	done(t, p)
	if !strings.Contains(p.stdout.String(), "GET /status/200 HTTP/1.1\n") {
		t.Error("the dump has no request")
	}
	var har struct{ Log struct{ Entries []any } }
	if err := json.Unmarshal([]byte(w.read(t, "it.har")), &har); err != nil || len(har.Log.Entries) != 1 {
		t.Errorf("it.har has %d entries: %v", len(har.Log.Entries), err)
	}
}
