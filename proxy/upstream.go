package proxy

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"credproxy/proxy/http1"
)

// Connections to an upstream: made, verified, kept and used again.

const (
	// idleUpstream is how long a connection to an upstream is kept without use; most servers give up sooner.
	idleUpstream = 90 * time.Second

	// maxIdleUpstream is how many of them are kept for each origin.
	maxIdleUpstream = 1024
)

// upstream is an origin and the connections to it. It outlives reloads as long as a route names the origin.
type upstream struct {
	origin
	proxy    *url.URL // of HTTPS_PROXY or HTTP_PROXY; nil for none
	tls      *tls.Config
	roots    *x509.CertPool
	timeouts *Timeouts
	kept     *kept // of all upstreams together

	mu      sync.Mutex
	idle    []*upstreamConn // the one used last is at the end
	retired bool            // no route names it any more: nothing is kept
}

func newUpstream(o origin, t *Timeouts, roots *x509.CertPool) (*upstream, error) {
	u := &upstream{origin: o, timeouts: t, roots: roots, kept: &kept{max: maxIdleUpstream}}
	var err error
	if u.proxy, err = o.wayOut(); err != nil {
		return nil, fmt.Errorf("proxy for %s: %w", o.authority(), err)
	}
	if o.tls {
		if roots == nil {
			go warmRoots()
		}
		u.tls = &tls.Config{
			MinVersion:         tls.VersionTLS12,
			ServerName:         o.host,
			RootCAs:            roots,
			NextProtos:         []string{"http/1.1"},
			ClientSessionCache: tls.NewLRUClientSessionCache(0),
			// Small first records would only cost: an answer is passed on as it comes, a request is small or bulk.
			DynamicRecordSizingDisabled: true,
		}
	}
	return u, nil
}

// wayOut returns the proxy that the environment names for an origin, or nil for none. Whether NO_PROXY exempts the origin
// is net/http's to say; but that takes what it cannot parse for no proxy at all, and so for another way out than the one
// that was asked for. No error has the value in it: that may hold a password.
func (o origin) wayOut() (*url.URL, error) {
	name := strings.ToUpper(o.scheme()) + "_PROXY"
	if os.Getenv(name) == "" {
		name = strings.ToLower(name)
	}
	value := os.Getenv(name)
	if value == "" {
		return nil, nil
	}
	if !strings.Contains(value, "://") {
		value = "http://" + value
	}
	proxy, err := url.Parse(value)
	if err != nil || proxy.Hostname() == "" {
		return nil, fmt.Errorf("%s is not the URL of a proxy", name)
	}
	target := &url.URL{Scheme: o.scheme(), Host: net.JoinHostPort(o.host, o.port)}
	if applies, err := http.ProxyFromEnvironment(&http.Request{URL: target}); applies == nil {
		return nil, err
	}
	if proxy.Scheme != "http" && proxy.Scheme != "https" {
		return nil, fmt.Errorf("scheme %q is not http or https", proxy.Scheme)
	}
	return proxy, nil
}

// warmRoots has the system's roots read before the first handshake asks for them, and gives back what that took: it is
// most of what the process ever allocates while it is idle.
var warmRoots = sync.OnceFunc(func() {
	x509.SystemCertPool() // an error comes again with the handshake
	debug.FreeOSMemory()
})

// upstreamConn is one connection to an upstream, for one exchange at a time.
type upstreamConn struct {
	*upstream
	sock *sock
	tls  *tls.Conn // nil over plain HTTP
	rd   http1.Reader
	more bool      // the tls.Conn may hold something that it was given
	step bool      // what it was given is known: it once had nothing
	used bool      // an exchange went over it
	idle time.Time // since when
}

// take returns a kept connection that is still open, or nil.
func (u *upstream) take() *upstreamConn {
	for {
		u.mu.Lock()
		n := len(u.idle)
		if n == 0 {
			u.mu.Unlock()
			return nil
		}
		c := u.idle[n-1]
		u.idle[n-1] = nil
		u.idle = u.idle[:n-1]
		u.mu.Unlock()
		u.kept.gone(1)
		c.sock.writeWithin(u.timeouts.Silence) // what TLS has to answer is not late because the last exchange was
		if c.alive() {
			return c
		}
		c.free()
	}
}

// put keeps a connection for the next exchange. Everything of the last one must have been read.
func (u *upstream) put(c *upstreamConn) {
	c.rd.Discard()
	c.used, c.idle = true, time.Now()
	u.mu.Lock()
	keep := !u.retired && len(u.idle) < maxIdleUpstream && u.kept.another()
	if keep {
		u.idle = append(u.idle, c)
	}
	u.mu.Unlock()
	if !keep {
		c.free()
	}
}

// closeIdle closes what has been idle since before t.
func (u *upstream) closeIdle(t time.Time) {
	u.mu.Lock()
	n := 0
	for n < len(u.idle) && u.idle[n].idle.Before(t) {
		n++
	}
	old := slices.Clone(u.idle[:n])
	u.idle = slices.Delete(u.idle, 0, n) // which forgets them, too
	u.mu.Unlock()
	u.kept.gone(n)
	for _, c := range old {
		c.close()
	}
}

// retire closes what is idle and keeps nothing from now on.
func (u *upstream) retire() {
	u.mu.Lock()
	u.retired = true
	u.mu.Unlock()
	u.closeIdle(time.Now().Add(time.Hour))
}

// dial connects, through the proxy if there is one, and has the certificate verified before it returns.
func (u *upstream) dial(ctx context.Context) (_ *upstreamConn, err error) {
	addr := net.JoinHostPort(u.host, u.port)
	first := addr
	if u.proxy != nil {
		first = proxyAddr(u.proxy)
	}
	d := net.Dialer{Timeout: u.timeouts.Dial}
	conn, err := d.DialContext(ctx, "tcp", first)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			conn.Close()
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, u.timeouts.TLS)
	defer cancel()
	if u.proxy != nil {
		tunnel, err := u.connect(ctx, conn, addr)
		if err != nil {
			return nil, err
		}
		conn = tunnel
	}
	c := &upstreamConn{upstream: u, sock: newSock(conn)}
	if u.tls != nil {
		c.tls = tls.Client(c.sock, u.tls)
		if err := c.tls.HandshakeContext(ctx); err != nil {
			return nil, err
		}
		c.sock.stashing, c.more = true, true
	}
	c.rd = http1.NewReader(c)
	return c, nil
}

func proxyAddr(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// connect asks a proxy for a tunnel to addr (RFC 9110, section 9.3.6).
func (u *upstream) connect(ctx context.Context, conn net.Conn, addr string) (net.Conn, error) {
	if u.proxy.Scheme == "https" {
		t := tls.Client(conn, &tls.Config{MinVersion: tls.VersionTLS12, ServerName: u.proxy.Hostname(), RootCAs: u.roots,
			NextProtos: []string{"http/1.1"}})
		if err := t.HandshakeContext(ctx); err != nil {
			return nil, fmt.Errorf("proxy: %w", err)
		}
		conn = t
	}
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	head := "CONNECT " + addr + " HTTP/1.1\r\nHost: " + addr + "\r\n"
	if user := u.proxy.User; user != nil {
		password, _ := user.Password()
		head += "Proxy-Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(user.Username()+":"+password)) + "\r\n"
	}
	io.WriteString(conn, head+"\r\n") // an error comes again
	rd := http1.NewReader(http1.FromReader(conn))
	defer rd.Discard()
	var resp http1.Response
	for {
		n, err := resp.Parse(rd.Buffered(), &http1.Limits{Head: 64 << 10, Fields: 256})
		switch {
		case err == http1.ErrIncomplete:
			if _, err = rd.Fill(); err != nil {
				return nil, fmt.Errorf("proxy: %w", err)
			}
		case err != nil:
			return nil, fmt.Errorf("proxy: malformed answer to CONNECT: %w", err)
		case resp.Status/100 == 1 && resp.Status != 101:
			rd.Consume(n)
		case resp.Status/100 != 2:
			return nil, fmt.Errorf("proxy: CONNECT answered with status %d", resp.Status)
		case n != len(rd.Buffered()):
			return nil, errors.New("proxy: bytes behind the answer to CONNECT")
		case !stop():
			return nil, ctx.Err()
		default:
			return conn, nil
		}
	}
}

// ReadInto makes an upstreamConn the Source of its Reader. io.EOF is a clean end: over TLS only a close_notify is one.
func (c *upstreamConn) ReadInto(r *http1.Reader) (int, error) {
	if c.tls == nil {
		return c.sock.ReadInto(r)
	}
	for {
		if c.pending() {
			if n, err := c.decrypt(r); err != errWouldBlock {
				return n, err
			}
			r.Release()
		}
		if _, err := c.sock.stash.Fill(); err == io.EOF {
			return 0, io.ErrUnexpectedEOF
		} else if err != nil {
			return 0, err
		}
	}
}

// fillNow puts what is there into the Reader, whatever deadline has passed.
func (c *upstreamConn) fillNow() error {
	c.sock.polling = true
	defer func() { c.sock.polling = false }()
	_, err := c.rd.Fill()
	return err
}

// pending reports whether the tls.Conn may have something to say without more bytes from the network.
func (c *upstreamConn) pending() bool { return c.more || len(c.sock.stash.Buffered()) > 0 }

// decrypt moves what the stash holds into r, as far as there is room; errWouldBlock means that it yields nothing.
func (c *upstreamConn) decrypt(r *http1.Reader) (total int, _ error) {
	for {
		p := r.Space()
		n, err := c.tls.Read(p)
		r.Stored(n)
		total += n
		// With room left over, all of the record was read, and what is behind it is in the stash or not there yet.
		c.more = n == len(p) || !c.step || err != nil || !c.sock.records.whole()
		if err == errWouldBlock {
			c.more, c.step = false, true
		}
		switch {
		case err != nil && total > 0:
			return total, nil // it will come again
		case err != nil:
			return 0, err
		case r.Free() == 0 || !c.pending():
			return total, nil
		}
	}
}

func (c *upstreamConn) Write(p []byte) (int, error) {
	if c.tls == nil {
		return c.sock.Write(p)
	}
	if len(p) <= maxPlaintext {
		return c.tls.Write(p)
	}
	c.sock.cork()
	n, err := c.tls.Write(p)
	return n, cmp.Or(err, c.sock.uncork())
}

// maxPlaintext is what one TLS record can hold (RFC 8446, section 5.1).
const maxPlaintext = 1 << 14

// alive reports whether an idle connection can be used: nothing has come but what TLS sends on its own, and no end.
func (c *upstreamConn) alive() bool {
	in := &c.rd
	if c.tls != nil {
		in = &c.sock.stash
	}
	_, err := c.sock.poll(in)
	if c.tls != nil && (err == nil || err == errWouldBlock && c.pending()) {
		_, err = c.decrypt(&c.rd) // what a response left behind shows here too
	}
	c.rd.Release()
	return err == errWouldBlock
}

// close ends the connection at once, whoever is reading or writing on it. No close_notify is sent: it could block, and
// an upstream that was sent a part of a request must not take it for the whole.
func (c *upstreamConn) close() { c.sock.Close() }

// closeWrite tells the upstream that nothing more comes; what it still sends can be read.
func (c *upstreamConn) closeWrite() {
	if c.tls != nil {
		c.tls.CloseWrite()
	}
	c.sock.closeWrite()
}

// free gives back what a connection holds that nobody uses any more.
func (c *upstreamConn) free() {
	c.close()
	c.rd.Discard()
	c.sock.stash.Discard()
}

// isTimeout reports whether an error says that something took too long.
func isTimeout(err error) bool {
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	e, ok := errors.AsType[net.Error](err)
	return ok && e.Timeout()
}

// describe says why an upstream failed, in words of ours and of the local system only: what the upstream chose, such as
// the names in its certificate, could hold a token that it was sent earlier.
func describe(err error) string {
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return "certificate is not valid for this host"
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "certificate signed by unknown authority"
	}
	if e, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		if e.Reason == x509.Expired {
			return "certificate has expired or is not yet valid"
		}
		return "certificate is not valid"
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return "certificate is not valid"
	}
	if e, ok := errors.AsType[http1.Malformed](err); ok {
		return "malformed response: " + e.Error()
	}
	if e, ok := errors.AsType[*net.DNSError](err); ok {
		if e.IsNotFound {
			return "no such host"
		}
		return "host name lookup failed"
	}
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "connection closed before the response"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "connection reset"
	case errors.Is(err, http1.ErrHeadTooLarge), errors.Is(err, http1.ErrTooManyFields):
		return "malformed response: " + err.Error()
	case isTimeout(err):
		return "timed out"
	}
	if e, ok := errors.AsType[syscall.Errno](err); ok {
		return e.Error()
	}
	// Of the rest only what begins with a word of the TLS library or of our own is repeated, up to the next colon: behind it
	// the library quotes what it was sent.
	for _, ours := range []string{"tls: ", "remote error: tls: ", "proxy: tls: ", "proxy: remote error: tls: ", "proxy: "} {
		if said, ok := strings.CutPrefix(err.Error(), ours); ok {
			said, _, _ = strings.Cut(said, ":")
			return ours + said
		}
	}
	return "connection failed"
}
