package proxy

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"credproxy/proxy/http1"
)

// rechunk gives a rechunker what follows a head in pieces of these sizes, over and over, and returns what it makes of it,
// how many bytes it took, and whether it saw the end.
func rechunk(t *testing.T, body []byte, sizes []byte) (out []byte, took int, content int64, err error) {
	var q http1.Request
	if _, err := q.Parse([]byte("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"), DefaultLimits.request()); err != nil {
		t.Fatal(err)
	}
	c := newRechunker(&q, &http1.Limits{Head: 1 << 10, Fields: 8})
	for there := 0; !c.body.Done(); {
		send, _, n, err := c.next(body[took:there])
		out = append(out, send...)
		took += n
		c.release()
		switch {
		case err == nil && (n > 0 || c.body.InTrailer()) && (took < there || c.body.Done()):
		case err != nil && err != http1.ErrIncomplete:
			return out, took, c.content, err
		case there == len(body):
			return out, took, c.content, io.ErrUnexpectedEOF
		default:
			size := 1
			if len(sizes) > 0 {
				size += int(sizes[0])
				sizes = append(sizes[1:], sizes[0])
			}
			there = min(there+size, len(body))
		}
	}
	return out, took, c.content, nil
}

// TestRechunkLarge: a chunk larger than any buffer becomes several.
func TestRechunkLarge(t *testing.T) {
	content := strings.Repeat("large ", 50000)
	body := strconv.FormatInt(int64(len(content)), 16) + "\r\n" + content + "\r\n0\r\n\r\n"
	var q http1.Request
	if _, err := q.Parse([]byte("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"), DefaultLimits.request()); err != nil {
		t.Fatal(err)
	}
	c, p, out := newRechunker(&q, DefaultLimits.request()), []byte(body), ""
	for len(p) > 0 {
		send, _, n, err := c.next(p)
		if err != nil || n == 0 || len(send) > http1.LargeBuffer {
			t.Fatalf("%d bytes for %d, %v", len(send), n, err)
		}
		out, p = out+string(send), p[n:]
		c.release()
	}
	if got, ok := strictContent(out); !ok || got != content || !c.body.Done() {
		t.Errorf("%d bytes, whole %v, of %d", len(got), ok, len(content))
	}
}

// FuzzRechunk: whatever pieces a chunked body comes in, what is sent of it has, for net/http, the content that the body
// has, and an end only if the body has one there. A body to the letter of RFC 9112 is refused in no part.
func FuzzRechunk(f *testing.F) {
	for _, s := range []string{
		"0\r\n\r\n", "5\r\nhello\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n", "00a;x=y;z\r\n0123456789\r\n1\r\na\r\n0\r\nX: y\r\nA: b\r\n\r\n",
		"5\nhello\n0\n\n", "5\r\nhello0\r\n\r\n", "5 \r\nhello\r\n0\r\n\r\n", "5\r\nhello\r\n0\r\nX : y\r\n\r\n", "5\r\nhello\r\n0\r\n X\r\n\r\n",
		"ffffffffffffffff\r\n", "fffffffffffffff\r\nx", "0x5\r\nhello", "+5\r\nhello\r\n0\r\n\r\n", "5;\n\r\nhello\r\n0\r\n\r\n", "0;x\r\n\r\n", "3\r\n\r\n\r\r\n0\r\n\r\n",
	} {
		f.Add([]byte(s), []byte{})
		f.Add([]byte(s), []byte{0})
		f.Add([]byte(s), []byte{255, 2})
	}
	for body := range byChance(2000, 8, "3\r\nabc\r\n", "0\r\n", "\r\n", "1\r\n", "a", "abc", "5;x=y\r\nhello\r\n", "0\r\n\r\n", "0000\r\n", "T: v\r\n", "00003\r\nabc\r\n", "A\r\n0123456789\r\n", ";x\r\n", "\n", "\r", " ", "3", "f", "X : y\r\n") {
		f.Add([]byte(body), []byte{byte(len(body)), 1, 4})
	}
	f.Fuzz(func(t *testing.T, body, sizes []byte) {
		out, took, n, err := rechunk(t, body, append([]byte(nil), sizes...))
		at := io.MultiReader(strings.NewReader("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"), bytes.NewReader(body))
		sent := io.MultiReader(strings.NewReader("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"), bytes.NewReader(out))
		want, rest, wantErr := judged(t, at)
		got, more, gotErr := judged(t, sent)
		if int64(len(got)) != n {
			t.Fatalf("counts %d of %q", n, got)
		}
		if (err == nil) != (gotErr == nil) || len(more) > 0 {
			t.Fatalf("%v, and what is sent: %v, %q behind it", err, gotErr, more)
		}
		if err == nil && (wantErr != nil || !bytes.Equal(got, want) || !bytes.Equal(body[took:], rest)) {
			t.Fatalf("content %q, want %q (%v); behind it %q, want %q", got, want, wantErr, body[took:], rest)
		}
		if content, ok := strictContent(string(body)); ok && (err != nil || string(got) != content) {
			t.Fatalf("content %q, %v; want %q", got, err, content)
		}
		if whole, _, _, wholeErr := rechunk(t, body, []byte{255, 255, 255, 255}); (wholeErr == nil) != (err == nil) {
			t.Fatalf("%v in these pieces, %v in others: %q", err, wholeErr, whole)
		}
	})
}

// judged is a request's content, and what is behind it, as net/http reads it.
func judged(t *testing.T, r io.Reader) (content, rest []byte, err error) {
	br := bufio.NewReader(r)
	q, err := http.ReadRequest(br)
	if err != nil {
		t.Fatal(err)
	}
	if content, err = io.ReadAll(q.Body); err == nil {
		rest, _ = io.ReadAll(br)
	}
	return content, rest, err
}

var strictSize = regexp.MustCompile(`^([0-9A-Fa-f]{1,15})(;[\t -~]{0,200})?\r\n`)

// strictContent is the content of a chunked body without trailers that nobody could misread.
func strictContent(s string) (content string, ok bool) {
	for {
		m := strictSize.FindStringSubmatch(s)
		if m == nil {
			return "", false
		}
		n, _ := strconv.ParseInt(m[1], 16, 64)
		s = s[len(m[0]):]
		if n == 0 {
			return content, strings.HasPrefix(s, "\r\n")
		}
		if int64(len(s)) < n+2 || s[n:n+2] != "\r\n" {
			return "", false
		}
		content, s = content+s[:n], s[n+2:]
	}
}
