// Package admin is the operator's port: whether the proxy lives and is ready, its metrics, what it has in force, and a page
// that shows what it does. It is told of exchanges by proxy.Events and asks for a proxy.Status; it can change nothing, and
// what it is told holds no query, no header value and no token.
//
//   - admin.go serves, recent.go keeps what is open and what was last.
//   - route.go counts for one route, metrics.go and runtime.go write that for Prometheus.
//   - events.go feeds page.html, which is all that a browser loads.
//
// Whoever reaches the port may read all of it: see SECURITY.md for what that is.
package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"credproxy/proxy"
)

const (
	// maxConns is how many connections there are at a time; a further one is closed at once.
	maxConns = 64

	// maxPages is how many of those may be pages that are kept up to date.
	maxPages = 16

	// writeWithin is how long a reader may take to read what it asked for, or the next piece of what it is kept told.
	writeWithin = 10 * time.Second
)

// Options configures an Admin.
type Options struct {
	Status   func() proxy.Status
	Warn     func(string) // told of defects; may be nil
	Name     string       // a host name by which the port may be asked, besides addresses and names of a private network
	Version  string
	Revision string
}

// Admin is the operator's port. Make it an Observer of a proxy.Server by Finished and Progress.
type Admin struct {
	Options
	started  time.Time
	draining atomic.Bool
	server   http.Server
	conns    chan struct{} // one for each
	pages    chan struct{} // likewise
	stop     context.CancelFunc

	mu        sync.Mutex
	exchanges map[series]uint64
	routes    map[string]*route
	other     route // all routes beyond maxRoutes
	open      map[proxy.ID]*open
	recent    recent
}

// New returns an Admin that has been told nothing.
func New(o Options) *Admin {
	a := &Admin{Options: o, started: time.Now(), conns: make(chan struct{}, maxConns), pages: make(chan struct{}, maxPages),
		exchanges: map[series]uint64{}, routes: map[string]*route{}, open: map[proxy.ID]*open{}}
	if a.Warn == nil {
		a.Warn = func(string) {}
	}
	ctx, stop := context.WithCancel(context.Background())
	a.stop = stop
	a.server = http.Server{
		Handler:           a,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ReadHeaderTimeout: 5 * time.Second,
		WriteTimeout:      writeWithin,
		IdleTimeout:       30 * time.Second,
		MaxHeaderBytes:    8 << 10,
		ErrorLog:          log.New(io.Discard, "", 0), // it would repeat what strangers send
	}
	a.server.Protocols = new(http.Protocols)
	a.server.Protocols.SetHTTP1(true)
	return a
}

// Drain makes the port say that the proxy is not ready, from now on.
func (a *Admin) Drain() { a.draining.Store(true) }

// Serve serves until Close.
func (a *Admin) Serve(ln net.Listener) error { return a.server.Serve(&bounded{ln, a.conns}) }

// Close ends every connection.
func (a *Admin) Close() error {
	a.stop()
	return a.server.Close()
}

// acceptAgain is how long after a failure the next connection is accepted.
const acceptAgain = 50 * time.Millisecond

// bounded is a listener that closes connections for which there is no place.
type bounded struct {
	net.Listener
	places chan struct{}
}

func (b *bounded) Accept() (net.Conn, error) {
	for {
		c, err := b.Listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil, err
		}
		if err != nil { // such as no memory for it: that must not end the port, whose end would be taken for the program's
			time.Sleep(acceptAgain)
			continue
		}
		select {
		case b.places <- struct{}{}:
			return &placed{Conn: c, free: sync.OnceFunc(func() { <-b.places })}, nil
		default:
			c.Close()
		}
	}
}

type placed struct {
	net.Conn
	free func()
}

func (p *placed) Close() error {
	p.free()
	return p.Conn.Close()
}

// resources are what there is to ask for.
var resources = map[string]func(*Admin, http.ResponseWriter, *http.Request){
	"/":        (*Admin).page,
	"/events":  (*Admin).events,
	"/livez":   (*Admin).livez,
	"/readyz":  (*Admin).readyz,
	"/metrics": (*Admin).metrics,
	"/status":  (*Admin).status,
}

// ServeHTTP answers one request.
func (a *Admin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	defer func() {
		if v := recover(); v != nil && v != http.ErrAbortHandler {
			a.Warn(fmt.Sprintf("internal error (%T) on the admin port", v))
			panic(http.ErrAbortHandler)
		}
	}()
	h := w.Header()
	for _, f := range [][2]string{
		{"Cache-Control", "no-store"},
		{"Content-Security-Policy", pagePolicy},
		{"Content-Type", "text/plain; charset=utf-8"},
		{"Cross-Origin-Opener-Policy", "same-origin"},
		{"Cross-Origin-Resource-Policy", "same-origin"},
		{"Referrer-Policy", "no-referrer"},
		{"X-Content-Type-Options", "nosniff"},
		{"X-Frame-Options", "DENY"},
	} {
		h.Set(f[0], f[1])
	}
	if r.ContentLength != 0 { // net/http awaits what it is about to discard, for which there is no time otherwise
		http.NewResponseController(w).SetReadDeadline(time.Now().Add(time.Second))
	}
	serve := resources[r.URL.Path]
	switch {
	case !a.private(r.Host) && !isLocal(r):
		http.Error(w, "the name of this port is none of a private network: ask for its address", http.StatusForbidden)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		h.Set("Allow", "GET, HEAD")
		http.Error(w, "there is nothing to change here", http.StatusMethodNotAllowed)
	case r.ContentLength != 0:
		http.Error(w, "a body is not asked for", http.StatusBadRequest)
	case serve == nil:
		http.Error(w, "there are "+strings.Join(slices.Sorted(maps.Keys(resources)), ", "), http.StatusNotFound)
	default:
		serve(a, w, r)
	}
}

// private reports whether a Host field names the port by an address, or by a name that no stranger can give to it: the
// script of a web page could otherwise have its own name resolve to this address and read what it asks for.
func (a *Admin) private(hostport string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	if _, err := netip.ParseAddr(host); err == nil || host == strings.ToLower(a.Name) || !strings.Contains(host, ".") {
		return true
	}
	for _, suffix := range []string{".localhost", ".local", ".internal"} { // RFC 6761, RFC 6762; ICANN resolution 2024.07.29.06
		if strings.HasSuffix(host, suffix) {
			return true
		}
	}
	return false
}

// isLocal reports whether a request came over a Unix socket, to which no browser connects.
func isLocal(r *http.Request) bool {
	addr, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	return addr != nil && addr.Network() == "unix"
}

// livez says that the process serves. Nothing that is outside of it can make that wrong.
func (a *Admin) livez(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") }

// readyz says whether requests can be served, or, line by line, what is missing.
func (a *Admin) readyz(w http.ResponseWriter, _ *http.Request) {
	if missing := a.missing(a.Status()); len(missing) > 0 {
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprintln(w, "not ready: "+strings.Join(missing, "\nnot ready: "))
		return
	}
	fmt.Fprintln(w, "ready")
}

// missing is why the proxy is not ready.
func (a *Admin) missing(s proxy.Status) (why []string) {
	if a.draining.Load() {
		why = append(why, "draining")
	}
	if s.Generation == 0 {
		why = append(why, "no routes are loaded")
	}
	for _, r := range s.Routes {
		for _, t := range r.Tokens {
			if t.Problem != "" {
				why = append(why, "route "+r.Path+": "+t.Problem)
			}
		}
	}
	return why
}

// status says what is in force.
func (a *Admin) status(w http.ResponseWriter, _ *http.Request) {
	type token struct {
		Source string `json:"source"`
		State  string `json:"state"`
	}
	type route struct {
		Path     string  `json:"path"`
		Upstream string  `json:"upstream"`
		Tokens   []token `json:"tokens"`
	}
	s := a.Status()
	missing := a.missing(s)
	doc := struct {
		Version     string     `json:"version"`
		Ready       bool       `json:"ready"`
		Missing     []string   `json:"missing"`
		Started     time.Time  `json:"started"`
		Generation  uint64     `json:"generation"`
		Hash        string     `json:"hash"`
		LastReload  time.Time  `json:"last_reload"`
		LastError   *string    `json:"last_error"`
		LastErrorAt *time.Time `json:"last_error_at"`
		Routes      []route    `json:"routes"`
	}{Version: a.Version, Ready: len(missing) == 0, Missing: append([]string{}, missing...), Started: a.started.UTC(),
		Generation: s.Generation, Hash: s.Hash, LastReload: s.LastReload.UTC(), Routes: []route{}}
	if s.LastError != "" {
		at := s.LastErrorAt.UTC()
		doc.LastError, doc.LastErrorAt = &s.LastError, &at
	}
	for _, r := range s.Routes {
		one := route{r.Path, r.Upstream, []token{}}
		for _, t := range r.Tokens {
			one.Tokens = append(one.Tokens, token{t.Source, t.State})
		}
		doc.Routes = append(doc.Routes, one)
	}
	w.Header().Set("Content-Type", "application/json")
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.Encode(doc)
}
