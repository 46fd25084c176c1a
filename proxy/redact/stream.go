package redact

// Stream looks through a text that comes in pieces. Its zero value with M set is ready.
//
// What is at the end of a piece may be the beginning of an occurrence; the caller must then keep it back until the next
// piece, or it may be too late to mask it. Kept back is from where the first four bytes of a pattern stand, or less of them
// at the very end, as long as only such bytes follow as patterns have; and the beginning of an escape. That is no
// longer than patterns are, and from its fifth byte on it tells whoever watches for the delay nothing about the secret.
// A piece that ends in a line break, as an event does, has no such end.
//
// The end of a piece is read as if nothing followed: a secret that ends like the beginning of an escape, as in a backslash,
// is masked there even if the next piece makes it another escape.
type Stream struct {
	M *Matcher

	tail  []byte // the end of what came, as it was, if it may be a beginning
	pos   int64  // how much came
	end   int64  // where the last occurrence ended
	found found
}

// Next takes the next piece and masks in it what it can. It returns how many occurrences came to their end in it, how many
// bytes before it belong to one of these and must be masked by the caller as far as it still has them, and how many bytes
// up to the end of this piece, which may be more than it has, may be the beginning of another.
func (s *Stream) Next(p []byte) (n, back, keep int) {
	keep = s.look(p)
	if len(s.found.spans) > 0 {
		n, back = s.mask(p)
	}
	s.pos += int64(len(p))
	return n, back, keep
}

// Find is Next that masks nothing: it returns the index of a secret of which an occurrence came to its end, or -1.
func (s *Stream) Find(p []byte) int {
	s.look(p)
	if len(s.found.spans) == 0 {
		return -1
	}
	return s.found.spans[0].secret
}

// look finds what comes to its end in p, by positions in p, and sets the tail anew: to the last keep bytes of all that came.
func (s *Stream) look(p []byte) (keep int) {
	s.found.spans = s.found.spans[:0]
	if len(s.tail) > 0 {
		return s.join(p)
	}
	s.M.find(p, &s.found)
	keep = s.M.beginning(p)
	s.tail = append(s.tail, p[len(p)-keep:]...)
	return keep
}

// join is look where there is a tail, and finds what is in the tail and p together.
func (s *Stream) join(p []byte) (keep int) {
	m, before := s.M, len(s.tail)
	reach := min(len(p), longestUnit*m.longest) // what begins in the tail ends within that
	joined := append(s.tail, p[:reach]...)
	m.find(joined, &s.found)
	kept := s.found.spans[:0]
	for _, o := range s.found.spans {
		if o.end > before && (reach == len(p) || o.start < before) { // the others were found earlier, or are below
			kept = append(kept, span{o.start - before, o.end - before, o.secret})
		}
	}
	s.found.spans = kept
	if reach < len(p) {
		m.find(p, &s.found)
		keep = m.beginning(p)
		s.tail = append(joined[:0], p[len(p)-keep:]...)
		return keep
	}
	keep = m.beginning(joined)
	s.tail = joined[:copy(joined, joined[len(joined)-keep:])]
	return keep
}

// mask masks what was found in p, counts it, and says how far before p it begins.
func (s *Stream) mask(p []byte) (n, back int) {
	for _, o := range s.found.sorted() {
		if s.pos+int64(o.start) >= s.end {
			n++
		}
		s.end = max(s.end, s.pos+int64(o.end))
		back = max(back, -o.start)
		Stars(p[max(o.start, 0):o.end])
	}
	return n, back
}

// beginning returns how many bytes at the end of p may be the beginning of an occurrence.
func (m *matcher) beginning(p []byte) int {
	if len(p) == 0 || m.class[p[len(p)-1]]&inText == 0 {
		return 0
	}
	start, most := len(p), m.longest+longestUnit // the last escape may begin so far before the end
	var percent, backslash bool
	for start > 0 && len(p)-start < most && m.class[p[start-1]]&inText != 0 {
		start--
		percent, backslash = percent || p[start] == '%', backslash || p[start] == '\\'
		if percent || backslash {
			most = longestUnit * m.longest
		}
	}
	keep := max(m.beginningHex(p), m.beginningIn(p[start:], 0))
	if percent {
		keep = max(keep, m.beginningIn(p[start:], percentEscapes))
	}
	if backslash {
		keep = max(keep, m.beginningIn(p[start:], jsonEscapes))
	}
	if percent && backslash {
		keep = max(keep, m.beginningIn(p[start:], percentEscapes|jsonEscapes))
	}
	return len(p) - unitStart(p, len(p)-keep, percentEscapes|jsonEscapes)
}

// beginningIn is beginning for one view of a text.
func (m *matcher) beginningIn(p []byte, v view) int {
	rest := unfinished(p, v)
	whole := p[:len(p)-rest]
	n, from := 0, 0 // units, and where the first of them is, behind the last that no pattern has
	for i := 0; i < len(whole); {
		c, size := unit(whole, i, v)
		i += size
		if n++; m.class[c]&inPattern == 0 {
			n, from = 0, i
		}
	}
	for i := from; i < len(whole); n-- {
		c, size := unit(whole, i, v)
		for _, h := range m.heads[c] {
			if n < h.longest && begins(whole[i:], v, h.text) {
				return len(p) - i
			}
		}
		i += size
	}
	return rest
}

// begins reports whether p begins with head, or is less of it.
func begins(p []byte, v view, head string) bool {
	for i, k := 0, 0; i < len(p) && k < len(head); k++ {
		c, size := unit(p, i, v)
		if c != head[k] {
			return false
		}
		i += size
	}
	return true
}

// beginningHex is beginning for hexadecimal digits.
func (m *matcher) beginningHex(p []byte) int {
	start := len(p)
	for start > 0 && len(p)-start < 2*m.longest && isDigit(p[start-1]) {
		start--
	}
	for ; start < len(p); start++ {
		for _, h := range m.hexHeads {
			if len(p)-start < h.longest && beginsHex(p[start:], h.text) {
				return len(p) - start
			}
		}
	}
	return 0
}

func beginsHex(p []byte, head string) bool {
	for i := range min(len(p), len(head)) {
		if hexValue[p[i]] != hexValue[head[i]] {
			return false
		}
	}
	return true
}
