// Cover lists what no test and no scenario reaches, and holds each such place to a reason. `ci/check -cover` measures and
// then runs it:
//
//	go run ./ci/cover SCENARIOS EVERYTHING...
//
// The arguments are profiles as `go test -coverprofile` and `go tool covdata textfmt` write them: SCENARIOS is what the
// scenarios alone reach of the program, EVERYTHING what all else reaches. It prints a table of both, and then each block of
// statements that none of them reaches with its reason from ci/cover/reasons.txt, or OPEN where there is none. It ends
// with 1 if a block is open, or if a reason is stale: it names nothing, or what is reached by now.
//
// reasons.txt has an empty line between its entries. An entry is what the list prints, which survives that lines move:
//
//	proxy/upstream.go dial #2
//	| conn, err := d.DialContext(ctx)
//	| if err != nil {
//	| return nil, err
//	The reason, in as many lines as it takes.
//
// That is the file, the function, the number among those in it that read the same, if it is not the first, and the text:
// the line where the block begins, the first line inside, and the line before where the condition says nothing by itself.
// Several blocks may stand above one reason, each with its place.
//
// A reason that begins with "Sometimes:" is for a block that is reached or not as time, load or the machine will have it;
// it says what decides. Such an entry is stale only when its block is gone.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: cover SCENARIOS EVERYTHING...")
		os.Exit(2)
	}
	root, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err == nil {
		err = run(os.Stdout, strings.TrimSpace(string(root)), os.Args[1:])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "cover:", err)
		os.Exit(1)
	}
}

// module is what the names of files in a profile begin with.
const module = "credproxy/"

// run prints the table and the list for the module in root, and returns what is wrong with them.
func run(w io.Writer, root string, profiles []string) error {
	all, err := readReasons(filepath.Join(root, "ci", "cover", "reasons.txt"))
	if err != nil {
		return err
	}
	blocks := make(profile)
	for i, file := range profiles {
		if err := blocks.read(file, i == 0); err != nil {
			return err
		}
	}
	blocks.table(w)
	named, err := name(root, blocks.sorted())
	if err != nil {
		return err
	}
	open, stale := list(w, named, all)
	for _, r := range stale {
		fmt.Fprintf(w, "\nSTALE: %s\n", strings.Join(append([]string{r.key}, r.reason...), "\n"))
	}
	if open > 0 || len(stale) > 0 {
		return errors.New(plural(open, "block") + " without a reason, " + plural(len(stale), "stale reason"))
	}
	return nil
}

func plural(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

// list prints the blocks that nothing reaches, with their reasons. It returns how many have none, and the reasons that
// are stale.
func list(w io.Writer, blocks []*block, reasons []*reason) (open int, stale []*reason) {
	by := make(map[string]*reason)
	for _, r := range reasons {
		by[r.key] = r
	}
	unreached, excused, sometimes := 0, 0, 0
	for _, b := range blocks {
		r := by[b.key]
		if r != nil {
			r.used = !b.reached || r.sometimes()
		}
		if b.reached {
			continue
		}
		unreached++
		text := "OPEN"
		switch {
		case r == nil:
			open++
		case r.sometimes():
			sometimes++
			text = strings.Join(r.reason, "\n")
		default:
			excused++
			text = strings.Join(r.reason, "\n")
		}
		fmt.Fprintf(w, "\n%s:%d\n%s\n%s\n", b.file, b.from.line, b.key, text)
	}
	for _, r := range reasons {
		if !r.used {
			stale = append(stale, r)
		}
	}
	fmt.Fprintf(w, "\n%s of %d not reached: %d with a reason, %d that are reached sometimes, %d open\n",
		plural(unreached, "block"), len(blocks), excused, sometimes, open)
	return open, stale
}
