// Conform holds a program to the conformance suite: those of the scenarios in testdata/scripts that any program must pass
// which is to stand where cred-proxy stands, whatever it is written in. From the root of the repository:
//
//	go run ./ci/conform -bin PROGRAM
//
// It prints a line per scenario, pass or FAIL with the first line that failed, and ends with 1 if any has failed.
// testdata/scripts/README.md says what the program has to understand. -h shows what else there is.
//
// The scenarios are run by the tests that always run them, TestScripts in cmd/cred-proxy; what is here only chooses them
// and reads what comes out.
package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

// mark is the second line of a scenario that is for any program.
const mark = "# conformance"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
	case errors.Is(err, errUsage):
		os.Exit(2)
	case errors.Is(err, errFailed):
		os.Exit(1)
	case err != nil:
		fmt.Fprintln(os.Stderr, "conform:", err)
		os.Exit(1)
	}
}

var (
	errUsage  = errors.New("usage")
	errFailed = errors.New("a scenario has failed")
)

// A result is what has become of a scenario.
type result struct {
	Scenario string `json:"scenario"`
	Rule     string `json:"rule"`
	Result   string `json:"result"`           // pass, FAIL or skip
	Reason   string `json:"reason,omitempty"` // the first line that failed, or why it was skipped

	Seconds float64 `json:"seconds"` // that it took, beside others
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	f := flag.NewFlagSet("conform", flag.ContinueOnError)
	f.SetOutput(stderr)
	bin := f.String("bin", "", "the `program`; without it, the cred-proxy of this repository")
	all := f.Bool("all", false, "all scenarios, also those that only cred-proxy must pass")
	which := f.String("run", "", "only scenarios whose name matches this `regexp`")
	list := f.Bool("list", false, "list the scenarios and their rules, and run none")
	asJSON := f.Bool("json", false, "print a JSON object a line instead of a table")
	timeout := f.Duration("timeout", 10*time.Minute, "give up after this `time`")
	if err := f.Parse(args); errors.Is(err, flag.ErrHelp) {
		return err
	} else if err != nil {
		return errUsage
	}
	match, err := regexp.Compile(*which)
	if err != nil || f.NArg() > 0 {
		fmt.Fprintln(stderr, "conform takes flags only, and -run a regular expression; see -h")
		return errUsage
	}
	root, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return fmt.Errorf("go list: %w", err)
	}
	dir := strings.TrimSpace(string(root))
	chosen, err := choose(filepath.Join(dir, "testdata", "scripts"), *all, match)
	if err != nil {
		return err
	}
	if *list {
		for _, r := range chosen {
			fmt.Fprintf(stdout, "%-28s %s\n", r.Scenario, r.Rule)
		}
		return nil
	}
	if *bin != "" {
		if *bin, err = filepath.Abs(*bin); err != nil {
			return err
		}
		if _, err := exec.LookPath(*bin); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, *timeout)
	defer cancel()
	others, err := judge(ctx, dir, *bin, chosen, *timeout)
	if err != nil {
		return err
	}
	return report(stdout, chosen, others, *asJSON)
}

// choose returns the scenarios that are to run, by their names.
func choose(dir string, all bool, match *regexp.Regexp) ([]*result, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.txtar"))
	if err != nil {
		return nil, err
	}
	var chosen []*result
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		lines := strings.SplitN(string(text), "\n", 3)
		name := strings.TrimSuffix(filepath.Base(file), ".txtar")
		if len(lines) == 3 && (all || lines[1] == mark) && match.MatchString(name) {
			chosen = append(chosen, &result{Scenario: name, Rule: strings.TrimPrefix(lines[0], "# ")})
		}
	}
	if chosen == nil {
		return nil, errors.New("no such scenario")
	}
	return chosen, nil
}

// judge runs scenarios and fills in what has become of them. What failed that is none of them is in others: the tests
// look through all that was said at the end.
func judge(ctx context.Context, dir, bin string, chosen []*result, timeout time.Duration) (others []string, err error) {
	var names []string
	by := map[string]*result{}
	for _, r := range chosen {
		names = append(names, regexp.QuoteMeta(r.Scenario))
		by["TestScripts/"+r.Scenario] = r
	}
	cmd := exec.CommandContext(ctx, "go", "test", "-count=1", "-json", "-timeout", timeout.String(),
		"-run", "^TestScripts$/^("+strings.Join(names, "|")+")$", "./cmd/cred-proxy")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CRED_PROXY_BIN="+bin)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) } // go ends its children
	cmd.WaitDelay = 10 * time.Second
	out, err := cmd.Output()
	said, failed := map[string]*strings.Builder{}, map[string]bool{}
	for line := range bytes.Lines(out) {
		var event struct {
			Action, Test, Output string
			Elapsed              float64
		}
		if json.Unmarshal(line, &event) != nil {
			continue
		}
		if said[event.Test] == nil {
			said[event.Test] = &strings.Builder{}
		}
		said[event.Test].WriteString(event.Output)
		r := by[event.Test]
		if r != nil {
			r.Seconds = event.Elapsed // of the last event: the others have none
		}
		switch {
		case event.Action == "fail" && r == nil:
			failed[event.Test] = true
		case event.Action == "fail":
			r.Result, r.Reason = "FAIL", reason(said[event.Test].String())
		case event.Action == "skip" && r != nil:
			r.Result, r.Reason = "skip", reason(said[event.Test].String())
		case event.Action == "pass" && r != nil:
			r.Result = "pass"
		}
	}
	ran := false
	for _, r := range chosen {
		if ran = ran || r.Result != ""; r.Result == "" {
			r.Result, r.Reason = "FAIL", "it has not come to an end"
		}
	}
	if !ran {
		why := ""
		for _, s := range said {
			why += s.String()
		}
		return nil, fmt.Errorf("no scenario was run: %v\n%s", err, why)
	}
	if failed["TestScripts"] {
		for line := range strings.Lines(said["TestScripts"].String()) {
			if m := complaint.FindStringSubmatch(line); m != nil && !strings.HasSuffix(strings.TrimSpace(line), "tokens") {
				others = append(others, m[1])
			}
		}
	}
	return others, nil
}

var (
	command    = regexp.MustCompile(`^ *> (.*)$`)
	failedLine = regexp.MustCompile(`^ *FAIL: .*?([^/\\]+\.txtar:\d+): (.*)$`)
	complaint  = regexp.MustCompile(`^ *\w+\.go:\d+: (.*)$`)
)

// reason finds in what a scenario's test said the first line that failed: where it is, what it was and what was wrong.
// Where the script itself came to its end it is what was found after that.
func reason(said string) string {
	last, found := "", ""
	for s := bufio.NewScanner(strings.NewReader(said)); s.Scan(); {
		if m := command.FindStringSubmatch(s.Text()); m != nil {
			last = m[1]
		} else if m := failedLine.FindStringSubmatch(s.Text()); m != nil {
			return fmt.Sprintf("%s: %s: %s", m[1], last, m[2])
		} else if m := complaint.FindStringSubmatch(s.Text()); m != nil && m[1] != "" {
			found = m[1]
		}
	}
	return found
}

// report prints what has become of everything, and returns an error if anything failed.
func report(w io.Writer, results []*result, others []string, asJSON bool) error {
	count := map[string]int{}
	e := json.NewEncoder(w)
	for _, r := range results {
		count[r.Result]++
		if asJSON {
			if err := e.Encode(r); err != nil {
				return err
			}
			continue
		}
		fmt.Fprintln(w, strings.TrimSpace(fmt.Sprintf("%s  %-28s %.160s", r.Result, r.Scenario, r.Reason)))
	}
	slices.Sort(others)
	for _, other := range others {
		count["FAIL"]++
		if !asJSON {
			fmt.Fprintf(w, "FAIL  of all together: %.160s\n", other)
		}
	}
	totals := fmt.Sprintf("%d passed, %d failed", count["pass"], count["FAIL"])
	if count["skip"] > 0 {
		totals += fmt.Sprintf(", %d skipped", count["skip"])
	}
	if !asJSON {
		slowest := slices.MaxFunc(results, func(a, b *result) int { return cmp.Compare(a.Seconds, b.Seconds) })
		fmt.Fprintf(w, "\nslowest: %s, %.1f s\n%s\n", slowest.Scenario, slowest.Seconds, totals)
	}
	if count["FAIL"] > 0 {
		return errFailed
	}
	return nil
}
