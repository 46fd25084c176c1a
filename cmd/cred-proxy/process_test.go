package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// A process is a running cred-proxy.
type process struct {
	cmd            *exec.Cmd
	addr           string // the first that it listens on, once start has returned
	stdout, stderr *output
	log            io.Closer     // the other end of its stderr
	exited         chan struct{} // closed once it is gone and all of its output is read
}

// An output is what a process has written so far.
type output struct {
	hangs   atomic.Bool // nobody reads what the process writes from here on, until it is gone
	gone    chan struct{}
	mu      sync.Mutex
	text    strings.Builder
	changed chan struct{} // closed and replaced at each line
}

// follow reads r to its end.
func (o *output) follow(r io.Reader) {
	for br := bufio.NewReader(r); ; {
		line, err := br.ReadString('\n')
		if o.hangs.Load() {
			<-o.gone
		}
		o.mu.Lock()
		o.text.WriteString(line)
		close(o.changed)
		o.changed = make(chan struct{})
		o.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// count returns how many lines match, and a channel that is closed when that
// may have changed.
func (o *output) count(re *regexp.Regexp) (n int, changed <-chan struct{}) {
	o.mu.Lock()
	text, changed := o.text.String(), o.changed
	o.mu.Unlock()
	for line := range strings.Lines(text) {
		if re.MatchString(strings.TrimSuffix(line, "\n")) {
			n++
		}
	}
	return n, changed
}

// coverage is what a program with an environment of its own needs of this one's to write what it reaches, which
// `ci/check -cover` wants to know.
func coverage() (env []string) {
	if dir := os.Getenv("GOCOVERDIR"); dir != "" {
		env = append(env, "GOCOVERDIR="+dir)
	}
	return env
}

// launch runs the cred-proxy of the PATH in dir.
func launch(dir string, env []string, args ...string) (*process, error) {
	bin, err := exec.LookPath("cred-proxy")
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(bin, args...)
	cmd.Dir = dir
	cmd.Env = env
	return follow(cmd)
}

// follow runs a command and follows what it says.
func follow(cmd *exec.Cmd) (*process, error) {
	p := &process{cmd: cmd, exited: make(chan struct{})}
	gone := make(chan struct{})
	var following sync.WaitGroup
	for _, s := range []struct {
		out  **output
		pipe func() (io.ReadCloser, error)
	}{{&p.stdout, p.cmd.StdoutPipe}, {&p.stderr, p.cmd.StderrPipe}} {
		pipe, err := s.pipe()
		if err != nil {
			return nil, err
		}
		o := &output{gone: gone, changed: make(chan struct{})}
		*s.out, p.log = o, pipe
		following.Go(func() {
			o.follow(pipe)
			pipe.Close()
		})
	}
	dieWithParent(p.cmd)
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		p.cmd.ProcessState, _ = p.cmd.Process.Wait() // not of the command, which would close what is not read yet
		close(gone)
		following.Wait()
		close(p.exited)
	}()
	return p, nil
}

// start launches a cred-proxy that is to serve, and returns once it listens.
// Its address file is named by CRED_PROXY_ADDR_FILE in env, and is written
// before the line that says so; of a program that writes none the line has the
// address.
func start(dir string, env []string, args ...string) (*process, error) {
	p, err := launch(dir, env, args...)
	if err != nil {
		return nil, err
	}
	return p, p.listening()
}

// listening waits until a process that is to serve listens; one that does not is
// stopped.
func (p *process) listening() error {
	if err := p.waitLine(p.stderr, listeningLine, 1); err != nil {
		p.stop()
		return fmt.Errorf("cred-proxy did not come up: %w\n%s", err, p.stderr)
	}
	for _, v := range p.cmd.Env {
		if name, file, _ := strings.Cut(v, "="); name == "CRED_PROXY_ADDR_FILE" {
			addr, err := os.ReadFile(file)
			if m := listeningLine.FindStringSubmatch(p.stderr.String()); errors.Is(err, fs.ErrNotExist) && m[1] != "" {
				addr, err = []byte(m[1]), nil
			}
			if err != nil {
				p.stop()
				return fmt.Errorf("it says that it listens, but: %w", err)
			}
			p.addr, _, _ = strings.Cut(string(addr), "\n")
		}
	}
	return nil
}

// listeningLine is what a program says once it listens, and where.
var listeningLine = regexp.MustCompile(`(?m)^cred-proxy listening on (?:(127\.0\.0\.1:\d+);)?`)

// waitLine waits until n lines of an output match re.
func (p *process) waitLine(o *output, re *regexp.Regexp, n int) error {
	timeout := time.After(patience)
	for {
		got, changed := o.count(re)
		if got >= n {
			return nil
		}
		select {
		case <-changed:
		case <-p.exited:
			if got, _ := o.count(re); got >= n {
				return nil
			}
			return fmt.Errorf("it exited: %v", p.cmd.ProcessState)
		case <-timeout:
			return fmt.Errorf("no line matched %q in %v", re, patience)
		}
	}
}

// wait waits for the process to exit and returns its exit code.
func (p *process) wait() (int, error) {
	select {
	case <-p.exited:
		return p.cmd.ProcessState.ExitCode(), nil
	case <-time.After(patience):
		return 0, fmt.Errorf("it has not exited in %v", patience)
	}
}

// stop ends the process whatever it is doing: asked first, so that it can
// write its coverage, then told.
func (p *process) stop() {
	for _, sig := range []os.Signal{syscall.SIGTERM, syscall.SIGTERM, os.Kill} {
		if p.cmd.Process.Signal(sig) != nil {
			p.cmd.Process.Kill() // no such signals on Windows
		}
		select {
		case <-p.exited:
			return
		case <-time.After(3 * time.Second):
		}
	}
}

// crash is what Go says of a data race or a panic.
var crash = regexp.MustCompile(`WARNING: DATA RACE|(?m)^goroutine \d+ \[`)

// cmdProxy starts the program in the background and waits until it listens.
// $PROXY is then its host:port, and $PROXY_PORT the port alone; $ADMIN is that of
// the operator's port, if there is one.
//
//	proxy [ARG...]
func cmdProxy(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, "proxy [ARG...]")
	s := of(ts)
	if s.proxy != nil {
		ts.Fatalf("a proxy is running already")
	}
	p, err := start(ts.MkAbs("."), s.environ(ts), args...)
	ts.Check(err)
	s.run(ts, p)
}

// run makes p the proxy of the script. When the script ends it is stopped, and
// whatever it has said is searched for tokens and for signs of a crash.
func (s *scene) run(ts *testscript.TestScript, p *process) {
	s.proxy = p
	ts.Setenv("PROXY", p.addr)
	ts.Setenv("PROXY_PORT", p.addr[strings.LastIndexByte(p.addr, ':')+1:])
	if m := adminLine.FindStringSubmatch(p.stderr.String()); m != nil {
		ts.Setenv("ADMIN", m[1])
	}
	secrets := s.secrets(ts)
	swept.hold(secrets)
	ts.Defer(func() {
		p.stop()
		log := p.stdout.String() + p.stderr.String()
		ts.Logf("[cred-proxy] %v\n%s", p.cmd.ProcessState, log)
		tb := s.env.T().(testing.TB)
		swept.add(s.name()+": the program", log)
		for name, secret := range secrets {
			if strings.Contains(log, secret) {
				tb.Errorf("the value of %s is in the log", name)
			}
		}
		if crash.MatchString(log) {
			tb.Errorf("the program raced or crashed")
		}
	})
}

// cmdDemo starts the program's demo in the background and waits until a line of
// its tour matches, or until that is over. $PROXY is then the host:port that it
// says it listens on.
//
//	demo [REGEXP]
func cmdDemo(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg || len(args) > 1, "demo [REGEXP]")
	s := of(ts)
	p, err := launch(ts.MkAbs("."), s.environ(ts), "demo")
	ts.Check(err)
	err = p.waitLine(p.stdout, regexp.MustCompile(append(args, `^ *curl `)[0]), 1)
	if url := regexp.MustCompile(`http://(127\.0\.0\.1:\d+)`).FindStringSubmatch(p.stdout.String()); url != nil {
		p.addr = url[1]
	}
	s.run(ts, p)
	ts.Check(err)
}

// cmdProxylog waits for lines of the program's standard error.
//
//	proxylog [-count=N] REGEXP   waits until a line (N lines, and no more) matched
//	! proxylog REGEXP            no line has matched so far
func cmdProxylog(ts *testscript.TestScript, neg bool, args []string) {
	count := 0
	args = flagged(ts, args, func(name, value string) bool {
		n, err := strconv.Atoi(value)
		count = n
		return name == "count" && err == nil
	})
	usage(ts, len(args) != 1 || neg && count > 0, "[!] proxylog [-count=N] REGEXP")
	re, err := regexp.Compile(args[0])
	ts.Check(err)
	p := running(ts)
	if neg {
		if n, _ := p.stderr.count(re); n > 0 {
			ts.Fatalf("a line matches:\n%s", p.stderr)
		}
		return
	}
	if err := p.waitLine(p.stderr, re, max(count, 1)); err != nil {
		ts.Fatalf("%v\n%s", err, p.stderr)
	}
	if n, _ := p.stderr.count(re); count > 0 && n > count {
		ts.Fatalf("%d lines match, not %d:\n%s", n, count, p.stderr)
	}
}

// cmdUnheard has nobody read the program's standard error any more.
//
//	unheard
func cmdUnheard(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg || len(args) != 0, "unheard")
	ts.Check(running(ts).log.Close())
}

// cmdUnread has whoever reads the program's standard error hang until the program is gone.
//
//	unread
func cmdUnread(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg || len(args) != 0, "unread")
	running(ts).stderr.hangs.Store(true)
}

// cmdSuccessor starts the program once more, beside the one that runs, and
// makes it the program of the script; the other is the former one from then on.
//
//	successor [ARG...]
func cmdSuccessor(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg, "successor [ARG...]")
	s := of(ts)
	s.former, s.proxy = running(ts), nil
	cmdProxy(ts, false, args)
}

// oneOf takes -former off a command line and returns whom it is about.
func oneOf(ts *testscript.TestScript, args []string) (p **process, rest []string) {
	s := of(ts)
	if len(args) == 0 || args[0] != "-former" {
		running(ts)
		return &s.proxy, args
	}
	if s.former == nil {
		ts.Fatalf("there is no former proxy")
	}
	return &s.former, args[1:]
}

// cmdSignal sends the program a signal, or the one that ran before it.
//
//	signal [-former] HUP|INT|TERM|USR1|KILL
func cmdSignal(ts *testscript.TestScript, neg bool, args []string) {
	signals := map[string]os.Signal{"HUP": syscall.SIGHUP, "INT": syscall.SIGINT, "TERM": syscall.SIGTERM, "KILL": os.Kill}
	for _, sig := range reopenSignals {
		signals["USR1"] = sig
	}
	p, args := oneOf(ts, args)
	usage(ts, neg || len(args) != 1 || signals[args[0]] == nil, "signal [-former] HUP|INT|TERM|USR1|KILL")
	ts.Check((*p).cmd.Process.Signal(signals[args[0]]))
}

// cmdStopped waits until the program has exited, with code 0 unless told
// otherwise, and makes its output the stdout and stderr of the script.
//
//	stopped [-former] [CODE]
func cmdStopped(ts *testscript.TestScript, neg bool, args []string) {
	p, args := oneOf(ts, args)
	usage(ts, neg || len(args) > 1, "stopped [-former] [CODE]")
	exited(ts, *p, append(args, "0")[0], false)
	*p = nil
}

// cmdExits runs the program to its end, which must come by itself, and makes
// its output the stdout and stderr of the script.
//
//	exits CODE [ARG...]
//	! exits CODE [ARG...]   with another code, whichever
func cmdExits(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, len(args) == 0, "[!] exits CODE [ARG...]")
	s := of(ts)
	p, err := launch(ts.MkAbs("."), s.environ(ts), args[1:]...)
	ts.Check(err)
	defer p.stop()
	exited(ts, p, args[0], neg)
}

// cmdSecret sets a variable to a text with Go's escapes, which env cannot.
//
//	secret NAME 'TEXT\n'
func cmdSecret(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg || len(args) != 2, "secret NAME TEXT")
	s := of(ts)
	s.names = append(s.names, args[0])
	ts.Setenv(args[0], string(content(ts, []string{"-text", args[1]})))
}

// cmdBytes writes a file of a text with Go's escapes.
//
//	bytes FILE 'TEXT\xff'
func cmdBytes(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg || len(args) != 2, "bytes FILE TEXT")
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), content(ts, []string{"-text", args[1]}), 0o666))
}

// exited waits for the end of the program and checks its exit code, which must
// be another one than want if not.
func exited(ts *testscript.TestScript, p *process, want string, not bool) {
	code, err := p.wait()
	if err != nil {
		p.stop()
	}
	fmt.Fprint(ts.Stdout(), p.stdout)
	fmt.Fprint(ts.Stderr(), p.stderr)
	log := p.stdout.String() + p.stderr.String()
	swept.hold(of(ts).secrets(ts))
	swept.add(of(ts).name()+": the program", log)
	ts.Check(err)
	if crash.MatchString(log) {
		ts.Fatalf("the program raced or crashed")
	}
	if (strconv.Itoa(code) == want) == not {
		ts.Fatalf("exit code %d, want %s", code, map[bool]string{false: "", true: "not "}[not]+want)
	}
}

// running is the program that the script has started.
func running(ts *testscript.TestScript) *process {
	p := of(ts).proxy
	if p == nil {
		ts.Check(errors.New("no proxy is running"))
	}
	return p
}
