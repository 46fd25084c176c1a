package proxy

import (
	"bytes"
	"net"
	"slices"
	"strings"

	"credproxy/proxy/http1"
)

// homes is where the URLs lead that the upstreams of a table hand out: to the routes of their origins, the longest base
// path first.
type homes map[string][]*route

func newHomes(routes []*route) homes {
	h := homes{}
	for _, r := range routes {
		if isPlainPath(r.Path) {
			h[r.key] = append(h[r.key], r)
		}
	}
	for _, same := range h {
		slices.SortStableFunc(same, func(a, b *route) int { return len(b.base) - len(a.base) })
	}
	return h
}

// key is the origin as homes have it: in lower case, with its port.
func (o origin) key() string { return o.scheme() + "://" + net.JoinHostPort(o.host, o.port) }

// maxKey is how long an origin is, as a rule, and an agent's name for the proxy at most: a host name has 253 bytes.
const maxKey = 300

// appendKey appends the key of an origin as a URL writes it. With userinfo in it, or without a host, it is no route's.
func appendKey(p []byte, tls bool, authority []byte) []byte {
	scheme, port := "http://", []byte("80")
	if tls {
		scheme, port = "https://", []byte("443")
	}
	host := authority
	if i := bytes.LastIndexByte(authority, ':'); i > bytes.IndexByte(authority, ']') {
		host = authority[:i]
		if i+1 < len(authority) {
			port = authority[i+1:]
		}
	}
	p = append(p, scheme...)
	for _, c := range host {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		p = append(p, c)
	}
	p = append(p, ':')
	return append(p, port...)
}

// find returns the route that an origin's path, with whatever follows it, belongs to, or nil: own if it does, so that
// its credential stays in use, else the one with the longest base path.
func (h homes) find(key, path []byte, own *route) (found *route) {
	for _, r := range h[string(key)] {
		if !isBelow(path, r.base) {
			continue
		}
		if r == own {
			return r
		}
		if found == nil {
			found = r
		}
	}
	return found
}

// isBelow reports whether a path, with whatever follows it, is the base path or below it.
func isBelow(path []byte, base string) bool {
	return len(path) >= len(base) && string(path[:len(base)]) == base && (len(path) == len(base) || isDelimiter(path[len(base)]))
}

func isDelimiter(c byte) bool { return c == '/' || c == '?' || c == '#' }

// homing maps the URLs of one response: one that a route of the table leads to becomes that of the proxy.
type homing struct {
	own     *route
	table   *table
	address string // of the proxy, as the agent calls it; empty if there is none that can stand in a URL
	limit   int    // of what is written to: from there on everything stays as it is
	weaken  bool   // what an ETag stands for is no longer what the upstream sent
	foreign int    // URLs that lead to no route
}

// mayHoldURL reports whether a field of a response has URLs that are mapped.
func mayHoldURL(name []byte) bool {
	switch len(name) {
	case len("link"):
		return http1.EqualFold(name, "link")
	case len("location"):
		return http1.EqualFold(name, "location")
	case len("content-location"):
		return http1.EqualFold(name, "content-location") || http1.EqualFold(name, "www-authenticate")
	}
	return false
}

func isETag(name []byte) bool { return len(name) == len("etag") && http1.EqualFold(name, "etag") }

func anyURL(fields []http1.Field) bool {
	for i := range fields {
		const lengths = 1<<len("link") | 1<<len("location") | 1<<len("content-location") // which most fields do not have
		if name := fields[i].Name; lengths>>len(name)&1 != 0 && mayHoldURL(name) {
			return true
		}
	}
	return false
}

// appendFields is the function of that name, with the URLs mapped.
func (h *homing) appendFields(p []byte, fields []http1.Field, m connected, dropped *nameSet) []byte {
	from := 0
	for i := range fields {
		if !mayHoldURL(fields[i].Name) && !(h.weaken && isETag(fields[i].Name)) {
			continue
		}
		p = appendFields(p, fields[from:i], m, dropped)
		before := len(p)
		if p = appendFields(p, fields[i:i+1], m, dropped); len(p) > before {
			p = h.appendField(p[:before], &fields[i])
		}
		from = i + 1
	}
	return appendFields(p, fields[from:], m, dropped)
}

// appendField appends a field of which mayHoldURL or isETag is true. Everything but the URLs stays as it was sent.
func (h *homing) appendField(p []byte, f *http1.Field) []byte {
	value := len(f.Name) + len(":")
	for f.Line[value] == ' ' || f.Line[value] == '\t' {
		value++
	}
	p = append(p, f.Line[:value]...)
	switch len(f.Name) {
	case len("link"):
		if isETag(f.Name) {
			p = appendWeak(p, f.Value)
		} else {
			p = h.appendLink(p, f.Value)
		}
	case len("location"):
		p = h.appendURL(p, f.Value)
	default:
		if f.Name[0]|0x20 == 'c' {
			p = h.appendURL(p, f.Value)
		} else {
			p = h.appendChallenges(p, f.Value)
		}
	}
	return append(p, f.Line[value+len(f.Value):]...)
}

// appendWeak appends an entity tag as a weak one (RFC 9110, section 8.8.3). What is written wrong stays as it is.
func appendWeak(p, tag []byte) []byte {
	if bytes.HasPrefix(tag, []byte{'"'}) {
		p = append(p, "W/"...)
	}
	return append(p, tag...)
}

// appendLink appends a Link with what stands between angle brackets mapped (RFC 8288, section 3).
func (h *homing) appendLink(p, v []byte) []byte {
	for {
		n := bytes.IndexAny(v, `<"`)
		if n < 0 {
			return append(p, v...)
		}
		end := len(v)
		if v[n] == '"' {
			n += quoted(v[n:])
			p, v = append(p, v[:n]...), v[n:]
			continue
		}
		n++
		if i := bytes.IndexByte(v[n:], '>'); i >= 0 {
			end = n + i
		}
		p = append(p, v[:n]...)
		p = h.appendURL(p, v[n:end])
		v = v[end:]
	}
}

// quoted returns the length of the quoted-string at the start of v, up to the end of v where it has none.
func quoted(v []byte) int {
	for i := 1; i < len(v); i++ {
		switch v[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(v)
}

// appendChallenges appends a WWW-Authenticate with the realms mapped that are URLs: to registries of containers they are
// where a token is to be had.
func (h *homing) appendChallenges(p, v []byte) []byte {
	realm := false // the quoted-string that follows is one
	for len(v) > 0 {
		n := 1
		switch c := v[0]; {
		case c == '"':
			if n = quoted(v); realm && v[n-1] == '"' && hasScheme(v[1:]) {
				p = append(p, '"')
				p = h.appendURL(p, v[1:n-1])
				p, v, realm = append(p, '"'), v[n:], false
				continue
			}
			realm = false
		case c == '=' || c == ' ' || c == '\t':
		case c == ',':
			realm = false
		default:
			for n < len(v) && bytes.IndexByte([]byte(" \t,=\""), v[n]) < 0 {
				n++
			}
			realm = http1.EqualFold(v[:n], "realm")
		}
		p, v = append(p, v[:n]...), v[n:]
	}
	return p
}

// hasScheme reports whether u begins as a URL of HTTP does.
func hasScheme(u []byte) bool {
	_, n := scheme(u)
	return n != 0
}

// scheme returns the length of "http://" or "https://" at the start of u, or 0.
func scheme(u []byte) (tls bool, n int) {
	for _, s := range [...]string{"https://", "http://"} {
		if len(u) >= len(s) && http1.EqualFold(u[:len(s)], s) {
			return s == "https://", len(s)
		}
	}
	return
}

// appendURL appends a URL reference (RFC 3986, section 4.1), mapped if it is a URL of a route's upstream or a path of
// that host. A path that is relative to the request's is left to the agent, which resolves it below the prefix.
func (h *homing) appendURL(p, u []byte) []byte {
	tls, n := scheme(u)
	switch {
	case n > 0:
	case len(u) > 1 && u[0] == '/' && u[1] == '/':
		tls, n = h.own.origin.tls, 2
	case len(u) > 0 && u[0] == '/':
	default:
		return append(p, u...)
	}
	if mapped, ok := h.appendMapped(p, u, tls, n); ok {
		return mapped
	}
	h.foreign++
	return append(p, u...)
}

// appendMapped appends u as the proxy's own; its authority begins at n, or it is a path if n is 0.
func (h *homing) appendMapped(p, u []byte, tls bool, n int) (_ []byte, ok bool) {
	path := u[n:]
	var room [maxKey]byte
	key := append(room[:0], h.own.key...)
	if n != 0 {
		if h.address == "" {
			return p, false
		}
		end := bytes.IndexAny(path, "/?#")
		if end < 0 {
			end = len(path)
		}
		key, path = appendKey(room[:0], tls, path[:end]), path[end:]
	}
	r := h.table.homes.find(key, path, h.own)
	if r == nil || len(p)+len(h.address)+len(r.Path)+len(u) > h.limit {
		return p, false
	}
	rest := path[len(r.base):]
	if len(rest) > 0 && rest[0] == '/' {
		rest = rest[1:]
	}
	if n != 0 {
		p = append(p, "http://"...)
		p = append(p, h.address...)
	}
	start := len(p)
	p = append(p, r.Path...)
	p = append(p, rest...)
	target := p[start:]
	if n == 0 && len(target) > 1 && (isSlash(target[1]) || target[1] < ' ') { // a host follows, for whoever drops tabs as well
		return p, false
	}
	return p, h.leadsTo(r, target)
}

// leadsTo reports whether a mapped target is one of the route, for whoever makes it absolute and removes its dot
// segments: a longer prefix may stand in the way.
func (h *homing) leadsTo(r *route, target []byte) bool {
	if i := bytes.IndexAny(target, "?#"); i >= 0 {
		target = target[:i]
	}
	scratch := http1.TakeBuffer(false)
	defer http1.ReturnBuffer(scratch)
	return checkPath(target, scratch) == "" && h.table.find(target) == r
}

// isPlainHost reports whether a Host can stand in any URL, whatever is around that: the agent chose it.
func isPlainHost(v []byte) bool {
	for _, c := range v {
		if !isAlphanumeric(c) && strings.IndexByte("-._:[]", c) < 0 {
			return false
		}
	}
	return 0 < len(v) && len(v) <= maxKey
}

// isPlainPath reports whether a prefix can stand in any URL, whatever is around that.
func isPlainPath(s string) bool {
	for i := range len(s) {
		if !isAlphanumeric(s[i]) && strings.IndexByte("/-._~%!$*+,:=@", s[i]) < 0 {
			return false
		}
	}
	return true
}

func isAlphanumeric(c byte) bool { return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z' }
