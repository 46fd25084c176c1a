package redact

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	neturl "net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The escapes that are read.
const (
	percentEscape = `%[0-9A-Fa-f]{2}`
	jsonEscape    = `\\["/]|\\u00[0-9A-Fa-f]{2}`
)

// reference masks a text as the package's comment says, without any thought for time: it reads the whole text in each
// way, searches every pattern at every place, and masks what was found where it stands.
func reference(secrets []Secret, text []byte) (masked []byte, n int) {
	var patterns []string
	for i := range secrets {
		patterns = append(patterns, secrets[i].patterns()...)
	}
	hit := make([]bool, len(text))
	inside := make([]bool, len(text)+1)      // whether an occurrence goes on from the byte before
	search := func(bytes []byte, at []int) { // at[i] is where bytes[i] is written, at[len(bytes)] the end
		for _, p := range patterns {
			for i := 0; i+len(p) <= len(bytes); i++ {
				if string(bytes[i:i+len(p)]) == p {
					for k := at[i]; k < at[i+len(p)]; k++ {
						hit[k] = true
						inside[k] = inside[k] || k > at[i]
					}
				}
			}
		}
	}
	for _, escapes := range []string{`^$`, percentEscape, jsonEscape, percentEscape + "|" + jsonEscape} {
		re := regexp.MustCompile("^(?:" + escapes + ")")
		var bytes []byte
		var at []int
		for i := 0; i < len(text); {
			c, size := text[i], 1
			if e := re.Find(text[i:min(len(text), i+longestUnit)]); len(e) == 2 {
				c, size = e[1], 2
			} else if len(e) > 2 {
				digits, err := strconv.ParseUint(string(e[len(e)-2:]), 16, 8)
				if err != nil {
					panic(err)
				}
				c, size = byte(digits), len(e)
			}
			bytes, at = append(bytes, c), append(at, i)
			i += size
		}
		search(bytes, append(at, len(text)))
	}
	isDigit := func(i int) bool { return strings.ContainsRune("0123456789abcdefABCDEF", rune(text[i])) }
	for start := 0; start < len(text); start++ {
		end := start
		for end < len(text) && isDigit(end) {
			end++
		}
		for parity := range min(2, end-start) {
			whole := (end - start - parity) / 2
			bytes, err := hex.DecodeString(string(text[start+parity : start+parity+2*whole]))
			if err != nil {
				panic(err)
			}
			var at []int
			for i := range whole + 1 {
				at = append(at, start+parity+2*i)
			}
			search(bytes, at)
		}
		start = end
	}
	masked = append([]byte{}, text...)
	for i := range hit {
		if hit[i] {
			masked[i] = '*'
			if !inside[i] {
				n++
			}
		}
	}
	return masked, n
}

// inPieces masks a text in pieces of the sizes that cut says, as who keeps back what must be kept back does.
func inPieces(m *Matcher, text []byte, cut func() int) (masked []byte, n int) {
	s := Stream{M: m}
	for rest := bytes.Clone(text); len(rest) > 0; {
		size := min(max(cut(), 0), len(rest))
		piece := rest[:size]
		rest = rest[size:]
		count, back, _ := s.Next(piece)
		Stars(masked[len(masked)-back:])
		masked = append(masked, piece...)
		n += count
	}
	return masked, n
}

// findsInPieces reports whether something was found in the pieces of a text.
func findsInPieces(m *Matcher, text []byte, cut func() int) (found bool) {
	s := Stream{M: m}
	for len(text) > 0 {
		size := min(max(cut(), 0), len(text))
		found = s.Find(text[:size]) >= 0 || found
		text = text[size:]
	}
	return found
}

// kept checks the other half of the bargain: what is masked later was kept back.
func kept(t *testing.T, m *Matcher, text []byte, cut func() int) {
	t.Helper()
	s := Stream{M: m}
	held := 0
	for rest := bytes.Clone(text); len(rest) > 0; {
		size := min(max(cut(), 0), len(rest))
		_, back, keep := s.Next(rest[:size])
		if back > held {
			t.Fatalf("%d bytes to be masked of %d that were kept back, %q", back, held, text)
		}
		if held = keep; held > longestUnit*m.longest {
			t.Fatalf("%d bytes kept back for patterns of at most %d", held, m.longest)
		}
		rest = rest[size:]
	}
}

// covers reports whether a text is masked wherever want is.
func covers(masked, want []byte) bool {
	for i := range want {
		if want[i] == '*' && masked[i] != '*' {
			return false
		}
	}
	return true
}

func check(t *testing.T, secrets []Secret, text []byte, seed uint64) {
	t.Helper()
	m := New(secrets)
	if m == nil {
		return
	}
	want, n := reference(secrets, text)
	whole := bytes.Clone(text)
	if got := m.Mask(whole); !bytes.Equal(whole, want) || got != n {
		t.Fatalf("%+v\n in %q\ngot %q, %d\nnot %q, %d", secrets, text, whole, got, want, n)
	}
	if found := m.Find(text); (found >= 0) != (n > 0) {
		t.Fatalf("found %d in %q", found, text)
	}
	endsInEscape := slices.ContainsFunc(m.patterns, func(p pattern) bool {
		return unfinished([]byte(p.text), percentEscapes|jsonEscapes) > 0
	})
	r := rand.New(rand.NewPCG(seed, 1))
	for _, cut := range []func() int{func() int { return 1 }, func() int { return 2 }, func() int { return 7 },
		func() int { return r.IntN(5) }, func() int { return r.IntN(50) }, func() int { return r.IntN(1 + len(text)) }} {
		if pieces, _ := inPieces(m, text, cut); !bytes.Equal(pieces, want) && !(endsInEscape && covers(pieces, want)) {
			t.Fatalf("%+v\n in %q\ngot %q in pieces\nnot %q", secrets, text, pieces, want)
		}
		kept(t, m, text, cut)
		if found := findsInPieces(m, text, cut); found != (n > 0) && !endsInEscape {
			t.Fatalf("%+v\n in %q\nfound in pieces: %v", secrets, text, found)
		}
	}
}

func user(s string) *string { return &s }

func longestOf(m *Matcher) string {
	return slices.MaxFunc(m.patterns, func(a, b pattern) int { return len(a.text) - len(b.text) }).text
}

// escaped writes each character in the next of some formats.
func escaped(token string, formats ...string) string {
	var b strings.Builder
	for i := range len(token) {
		fmt.Fprintf(&b, formats[i%len(formats)], token[i])
	}
	return b.String()
}

// writings are encodings as their usual encoders make them, and some that mix them.
func writings(token, username string) map[string]string {
	std, url := base64.StdEncoding.EncodeToString, base64.RawURLEncoding.EncodeToString
	basic := std([]byte(username + ":" + token))
	return map[string]string{
		"plain":          token,
		"basic":          basic,
		"basic url":      url([]byte(username + ":" + token)),
		"basic query":    strings.NewReplacer("+", "%2B", "/", "%2F", "=", "%3D").Replace(basic),
		"basic php":      strings.ReplaceAll(basic, "/", `\/`),
		"basic hex":      hex.EncodeToString([]byte(basic)),
		"basic base64":   std([]byte("Basic " + basic)),
		"base64 0":       std([]byte(token)),
		"base64 1":       std([]byte("x" + token)),
		"base64 2":       std([]byte("xy" + token)),
		"base64 inside":  std([]byte("x" + token + "xyz")),
		"base64 bearer":  std([]byte("Bearer " + token)),
		"base64 url":     url([]byte("xy" + token)),
		"percent":        escaped(token, "%%%02X"),
		"percent lower":  escaped(token, "%%%02x"),
		"percent partly": escaped(token, "%%%02x", "%c", "%c"),
		"json":           escaped(token, `\u%04x`),
		"json upper":     escaped(token, `\u%04X`),
		"json partly":    escaped(token, `\u%04X`, "%c"),
		"json slash":     strings.ReplaceAll(token, "/", `\/`),
		"json encoder":   strings.Trim(strconv.Quote(token), `"`),
		"form":           neturl.QueryEscape(token),
		"both":           escaped(token, "%%%02x", `\u%04x`),
		"both partly":    escaped(token, "%%%02X", "%c", `\u%04X`),
		"hex":            hex.EncodeToString([]byte(token)),
		"hex upper":      strings.ToUpper(hex.EncodeToString([]byte(token))),
		"hex odd":        "f" + hex.EncodeToString([]byte(token)) + "0",
	}
}

var tokens = []string{"8bytes+/", "the-real-token-0", "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
	"sk-ant-api03-" + strings.Repeat("aB3_xY-9", 12) + "AA", "with space/and+more", `odd"one\with%41`}

// TestWritings: every writing of a token is masked, whatever is around it and however it is split, and nothing else is.
func TestWritings(t *testing.T) {
	left := map[string]int{"base64 1": 2, "base64 2": 3, "base64 url": 3, "base64 inside": 2 + 6, "basic base64": 8 + 3, "hex odd": 2, "basic hex": 4, "basic query": 6}
	for _, token := range tokens {
		secrets := []Secret{{Token: token, Scheme: "Bearer"}, {Token: token, Username: user("x-access-token")}}
		m := New(secrets)
		for name, w := range writings(token, "x-access-token") {
			if token == tokens[len(tokens)-1] && name == "json slash" {
				continue // the token has no slash
			}
			text := []byte("-- " + w + " -- " + strings.Repeat("z", 40))
			masked := bytes.Clone(text)
			if n := m.Mask(masked); n != 1 {
				t.Errorf("%s of %s: %d found", name, token, n)
			}
			if len(masked) != len(text) || !bytes.HasPrefix(masked, []byte("-- ")) || !bytes.HasSuffix(masked, text[len(w)+3:]) {
				t.Errorf("%s of %s: %s", name, token, masked)
			}
			// What is left of it holds no more than some bits of the token's first and last byte, and what is no token.
			if stars := bytes.Count(masked, []byte("*")); stars < len(strings.TrimRight(w, "="))-left[name] {
				t.Errorf("%s of %s: %s", name, token, masked)
			}
			check(t, secrets, text, 1)
		}
	}
}

// TestOverlaps: occurrences that overlap or touch, and beginnings that are none.
func TestOverlaps(t *testing.T) {
	for _, token := range []string{"aaaaaaaa", "abababababab", "aaaabaaaab", "41414141", "%41%41%41%41", `\u0041\/\/`} {
		for _, text := range []string{strings.Repeat(token, 3), token[1:] + token[2:] + token, token[:7] + token + token[:5],
			strings.Repeat(token[:len(token)-1], 4), strings.Repeat("41", 40), strings.Repeat("%41", 20), strings.Repeat(`\u0041`, 20),
			"%" + token, `\` + token, `\u00` + token, "%4" + token, hex.EncodeToString([]byte(token + token)), "%25" + token} {
			check(t, []Secret{{Token: token}, {Token: "another-secret"}}, []byte(text), 2)
		}
	}
}

// TestBesideEscapes: an escape right before a token or behind it, as a quote has in a query, is no part of it and hides
// nothing of it.
func TestBesideEscapes(t *testing.T) {
	for _, token := range tokens {
		for name, w := range writings(token, "me") {
			var text strings.Builder
			for _, quote := range []string{"%22", `\u0022`, "%7B%22a%22%3A%22", `{\"a\":\"`, "%00%2", `\n`} {
				text.WriteString("a" + quote + w + quote + "z ")
			}
			check(t, []Secret{{Token: token, Username: user("me")}}, []byte(text.String()), uint64(len(name)))
		}
	}
	for _, text := range []string{"%41%62cdefgh", `\u0041\u0062cdefgh`} { // nor is half of it
		check(t, []Secret{{Token: "41bcdefgh"}}, []byte(text), 7)
	}
}

// TestNearMiss: what has the same base64 as a token but for its last character is another text.
func TestNearMiss(t *testing.T) {
	for _, token := range []string{"8-bytes-", "9-bytes--", "10-bytes--"} {
		m := New([]Secret{{Token: token}})
		for _, before := range []string{"", "x", "xy"} {
			other := before + token[:len(token)-1] + "," // of which four bits are those of "-"
			if text := base64.StdEncoding.EncodeToString([]byte(other)); (len(other)%3 == 0) != (m.Find([]byte(text)) < 0) {
				t.Errorf("%q for %q: %d", other, token, m.Find([]byte(text)))
			}
		}
	}
}

// TestSeams: the longest writing is found wherever it begins in what is decoded at a time, or comes with a piece.
func TestSeams(t *testing.T) {
	m := New([]Secret{{Token: "ghp_16C7e42F292c6912", Username: user("me")}})
	longest := longestOf(m)
	for _, format := range []string{"%02x", "%%%02x", `\u%04x`} {
		unit := len(fmt.Sprintf(format, 'A'))
		text := escaped(strings.Repeat("A", 1200), format)
		for at := 1024 - 2*len(longest); at < 1024+2; at++ {
			p := []byte(text)
			n := copy(p[at*unit:], escaped(longest, format))
			if got := m.Mask(p); got != 1 || bytes.Count(p, []byte("*")) != n {
				t.Fatalf("%d found of it at %d as %s, %d bytes masked", got, at, format, bytes.Count(p, []byte("*")))
			}
		}
	}
	rest := strings.Repeat("- ", 10*len(longest)) + longest
	for cut := range len(longest) {
		size := cut
		next := func() int { n := size; size = len(longest + rest); return n }
		if masked, n := inPieces(m, []byte(longest+rest), next); n != 2 || strings.Trim(string(masked), "*") != rest[:len(rest)-len(longest)] {
			t.Fatalf("%d found, %s", n, masked)
		}
	}
}

// TestOneEscape: the longest writing with one escape, wherever it is, is masked in two pieces, wherever they are cut.
func TestOneEscape(t *testing.T) {
	for _, token := range tokens[:3] {
		m := New([]Secret{{Token: token, Username: user("me")}})
		token = longestOf(m)
		for _, format := range []string{"%%%02x", `\u%04x`} {
			for i := range len(token) {
				text := token[:i] + escaped(token[i:i+1], format) + token[i+1:]
				for cut := range len(text) {
					size := cut
					next := func() int { n := size; size = len(text); return n }
					if masked, n := inPieces(m, []byte(text), next); n != 1 || strings.Trim(string(masked), "*") != "" {
						t.Fatalf("%d found of %s cut at %d: %s", n, text, cut, masked)
					}
				}
			}
		}
	}
}

// TestUnfinished: what can be the beginning of an escape is waited for, and nothing else.
func TestUnfinished(t *testing.T) {
	for text, want := range map[string]int{"": 0, "a": 0, "%": 1, "%4": 2, "%41": 0, "%z": 0, "a%2": 2, `\`: 1, `\u`: 2, `\u0`: 3, `\u00`: 4,
		`\u004`: 5, `\u00z`: 0, `\u0041`: 0, `\u01`: 0, `\n`: 0} {
		if got := unfinished([]byte(text), percentEscapes|jsonEscapes); got != want {
			t.Errorf("%s: %d, want %d", text, got, want)
		}
	}
}

// TestHalfRead: a token that looks as if it had escapes of one kind is found where it has those of the other.
func TestHalfRead(t *testing.T) {
	secrets := []Secret{{Token: "a%41bcdefgh"}, {Token: `x\u0041bcdefgh`}}
	for _, text := range []string{`a%41bcd\u0065fgh`, `%41a%41bcd\u0065fgh%41`, `x\u0041b%63defgh`, `\u0041x\u0041b%63defgh\u0041`} {
		check(t, secrets, []byte(text), 6)
	}
	for _, test := range []struct{ other, text string }{
		{`back\slash-1`, `%41bcd\u0065fgh`}, {"pass%word-1", `\u0041b%63defgh`}, {`both%41\-`, `%41b\u0063defgh`}, {"neither-of-them", `%41bcd\u0065fgh`},
	} {
		check(t, []Secret{{Token: "41bcdefgh"}, {Token: test.other}}, []byte(test.text), 8)
	}
}

// TestReadyMade: a token that is the base64 of user and password is looked for as the password of that user is, and as it
// is where it only looks so.
func TestReadyMade(t *testing.T) {
	const password = "the-real-password"
	pair := func(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }
	for token, want := range map[string]bool{
		pair("me:" + password):                       true,
		strings.TrimRight(pair("me:"+password), "="): true,
		pair(":" + password):                         true,
		pair(password + ":"):                         true, // a key in the user's place
		pair(password):                               false,
		pair("me:" + password + "\u00e9"):            false,
		pair("me:" + password + "\n"):                false,
		pair("\u00e9" + password + ":"):              false,
		"-" + pair("me:"+password):                   false,
	} {
		m := New([]Secret{{Token: token, Scheme: "basic"}})
		if n := m.Mask([]byte("-- " + password + " --")); (n == 1) != want {
			t.Errorf("%s: %d found", token, n)
		}
		if n := m.Mask([]byte("-- " + token + " --")); n != 1 {
			t.Errorf("%s: %d of itself found", token, n)
		}
		if n := New([]Secret{{Token: token, Scheme: "Bearer"}}).Mask([]byte("-- " + password + " --")); n != 0 {
			t.Errorf("%s, which is no Basic credential: %d found", token, n)
		}
		if n := New([]Secret{{Token: "basic " + token}}).Mask([]byte("-- " + password + " --")); (n == 1) != want {
			t.Errorf("%s, with its scheme before it: %d found", token, n)
		}
		if n := New([]Secret{{Token: token, Scheme: "Basic", Username: user("me")}}).Mask([]byte("-- " + password + " --")); n != 0 {
			t.Errorf("%s, which is a password itself: %d found", token, n)
		}
	}
	for _, token := range []string{"Bearer " + password, "token  " + password} {
		if n := New([]Secret{{Token: token}}).Mask([]byte("-- " + password + ", " + base64.StdEncoding.EncodeToString([]byte("me:"+password)) + " --")); n != 2 {
			t.Errorf("%s, with its scheme before it: %d found of it alone", token, n)
		}
	}
	key := []byte(password + " x-oauth-basic")
	New([]Secret{{Token: pair(password + ":x-oauth-basic"), Scheme: "Basic"}}).Mask(key)
	if want := strings.Repeat("*", len(password)) + " x-oauth-basic"; string(key) != want {
		t.Errorf("a key with GitHub's stand-in for a password: %s", key)
	}
	secrets := []Secret{{Token: pair("me:" + password), Scheme: "Basic"}}
	for _, w := range writings(password, "me") {
		check(t, secrets, []byte("-- "+w+" --"), 3)
		if n := New(secrets).Mask([]byte("-- " + w + " --")); n != 1 {
			t.Errorf("%s: %d found", w, n)
		}
	}
	short := pair("me:7-bytes")
	if n := New([]Secret{{Token: short, Scheme: "Basic"}}).Mask([]byte("-- 7-bytes " + short + " --")); n != 1 {
		t.Errorf("a short password: %d found", n)
	}
}

// TestShort: what is too short is not looked for.
func TestShort(t *testing.T) {
	if New([]Secret{{Token: "7-bytes"}, {Token: "", Username: user("a-long-username")}}) != nil {
		t.Error("a matcher of what is too short")
	}
}

// TestLongText: what is found in a large text does not depend on where it stands, also at the seams of what is decoded
// at a time.
func TestLongText(t *testing.T) {
	secrets := []Secret{{Token: "ghp_16C7e42F292c6912", Username: user("me")}}
	m := New(secrets)
	for _, w := range writings(secrets[0].Token, "me") {
		for _, filler := range []string{"a", "0", "%41", `\u0041`, `\/`, ".", "%2", `\`} {
			text := []byte(strings.Repeat(filler, 3000))
			for at := 0; at+len(w) < len(text); at += 97 * len(filler) {
				p := bytes.Clone(text)
				copy(p[at:], w)
				if strings.HasPrefix(filler, w[:1]) || filler == "0" || filler == "a" {
					continue // it may be another text
				}
				if n := m.Mask(p); n != 1 {
					t.Fatalf("%d found of %s at %d among %s", n, w, at, filler)
				}
			}
		}
	}
}

// TestTimeIsLinear: no text takes longer for each of its bytes the longer it is, whatever escapes it is made of, nor the
// longer a token is of which nothing is there.
func TestTimeIsLinear(t *testing.T) {
	const plain, percent, backslash = "ghp_16C7e42F292c6912", "per%cent-1", `back\slash-1`
	long := " " + strings.Repeat("eyJhbGciOiJIUzI1NiJ9", 200)
	for _, c := range []struct{ tokens, more, first, unit string }{
		{plain, "", "", `%41\u0041`},
		{plain, "", "", `%41%41\/`},
		{plain + " " + backslash, "", `\`, `%41`},
		{plain + " " + percent, "", `%`, `\u0041`},
		{plain + " " + percent + " " + backslash, "", "", `%41\u0041`},
		{percent, long, "", `%41%00`},
		{backslash, long, "", `\u0041\u0000`},
	} {
		once := func(tokens string, n int) time.Duration {
			var secrets []Secret
			for token := range strings.FieldsSeq(tokens) {
				secrets = append(secrets, Secret{Token: token})
			}
			m := New(secrets)
			text := []byte(c.first + strings.Repeat(c.unit, n/len(c.unit)))
			start := time.Now()
			m.Find(text)
			return time.Since(start)
		}
		// The least that it takes: other programs take time, too.
		few, many := time.Hour, time.Hour
		for end := time.Now().Add(5 * time.Second); many > 64*few || many == time.Hour; {
			few, many = min(few, once(c.tokens, 4<<10)), min(many, once(c.tokens+c.more, 64<<10))
			if time.Now().After(end) {
				t.Errorf("tokens %.60s: %v for 4 KiB of %s, %v for 64", c.tokens+c.more, few, c.unit, many)
				break
			}
		}
	}
}

// TestHeld: what is kept back is the beginning of a pattern, and nothing where a line ends.
func TestHeld(t *testing.T) {
	m := New([]Secret{{Token: "the-real-token/1", Username: user("me")}})
	for text, want := range map[string]int{
		"":                            0,
		"data: the-real\n\n":          0,
		"data: the-real\n\nt":         1,
		"data: xthe-real":             8,
		"data: the-other-word":        14,
		"data: the-rEal":              8, // from the fifth byte on anything may be
		"data: the-r al":              0,
		"th":                          2,
		"data: %74h%65-":              8,
		"data: 111%":                  1,
		"data: %7":                    2,
		"data: %zz":                   0,
		`data: \u0074h`:               7,
		`data: \u00`:                  4,
		`data: \`:                     1,
		"data: 746":                   3,
		"data: 7468652D":              8,
		"data: 3746865":               6,
		"data: dGhlLX":                6,
		"data: " + "the-real-token/":  15,
		"data: " + "the-real-token/1": 0,
	} {
		s := Stream{M: m}
		if _, _, keep := s.Next([]byte(text)); keep != want {
			t.Errorf("%q: %d are kept back, not %d", text, keep, want)
		}
	}
}

// TestNoAllocation: text without an occurrence costs no memory, whatever is in it.
func TestNoAllocation(t *testing.T) {
	m := New([]Secret{{Token: tokens[3], Scheme: "Bearer"}, {Token: tokens[2], Username: user("me")}})
	for name, p := range bodies(64 << 10) {
		s := Stream{M: m}
		s.Next([]byte("sk-a")) // whoever kept something back once keeps the room for it
		s.Next(p)
		if n := testing.AllocsPerRun(20, func() { s.Next(p) }); n > 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
		if n := testing.AllocsPerRun(20, func() { m.Find(p) }); n > 0 {
			t.Errorf("%s: %v allocations to find nothing", name, n)
		}
	}
}

func FuzzMask(f *testing.F) {
	for _, token := range tokens {
		for _, w := range writings(token, "me") {
			f.Add("me", token, "another-token", []byte("x"+w+"%"+w), uint64(3))
		}
	}
	f.Add("", "aaaaaaaa", "%41%41%41%41", []byte(`%41%41%41%41%41aaaa`), uint64(4))
	f.Add("u", `back\slash\`, "12345678", []byte(`back\\slash\\back\u005cslash\\3132333435363738`), uint64(5))
	f.Fuzz(func(t *testing.T, username, one, two string, text []byte, seed uint64) {
		if len(one)+len(two)+len(username) > 200 || len(text) > 2000 {
			return
		}
		for _, s := range []string{username, one, two} {
			for _, c := range []byte(s) {
				if c < ' ' || c > '~' {
					return
				}
			}
		}
		check(t, []Secret{{Token: one, Username: &username}, {Token: two, Scheme: username}}, text, seed)
	})
}

// TestAmongBinary: a token is found wherever it stands in what is text here and none there.
func TestAmongBinary(t *testing.T) {
	m := New([]Secret{{Token: tokens[2], Scheme: "Bearer"}})
	all := bodies(12 << 10)
	for seed := range uint64(8) {
		r := rand.New(rand.NewPCG(seed, 3))
		var text []byte
		for len(text) < 12<<10 {
			from := all[[]string{"text", "random", "base64"}[r.IntN(3)]]
			n := 1 + r.IntN(1+r.IntN(4<<10))
			text = append(text, from[len(text)%1000:][:n]...)
		}
		for at := 0; at+len(tokens[2]) <= len(text); at += 1 + r.IntN(7) {
			masked(t, m, bytes.Clone(text), tokens[2], at)
		}
	}
	for _, token := range tokens[:3] { // alone, so that no byte around it is text
		m := New([]Secret{{Token: token, Scheme: "Bearer"}})
		for size := len(token); size < 7*len(token); size += 3 {
			for at := range size - len(token) + 1 {
				masked(t, m, bytes.Repeat([]byte{0xff}, size), token, at)
			}
		}
	}
}

// masked puts a token into a text that has none, and checks that it is masked there, and nothing else is.
func masked(t *testing.T, m *Matcher, text []byte, token string, at int) {
	t.Helper()
	copy(text[at:], token)
	want := slices.Concat(text[:at], bytes.Repeat([]byte("*"), len(token)), text[at+len(token):])
	if n := m.Mask(text); n != 1 || !bytes.Equal(text, want) {
		t.Fatalf("%d found of %s at %d of %d: %q", n, token, at, len(text), text)
	}
}

// TestSecretPrintsNothing: whatever prints a secret prints what stands for every other.
func TestSecretPrintsNothing(t *testing.T) {
	s := Secret{Token: "the-real-token", Scheme: "Bearer", Username: user("somebody")}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		if got := fmt.Sprintf(verb, s); got != "[redacted]" {
			t.Errorf("%s: %s", verb, got)
		}
	}
}

// TestPair: what is in a ready-made Basic token is a secret if it is of printable ASCII, and too short only below Shortest.
func TestPair(t *testing.T) {
	for password, want := range map[string]string{
		strings.Repeat("p", Shortest): "", strings.Repeat("p", Shortest-1): "password in the token",
		"pass word ~": "", "password\x1f": "none", "pass\x7fword": "none", "passwörd": "none",
	} {
		s := Secret{Token: base64.StdEncoding.EncodeToString([]byte("user:" + password)), Scheme: "Basic"}
		pair := s.pair()
		if (pair == nil) != (want == "none") || pair != nil && (pair.Token != password || s.Short() != want) {
			t.Errorf("%q: %v, %q", password, pair != nil, s.Short())
		}
	}
}

// TestHalfAnEscape: what only looks like an escape takes nothing away from the token behind it.
func TestHalfAnEscape(t *testing.T) {
	m := New([]Secret{{Token: "zebra-token-1234"}})
	for _, text := range []string{`\u006zebra\u002dtoken-1234`, `\u00zzebra\u002dtoken-1234`, `%2zebra%2dtoken-1234`, `%zebra%2dtoken-1234`} {
		if p := []byte(text); m.Mask(p) != 1 {
			t.Errorf("%s: %s", text, p)
		}
	}
}

// TestBetweenBytes: a token is found wherever it stands between bytes that are not ASCII, however few there are.
func TestBetweenBytes(t *testing.T) {
	const text = "zebra-token-1234-of-the-route-and-more"
	for n := Shortest; n <= len(text); n++ {
		token := text[:n]
		m := New([]Secret{{Token: token}})
		for before := range 20 {
			for behind := range 20 {
				p := []byte(strings.Repeat("\xff", before) + token + strings.Repeat("\xff", behind))
				if m.Mask(p) != 1 {
					t.Fatalf("%d bytes between %d and %d", n, before, behind)
				}
			}
		}
	}
}
