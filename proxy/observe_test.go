package proxy

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestObserved: an exchange that is sent up is told of three times, on its way up, with its answer and at its end; one
// that is refused at its end alone.
func TestObserved(t *testing.T) {
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello") }))
	defer up.Close()
	told := make(chan Event, 10)
	addr, stop := serve(t, newServer(t, Options{
		Getenv:   func(string) string { return "a-token" },
		Progress: func(e *Event) { told <- *e },
		Observer: func(e *Event) { told <- *e },
	}, one("upstream", strconv.Quote(up.URL))))
	ids := map[ID]bool{}
	next := func() Event {
		select {
		case e := <-told:
			ids[e.ID] = true
			return e
		case <-time.After(10 * time.Second):
			t.Fatal("nothing is told")
			return Event{}
		}
	}
	get := func(path string) *http.Response {
		resp, err := http.Get("http://" + addr + path)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		return resp
	}
	get("/a/b?c=d")
	if e := next(); e.Route != "/a/" || e.Method != "GET" || e.Path != "/a/b" || e.Status != 0 || e.Peer == nil {
		t.Errorf("on its way: %+v", e)
	}
	if e := next(); e.Status != 200 || e.Connection != "new" {
		t.Errorf("with its answer: %+v", e)
	}
	if e := next(); e.Status != 200 || e.BytesOut != 5 || e.Duration == 0 || e.FirstByte == 0 {
		t.Errorf("at its end: %+v", e)
	}
	if len(ids) != 1 || ids[0] {
		t.Errorf("ids: %v", ids)
	}
	resp := get("/none")
	if e := next(); e.Refusal != "no-route" || e.Connection != "" || resp.Header.Get(IDField) != e.ID.String() {
		t.Errorf("refused: %+v, told %v", e, resp.Header)
	}
	up.Close()
	get("/a/")
	next()
	if e := next(); e.Refusal != refuseUpstream.Code || e.Connection != "failed" {
		t.Errorf("with nobody there: %+v", e)
	}
	stop()
	if len(told) > 0 {
		t.Errorf("and then: %+v", <-told)
	}
}

// TestVisible: what is written into a log is visible ASCII.
func TestVisible(t *testing.T) {
	for in, want := range map[string]string{
		"/a/%20b~!":                         "/a/%20b~!",
		"/\x7f":                             "/%7F",
		"/~\x80":                            "/~%80",
		"/\x00\n\x1b\x7f ":                  "/%00%0A%1B%7F%20",
		"/\xc3\xa9\xff\x9b":                 "/%C3%A9%FF%9B",
		strings.Repeat("/x", 1000) + "\x80": strings.Repeat("/x", 1000) + "%80",
	} {
		if got := visible([]byte(in)); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// TestLogTo: the time is in milliseconds.
func TestLogTo(t *testing.T) {
	var line strings.Builder
	LogTo(&line)(&Event{Method: "GET", Route: "/a/", Status: 200, BytesIn: 1, BytesOut: 2, Duration: 1500 * time.Microsecond})
	if want := "cred-proxy: GET /a/ 200 in 1 out 2 bytes 1.5 ms\n"; line.String() != want {
		t.Errorf("%q, want %q", line.String(), want)
	}
	line.Reset()
	LogTo(&line)(&Event{Method: "GET", Route: "/a/", Status: 200, Redactions: 1, ForeignURLs: 1})
	if want := "cred-proxy: GET /a/ 200 in 0 out 0 bytes 0.0 ms redactions: 1 foreign URLs: 1\n"; line.String() != want {
		t.Errorf("%q, want %q", line.String(), want)
	}
}

// TestIDText: an ID is written so that each has its own text.
func TestIDText(t *testing.T) {
	if a, b := ID(1).String(), ID(1<<63).String(); a == b || len(a) == 0 || len(b) == 0 {
		t.Errorf("%s, %s", a, b)
	}
}

// TestIDs: exchanges have IDs of their own, never zero.
func TestIDs(t *testing.T) {
	s := New(Options{Observer: func(*Event) {}})
	ids := map[ID]bool{}
	for range 100 {
		ids[s.newEvent(nil).ID] = true
	}
	if len(ids) != 100 || ids[0] {
		t.Errorf("%d IDs of 100 exchanges", len(ids))
	}
}
