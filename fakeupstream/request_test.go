package fakeupstream_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"credproxy/fakeupstream"
)

// What is recorded of a request.

func TestRecordsWhatWasSent(t *testing.T) {
	up := start(t)
	w := dial(t, up)
	const sent = "POST /base/echo?a=%2F;b HTTP/1.1\r\nhOsT: x\r\nX-Two: 1\r\nx-two:  2 \r\nAuthorization: Bearer s3cret\r\nContent-Length: 5\r\n\r\nhello"
	w.send(t, sent)
	resp := w.response(t, "POST")
	var echo struct {
		Method, Target, Proto, Host, Body string
		Fields                            [][2]string
		BodySize                          int64  `json:"body_size"`
		BodySHA256                        string `json:"body_sha256"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&echo); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte("hello"))
	want := fmt.Sprintf("{POST /base/echo?a=%%2F;b HTTP/1.1 x hello [[hOsT x] [X-Two 1] [x-two 2] [Authorization Bearer s3cret] [Content-Length 5]] 5 %x}", sum)
	if got := fmt.Sprint(echo); got != want {
		t.Errorf("echo:\n%s\nwant\n%s", got, want)
	}

	q := up.Requests()[0]
	if got, want := q.Dump(), strings.ReplaceAll(sent, "\r\n", "\n")+"\n"; got != want {
		t.Errorf("Dump:\n%q\nwant\n%q", got, want)
	}
	if got := string(q.Head) + string(q.Body); got != sent {
		t.Errorf("Head and Body:\n%q\nwant\n%q", got, sent)
	}
	if !q.Complete || !q.Done || q.BodySHA256 != hex.EncodeToString(sum[:]) || q.Conn != 1 || q.OnConn != 1 {
		t.Errorf("record: %+v", q)
	}
	if q.TLSVersion != "TLS 1.3" || q.SNI != "localhost" || q.ALPN != "http/1.1" || time.Since(q.Time) > time.Minute {
		t.Errorf("TLS of the record: %+v", q)
	}

	up.Forget()
	if n := len(up.Requests()); n != 0 {
		t.Errorf("%d requests after Forget", n)
	}
}

func TestChunkedBodyWithTrailers(t *testing.T) {
	up := start(t)
	w := dial(t, up)
	w.send(t, "POST /sink HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nX-Sum: 9\r\nx-sum: 10\r\n\r\n")
	if got, want := body(t, w.response(t, "POST")), fmt.Sprintf(`{"n":5,"sha256":"%x"}`+"\n", sha256.Sum256([]byte("abcde"))); got != want {
		t.Errorf("sink: %s want %s", got, want)
	}
	q := up.Requests()[0]
	if fmt.Sprint(q.Trailers) != "[{X-Sum 9} {x-sum 10}]" || string(q.Body) != "abcde" || !q.Complete {
		t.Errorf("record: %+v", q)
	}
	if got := q.Dump(); !strings.HasSuffix(got, "\nabcde\n[trailer] X-Sum: 9\n[trailer] x-sum: 10\n") {
		t.Errorf("Dump: %q", got)
	}
	// The connection is in step: it takes a next request.
	w.send(t, "GET /status/204 HTTP/1.1\r\nHost: x\r\n\r\n")
	if resp := w.response(t, "GET"); resp.StatusCode != 204 {
		t.Errorf("status %d", resp.StatusCode)
	}
}

func TestSecondRequestBehindABodyIsSeen(t *testing.T) {
	up := start(t)
	w := dial(t, up)
	w.send(t, "POST /sink HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nabGET /smuggled HTTP/1.1\r\nHost: y\r\n\r\n")
	w.response(t, "POST").Body.Close()
	q, err := up.WaitRequest(t.Context(), func(r *fakeupstream.Request) bool { return r.Target == "/smuggled" })
	if err != nil {
		t.Fatal(err)
	}
	if !q.Pipelined || q.Conn != 1 || q.OnConn != 2 || up.Requests()[0].Pipelined {
		t.Errorf("record: %+v", q)
	}
}

func TestMalformedRequest(t *testing.T) {
	for _, sent := range []string{
		"GET /x HTTP/1.1\r\nHost : x\r\n\r\n",
		"GET /x HTTP/1.1\r\n\r\n",
		"GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n",
		"nonsense\r\n\r\n",
		"POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
	} {
		up := start(t)
		w := dial(t, up)
		w.send(t, sent)
		if resp := w.response(t, "GET"); resp.StatusCode != 400 || !resp.Close {
			t.Errorf("%q: %v", sent, resp)
		}
		if q, err := up.WaitRequest(t.Context(), func(r *fakeupstream.Request) bool { return r.Malformed != "" }); err != nil || !strings.HasPrefix(sent, string(q.Head)) {
			t.Errorf("%q: %v, recorded as %+v", sent, err, q)
		}
	}
}

func TestIncompleteBody(t *testing.T) {
	up := start(t)
	w := dial(t, up)
	w.send(t, "POST /sink HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc")
	q, err := up.WaitArriving(t.Context(), func(r *fakeupstream.Request) bool { return r.BodySize == 3 })
	if err != nil || q.Done {
		t.Fatalf("%v, record: %+v", err, q)
	}
	w.tcp.Close()
	q, err = up.WaitRequest(t.Context(), func(r *fakeupstream.Request) bool { return true })
	if err != nil || q.Complete || !q.Done || q.BodySize != 3 {
		t.Fatalf("%v, record: %+v", err, q)
	}
	if !strings.HasSuffix(q.Dump(), "\n\nabc\n[incomplete: 3 bytes of the body arrived]\n") {
		t.Errorf("Dump: %q", q.Dump())
	}
}

func TestWaitRequestGivesUp(t *testing.T) {
	up := start(t, fakeupstream.Options{Wait: time.Millisecond})
	_, err := up.WaitRequest(t.Context(), func(*fakeupstream.Request) bool { return true })
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
}
