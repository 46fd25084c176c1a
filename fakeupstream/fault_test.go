package fakeupstream_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"credproxy/fakeupstream"
)

// outcome tells in a few words how a GET of target on a connection of its own
// went. What is to take too long is given a tenth of a second from when the
// server has got hold of it.
func outcome(t *testing.T, up *fakeupstream.Server, target, want string) string {
	t.Helper()
	client := *up.Client()
	transport := client.Transport.(*http.Transport).Clone()
	defer transport.CloseIdleConnections()
	transport.MaxResponseHeaderBytes = 64 << 10
	client.Transport = transport
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	const patience = time.Second / 10
	if want == "no answer: too late" {
		held := holding(up)
		go func() {
			held()
			time.AfterFunc(patience, cancel)
		}()
	}
	req, err := http.NewRequestWithContext(ctx, "GET", up.URL+target, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return "no answer: " + short(err)
	}
	defer resp.Body.Close()
	if want == "broken body: too late" {
		time.AfterFunc(patience, cancel)
	}
	if _, err := io.ReadAll(resp.Body); err != nil {
		return "broken body: " + short(err)
	}
	return "fine"
}

// holding returns a function that waits until a further connection was accepted
// and, if its fault is one of requests, until a further request has met it.
func holding(up *fakeupstream.Server) func() {
	accepted, _ := up.Connections()
	known := len(up.Requests())
	faults := up.Faults()
	return func() {
		for n := accepted; n == accepted; n, _ = up.Connections() {
			runtime.Gosched()
		}
		if !ofConnections[faults[0].Kind] {
			up.WaitArriving(context.Background(), func(*fakeupstream.Request) bool { return len(up.Requests()) > known })
		}
	}
}

// ofConnections are the faults that no request gets through.
var ofConnections = map[fakeupstream.FaultKind]bool{
	fakeupstream.FaultRefuse: true, fakeupstream.FaultAcceptHang: true, fakeupstream.FaultAcceptReset: true,
	fakeupstream.FaultTLSHang: true, fakeupstream.FaultCertWrongName: true,
	fakeupstream.FaultCertExpired: true, fakeupstream.FaultCertSelfSigned: true, fakeupstream.FaultCertMalformed: true,
}

func short(err error) string {
	if errors.Is(err, context.Canceled) {
		return "too late"
	}
	for _, word := range []string{
		"refused", "reset", "unexpected EOF", "EOF", "somebody-else.test", "certificate has expired", "cannot parse URI",
		"unknown authority", "malformed HTTP status code", "malformed HTTP response", "malformed MIME header", "exceeded",
	} {
		if strings.Contains(err.Error(), word) {
			return word
		}
	}
	if isReset(err) {
		return "reset"
	}
	return err.Error()
}

func TestFaults(t *testing.T) {
	tests := []struct {
		fault  fakeupstream.Fault
		target string
		want   string
	}{
		{fakeupstream.Fault{Kind: fakeupstream.FaultRefuse}, "/echo", "no answer: refused"},
		{fakeupstream.Fault{Kind: fakeupstream.FaultAcceptHang}, "/echo", "no answer: too late"},
		{fakeupstream.Fault{Kind: fakeupstream.FaultAcceptReset}, "/echo", "no answer: reset"},
		{fakeupstream.Fault{Kind: fakeupstream.FaultTLSHang}, "/echo", "no answer: too late"},
		{fakeupstream.Fault{Kind: fakeupstream.FaultCertWrongName}, "/echo", "no answer: somebody-else.test"},
		{fakeupstream.Fault{Kind: fakeupstream.FaultCertExpired}, "/echo", "no answer: certificate has expired"},
		{fakeupstream.Fault{Kind: fakeupstream.FaultCertSelfSigned}, "/echo", "no answer: unknown authority"},
		{fakeupstream.Fault{Kind: fakeupstream.FaultCertMalformed}, "/echo", "no answer: cannot parse URI"},
		{fakeupstream.Fault{Kind: fakeupstream.FaultHangHead}, "/echo", "no answer: too late"},
		{fakeupstream.Fault{Kind: fakeupstream.FaultNoAnswer}, "/echo", "no answer: EOF"},
		{fakeupstream.Fault{Kind: fakeupstream.FaultNoAnswer, Then: fakeupstream.Reset}, "/echo", "no answer: reset"},
		{fakeupstream.Fault{Kind: fakeupstream.FaultReset}, "/echo", "no answer: reset"},
		{fakeupstream.Fault{Kind: fakeupstream.FaultMalformedStatus}, "/echo", "no answer: malformed HTTP status code"},
		{fakeupstream.Fault{Kind: fakeupstream.FaultMalformedStatus, Text: "SSH-2.0-x"}, "/echo", "no answer: malformed HTTP response"},
		{fakeupstream.Fault{Kind: fakeupstream.FaultMalformedField}, "/echo", "no answer: malformed MIME header"},
		{fakeupstream.Fault{Kind: fakeupstream.FaultBigHeader, Size: 1000}, "/echo", "fine"},
		{fakeupstream.Fault{Kind: fakeupstream.FaultBigHeader, Size: 100_000}, "/echo", "no answer: exceeded"},
		{fakeupstream.Fault{Kind: fakeupstream.FaultTruncate, After: 10}, "/bytes?n=99", "broken body: unexpected EOF"},
		{fakeupstream.Fault{Kind: fakeupstream.FaultTruncate, After: 10}, "/sse?n=9&ms=1", "broken body: unexpected EOF"},
		{fakeupstream.Fault{Kind: fakeupstream.FaultTruncate, After: 10, Then: fakeupstream.Reset}, "/bytes?n=99", "broken body: reset"},
		{fakeupstream.Fault{Kind: fakeupstream.FaultTruncate, After: 10, Then: fakeupstream.Hang}, "/bytes?n=99", "broken body: too late"},
		{fakeupstream.Fault{Kind: fakeupstream.FaultCutChunked, After: 10}, "/bytes?n=99", "broken body: unexpected EOF"},
		{fakeupstream.Fault{Kind: fakeupstream.FaultLatency, Every: time.Hour}, "/echo", "no answer: too late"},
		{fakeupstream.Fault{Kind: fakeupstream.FaultLatency, Every: time.Millisecond}, "/echo", "fine"},
		{fakeupstream.Fault{Kind: fakeupstream.FaultDrip, Every: time.Hour}, "/echo", "no answer: too late"},
		{fakeupstream.Fault{Kind: fakeupstream.FaultDrip, Size: 99, Every: time.Millisecond}, "/bytes?n=999", "fine"},
		{fakeupstream.Fault{Kind: fakeupstream.FaultBandwidth, Size: 1000}, "/bytes?n=100000", "broken body: too late"},
		{fakeupstream.Fault{Kind: fakeupstream.FaultBandwidth, Size: 1000}, "/bytes?n=100000&piece=10", "broken body: too late"},
	}
	used := map[fakeupstream.FaultKind]bool{fakeupstream.FaultStale: true, fakeupstream.FaultSlowRead: true} // below
	for _, tt := range tests {
		used[tt.fault.Kind] = true
		name, _ := json.Marshal(tt.fault)
		t.Run(string(name), func(t *testing.T) {
			t.Parallel()
			// Not by start: others' goroutines run beside this one's.
			up := fakeupstream.NewTest(t)
			if err := up.Inject(tt.fault); err != nil {
				t.Fatal(err)
			}
			for range 2 { // until told otherwise
				if got := outcome(t, up, tt.target, tt.want); got != tt.want {
					t.Errorf("%s, want %s", got, tt.want)
				}
			}
			if err := up.ClearFaults(); err != nil {
				t.Fatal(err)
			}
			if got := outcome(t, up, tt.target, "fine"); got != "fine" {
				t.Errorf("after ClearFaults: %s", got)
			}
			if tt.fault.Kind == fakeupstream.FaultRefuse {
				return
			}
			tt.fault.Count = 1
			if err := up.Inject(tt.fault); err != nil {
				t.Fatal(err)
			}
			for _, want := range []string{tt.want, "fine"} {
				if got := outcome(t, up, tt.target, want); got != want {
					t.Errorf("once: %s, want %s", got, want)
				}
			}
		})
	}
	for _, kind := range fakeupstream.FaultKinds() {
		if !used[kind] {
			t.Errorf("fault %s is not tested", kind)
		}
	}
}

// TestFaultsLeaveNothingBehind closes the server while clients are in the
// middle of each fault; start checks what is left.
func TestFaultsLeaveNothingBehind(t *testing.T) {
	for _, kind := range fakeupstream.FaultKinds() {
		t.Run(string(kind), func(t *testing.T) {
			up := start(t)
			if err := up.Inject(fakeupstream.Fault{Kind: kind, Every: time.Hour, After: 10, Then: fakeupstream.Hang}); err != nil {
				t.Fatal(err)
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				for range 2 { // the second meets FaultStale
					if resp, err := up.Client().Post(up.URL+"/bytes?n=1000000", "", strings.NewReader("sent")); err == nil {
						io.Copy(io.Discard, resp.Body)
						resp.Body.Close()
					}
				}
			}()
			if kind != fakeupstream.FaultRefuse {
				for n := 0; n == 0; n, _ = up.Connections() {
					runtime.Gosched()
				}
			}
			if !ofConnections[kind] {
				if _, err := up.WaitArriving(t.Context(), func(q *fakeupstream.Request) bool { return len(q.Faults) == 1 }); err != nil {
					t.Error(err)
				}
			}
			up.Close()
			<-done
		})
	}
}

func TestFaultStale(t *testing.T) {
	up := start(t)
	for _, then := range []fakeupstream.After{fakeupstream.Keep, fakeupstream.CloseAbrupt, fakeupstream.Reset} {
		up.Forget()
		w := dial(t, up)
		w.send(t, "GET /echo HTTP/1.1\r\nHost: x\r\n\r\n")
		body(t, w.response(t, "GET"))
		if err := up.Inject(fakeupstream.Fault{Kind: fakeupstream.FaultStale, Count: 1, Then: then}); err != nil {
			t.Fatal(err)
		}
		// A first request on another connection does not meet it.
		if got := outcome(t, up, "/echo", "fine"); got != "fine" {
			t.Errorf("%v: first request: %s", then, got)
		}
		w.send(t, "GET /again HTTP/1.1\r\nHost: x\r\n\r\n")
		_, err := w.ReadByte()
		if reset := then == fakeupstream.Reset; reset && !isReset(err) || !reset && err != io.EOF {
			t.Errorf("%v: read: %v", then, err)
		}
		if w.tail.sawCloseNotify() != (then == fakeupstream.Keep) {
			t.Errorf("%v: close_notify: %v", then, !(then == fakeupstream.Keep))
		}
		q := up.Requests()[2]
		if q.Target != "/again" || len(q.Faults) != 1 || q.Faults[0] != fakeupstream.FaultStale || q.Answer.Status != 0 {
			t.Errorf("%v: record: %+v", then, q)
		}
		if got := outcome(t, up, "/echo", "fine"); got != "fine" {
			t.Errorf("%v: afterwards: %s", then, got)
		}
	}
}

func TestBadCertificateIsShownToAClientThatResumes(t *testing.T) {
	up := start(t)
	transport := up.Client().Transport.(*http.Transport)
	transport.TLSClientConfig.ClientSessionCache = tls.NewLRUClientSessionCache(0)
	transport.DisableKeepAlives = true
	for i := range 2 {
		body(t, get(t, up, "/echo"))
		if q := up.Requests()[i]; q.Resumed != (i > 0) {
			t.Errorf("request %d: resumed %v", i, q.Resumed)
		}
	}
	if err := up.Inject(fakeupstream.Fault{Kind: fakeupstream.FaultCertExpired, Count: 1}); err != nil {
		t.Fatal(err)
	}
	if _, err := up.Client().Get(up.URL + "/echo"); err == nil || short(err) != "certificate has expired" {
		t.Errorf("error %v", err)
	}
	body(t, get(t, up, "/echo"))
}

func TestFaultSlowRead(t *testing.T) {
	up := start(t)
	if err := up.Inject(fakeupstream.Fault{Kind: fakeupstream.FaultSlowRead, Size: 2, Every: time.Hour}); err != nil {
		t.Fatal(err)
	}
	w := dial(t, up)
	w.send(t, "POST /sink HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n123456789")
	q, err := up.WaitArriving(t.Context(), func(q *fakeupstream.Request) bool { return q.BodySize > 0 })
	if err != nil || q.BodySize != 2 || q.Done {
		t.Errorf("%v, %+v", err, q)
	}
}

func TestFaultsMeet(t *testing.T) {
	up := start(t)
	for _, f := range []fakeupstream.Fault{
		{Kind: fakeupstream.FaultMalformedField, Text: "X-One: 1", Path: "/a"},
		{Kind: fakeupstream.FaultBigHeader, Size: 3, Count: 1},
	} {
		if err := up.Inject(f); err != nil {
			t.Fatal(err)
		}
	}
	for i, want := range []string{"1bbb", "1", ""} {
		resp := get(t, up, []string{"/a?x", "/a", "/b"}[i])
		if got := resp.Header.Get("X-One") + resp.Header.Get("X-Big"); got != want {
			t.Errorf("request %d: %q, want %q", i, got, want)
		}
	}
	if n := len(up.Faults()); n != 1 {
		t.Errorf("%d faults left", n)
	}
	for _, f := range []fakeupstream.Fault{
		{Kind: fakeupstream.FaultBigHeader, Size: 3, Count: 1}, {Kind: fakeupstream.FaultMalformedStatus, Text: "HTTP/1.1 299 Odd", Count: 1},
	} {
		if err := up.Inject(f); err != nil {
			t.Fatal(err)
		}
	}
	w := dial(t, up)
	w.send(t, "GET / HTTP/1.1\r\n: x\r\n\r\n") // which is no request, and meets none
	io.ReadAll(w)
	if resp := get(t, up, "/b"); resp.StatusCode != 299 || resp.Header.Get("X-Big") != "bbb" {
		t.Errorf("%s, %v", resp.Status, resp.Header)
	}
}

// TestBandwidth: a bandwidth of few bytes a second is kept, too.
func TestBandwidth(t *testing.T) {
	t.Parallel()
	up := start(t)
	if err := up.Inject(fakeupstream.Fault{Kind: fakeupstream.FaultBandwidth, Size: 20, Count: 1}); err != nil {
		t.Fatal(err)
	}
	up.Set("/x", func(x *fakeupstream.Exchange) error { return x.Answer(200, []byte(strings.Repeat("x", 30))) })
	resp := get(t, up, "/x")
	began := time.Now()
	if p, err := io.ReadAll(resp.Body); len(p) != 30 || err != nil || time.Since(began) < 750*time.Millisecond {
		t.Errorf("%q, %v after %v", p, err, time.Since(began))
	}
}

// TestRequestLimit: so many requests are kept, the newest.
func TestRequestLimit(t *testing.T) {
	up := start(t, fakeupstream.Options{RequestLimit: 3, Plain: true})
	for i := range 8 {
		get(t, up, fmt.Sprint("/", i)).Body.Close()
		requests := up.Requests()
		if n := len(requests); n != min(i+1, 3) || requests[n-1].Target != fmt.Sprint("/", i) {
			t.Errorf("after %d: %d", i+1, n)
		}
	}
	if _, err := fakeupstream.Start(t.Context(), fakeupstream.Options{RequestLimit: -1}); err == nil {
		t.Error("a limit below zero")
	}
}

// TestEndStreamHasEnded: when a stream was ended, the next event is for the next one.
func TestEndStreamHasEnded(t *testing.T) {
	up := start(t, fakeupstream.Options{Plain: true})
	for i := range 300 {
		resp := get(t, up, "/sse")
		if err := up.EndStream(t.Context(), ""); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		err := up.Emit(ctx, "", "x")
		if cancel(); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("after %d: %v", i, err)
		}
		resp.Body.Close()
	}
}

func TestCutChunkedOnTheWire(t *testing.T) {
	up := start(t)
	up.Set("/x", func(x *fakeupstream.Exchange) error { return x.Answer(200, []byte("0123456789")) })
	for after, want := range map[int64]string{4: "a\r\n0123", 0: "a\r\n", 10: "a\r\n0123456789\r\n"} {
		if err := up.Inject(fakeupstream.Fault{Kind: fakeupstream.FaultCutChunked, After: after, Count: 1}); err != nil {
			t.Fatal(err)
		}
		w := dial(t, up)
		w.send(t, "GET /x HTTP/1.1\r\nHost: x\r\n\r\n")
		w.response(t, "HEAD")
		if p, err := io.ReadAll(w); string(p) != want || err != nil {
			t.Errorf("after %d: %q, %v, want %q", after, p, err, want)
		}
	}
}

func TestInjectRefusesNonsense(t *testing.T) {
	up := start(t, fakeupstream.Options{Plain: true})
	for _, f := range []fakeupstream.Fault{
		{},
		{Kind: "nonsense"},
		{Kind: fakeupstream.FaultRefuse, Count: 1},
		{Kind: fakeupstream.FaultTLSHang},
		{Kind: fakeupstream.FaultCertExpired},
		{Kind: fakeupstream.FaultReset, Count: -1},
		{Kind: fakeupstream.FaultAcceptHang, Path: "/x"},
	} {
		if err := up.Inject(f); err == nil {
			t.Errorf("%+v: no error", f)
		}
	}
	if got := outcome(t, up, "/echo", "fine"); got != "fine" {
		t.Error(got)
	}
}

func TestFaultJSON(t *testing.T) {
	in := `{"kind":"drip","count":2,"path":"/x","then":"reset","after":3,"size":4,"text":"t","ms":5}`
	var f fakeupstream.Fault
	if err := json.Unmarshal([]byte(in), &f); err != nil {
		t.Fatal(err)
	}
	if out, err := json.Marshal(f); err != nil || string(out) != in {
		t.Errorf("%s, %v, want %s", out, err, in)
	}
	if err := json.Unmarshal([]byte(`{"then":"maybe"}`), &f); err == nil {
		t.Error("no error for an unknown way to end")
	}
}
