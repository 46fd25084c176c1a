package proxy

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"credproxy/proxy/http1"
	"credproxy/proxy/redact"
)

// pieces is a Source that gives a text in pieces.
type pieces struct {
	text []byte
	next func() int
}

func (p *pieces) ReadInto(r *http1.Reader) (int, error) {
	if len(p.text) == 0 {
		return 0, io.EOF
	}
	space := r.Space()
	n := copy(space[:min(len(space), max(1, p.next()))], p.text)
	r.Stored(n)
	p.text = p.text[n:]
	return n, nil
}

// bodyOf returns the head that says how a body is framed and the content in that framing, in chunks of sizes that r
// gives; what is content is masked by m, if there is one.
func bodyOf(t testing.TB, framing byte, content []byte, m *redact.Matcher, r *rand.Rand) (http1.Body, []byte) {
	if content = bytes.Clone(content); m != nil {
		m.Mask(content)
	}
	head, raw := "HTTP/1.1 200 OK\r\n\r\n", content
	switch framing % 3 {
	case 0:
		head = fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", len(content))
	case 1:
		head, raw = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", nil
		for len(content) > 0 {
			n := min(len(content), 1+r.IntN(1+r.IntN(30)))
			raw = fmt.Appendf(raw, "%x\r\n%s\r\n", n, content[:n])
			content = content[n:]
		}
		raw = append(raw, "0\r\n\r\n"...)
	}
	var resp http1.Response
	if _, err := resp.Parse([]byte(head), DefaultLimits.response()); err != nil {
		t.Fatal(err)
	}
	return resp.Body(false), raw
}

// FuzzScreen: whatever the framing and the pieces in which a body comes, its content is passed on as the matcher masks it
// as a whole, nothing else is changed, and no more is held than the matcher wants.
func FuzzScreen(f *testing.F) {
	const token = "the-real/token+1"
	m := redact.New([]redact.Secret{{Token: token, Scheme: "Bearer"}, {Token: "aaaaaaaaaa"}})
	for framing := range byte(3) {
		f.Add(framing, []byte("data: "+token+"\n\n"), uint64(1))
		f.Add(framing, []byte(`x=the%2Dreal%2ftoken%2b1&y=dGhlLXJlYWwvdG9rZW4rMQ==`), uint64(2))
		f.Add(framing, []byte(`{"x":"the-real\/token\u002b1","y":"7468652d7265616c2f746f6b656e2b31"`), uint64(3))
		f.Add(framing, []byte("aaaaaaaaaaaaaaaathe-rthe-real/token+1the-real/token+the-real/token+1"), uint64(4))
	}
	seed := uint64(0)
	for content := range byChance(3000, 10, "the-real/token+1", "the-", "real/", "tok", "en+1", "aaaaaaaaaa", "aaaa", "%2D", "%2f", "%2b", `\/`, `\u002b`, `\u002d`, "%", `\`, "7468652d7265616c2f746f6b656e2b31", "7468", "dGhlLXJlYWwvdG9rZW4rMQ==", "dGhl", "\n\n", "data: ", "\xff") {
		seed++
		f.Add(byte(seed), []byte(content), seed)
	}
	f.Fuzz(func(t *testing.T, framing byte, content []byte, seed uint64) {
		if len(content) > 2000 {
			return
		}
		_, want := bodyOf(t, framing, content, m, rand.New(rand.NewPCG(seed, 0)))
		body, raw := bodyOf(t, framing, content, nil, rand.New(rand.NewPCG(seed, 0)))
		r := rand.New(rand.NewPCG(seed, 1))
		size := 1 + r.IntN(1+r.IntN(100))
		rd := http1.NewReader(&pieces{raw, func() int { return 1 + r.IntN(size) }})
		s, beside := screen{stream: redact.Stream{M: m}, body: body}, redact.Stream{M: m}
		var got []byte
		for {
			n, err := rd.Fill()
			if err != nil {
				got = append(got, rd.Buffered()...)
				break
			}
			_, _, keep := beside.Next(bytes.Clone(rd.Buffered()[len(rd.Buffered())-n:]))
			s.look(rd.Buffered())
			if !body.Chunked() && !s.body.Done() && s.held != keep {
				t.Fatalf("%d held, not %d", s.held, keep)
			}
			if s.held > len(rd.Buffered()) {
				t.Fatalf("%d held of %d", s.held, len(rd.Buffered()))
			}
			some := len(rd.Buffered()) - s.held
			got = append(got, rd.Buffered()[:some]...)
			rd.Consume(some)
			if s.body.Done() && s.held > 0 {
				t.Fatal("something is held behind the end")
			}
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("%q\ngot  %q\nwant %q", raw, got, want)
		}
	})
}

// TestScreenMalformed: what is malformed ends the looking, and nothing is held any more.
func TestScreenMalformed(t *testing.T) {
	body, _ := bodyOf(t, 1, nil, nil, nil)
	s := screen{stream: redact.Stream{M: redact.New([]redact.Secret{{Token: "the-real/token+1"}})}, body: body}
	p := []byte("4\r\nthe-\r\n")
	if s.look(p); s.held == 0 {
		t.Fatal("the beginning of a token is not held")
	}
	if p = append(p[len(p)-s.held:], "zz\r\n"...); s.look(p) != 0 || s.held > 0 {
		t.Errorf("%d bytes are held", s.held)
	}
}

// TestMaskedLineIsALine: a field line that holds a token with a colon in it is a field line still.
func TestMaskedLineIsALine(t *testing.T) {
	s := newServer(t, Options{Getenv: func(string) string { return "id:the-secret" }}, one("upstream", `"https://h", "compressed": "refuse"`))
	table := s.table.Load()
	x := &exchange{heads: new(heads), route: table.byPath["/a/"], lookout: table.lookout.Load()}
	for head, want := range map[string]string{
		"HTTP/1.1 200 OK\r\nid:the-secret\r\n\r\n":                               "**:**********",
		"HTTP/1.1 200 OK\r\nX: id:the-secret\r\n\r\n":                            "X: *************",
		"HTTP/1.1 304 Not Modified\r\nContent-Encoding: gzip\r\n\r\n":            "Content-Encoding: gzip",
		"HTTP/1.1 204 No Content\r\nContent-Encoding: gzip\r\n\r\n":              "Content-Encoding: gzip",
		"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 0\r\n\r\n": "Content-Encoding: gzip",
	} {
		p := []byte(head)
		n, err := x.resp.Parse(p, DefaultLimits.response())
		if err == nil {
			err = x.screenHead(p[:n])
		}
		if got := bytes.TrimSpace(x.resp.Fields[0].Line); err != nil || string(got) != want {
			t.Errorf("%q: %s, %v", head, got, err)
		}
	}
}

// TestScreenExtensions: nothing of a chunk extension crosses, in whatever pieces it comes, also where what follows is
// malformed; what else is framing stays.
func TestScreenExtensions(t *testing.T) {
	m := redact.New([]redact.Secret{{Token: "a-longer-token"}, {Token: "00000000000a"}})
	for body, want := range map[string]string{
		"1;a-longer-token\r\na\r\n0\r\n\r\n":                       "1;**************\r\na\r\n0\r\n\r\n",
		"1\r\na\r\n0;a-longer-token\r\n\r\n":                       "1\r\na\r\n0;**************\r\n\r\n",
		"1;a-longer-token;\x01":                                    "1;***************\x01",
		"00000000000a;x=a-longer-token\r\n0123456789\r\n":          "00000000000a;****************\r\n0123456789\r\n",
		"1;\r\na\r\n00000000000a\r\n1;3456789;\r\n0;a\r\nA: ;\r\n": "1;\r\na\r\n00000000000a\r\n1;3456789;\r\n0;*\r\nA: ;\r\n",
	} {
		tokens := strings.Count(body, "a-longer-token")
		for _, step := range []int{len(body), 1} {
			framed, _ := bodyOf(t, 1, nil, nil, nil)
			s, p := screen{stream: redact.Stream{M: m}, body: framed}, []byte(body)
			count, begin := 0, 0
			for end := step; end <= len(p); end += step { // as it is read, and passed on but for what is held
				count += s.look(p[begin:end])
				begin = end - s.held
			}
			if string(p) != want || step > 1 && count != tokens {
				t.Errorf("%q by %d: %q, %d masked", body, step, p, count)
			}
		}
	}
}

// TestCoded: any content coding but that for none is one; nobody can look into it.
func TestCoded(t *testing.T) {
	for line, want := range map[string]bool{"Content-Encoding: gzip": true, "content-encoding: x": true, "Content-Encoding: identity, br": true,
		"Content-Encoding: identity": false, "CONTENT-ENCODING: IDENTITY": false, "Content-Encoding:": false, "Content-Encodings: gzip": false, "X: gzip": false} {
		var resp http1.Response
		if _, err := resp.Parse([]byte("HTTP/1.1 200 OK\r\n"+line+"\r\n\r\n"), DefaultLimits.response()); err != nil {
			t.Fatal(err)
		}
		if isCoded(resp.Fields) != want {
			t.Errorf("%s: %v", line, !want)
		}
	}
}

// TestScreenCostsNothing: what holds no token is looked through without allocating.
func TestScreenCostsNothing(t *testing.T) {
	m := redact.New([]redact.Secret{{Token: "the-real/token+1", Scheme: "Bearer"}})
	event := []byte("event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"delta\":{\"text\":\"hello \\\"there\\\"\"}}\n\n")
	chunk := fmt.Appendf(nil, "%x\r\n%s\r\n", len(event), event)
	var resp http1.Response
	if _, err := resp.Parse([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), DefaultLimits.response()); err != nil {
		t.Fatal(err)
	}
	s := screen{stream: redact.Stream{M: m}, body: resp.Body(false)}
	if n := testing.AllocsPerRun(100, func() { s.look(chunk) }); n > 0 || s.held > 0 {
		t.Errorf("%v allocations, %d held", n, s.held)
	}
}

// TestScreenHoldsLittle: chunk framing cannot be used to have much held.
func TestScreenHoldsLittle(t *testing.T) {
	token := strings.Repeat("the-real/token+1", 20)
	body, _ := bodyOf(t, 1, nil, nil, nil)
	s := screen{stream: redact.Stream{M: redact.New([]redact.Secret{{Token: token}})}, body: body}
	var p []byte
	most := 0
	for i := range len(token) - 1 {
		fresh := fmt.Appendf(nil, "1;%0200d\r\n%s\r\n", 0, token[i:i+1])
		p = append(p, fresh...)
		s.look(p)
		p = p[len(p)-s.held:]
		most = max(most, s.held)
	}
	if most < maxHeld*9/10 || most > maxHeld {
		t.Errorf("up to %d bytes are held", most)
	}
}

// TestLengthIsNoReflection: a length that looks like a token is none, in a head and in a trailer section.
func TestLengthIsNoReflection(t *testing.T) {
	const section = "Content-Length: 12345678\r\n\r\n"
	s := newServer(t, Options{Getenv: func(string) string { return "12345678" }}, one("upstream", `"https://h", "on_reflection": "cut"`))
	table := s.table.Load()
	x := &exchange{heads: new(heads), route: table.byPath["/a/"], lookout: table.lookout.Load()}
	head := []byte("HTTP/1.1 200 OK\r\n" + section)
	if _, err := x.resp.Parse(head, DefaultLimits.response()); err != nil {
		t.Fatal(err)
	}
	if err := x.screenHead(head); err != nil || x.lookout.matcher.Find(head) < 0 {
		t.Errorf("head: %v", err)
	}
	if err := x.screenTrailer([]byte(section), x.resp.Fields); err != nil {
		t.Errorf("trailer section: %v", err)
	}
}

// TestScreenLetsGo: what turns out to be no token is not held any longer.
func TestScreenLetsGo(t *testing.T) {
	body, _ := bodyOf(t, 2, nil, nil, nil)
	s := screen{stream: redact.Stream{M: redact.New([]redact.Secret{{Token: "the-real/token+1"}})}, body: body}
	p := []byte("the-real")
	if s.look(p); s.held != len(p) {
		t.Fatalf("%d bytes are held", s.held)
	}
	if p = append(p, " thing"...); s.look(p) != 0 || s.held > 0 {
		t.Errorf("%d bytes are held", s.held)
	}
}
