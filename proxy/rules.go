package proxy

import (
	"bytes"
	"strconv"
	"strings"

	"credproxy/proxy/http1"
)

// rules are a route's allow, deny, git and deny_minting, compiled. They are matched on what follows the route's prefix.
//
// An upstream may read one path in several ways: decode it once more or not, split it at an encoded slash or not, pass
// over empty segments, take what follows two slashes at the beginning for a host. Deny matches if any reading of the path does; allow matches if every one does. So whatever the
// upstream takes a request for, it is not one that is denied, and it is one that is allowed.
type rules struct {
	deny, allow []pattern
	denies      methodSet // for which there is a pattern in deny
}

// pattern is one rule, compiled.
type pattern struct {
	name     string // how a refusal calls it
	methods  methodSet
	segments []string // "*" is one segment; "**" any rest, the empty one too

	// builtIn says that segments are in lower case, and match whatever the case of letters, and with a format such as
	// ".json" behind the last one.
	builtIn bool
}

const (
	anySegment = "*"
	anyRest    = "**"
)

// maxSegments is how many segments a pattern may have: a set of positions is the bits of a word.
const maxSegments = 32

// newPattern compiles a rule.
func newPattern(name string, r Rule) pattern {
	return pattern{name: name, methods: newMethodSet(r.Methods), segments: strings.Split(r.Path[1:], "/")}
}

// newDenial compiles a rule of deny. A slash at its end is of no account there, nor are blanks around a segment and
// dots at its end. A HEAD is a GET whose content nobody wants, so what denies one denies the other.
func newDenial(name string, r Rule) pattern {
	p := newPattern(name, r)
	if n := len(p.segments) - 1; p.segments[n] == "" {
		p.segments = p.segments[:n]
	}
	for i, s := range p.segments {
		p.segments[i] = string(bareName([]byte(s)))
	}
	if p.methods&newMethodSet([]string{"GET"}) != 0 {
		p.methods |= newMethodSet([]string{"HEAD"})
	}
	return p
}

// newBuiltIn compiles a rule of deny that is not the operator's, and is written in lower case.
func newBuiltIn(name string, r Rule) pattern {
	p := newDenial(name, r)
	p.builtIn = true
	return p
}

// methodSet has a bit for each of methods.
type methodSet uint16

// newMethodSet makes a set of names; none are all.
func newMethodSet(names []string) (s methodSet) {
	for _, n := range names {
		s |= methodBit([]byte(n))
	}
	if len(names) == 0 {
		return ^s
	}
	return s
}

func methodBit(m []byte) methodSet {
	for i, known := range methods {
		if string(m) == known {
			return 1 << i
		}
	}
	return 0
}

// refusal returns why a request is refused whose path, as sent, is on the route with that prefix; or nil.
func (r *rules) refusal(prefix string, method, path []byte) *Refusal {
	if r == nil {
		return nil
	}
	path = path[len(prefix):]
	bit := methodBit(method)
	if bit&r.denies != 0 {
		if p := r.denied(bit, path); p != nil {
			return refuseRule.because(" of %s: %s", prefix, p.name)
		}
	}
	if len(r.allow) > 0 && !r.allowed(bit, path) {
		return refuseRule.because(" of %s: %s %s is not in allow", prefix, method, pyRepr(append([]byte{'/'}, path...)))
	}
	return nil
}

// denied returns the pattern of deny that a reading of the path matches, or nil.
func (r *rules) denied(method methodSet, path []byte) *pattern {
	var room [12][]byte // a longer path is rare, and goes the longer way
	if segments, ok := splitPlain(room[:0], path); ok {
		for i := range r.deny {
			if p := &r.deny[i]; p.methods&method != 0 && p.matchesPlain(segments) {
				return p
			}
		}
		return nil
	}
	scratch := http1.TakeBuffer(len(path) > http1.SmallBuffer)
	defer http1.ReturnBuffer(scratch)
	return r.deniedInAny(method, path, scratch)
}

// deniedInAny is denied for a path that can be read in several ways.
func (r *rules) deniedInAny(method methodSet, path, scratch []byte) *pattern {
	read := append(scratch[:0], path...)
	for i, c := range read {
		if c == '/' {
			read[i] = separator
		}
	}
	for level := 0; ; level++ {
		if bytes.Count(read, []byte{separator})+bytes.Count(read, []byte{'/'})+bytes.Count(read, []byte{'\\'}) > maxPieces {
			return &tooManySegments
		}
		for i := range r.deny {
			if p := &r.deny[i]; p.methods&method != 0 && p.matchesAny(read) {
				return p
			}
		}
		if level == decodings || bytes.IndexByte(read, '%') < 0 {
			return nil
		}
		read, _ = appendDecoded(read[:0], read)
		read = foldOverlong(read)
	}
}

// maxPieces bounds the segments of a path that is held against all patterns in all readings: the work is their product.
const maxPieces = 512

var tooManySegments = pattern{name: "a path with too many segments"}

func (r *rules) allowed(method methodSet, path []byte) bool {
	scratch := http1.TakeBuffer(len(path) > http1.SmallBuffer)
	defer http1.ReturnBuffer(scratch)
	for i := range r.allow {
		if p := &r.allow[i]; p.methods&method != 0 && p.matchesEvery(path, scratch) {
			return true
		}
	}
	return false
}

// splitPlain splits a path that every upstream reads in the same way, but for a slash at its end, and dots at a
// segment's end, which are cut. ok is false for any other path, and for one with more segments than there is room for.
func splitPlain(segments [][]byte, path []byte) (_ [][]byte, ok bool) {
	for start, i := 0, 0; i <= len(path); i++ {
		switch {
		case i == len(path) || path[i] == '/':
			segment := bytes.TrimRight(path[start:i], ".")
			if len(segment) == 0 && i < len(path) || len(segments) == cap(segments) {
				return nil, false
			}
			segments, start = append(segments, segment), i+1
		case path[i] == '%' || path[i] == '\\' || path[i] == ';':
			return nil, false
		}
	}
	return segments, true
}

// matchesPlain holds the segments of a plain path against a pattern of deny. If the path ends in a slash, the last of
// them is empty: it counts or does not.
func (p *pattern) matchesPlain(segments [][]byte) bool {
	if n := len(segments) - 1; len(segments[n]) == 0 && p.matchesFrom(0, segments[:n]) {
		return true
	}
	return p.matchesFrom(0, segments)
}

func (p *pattern) matchesFrom(i int, segments [][]byte) bool {
	for ; i < len(p.segments); i++ {
		switch want := p.segments[i]; {
		case want == anyRest && i == len(p.segments)-1:
			return true
		case want == anyRest:
			for skip := range len(segments) + 1 {
				if p.matchesFrom(i+1, segments[skip:]) {
					return true
				}
			}
			return false
		case len(segments) == 0 || want != anySegment && !p.isLiteral(i, segments[0]):
			return false
		}
		segments = segments[1:]
	}
	return len(segments) == 0
}

// separator stands for a slash of the path as it was sent, which splits it in every reading. A decoded slash, and a
// backslash, splits it in some. No path has this byte: checkPath refuses it encoded.
const (
	separator  = 0
	separators = "\x00/\\"
)

// positions is a set of places in a pattern: bit i is there if its first i segments are matched.
type positions uint64

// matchesAny reports whether a reading of the path, decoded as often as this reader does, matches. It follows all
// readings at once, as an automaton does: the time is linear in the path.
func (p *pattern) matchesAny(path []byte) bool {
	start := p.skipRest(1)
	at := start
	var open positions // those whose last segment goes on if the next separator is none
	for before, split := (beginning{}), true; ; {
		n := bytes.IndexAny(path, separators)
		piece := path
		if n >= 0 {
			piece = path[:n]
		}
		for _, end := range []byte("?#") { // a decoded one ends the path for some
			if cut := bytes.IndexByte(piece, end); cut >= 0 {
				reached, _ := p.step(at, open, piece[:cut])
				if before.next(piece[:cut], split).host {
					reached |= start
				}
				if p.isMatched(reached) {
					return true
				}
			}
		}
		at, open = p.step(at, open, piece)
		if before = before.next(piece, split); before.host {
			at |= start
		}
		switch {
		case n < 0:
			return p.isMatched(at)
		case at == 0:
			return false
		}
		if split = path[n] == separator; split {
			open = 0
		}
		path = path[n+1:]
	}
}

// beginning follows the readings of a path by which it is none from its start on: who parses a request target as a
// reference finds a host behind two slashes (RFC 3986, section 4.2), and the path behind that.
type beginning struct {
	begun bool
	empty bool // all segments so far are
	host  bool // the last segment may be the host
}

// next takes one more piece of the path; split says that it must be the beginning of a segment.
func (b beginning) next(piece []byte, split bool) beginning {
	return beginning{
		begun: true,
		empty: len(piece) == 0 && (b.empty || !b.begun),
		host:  b.empty || b.host && !split,
	}
}

// step matches one more piece of the path: a segment, or what follows an encoded separator, which then may also belong
// to the segment before it. A segment that is empty may be passed over; parameters, blanks around it and dots at its
// end may be cut.
func (p *pattern) step(at, open positions, piece []byte) (next, nextOpen positions) {
	next, nextOpen = open, open
	bare := bareName(piece)
	parameters := bytes.IndexByte(piece, ';') >= 0
	if len(bare) == 0 {
		next |= at
		if parameters {
			nextOpen |= at
		}
	}
	for i, want := range p.segments {
		here := at & (1 << i)
		if here == 0 {
			continue
		}
		switch {
		case want == anyRest:
			next |= here
		case want == anySegment:
			next |= here << 1
			nextOpen |= here << 1
		case p.isLiteral(i, bare):
			next |= here << 1
			if parameters {
				nextOpen |= here << 1
			}
		}
	}
	return p.skipRest(next), p.skipRest(nextOpen)
}

// skipRest adds the places that are reached by taking "**" for nothing.
func (p *pattern) skipRest(at positions) positions {
	for i, s := range p.segments {
		if s == anyRest {
			at |= at & (1 << i) << 1
		}
	}
	return at
}

func (p *pattern) isMatched(at positions) bool { return at&(1<<len(p.segments)) != 0 }

// isLiteral reports whether a segment, with what may be cut off it cut, is the pattern's at i.
func (p *pattern) isLiteral(i int, segment []byte) bool {
	want := p.segments[i]
	if !p.builtIn {
		return string(segment) == want
	}
	if dot := bytes.IndexByte(segment, '.'); dot >= 0 && i == len(p.segments)-1 && !strings.Contains(want, ".") {
		segment = segment[:dot]
	}
	return http1.EqualFold(segment, want)
}

// matchesEvery reports whether every reading of the path, as sent, that decodes it at all matches.
func (p *pattern) matchesEvery(path, scratch []byte) bool {
	for i, want := range p.segments {
		if want == anyRest {
			return true
		}
		segment, rest, more := bytes.Cut(path, []byte("/"))
		if want == anySegment {
			if !isOneSegment(segment, scratch) {
				return false
			}
		} else if decoded, _ := appendDecoded(scratch[:0], segment); string(decoded) != want {
			return false
		}
		if last := i == len(p.segments)-1; last || !more {
			return last && !more
		}
		path = rest
	}
	return false
}

// isOneSegment reports whether a segment is one, and not empty, in every reading.
func isOneSegment(segment, scratch []byte) bool {
	for level := 0; ; level++ {
		if len(bareName(segment)) == 0 || bytes.ContainsAny(segment, `/\?#`) {
			return false
		}
		if level == decodings || bytes.IndexByte(segment, '%') < 0 {
			return true
		}
		segment, _ = appendDecoded(scratch[:0], segment)
		segment = foldOverlong(segment)
	}
}

// compile makes the rules of a route, or nil where it has none.
func (r *RouteConfig) compile() *rules {
	var c rules
	for i, d := range r.Deny {
		c.deny = append(c.deny, newDenial("deny["+strconv.Itoa(i)+"]", d))
	}
	if r.GitNone {
		c.deny = append(c.deny, gitPatterns()...)
	}
	c.deny = append(c.deny, r.mintingPatterns()...)
	for i, a := range r.Allow {
		c.allow = append(c.allow, newPattern("allow["+strconv.Itoa(i)+"]", a))
	}
	if len(c.deny)+len(c.allow) == 0 {
		return nil
	}
	for _, p := range c.deny {
		c.denies |= p.methods
	}
	return &c
}

// gitPatterns match the fetches of git, over its smart protocol and its dumb one, and of LFS, wherever the repository is.
// The dumb one takes the files of the repository: an object is in one whose name is its hash, cut behind two digits, or in
// one of a pack (gitrepository-layout(5)).
func gitPatterns() (patterns []pattern) {
	for _, path := range []string{"/**/info/refs", "/**/git-upload-pack", "/**/git-upload-archive", "/**/objects/info/**",
		"/**/objects/*/*", "/**/info/lfs/**", "/**/gitlab-lfs/**"} {
		patterns = append(patterns, newBuiltIn(`git is "none"`, Rule{Path: path}))
	}
	return patterns
}
