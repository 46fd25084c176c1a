//go:build linux

package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"credproxy/ci/loopback"
)

// A Test is one test function of a package, or one scenario.
type Test struct {
	Name     string // FOLDER.TestName or FOLDER.TestScripts/scenario
	Key      string // a hash of all that it depends on, as far as that can change
	Duration time.Duration
	Reaches  []byte // a byte per mutant
	Fails    bool   // without a mutant
	pkg, run string
}

// A worker runs one test at a time, with a choice of its own beside binaries of its own.
type worker struct {
	t    *tree
	dir  string
	temp string
}

func newWorker(t *tree, dir string) (*worker, error) {
	w := &worker{t: t, dir: dir}
	if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o755)); err != nil {
		return nil, err
	}
	binaries, err := os.ReadDir(t.bin)
	if err != nil {
		return nil, err
	}
	for _, b := range binaries {
		if err := os.Link(filepath.Join(t.bin, b.Name()), filepath.Join(dir, b.Name())); err != nil {
			return nil, err
		}
	}
	// Short: the names of Unix sockets are.
	if w.temp, err = os.MkdirTemp("", "m"); err != nil {
		return nil, err
	}
	return w, os.Chmod(w.temp, 0o755)
}

func (w *worker) close() { os.RemoveAll(w.temp) }

// errTime is the end of a run that took too long.
var errTime = errors.New("took too long")

// run runs tests of one package with one mutant, and returns what they printed.
func (w *worker) run(pkg, pattern string, mutant int, limit time.Duration, args ...string) (string, time.Duration, error) {
	if err := os.WriteFile(filepath.Join(w.dir, "mutant"), []byte(strconv.Itoa(mutant)), 0o666); err != nil {
		return "", 0, err
	}
	temp, err := os.MkdirTemp(w.temp, "")
	if err != nil {
		return "", 0, err
	}
	defer os.RemoveAll(temp)
	if err := os.Chmod(temp, 0o777); err != nil {
		return "", 0, err
	}
	cmd := exec.Command(filepath.Join(w.dir, binary(pkg)), append([]string{"-test.run=" + pattern, "-test.failfast"}, args...)...)
	cmd.Dir = filepath.Join(w.t.dir, pkg)
	cmd.Env = append(os.Environ(), "CRED_PROXY_BIN="+filepath.Join(w.dir, "cred-proxy"), "TMPDIR="+temp)
	out := new(tail)
	cmd.Stdout, cmd.Stderr = out, out
	took, err := bounded(cmd, limit)
	return out.String(), took, err
}

// bounded runs a command, which does not outlive this program or the limit.
func bounded(cmd *exec.Cmd, limit time.Duration) (time.Duration, error) {
	runtime.LockOSThread() // of which the child is
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.WaitDelay = 2 * time.Second
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	group := -cmd.Process.Pid
	var late bool
	var mu sync.Mutex
	timer := time.AfterFunc(limit, func() {
		mu.Lock()
		defer mu.Unlock()
		late = true
		syscall.Kill(group, syscall.SIGKILL)
	})
	err := cmd.Wait()
	timer.Stop()
	mu.Lock()
	defer mu.Unlock()
	if late {
		return time.Since(start), errTime
	}
	return time.Since(start), err
}

// A tail keeps the end of what is written to it.
type tail struct{ b []byte }

func (t *tail) Write(p []byte) (int, error) {
	const size = 16 << 10
	if t.b = append(t.b, p...); len(t.b) > 2*size {
		t.b = append(t.b[:0], t.b[len(t.b)-size:]...)
	}
	return len(p), nil
}

func (t *tail) String() string { return string(t.b) }

// listTests finds all tests of the tree.
func (t *tree) listTests(w *worker) ([]*Test, error) {
	var tests []*Test
	for _, pkg := range t.tests {
		dir := filepath.Join(t.dir, pkg)
		files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
		if err != nil {
			return nil, err
		}
		hash := sha256.New()
		io.WriteString(hash, t.sources)
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				return nil, err
			}
			hash.Write(b)
		}
		key := hex.EncodeToString(hash.Sum(nil))
		var out bytes.Buffer
		cmd := exec.Command(filepath.Join(w.dir, binary(pkg)), "-test.list=^(Test|Fuzz|Example)")
		cmd.Dir, cmd.Stdout = dir, &out
		if _, err := bounded(cmd, time.Minute); err != nil {
			return nil, fmt.Errorf("list the tests of %s: %w", pkg, err)
		}
		for name := range strings.Lines(out.String()) {
			name = strings.TrimSuffix(name, "\n")
			if name != "TestScripts" {
				tests = append(tests, &Test{Name: pkg + "." + name, Key: key, pkg: pkg, run: "^" + name + "$"})
				continue
			}
			scripts, err := filepath.Glob(filepath.Join(t.dir, "testdata/scripts/*.txtar"))
			if err != nil {
				return nil, err
			}
			for _, s := range scripts {
				b, err := os.ReadFile(s)
				if err != nil {
					return nil, err
				}
				sum := sha256.Sum256(append([]byte(key), b...))
				script := strings.TrimSuffix(filepath.Base(s), ".txtar")
				tests = append(tests, &Test{
					Name: pkg + ".TestScripts/" + script, Key: hex.EncodeToString(sum[:]), pkg: pkg,
					run: "^TestScripts$/^" + regexp.QuoteMeta(script) + "$",
				})
			}
		}
	}
	return tests, nil
}

// traceLimit bounds one test without a mutant.
const traceLimit = 3 * time.Minute

// trace runs the test as it is, and notes what it reaches and how long that takes.
func (w *worker) trace(t *Test) error {
	file := filepath.Join(w.dir, "reached")
	if err := os.WriteFile(file, make([]byte, len(w.t.mutants)+1), 0o666); err != nil {
		return err
	}
	os.Chmod(file, 0o666) // for the program as another user
	defer os.Remove(file)
	var err error
	for range 2 { // one that fails now and then must not judge either, but a loaded machine gets a second chance
		if _, t.Duration, err = w.run(t.pkg, t.run, 0, traceLimit); err == nil {
			break
		}
	}
	t.Fails = err != nil
	t.Reaches, err = os.ReadFile(file)
	return err
}

// traceAll traces the tests that the cache does not know, and adds them to it.
func traceAll(tests []*Test, workers []*worker, cache string, progress io.Writer) error {
	known := make(map[string]*Test)
	if f, err := os.Open(cache); err == nil {
		for d := json.NewDecoder(f); ; {
			t := new(Test)
			if d.Decode(t) != nil {
				break
			}
			known[t.Name+t.Key] = t
		}
		f.Close()
	}
	f, err := os.OpenFile(cache, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o666)
	if err != nil {
		return err
	}
	defer f.Close()
	var todo []*Test
	for _, t := range tests {
		if k := known[t.Name+t.Key]; k != nil && len(k.Reaches) == len(workers[0].t.mutants)+1 {
			t.Duration, t.Reaches, t.Fails = k.Duration, k.Reaches, k.Fails
		} else {
			todo = append(todo, t)
		}
	}
	fmt.Fprintf(progress, "%d tests, %d of them to be traced\n", len(tests), len(todo))
	var mu sync.Mutex
	return inParallel(workers, todo, func(w *worker, t *Test) error {
		if err := w.trace(t); err != nil {
			return fmt.Errorf("%s: %w", t.Name, err)
		}
		mu.Lock()
		defer mu.Unlock()
		if t.Fails {
			fmt.Fprintf(progress, "%s fails as it is: it judges nothing\n", t.Name)
		}
		return json.NewEncoder(f).Encode(t)
	})
}

// inParallel hands all items to the workers, until one fails.
func inParallel[T any](workers []*worker, items []T, do func(*worker, T) error) error {
	todo := make(chan T)
	errs := make(chan error, len(workers))
	failed := make(chan struct{})
	var once sync.Once
	for _, w := range workers {
		go func() {
			loopback.Own() // where it may not, a mutant that listens where it should not is in the way of others
			for item := range todo {
				if err := do(w, item); err != nil {
					once.Do(func() { close(failed) })
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	for _, item := range items {
		select {
		case todo <- item:
			continue
		case <-failed:
		}
		break
	}
	close(todo)
	var err error
	for range workers {
		err = errors.Join(err, <-errs)
	}
	return err
}
