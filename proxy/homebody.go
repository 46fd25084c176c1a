package proxy

import (
	"bytes"
	"maps"
	"slices"
	"sort"
	"strings"

	"credproxy/proxy/http1"
)

// urlSearch finds the URLs of a table's upstreams in content that streams by. It is built with the table.
type urlSearch struct {
	texts   []string // how URLs begin that may be mapped: base URLs as they may be written, in lower case up to their path
	mean    []urlMeaning
	longest int // how many bytes of content may belong to one of the texts, and one more
}

// urlMeaning is what a text stands for.
type urlMeaning struct {
	routes   []*route // whose base URL it is, in the order of homes
	shadowed []*route // whose URLs are another's from here on, once they are mapped: a longer prefix stands in the way
}

// newURLSearch returns the search for the routes of a table, nil if none of them maps URLs in bodies.
func newURLSearch(t *table) *urlSearch {
	if !slices.ContainsFunc(t.routes, func(r *route) bool { return len(r.MapURLsIn) > 0 }) {
		return nil
	}
	mean := map[string]urlMeaning{"http://": {}, "https://": {}} // any other URL is foreign, and counted
	for _, r := range slices.Concat(slices.Collect(maps.Values(t.homes))...) {
		var shadows []string
		for _, other := range t.routes {
			if below, ok := strings.CutPrefix(other.Path, r.Path); ok && other != r {
				shadows = append(shadows, "/"+below)
			}
		}
		for _, at := range r.origin.spellings() {
			m := mean[at+r.base]
			m.routes = append(m.routes, r)
			mean[at+r.base] = m
			for _, below := range shadows {
				m := mean[at+r.base+below]
				m.shadowed = append(m.shadowed, r)
				mean[at+r.base+below] = m
			}
		}
	}
	s := &urlSearch{texts: slices.Sorted(maps.Keys(mean))}
	for _, text := range s.texts {
		s.mean = append(s.mean, mean[text])
		s.longest = max(s.longest, len(text)+strings.Count(text, "/")+1)
	}
	return s
}

// spellings are the ways to write an origin in a URL, the case of letters aside.
func (o origin) spellings() []string {
	at := o.scheme() + "://" + o.authority()
	if strings.HasSuffix(at, ":"+o.port) {
		return []string{at}
	}
	return []string{at, at + ":", at + ":" + o.port}
}

// urlMatch is a URL that was found.
type urlMatch struct {
	route   *route // nil: one that leads to no route
	base    int    // how many bytes of it the route's prefix replaces
	escaped bool   // its slashes are written as JSON may have them: "\/"
}

// match reads the URL at the start of p. open says that the bytes that follow p decide; last, that none do.
func (s *urlSearch) match(p []byte, own *route, last bool) (m urlMatch, open bool) {
	lo, hi := 0, len(s.texts) // those that begin with what was read
	slashes := 0
	var shadowed bool // m.route is
	for i, read := 0, 0; ; read++ {
		if len(s.texts[lo]) == read {
			switch at := &s.mean[lo]; {
			case i == len(p) && !last || len(at.routes) > 0 && i < len(p) && !endsBase(p[i]):
			case slices.Contains(at.routes, own):
				m.route, m.base, shadowed = own, i, false
			case len(at.routes) > 0 && m.route != own:
				m.route, m.base, shadowed = at.routes[0], i, false
			}
			shadowed = shadowed || slices.Contains(s.mean[lo].shadowed, m.route)
			lo++
		}
		if i == len(p) {
			open = !last
			break
		}
		c, n := p[i], 1
		switch {
		case c == '\\' && (slashes == 0 || m.escaped):
			if i+1 < len(p) && p[i+1] != '/' {
				hi = lo
			}
			c, n, m.escaped = '/', 2, true
		case c == '/' && m.escaped:
			hi = lo
		case slashes < 3 && 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		}
		if c == '/' {
			slashes++
		}
		if lo, hi = s.narrow(lo, hi, read, c); lo == hi {
			break
		}
		if i += n; i > len(p) { // half an escaped slash
			open = !last
			break
		}
	}
	if shadowed {
		m.route = nil
	}
	return m, open
}

// narrow returns those of the texts from lo to hi that have c at index at.
func (s *urlSearch) narrow(lo, hi, at int, c byte) (int, int) {
	if lo < hi && s.texts[lo][at] == c && s.texts[hi-1][at] == c {
		return lo, hi
	}
	lo += sort.Search(hi-lo, func(i int) bool { return s.texts[lo+i][at] >= c })
	return lo, lo + sort.Search(hi-lo, func(i int) bool { return s.texts[lo+i][at] > c })
}

// endsBase reports whether c can follow a base URL: what could go on with its last segment, or its host, cannot.
func endsBase(c byte) bool { return endOfBase[c] }

var endOfBase = func() (t [256]bool) {
	for c := range byte(' ' + 1) {
		t[c] = true
	}
	for _, c := range "\x7f/?#\"'<>()[]{}\\,;|^`&*" {
		t[c] = true
	}
	return t
}()

// bodyMapper maps the URLs in the content of one response as it streams by. What it holds back is the beginning of a URL
// that it looks for, never more: if the upstream falls silent in the middle of one, that waits for what follows.
type bodyMapper struct {
	search  *urlSearch
	own     *route
	address string // of the proxy, as the agent calls it
	held    []byte // the end of what was read, if it is open what becomes of it
	foreign int    // URLs that lead to no route
}

// edit appends to dst what becomes of the next piece of the content.
func (b *bodyMapper) edit(dst, src []byte) []byte {
	var done int
	if held := len(b.held); held > 0 {
		some := min(len(src), b.search.longest) // what is held is decided with so much
		b.held = append(b.held, src[:some]...)
		dst, done = b.scan(dst, b.held, false)
		if done < held {
			b.held = b.held[:copy(b.held, b.held[done:])]
			return dst
		}
		src, b.held = src[done-held:], b.held[:0]
	}
	dst, done = b.scan(dst, src, false)
	b.held = append(b.held, src[done:]...)
	return dst
}

// flush appends what was held back: the content has ended.
func (b *bodyMapper) flush(dst []byte) []byte {
	dst, _ = b.scan(dst, b.held, true)
	b.held = nil
	return dst
}

// scan appends what becomes of p, up to where that depends on what follows, and returns how much of p that was.
func (b *bodyMapper) scan(dst, p []byte, last bool) (_ []byte, done int) {
	for i := 0; ; {
		next := bytes.IndexByte(p[i:], '/')
		if next < 0 {
			break
		}
		i += next + 1
		start := urlAround(p, i-1)
		if start < done {
			continue
		}
		m, open := b.search.match(p[start:], b.own, last)
		if open {
			return append(dst, p[done:start]...), start
		}
		if m.route == nil {
			b.foreign++
			continue
		}
		dst = append(dst, p[done:start]...)
		i = start + m.base
		dst = b.appendBase(dst, m, i < len(p) && (p[i] == '?' || p[i] == '#'))
		done = i
	}
	end := len(p)
	if !last {
		end = b.search.holdFrom(p, done)
	}
	return append(dst, p[done:end]...), end
}

// appendBase appends what a base URL becomes: the prefix without the slash at its end, since where a URL goes on after
// its base it does so with one. What goes on with something else gets it.
func (b *bodyMapper) appendBase(dst []byte, m urlMatch, slash bool) []byte {
	path := m.route.Path
	if !slash {
		path = path[:len(path)-1]
	}
	if !m.escaped {
		dst = append(dst, "http://"...)
		dst = append(dst, b.address...)
		return append(dst, path...)
	}
	dst = append(dst, `http:\/\/`...)
	dst = append(dst, b.address...)
	for i := range len(path) {
		if path[i] == '/' {
			dst = append(dst, '\\')
		}
		dst = append(dst, path[i])
	}
	return dst
}

// urlAround returns where a URL begins whose first slash is p[i]; -1 if there is none, or one that is not whole.
func urlAround(p []byte, i int) int {
	colon := i - 1
	switch {
	case i < len("http:"):
		return -1
	case p[colon] == ':':
		if i+1 == len(p) || p[i+1] != '/' {
			return -1
		}
	case p[colon] == '\\' && p[colon-1] == ':':
		if colon--; !bytes.HasPrefix(p[i:], []byte(`/\/`)) {
			return -1
		}
	default:
		return -1
	}
	for _, name := range [...]string{"https", "http"} {
		if start := colon - len(name); start >= 0 && http1.EqualFold(p[start:colon], name) {
			return start
		}
	}
	return -1
}

// longestOpening is the longest beginning of a URL of which urlAround says that it is not whole.
const longestOpening = len(`https:\/\`)

// holdFrom returns from where on the end of p may be the beginning of a URL, not before done; len(p) if it is not.
func (s *urlSearch) holdFrom(p []byte, done int) int {
	for i := max(done, len(p)-longestOpening); i < len(p); i++ {
		if p[i]|0x20 == 'h' {
			if _, open := s.match(p[i:], nil, false); open {
				return i
			}
		}
	}
	return len(p)
}

// mapsBody decides whether the URLs in the content of a response are mapped, and is ready for it if they are. It is so of
// a response without content, too, that tells of one: to HEAD, or with status 304.
func (x *exchange) mapsBody() bool {
	r := x.route
	if len(r.MapURLsIn) == 0 {
		return false
	}
	named := false
	x.mapped = x.resp.Status == 304 // which need not say the type
	for i := range x.resp.Fields {
		f := &x.resp.Fields[i]
		if len(f.Name) == len("content-type") && http1.EqualFold(f.Name, "content-type") {
			x.mapped = r.mapsIn(f.Value) && (x.mapped || !named) // of two types nobody knows which counts
			named = true
		}
	}
	address := x.agent.address()
	if x.mapped && (isCoded(x.resp.Fields) || x.resp.Status == 206 || address == "") {
		x.mapped, x.event.Unmapped = false, true
	}
	if x.mapped && !x.isHead && x.resp.Status != 304 {
		x.mapper = &bodyMapper{search: r.table.search, own: r, address: address}
	}
	return x.mapped
}

// mapsIn reports whether URLs are mapped in content of a type, whose parameters are of no account.
func (r *route) mapsIn(contentType []byte) bool {
	media, _, _ := bytes.Cut(contentType, []byte(";"))
	media = bytes.TrimRight(media, " \t")
	for _, m := range r.MapURLsIn {
		if http1.EqualFold(media, m) {
			return true
		}
	}
	return false
}
