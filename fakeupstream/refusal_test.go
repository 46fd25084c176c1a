package fakeupstream_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http/httptest"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"credproxy/fakeupstream"
)

// What is not to be had is said, and why.

// TestBadTargets: a target that a behaviour cannot make sense of is 400.
func TestBadTargets(t *testing.T) {
	up := start(t)
	for target, want := range map[string]string{
		"/interim?n=x":                     "n=",
		"/interim?status=200":              "want a status from 100 to 199",
		"/trailers?n=x":                    "n=",
		"/early?then=later":                "later",
		"/early?status=100":                "want a status from 200 to 999",
		"/redirect?to=nowhere":             "nowhere",
		"/redirect?status=200":             "want a status from 300 to 399",
		"/links?page=x":                    "page=",
		"/links?page=4":                    "no such page",
		"/links?page=0":                    "no such page",
		"/encoded?as=nonsense":             "nonsense",
		"/reflect?status=1000":             "want a status from 200 to 999",
		"/status/199":                      "want a status from 200 to 999",
		"/sse?n=1&ms=soon":                 "ms=",
		"/ws?n=x":                          "n=",
		"/ws?size=16777217":                "want a size up to",
		"/ws?close=5000":                   "want a code",
		"/ws?status=100":                   "want a status of 101",
		"/npm/a%zz":                        "%zz",
		"/pypi/simple/%zz":                 "%zz",
		"/goproxy/example.com/%zz/@v/list": "%zz",
	} {
		w := dial(t, up)
		w.send(t, "GET "+target+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		resp := w.response(t, "GET")
		if text := body(t, resp); resp.StatusCode != 400 || !strings.Contains(text, want) {
			t.Errorf("%s: %d %q, want %q", target, resp.StatusCode, text, want)
		}
	}
}

// TestBadCommands: a command to the control port that makes no sense, or that nothing comes of in time, says so.
func TestBadCommands(t *testing.T) {
	up := start(t)
	control := up.Control()
	for _, tt := range []struct {
		method, target, body string
		status               int
		want                 string
	}{
		{"PUT", "/behaviours", `{"path": "x", "like": "/echo"}`, 400, "begins with /"},
		{"PUT", "/behaviours", `{"path": "/x", "like": "/nothing"}`, 400, "/nothing"},
		{"PUT", "/behaviours", `{"path": "/x"}`, 400, "want one of like, raw, raw_base64"},
		{"PUT", "/behaviours", `{"path": "/x", "raw": "a", "raw_base64": "YQ=="}`, 400, "want one of like, raw, raw_base64"},
		{"PUT", "/behaviours", `{"path": "/raw", "raw": "HTTP/1.1 204 No Content\r\n\r\n"}`, 204, ""},
		{"PUT", "/behaviours", `{"path": "/raw64", "raw_base64": "SFRUUC8xLjEgMjA0IE5vIENvbnRlbnQNCg0K"}`, 204, ""},
		{"DELETE", "/behaviours?path=/raw64", "", 204, ""},
		{"GET", "/requests/wait?state=arriving&target=/never&timeout_ms=1", "", 504, "context deadline exceeded"},
		{"GET", "/requests/wait?body_size=x", "", 400, "want a number"},
		{"GET", "/requests/wait?state=gone", "", 400, "want done or arriving"},
		{"GET", "/streams/wait?state=gone&stream=never&timeout_ms=1", "", 504, "context deadline exceeded"},
		{"GET", "/streams/wait?state=half", "", 400, "want open or gone"},
	} {
		w, r := httptest.NewRecorder(), httptest.NewRequest(tt.method, tt.target, strings.NewReader(tt.body))
		r.Host = "localhost" // without a port, as it is on port 80
		if control.ServeHTTP(w, r); w.Code != tt.status || !strings.Contains(w.Body.String(), tt.want) {
			t.Errorf("%s %s %s: %d %s, want %d %q", tt.method, tt.target, tt.body, w.Code, w.Body, tt.status, tt.want)
		}
	}
	if resp := get(t, up, "/raw"); resp.StatusCode != 204 {
		t.Errorf("/raw: %d", resp.StatusCode)
	}
	if resp := get(t, up, "/raw64"); resp.StatusCode != 200 {
		t.Errorf("/raw64: %d", resp.StatusCode)
	}
}

// TestBehavioursThatGoWrong: a behaviour that breaks the rules of an answer is told.
func TestBehavioursThatGoWrong(t *testing.T) {
	up := start(t)
	told := make(chan error, 1)
	for name, b := range map[string]fakeupstream.Behaviour{
		"the answer's head was not written": func(x *fakeupstream.Exchange) error {
			_, err := x.Write([]byte("x"))
			told <- err
			return x.Answer(200, nil)
		},
		"the answer's head was written already": func(x *fakeupstream.Exchange) error {
			err := x.Answer(200, nil)
			told <- errors.Join(err, x.Head(200, fakeupstream.Chunked, 0), x.Answer(200, nil))
			return err
		},
		"longer than its Content-Length": func(x *fakeupstream.Exchange) error {
			err := x.Head(200, fakeupstream.Length, 3)
			_, long := x.Write([]byte("four"))
			told <- long
			return errors.Join(err, long)
		},
		"unsupported": func(x *fakeupstream.Exchange) error {
			err := x.JSON(200, func() {})
			told <- err
			return x.Answer(500, nil)
		},
	} {
		up.Set("/x", b)
		w := dial(t, up)
		w.send(t, "GET /x HTTP/1.1\r\nHost: x\r\n\r\n")
		if err := <-told; err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v, want %q", err, name)
		}
	}
	defer func() {
		if said := fmt.Sprint(recover()); !strings.Contains(said, "/nothing") {
			t.Errorf("Like said %s", said)
		}
	}()
	fakeupstream.Like("/nothing")
}

// TestLeavingMidBody: whatever a behaviour would answer, the record says that the body was not all there.
func TestLeavingMidBody(t *testing.T) {
	up := start(t, fakeupstream.Options{Token: "s3cret"})
	if err := up.Inject(fakeupstream.Fault{Kind: fakeupstream.FaultNoAnswer, Path: "/fault"}); err != nil {
		t.Fatal(err)
	}
	up.Set("/raw", fakeupstream.Raw([]byte("HTTP/1.1 204 No Content\r\n\r\n"), fakeupstream.Keep))
	for _, target := range []string{"/raw", "/npm/-/ping", "/sse?n=1", "/interim", "/trailers", "/links", "/redirect", "/encoded",
		"/v1/models", "/status/200", "/reflect", "/bytes", "/ws", "/fault", "/git/demo.git/git-upload-pack"} {
		w := dial(t, up)
		w.send(t, "POST "+target+" HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer x\r\nContent-Length: 9\r\n\r\nabc")
		w.tcp.Close()
		q, err := up.WaitRequest(t.Context(), func(q *fakeupstream.Request) bool { return q.Target == target })
		if err != nil || q.Complete || q.BodySize != 3 {
			t.Errorf("%s: %v, record %+v", target, err, q)
		}
	}
	for _, body := range []string{"3\r\nabc", "0\r\n", "0\r\n\r", "0\r\nX: y\r\n"} {
		w := dial(t, up)
		w.send(t, "POST /chunks HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"+body)
		w.tcp.Close()
		q, err := up.WaitRequest(t.Context(), func(q *fakeupstream.Request) bool { return q.Target == "/chunks" })
		if err != nil || q.Complete {
			t.Errorf("%q: %v, record %+v", body, err, q)
		}
		up.Forget()
	}
}

// TestFaultsAgain: connections that are refused already are refused, and what is slow is so without being told how slow.
func TestFaultsAgain(t *testing.T) {
	up := start(t)
	if err := up.Inject(fakeupstream.Fault{Kind: fakeupstream.FaultSlowRead}); err != nil {
		t.Fatal(err)
	}
	if resp, _ := do(t, up, "POST", "/sink", "slow"); resp.StatusCode != 200 {
		t.Errorf("read slowly: %v", resp)
	}
	for range 2 {
		if err := up.Inject(fakeupstream.Fault{Kind: fakeupstream.FaultRefuse}); err != nil {
			t.Fatal(err)
		}
	}
	if err := up.ClearFaults(); err != nil {
		t.Fatal(err)
	}
	body(t, get(t, up, "/echo"))
}

// TestUnusualRequests: what a client may send as well is read for what it is.
func TestUnusualRequests(t *testing.T) {
	up := start(t)
	for sent, want := range map[string]struct {
		status int
		path   string
	}{
		"GET https://elsewhere.test/echo?a HTTP/1.1\r\nHost: x\r\n\r\n":                           {200, "/echo"},
		"GET https://elsewhere.test?a HTTP/1.1\r\nHost: x\r\n\r\n":                                {200, "/"},
		"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\n": {200, "/echo"},
		"GET /echo HTTP/2.0\r\nHost: x\r\n\r\n":                                                   {400, "/echo"},
		"GET /echo HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 2<<20) + "\r\n\r\n":          {400, ""},
	} {
		w := dial(t, up)
		go w.tcp.SetDeadline(time.Now().Add(20 * time.Second))
		w.send(t, sent)
		if resp := w.response(t, "GET"); resp.StatusCode != want.status {
			t.Errorf("%.60q: %v", sent, resp)
		}
		q, err := up.WaitRequest(t.Context(), func(q *fakeupstream.Request) bool { return q.Malformed != "" || q.Method != "" })
		if err != nil || want.path != "" && q.Path() != want.path {
			t.Errorf("%.60q: %v, path %q", sent, err, q.Path())
		}
		up.Forget()
	}
	if resp, _ := do(t, up, "GET", "/npm/-/whoami", ""); resp.StatusCode != 401 {
		t.Errorf("npm whoami without a token: %d", resp.StatusCode)
	}
	if _, text := do(t, up, "POST", "/echo", "\xff\xfe"); !strings.Contains(text, `"body_base64":"//4="`) {
		t.Errorf("an echo of bytes that are no text: %s", text)
	}
	do(t, up, "GET", "/encoded?as=gzip", "")
	if har, err := up.HAR(); err != nil || !strings.Contains(string(har), `"encoding": "base64"`) && !strings.Contains(string(har), `"encoding":"base64"`) {
		t.Errorf("%v, no base64 in %s", err, har)
	}
	up.Set("/mine", func(x *fakeupstream.Exchange) error { return x.Answer(200, []byte(x.Server().URL)) })
	if text := body(t, get(t, up, "/mine")); text != up.URL {
		t.Errorf("a behaviour's server: %s", text)
	}
	if requests, err := json.Marshal(up.Requests()); err != nil || !strings.Contains(string(requests), `"//4="`) {
		t.Errorf("%v, no base64 in %s", err, requests)
	}
	if resp, _ := do(t, up, "GET", "/git/demo.git/nothing", "", "Authorization", "Bearer x"); resp.StatusCode != 404 {
		t.Errorf("nothing of git's: %v", resp)
	}
	var f fakeupstream.Field
	if err := f.UnmarshalJSON([]byte(`"x"`)); err == nil {
		t.Error("a field that is no pair")
	}
}

// TestOldClients: an HTTP/1.0 client is sent no interim response.
func TestOldClients(t *testing.T) {
	w := dial(t, start(t))
	w.send(t, "GET /interim HTTP/1.0\r\n\r\n")
	if resp := w.response(t, "GET"); resp.StatusCode != 200 {
		t.Errorf("status %d", resp.StatusCode)
	}
}

// TestStreamsThatAreGivenUp: who waits for a stream that does not come, does not leave or is over is told.
func TestStreamsThatAreGivenUp(t *testing.T) {
	up := start(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := up.WaitStream(ctx, "never"); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), `stream "never" to be opened`) {
		t.Errorf("WaitStream: %v", err)
	}
	w := dial(t, up)
	w.send(t, "HEAD /sse?name=head HTTP/1.1\r\nHost: x\r\n\r\nHEAD /sse?name=head HTTP/1.1\r\nHost: x\r\n\r\n")
	for range 2 { // there is nothing to wait for
		if resp := w.response(t, "HEAD"); resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" {
			t.Errorf("HEAD: %v", resp)
		}
	}
	resp := get(t, up, "/sse?name=one")
	defer resp.Body.Close()
	if err := up.WaitStream(t.Context(), "one"); err != nil {
		t.Fatal(err)
	}
	if err := up.WaitStreamGone(ctx, "one"); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "to leave") {
		t.Errorf("WaitStreamGone: %v", err)
	}
	if err := up.EmitEvent(t.Context(), "one", fakeupstream.Event{Data: "x", Stamp: true}); err != nil {
		t.Error(err)
	}
	if err := up.EndStream(t.Context(), "one"); err != nil {
		t.Fatal(err)
	}
	if text := body(t, resp); !strings.HasPrefix(text, ": t=") || !strings.HasSuffix(text, "\ndata: x\n\n") {
		t.Errorf("a stamped event: %q", text)
	}
	if err := up.Emit(ctx, "one", "late"); err == nil {
		t.Error("an event for a stream that is over")
	}
	if text := (fakeupstream.Event{Raw: "x"}).String(); text != "x" {
		t.Errorf("a raw event: %q", text)
	}
	if name := fakeupstream.After(9).String(); name != "After(9)" {
		t.Errorf("an After that there is not: %s", name)
	}
	up.Close()
	if err := up.WaitStream(t.Context(), "never"); err == nil {
		t.Error("no error of a server that is closed")
	}
	if err := up.WaitStreamGone(t.Context(), "never"); err == nil {
		t.Error("no error of a server that is closed")
	}
	if err := up.WaitStreamGone(t.Context(), "one"); err == nil || !strings.Contains(err.Error(), "was ended by the server") {
		t.Errorf("of a stream that was: %v", err)
	}
}

// TestProgramThatCannotStart: the program says what it lacks.
func TestProgramThatCannotStart(t *testing.T) {
	run := func(stdout io.Writer, args ...string) (int, string) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // it would stop as soon as it is ready
		var said strings.Builder
		return fakeupstream.Main(ctx, args, nil, stdout, &said), said.String()
	}
	if code, said := run(io.Discard, "-h"); code != 0 || !strings.Contains(said, "-git-root") {
		t.Errorf("-h: %d, %s", code, said)
	}
	if code, said := run(io.Discard, "-detached"); code != 0 {
		t.Errorf("-detached: %d, %s", code, said)
	}
	r, w := io.Pipe()
	r.Close()
	if code, said := run(w); code != 1 || !strings.Contains(said, "closed pipe") {
		t.Errorf("a ready line that nobody reads: %d, %s", code, said)
	}
	if runtime.GOOS != "windows" {
		t.Setenv("TMPDIR", filepath.Join(t.TempDir(), "none"))
		if code, said := run(io.Discard); code != 1 || !strings.Contains(said, "none") {
			t.Errorf("without a place for its certificate: %d, %s", code, said)
		}
	}
}
