package main

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The test's program is the upstreams' too.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == "upstream" {
		if err := serveUpstreams(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// TestBench runs everything there is, as small as it can be: the figures mean nothing, but none is missing.
func TestBench(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes seconds")
	}
	files := filepath.Join(t.TempDir(), "README")
	o, err := parse([]string{"-quick", "-pin=false", "-md", files + ".md", "-svg", files + ".svg"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	o.scale = scale{window: 50 * time.Millisecond, quiet: 50 * time.Millisecond, busy: 20, streams: 20, bulk: 8 << 20, connections: 100, routes: 1000}
	var log strings.Builder
	if err := run(t.Context(), o, io.Discard, &log); err != nil {
		t.Fatalf("%v\n%s", err, log.String())
	}
	text, err := os.ReadFile(files + ".md")
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s\n%s", log.String(), text)
	rows := table(t, string(text))
	own := 2 // the column, behind the labels and direct
	if rows[0][own] != "cred-proxy" {
		t.Fatalf("a heading of %q", rows[0])
	}
	for _, row := range rows[2:] {
		heading := strings.HasPrefix(row[0], "**")
		if canMeasure && !heading && row[own] == "" {
			t.Errorf("cred-proxy has no %s", row[0])
		}
	}
	for _, w := range workloads(o.scale) {
		if !strings.Contains(string(text), "**"+w.name+"**") {
			t.Errorf("%s is missing", w.name)
		}
	}
	image, err := os.ReadFile(files + ".svg")
	if err != nil {
		t.Fatal(err)
	}
	bars(t, string(image))
}

// TestReport holds the table and the chart to figures that are known.
func TestReport(t *testing.T) {
	old, new, nginx, haproxy := peer{name: "<old>", own: true}, peer{name: "new", own: true}, peer{name: "nginx"}, peer{name: "HAProxy"}
	w := workload{name: "w", about: "a & b", figures: []figure{{key: "a", label: "a"}, {key: "b", label: "b", plain: true}, {key: "none", label: "none"}}}
	r := newResults(options{rounds: 3}, []peer{{name: direct}, old, new, nginx, haproxy}, []workload{w})
	for p, values := range map[*peer][]float64{&old: {30, 10, 20}, &new: {160}, &nginx: {40, 41, 39}, &haproxy: {100}} {
		for _, v := range values {
			r.add(w, w.figures[0], *p, v)
			r.add(w, w.figures[1], *p, v)
		}
	}
	rows := table(t, r.markdown())
	for i, want := range map[int]string{
		0: " direct <old> new nginx HAProxy <old> ÷ better rival new ÷ better rival",
		3: "a  20.0 (10.0–30.0) 160 40.0 (39.0–41.0) 100 **0.50** **4.00**",
		4: "b  20.0 (10.0–30.0) 160 40.0 (39.0–41.0) 100  ",
		5: "none       ",
	} {
		if got := strings.Join(rows[i], " "); got != want {
			t.Errorf("row %d is %q, want %q", i, got, want)
		}
	}
	if n := bars(t, r.chart()); n != 2 {
		t.Errorf("%d bars in:\n%s", n, r.chart())
	}
	alone := newResults(options{rounds: 1}, []peer{old}, []workload{w})
	alone.add(w, w.figures[0], old, 1)
	if n := bars(t, alone.chart()); n != 0 {
		t.Errorf("%d bars without anybody to compare with", n)
	}
}

// table returns the cells of the table that a text begins with, and fails if its rows are not of one length.
func table(t *testing.T, text string) (rows [][]string) {
	t.Helper()
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line == "" {
			break
		}
		cells := strings.Split(line, "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		rows = append(rows, cells[1:len(cells)-1])
		if len(cells) != len(rows[0])+2 {
			t.Errorf("%d cells, not %d: %s", len(cells)-2, len(rows[0]), line)
		}
	}
	if len(rows) < 3 {
		t.Fatalf("there is no table in:\n%s", text)
	}
	return rows
}

// bars counts the bars of an image, and fails if it is not well-formed.
func bars(t *testing.T, image string) (n int) {
	t.Helper()
	for d := xml.NewDecoder(strings.NewReader(image)); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return n
		}
		if err != nil {
			t.Fatalf("%v in:\n%s", err, image)
		}
		if e, ok := token.(xml.StartElement); ok && e.Name.Local == "rect" {
			n++
		}
	}
}
