package fakeupstream_test

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"credproxy/fakeupstream"
)

// do sends a request with fields and returns the answer with its body.
func do(t *testing.T, up *fakeupstream.Server, method, target, sent string, fields ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest(method, up.URL+target, strings.NewReader(sent))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(fields); i += 2 {
		req.Header.Add(fields[i], fields[i+1])
	}
	client := *up.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	return resp, body(t, resp)
}

func TestReflect(t *testing.T) {
	up := start(t)
	tests := []struct{ query, value string }{
		{"", "Bearer s3cret/+"},
		{"?as=base64", "QmVhcmVyIHMzY3JldC8r"},
		{"?as=base64url", "QmVhcmVyIHMzY3JldC8r"},
		{"?as=percent", "Bearer+s3cret%2F%2B"},
		{"?as=percent-all", "%42%65%61%72%65%72%20%73%33%63%72%65%74%2F%2B"},
		{"?as=json", `\u0042\u0065\u0061\u0072\u0065\u0072\u0020\u0073\u0033\u0063\u0072\u0065\u0074\u002f\u002b`},
		{"?as=hex", "426561726572207333637265742f2b"},
		{"?as=upper", "BEARER S3CRET/+"},
		{"?as=reverse", "+/terc3s reraeB"},
		{"?split=1", "Bearer s3cret/+"},
		{"?split=3&framing=length", "Bearer s3cret/+"},
		{"?split=3&framing=close&status=500", "Bearer s3cret/+"},
	}
	for _, tt := range tests {
		resp, got := do(t, up, "GET", "/reflect"+tt.query, "", "Authorization", "Bearer s3cret/+")
		if want := "your credential is " + tt.value + ", is it not?\n"; got != want || resp.Header.Get("X-Reflected") != tt.value {
			t.Errorf("%s: body %q, field %q, want %q", tt.query, got, resp.Header.Get("X-Reflected"), tt.value)
		}
		if resp.Close != strings.Contains(tt.query, "close") || (resp.StatusCode == 500) != strings.Contains(tt.query, "500") {
			t.Errorf("%s: %v", tt.query, resp)
		}
	}
	resp, got := do(t, up, "GET", "/reflect?where=trailer", "", "Authorization", "x")
	if resp.Trailer.Get("X-Reflected") != "x" || strings.Contains(got, "x,") {
		t.Errorf("trailer: %v", resp.Trailer)
	}
	if resp, _ = do(t, up, "GET", "/reflect?where=reason", "", "Authorization", "Bearer x"); resp.Status != "200 Bearer x" {
		t.Errorf("reason: %q", resp.Status)
	}
	if resp, got = do(t, up, "GET", "/reflect?where=body&encoding=gzip", "", "Authorization", "x"); resp.Header.Get("Content-Encoding") != "gzip" || strings.HasPrefix(got, "your") {
		t.Errorf("gzip: %q", got)
	}
	if resp, _ = do(t, up, "GET", "/reflect?as=nonsense", ""); resp.StatusCode != 400 {
		t.Errorf("nonsense: %v", resp)
	}
}

func TestReflectSplitsIntoChunks(t *testing.T) {
	up := start(t)
	w := dial(t, up)
	w.send(t, "GET /reflect?split=8&where=body HTTP/1.1\r\nHost: x\r\nAuthorization: A-B\r\n\r\n")
	w.response(t, "HEAD")
	const want = "8\r\nyour cre\r\n8\r\ndential \r\n8\r\nis A-B, \r\n"
	p := make([]byte, len(want))
	if _, err := io.ReadFull(w, p); err != nil || string(p) != want {
		t.Errorf("%q, %v", p, err)
	}
}

func TestContentEncodings(t *testing.T) {
	up := start(t)
	sent := strings.Repeat("Some text. ", 20_000) // more than a block of any coding
	decoders := map[string]func(io.Reader) (io.Reader, error){
		"gzip":        func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) },
		"deflate":     func(r io.Reader) (io.Reader, error) { return zlib.NewReader(r) },
		"raw-deflate": func(r io.Reader) (io.Reader, error) { return flate.NewReader(r), nil },
		"identity":    func(r io.Reader) (io.Reader, error) { return r, nil },
		"br":          tool("brotli", "-dc"),
		"zstd":        tool("zstd", "-dc"),
	}
	labels := map[string]string{"raw-deflate": "deflate"}
	for coding, decode := range decoders {
		for _, sent := range []string{"", "short", sent} {
			resp, got := do(t, up, "POST", "/encoded?as="+coding, sent)
			if label := resp.Header.Get("Content-Encoding"); label != coding && label != labels[coding] {
				t.Errorf("%s: label %q", coding, label)
			}
			r, err := decode(strings.NewReader(got))
			if errors.Is(err, exec.ErrNotFound) {
				t.Logf("%s: no decoder here", coding)
				break
			}
			if err != nil {
				t.Errorf("%s: %v", coding, err)
				continue
			}
			var echo struct {
				BodySize int64 `json:"body_size"`
			}
			if err := json.NewDecoder(r).Decode(&echo); err != nil || echo.BodySize != int64(len(sent)) {
				t.Errorf("%s of %d bytes: %v, %+v", coding, len(sent), err, echo)
			}
		}
	}
	if resp, _ := do(t, up, "GET", "/encoded?as=gzip&label=br", ""); resp.Header.Get("Content-Encoding") != "br" {
		t.Errorf("label: %v", resp.Header)
	}
}

// tool decodes by a program, where it is installed.
func tool(name string, args ...string) func(io.Reader) (io.Reader, error) {
	return func(r io.Reader) (io.Reader, error) {
		cmd := exec.Command(name, args...)
		cmd.Stdin = r
		out, err := cmd.Output()
		return bytes.NewReader(out), err
	}
}

func TestRedirects(t *testing.T) {
	up := start(t)
	for to, want := range map[string]string{
		"relative": "/base/redirect?n=1&status=307&to=relative",
		"absolute": up.URL + "/base/redirect?n=1&status=307&to=absolute",
		"other":    "https://somebody-else.test/base/redirect?n=1&status=307&to=other",
	} {
		resp, _ := do(t, up, "POST", "/base/redirect?n=2&status=307&to="+to, "x")
		if got := resp.Header.Get("Location"); got != want || resp.StatusCode != 307 {
			t.Errorf("%s: %d, %q, want %q", to, resp.StatusCode, got, want)
		}
	}
	up.Forget()
	if resp := get(t, up, "/redirect?n=3&to=absolute"); resp.StatusCode != 200 || len(up.Requests()) != 4 {
		t.Errorf("chain: %v, %d requests", resp, len(up.Requests()))
	}
}

func TestLinks(t *testing.T) {
	up := start(t)
	resp, _ := do(t, up, "GET", "/links?page=2", "")
	want := `<` + up.URL + `/links?page=1&pages=3>; rel="prev", <` + up.URL + `/links?page=3&pages=3>; rel="next", <` + up.URL + `/links?page=3&pages=3>; rel="last"`
	if got := resp.Header.Get("Link"); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestLFS(t *testing.T) {
	up := start(t)
	oid := fakeupstream.BytesSHA256(1000)
	batch := `{"operation":"download","objects":[{"oid":"` + oid + `","size":1000},{"oid":"0","size":1}]}`
	if resp, _ := do(t, up, "POST", "/git/demo.git/info/lfs/objects/batch", batch); resp.StatusCode != 401 {
		t.Errorf("without a token: %d", resp.StatusCode)
	}
	_, got := do(t, up, "POST", "/base/git/demo.git/info/lfs/objects/batch", batch, "Authorization", "Bearer x")
	var answer struct {
		Objects []struct {
			Actions struct{ Download struct{ Href string } }
			Error   struct{ Code int }
		}
	}
	if err := json.Unmarshal([]byte(got), &answer); err != nil || len(answer.Objects) != 2 || answer.Objects[1].Error.Code != 404 {
		t.Fatalf("%v, %s", err, got)
	}
	href := answer.Objects[0].Actions.Download.Href
	if href != up.URL+"/base/lfs/objects/"+oid {
		t.Errorf("href %q", href)
	}
	if got := body(t, get(t, up, strings.TrimPrefix(href, up.URL))); len(got) != 1000 {
		t.Errorf("object of %d bytes", len(got))
	}
}

func TestInterimResponses(t *testing.T) {
	up := start(t)
	var seen []string
	trace := &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
		seen = append(seen, http.StatusText(code)+" "+h.Get("Link"))
		return nil
	}}
	req, _ := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), "GET", up.URL+"/interim?n=2", nil)
	resp, err := up.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if want := []string{"Early Hints </style-1.css>; rel=preload", "Early Hints </style-2.css>; rel=preload"}; !slices.Equal(seen, want) || resp.StatusCode != 200 {
		t.Errorf("%q, %v", seen, resp)
	}
	if resp, _ := up.Client().Get(up.URL + "/interim?status=101"); resp == nil || resp.StatusCode != 101 {
		t.Errorf("101: %v", resp)
	} else {
		resp.Body.Close()
	}
}

func TestTrailers(t *testing.T) {
	up := start(t)
	resp, got := do(t, up, "GET", "/trailers", "")
	if got != "the body\n" || resp.Trailer.Get("X-Trailer-1") != "1" || resp.Trailer.Get("X-Trailer-2") != "2" {
		t.Errorf("%q, %v", got, resp.Trailer)
	}
}

func TestEarlyAnswer(t *testing.T) {
	const half = "POST /early?status=413&then=%s HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nabc"
	up := start(t)
	w := dial(t, up)
	w.send(t, strings.Replace(half, "%s", "keep", 1))
	if resp := w.response(t, "POST"); resp.StatusCode != 413 || resp.Close {
		t.Errorf("%v", resp)
	} else {
		body(t, resp)
	}
	w.send(t, "defGET /status/201 HTTP/1.1\r\nHost: x\r\n\r\n")
	if resp := w.response(t, "GET"); resp.StatusCode != 201 {
		t.Errorf("next: %v", resp)
	}
	if q := up.Requests()[0]; string(q.Body) != "abcdef" || !q.Complete {
		t.Errorf("record: %+v", q)
	}

	w = dial(t, up)
	w.send(t, strings.Replace(half, "%s", "close-notify", 1))
	if resp := w.response(t, "POST"); resp.StatusCode != 413 || !resp.Close {
		t.Errorf("%v", resp)
	} else if body(t, resp) != "enough\n" {
		t.Error("body")
	}
	if _, err := w.ReadByte(); err != io.EOF {
		t.Errorf("read: %v", err)
	}
	if q := up.Requests()[2]; q.Complete {
		t.Errorf("record: %+v", q)
	}

	// Without having asked for the body the server cannot keep the connection.
	w = dial(t, up)
	w.send(t, "POST /early HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\nExpect: 100-continue\r\n\r\n")
	if resp := w.response(t, "POST"); resp.StatusCode != 413 || !resp.Close {
		t.Errorf("%v", resp)
	}
}

func TestHang(t *testing.T) {
	up := start(t)
	for _, query := range []string{"", "?head=1"} {
		w := dial(t, up)
		w.send(t, "POST /hang"+query+" HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx")
		if query != "" {
			if resp := w.response(t, "HEAD"); resp.StatusCode != 200 {
				t.Errorf("%v", resp)
			}
		}
		if _, err := up.WaitRequest(t.Context(), func(q *fakeupstream.Request) bool { return q.Target == "/hang"+query }); err != nil {
			t.Fatal(err)
		}
		if w.Buffered() > 0 {
			t.Error("it says something")
		}
	}
}

func TestCustomBehaviour(t *testing.T) {
	up := start(t)
	up.Set("/own", func(x *fakeupstream.Exchange) error {
		first := make([]byte, 1)
		if _, err := io.ReadFull(x, first); err != nil {
			return err
		}
		if err := x.Head(201, fakeupstream.Chunked, 0, fakeupstream.Field{Name: "X-First", Value: string(first)}); err != nil {
			return err
		}
		_, err := io.WriteString(x, "one")
		return err // what is left of both bodies is done for it
	})
	resp, got := do(t, up, "POST", "/own", "abc")
	if resp.StatusCode != 201 || resp.Header.Get("X-First") != "a" || got != "one" {
		t.Errorf("%v, %q", resp, got)
	}
	if q, err := up.WaitRequest(t.Context(), func(*fakeupstream.Request) bool { return true }); err != nil || string(q.Body) != "abc" {
		t.Errorf("%v, %+v", err, q)
	}
	up.Set("/none", func(*fakeupstream.Exchange) error { return nil })
	if resp, _ := do(t, up, "GET", "/none", ""); resp.StatusCode != 500 {
		t.Errorf("no answer: %v", resp)
	}
	up.Set("/short", func(x *fakeupstream.Exchange) error { return x.Head(200, fakeupstream.Length, 5) })
	if resp, err := up.Client().Get(up.URL + "/short"); err != nil {
		t.Error(err)
	} else if _, err := io.ReadAll(resp.Body); err != io.ErrUnexpectedEOF {
		t.Errorf("short: %v", err)
	}
	up.Set("/break", func(*fakeupstream.Exchange) error { return errors.New("no") })
	if _, err := up.Client().Get(up.URL + "/break"); err == nil {
		t.Error("an error does not break the connection off")
	}
}

func TestEveryBehaviourIsInTheTour(t *testing.T) {
	tour, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	for path, doc := range fakeupstream.Behaviours() {
		if doc == "" || !strings.Contains(string(tour), "//\t"+path+" ") {
			t.Errorf("%s: %s", path, doc)
		}
	}
}

// TestBehavioursLeaveNothingBehind closes the server while clients are in the
// middle of each behaviour and read nothing; start checks what is left.
func TestBehavioursLeaveNothingBehind(t *testing.T) {
	for path := range fakeupstream.Behaviours() {
		t.Run(path, func(t *testing.T) {
			up := start(t)
			target := strings.Replace(path, "{x}", "200", 1)
			if strings.HasSuffix(path, "/git/") {
				target += "demo.git/info/refs?service=git-upload-pack"
			}
			const head = " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer x\r\n"
			for _, sent := range []string{
				"GET " + target + head + "\r\n",
				"POST " + target + head + "Content-Length: 2\r\n\r\n{}",
				"POST " + target + head + "Content-Length: 9\r\n\r\nhalf",
				"POST " + target + head + "Transfer-Encoding: chunked\r\n\r\n4\r\nha",
			} {
				dial(t, up).send(t, sent)
			}
			// The match counts, as each request is asked about until it is done.
			if _, err := up.WaitArriving(t.Context(), func(*fakeupstream.Request) bool { return len(up.Requests()) == 4 }); err != nil {
				t.Error(err)
			}
			up.Close()
		})
	}
}
