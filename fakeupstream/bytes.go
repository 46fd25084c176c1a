package fakeupstream

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"io"
	"net/http"
)

// Bytes returns the n bytes that /bytes?n=N&seed=SEED answers with. No part of
// them repeats, so that pieces which got lost or swapped are noticed.
func Bytes(seed uint64, n int64) io.Reader { return &generator{seed: seed, left: n} }

// BytesSHA256 returns, in hex, the SHA-256 of the body of /bytes?n=N.
func BytesSHA256(n int64) string {
	h := sha256.New()
	io.CopyBuffer(h, Bytes(0, n), make([]byte, 64<<10))
	return hex.EncodeToString(h.Sum(nil))
}

// generator is splitmix64 over a counter, eight bytes a step.
type generator struct {
	seed uint64
	step uint64
	rest []byte
	word [8]byte
	left int64
}

func (g *generator) Read(p []byte) (n int, err error) {
	if g.left == 0 {
		return 0, io.EOF
	}
	p = p[:min(int64(len(p)), g.left)]
	for n < len(p) {
		if len(g.rest) == 0 && len(p)-n >= 8 {
			binary.LittleEndian.PutUint64(p[n:], g.next())
			n += 8
			continue
		}
		if len(g.rest) == 0 {
			binary.LittleEndian.PutUint64(g.word[:], g.next())
			g.rest = g.word[:]
		}
		k := copy(p[n:], g.rest)
		g.rest = g.rest[k:]
		n += k
	}
	g.left -= int64(n)
	return n, nil
}

func (g *generator) next() uint64 {
	g.step++
	z := g.seed + g.step*0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// newBytes is /bytes.
func newBytes(p params) (Behaviour, error) {
	n, err1 := p.num("n", 1024)
	seed, err2 := p.num("seed", 0)
	piece, err3 := p.num("piece", 64<<10)
	framing, err4 := p.oneOf("framing", string(Length), string(Chunked), string(Close))
	if err := firstError(err1, err2, err3, err4); err != nil {
		return nil, err
	}
	piece = min(max(piece, 1), 1<<20)
	return func(x *Exchange) error {
		if _, err := x.ReadBody(); err != nil {
			return err
		}
		if err := x.Head(http.StatusOK, Framing(framing), n, Field{"Content-Type", "application/octet-stream"}); err != nil {
			return err
		}
		_, err := io.CopyBuffer(struct{ io.Writer }{x}, Bytes(uint64(seed), n), make([]byte, piece))
		return err
	}, nil
}

// sink is /sink: it reads the body and says what it was.
func sink(x *Exchange) error {
	if _, err := x.ReadBody(); err != nil {
		return err
	}
	q := x.Request()
	return x.JSON(http.StatusOK, map[string]any{"n": q.BodySize, "sha256": q.BodySHA256})
}
