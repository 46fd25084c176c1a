package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"credproxy/fakeupstream"

	"github.com/rogpeppe/go-internal/testscript"
)

// patience bounds every wait of a scenario for something that must happen. It
// is long because a loaded machine is slow, and costs nothing where it passes.
const patience = 15 * time.Second

// promptly bounds what must happen without delay: an agent that left is gone
// for its upstream within a second.
const promptly = time.Second

// TestMain lets the scenarios run the program in a process of its own: this
// test binary, started again under the name cred-proxy, or the binary that
// CRED_PROXY_BIN names, which must pass the same scenarios.
func TestMain(m *testing.M) {
	if os.Getenv("GORACE") == "" {
		os.Setenv("GORACE", "atexit_sleep_ms=10") // the default adds a second to every exit
	}
	if bin := os.Getenv("CRED_PROXY_BIN"); bin != "" {
		testscript.Main(binaryUnderTest{m, bin}, map[string]func(){"fakeupstream": fakeUpstream})
	}
	testscript.Main(m, map[string]func(){"cred-proxy": main, "fakeupstream": fakeUpstream})
}

// fakeUpstream is cmd/fakeupstream.
func fakeUpstream() {
	os.Exit(fakeupstream.Main(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// binaryUnderTest runs the tests with the name cred-proxy standing for a binary.
type binaryUnderTest struct {
	m   *testing.M
	bin string
}

func (b binaryUnderTest) Run() int {
	dir, err := putInPath(b.bin)
	if err != nil {
		fmt.Fprintln(os.Stderr, "CRED_PROXY_BIN:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	return b.m.Run()
}

// putInPath makes bin what the name cred-proxy finds, and returns the
// directory that it made for that.
func putInPath(bin string) (dir string, err error) {
	bin, err = filepath.Abs(bin)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(bin); err != nil {
		return "", err
	}
	dir, err = os.MkdirTemp("", "cred-proxy-bin")
	if err != nil {
		return "", err
	}
	name := filepath.Join(dir, "cred-proxy")
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	if err := os.Symlink(bin, name); err != nil {
		b, err := os.ReadFile(bin)
		if err != nil {
			return "", err
		}
		if err := os.WriteFile(name, b, 0o755); err != nil {
			return "", err
		}
	}
	return dir, os.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
}

// scripts is where the scenarios are; see its README.md.
var scripts = filepath.Join("..", "..", "testdata", "scripts")

// scriptCommands are those that scenarios have besides testscript's own.
var scriptCommands = map[string]func(*testscript.TestScript, bool, []string){
	// The program.
	"proxy":     cmdProxy,
	"proxylog":  cmdProxylog,
	"unheard":   cmdUnheard,
	"unread":    cmdUnread,
	"signal":    cmdSignal,
	"stopped":   cmdStopped,
	"successor": cmdSuccessor,
	"activated": cmdActivated,
	"notified":  cmdNotified,
	"exits":     cmdExits,
	"demo":      cmdDemo,
	// The program as a user without privileges, and another process of the same user.
	"unprivileged": cmdUnprivileged,
	"spy":          cmdSpy,
	// One exchange on a connection of its own.
	"request":  cmdRequest,
	"send":     cmdSend,
	"answered": cmdAnswered,
	"refused":  cmdRefused,
	"refuses":  cmdRefuses,
	"crosses":  cmdCrosses,
	"reflects": cmdReflects,
	"upload":   cmdUpload,
	"download": cmdDownload,
	// Connections by name, byte for byte, from either side.
	"connect":    cmdConnect,
	"listen":     cmdListen,
	"accept":     cmdAccept,
	"write":      cmdWrite,
	"head":       cmdHead,
	"body":       cmdBody,
	"read":       cmdRead,
	"event":      cmdEvent,
	"raw":        cmdRaw,
	"closewrite": cmdCloseWrite,
	"close":      cmdClose,
	"gone":       cmdGone,
	"dribble":    cmdDribble,
	// The fake upstream.
	"upstream":   cmdUpstream,
	"respond":    cmdRespond,
	"recorded":   cmdRecorded,
	"requests":   cmdRequests,
	"emit":       cmdEmit,
	"end":        cmdEnd,
	"cut":        cmdCut,
	"streamgone": cmdStreamGone,
	// The world around.
	"egress":  cmdEgress,
	"expand":  cmdExpand,
	"bytes":   cmdBytes,
	"repeat":  cmdRepeat,
	"secret":  cmdSecret,
	"capture": cmdCapture,
	// The operator's port.
	"admin": cmdAdmin,
}

// TestScripts runs the executable specification.
func TestScripts(t *testing.T) {
	t.Cleanup(func() { swept.check(t) }) // when the scenarios have run, which they do in parallel
	testscript.Run(t, testscript.Params{
		Dir:                 scripts,
		Setup:               setUp,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds:                scriptCommands,
	})
}

// TestScenarioForm checks what a reader of the folder relies on: a scenario's
// first line is its rule, it is short, it says that it is about something that
// the README knows, and the README knows every command.
func TestScenarioForm(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join(scripts, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for name := range scriptCommands {
		if !bytes.Contains(readme, []byte("`"+name+" ")) {
			t.Errorf("README.md does not tell of the command %s", name)
		}
	}
	files, err := filepath.Glob(filepath.Join(scripts, "*.txtar"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(filepath.Base(file), ".txtar")
		category, _, _ := strings.Cut(name, "_")
		if !bytes.Contains(readme, []byte("`"+category+"`")) {
			t.Errorf("%s: README.md does not tell of %s", name, category)
		}
		if !rulePattern.Match(text) {
			t.Errorf("%s: the first line is not a comment that says a rule", name)
		}
		if n := bytes.Count(text, []byte("\n")); n > 120 {
			t.Errorf("%s: %d lines", name, n)
		}
	}
}

var rulePattern = regexp.MustCompile(`^# [^\n]{20,}\.\n(# conformance\n)?[^#\n]`)

// A scene is what one scenario has set up so far.
type scene struct {
	env      *testscript.Env
	names    []string // of the variables that the scenario may set
	proxy    *process
	former   *process      // that proxy took over from
	notified *net.UnixConn // where systemd is told of it
	upstream *fakeupstream.Server
	egress   *egress
	conns    map[string]*conn
	sources  map[string]*listener
	caFile   string
	cas      bytes.Buffer
}

type sceneKey struct{}

// of returns the scene of a running script.
func of(ts *testscript.TestScript) *scene { return ts.Value(sceneKey{}).(*scene) }

// setUp gives a script its scene and the environment that the program needs to
// be found by it: a free port, published in a file.
func setUp(env *testscript.Env) error {
	s := &scene{
		env:     env,
		conns:   make(map[string]*conn),
		sources: make(map[string]*listener),
		caFile:  filepath.Join(env.WorkDir, ".tmp", "ca.pem"),
	}
	env.Values[sceneKey{}] = s
	env.Setenv("CRED_PROXY_ROUTES", filepath.Join(env.WorkDir, "routes.json"))
	env.Setenv("CRED_PROXY_PORT", "0")
	env.Setenv("CRED_PROXY_BIND", "127.0.0.1")
	env.Setenv("CRED_PROXY_ADDR_FILE", filepath.Join(env.WorkDir, "address"))
	env.Setenv("SSL_CERT_FILE", s.caFile)
	env.Setenv("CRED_PROXY_MAX_AGENTS", "1000") // for which every machine has descriptors
	env.Setenv("GIT_CONFIG_NOSYSTEM", "1")
	env.Setenv("GIT_TERMINAL_PROMPT", "0")
	for _, v := range env.Vars {
		name, _, _ := strings.Cut(v, "=")
		s.names = append(s.names, name)
	}
	certs, err := certificates()
	if err != nil {
		return err
	}
	if err := s.trust(certs.ca); err != nil {
		return err
	}
	return s.scanNames(env)
}

var envLine = regexp.MustCompile(`(?m)^(?:\[[^]]*\] *)*env +(.*)$`)

// scanNames finds which variables the scenario sets. testscript tells a command
// the value of a variable, but not which ones there are.
func (s *scene) scanNames(env *testscript.Env) error {
	name := s.name()
	text, err := os.ReadFile(filepath.Join(scripts, name+".txtar"))
	if err != nil {
		return err
	}
	for _, line := range envLine.FindAllSubmatch(text, -1) {
		for _, word := range strings.Fields(string(line[1])) {
			if name, _, ok := strings.Cut(word, "="); ok {
				s.names = append(s.names, strings.Trim(name, "'"))
			}
		}
	}
	return nil
}

// name is the scenario's, without its ending.
func (s *scene) name() string { return strings.TrimPrefix(filepath.Base(s.env.WorkDir), "script-") }

// environ is the environment of the script as it is now.
func (s *scene) environ(ts *testscript.TestScript) []string {
	var env []string
	for _, name := range s.names {
		env = append(env, name+"="+ts.Getenv(name))
	}
	return env
}

// secrets are the values of the script's variables that hold a token, by name.
func (s *scene) secrets(ts *testscript.TestScript) map[string]string {
	secrets := make(map[string]string)
	for _, name := range s.names {
		if v := strings.TrimSpace(ts.Getenv(name)); strings.HasSuffix(name, "_TOKEN") && len(v) >= 8 {
			secrets[name] = v
		}
	}
	return secrets
}

// trust makes the program, when it is started after this, trust a CA.
func (s *scene) trust(pem []byte) error {
	s.cas.Write(pem)
	return os.WriteFile(s.caFile, s.cas.Bytes(), 0o666)
}

// cmdExpand rewrites files with the environment's variables put in.
//
//	expand FILE...
func cmdExpand(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg || len(args) == 0, "expand FILE...")
	for _, file := range args {
		text := os.Expand(ts.ReadFile(file), ts.Getenv)
		ts.Check(os.WriteFile(ts.MkAbs(file), []byte(text), 0o666))
	}
}

// cmdRepeat sets a variable to N times TEXT, in which Go's escapes stand for
// themselves and each %d for the number of the time, from 1.
//
//	repeat NAME N TEXT
func cmdRepeat(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg || len(args) != 3, "repeat NAME N TEXT")
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	text := string(content(ts, []string{"-text", args[2]}))
	if !strings.Contains(text, "%d") {
		ts.Setenv(args[0], strings.Repeat(text, n))
		return
	}
	var b strings.Builder
	for i := range n {
		b.WriteString(strings.ReplaceAll(text, "%d", strconv.Itoa(i+1)))
	}
	ts.Setenv(args[0], b.String())
}

// cmdCapture sets a variable to the first part of what was printed last that a
// pattern puts into parentheses.
//
//	capture NAME REGEXP
func cmdCapture(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg || len(args) != 2, "capture NAME REGEXP")
	re, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	m := re.FindStringSubmatch(ts.ReadFile("stdout"))
	if len(m) < 2 {
		ts.Fatalf("no match of %q in stdout", args[1])
	}
	ts.Setenv(args[0], m[1])
}

// usage fails the script with how a command is written, if it is written wrong.
func usage(ts *testscript.TestScript, wrong bool, text string) {
	if wrong {
		ts.Fatalf("usage: %s", text)
	}
}

// flagged takes the leading words of a command line that begin with a dash off
// it and hands each, split at the equals sign, to set; set says whether it
// knows it.
func flagged(ts *testscript.TestScript, args []string, set func(name, value string) bool) []string {
	for len(args) > 0 && strings.HasPrefix(args[0], "-") {
		name, value, _ := strings.Cut(strings.TrimPrefix(args[0], "-"), "=")
		if !set(name, value) {
			ts.Fatalf("unknown option %s", args[0])
		}
		args = args[1:]
	}
	return args
}
