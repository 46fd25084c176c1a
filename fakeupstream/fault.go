package fakeupstream

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"time"
)

// A FaultKind names a fault.
type FaultKind string

// The faults of connections. A request that comes on one meets them first.
const (
	FaultRefuse         FaultKind = "refuse"           // nothing listens on the port; Count must be 0
	FaultAcceptHang     FaultKind = "accept-hang"      // accept, then nothing
	FaultAcceptReset    FaultKind = "accept-reset"     // accept, then RST
	FaultTLSHang        FaultKind = "tls-hang"         // half a ServerHello, then nothing
	FaultCertWrongName  FaultKind = "cert-wrong-name"  // a certificate for somebody-else.test
	FaultCertExpired    FaultKind = "cert-expired"     // a certificate that ended yesterday
	FaultCertSelfSigned FaultKind = "cert-self-signed" // a certificate that no authority signed
	FaultCertMalformed  FaultKind = "cert-malformed"   // a certificate that cannot be parsed, for a URI with Text in it
)

// The faults of requests. Several may meet in one request.
const (
	FaultHangHead        FaultKind = "hang-head"        // read the request, then nothing
	FaultNoAnswer        FaultKind = "no-answer"        // read the request, then end as Then says: CloseNotify by default
	FaultReset           FaultKind = "reset"            // read the request, then RST
	FaultStale           FaultKind = "stale"            // close a kept connection just as it is reused, as Then says: CloseNotify by default
	FaultMalformedStatus FaultKind = "malformed-status" // Text in place of the status line
	FaultMalformedField  FaultKind = "malformed-field"  // Text as a further line of the head
	FaultBigHeader       FaultKind = "big-header"       // a further field with a value of Size bytes
	FaultTruncate        FaultKind = "truncate"         // After bytes of the body, then end as Then says: CloseAbrupt by default
	FaultCutChunked      FaultKind = "cut-chunked"      // FaultTruncate of a body that is made chunked
	FaultLatency         FaultKind = "latency"          // Every goes by before the answer
	FaultDrip            FaultKind = "drip"             // the answer is written Size bytes (1) at a time, Every (10 ms) apart
	FaultBandwidth       FaultKind = "bandwidth"        // the answer is written at Size bytes (64 KiB) a second
	FaultSlowRead        FaultKind = "slow-read"        // the request's body is read Size bytes (1) at a time, Every (10 ms) apart
)

// A Fault is something that goes wrong with the next requests or connections.
// The fields that a kind does not name are not used by it.
type Fault struct {
	Kind FaultKind `json:"kind"`

	// Count is how many requests, or connections, meet the fault; 0 is all
	// until ClearFaults.
	Count int `json:"count,omitempty"`
	// Path lets only requests of that path, without query, meet it.
	Path string `json:"path,omitempty"`

	Then  After         `json:"then,omitempty"`
	After int64         `json:"after,omitempty"`
	Size  int           `json:"size,omitempty"`
	Text  string        `json:"text,omitempty"`
	Every time.Duration `json:"-"` // "ms" in JSON
}

// MarshalJSON writes Every as "ms", in milliseconds.
func (f Fault) MarshalJSON() ([]byte, error) {
	type plain Fault
	return marshal(struct {
		plain
		MS int64 `json:"ms,omitempty"`
	}{plain(f), f.Every.Milliseconds()})
}

// UnmarshalJSON reads what MarshalJSON writes and nothing else.
func (f *Fault) UnmarshalJSON(p []byte) error {
	type plain Fault
	v := struct {
		plain
		MS int64 `json:"ms"`
	}{}
	d := json.NewDecoder(bytes.NewReader(p))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		return err
	}
	*f = Fault(v.plain)
	f.Every = time.Duration(v.MS) * time.Millisecond
	return nil
}

// connectionFaults take over an accepted connection.
var connectionFaults = map[FaultKind]func(*conn, *Fault){
	FaultAcceptHang:  func(c *conn, _ *Fault) { endings[Hang](c) },
	FaultAcceptReset: func(c *conn, _ *Fault) { endings[Reset](c) },
	FaultTLSHang:     (*conn).hangHandshake,
}

// requestFaults prepare an exchange for going wrong, or end it with errEnded.
var requestFaults = map[FaultKind]func(*Exchange, *Fault) error{
	FaultHangHead: func(x *Exchange, _ *Fault) error { return x.giveUp(Hang) },
	FaultNoAnswer: func(x *Exchange, f *Fault) error { return x.giveUp(f.then(CloseNotify)) },
	FaultReset:    func(x *Exchange, _ *Fault) error { return x.giveUp(Reset) },
	FaultStale: func(x *Exchange, f *Fault) error {
		x.Then(f.then(CloseNotify))
		return errEnded
	},
	FaultMalformedStatus: func(x *Exchange, f *Fault) error {
		x.setStatusLine(f.text("HTTP/1.1 2OO Fine"))
		return nil
	},
	FaultMalformedField: func(x *Exchange, f *Fault) error {
		x.addLine(f.text("No colon in this line"))
		return nil
	},
	FaultBigHeader: func(x *Exchange, f *Fault) error {
		x.addLine("X-Big: " + strings.Repeat("b", f.size(64<<10)))
		return nil
	},
	FaultTruncate: func(x *Exchange, f *Fault) error {
		x.cutAfter, x.cutThen = f.After, f.then(CloseAbrupt)
		return nil
	},
	FaultCutChunked: func(x *Exchange, f *Fault) error {
		x.reframe, x.cutAfter, x.cutThen = Chunked, f.After, f.then(CloseAbrupt)
		return nil
	},
	FaultLatency: func(x *Exchange, f *Fault) error { return x.pause(f.Every) },
	FaultDrip: func(x *Exchange, f *Fault) error {
		x.pace = &pace{size: f.size(1), every: f.every(10 * time.Millisecond)}
		return nil
	},
	FaultBandwidth: func(x *Exchange, f *Fault) error {
		perSecond := f.size(64 << 10)
		size := max(1, perSecond/50)
		x.pace = &pace{size: size, every: time.Second * time.Duration(size) / time.Duration(perSecond)}
		return nil
	},
	FaultSlowRead: func(x *Exchange, f *Fault) error {
		x.readPace = &pace{size: f.size(1), every: f.every(10 * time.Millisecond)}
		return nil
	},
}

// FaultKinds returns all kinds, sorted.
func FaultKinds() []FaultKind {
	kinds := []FaultKind{FaultRefuse}
	kinds = slices.AppendSeq(kinds, maps.Keys(connectionFaults))
	kinds = slices.AppendSeq(kinds, maps.Keys(badCertificates))
	kinds = slices.AppendSeq(kinds, maps.Keys(requestFaults))
	slices.Sort(kinds)
	return kinds
}

func (f *Fault) then(or After) After {
	if f.Then == Keep {
		return or
	}
	return f.Then
}

func (f *Fault) text(or string) string {
	if f.Text == "" {
		return or
	}
	return f.Text
}

func (f *Fault) size(or int) int {
	if f.Size == 0 {
		return or
	}
	return f.Size
}

func (f *Fault) every(or time.Duration) time.Duration {
	if f.Every == 0 {
		return or
	}
	return f.Every
}

// giveUp reads the request and ends the exchange without an answer.
func (x *Exchange) giveUp(then After) error {
	if _, err := x.ReadBody(); err != nil {
		return err
	}
	x.Then(then)
	return errEnded
}

// addLine adds a line to the end of the head.
func (x *Exchange) addLine(line string) {
	x.alsoMangle(func(head string) string { return strings.TrimSuffix(head, "\r\n") + line + "\r\n\r\n" })
}

// setStatusLine has the head begin with another line.
func (x *Exchange) setStatusLine(line string) {
	x.alsoMangle(func(head string) string {
		_, rest, _ := strings.Cut(head, "\r\n")
		return line + "\r\n" + rest
	})
}

// alsoMangle changes the head, after whatever else does.
func (x *Exchange) alsoMangle(f func(head string) string) {
	before := x.mangle
	x.mangle = func(head []byte) []byte {
		if before != nil {
			head = before(head)
		}
		return []byte(f(string(head)))
	}
}

// faults are those that wait for a request or a connection to meet.
type faults struct {
	mu   sync.Mutex
	list []*Fault
}

// take returns the faults that match and counts them down.
func (t *faults) take(limit int, match func(*Fault) bool) (taken []*Fault) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.list = slices.DeleteFunc(t.list, func(f *Fault) bool {
		if len(taken) == limit || !match(f) {
			return false
		}
		meets := *f
		taken = append(taken, &meets)
		if f.Count == 0 {
			return false
		}
		f.Count--
		return f.Count == 0
	})
	return taken
}

// takeConnection returns the fault that a new connection meets, if any.
func (t *faults) takeConnection() *Fault {
	for _, f := range t.take(1, func(f *Fault) bool {
		return connectionFaults[f.Kind] != nil || badCertificates[f.Kind] != nil
	}) {
		return f
	}
	return nil
}

// takeFaults finds the faults that the request meets.
func (x *Exchange) takeFaults() {
	x.faults = x.c.s.faults.take(-1, func(f *Fault) bool {
		return requestFaults[f.Kind] != nil && (f.Path == "" || f.Path == x.path) &&
			(f.Kind != FaultStale || x.rec.OnConn > 1)
	})
	for _, f := range x.faults {
		x.rec.Faults = append(x.rec.Faults, f.Kind)
	}
}

// Inject lets the next requests or connections meet a fault. A fault that makes
// no sense is an error.
func (s *Server) Inject(f Fault) error {
	if !slices.Contains(FaultKinds(), f.Kind) {
		return fmt.Errorf("fakeupstream: unknown fault %q: want one of %q", f.Kind, FaultKinds())
	}
	if f.Count < 0 || f.After < 0 || f.Size < 0 || f.Every < 0 {
		return fmt.Errorf("fakeupstream: fault %s: negative number", f.Kind)
	}
	if s.opt.Plain && (f.Kind == FaultTLSHang || badCertificates[f.Kind] != nil) {
		return fmt.Errorf("fakeupstream: fault %s: the server is without TLS", f.Kind)
	}
	if f.Path != "" && requestFaults[f.Kind] == nil {
		return fmt.Errorf("fakeupstream: fault %s: a connection has no path", f.Kind)
	}
	if f.Kind == FaultRefuse {
		if f.Count != 0 {
			return fmt.Errorf("fakeupstream: fault %s: connections that are refused cannot be counted", f.Kind)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.ln == nil {
			return nil
		}
		s.ln.Close()
		s.ln = nil
	}
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.list = append(s.faults.list, &f)
	return nil
}

// Faults returns the faults that are still to be met.
func (s *Server) Faults() (list []Fault) {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	for _, f := range s.faults.list {
		list = append(list, *f)
	}
	return list
}

// ClearFaults takes all faults back. What already met one goes on as it began.
// It is an error that somebody has taken the port that was given up for
// FaultRefuse.
func (s *Server) ClearFaults() error {
	s.faults.mu.Lock()
	s.faults.list = nil
	s.faults.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ln != nil || s.closed {
		return nil
	}
	ln, err := net.Listen("tcp4", s.addr)
	if err != nil {
		return fmt.Errorf("fakeupstream: listening again: %w", err)
	}
	s.ln = ln
	s.wg.Add(1)
	go s.accept(ln)
	return nil
}
