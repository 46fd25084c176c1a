package fakeupstream

import (
	"crypto/tls"
	"fmt"
)

// After says what becomes of a connection after an answer.
type After int

// The ways to go on after an answer, or after a part of one.
const (
	Keep        After = iota // keep the connection for a next request
	CloseNotify              // close it cleanly: TLS close_notify, then FIN
	CloseAbrupt              // FIN without TLS close_notify
	Reset                    // RST
	Hang                     // write nothing more and wait until the client leaves
)

var afterNames = []string{"keep", "close-notify", "close-abrupt", "reset", "hang"}

// String returns the name that the control port uses: "keep", "close-notify",
// "close-abrupt", "reset" or "hang".
func (a After) String() string {
	if a < 0 || int(a) >= len(afterNames) {
		return fmt.Sprintf("After(%d)", int(a))
	}
	return afterNames[a]
}

// MarshalText writes the name.
func (a After) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText reads a name; an empty one is Keep.
func (a *After) UnmarshalText(p []byte) error {
	for i, name := range afterNames {
		if string(p) == name || len(p) == 0 {
			*a = After(i)
			return nil
		}
	}
	return fmt.Errorf("unknown way to end %q: want one of %q", p, afterNames)
}

// endings ends a connection in each way. The connection itself is closed when
// its goroutine returns.
var endings = [...]func(*conn){
	Keep: func(*conn) {},
	CloseNotify: func(c *conn) {
		if t, ok := c.nc.(*tls.Conn); ok {
			t.CloseWrite()
		}
		c.tcp.CloseWrite()
		c.linger()
	},
	CloseAbrupt: func(c *conn) {
		c.tcp.CloseWrite()
		c.linger()
	},
	Reset: func(c *conn) {
		c.tcp.SetLinger(0)
		c.tcp.Close()
	},
	Hang: func(c *conn) {
		gone, stop := c.watch()
		defer stop()
		select {
		case <-gone:
		case <-c.s.ctx.Done():
		}
	},
}
