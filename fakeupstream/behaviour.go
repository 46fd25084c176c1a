package fakeupstream

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Behaviour answers a request. It returns an error to break the connection
// off; an answer that it has begun is otherwise finished for it, and a body
// that it has not read is read.
type Behaviour func(x *Exchange) error

// A builtin is a behaviour that paths have from the start.
type builtin struct {
	path string // where it is: see match
	doc  string // what it does and which parameters it takes, in a line
	new  func(p params) (Behaviour, error)
}

// builtins in the order in which they are tried; set by init in this order, as
// the behaviours refer back to the table.
var builtins []builtin

func init() {
	builtins = slices.Concat(lfsBuiltins, gitBuiltins, npmBuiltins, pypiBuiltins, goBuiltins,
		anthropicBuiltins, openAIBuiltins, modelBuiltins, linkBuiltins, messageBuiltins, websocketBuiltins, answerBuiltins)
}

// Behaviours returns the paths of the built-in behaviours, each with a line
// that says what it does and which query parameters it takes. Of a path the end
// counts, so that every one of them is there below any base path; {x} stands
// for a segment and a slash at the end for everything below it.
func Behaviours() map[string]string {
	docs := map[string]string{}
	for _, b := range builtins {
		docs[b.path] = b.doc
	}
	return docs
}

// match matches a path's end with the pattern of a builtin. Base is what comes
// before that end, arg what stands for {x} or below the slash.
func (b *builtin) match(path string) (base, arg string, ok bool) {
	if strings.HasSuffix(b.path, "/") {
		base, arg, ok = strings.Cut(path, b.path)
		return base, arg, ok
	}
	if prefix, ok := strings.CutSuffix(b.path, "{x}"); ok {
		i := strings.LastIndexByte(path, '/') + 1
		base, ok := strings.CutSuffix(path[:i], prefix)
		return base, path[i:], ok && path[i:] != ""
	}
	base, ok = strings.CutSuffix(path, b.path)
	return base, "", ok
}

// Set gives a path a behaviour, at any method, in place of the one that it has;
// nil gives it its own back. The path is compared exactly, without the query.
func (s *Server) Set(path string, b Behaviour) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if b == nil {
		delete(s.set, path)
		return
	}
	s.set[path] = b
}

// settings returns the paths that Set has given a behaviour.
func (s *Server) settings() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.set))
}

// behaviour returns the behaviour of the exchange's path.
func (s *Server) behaviour(x *Exchange) Behaviour {
	s.mu.Lock()
	b := s.set[x.path]
	s.mu.Unlock()
	if b != nil {
		return b
	}
	_, query := splitTarget(x.rec.Target)
	b, err := lookup(x.path, query)
	if err != nil {
		return func(x *Exchange) error {
			return x.Answer(http.StatusBadRequest, []byte("fakeupstream: "+err.Error()+"\n"), plainText)
		}
	}
	return b
}

// lookup returns the behaviour of a path and query that nobody has set.
func lookup(path, query string) (Behaviour, error) {
	for i := range builtins {
		if base, arg, ok := builtins[i].match(path); ok {
			b, err := builtins[i].new(params{base, arg, parseQuery(query)})
			if err != nil {
				return nil, fmt.Errorf("%s: %w", builtins[i].path, err)
			}
			return b, nil
		}
	}
	return echo, nil
}

// parseQuery parses a query, of which any bytes are legal here: tests send all
// sorts of them, and url.ParseQuery refuses some.
func parseQuery(query string) url.Values {
	values := url.Values{}
	for pair := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(pair, "=")
		if decoded, err := url.QueryUnescape(value); err == nil {
			value = decoded
		}
		values.Add(name, value)
	}
	return values
}

// Like returns the behaviour of a built-in path with its query, for Set:
//
//	up.Set("/v1/files", fakeupstream.Like("/bytes?n=1000000&framing=chunked"))
//
// It panics if the parameters are not in order.
func Like(target string) Behaviour {
	b, err := ParseBehaviour(target)
	if err != nil {
		panic("fakeupstream: " + err.Error())
	}
	return b
}

// ParseBehaviour is Like with an error for parameters that are not in order and
// for a path that no built-in behaviour has.
func ParseBehaviour(target string) (Behaviour, error) {
	path, query := splitTarget(target)
	for i := range builtins {
		if _, _, ok := builtins[i].match(path); ok {
			return lookup(path, query)
		}
	}
	return nil, fmt.Errorf("no built-in behaviour %q", path)
}

// Raw reads the whole request, writes exactly p, and goes on as then says.
func Raw(p []byte, then After) Behaviour {
	return func(x *Exchange) error {
		if _, err := x.ReadBody(); err != nil {
			return err
		}
		x.Then(then)
		return x.WriteRaw(p)
	}
}

// params are what a built-in path says about its behaviour.
type params struct {
	base  string // the path before the pattern
	arg   string // what stands for {x}
	query url.Values
}

func (p params) str(name, or string) string {
	if p.query.Has(name) {
		return p.query.Get(name)
	}
	return or
}

// oneOf is str for a value that is to be one of several, the first by default.
func (p params) oneOf(name string, values ...string) (string, error) {
	v := p.str(name, values[0])
	if !slices.Contains(values, v) {
		return "", fmt.Errorf("%s=%q: want one of %q", name, v, values)
	}
	return v, nil
}

func (p params) num(name string, or int64) (int64, error) {
	if !p.query.Has(name) {
		return or, nil
	}
	n, err := strconv.ParseInt(p.query.Get(name), 10, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%s=%q: want a number", name, p.query.Get(name))
	}
	return n, nil
}

func (p params) millis(name string, or int64) (time.Duration, error) {
	n, err := p.num(name, or)
	return time.Duration(n) * time.Millisecond, err
}

// after is an After by name, or by default Keep.
func (p params) after(name string) (a After, err error) {
	err = a.UnmarshalText([]byte(p.str(name, "")))
	return a, err
}
