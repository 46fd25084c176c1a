//go:build linux

package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// The fates of a mutant.
const (
	killed    = "killed"
	timedOut  = "timed out"
	lived     = "lived"
	uncovered = "not covered"
	open      = "open" // some of the tests that reach it were not run yet
)

// A Result is what became of a mutant; the last one of a mutant in the file of results counts.
type Result struct {
	Key  string
	Fate string
	By   string `json:",omitempty"` // the test that failed
	Ran  int    // tests
}

// A judge finds out what the tests think of mutants.
type judge struct {
	tests   []*Test
	reached []int // by mutant, how many tests reach it
	until   time.Time
	partial bool      // not all tests are here: what they do not kill stays as it was
	out     io.Writer // of results

	mu      sync.Mutex
	fates   map[string]Result
	kills   map[string]map[*Test]int // by function
	idle    int                      // runs without a mutant among those with one
	noise   []string                 // tests of such runs that failed
	ran     map[*Mutant]map[*Test]bool
	mutants []*Mutant
}

// newJudge goes on with the results that there are. A kill counts while there is a test of the name, even if the test
// has changed since.
func newJudge(tests []*Test, partial bool, mutants []*Mutant, until time.Time, results *os.File) (*judge, error) {
	j := &judge{
		tests: tests, partial: partial, mutants: mutants, until: until, out: results, reached: make([]int, len(mutants)+1),
		fates: make(map[string]Result), kills: make(map[string]map[*Test]int), ran: make(map[*Mutant]map[*Test]bool),
	}
	for d := json.NewDecoder(results); ; {
		var r Result
		if err := d.Decode(&r); err == io.EOF {
			break
		} else if err != nil {
			return nil, fmt.Errorf("%s: %w", results.Name(), err)
		}
		j.fates[r.Key] = r
	}
	for _, t := range tests {
		for id, b := range t.Reaches {
			j.reached[id] += int(b)
		}
	}
	named := make(map[string]*Test)
	for _, t := range tests {
		named[t.Name] = t
	}
	for _, m := range mutants {
		r := j.fates[m.Key()]
		if t := named[r.By]; t != nil {
			j.credit(m, t)
		} else if r.By != "" && !partial {
			delete(j.fates, r.Key) // the test is no more: another one may kill, or none
		}
	}
	return j, nil
}

// A function names what the tests of one mutant are likely good for.
func function(m *Mutant) string { return m.File + " " + m.Func }

func (j *judge) credit(m *Mutant, t *Test) {
	of := j.kills[function(m)]
	if of == nil {
		of = make(map[*Test]int)
		j.kills[function(m)] = of
	}
	of[t]++
}

// order returns the tests that reach a mutant and were not run: first those that have killed in the same function and
// those of its package, of a declaration, which all tests reach, only the former; then the ones that promise most for
// their time, as they reach what few others reach around it.
func (j *judge) order(m *Mutant) []*Test {
	j.mu.Lock()
	defer j.mu.Unlock()
	promise := make(map[*Test]float64)
	var tests []*Test
	for _, t := range j.tests {
		if t.Fails || t.Reaches[m.ID] == 0 || j.ran[m][t] {
			continue
		}
		kills := j.kills[function(m)][t]
		p := 10 * float64(kills)
		for id := max(1, m.ID-60); id < min(len(t.Reaches), m.ID+60); id++ {
			if t.Reaches[id] != 0 && j.mutants[id-1].File == m.File {
				p += 1 / float64(j.reached[id])
			}
		}
		p /= (t.Duration + 50*time.Millisecond).Seconds()
		own := t.pkg == m.Package && m.Func != "" && !strings.Contains(t.run, "/")
		if (own || kills > 0) && t.Duration < 2*time.Second {
			p += 1e6
		}
		promise[t] = p
		tests = append(tests, t)
	}
	slices.SortStableFunc(tests, func(a, b *Test) int { return cmp.Compare(promise[b], promise[a]) })
	return tests
}

// round runs the tests that reach the mutants until one fails, but not for much longer than budget with each.
func (j *judge) round(workers []*worker, mutants []*Mutant, budget time.Duration) error {
	return inParallel(workers, mutants, func(w *worker, m *Mutant) error {
		if time.Now().After(j.until) {
			return nil
		}
		return j.try(w, m, budget)
	})
}

func (j *judge) try(w *worker, m *Mutant, budget time.Duration) error {
	if j.reached[m.ID] == 0 && j.partial {
		return nil
	}
	if j.reached[m.ID] == 0 {
		return j.record(m, Result{Fate: uncovered})
	}
	tests := j.order(m)
	for len(tests) > 0 {
		if !j.partial && budget <= 0 || time.Now().After(j.until) {
			return j.record(m, Result{Fate: open})
		}
		run := bundle(tests)
		tests = tests[len(run):]
		for _, t := range run {
			budget -= t.Duration
		}
		failed, err := j.runs(w, m.ID, run)
		if failed != nil && failed.script() != "" && !errors.Is(err, errTime) {
			// Scenarios run the real program against the clock: one kills if it fails again, alone.
			again, retried := j.runs(w, m.ID, []*Test{failed})
			if again == nil {
				tests = append(slices.DeleteFunc(slices.Clone(run), func(t *Test) bool { return t == failed }), tests...)
				run = []*Test{failed}
			}
			failed, err = again, retried
		}
		if failed != nil {
			fate := killed
			if errors.Is(err, errTime) {
				fate = timedOut
			}
			j.mu.Lock()
			j.credit(m, failed)
			j.mu.Unlock()
			return j.record(m, Result{Fate: fate, By: failed.Name})
		}
		if err != nil {
			return err
		}
		j.mu.Lock()
		if j.ran[m] == nil {
			j.ran[m] = make(map[*Test]bool)
		}
		for _, t := range run {
			j.ran[m][t] = true
		}
		j.mu.Unlock()
		if rand.N(30) == 0 {
			failed, err := j.runs(w, 0, run)
			if failed == nil && err != nil {
				return err
			}
			j.mu.Lock()
			j.idle += len(run)
			if failed != nil {
				j.noise = append(j.noise, fmt.Sprintf("%s: %v", failed.Name, err))
			}
			j.mu.Unlock()
		}
	}
	if j.partial {
		return nil
	}
	return j.record(m, Result{Fate: lived})
}

// bundle takes what to run next off tests: the next one alone, or a few scenarios, which run beside one another.
func bundle(tests []*Test) []*Test {
	n := 1
	if strings.Contains(tests[0].run, "/") {
		for n < min(6, len(tests)) && strings.Contains(tests[n].run, "/") && tests[n].pkg == tests[0].pkg {
			n++
		}
	}
	return tests[:n]
}

var failure = regexp.MustCompile(`(?m)^ *--- FAIL: TestScripts/(\S+)`)

// runs runs tests with a mutant, and returns one that fails, and how. An error without a test is of this machine.
func (j *judge) runs(w *worker, mutant int, tests []*Test) (*Test, error) {
	first := tests[0]
	pattern, limit := first.run, 10*time.Second+5*first.Duration
	if len(tests) > 1 {
		var names []string
		for _, t := range tests {
			names = append(names, regexp.QuoteMeta(t.script()))
			limit += 5 * t.Duration
		}
		pattern = "^TestScripts$/^(" + strings.Join(names, "|") + ")$"
	}
	out, _, err := w.run(first.pkg, pattern, mutant, limit, "-test.parallel=4")
	var exit *exec.ExitError
	switch {
	case err == nil:
		return nil, nil
	case !errors.As(err, &exit) && !errors.Is(err, errTime) && !errors.Is(err, exec.ErrWaitDelay):
		return nil, err // nothing has run: it says nothing about the mutant
	}
	if found := failure.FindStringSubmatch(out); found != nil {
		for _, t := range tests {
			if t.script() == found[1] {
				return t, err
			}
		}
	}
	return first, err
}

// script is the name of a test that is a scenario.
func (t *Test) script() string {
	_, name, _ := strings.Cut(t.Name, "TestScripts/")
	return name
}

func (j *judge) record(m *Mutant, r Result) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	r.Key = m.Key()
	r.Ran = len(j.ran[m])
	j.fates[r.Key] = r
	return json.NewEncoder(j.out).Encode(r)
}

func (j *judge) fate(m *Mutant) Result {
	j.mu.Lock()
	defer j.mu.Unlock()
	r, ok := j.fates[m.Key()]
	if !ok {
		r.Fate = open
	}
	return r
}

// reaching are the names of the tests that reach a mutant, the ones for its place first.
func (j *judge) reaching(m *Mutant) []string {
	var names []string
	j.mu.Lock()
	ran := j.ran[m]
	j.ran[m] = nil
	j.mu.Unlock()
	for _, t := range j.order(m) {
		names = append(names, t.Name)
	}
	j.mu.Lock()
	j.ran[m] = ran
	j.mu.Unlock()
	return names
}
