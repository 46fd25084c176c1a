package fakeupstream_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"credproxy/fakeupstream"
)

// The HTTP archive of what was sent.

func TestHAR(t *testing.T) {
	up := start(t)
	do(t, up, "POST", "/echo?a=b%20c&d", "sent", "Content-Type", "text/plain")
	do(t, up, "GET", "/redirect", "")
	up.Set("/raw", fakeupstream.Raw([]byte("\xff\xfe nonsense\r\n\r\n"), fakeupstream.Reset))
	up.Client().Get(up.URL + "/raw")
	p, err := up.HAR()
	if err != nil {
		t.Fatal(err)
	}
	type pair struct{ Name, Value string }
	var har struct {
		Log struct {
			Version string
			Entries []struct {
				StartedDateTime string
				Request         struct {
					Method, URL string
					Headers     []pair
					QueryString []pair
					PostData    *struct{ MimeType, Text string }
				}
				Response struct {
					Status                  int
					StatusText, RedirectURL string
					Content                 struct {
						MimeType, Text string
						Size           int
					}
				}
			}
		}
	}
	if err := json.Unmarshal(p, &har); err != nil || har.Log.Version != "1.2" || len(har.Log.Entries) != 3 {
		t.Fatalf("%v: %s", err, p)
	}
	e := har.Log.Entries[0]
	if e.Request.Method != "POST" || e.Request.URL != up.URL+"/echo?a=b%20c&d" || e.Request.PostData == nil || e.Request.PostData.Text != "sent" ||
		!slices.Equal(e.Request.QueryString, []pair{{"a", "b c"}, {"d", ""}}) || e.Request.PostData.MimeType != "text/plain" {
		t.Errorf("request: %+v", e.Request)
	}
	if r := e.Response; r.Status != 200 || r.StatusText != "OK" || r.Content.MimeType != "application/json" || r.Content.Size != len(r.Content.Text) || !strings.Contains(r.Content.Text, `"body":"sent"`) {
		t.Errorf("response: %+v", r)
	}
	if r := har.Log.Entries[1].Response; r.Status != 302 || !strings.HasPrefix(r.RedirectURL, "/redirect?n=0") {
		t.Errorf("redirect: %+v", r)
	}
}

// TestHARUnderWay: what is still being answered took as long as it has by now.
func TestHARUnderWay(t *testing.T) {
	up := start(t)
	began := time.Now()
	resp, err := up.Client().Get(up.URL + "/sse?n=1000&ms=1000")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	p, err := up.HAR()
	if err != nil {
		t.Fatal(err)
	}
	var har struct {
		Log struct{ Entries []struct{ Time float64 } }
	}
	if err := json.Unmarshal(p, &har); err != nil || len(har.Log.Entries) != 1 {
		t.Fatalf("%v: %s", err, p)
	}
	if ms := har.Log.Entries[0].Time; ms < 0 || ms > float64(time.Since(began).Milliseconds()+1) {
		t.Errorf("%v ms", ms)
	}
}
