package fakeupstream

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// An Event is what a stream is told to send. Its lines are written in one
// piece, in the order of the fields here, and end with an empty line.
type Event struct {
	Comment string        // ": comment", one line for each of its lines
	Event   string        // "event: ..."
	ID      string        // "id: ..."
	Retry   time.Duration // "retry: ...", in milliseconds
	Data    string        // "data: ...", one line for each of its lines

	// Stamp adds the comment ": t=UNIX-NANOSECONDS" of the time of writing.
	Stamp bool
	// Raw, if not empty, is written as it is instead of all of that.
	Raw string
}

// String returns the event as it is sent, without its stamp. One without any
// field is one with empty data.
func (e Event) String() string {
	if e.Raw != "" {
		return e.Raw
	}
	var b strings.Builder
	lines := func(prefix, text string) {
		for line := range strings.SplitSeq(text, "\n") {
			b.WriteString(prefix + line + "\n")
		}
	}
	if e.Comment != "" {
		lines(": ", e.Comment)
	}
	if e.Event != "" {
		b.WriteString("event: " + e.Event + "\n")
	}
	if e.ID != "" {
		b.WriteString("id: " + e.ID + "\n")
	}
	if e.Retry > 0 {
		fmt.Fprintf(&b, "retry: %d\n", e.Retry.Milliseconds())
	}
	if e.Data != "" || b.Len() == 0 {
		lines("data: ", e.Data)
	}
	b.WriteString("\n")
	return b.String()
}

// bytes returns the event as it is sent now.
func (e Event) bytes() []byte {
	if e.Stamp && e.Raw == "" {
		return fmt.Appendf(nil, ": t=%d\n%s", time.Now().UnixNano(), e)
	}
	return []byte(e.String())
}

// streams are the streams in lock-step, by name.
type streams struct {
	mu      sync.Mutex
	open    map[string][]*stream // in the order in which they were opened
	last    map[string]*stream   // the last one that was over
	changed chan struct{}        // closed when a stream opens or is over
}

// A stream is an exchange that waits for what to send.
type stream struct {
	commands chan command
	over     chan struct{} // closed when nothing is sent any more
	left     bool          // the client left first; set before over is closed
}

type command struct {
	event []byte       // sent if not nil,
	how   After        // else the stream ends so
	reply chan<- error // buffered
}

var errStreamOver = errors.New("the stream is over")

// change runs f, which changes the streams, and tells those who wait.
func (t *streams) change(f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open == nil {
		t.open, t.last = map[string][]*stream{}, map[string]*stream{}
	}
	f()
	if t.changed != nil {
		close(t.changed)
		t.changed = nil
	}
}

// look returns the open streams of a name, the last one that was over, and a
// channel that is closed at the next change.
func (t *streams) look(name string) (open []*stream, last *stream, changed <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.changed == nil {
		t.changed = make(chan struct{})
	}
	return append(open, t.open[name]...), t.last[name], t.changed
}

func (t *streams) forget() {
	t.change(func() { clear(t.last) })
}

// newStream is /sse without n: a stream in lock-step.
func newStream(p params) (Behaviour, error) {
	name := p.str("name", "")
	return func(x *Exchange) error {
		if _, err := x.ReadBody(); err != nil {
			return err
		}
		if x.rec.Method == http.MethodHead {
			return x.Head(http.StatusOK, Chunked, 0, eventStream...)
		}
		// Open before its head is sent: a client that has the head gets every event from then on.
		st := &stream{commands: make(chan command), over: make(chan struct{})}
		all := &x.c.s.streams
		all.change(func() { all.open[name] = append(all.open[name], st) })
		err := orGone(x.Head(http.StatusOK, Chunked, 0, eventStream...))
		var ended chan<- error // who ended it: told when it is over, so that whoever comes next finds the next one
		if err == nil {
			ended, err = st.follow(x)
		}
		all.change(func() {
			st.left = errors.Is(err, errGone)
			i := slices.Index(all.open[name], st)
			all.open[name] = slices.Delete(all.open[name], i, i+1)
			if len(all.open[name]) == 0 {
				delete(all.open, name)
			}
			all.last[name] = st
			close(st.over)
		})
		if ended != nil {
			var failed error
			if errors.Is(err, errGone) {
				failed = err
			}
			ended <- failed
		}
		return err
	}, nil
}

// follow does what the stream is told until it is over. If it was told to end, ended is who waits for that.
func (st *stream) follow(x *Exchange) (ended chan<- error, err error) {
	gone, stop := x.c.watch()
	defer stop()
	for {
		select {
		case cmd := <-st.commands:
			if cmd.event == nil {
				x.Then(cmd.how)
				err := errEnded
				if cmd.how == Keep || cmd.how == CloseNotify {
					err = orGone(x.Finish())
				}
				return cmd.reply, err
			}
			_, err := x.Write(cmd.event)
			err = orGone(err)
			cmd.reply <- err
			if err != nil {
				return nil, err
			}
		case <-gone:
			return nil, errGone
		case <-x.c.s.ctx.Done():
			return nil, errClosed
		}
	}
}

// orGone makes a failed write what it means on a stream: its client has left.
func orGone(err error) error {
	if err == nil || errors.Is(err, errEnded) || errors.Is(err, errClosed) {
		return err
	}
	return fmt.Errorf("%w: %w", errGone, err)
}

// eventStream are the fields of a stream's head.
var eventStream = []Field{{"Content-Type", "text/event-stream"}, {"Cache-Control", "no-cache"}}

// command tells every open stream of a name, once there is one.
func (s *Server) command(ctx context.Context, name string, cmd command) error {
	ctx, cancel := s.waiting(ctx)
	defer cancel()
	open, err := s.openStreams(ctx, name)
	if err != nil {
		return err
	}
	var failed error
	for _, st := range open {
		reply := make(chan error, 1)
		cmd.reply = reply
		select {
		case st.commands <- cmd:
		case <-st.over:
			failed = fmt.Errorf("fakeupstream: stream %q: %w", name, errStreamOver)
			continue
		case <-ctx.Done():
			return s.gaveUp(ctx, fmt.Sprintf("stream %q to write", name))
		}
		select {
		case err := <-reply:
			if err != nil {
				failed = fmt.Errorf("fakeupstream: stream %q: %w", name, err)
			}
		case <-ctx.Done():
			return s.gaveUp(ctx, fmt.Sprintf("stream %q to write", name))
		}
	}
	return failed
}

// openStreams waits until there is an open stream of the name.
func (s *Server) openStreams(ctx context.Context, name string) ([]*stream, error) {
	for {
		open, last, changed := s.streams.look(name)
		if len(open) > 0 {
			return open, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			what := fmt.Sprintf("stream %q to be opened", name)
			if last != nil {
				what += " again"
			}
			return nil, s.gaveUp(ctx, what)
		case <-s.ctx.Done():
			return nil, s.gaveUp(ctx, fmt.Sprintf("stream %q to be opened", name))
		}
	}
}

// WaitStream waits until a stream of that name is open: its head was sent, or is being sent.
func (s *Server) WaitStream(ctx context.Context, name string) error {
	ctx, cancel := s.waiting(ctx)
	defer cancel()
	_, err := s.openStreams(ctx, name)
	return err
}

// Emit waits for the stream and sends data as an event, in one write and one
// chunk. Several open streams of the name are each sent it.
func (s *Server) Emit(ctx context.Context, name, data string) error {
	return s.EmitEvent(ctx, name, Event{Data: data})
}

// EmitEvent is Emit for an event with other fields.
func (s *Server) EmitEvent(ctx context.Context, name string, e Event) error {
	return s.command(ctx, name, command{event: e.bytes()})
}

// EndStream waits for the stream and ends it cleanly; the connection is kept.
func (s *Server) EndStream(ctx context.Context, name string) error {
	return s.EndStreamAs(ctx, name, Keep)
}

// CutStream waits for the stream and breaks its connection without a clean end:
// no last chunk, no TLS close_notify.
func (s *Server) CutStream(ctx context.Context, name string) error {
	return s.EndStreamAs(ctx, name, CloseAbrupt)
}

// EndStreamAs waits for the stream and ends it: with a last chunk for Keep and
// CloseNotify, without one for the others.
func (s *Server) EndStreamAs(ctx context.Context, name string, how After) error {
	return s.command(ctx, name, command{how: how})
}

// WaitStreamGone returns once the client of the stream of that name, opened or
// yet to be opened, was seen to leave. A stream that the server has ended is an
// error. One that is over already is taken for it: where a name is used again,
// Forget the earlier one.
func (s *Server) WaitStreamGone(ctx context.Context, name string) error {
	ctx, cancel := s.waiting(ctx)
	defer cancel()
	for {
		open, last, changed := s.streams.look(name)
		if len(open) == 0 && last != nil {
			if !last.left {
				return fmt.Errorf("fakeupstream: stream %q was ended by the server", name)
			}
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return s.gaveUp(ctx, fmt.Sprintf("the client of stream %q to leave", name))
		case <-s.ctx.Done():
			return s.gaveUp(ctx, fmt.Sprintf("the client of stream %q to leave", name))
		}
	}
}
