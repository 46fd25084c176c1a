//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestJudgeNeedsARun: what keeps tests from being run, such as a full disk, kills no mutant.
func TestJudgeNeedsARun(t *testing.T) {
	m := &Mutant{ID: 1, File: "proxy/a.go"}
	scenario := &Test{Name: "cmd/cred-proxy.TestScripts/a", pkg: "cmd/cred-proxy", Reaches: []byte{0, 1}}
	unit := &Test{Name: "proxy.TestA", pkg: "proxy", Reaches: []byte{0, 1}}
	for _, test := range []*Test{scenario, unit} {
		j, err := newJudge([]*Test{test}, false, []*Mutant{m}, time.Now().Add(time.Minute), results(t))
		if err != nil {
			t.Fatal(err)
		}
		w := &worker{dir: t.TempDir(), temp: filepath.Join(t.TempDir(), "none"), t: new(tree)}
		if err := j.try(w, m, time.Second); !errors.Is(err, os.ErrNotExist) || j.fate(m).Fate != open {
			t.Errorf("%s: error %v, and the mutant is %s", test.Name, err, j.fate(m).Fate)
		}
	}
}

// TestJudgeForgets: what was killed by a test that is no more is to be tried again.
func TestJudgeForgets(t *testing.T) {
	m := &Mutant{ID: 1, File: "proxy/a.go", Package: "proxy"}
	test := &Test{Name: "proxy.TestA", Reaches: []byte{0, 1}}
	for by, want := range map[string]string{"proxy.TestA": killed, "proxy.TestGone": open} {
		j, err := newJudge([]*Test{test}, false, []*Mutant{m}, time.Now(), results(t, Result{Key: m.Key(), Fate: killed, By: by}))
		if err != nil {
			t.Fatal(err)
		}
		if got := j.fate(m).Fate; got != want {
			t.Errorf("killed by %s: %s, want %s", by, got, want)
		}
	}
	j, err := newJudge(nil, true, []*Mutant{m}, time.Now(), results(t, Result{Key: m.Key(), Fate: killed, By: test.Name}))
	if err != nil || j.fate(m).Fate != killed {
		t.Errorf("a run with some of the tests forgets: %v, %s", err, j.fate(m).Fate)
	}
}

// results is a file of results.
func results(t *testing.T, rs ...Result) *os.File {
	f, err := os.Create(filepath.Join(t.TempDir(), "results.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	for _, r := range rs {
		if err := json.NewEncoder(f).Encode(r); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	return f
}
