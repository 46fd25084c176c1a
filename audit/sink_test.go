package audit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// told is what an operator was told.
type told struct {
	mu    sync.Mutex
	lines []string
	any   chan struct{} // gets one for each
}

func newTold() *told { return &told{any: make(chan struct{}, 100)} }

func (o *told) say(format string, args ...any) {
	o.mu.Lock()
	o.lines = append(o.lines, fmt.Sprintf(format, args...))
	o.mu.Unlock()
	o.any <- struct{}{}
}

func (o *told) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.Join(o.lines, "\n")
}

// stuck is a disk that hangs until it is freed.
type stuck struct {
	free  chan struct{}
	wrote int
}

func (s *stuck) Write(p []byte) (int, error) {
	<-s.free
	s.wrote += len(p)
	return len(p), nil
}

// TestSinkHangs: a disk that hangs holds up nobody and takes no more than the queue; the loss is told.
func TestSinkHangs(t *testing.T) {
	disk, operator := &stuck{free: make(chan struct{})}, newTold()
	s := NewSink("log", disk, operator.say)
	line := []byte(strings.Repeat("x", 1023) + "\n")
	began := time.Now()
	for range 10 * maxQueued / len(line) {
		s.Write(line)
	}
	if d := time.Since(began); d > 5*time.Second {
		t.Errorf("writing took %v", d)
	}
	s.mu.Lock()
	queued, lost := len(s.queue), s.lost+s.missing // what was lost before and after the disk was given its first lines
	s.mu.Unlock()
	if queued > maxQueued || lost < 7*maxQueued/len(line) {
		t.Errorf("%d bytes queued, %d lines lost", queued, lost)
	}
	s.Close(time.Millisecond) // which does not hang either
	close(disk.free)
	<-s.done
	if !strings.HasPrefix(operator.String(), "log: ") || !strings.HasSuffix(operator.String(), " line(s) lost: writing takes too long") {
		t.Errorf("told: %q", operator)
	}
	if disk.wrote > 3*maxQueued {
		t.Errorf("%d bytes written", disk.wrote)
	}
}

// full is a disk that takes a number of bytes and fails then, until it is emptied.
type full struct {
	mu     sync.Mutex
	room   int
	text   strings.Builder
	failed chan struct{} // for each time
}

func (f *full) Write(p []byte) (n int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n = min(f.room, len(p))
	f.room -= n
	f.text.Write(p[:n])
	if n < len(p) {
		err = errors.New("no space left on device")
		f.failed <- struct{}{}
	}
	return n, err
}

// TestSinkFails: a line of which a part was written does not make one with the next, however long the disk is full; what
// is lost in the meantime is told at the end.
func TestSinkFails(t *testing.T) {
	disk, operator := &full{room: 10, failed: make(chan struct{}, 10)}, newTold()
	s := NewSink("log", disk, operator.say)
	s.Write([]byte("first\n"))
	s.Write([]byte("second\n"))
	<-operator.any
	<-disk.failed
	s.Write([]byte("between\nin the same write\n"))
	<-disk.failed
	disk.mu.Lock()
	disk.room = 100
	disk.mu.Unlock()
	s.Write([]byte("third\n"))
	s.Close(5 * time.Second)
	if got := disk.text.String(); got != "first\nseco\nthird\n" {
		t.Errorf("%q", got)
	}
	if got := operator.String(); got != "log: 1 line(s) lost: no space left on device\nlog: 2 line(s) lost: no space left on device" {
		t.Errorf("told: %q", got)
	}
}

// TestSinkAfterATornLine: what is written to a file that ends within a line begins with a new one.
func TestSinkAfterATornLine(t *testing.T) {
	file := filepath.Join(t.TempDir(), "log")
	put := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for before, want := range map[string]string{"": "line\n", "whole\n": "whole\nline\n", "half": "half\nline\n"} {
		for _, reopened := range []bool{false, true} {
			operator := newTold()
			if put(before); reopened {
				put("")
			}
			s, err := OpenFile(file, operator.say)
			if err != nil {
				t.Fatal(err)
			}
			if reopened {
				put(before)
				s.Reopen()
				<-operator.any
			}
			s.Write([]byte("line\n"))
			s.Close(5 * time.Second)
			if p, err := os.ReadFile(file); err != nil || string(p) != want {
				t.Errorf("after %q, reopened %v: %q, %v", before, reopened, p, err)
			}
		}
	}
}

// TestTorn: a file that ends within a line is known, unless it is not to be read.
func TestTorn(t *testing.T) {
	f, err := openFile(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for i, test := range []struct {
		more string
		want bool
	}{{"", false}, {"whole\n", false}, {"half", true}} {
		f.WriteString(test.more)
		if isTorn(f) != test.want {
			t.Errorf("%d: %v", i, !test.want)
		}
	}
	if err := os.Remove(f.Name()); err != nil {
		t.Skip(err) // where an open file keeps its name
	}
	if isTorn(f) {
		t.Error("torn, though nobody can tell")
	}
}

// TestSinkReopens: after a rename lines go to a new file once it is told, and none is lost; a file is its owner's alone.
func TestSinkReopens(t *testing.T) {
	dir, operator := t.TempDir(), newTold()
	file := filepath.Join(dir, "log")
	s, err := OpenFile(file, operator.say)
	if err != nil {
		t.Fatal(err)
	}
	s.Write([]byte("first\n"))
	if runtime.GOOS != "windows" { // where an open file cannot be renamed
		if err := os.Rename(file, file+".1"); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(file + ".1"); err != nil || info.Mode() != 0o600 {
			t.Errorf("%v, %v", info.Mode(), err)
		}
	}
	s.Reopen()
	<-operator.any
	s.Write([]byte("second\n"))
	s.Close(5 * time.Second)
	all := ""
	for _, f := range []string{file + ".1", file} {
		p, _ := os.ReadFile(f)
		all += string(p)
	}
	if all != "first\nsecond\n" || operator.String() != "SIGUSR1 ok: audit file opened again" {
		t.Errorf("%q, told %q", all, operator)
	}
	if _, err := OpenFile(dir, operator.say); err == nil {
		t.Error("a directory is a file")
	}
}
