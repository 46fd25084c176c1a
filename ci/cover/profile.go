package main

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"text/tabwriter"
)

// A position in a file; both count from 1, the column in bytes.
type position struct{ line, column int }

// A place is where a block of statements is that run together.
type place struct {
	file     string // from the root of the module
	from, to position
}

// A block is a place and whether it is reached.
type block struct {
	place
	statements int
	measured   bool   // with the scenarios alone
	scenarios  bool   // reached by them
	reached    bool   // by anything
	key        string // of its entry in reasons.txt
}

// A profile is what of the program is reached.
type profile map[place]*block

// read adds the blocks of a file. Blocks that more binaries than one have are there as often.
func (p profile) read(file string, scenarios bool) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		line := s.Text()
		if strings.HasPrefix(line, "mode: ") {
			continue
		}
		name, where, _ := strings.Cut(line, ":")
		at := place{file: strings.TrimPrefix(name, module)}
		var statements, count int
		if _, err := fmt.Sscanf(where, "%d.%d,%d.%d %d %d", &at.from.line, &at.from.column, &at.to.line, &at.to.column,
			&statements, &count); err != nil || at.file == name {
			return fmt.Errorf("%s: not a line of a profile of this module: %q", file, line)
		}
		b := p[at]
		if b == nil {
			b = &block{place: at, statements: statements}
			p[at] = b
		}
		b.reached = b.reached || count > 0
		b.measured = b.measured || scenarios
		b.scenarios = b.scenarios || scenarios && count > 0
	}
	return nil
}

// sorted returns the blocks in the order of the source.
func (p profile) sorted() []*block {
	return slices.SortedFunc(maps.Values(p), func(a, b *block) int {
		return cmp.Or(strings.Compare(a.file, b.file), cmp.Compare(a.from.line, b.from.line),
			cmp.Compare(a.from.column, b.from.column), cmp.Compare(a.to.line, b.to.line), cmp.Compare(a.to.column, b.to.column))
	})
}

// A sum counts statements, and the blocks that are not reached.
type sum struct{ all, measured, scenarios, reached, blocks int }

func (s *sum) add(b *block) {
	s.all += b.statements
	if b.measured {
		s.measured += b.statements
	}
	if b.scenarios {
		s.scenarios += b.statements
	}
	if b.reached {
		s.reached += b.statements
	} else {
		s.blocks++
	}
}

// table prints how much of each package is reached, in statements, and of all together: by the scenarios alone of what was
// measured with them, and by everything of all.
func (p profile) table(w io.Writer) {
	packages := make(map[string]*sum)
	total := &sum{}
	for _, b := range p {
		of := path.Dir(b.file)
		if packages[of] == nil {
			packages[of] = &sum{}
		}
		packages[of].add(b)
		total.add(b)
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tw, "statements\tscenarios alone\teverything\tblocks not reached\t  package\t")
	row := func(name string, s *sum) {
		fmt.Fprintf(tw, "%d\t%s\t%s\t%d\t  %s\t\n", s.all, percent(s.scenarios, s.measured), percent(s.reached, s.all), s.blocks, name)
	}
	for _, name := range slices.Sorted(maps.Keys(packages)) {
		row(name, packages[name])
	}
	row("in all", total)
	tw.Flush()
}

func percent(n, of int) string {
	if of == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f %%", 100*float64(n)/float64(of))
}
