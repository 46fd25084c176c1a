//go:build unix

package proxy

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http/httptest"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"credproxy/proxy/http1"
)

// pipe returns both ends of a TCP connection on the loopback interface.
func pipe(t *testing.T) (client, server net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if client, err = net.Dial("tcp", ln.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if server, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); server.Close() })
	for _, c := range []net.Conn{client, server} {
		c.SetDeadline(time.Now().Add(10 * time.Second))
	}
	return client, server
}

// tlsPair returns a server's end of a TLS connection, and a client that reads it from a stash.
func tlsPair(t *testing.T) (*tls.Conn, *upstreamConn) {
	t.Helper()
	ts := httptest.NewUnstartedServer(nil)
	ts.StartTLS()
	t.Cleanup(ts.Close)
	roots := x509.NewCertPool()
	roots.AddCert(ts.Certificate())
	client, server := pipe(t)
	s := tls.Server(server, &tls.Config{Certificates: ts.TLS.Certificates, DynamicRecordSizingDisabled: true})
	done := make(chan error, 1)
	go func() { done <- s.Handshake() }()
	c := &upstreamConn{sock: newSock(client)}
	c.tls = tls.Client(c.sock, &tls.Config{RootCAs: roots, ServerName: "example.com"})
	if err := c.tls.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	c.sock.stashing, c.more = true, true
	c.rd = http1.NewReader(c)
	return s, c
}

// TestTLSSurvivesWouldBlock: a tls.Conn whose connection says errWouldBlock in the middle of a record keeps what it has
// and goes on with the next bytes. All reading from upstreams rests on it.
func TestTLSSurvivesWouldBlock(t *testing.T) {
	server, c := tlsPair(t)
	want := strings.Repeat("x", 3000)
	go io.WriteString(server, want)
	var got strings.Builder
	for got.Len() < len(want) {
		// One byte of the record at a time, and a read that finds nothing after each.
		c.sock.stash = http1.NewReader(oneByte{c.sock})
		if _, err := c.sock.stash.Fill(); err != nil {
			t.Fatal(err)
		}
		for {
			_, err := c.decrypt(&c.rd)
			got.Write(c.rd.Buffered())
			c.rd.Consume(len(c.rd.Buffered()))
			if err == errWouldBlock {
				break
			}
			if err != nil {
				t.Fatalf("after %d bytes: %v", got.Len(), err)
			}
		}
	}
	if got.String() != want {
		t.Error("the bytes differ")
	}
}

type oneByte struct{ s *sock }

func (o oneByte) ReadInto(r *http1.Reader) (int, error) {
	n, err := o.s.Conn.Read(r.Space()[:1])
	r.Stored(n)
	return n, err
}

func TestUpstreamEnds(t *testing.T) {
	for name, test := range map[string]struct {
		end  func(*tls.Conn)
		want error
	}{
		"close_notify":    {func(c *tls.Conn) { c.Close() }, io.EOF},
		"no close_notify": {func(c *tls.Conn) { c.NetConn().Close() }, io.ErrUnexpectedEOF},
	} {
		server, c := tlsPair(t)
		io.WriteString(server, "last words")
		test.end(server)
		var err error
		for err == nil {
			_, err = c.rd.Fill()
		}
		if err != test.want || string(c.rd.Buffered()) != "last words" {
			t.Errorf("%s: %q, %v; want %v", name, c.rd.Buffered(), err, test.want)
		}
	}
}

// TestAlive: a kept connection is used only if nothing but TLS's own messages came.
func TestAlive(t *testing.T) {
	server, c := tlsPair(t)
	for range 2 {
		if !c.alive() {
			t.Error("an idle connection is not alive")
		}
	}
	server.Write([]byte("unasked"))
	waitReadable(t, c)
	if c.alive() {
		t.Error("a connection with an unasked answer is alive")
	}

	server, c = tlsPair(t)
	server.Write([]byte("first"))
	if _, err := c.rd.Fill(); err != nil {
		t.Fatal(err)
	}
	c.rd.Discard()
	c.sock.readWithin(time.Nanosecond) // a deadline of the last exchange that has passed since
	if !c.alive() {
		t.Error("a connection that was idle for long is not alive")
	}
	server.NetConn().Close()
	waitReadable(t, c)
	if c.alive() {
		t.Error("a closed connection is alive")
	}
}

// TestFillNow: what has come is read after its time, too, and nothing is waited for.
func TestFillNow(t *testing.T) {
	server, c := tlsPair(t)
	if err := c.fillNow(); !isTimeout(err) {
		t.Fatalf("nothing came, but %v", err)
	}
	server.Write([]byte("late"))
	waitReadable(t, c)
	c.sock.readBy = time.Time{}
	c.sock.readWithin(time.Nanosecond)
	if _, err := c.rd.Fill(); !isTimeout(err) {
		t.Fatalf("read after the deadline: %v", err)
	}
	if err := c.fillNow(); err != nil || string(c.rd.Buffered()) != "late" {
		t.Fatalf("%q, %v", c.rd.Buffered(), err)
	}
	c.sock.readWithin(time.Minute)
	server.Write([]byte("r"))
	if _, err := c.rd.Fill(); err != nil || string(c.rd.Buffered()) != "later" {
		t.Fatalf("%q, %v", c.rd.Buffered(), err)
	}
}

// TestHeldIsNotLate: when the time is over for which the beginning of a token is held, the rest of it that has come is looked
// at first; without it, what is held is passed on.
func TestHeldIsNotLate(t *testing.T) {
	for rest, want := range map[string]string{"token-of-the-route.": "**********************.", "": "the-"} {
		server, c := tlsPair(t)
		s := newServer(t, Options{Getenv: func(string) string { return "the-token-of-the-route" }}, one("", ""))
		conn, _ := net.Pipe()
		table := s.table.Load()
		x := &exchange{srv: s, agent: newAgent(s, conn), route: table.byPath["/a/"], lookout: table.lookout.Load()}
		server.Write([]byte("the-"))
		if _, err := c.rd.Fill(); err != nil {
			t.Fatal(err)
		}
		body, _ := bodyOf(t, 2, nil, nil, nil)
		if err := x.screenBody(c, body); err != nil || x.screen.held != len("the-") {
			t.Fatalf("%d bytes are held, %v", x.screen.held, err)
		}
		if rest != "" {
			server.Write([]byte(rest))
			waitReadable(t, c)
		}
		x.screen.by = time.Now()
		if p, err := x.more(c); err != nil || string(p) != want {
			t.Errorf("then %q: %q, %v", rest, p, err)
		}
	}
}

// TestAliveLeftover: bytes that the TLS layer holds back behind a response are seen, though the socket is empty.
func TestAliveLeftover(t *testing.T) {
	server, c := tlsPair(t)
	server.Write([]byte(strings.Repeat("x", http1.SmallBuffer) + "smuggled"))
	if _, err := c.rd.Fill(); err != nil || len(c.rd.Buffered()) != http1.SmallBuffer {
		t.Fatalf("%d bytes, %v", len(c.rd.Buffered()), err)
	}
	c.rd.Discard()
	if c.alive() {
		t.Error("a connection with bytes left over is alive")
	}
}

// waitReadable waits until something has come on the connection, without reading it.
func waitReadable(t *testing.T, c *upstreamConn) {
	t.Helper()
	c.sock.SetReadDeadline(time.Now().Add(10 * time.Second))
	if err := c.sock.raw.Read(func(fd uintptr) bool {
		_, _, err := syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK)
		return err != syscall.EAGAIN
	}); err != nil {
		t.Fatal(err)
	}
}

// TestGone: a peer that has closed its side is gone, whatever it has said before; of what has no descriptor nobody knows.
func TestGone(t *testing.T) {
	if ours, theirs := net.Pipe(); theirs.Close() != nil || newSock(ours).gone() {
		t.Error("gone without a descriptor")
	}
	client, server := pipe(t)
	s := newSock(server)
	if s.gone() {
		t.Error("gone while open")
	}
	client.Write([]byte("unread"))
	client.(*net.TCPConn).CloseWrite()
	r := http1.NewReader(s)
	r.Fill()
	for _, err := r.Fill(); err != io.EOF; _, err = r.Fill() {
		if err != nil {
			t.Fatal(err)
		}
	}
	if !s.gone() {
		t.Error("not gone after a FIN")
	}
}

func TestDeadlines(t *testing.T) {
	_, server := pipe(t)
	s := newSock(server)
	r := http1.NewReader(s)
	s.readWithin(time.Millisecond)
	if _, err := r.Fill(); !errors.Is(err, os.ErrDeadlineExceeded) || !isTimeout(err) {
		t.Errorf("got %v", err)
	}
	s.readWithin(time.Hour)
	set := s.readBy
	if s.readWithin(time.Hour); s.readBy != set {
		t.Error("moved a deadline that is nearly as far as it should be")
	}
	if s.readWithin(time.Minute); s.readBy == set {
		t.Error("kept a deadline that is too far")
	}
	set = s.readBy
	if s.readWithin(2 * time.Minute); s.readBy == set {
		t.Error("kept a deadline that is too near")
	}
}

// TestRawIO holds tryRead and tryWrite to what their callers rely on.
func TestRawIO(t *testing.T) {
	client, server := pipe(t)
	raw := rawConn(server)
	try := func(f func(fd uintptr) (int, error)) (n int, err error) {
		if e := raw.Control(func(fd uintptr) { n, err = f(fd) }); e != nil {
			t.Fatal(e)
		}
		return n, err
	}
	p := make([]byte, 1<<20)
	read := func(fd uintptr) (int, error) { return tryRead(fd, p) }
	write := func(fd uintptr) (int, error) { return tryWrite(fd, p) }
	if n, err := try(read); n != 0 || err != errWouldBlock {
		t.Errorf("read with nothing there: %d, %v", n, err)
	}
	total := 0
	for {
		n, err := try(write)
		if err == errWouldBlock {
			break
		}
		if n <= 0 || err != nil {
			t.Fatalf("write: %d, %v", n, err)
		}
		total += n
	}
	client.Write([]byte("hello"))
	client.(*net.TCPConn).CloseWrite()
	s := newSock(server)
	r := http1.NewReader(s)
	for {
		if _, err := r.Fill(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if string(r.Buffered()) != "hello" {
		t.Errorf("read %q", r.Buffered())
	}
	if n, err := try(read); n != 0 || err != nil {
		t.Errorf("read at the end: %d, %v", n, err)
	}
	if n, err := io.Copy(io.Discard, io.LimitReader(client, int64(total))); n != int64(total) || err != nil {
		t.Errorf("%d of %d bytes arrived, %v", n, total, err)
	}
	client.(*net.TCPConn).SetLinger(0)
	client.Close()
	var err error
	for err == nil || err == errWouldBlock {
		_, err = try(write)
	}
	if err != syscall.ECONNRESET && err != syscall.EPIPE {
		t.Errorf("write after a reset: %v", err)
	}
}

// TestWriteBlocks: what does not fit is written once the peer reads, and counted.
func TestWriteBlocks(t *testing.T) {
	client, server := pipe(t)
	s := newSock(server)
	p := []byte(strings.Repeat("0123456789abcdef", 1<<18))
	done := make(chan error, 1)
	go func() {
		n, err := s.Write(p)
		if err == nil && n != len(p) {
			err = io.ErrShortWrite
		}
		done <- err
	}()
	got := make([]byte, len(p))
	if _, err := io.ReadFull(client, got); err != nil || string(got) != string(p) {
		t.Errorf("the bytes differ, %v", err)
	}
	if err := <-done; err != nil || s.wrote.Load() != int64(len(p)) {
		t.Errorf("wrote %d, %v", s.wrote.Load(), err)
	}
	s.writeWithin(time.Millisecond)
	for {
		if _, err := s.Write(p); err != nil {
			if !isTimeout(err) {
				t.Errorf("got %v", err)
			}
			return
		}
	}
}

// TestCork: what is written while corked leaves in order, whatever its size.
func TestCork(t *testing.T) {
	client, server := pipe(t)
	s := newSock(server)
	var want strings.Builder
	s.cork()
	for i, size := range []int{1, 100, http1.LargeBuffer - 100, 50, http1.LargeBuffer, http1.LargeBuffer + 1, 7} {
		p := strings.Repeat(string(rune('a'+i)), size)
		want.WriteString(p)
		if n, err := s.Write([]byte(p)); n != size || err != nil {
			t.Fatal(n, err)
		}
	}
	if s.wrote.Load() == int64(want.Len()) {
		t.Error("nothing was held back")
	}
	if err := s.uncork(); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, want.Len())
	if _, err := io.ReadFull(client, got); err != nil || string(got) != want.String() {
		t.Errorf("the bytes differ, %v", err)
	}
}

func TestTLSRecords(t *testing.T) {
	stream := "\x17\x03\x03\x00\x03abc" + "\x17\x03\x03\x00\x00" + "\x17\x03\x03\x01\x01" + strings.Repeat("x", 257)
	for size := 1; size <= len(stream); size++ {
		var r tlsRecords
		var ends []int
		for at := 0; at < len(stream); {
			n := r.next([]byte(stream[at:min(at+size, len(stream))]))
			if n == 0 {
				t.Fatalf("by %d: no progress at %d", size, at)
			}
			if at += n; r.whole() {
				ends = append(ends, at)
			}
		}
		if len(ends) == 0 || ends[len(ends)-1] != len(stream) {
			t.Errorf("by %d: records end at %v", size, ends)
		}
		for _, end := range ends {
			if end != 8 && end != 13 && end != len(stream) {
				t.Errorf("by %d: a record ends at %d", size, end)
			}
		}
	}
}

// TestCloseWriteTLS: an upstream is told by TLS that nothing more comes.
func TestCloseWriteTLS(t *testing.T) {
	_, c := tlsPair(t)
	before := c.sock.wrote.Load()
	if c.closeWrite(); c.sock.wrote.Load() == before {
		t.Error("no close_notify is sent")
	}
}

// TestAliveCutOff: a connection that was cut is not alive, also while the tls.Conn may hold something.
func TestAliveCutOff(t *testing.T) {
	server, c := tlsPair(t)
	if !c.alive() {
		t.Fatal("it is not alive")
	}
	c.more = true
	server.NetConn().Close()
	waitReadable(t, c)
	if c.alive() {
		t.Error("it is alive")
	}
}

// TestCorkFails: what cannot be sent of what was collected is an error of the next write.
func TestCorkFails(t *testing.T) {
	conn, _ := net.Pipe()
	s := newSock(refusing{conn})
	s.cork()
	p := make([]byte, cap(s.corked))
	if n, err := s.Write(p); n != len(p) || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	if n, err := s.Write(p[:1]); n != 0 || err != syscall.EPIPE {
		t.Errorf("%d, %v", n, err)
	}
}

// TestCloseOverTLS: a connection that goes through a TLS one is closed without anything being sent, which could block.
func TestCloseOverTLS(t *testing.T) {
	server, c := tlsPair(t)
	outer := newSock(c.tls)
	before := c.sock.wrote.Load()
	(&upstreamConn{sock: outer}).close()
	if c.sock.wrote.Load() != before {
		t.Error("something was sent")
	}
	server.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := server.Read(make([]byte, 1)); err == nil || isTimeout(err) {
		t.Errorf("it is open: %v", err)
	}
}

// TestWriteFails: a write to a peer that is gone fails, and does not wait for room that there never will be.
func TestWriteFails(t *testing.T) {
	ours, theirs := pipe(t)
	s := newSock(ours)
	theirs.(*net.TCPConn).SetLinger(0)
	theirs.Close()
	for by := time.Now().Add(5 * time.Second); ; {
		if _, err := s.Write([]byte("x")); isTimeout(err) {
			t.Fatal(err)
		} else if err != nil {
			break
		}
		if time.Now().After(by) {
			t.Fatal("it takes everything")
		}
	}
	if _, err := s.Write([]byte("x")); err == nil || isTimeout(err) {
		t.Error(err)
	}
}
