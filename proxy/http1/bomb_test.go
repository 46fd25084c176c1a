package http1

import (
	"fmt"
	"strings"
	"testing"
)

// TestConnectionOptions: a head's Connection fields name a handful of fields. Each of thousands would be compared with
// each field, which is seconds of work for one head, and remembered in many times its size.
func TestConnectionOptions(t *testing.T) {
	limits := Limits{Head: 256 << 10, Fields: 1024, Target: 1024}
	for name, list := range map[string]string{
		"in one":  "Connection: " + strings.Repeat("a,", 100_000) + "\r\n",
		"in many": strings.Repeat("Connection: a,b\r\n", maxConnectionOptions),
	} {
		var q Request
		if _, err := q.Parse([]byte("GET / HTTP/1.1\r\nHost: h\r\n"+list+"\r\n"), &limits); !isMalformed(err) {
			t.Errorf("request, %s: %v, want Malformed", name, err)
		}
		var s Response
		if _, err := s.Parse([]byte("HTTP/1.1 200 OK\r\n"+list+"\r\n"), &limits); !isMalformed(err) {
			t.Errorf("response, %s: %v, want Malformed", name, err)
		}
		if cap(q.connection) > 2*maxConnectionOptions || cap(s.connection) > 2*maxConnectionOptions {
			t.Errorf("%s: %d and %d options are remembered", name, cap(q.connection), cap(s.connection))
		}
	}
	var few strings.Builder
	for i := range maxConnectionOptions {
		fmt.Fprintf(&few, "x%d, ,", i)
	}
	var q Request
	if _, err := q.Parse([]byte("GET / HTTP/1.1\r\nHost: h\r\nConnection: "+few.String()+"\r\n\r\n"), &limits); err != nil || !q.Named([]byte("x7")) {
		t.Errorf("%d options: %v", maxConnectionOptions, err)
	}
}
