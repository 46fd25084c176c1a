package redact

import (
	"encoding/binary"
	"unsafe"
)

// text is where a text begins that is known to be long enough for all that is read of it. Where words are read at places
// that are computed, Go looks twice at each whether it is in bounds: without that a text is looked through twice as fast.
// Who makes one says by which comparison it is long enough.
type text struct{ at unsafe.Pointer }

// from is the text that begins at p[i].
func from(p []byte, i int) text { return text{unsafe.Pointer(&p[i])} }

// word is the eight bytes from the ith on.
func (t text) word(i int) uint64 {
	return binary.LittleEndian.Uint64((*[8]byte)(unsafe.Add(t.at, i))[:])
}
