// Package redact finds secrets in bytes that stream by, however they are written there, and masks them.
//
// A [Matcher] is built once from all secrets and knows these writings of each:
//
//   - the secret as it is,
//   - its base64, wherever it stands in what was encoded (three alignments), in both alphabets. Found and masked are
//     the characters that hold nothing but the secret, and the last one if the encoded data ends with it: where something
//     else stands around the secret, two or four bits of its first and of its last byte remain.
//
// Of a secret that is the password of a Basic credential, base64("user:password") is a secret in its own right. All of
// that is looked for in five readings of the bytes:
//
//   - as they stand;
//   - with every percent escape read ("%41", digits in either case);
//   - with every JSON escape read that may stand for a printable character ("\u0041", "\/", "\"");
//   - with both;
//   - with runs of hexadecimal digits, in either case, read as bytes, from their first digit on and from their second.
//
// So a text of which only some characters are escaped is found, and base64 in JSON or in a query. What was encoded twice
// is found in these combinations only; what was compressed, reversed, split in two or folded into lines is not.
//
// # How it is fast, and why not faster
//
// Most bytes are never looked at. Secrets are printable ASCII and so are all writings of them, of which the shortest
// has n bytes: where one in n-7 positions has eight bytes that are not, as in what is compressed, there can be none. In
// the rest, a pattern has n-g+1 windows of g bytes, and one of so many consecutive positions is a multiple of n-g+1: it
// is enough to look up the g bytes at every such position in a bitmap of hashes. Escapes are found by searching for "%"
// and "\", runs of 2n hexadecimal digits by looking for four of them at every 2n-3rd byte; what is there is decoded,
// and looked up in the same way.
//
// The time that this takes must not tell an agent, who may choose much of what streams by, what the secrets are. A
// search for a rare byte of theirs or for a short piece, and a comparison from the beginning, would tell it: text that
// is full of the right piece takes longer, and so a secret is found piece by piece. Therefore g is twelve bytes, down
// to seven where n is small; they are taken from the end of a secret, since many begin with what everybody knows; the
// hash has random keys; and what is decoded does not depend on which letters and digits a secret has. Nor does what is
// kept back at the end of a piece, from a secret's fifth byte on: see [Stream].
package redact

import (
	"crypto/rand"
	"encoding/binary"
	"slices"
	"sync"
)

// Shortest is how many bytes a secret must have to be looked for: shorter ones are found in what is none.
const Shortest = 8

// Matcher finds a fixed set of secrets. It is immutable and may be used by any number of goroutines. It cannot be printed:
// whatever holds one holds two pointers to what it knows, and no verb of fmt follows the second.
type Matcher struct{ *matcher }

type matcher struct {
	patterns          []pattern
	shortest, longest int // of the patterns, in bytes

	// The bitmap of hashes, and what is behind them.
	step int // of these many positions one is looked at
	gram int // bytes that are hashed
	hasher
	bitmap bitmap
	places []place // where grams stand, a table of hashes: from hash on until an empty one; a power of two of them

	class    [256]byte // what a byte may be
	heads    [256][]head
	hexHeads []head
	scratch  sync.Pool // of buffers to decode into
}

// pattern is one way to write one secret.
type pattern struct {
	text   string
	secret int
}

// place is where a gram stands.
type place struct {
	hash    uint64
	pattern int32 // from 1; 0 is no place
	at      int32
}

// head is how patterns begin.
type head struct {
	text    string
	longest int // of the patterns that begin so
}

// headSize is how much of a pattern decides whether the end of a piece may be its beginning.
const headSize = 4

// Classes of bytes.
const (
	inPattern = 1 << iota // may stand in a pattern, or is a letter or a digit
	inText                // or begins an escape
)

// New returns a Matcher of the secrets that are not too short, or nil if there are none. They are known by their index.
func New(secrets []Secret) *Matcher {
	m := &matcher{}
	known := map[string]bool{}
	for i := range secrets {
		for _, text := range secrets[i].patterns() {
			if !known[text] {
				known[text] = true
				m.patterns = append(m.patterns, pattern{text, i})
			}
		}
	}
	if len(m.patterns) == 0 {
		return nil
	}
	m.shortest, m.longest = len(m.patterns[0].text), 0
	for _, p := range m.patterns {
		m.shortest, m.longest = min(m.shortest, len(p.text)), max(m.longest, len(p.text))
		for _, c := range []byte(p.text) {
			m.class[c] |= inPattern | inText
		}
	}
	for c := range m.class {
		if '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z' && c < 0x80 {
			m.class[c] |= inPattern
		}
		if m.class[c]&inPattern != 0 || c == '%' || c == '\\' {
			m.class[c] |= inText
		}
	}
	m.index()
	m.findHeads()
	m.scratch.New = func() any { return new(make([]byte, max(1<<10, 4*m.longest))) }
	return &Matcher{m}
}

// index fills the bitmap with the grams at the end of every pattern.
func (m *matcher) index() {
	m.gram = min(max(m.shortest/2, 7), 12)
	m.step = min(m.shortest-m.gram+1, 32)
	m.second, m.mask = max(m.gram-8, 0), ^uint64(0)
	if m.gram < 8 {
		m.mask >>= 8 * (8 - m.gram)
	}
	var keys [16]byte
	rand.Read(keys[:])
	m.key, m.key2 = binary.LittleEndian.Uint64(keys[:]), binary.LittleEndian.Uint64(keys[8:])
	bits, places := 1<<13, 1<<6
	for bits < 64*m.step*len(m.patterns) && bits < 1<<22 { // at most one of 64 bits is set
		bits *= 2
	}
	for places < 2*m.step*len(m.patterns) {
		places *= 2
	}
	m.bitmap, m.places = make(bitmap, bits/64), make([]place, places)
	for i, p := range m.patterns {
		for k := range m.step {
			at := len(p.text) - m.gram - k
			h := m.hash(from(append([]byte(p.text[at:at+m.gram]), 0), 0)) // a word is eight bytes, of which the mask leaves the gram
			m.bitmap.add(h)
			n := firstPlace(h)
			for m.place(n).pattern > 0 {
				n++
			}
			*m.place(n) = place{h, int32(i + 1), int32(at)}
		}
	}
}

// place is where the nth place is, the table being a ring.
func (m *matcher) place(n uint64) *place { return &m.places[n&uint64(len(m.places)-1)] }

// hasher hashes grams. It has a key: which text has the hash of which gram is not to be found out by trying.
type hasher struct {
	second    int // where the second eight bytes begin, which overlap the first
	mask      uint64
	key, key2 uint64
}

// hash is of the gram that t begins with. Its high bits depend on all of the gram, its low ones on little of it.
func (x hasher) hash(t text) uint64 {
	return (t.word(0)&x.mask ^ x.key) * (t.word(x.second)&x.mask ^ x.key2)
}

// firstPlace is where the places of grams with the hash h begin.
func firstPlace(h uint64) uint64 { return h >> 40 }

// bitmap is a set of hashes, and of others that are taken for them. Its length is a power of two, up to 1<<16.
type bitmap []uint64

// has reports whether h is in the set.
func (b bitmap) has(h uint64) bool { return b[h>>48&uint64(len(b)-1)]&(1<<(h>>42&63)) != 0 }

func (b bitmap) add(h uint64) { b[h>>48&uint64(len(b)-1)] |= 1 << (h >> 42 & 63) }

// findHeads collects how the patterns begin.
func (m *matcher) findHeads() {
	longest, hexLongest := map[string]int{}, map[string]int{}
	for _, p := range m.patterns {
		h := p.text[:headSize]
		longest[h] = max(longest[h], len(p.text))
		h = hexOf(p.text[:headSize/2])
		hexLongest[h] = max(hexLongest[h], 2*len(p.text))
	}
	for text, n := range longest {
		m.heads[text[0]] = append(m.heads[text[0]], head{text, n})
	}
	for text, n := range hexLongest {
		m.hexHeads = append(m.hexHeads, head{text, n})
	}
}

// Mask overwrites every occurrence in p, which is a whole text, with "*" and returns how many there were. Occurrences
// that overlap are one.
func (m *matcher) Mask(p []byte) int {
	var f found
	m.find(p, &f)
	n, end := 0, 0
	for _, s := range f.sorted() {
		if s.start >= end {
			n++
		}
		Stars(p[s.start:s.end])
		end = max(end, s.end)
	}
	return n
}

// Find returns the index of a secret that occurs in p, or -1.
func (m *matcher) Find(p []byte) int {
	var f found
	m.find(p, &f)
	if len(f.spans) == 0 {
		return -1
	}
	return f.spans[0].secret
}

// Stars overwrites all of p with what stands in for a token.
func Stars(p []byte) {
	for i := range p {
		p[i] = '*'
	}
}

// span is an occurrence.
type span struct{ start, end, secret int }

type found struct{ spans []span }

// sorted returns the occurrences in their order.
func (f *found) sorted() []span {
	slices.SortFunc(f.spans, func(a, b span) int { return a.start - b.start })
	return f.spans
}
