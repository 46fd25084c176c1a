//go:build linux

package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
)

// An equivalent is a mutant that no test can tell from the program, and why.
type equivalent struct{ key, reason string }

// readEquivalents reads equivalent.txt: blocks with an empty line between them, of a mutant as the report prints it and
// the reason.
func readEquivalents(file string) (map[string]equivalent, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	all := make(map[string]equivalent)
	for block := range strings.SplitSeq(string(b), "\n\n") {
		var key, reason []string
		for line := range strings.SplitSeq(strings.TrimSpace(block), "\n") {
			switch {
			case strings.HasPrefix(line, "#"), line == "":
			case len(key) < 3:
				key = append(key, strings.TrimRight(line, " "))
			default:
				reason = append(reason, line)
			}
		}
		if len(key) == 0 {
			continue
		}
		if len(reason) == 0 || !strings.HasPrefix(key[1], "- ") || !strings.HasPrefix(key[2], "+") {
			return nil, fmt.Errorf("%s: not a place, a line with -, a line with + and a reason:\n%s", file, block)
		}
		k := normal(strings.Join(key, "\n"))
		if _, ok := all[k]; ok {
			return nil, fmt.Errorf("%s: twice:\n%s", file, k)
		}
		all[k] = equivalent{k, strings.Join(reason, " ")}
	}
	return all, nil
}

// normal is a key without the space at its end, which editors take away.
func normal(key string) string { return strings.TrimRight(key, " ") }

// A count is a line of the table.
type count struct{ killed, timedOut, lived, uncovered, open, equivalent int }

func (c *count) add(fate string) {
	switch fate {
	case killed:
		c.killed++
	case timedOut:
		c.timedOut++
	case lived:
		c.lived++
	case uncovered:
		c.uncovered++
	default:
		c.open++
	}
}

// table prints what became of the mutants of each package.
func table(w io.Writer, packages []string, mutants []*Mutant, equivalents map[string]equivalent, j *judge) {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tw, "mutants\tkilled\ttimed out\tlived\tnot covered\topen\tequivalent\tscore\t  package\t")
	for _, pkg := range packages {
		var c count
		for _, m := range mutants {
			if m.Package != pkg {
				continue
			}
			if _, ok := equivalents[normal(m.Key())]; ok {
				c.equivalent++
			} else {
				c.add(j.fate(m).Fate)
			}
		}
		n := c.killed + c.timedOut + c.lived + c.uncovered
		score := "-"
		if n > 0 {
			score = fmt.Sprintf("%.1f %%", 100*float64(c.killed+c.timedOut)/float64(n))
		}
		if n+c.open+c.equivalent > 0 {
			fmt.Fprintf(tw, "%d\t%d\t%d\t%d\t%d\t%d\t%d\t%s\t  %s\t\n",
				n+c.open+c.equivalent, c.killed, c.timedOut, c.lived, c.uncovered, c.open, c.equivalent, score, pkg)
		}
	}
	tw.Flush()
	j.mu.Lock()
	defer j.mu.Unlock()
	fmt.Fprintf(w, "\n%d tests were run without a mutant in between; failed: %d\n", j.idle, len(j.noise))
	for _, n := range j.noise {
		fmt.Fprintln(w, n)
	}
}

// survivors prints the mutants that nothing killed, those of the fates given, as equivalent.txt wants them.
func survivors(w io.Writer, mutants []*Mutant, equivalents map[string]equivalent, j *judge, fates ...string) (n int) {
	for _, fate := range fates {
		for _, m := range mutants {
			r := j.fate(m)
			if _, ok := equivalents[normal(m.Key())]; ok || r.Fate != fate {
				continue
			}
			n++
			fmt.Fprintf(w, "\n# %s:%d: %s\n# %s", m.File, m.Line, m.Context, fate)
			if names := j.reaching(m); len(names) > 0 {
				fmt.Fprintf(w, "; reached by %d tests: %s", len(names), strings.Join(names[:min(12, len(names))], " "))
			}
			fmt.Fprintf(w, "\n%s\n", m.Key())
		}
	}
	return n
}

// report writes a file per package into dir.
func report(dir string, mutants []*Mutant, equivalents map[string]equivalent, j *judge) error {
	for _, pkg := range packages {
		var of []*Mutant
		for _, m := range mutants {
			if m.Package == pkg {
				of = append(of, m)
			}
		}
		if len(of) == 0 {
			continue
		}
		var b bytes.Buffer
		table(&b, []string{pkg}, of, equivalents, j)
		survivors(&b, of, equivalents, j, lived, uncovered, open)
		file := filepath.Join(dir, strings.ReplaceAll(pkg, "/", "-")+".txt")
		if err := os.WriteFile(file+".new", b.Bytes(), 0o666); err != nil {
			return err
		}
		if err := os.Rename(file+".new", file); err != nil {
			return err
		}
	}
	return nil
}
