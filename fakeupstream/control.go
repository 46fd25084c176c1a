package fakeupstream

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// An operation is something that the control port does.
type operation struct {
	method, path string
	do           func(s *Server, r *http.Request) (any, error)
}

// operations are described by openapi.json, which a test compares with them. A
// result of nil is answered with 204, a document as what it is, and everything
// else as JSON.
var operations = []operation{
	{"GET", "/requests", (*Server).controlRequests},
	{"DELETE", "/requests", func(s *Server, _ *http.Request) (any, error) { s.Forget(); return nil, nil }},
	{"GET", "/requests/wait", (*Server).controlWaitRequest},
	{"GET", "/requests/dump", func(s *Server, _ *http.Request) (any, error) { return s.dump(), nil }},
	{"GET", "/requests/har", func(s *Server, _ *http.Request) (any, error) {
		har, err := s.HAR()
		return document{"application/json", har}, err
	}},
	{"POST", "/events", (*Server).controlEmit},
	{"DELETE", "/events", (*Server).controlEndStream},
	{"GET", "/streams/wait", (*Server).controlWaitStream},
	{"GET", "/behaviours", (*Server).controlBehaviours},
	{"PUT", "/behaviours", (*Server).controlSet},
	{"DELETE", "/behaviours", (*Server).controlUnset},
	{"GET", "/faults", func(s *Server, _ *http.Request) (any, error) { return append([]Fault{}, s.Faults()...), nil }},
	{"POST", "/faults", (*Server).controlInject},
	{"DELETE", "/faults", func(s *Server, _ *http.Request) (any, error) { return nil, s.ClearFaults() }},
	{"GET", "/connections", (*Server).controlConnections},
	{"DELETE", "/connections", func(s *Server, _ *http.Request) (any, error) {
		return map[string]int{"closed": s.CloseIdle()}, nil
	}},
	{"GET", "/pushes", func(s *Server, _ *http.Request) (any, error) { return map[string]int{"pushes": s.Pushes()}, nil }},
	{"GET", "/openapi.json", func(*Server, *http.Request) (any, error) { return document{"application/json", openAPI}, nil }},
}

//go:embed openapi.json
var openAPI []byte

// OpenAPI returns the description of the control port, a JSON document of
// OpenAPI 3.0.
func OpenAPI() []byte { return append([]byte(nil), openAPI...) }

// document is a result with a type of its own.
type document struct {
	kind string
	body []byte
}

// Control returns what the control port of the program serves: the verbs of
// Server over plain HTTP, for tests in other languages. It answers requests to
// loopback names only, so that no web page can talk to it.
func (s *Server) Control() http.Handler {
	mux := http.NewServeMux()
	for _, op := range operations {
		mux.HandleFunc(op.method+" "+op.path, func(w http.ResponseWriter, r *http.Request) {
			result, err := op.do(s, r)
			reply(w, result, err)
		})
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = r.Host
		}
		if ip := net.ParseIP(host); r.Header.Get("Origin") != "" || host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			reply(w, nil, &controlError{http.StatusForbidden, errors.New("for programs on this machine only")})
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// controlError is an error with the status that it is answered with. Others
// are 400.
type controlError struct {
	status int
	error
}

func reply(w http.ResponseWriter, result any, err error) {
	if err != nil {
		status := http.StatusBadRequest
		if e := (*controlError)(nil); errors.As(err, &e) {
			status = e.status
		}
		p, _ := marshal(map[string]string{"error": err.Error()})
		write(w, status, "application/json", append(p, '\n'))
		return
	}
	switch v := result.(type) {
	case nil:
		w.WriteHeader(http.StatusNoContent)
	case document:
		write(w, http.StatusOK, v.kind, v.body)
	default:
		p, err := marshal(v)
		if err != nil {
			reply(w, nil, &controlError{http.StatusInternalServerError, err})
			return
		}
		write(w, http.StatusOK, "application/json", append(p, '\n'))
	}
}

func write(w http.ResponseWriter, status int, kind string, body []byte) {
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	w.Write(body)
}

// read reads a request's body into v, strictly.
func read(r *http.Request, v any) error {
	d := json.NewDecoder(io.LimitReader(r.Body, 64<<20))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("request body: %w", err)
	}
	return nil
}

// patience returns the context of an operation that waits, for at most
// timeout_ms if the request says so.
func patience(r *http.Request) (context.Context, context.CancelFunc, error) {
	ms := r.URL.Query().Get("timeout_ms")
	if ms == "" {
		return r.Context(), func() {}, nil
	}
	n, err := strconv.Atoi(ms)
	if err != nil || n < 0 {
		return nil, nil, fmt.Errorf("timeout_ms=%q: want a number", ms)
	}
	ctx, cancel := context.WithTimeout(r.Context(), time.Duration(n)*time.Millisecond)
	return ctx, cancel, nil
}

// waited gives the error of a wait its status.
func waited(err error) error {
	if err != nil {
		return &controlError{http.StatusGatewayTimeout, err}
	}
	return nil
}

func (s *Server) dump() document {
	var b strings.Builder
	for _, q := range s.Requests() {
		b.WriteString(q.Dump())
	}
	return document{"text/plain; charset=utf-8", []byte(b.String())}
}

func (s *Server) controlRequests(*http.Request) (any, error) {
	return append([]Request{}, s.Requests()...), nil
}

func (s *Server) controlWaitRequest(r *http.Request) (any, error) {
	ctx, cancel, err := patience(r)
	if err != nil {
		return nil, err
	}
	defer cancel()
	want := r.URL.Query()
	size := int64(0)
	if v := want.Get("body_size"); v != "" {
		if size, err = strconv.ParseInt(v, 10, 64); err != nil {
			return nil, fmt.Errorf("body_size=%q: want a number", v)
		}
	}
	match := func(q *Request) bool {
		return (!want.Has("method") || q.Method == want.Get("method")) &&
			(!want.Has("target") || q.Target == want.Get("target")) &&
			(!want.Has("path") || q.Path() == want.Get("path")) &&
			(!want.Has("contains") || strings.Contains(string(q.Head)+string(q.Body), want.Get("contains"))) &&
			q.BodySize >= size
	}
	wait := s.WaitRequest
	switch state := want.Get("state"); state {
	case "", "done":
	case "arriving":
		wait = s.WaitArriving
	default:
		return nil, fmt.Errorf("state=%q: want done or arriving", state)
	}
	q, err := wait(ctx, match)
	if err != nil {
		return nil, waited(err)
	}
	return q, nil
}

func (s *Server) controlEmit(r *http.Request) (any, error) {
	var v struct {
		Stream  string `json:"stream"`
		Data    string `json:"data"`
		Event   string `json:"event"`
		ID      string `json:"id"`
		Comment string `json:"comment"`
		RetryMS int64  `json:"retry_ms"`
		Stamp   bool   `json:"stamp"`
		Raw     string `json:"raw"`
	}
	if err := read(r, &v); err != nil {
		return nil, err
	}
	ctx, cancel, err := patience(r)
	if err != nil {
		return nil, err
	}
	defer cancel()
	return nil, waited(s.EmitEvent(ctx, v.Stream, Event{
		Comment: v.Comment, Event: v.Event, ID: v.ID, Data: v.Data,
		Retry: time.Duration(v.RetryMS) * time.Millisecond, Stamp: v.Stamp, Raw: v.Raw,
	}))
}

func (s *Server) controlEndStream(r *http.Request) (any, error) {
	var how After
	if err := how.UnmarshalText([]byte(r.URL.Query().Get("then"))); err != nil {
		return nil, err
	}
	ctx, cancel, err := patience(r)
	if err != nil {
		return nil, err
	}
	defer cancel()
	return nil, waited(s.EndStreamAs(ctx, r.URL.Query().Get("stream"), how))
}

func (s *Server) controlWaitStream(r *http.Request) (any, error) {
	ctx, cancel, err := patience(r)
	if err != nil {
		return nil, err
	}
	defer cancel()
	name := r.URL.Query().Get("stream")
	switch state := r.URL.Query().Get("state"); state {
	case "", "open":
		return nil, waited(s.WaitStream(ctx, name))
	case "gone":
		return nil, waited(s.WaitStreamGone(ctx, name))
	default:
		return nil, fmt.Errorf("state=%q: want open or gone", state)
	}
}

func (s *Server) controlBehaviours(*http.Request) (any, error) {
	return map[string]any{"builtin": Behaviours(), "set": append([]string{}, s.settings()...)}, nil
}

func (s *Server) controlSet(r *http.Request) (any, error) {
	var v struct {
		Path      string  `json:"path"`
		Like      string  `json:"like"`
		Raw       *string `json:"raw"`
		RawBase64 []byte  `json:"raw_base64"`
		Then      After   `json:"then"`
	}
	if err := read(r, &v); err != nil {
		return nil, err
	}
	if !strings.HasPrefix(v.Path, "/") {
		return nil, fmt.Errorf("path %q: want one that begins with /", v.Path)
	}
	var b Behaviour
	switch {
	case v.Like != "" && v.Raw == nil && v.RawBase64 == nil:
		var err error
		if b, err = ParseBehaviour(v.Like); err != nil {
			return nil, err
		}
	case v.Like == "" && v.Raw != nil && v.RawBase64 == nil:
		b = Raw([]byte(*v.Raw), v.Then)
	case v.Like == "" && v.Raw == nil && v.RawBase64 != nil:
		b = Raw(v.RawBase64, v.Then)
	default:
		return nil, errors.New("want one of like, raw, raw_base64")
	}
	s.Set(v.Path, b)
	return nil, nil
}

func (s *Server) controlUnset(r *http.Request) (any, error) {
	if path := r.URL.Query().Get("path"); path != "" {
		s.Set(path, nil)
		return nil, nil
	}
	for _, path := range s.settings() {
		s.Set(path, nil)
	}
	return nil, nil
}

func (s *Server) controlInject(r *http.Request) (any, error) {
	var f Fault
	if err := read(r, &f); err != nil {
		return nil, err
	}
	return nil, s.Inject(f)
}

func (s *Server) controlConnections(*http.Request) (any, error) {
	accepted, open := s.Connections()
	return map[string]int{"accepted": accepted, "open": open}, nil
}
