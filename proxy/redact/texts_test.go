package redact

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// Texts by chance, held to the reference.

// TestTexts: in texts of whole and half tokens and escapes, side by side, what is masked is what the reference masks.
func TestTexts(t *testing.T) {
	for seed := range uint64(1000) {
		w := writer{rand.New(rand.NewPCG(seed, 4))}
		secrets := w.secrets()
		check(t, secrets, w.text(secrets), seed)
	}
}

// writer writes texts by chance.
type writer struct{ *rand.Rand }

// secrets are some of few different characters, so that much looks like their beginning.
func (w writer) secrets() (secrets []Secret) {
	for range 1 + w.IntN(3) {
		alphabet := pick(w, "ab", "41", "aZ0-", "%41u0", `a\/"0`, "0123456789abcdef", "eyJhbGciOi+/_=", " !#~[]")
		s := Secret{Token: w.chars(alphabet, 8+w.IntN(1+w.IntN(40))), Scheme: pick(w, "", "Bearer", "Basic")}
		if w.IntN(3) == 0 {
			s.Username = user(w.chars("me", w.IntN(4)))
		}
		secrets = append(secrets, s)
	}
	return secrets
}

// text is of pieces that have to do with the secrets, or with what stands beside them.
func (w writer) text(secrets []Secret) []byte {
	var patterns []string
	for i := range secrets {
		patterns = append(patterns, secrets[i].patterns()...)
	}
	var b strings.Builder
	for range 1 + w.IntN(8) {
		piece := patterns[w.IntN(len(patterns))]
		switch w.IntN(8) {
		case 0:
			piece = piece[w.IntN(len(piece)):]
		case 1:
			piece = piece[:w.IntN(len(piece))]
		case 2:
			piece = w.chars("a0%4\\u1/\" \n", w.IntN(12))
		case 3:
			piece = w.chars("\x00\x7f\x80\xff", w.IntN(1+w.IntN(60)))
		}
		half := ""
		if w.IntN(4) == 0 { // of an escape, which then takes something of the piece, or nothing
			half = pick(w, "%", "%4", `\`, `\u00`, `\u004`)
		}
		switch w.IntN(6) {
		case 0:
			piece = hex.EncodeToString([]byte(piece))
		case 1:
			piece = strings.ToUpper(hex.EncodeToString([]byte(piece)))
		case 2, 3:
			piece = w.escape(piece)
		}
		b.WriteString(half + piece)
	}
	return []byte(b.String())
}

// escape writes some characters of a text as escapes, all of one kind or not.
func (w writer) escape(text string) string {
	formats := []string{"%%%02x", "%%%02X", `\u%04x`, `\u%04X`, `\%c`}
	if w.IntN(2) == 0 {
		formats = formats[w.IntN(len(formats)):][:1]
	}
	of := 1 + w.IntN(8)
	var b strings.Builder
	for i := range len(text) {
		if format := pick(w, formats...); w.IntN(of) == 0 && (format != `\%c` || strings.IndexByte(`/"`, text[i]) >= 0) {
			fmt.Fprintf(&b, format, text[i])
		} else {
			b.WriteByte(text[i])
		}
	}
	return b.String()
}

func (w writer) chars(alphabet string, n int) string {
	p := make([]byte, n)
	for i := range p {
		p[i] = alphabet[w.IntN(len(alphabet))]
	}
	return string(p)
}

func pick(w writer, from ...string) string { return from[w.IntN(len(from))] }
