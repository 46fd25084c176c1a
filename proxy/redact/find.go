package redact

import "bytes"

// find adds all occurrences in p to f, in no order and some twice. Secrets are ASCII, and so is every way to write them:
// where there are other bytes all the time, as in what is compressed, there is nothing to search.
func (m *matcher) find(p []byte, f *found) {
	start, i := 0, 0         // where the next occurrence may begin, and what is looked at
	stride := m.shortest - 7 // every occurrence has the eight bytes at one of these positions
	for last := len(p) - (3*stride + 8); i <= last; i += 4 * stride {
		t := from(p, i)
		a, b, c, d := notASCII(t, 0), notASCII(t, stride), notASCII(t, 2*stride), notASCII(t, 3*stride)
		switch {
		case a != 0 && b != 0 && c != 0 && d != 0: // between them is no room
			if i+7-start >= m.shortest {
				m.search(p, start, i+7, f)
			}
			start = i + 3*stride + 1
		case a|b|c|d == 0:
			i += 1 << 10 // it is text, and so may be what follows: what is not seen is searched
		default:
			for k, bits := range [...]uint64{a, b, c, d} {
				if bits != 0 {
					m.search(p, start, i+k*stride+7, f)
					start = i + k*stride + 1
				}
			}
		}
	}
	for ; i+8 <= len(p); i += stride {
		if notASCII(from(p, i), 0) != 0 {
			m.search(p, start, i+7, f)
			start = i + 1
		}
	}
	m.search(p, start, len(p), f)
}

// notASCII is not zero if one of the eight bytes from the ith on is not ASCII.
func notASCII(t text, i int) uint64 { return t.word(i) & 0x8080808080808080 }

// search adds the occurrences in p[start:end].
func (m *matcher) search(p []byte, start, end int, f *found) {
	if end-start < m.shortest || end-start < 4*m.shortest && !roomFor(p[start:end], m.shortest) {
		return
	}
	p = p[start:end]
	before := len(f.spans)
	m.plain(p, f)
	m.escaped(p, f)
	m.hex(p, f)
	for i := before; i < len(f.spans); i++ {
		f.spans[i].start += start
		f.spans[i].end += start
	}
}

// roomFor reports whether p may have n bytes in a row that are ASCII: it looks at whole words.
func roomFor(p []byte, n int) bool {
	start := 0
	for i := 0; i+8 <= len(p); i += 8 {
		if notASCII(from(p, i), 0) != 0 {
			if i+7-start >= n {
				return true
			}
			start = i + 1
		}
	}
	return len(p)-start >= n
}

// plain adds the occurrences in p as it stands.
func (m *matcher) plain(p []byte, f *found) {
	i := m.next(p, 0)
	for ; i+m.second+8 <= len(p); i = m.next(p, i+m.step) {
		m.confirm(p, i, m.hash(from(p, i)), f)
	}
	if i+m.gram <= len(p) { // less than eight bytes are left
		var last [8]byte
		copy(last[:], p[i:])
		m.confirm(p, i, m.hash(from(last[:], 0)), f)
	}
}

// next returns the first position, i or a step further or more, at which p has a gram that may be one of a pattern's, or
// which has no words to read. It calls nothing, so that all it needs is in registers.
func (m *matcher) next(p []byte, i int) int {
	x, bitmap, step := m.hasher, m.bitmap, m.step
	for last := len(p) - x.second - 8; i <= last; i += step {
		if bitmap.has(x.hash(from(p, i))) {
			break
		}
	}
	return i
}

// confirm adds the occurrences of which the gram of that hash at p[i] is a part.
func (m *matcher) confirm(p []byte, i int, h uint64, f *found) {
	for n := firstPlace(h); ; n++ {
		at := m.place(n)
		if at.pattern == 0 {
			return
		}
		pattern := &m.patterns[at.pattern-1]
		start := i - int(at.at)
		end := start + len(pattern.text)
		if at.hash == h && start >= 0 && end <= len(p) && string(p[start:end]) == pattern.text {
			f.spans = append(f.spans, span{start, end, pattern.secret})
		}
	}
}

// view is which escapes are read.
type view byte

const (
	percentEscapes view = 1 << iota
	jsonEscapes
)

// unit reads the byte at p[i], or the escape that begins there, and returns how long it is. Where an escape begins does
// not depend on what is before it: a backslash escapes no other one, see appendWritings.
func unit(p []byte, i int, v view) (c byte, n int) {
	c = p[i]
	switch {
	case c == '%' && v&percentEscapes != 0 && len(p)-i >= 3:
		if hi, lo := hexValue[p[i+1]], hexValue[p[i+2]]; hi|lo < 16 {
			return hi<<4 | lo, 3
		}
	case c == '\\' && v&jsonEscapes != 0 && len(p)-i >= 2:
		switch p[i+1] {
		case '/', '"':
			return p[i+1], 2
		case 'u':
			if len(p)-i >= 6 && p[i+2] == '0' && p[i+3] == '0' {
				if hi, lo := hexValue[p[i+4]], hexValue[p[i+5]]; hi|lo < 16 {
					return hi<<4 | lo, 6
				}
			}
		}
	}
	return c, 1
}

// longestUnit is that of "\u0041".
const longestUnit = 6

// unfinished returns how many bytes at the end of p are the beginning of an escape.
func unfinished(p []byte, v view) int {
	for n := 1; n < min(longestUnit, len(p)+1); n++ {
		e := p[len(p)-n:]
		switch {
		case e[0] == '%' && v&percentEscapes != 0:
			if n == 1 || n == 2 && isDigit(e[1]) {
				return n
			}
			return 0
		case e[0] == '\\' && v&jsonEscapes != 0:
			if string(e) == `\u00`[:min(n, 4)] || n == 5 && string(e[:4]) == `\u00` && isDigit(e[4]) {
				return n
			}
			return 0
		}
	}
	return 0
}

var hexValue = func() (t [256]byte) {
	for i := range t {
		t[i] = 0xff
	}
	for i := range byte(16) {
		t["0123456789abcdef"[i]], t["0123456789ABCDEF"[i]] = i, i
	}
	return t
}()

// isDigit reports whether c is a hexadecimal digit.
func isDigit(c byte) bool { return hexValue[c] < 16 }

// escaped adds the occurrences that have escapes in them, in each reading that p may have: what is an escape in the one
// is text in another. They are read one after the other, so that what ends an occurrence in one of them does not have the
// others begin anew.
func (m *matcher) escaped(p []byte, f *found) {
	percent, backslash := index(p, 0, '%'), index(p, 0, '\\')
	if percent < len(p) {
		m.read(p, percent, len(p), percentEscapes, f)
	}
	if backslash < len(p) {
		m.read(p, len(p), backslash, jsonEscapes, f)
	}
	if percent < len(p) && backslash < len(p) {
		m.read(p, percent, backslash, percentEscapes|jsonEscapes, f)
	}
}

// read adds the occurrences that have escapes in them. Percent and backslash are the first ones that may begin an escape,
// or len(p) for a kind that v does not read.
func (m *matcher) read(p []byte, percent, backslash int, v view, f *found) {
	low, done := 0, 0 // what follows has nothing to do with what is before low; the escapes before done are seen
	for e := min(percent, backslash); e < len(p); e = min(percent, backslash) {
		if c, n := unit(p, e, v); n == 1 {
			done = e + 1
		} else if m.class[c]&inPattern == 0 {
			low, done = e+n, e+n
		} else {
			low, done = m.around(p, low, e, v, f)
		}
		if percent < done {
			percent = index(p, done, '%')
		}
		if backslash < done {
			backslash = index(p, done, '\\')
		}
	}
}

// index returns where c is in p from i on, or len(p).
func index(p []byte, i int, c byte) int {
	if n := bytes.IndexByte(p[i:], c); n >= 0 {
		return i + n
	}
	return len(p)
}

// around adds the occurrences of which the escape at p[e] may be a part, or one that follows so soon that they could
// have both; none of them begins before low. It returns the low of what follows, and up to where it has seen all escapes.
func (m *matcher) around(p []byte, low, e int, v view, f *found) (int, int) {
	start := e
	for start > low && e-start < m.longest && m.class[p[start-1]]&inPattern != 0 {
		start--
	}
	start = unitStart(p, start, v)
	buf := m.scratch.Get().(*[]byte)
	defer m.scratch.Put(buf)
	text := *buf
	since := start - e // characters since the last escape
	for {
		n, i := 0, start
		for n < len(text) && i < len(p) && since < m.longest {
			c, size := unit(p, i, v)
			if m.class[c]&inPattern == 0 {
				low = i + size
				break
			}
			if since++; size > 1 {
				since = 0
			}
			text[n] = c
			n, i = n+1, i+size
		}
		if n >= m.shortest {
			before := len(f.spans)
			m.plain(text[:n], f)
			for k := before; k < len(f.spans); k++ {
				s := &f.spans[k]
				from := skip(p, start, v, s.start)
				s.start, s.end = from, skip(p, from, v, s.end-s.start)
			}
		}
		if n < len(text) {
			return low, max(i, e+1)
		}
		start = skip(p, start, v, n-m.longest+1)
	}
}

// unitStart returns where the escape begins in whose middle p[i] is, or i.
func unitStart(p []byte, i int, v view) int {
	for k := i - 1; k >= 0 && i-k < longestUnit; k-- {
		if _, n := unit(p, k, v); k+n > i {
			return k
		}
	}
	return i
}

// skip returns where the n units that begin at p[i] end.
func skip(p []byte, i int, v view, n int) int {
	for range n {
		_, size := unit(p, i, v)
		i += size
	}
	return i
}

// hex adds the occurrences that are written in hexadecimal digits: the shortest are so many that they have the four
// bytes at one of the positions that are looked at.
func (m *matcher) hex(p []byte, f *found) {
	stride := 2*m.shortest - 3
	for i := stride - 1; i+4 <= len(p); i += stride {
		if q := p[i : i+4]; hexValue[q[0]]|hexValue[q[1]]|hexValue[q[2]]|hexValue[q[3]] > 15 {
			continue
		}
		start, end := i, i+4
		for start > 0 && isDigit(p[start-1]) {
			start--
		}
		for end < len(p) && isDigit(p[end]) {
			end++
		}
		if end-start >= 2*m.shortest {
			m.digits(p[:end], start, f)
			m.digits(p[:end], start+1, f)
		}
		i = end // p[end] is no digit: the next run begins behind it
	}
}

// digits adds the occurrences in the digits of p from start on.
func (m *matcher) digits(p []byte, start int, f *found) {
	if (len(p)-start)/2 < m.shortest {
		return
	}
	buf := m.scratch.Get().(*[]byte)
	defer m.scratch.Put(buf)
	text := *buf
	for {
		n := min((len(p)-start)/2, len(text))
		for k := range text[:n] {
			text[k] = hexValue[p[start+2*k]]<<4 | hexValue[p[start+2*k+1]]
		}
		before := len(f.spans)
		m.plain(text[:n], f)
		for k := before; k < len(f.spans); k++ {
			s := &f.spans[k]
			s.start, s.end = start+2*s.start, start+2*s.end
		}
		if n < len(text) {
			return
		}
		start += 2 * (n - m.longest + 1)
	}
}
