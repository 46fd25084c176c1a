package fakeupstream

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/lzw"
	"compress/zlib"
	"encoding/binary"
	"io"
	"maps"
	"net/http"
	"slices"
)

// codings are the content codings of /encoded. What the standard library has no
// encoder for is written in stored blocks, which every decoder takes.
var codings = map[string]func([]byte) []byte{
	"gzip": func(p []byte) []byte {
		return through(p, func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) })
	},
	"deflate": func(p []byte) []byte { // RFC 9110 section 8.4.1.2: the zlib format
		return through(p, func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) })
	},
	"raw-deflate": func(p []byte) []byte { // what some servers send as deflate
		return through(p, func(w io.Writer) io.WriteCloser {
			f, _ := flate.NewWriter(w, flate.DefaultCompression)
			return f
		})
	},
	"x-lzw": func(p []byte) []byte { // one that no client knows
		return through(p, func(w io.Writer) io.WriteCloser { return lzw.NewWriter(w, lzw.LSB, 8) })
	},
	"br":       storedBrotli,
	"zstd":     storedZstd,
	"identity": bytes.Clone,
}

// codingNames returns the names of the codings, identity first.
func codingNames() []string {
	return append([]string{"identity"}, slices.Sorted(maps.Keys(codings))...)
}

func through(p []byte, coder func(io.Writer) io.WriteCloser) []byte {
	var b bytes.Buffer
	w := coder(&b)
	w.Write(p)
	w.Close()
	return b.Bytes()
}

// storedBrotli writes p as uncompressed meta-blocks (RFC 7932 section 9.2).
func storedBrotli(p []byte) []byte {
	// The stream begins with WBITS, the single bit 0 for a window of 64 KiB; each
	// meta-block with ISLAST 0, MNIBBLES 00 for four nibbles, MLEN-1 in 16 bits
	// and ISUNCOMPRESSED 1, then zeroes up to a whole byte.
	var out []byte
	stream := 0 // bits before the meta-block's header
	if len(p) > 0 {
		stream = 1
	}
	for piece := range slices.Chunk(p, 1<<16) {
		header := uint64(len(piece)-1)<<3 | 1<<19
		header <<= stream
		size := (20 + stream + 7) / 8
		out = append(out, binary.LittleEndian.AppendUint64(nil, header)[:size]...)
		out = append(out, piece...)
		stream = 0
	}
	return append(out, 0x03) // ISLAST, ISLASTEMPTY
}

// storedZstd writes p as raw blocks (RFC 8878 section 3.1.1).
func storedZstd(p []byte) []byte {
	// Magic number; a single segment with a content size of eight bytes.
	out := []byte{0x28, 0xb5, 0x2f, 0xfd, 0xe0}
	out = binary.LittleEndian.AppendUint64(out, uint64(len(p)))
	for len(p) > 1<<17-1 {
		out = append(out, block(1<<17-1, false)...)
		out = append(out, p[:1<<17-1]...)
		p = p[1<<17-1:]
	}
	return append(append(out, block(len(p), true)...), p...)
}

func block(size int, last bool) []byte {
	header := uint32(size) << 3
	if last {
		header |= 1
	}
	return binary.LittleEndian.AppendUint32(nil, header)[:3]
}

// newEncoded is /encoded: an echo in a content coding.
func newEncoded(p params) (Behaviour, error) {
	coding, err := p.oneOf("as", append([]string{"gzip"}, codingNames()...)...)
	if err != nil {
		return nil, err
	}
	label := p.str("label", map[bool]string{true: "deflate", false: coding}[coding == "raw-deflate"])
	return func(x *Exchange) error {
		if _, err := x.ReadBody(); err != nil {
			return err
		}
		body, err := marshal(echoOf(x.Request()))
		if err != nil {
			return err
		}
		return x.Answer(http.StatusOK, codings[coding](append(body, '\n')),
			Field{"Content-Type", "application/json"}, Field{"Content-Encoding", label}, Field{"Vary", "Accept-Encoding"})
	}, nil
}
