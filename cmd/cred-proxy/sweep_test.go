package main

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"credproxy/fakeupstream"
)

// A sweep is what programs have said in the course of many tests, to whomever,
// and the tokens that they held meanwhile. None of those may be in any of that.
type sweep struct {
	mu     sync.Mutex
	said   map[string]string // by test, and what said it
	tokens map[string]bool
}

// swept is the sweep of all scenarios.
var swept = sweep{said: map[string]string{}, tokens: map[string]bool{}}

// add takes what was said.
func (s *sweep) add(where, said string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.said[where] += said
}

// hold takes tokens.
func (s *sweep) hold(tokens map[string]string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, token := range tokens {
		s.tokens[token] = true
	}
}

// check looks for every token in everything.
func (s *sweep) check(t *testing.T) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	bytes := 0
	for where, said := range s.said {
		bytes += len(said)
		for token := range s.tokens {
			if form := tokenIn(said, token); form != "" {
				t.Errorf("%s: a token is said, %s", where, form)
			}
		}
	}
	t.Logf("%d outputs, %d bytes, swept for %d tokens", len(s.said), bytes, len(s.tokens))
}

// tokenIn says in which form a token is in a text, or "".
func tokenIn(text, token string) string {
	escaped := strings.Trim(strconv.QuoteToASCII(token), `"`)
	for form, spelled := range map[string]string{
		"as it is":     token,
		"quoted":       escaped,
		"in base64":    strings.TrimRight(base64.StdEncoding.EncodeToString([]byte(token)), "="),
		"for a URL":    url.QueryEscape(token),
		"in hex":       hex.EncodeToString([]byte(token)),
		"its first 12": token[:min(12, len(token))],
		"as bytes":     strings.Trim(fmt.Sprint([]byte(token)), "[]"),
	} {
		if strings.Contains(text, spelled) {
			return form
		}
	}
	return ""
}

// TestSweepFinds: what sweeps must be able to find something.
func TestSweepFinds(t *testing.T) {
	const token = "sk-a token/of=some+length"
	for _, said := range []string{token, strconv.Quote(token), url.QueryEscape(token), fmt.Sprintf("%x", token),
		base64.StdEncoding.EncodeToString([]byte(token)), fmt.Sprint([]byte(token)), "error: sk-a token/o..."} {
		if tokenIn("before "+said+" behind", token) == "" {
			t.Errorf("not found in %s", said)
		}
	}
	if form := tokenIn("nothing of the kind", token); form != "" {
		t.Errorf("found where there is none: %s", form)
	}
}

// TestNoTokenUnderAnyFault has the upstream fail in every way that it knows, with
// the token that it was sent in whatever it may choose itself, and looks for it
// in all that the agent is sent and in all that the program says, at each log
// level.
func TestNoTokenUnderAnyFault(t *testing.T) {
	const token = "sk-under-any-fault-0123456789"
	faults := map[string]fakeupstream.Fault{}
	for _, kind := range fakeupstream.FaultKinds() {
		faults[string(kind)] = fakeupstream.Fault{Kind: kind, Size: 64, Every: 10 * time.Millisecond}
	}
	for name, text := range map[string]string{
		"status line":  token,
		"version":      "HTTP/" + token + " 200 OK",
		"status":       "HTTP/1.1 " + token + " OK",
		"control byte": "HTTP/1.1 200 " + token + "\x00",
	} {
		faults["malformed-status: "+name] = fakeupstream.Fault{Kind: fakeupstream.FaultMalformedStatus, Text: text}
	}
	for name, text := range map[string]string{
		"no colon": token, "name": token + " : x", "value": "X: " + token + "\x01", "folded": " " + token,
		"length": "Content-Length: " + token, "encoding": "Transfer-Encoding: " + token,
	} {
		faults["malformed-field: "+name] = fakeupstream.Fault{Kind: fakeupstream.FaultMalformedField, Text: text}
	}
	faults["cert-malformed: name"] = fakeupstream.Fault{Kind: fakeupstream.FaultCertMalformed, Text: token}
	faults["bandwidth"] = fakeupstream.Fault{Kind: fakeupstream.FaultBandwidth}
	faults["big-header: too big"] = fakeupstream.Fault{Kind: fakeupstream.FaultBigHeader, Size: 300 << 10}
	for _, debug := range []string{"", "1"} {
		up := fakeupstream.NewTest(t)
		p := serve(t, up, "A_TOKEN="+token, "CRED_PROXY_DEBUG="+debug, "CRED_PROXY_TLS_TIMEOUT=100ms",
			"CRED_PROXY_RESPONSE_TIMEOUT=100ms", "CRED_PROXY_SILENCE_TIMEOUT=100ms")
		for name, fault := range faults {
			up.CloseIdle() // a fault of connections meets new ones
			if err := up.Inject(fault); err != nil {
				t.Fatal(name, err)
			}
			for _, request := range []string{
				"GET /a/bytes?n=100&framing=chunked HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
				"POST /a/sink HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello",
			} {
				c, err := dial(p.addr)
				if err != nil {
					t.Fatal(err)
				}
				c.send([]byte(request))
				c.tcp.SetReadDeadline(time.Now().Add(patience))
				answer, _ := io.ReadAll(c.tcp) // it may be cut
				c.tcp.Close()
				if form := tokenIn(string(answer), token); form != "" {
					t.Errorf("%s: the agent was sent the token %s:\n%s", name, form, answer)
				}
				if len(answer) == 0 {
					t.Errorf("%s: the agent was sent nothing", name)
				}
			}
			if err := up.ClearFaults(); err != nil {
				t.Fatal(name, err)
			}
		}
		seen := false
		for _, r := range up.Requests() {
			seen = seen || r.Get("Authorization") == "Bearer "+token
		}
		if !seen {
			t.Error("the upstream has never seen the token")
		}
		p.stop()
		log := p.stdout.String() + p.stderr.String()
		if lines := strings.Count(log, "\ncred-proxy: "); debug != "" && lines < 2*len(faults) {
			t.Errorf("%d lines of exchanges, want %d", lines, 2*len(faults))
		}
		if form := tokenIn(log, token); form != "" {
			t.Errorf("the token is in the log %s:\n%s", form, log)
		}
	}
}
