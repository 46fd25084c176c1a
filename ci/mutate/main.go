//go:build linux

// Command mutate changes the program in thousands of small ways, one at a time, and finds out for each whether a test
// notices: a scenario that specifies, run against the real program, or a test of a package. What no test notices is not
// specified. It needs Linux and Go.
//
//	go run ./ci/mutate                                            # everything: hours
//	go run ./ci/mutate proxy/http1                                # one package
//	go run ./ci/mutate proxy/relay.go                             # one file
//	go run ./ci/mutate -changed=main                              # the files that differ from a commit
//	go run ./ci/mutate -again proxy/relay.go                      # what lived, once more, after there are better tests
//	go run ./ci/mutate -again -tests='TestRelay|urls_' proxy/relay.go   # against the tests that are meant to kill it
//
// A mutant is one of these:
//
//   - a comparison's boundary moves (< and <=, > and >=), or it is negated; && and || are swapped; a ! is dropped
//   - an if, or a case of a switch without a tag, is never taken; one without an operator of its own is negated
//   - an arithmetic or bit operator becomes another one (+ and -, * and /, % to *, & and |, ^ and &^ to &, << and >>),
//     also with =; ++ and -- are swapped; a minus sign is dropped
//   - an integer that is written out is one more or one less; true and false are swapped
//   - a statement is left out: a call, also with defer or go, an assignment, a send
//   - break and continue are swapped in a loop
//
// Not changed are what other systems compile, declarations of constants, durations, panics, texts, and constants that are
// returned beside an error.
//
// All mutants are compiled into one copy of the module (see rewrite.go and package mutant), and one is chosen for each
// run by a file beside the binaries, so nothing is built again. First each test, and each scenario, is run alone, which
// tells how long it takes and which mutants it reaches. Then the tests that reach a mutant are run until one fails, those
// of its own package and those that promise most first: for a few seconds in a first round over all mutants, for longer in
// each further one; a scenario must fail twice. A run that takes five times as long as without a mutant, and ten seconds,
// counts as killed by time.
// Each worker has a network of its own, if it may: some mutants listen where they should not.
// Sometimes tests are run without a mutant in between, to see that it is not the machine that kills. The order of the
// mutants is as good as random and always the same, so that the table of a run that was stopped speaks for all of them.
//
// The results go to a folder, -out, as they come: results.jsonl, from which a run that was stopped goes on (what a test
// has killed stays killed while there is a test of that name: after tests were weakened, begin with an empty folder), and a
// file per package with a table and the mutants that nothing killed. Those that cannot be killed are in equivalent.txt, each
// with the reason; they are named by place, text and change, so that they are found when lines move, and an entry that
// names no mutant is an error.
package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

// packages are mutated, and their tests are what judges.
var packages = []string{"proxy/http1", "proxy/redact", "proxy", "cmd/cred-proxy"}

type options struct {
	out, tests, changed string
	workers             int
	limit               time.Duration
	again, list         bool
	only                []string // packages and files; all if empty
}

func main() {
	var o options
	flag.StringVar(&o.out, "out", filepath.Join(os.TempDir(), "mutants"), "the `folder` of the results and builds")
	flag.StringVar(&o.tests, "tests", "", "run only tests whose name matches the `regexp`")
	flag.StringVar(&o.changed, "changed", "", "only the files that differ from this `commit`")
	flag.IntVar(&o.workers, "j", 2, "how many mutants are tried at a time")
	flag.DurationVar(&o.limit, "for", 12*time.Hour, "stop after this `time`")
	flag.BoolVar(&o.again, "again", false, "try those again that were not killed")
	flag.BoolVar(&o.list, "list", false, "only list the mutants")
	flag.Parse()
	o.only = flag.Args()
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(1)
	}
}

func run(o options) error {
	started := time.Now()
	interrupted, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root, err := goCommand(".", "list", "-m", "-f", "{{.Dir}}")
	if err != nil {
		return err
	}
	module := strings.TrimSpace(string(root))
	equivalents, err := readEquivalents(filepath.Join(module, "ci/mutate/equivalent.txt"))
	if err != nil {
		return err
	}
	if o.out, err = filepath.Abs(o.out); err != nil {
		return err
	}
	unlock, err := lock(o.out)
	if err != nil {
		return err
	}
	defer unlock()
	t, err := makeTree(module, o.out, packages)
	if err != nil {
		return err
	}
	fmt.Printf("%d mutants, built after %v\n", len(t.mutants), time.Since(started).Round(time.Second))
	stale := stale(equivalents, t.mutants)
	selected, err := o.selected(module, t.mutants)
	if err != nil {
		return err
	}
	if o.list {
		for _, m := range selected {
			fmt.Printf("\n# %s:%d: %s\n%s\n", m.File, m.Line, m.Context, m.Key())
		}
		return stale
	}
	var workers []*worker
	for i := range o.workers {
		w, err := newWorker(t, filepath.Join(o.out, fmt.Sprint("worker", i)))
		if err != nil {
			return err
		}
		defer w.close()
		workers = append(workers, w)
	}
	tests, err := t.listTests(workers[0])
	if err != nil {
		return err
	}
	if o.tests != "" {
		re, err := regexp.Compile(o.tests)
		if err != nil {
			return err
		}
		tests = slices.DeleteFunc(tests, func(t *Test) bool { return !re.MatchString(t.Name) })
	}
	if err := traceAll(tests, workers, filepath.Join(o.out, "trace.jsonl"), os.Stdout); err != nil {
		return err
	}
	fmt.Printf("traced after %v\n", time.Since(started).Round(time.Second))

	results, err := os.OpenFile(filepath.Join(o.out, "results.jsonl"), os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o666)
	if err != nil {
		return err
	}
	defer results.Close()
	j, err := newJudge(tests, o.tests != "", t.mutants, started.Add(o.limit), results)
	if err != nil {
		return err
	}
	dice := rand.New(rand.NewPCG(0, 0))
	dice.Shuffle(len(selected), func(a, b int) { selected[a], selected[b] = selected[b], selected[a] })
	todo := func() []*Mutant {
		return slices.DeleteFunc(slices.Clone(selected), func(m *Mutant) bool {
			_, ok := equivalents[normal(m.Key())]
			fate := j.fate(m).Fate
			return ok || fate != open && !(o.again && (fate == lived || fate == uncovered))
		})
	}
	judged := make(chan error, 1)
	go func() {
		for _, budget := range []time.Duration{3 * time.Second, 12 * time.Second, 48 * time.Second, time.Hour} {
			mutants := todo()
			fmt.Printf("%d mutants to try, each for %v\n", len(mutants), budget)
			if err := j.round(workers, mutants, budget); err != nil {
				judged <- err
				return
			}
			o.again = false
		}
		judged <- nil
	}()
	tick := time.NewTicker(20 * time.Second)
	defer tick.Stop()
	for done := false; !done; {
		select {
		case err := <-judged:
			if err != nil {
				return err
			}
			done = true
		case <-interrupted.Done():
			done = true
		case <-tick.C:
		}
		if err := report(o.out, t.mutants, equivalents, j); err != nil {
			return err
		}
	}
	slices.SortFunc(selected, func(a, b *Mutant) int { return a.ID - b.ID })
	table(os.Stdout, packages, selected, equivalents, j)
	if n := survivors(os.Stdout, selected, equivalents, j, lived, uncovered, open); n > 0 {
		return fmt.Errorf("%d mutants were not killed", n)
	}
	return stale
}

// selected are the mutants that the command line names.
func (o *options) selected(module string, mutants []*Mutant) ([]*Mutant, error) {
	only := slices.Clone(o.only)
	if o.changed != "" {
		diff, err := command(module, time.Minute, "git", "diff", "--name-only", o.changed)
		if err != nil {
			return nil, err
		}
		only = append(only, strings.Fields(string(diff))...)
		if len(only) == 0 {
			return nil, nil
		}
	}
	of := slices.DeleteFunc(slices.Clone(mutants), func(m *Mutant) bool {
		for _, name := range only {
			name = strings.TrimSuffix(strings.TrimPrefix(name, "./"), "/")
			if name == m.File || name == m.Package {
				return false
			}
		}
		return len(only) > 0
	})
	if len(of) == 0 && o.changed == "" {
		return nil, fmt.Errorf("no mutants in %s", strings.Join(o.only, ", "))
	}
	return of, nil
}

// stale is the error of equivalents that are not mutants any more.
func stale(equivalents map[string]equivalent, mutants []*Mutant) error {
	left := make(map[string]bool)
	for k := range equivalents {
		left[k] = true
	}
	for _, m := range mutants {
		delete(left, normal(m.Key()))
	}
	if len(left) == 0 {
		return nil
	}
	var names []string
	for k := range left {
		names = append(names, k)
	}
	slices.Sort(names)
	return fmt.Errorf("equivalent.txt names what is no mutant any more:\n\n%s", strings.Join(names, "\n\n"))
}

// lock sees to it that one run at a time has a folder.
func lock(dir string) (unlock func() error, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o666)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("another run has %s: %w", dir, err)
	}
	return f.Close, nil
}
