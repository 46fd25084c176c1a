package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http/httputil"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A target is where the requests of clients go: to a proxy or, if tls is set, straight to the upstream.
type target struct {
	addr   string
	prefix string // of every path: the route's, or the upstream's base path
	fields string // header lines: what an agent sends or, straight to the upstream, what a proxy would make of it
	tls    *tls.Config
}

// request returns a request's head.
func (t target) request(method, path string, length int64) []byte {
	return fmt.Appendf(nil, "%s %s%s HTTP/1.1\r\nHost: %s\r\nUser-Agent: bench\r\nAccept: */*\r\n%s"+
		"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n", method, t.prefix, path, t.addr, t.fields, length)
}

// A client is one connection of an agent. It knows as little HTTP as it can do with, since it has a core in common with
// the upstream.
type client struct {
	net.Conn
	br *bufio.Reader
}

// dial connects. Reading and writing fail once ctx's deadline is over.
func (t target) dial(ctx context.Context) (*client, error) {
	d := net.Dialer{KeepAlive: -1}
	c, err := d.DialContext(ctx, "tcp", t.addr)
	if err != nil {
		return nil, err
	}
	if deadline, ok := ctx.Deadline(); ok {
		c.SetDeadline(deadline)
	}
	if t.tls != nil {
		c = tls.Client(c, t.tls)
	}
	return &client{c, bufio.NewReaderSize(c, 4<<10)}, nil
}

// ask sends a request and reads the head of the answer. The body that follows is of that length, or chunked if it is -1.
func (c *client) ask(request []byte) (length int64, err error) {
	if _, err := c.Write(request); err != nil {
		return 0, err
	}
	return c.answer()
}

func (c *client) answer() (length int64, err error) {
	length = -1
	status, err := readHead(c.br, func(name, value []byte) {
		if isField(name, "Content-Length") {
			length, _ = strconv.ParseInt(string(value), 10, 64)
		}
	})
	if err == nil && !strings.HasPrefix(status, "HTTP/1.1 200") {
		err = fmt.Errorf("answered %q", status)
	}
	return length, err
}

// readHead reads a message's head: it returns the first line and tells of the fields.
func readHead(br *bufio.Reader, field func(name, value []byte)) (start string, err error) {
	for first := true; ; first = false {
		line, err := br.ReadSlice('\n')
		if err != nil {
			return "", err
		}
		line = bytes.TrimRight(line, "\r\n")
		switch name, value, _ := bytes.Cut(line, []byte(":")); {
		case first:
			start = string(line)
		case len(line) == 0:
			return start, nil
		default:
			field(name, bytes.TrimSpace(value))
		}
	}
}

func isField(name []byte, want string) bool {
	return len(name) == len(want) && bytes.EqualFold(name, []byte(want))
}

// roundTrip is ask for an answer of known length, whose body it skips.
func (c *client) roundTrip(request []byte) error {
	length, err := c.ask(request)
	if err == nil {
		_, err = c.br.Discard(int(length))
	}
	return err
}

// events reads a stream and reports each event, from when it was sent to when it arrived. It returns with an error, which
// may be that of the report.
func (c *client) events(each report) error {
	lines := bufio.NewScanner(httputil.NewChunkedReader(c.br))
	for lines.Scan() {
		_, stamp, ok := bytes.Cut(lines.Bytes(), []byte(`"t":`))
		if !ok {
			continue
		}
		sent, err := strconv.ParseInt(string(bytes.TrimRight(stamp, "}")), 10, 64)
		if err != nil {
			return err
		}
		if err := each(sent, time.Now().UnixNano()); err != nil {
			return err
		}
	}
	if lines.Err() != nil {
		return lines.Err()
	}
	return io.ErrUnexpectedEOF
}

// A sampling is what was seen of a load in a stretch of time.
type sampling struct {
	took []float64     // by every request or event, in µs, sorted
	wall time.Duration // how long it was looked at
	cpu  time.Duration // that the proxy needed
	rss  float64       // by which it has grown since before the load, KiB
}

// quantile returns the time that the part q of all stayed below.
func (s sampling) quantile(q float64) float64 { return s.took[int(q*float64(len(s.took)-1))] }

// patience bounds how long clients may take to get under way, and everything else that is waited for.
const patience = 30 * time.Second

// A report tells of a request or event that took from one time to another, in nanoseconds of Unix time. After an error
// its client returns.
type report func(from, to int64) error

// sample runs n clients. A moment after each of them has reported, what they report counts for the time of the window;
// what began before does not.
func sample(ctx context.Context, p *process, n int, window time.Duration, client clientFunc) (s sampling, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience+window, fmt.Errorf("%d clients were not done in time", n))
	defer cancel()
	ctx, fail := context.WithCancelCause(ctx)
	var since atomic.Int64
	since.Store(math.MaxInt64)
	var some atomic.Bool
	var ready, done sync.WaitGroup
	took := make([][]float64, n)
	small := p.usage()
	for i := range n {
		ready.Add(1)
		reported := sync.OnceFunc(ready.Done)
		done.Go(func() {
			defer reported()
			err := client(ctx, p.target, func(from, to int64) error {
				reported()
				if from >= since.Load() {
					took[i] = append(took[i], float64(to-from)/1e3)
					some.Store(true)
				}
				return ctx.Err()
			})
			fail(err) // does nothing once the window has closed
		})
	}
	ready.Wait()
	sleep(ctx, window/4) // while the last of them still have the proxy connect
	before, began := p.usage(), time.Now()
	since.Store(began.UnixNano())
	for sleep(ctx, window); !some.Load() && ctx.Err() == nil; {
		sleep(ctx, window) // on a machine that has come to a halt
	}
	since.Store(math.MaxInt64)
	after := p.usage()
	s.wall, s.cpu, s.rss = time.Since(began), after.cpu-before.cpu, after.rss-small.rss
	fail(errClosed)
	done.Wait()
	if err := context.Cause(ctx); err != errClosed {
		return s, err
	}
	s.took = slices.Concat(took...)
	slices.Sort(s.took)
	return s, nil
}

// sleep waits for d, or until ctx is done.
func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

var errClosed = errors.New("the window has closed")
