package audit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// Where the lines of a log go, without anybody who waits for that.

const (
	// maxQueued is how many bytes wait at most to be written.
	maxQueued = 1 << 20

	// keptBuffer is how large a buffer may be that is kept for the next lines.
	keptBuffer = 64 << 10

	// gatherFor is how long after a write a line waits for others to be written with: a write costs more than making a
	// line does.
	gatherFor = 10 * time.Millisecond

	// enough is how many bytes need no others.
	enough = 32 << 10

	// lossEvery is how often an operator is told that lines are lost.
	lossEvery = time.Minute
)

// Sink writes lines in the background, at once if they are few. Write never waits and never fails: what does not fit into
// a queue of 1 MiB, because the disk or the reader is too slow, and what cannot be written, is lost, and the operator is
// told how much.
type Sink struct {
	name string
	dst  io.Writer
	file *os.File // dst, if it is ours to open and close
	say  func(format string, args ...any)

	mu      sync.Mutex
	queue   []byte    // whole lines
	lines   int       // in the queue
	lost    int       // lines for which there was no room
	wrote   time.Time // when the queue was last emptied
	reopen  bool
	closing bool

	soon *time.Timer // wakes; set when a line is the first one in the queue
	wake chan struct{}
	done chan struct{} // closed when everything is written after Close

	// Of the goroutine that writes.
	spare   []byte
	torn    bool // the last line has no end
	missing int  // lines that are lost and not told of
	why     error
	told    time.Time
}

// NewSink returns a Sink that writes to w, under a name that the operator knows it by. say takes what he is told.
func NewSink(name string, w io.Writer, say func(format string, args ...any)) *Sink {
	s := newSink(name, w, say)
	go s.run()
	return s
}

func newSink(name string, w io.Writer, say func(format string, args ...any)) *Sink {
	s := &Sink{name: name, dst: w, say: say, wake: make(chan struct{}, 1), done: make(chan struct{})}
	s.soon = time.AfterFunc(time.Hour, s.awake)
	return s
}

// OpenFile returns a Sink that appends to a file, which only its owner may read if it is created here.
func OpenFile(file string, say func(format string, args ...any)) (*Sink, error) {
	f, err := openFile(file)
	if err != nil {
		return nil, fmt.Errorf("audit file: %w", err)
	}
	s := newSink("audit file", f, say)
	s.file, s.torn = f, isTorn(f)
	go s.run()
	return s, nil
}

// openFile does not wait for the other end of a pipe, as opening one would.
func openFile(file string) (*os.File, error) {
	if info, err := os.Stat(file); err == nil && info.Mode()&(os.ModeNamedPipe|os.ModeSocket|os.ModeDir) != 0 {
		return nil, fmt.Errorf("%s is not a file", file)
	}
	return os.OpenFile(file, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
}

// isTorn reports whether a file ends within a line, as one does for which there was no room.
func isTorn(f *os.File) bool {
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Size() == 0 {
		return false
	}
	r, err := os.Open(f.Name())
	if err != nil {
		return false
	}
	defer r.Close()
	var last [1]byte
	_, err = r.ReadAt(last[:], info.Size()-1)
	return err == nil && last[0] != '\n'
}

// Write takes one line, or several.
func (s *Sink) Write(lines []byte) (int, error) {
	n := bytes.Count(lines, []byte("\n"))
	s.mu.Lock()
	if s.lines+s.lost == 0 {
		s.soon.Reset(gatherFor - time.Since(s.wrote))
	}
	if len(s.queue)+len(lines) > maxQueued || s.closing {
		s.lost += n
	} else {
		s.queue = append(s.queue, lines...)
		s.lines += n
	}
	full := len(s.queue) >= enough
	s.mu.Unlock()
	if full {
		s.awake()
	}
	return len(lines), nil
}

func (s *Sink) awake() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Reopen has the file of OpenFile opened again under its name, which something else may have taken away from it. The
// operator is told what came of it; after a failure lines go where they went.
func (s *Sink) Reopen() {
	s.mu.Lock()
	s.reopen = true
	s.mu.Unlock()
	s.awake()
}

// Close writes what is queued, but does not wait for longer than that. Lines that come later are lost.
func (s *Sink) Close(within time.Duration) {
	s.mu.Lock()
	s.closing = true
	s.mu.Unlock()
	s.awake()
	select {
	case <-s.done:
	case <-time.After(within):
	}
}

func (s *Sink) run() {
	defer close(s.done)
	for range s.wake {
		s.mu.Lock()
		p, lines, reopen, closing := s.queue, s.lines, s.reopen, s.closing
		s.missing += s.lost
		s.queue, s.lines, s.lost, s.reopen, s.wrote = s.spare[:0], 0, 0, false, time.Now()
		s.mu.Unlock()
		s.write(p, lines)
		if reopen {
			s.openAgain()
		}
		if s.spare = p; cap(p) > keptBuffer {
			s.spare = nil
		}
		s.tell(closing)
		if closing {
			s.soon.Stop()
			if s.file != nil {
				s.file.Close()
			}
			return
		}
	}
}

// write writes lines. After a failure a part of one may stand there: the next begins on a line of its own.
func (s *Sink) write(p []byte, lines int) {
	if lines == 0 {
		return
	}
	if s.torn {
		if _, err := s.dst.Write([]byte("\n")); err != nil {
			s.missing, s.why = s.missing+lines, err
			return
		}
		s.torn = false
	}
	if n, err := s.dst.Write(p); err != nil {
		s.missing, s.why = s.missing+lines-bytes.Count(p[:n], []byte("\n")), err
		s.torn = n > 0 && p[n-1] != '\n'
	}
}

// tell tells the operator what is lost, now and then.
func (s *Sink) tell(now bool) {
	if s.missing == 0 || !now && time.Since(s.told) < lossEvery {
		return
	}
	why := s.why
	if why == nil {
		why = errors.New("writing takes too long")
	}
	s.say("%s: %d line(s) lost: %v", s.name, s.missing, why)
	s.missing, s.why, s.told = 0, nil, time.Now()
}

func (s *Sink) openAgain() {
	f, err := openFile(s.file.Name())
	if err != nil {
		s.say("SIGUSR1 failed: %s: %v", s.name, err)
		return
	}
	s.file.Close()
	s.file, s.dst, s.torn = f, f, isTorn(f)
	s.say("SIGUSR1 ok: %s opened again", s.name)
}
