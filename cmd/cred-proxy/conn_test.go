package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// A conn is a connection that a script holds by name: the agent's end of one to
// the proxy, or the upstream's end of one from it. What arrives is parsed by
// net/http, and its heads are shown as they came.
type conn struct {
	tcp     duplex
	rw      net.Conn // tcp, or TLS over it
	br      *bufio.Reader
	serves  bool      // the upstream's end: requests arrive
	refused bool      // the head read last was that of a refusal
	methods []string  // of the requests sent whose answers are due
	body    io.Reader // of the message whose head was read last
}

// duplex is a connection of which one side can be closed: TCP, or a Unix socket.
type duplex interface {
	net.Conn
	CloseWrite() error
}

// dial connects an agent to the proxy, at host:port or unix:/path.
func dial(addr string) (*conn, error) {
	network := "tcp"
	if path, ok := strings.CutPrefix(addr, unixPrefix); ok {
		network, addr = "unix", path
	}
	c, err := net.DialTimeout(network, addr, patience)
	if err != nil {
		return nil, err
	}
	return newConn(c.(duplex), c, false), nil
}

func newConn(tcp duplex, rw net.Conn, serves bool) *conn {
	return &conn{tcp: tcp, rw: rw, br: bufio.NewReaderSize(rw, 64<<10), serves: serves}
}

var requestLine = regexp.MustCompile(`(?m)^([A-Z]+) [^ \r\n]+ HTTP/1\.[01]\r?$`)

// send writes p.
func (c *conn) send(p []byte) error {
	if !c.serves {
		for _, m := range requestLine.FindAllSubmatch(p[:min(len(p), 64<<10)], -1) {
			c.methods = append(c.methods, string(m[1]))
		}
	}
	c.rw.SetWriteDeadline(time.Now().Add(patience))
	_, err := c.rw.Write(p)
	return err
}

// readHead reads the head of the next message and returns it with LF line ends,
// up to and including the empty line. c.body is then the message's body, or all
// that follows a handshake that asks for an upgrade or grants one.
func (c *conn) readHead() (string, error) {
	c.rw.SetReadDeadline(time.Now().Add(patience))
	raw, err := peekHead(c.br)
	if err != nil {
		return raw, err
	}
	if c.serves {
		req, err := http.ReadRequest(c.br)
		if err != nil {
			return raw, err
		}
		if c.body = req.Body; req.Header.Get("Upgrade") != "" {
			c.body = c.br
		}
		return raw, nil
	}
	method := "GET"
	if len(c.methods) > 0 {
		method = c.methods[0]
	}
	resp, err := http.ReadResponse(c.br, &http.Request{Method: method})
	if err != nil {
		return raw, err
	}
	if resp.StatusCode >= 200 && len(c.methods) > 0 {
		c.methods = c.methods[1:]
	}
	if c.body = resp.Body; resp.StatusCode == http.StatusSwitchingProtocols {
		c.body = c.br
	}
	if c.refused = resp.Header.Get("X-Cred-Proxy-Error") != ""; c.refused {
		swept.add("a refusal", raw)
	}
	return raw, nil
}

// peekHead returns the head at br's front, which it leaves there.
func peekHead(br *bufio.Reader) (string, error) {
	for {
		p, _ := br.Peek(br.Buffered())
		if i := bytes.Index(p, []byte("\r\n\r\n")); i >= 0 {
			return strings.ReplaceAll(string(p[:i+4]), "\r\n", "\n"), nil
		}
		if _, err := br.Peek(br.Buffered() + 1); err != nil {
			return string(p), fmt.Errorf("no whole head: %w", err)
		}
	}
}

// readBody reads what is left of the body, or n bytes of it if n >= 0.
func (c *conn) readBody(n int64) ([]byte, error) {
	if c.body == nil {
		return nil, errors.New("no head was read")
	}
	c.rw.SetReadDeadline(time.Now().Add(patience))
	if n < 0 {
		body, err := io.ReadAll(c.body)
		if c.refused {
			swept.add("a refusal", string(body))
		}
		return body, err
	}
	p := make([]byte, n)
	n2, err := io.ReadFull(c.body, p)
	return p[:n2], err
}

// readEvent reads the body up to and including the next empty line.
func (c *conn) readEvent() (string, error) {
	c.rw.SetReadDeadline(time.Now().Add(patience))
	var event []byte
	for b := make([]byte, 1); !bytes.HasSuffix(event, []byte("\n\n")); {
		n, err := c.body.Read(b)
		event = append(event, b[:n]...)
		if err != nil {
			return string(event), err
		}
	}
	return string(event), nil
}

// goneWithin waits until the other side has closed or reset the connection,
// whatever it sends before that: a hundred times a hundredth of d, which is
// longer where the machine is too busy for all else, too.
func (c *conn) goneWithin(d time.Duration) error {
	var came int64
	for range 100 {
		c.rw.SetReadDeadline(time.Now().Add(d / 100))
		n, err := io.Copy(io.Discard, c.br)
		if came += n; !errors.Is(err, os.ErrDeadlineExceeded) {
			return nil
		}
	}
	return fmt.Errorf("still open after %v (%d bytes came)", d, came)
}

// shown is a message as a script sees it: a text that ends in a line feed, its
// head with LF line ends and, only if there is a body, an empty line before it.
func shown(head string, body []byte) string {
	head = strings.TrimSuffix(head, "\n\n") + "\n"
	if len(body) == 0 {
		return head
	}
	return head + "\n" + text(body)
}

// text is a body as a script sees it.
func text(body []byte) string {
	if len(body) > 0 && body[len(body)-1] != '\n' {
		return string(body) + "\n"
	}
	return string(body)
}

// wire turns a file of a script into what is sent: the line ends of its first
// head become CRLF, or all line ends do. A file that is a head alone need not
// show the empty line at its end.
func wire(file string, all bool) []byte {
	if all {
		return []byte(strings.ReplaceAll(file, "\n", "\r\n"))
	}
	head, body, found := strings.Cut(file, "\n\n")
	if !found {
		head = strings.TrimSuffix(file, "\n")
	}
	return []byte(strings.ReplaceAll(head, "\n", "\r\n") + "\r\n\r\n" + body)
}

// content is the last words of a command that sends bytes:
//
//	FILE            a head with LF line ends, then its body as it is
//	-crlf FILE      lines
//	-raw FILE       as it is
//	-text 'A\r\n'   with Go's escapes
func content(ts *testscript.TestScript, args []string) []byte {
	switch {
	case len(args) == 1:
		return wire(ts.ReadFile(args[0]), false)
	case len(args) == 2 && args[0] == "-crlf":
		return wire(ts.ReadFile(args[1]), true)
	case len(args) == 2 && args[0] == "-raw":
		return []byte(ts.ReadFile(args[1]))
	case len(args) == 2 && args[0] == "-text":
		s, err := strconv.Unquote(`"` + strings.ReplaceAll(args[1], `"`, `\"`) + `"`)
		ts.Check(err)
		return []byte(s)
	}
	ts.Fatalf("want FILE, -crlf FILE, -raw FILE or -text TEXT, not %q", args)
	return nil
}

// hold gives a connection a name, and closes it when the script ends.
func (s *scene) hold(ts *testscript.TestScript, name string, c *conn) {
	s.conns[name] = c
	ts.Defer(func() { c.tcp.Close() })
}

// named is the connection of that name.
func named(ts *testscript.TestScript, name string) *conn {
	c := of(ts).conns[name]
	if c == nil {
		ts.Fatalf("no connection is named %s", name)
	}
	return c
}

// cmdConnect opens a connection to the proxy.
//
//	connect NAME
//	! connect NAME   it must be refused
func cmdConnect(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, len(args) != 1, "[!] connect NAME")
	c, err := dial(ts.Getenv("PROXY"))
	if neg {
		if err == nil {
			c.tcp.Close()
			ts.Fatalf("the proxy accepts connections")
		}
		return
	}
	ts.Check(err)
	of(ts).hold(ts, args[0], c)
}

// cmdWrite sends bytes on a connection. See content.
//
//	write NAME FILE | -crlf FILE | -raw FILE | -text 'TEXT'
func cmdWrite(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg || len(args) < 2, "write NAME FILE|-crlf FILE|-raw FILE|-text TEXT")
	ts.Check(named(ts, args[0]).send(content(ts, args[1:])))
}

// cmdHead reads the head of the next message on a connection and prints it.
//
//	head NAME
func cmdHead(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg || len(args) != 1, "head NAME")
	head, err := named(ts, args[0]).readHead()
	fmt.Fprint(ts.Stdout(), shown(head, nil))
	ts.Check(err)
}

// cmdBody reads the rest of the message whose head was read last, or N bytes of
// it, and prints it.
//
//	body NAME [N]   it must end as its framing says
//	! body NAME     it must break before
func cmdBody(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, len(args) < 1 || len(args) > 2, "[!] body NAME [N]")
	n := int64(-1)
	if len(args) == 2 {
		var err error
		n, err = strconv.ParseInt(args[1], 10, 64)
		ts.Check(err)
	}
	body, err := named(ts, args[0]).readBody(n)
	fmt.Fprint(ts.Stdout(), text(body))
	broken(ts, neg, err)
}

// cmdRead reads the next message on a connection and prints it: its head with
// LF line ends, then its body, out of its chunks if need be.
//
//	read NAME     it must end as its framing says
//	! read NAME   it must break in its body
func cmdRead(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, len(args) != 1, "[!] read NAME")
	printMessage(ts, named(ts, args[0]), neg)
}

// printMessage prints the next message that arrives on c, which must be whole,
// or must be cut in its body if neg.
func printMessage(ts *testscript.TestScript, c *conn, neg bool) {
	head, err := c.readHead()
	if err != nil {
		ts.Fatalf("%v: %q", err, head)
	}
	body, err := c.readBody(-1)
	fmt.Fprint(ts.Stdout(), shown(head, body))
	broken(ts, neg, err)
}

// broken checks that err is there if and only if it should be, and that it
// says that the other side ended the connection, not that nothing came.
func broken(ts *testscript.TestScript, should bool, err error) {
	switch {
	case should && err == nil:
		ts.Fatalf("the message is whole")
	case should && errors.Is(err, os.ErrDeadlineExceeded):
		ts.Fatalf("the message is neither whole nor cut: %v", err)
	case !should && err != nil:
		ts.Fatalf("the message is cut: %v", err)
	}
}

// cmdEvent reads the next server-sent event of a body and compares it.
//
//	event NAME 'data: hello'
func cmdEvent(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg || len(args) != 2, "event NAME TEXT")
	event, err := named(ts, args[0]).readEvent()
	if err != nil || event != args[1]+"\n\n" {
		ts.Fatalf("event %q, error %v", event, err)
	}
}

// cmdCloseWrite ends one direction of a connection, and goes on reading.
//
//	closewrite NAME
func cmdCloseWrite(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg || len(args) != 1, "closewrite NAME")
	c := named(ts, args[0])
	if t, ok := c.rw.(*tls.Conn); ok {
		ts.Check(t.CloseWrite())
	}
	ts.Check(c.tcp.CloseWrite())
}

// cmdClose closes a connection.
//
//	close NAME           as one does: with TLS, after a close_notify
//	close -abrupt NAME   with TLS, without one
//	close -reset NAME    by RST
func cmdClose(ts *testscript.TestScript, neg bool, args []string) {
	var abrupt, reset bool
	args = flagged(ts, args, func(name, _ string) bool {
		abrupt = abrupt || name == "abrupt"
		reset = reset || name == "reset"
		return name == "abrupt" || name == "reset"
	})
	usage(ts, neg || len(args) != 1, "close [-abrupt|-reset] NAME")
	c := named(ts, args[0])
	if reset {
		ts.Check(c.tcp.(*net.TCPConn).SetLinger(0))
	}
	if abrupt || reset {
		ts.Check(c.tcp.Close())
		return
	}
	ts.Check(c.rw.Close())
}

// cmdRaw prints all that still arrives on a connection up to its end, unparsed
// but for its line ends.
//
//	raw NAME
func cmdRaw(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg || len(args) != 1, "raw NAME")
	c := named(ts, args[0])
	c.rw.SetReadDeadline(time.Now().Add(patience))
	p, err := io.ReadAll(c.br)
	fmt.Fprint(ts.Stdout(), strings.ReplaceAll(string(p), "\r\n", "\n"))
	ts.Check(err)
}

// cmdGone waits until the other side of a connection has closed it, which must
// happen within a second; with -quiet nothing more may have been sent on it.
//
//	gone [-quiet] NAME
func cmdGone(ts *testscript.TestScript, neg bool, args []string) {
	quiet := false
	args = flagged(ts, args, func(name, _ string) bool { quiet = name == "quiet"; return quiet })
	usage(ts, neg || len(args) != 1, "gone [-quiet] NAME")
	c := named(ts, args[0])
	if quiet {
		c.rw.SetReadDeadline(time.Now().Add(promptly))
		if _, err := c.br.Peek(1); err == nil {
			p, _ := c.br.Peek(c.br.Buffered())
			ts.Fatalf("more was sent: %q", p)
		}
	}
	ts.Check(c.goneWithin(promptly))
}
