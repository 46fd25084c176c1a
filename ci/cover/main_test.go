package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// program is a package with blocks of every kind, of which the profile below has a part.
const program = `package lamp

func (l *Lamp) On() error {
	err := l.plug()
	if err != nil {
		// Nobody is at home.
		return err
	}
	if l.broken() {
		return errBroken
	}
	err = l.turn()
	if err != nil {
		return err
	}
	if l.broken() {
		return errBroken
	}
	return nil
}
`

// blocksOf are the blocks of program: where, statements.
var blocksOf = []string{"3.27,5.16 2", "5.16,8.3 1", "9.16,11.3 1", "12.2,13.16 2", "13.16,15.3 1", "16.16,18.3 1", "19.2,19.12 1"}

const (
	plug   = "lamp/lamp.go Lamp.On\n| err := l.plug()\n| if err != nil {\n| return err\n"
	broken = "lamp/lamp.go Lamp.On\n| if l.broken() {\n| return errBroken\n"
	again  = "lamp/lamp.go Lamp.On #2\n| if l.broken() {\n| return errBroken\n"
	turn   = "lamp/lamp.go Lamp.On\n| err = l.turn()\n| if err != nil {\n| return err\n"
)

// cover writes a module of program, with lines before it, and reasons, has two profiles in which the blocks of the
// numbers are reached, and returns what is printed.
func cover(t *testing.T, before int, reasons string, scenarios, everything []int) (string, error) {
	root := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		return file
	}
	write("lamp/lamp.go", strings.Repeat("// Once more.\n\n", before/2)+program)
	write("ci/cover/reasons.txt", "# Why.\n\n"+reasons)
	var files []string
	for i, reached := range [][]int{scenarios, everything} {
		text := "mode: set\n"
		for n, b := range blocksOf {
			var l1, c1, l2, c2, statements, count int
			fmt.Sscanf(b, "%d.%d,%d.%d %d", &l1, &c1, &l2, &c2, &statements)
			if slices.Contains(reached, n) {
				count = 1
			}
			text += fmt.Sprintf("credproxy/lamp/lamp.go:%d.%d,%d.%d %d %d\n", l1+before, c1, l2+before, c2, statements, count)
		}
		files = append(files, write(fmt.Sprint("profile", i), text))
	}
	var out strings.Builder
	err := run(&out, root, files)
	return out.String(), err
}

// TestList: a block that nothing reaches has a reason or is an error, and a reason that is of no use is one too, wherever
// the lines of the file are by now.
func TestList(t *testing.T) {
	for _, tt := range []struct {
		name                  string
		reasons               string
		scenarios, everything []int
		want                  []string // in what is printed
		err                   string
	}{
		{"all reached", "", []int{0, 1, 2, 3}, []int{4, 5, 6}, []string{"9  66.7 %  100.0 %  0  lamp", "0 blocks of 7 not reached"}, ""},
		{"open", "", []int{0, 3, 6}, []int{1, 2, 5}, []string{turn + "OPEN", "9  55.6 %  88.9 %  1  lamp"}, "1 block without a reason, 0 stale reasons"},
		{"with a reason", turn + "It turns.\nAlways.\n\n" + plug + "Sometimes: there is power, or not.\n", []int{0, 2}, []int{3, 5, 6},
			[]string{turn + "It turns.\nAlways.\n", plug + "Sometimes: ", "2 blocks of 7 not reached: 1 with a reason, 1 that are reached sometimes, 0 open"}, ""},
		{"reached sometimes, and now", plug + "Sometimes: there is power, or not.\n", []int{0, 1, 2, 3}, []int{4, 5, 6}, nil, ""},
		{"one for several", turn + plug + "It is mended.\n", []int{0, 2}, []int{3, 5, 6}, []string{turn + "It is mended.\n", plug + "It is mended.\n"}, ""},
		{"reached by now", turn + "It turns.\n", nil, []int{0, 1, 2, 3, 4, 5, 6}, []string{"STALE: " + turn + "It turns."},
			"0 blocks without a reason, 1 stale reason"},
		{"gone", "lamp/lamp.go Lamp.Off\n| return nil\nSometimes: it is off.\n", nil, []int{0, 1, 2, 3, 4, 5, 6}, []string{"STALE: lamp/lamp.go Lamp.Off"},
			"0 blocks without a reason, 1 stale reason"},
		{"the second of two", again + "It is mended.\n", nil, []int{0, 1, 2, 3, 4, 6}, []string{again + "It is mended."}, ""},
		{"the wrong one of two", broken + "It is mended.\n", nil, []int{0, 1, 2, 3, 4, 6}, []string{again + "OPEN", "STALE: " + broken},
			"1 block without a reason, 1 stale reason"},
		{"twice", turn + "It turns.\n\n" + turn + "It does.\n", nil, nil, nil, "twice"},
		{"without a reason", turn, nil, nil, nil, "and a reason"},
		{"without a text", "lamp/lamp.go Lamp.On\nIt turns.\n", nil, nil, nil, "lines that begin with |"},
	} {
		for _, before := range []int{0, 20} {
			t.Run(fmt.Sprint(tt.name, before), func(t *testing.T) {
				out, err := cover(t, before, tt.reasons, tt.scenarios, tt.everything)
				if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
					t.Errorf("error %v, want %q", err, tt.err)
				}
				for _, want := range tt.want {
					if !strings.Contains(out, want) && !strings.Contains(strings.Join(strings.Fields(out), " "), strings.Join(strings.Fields(want), " ")) {
						t.Errorf("printed:\n%s\nwant:\n%s", out, want)
					}
				}
			})
		}
	}
}

// TestReasons holds reasons.txt to the source: what it speaks of is there. That nothing reaches it is for `ci/check -cover`.
func TestReasons(t *testing.T) {
	root := filepath.Join("..", "..")
	all, err := readReasons("reasons.txt")
	if err != nil {
		t.Fatal(err)
	}
	entries := slices.CompactFunc(slices.Clone(all), func(a, b *reason) bool { return &a.reason[0] == &b.reason[0] })
	if !slices.IsSortedFunc(entries, func(a, b *reason) int { return strings.Compare(file(a), file(b)) }) {
		t.Error("the files that the entries begin with are not in order")
	}
	for _, r := range all {
		s, err := readSource(root, file(r))
		if err != nil {
			t.Error(err)
		} else if !s.has(r.key) {
			t.Errorf("not in the source:\n%s", r.key)
		}
	}
}

func file(r *reason) string { return strings.Fields(r.key)[0] }

// has reports whether the text of a key is in its function.
func (s *source) has(key string) bool {
	place, text, _ := strings.Cut(key, "\n")
	var said []string
	for i := range s.lines {
		if s.says(i+1) && s.in(i+1) == strings.Fields(place)[1] {
			said = append(said, "| "+s.lines[i])
		}
	}
	return strings.Contains("\n"+strings.Join(said, "\n")+"\n", "\n"+text+"\n")
}
