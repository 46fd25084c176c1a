package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"credproxy/fakeupstream"
	"credproxy/proxy"
	"credproxy/proxy/redact"

	"github.com/google/go-cmp/cmp"
)

// answer is a response as a client gets it.
type answer struct {
	Status  string
	Header  http.Header
	Body    string
	Trailer http.Header
}

// get sends one request, the head without its empty line, and reads the whole
// response; it closes the connection.
func get(c net.Conn, head, body string) (answer, error) {
	defer c.Close()
	return getAnother(c, bufio.NewReader(c), head, body)
}

// getAnother is get on a connection that is kept.
func getAnother(c net.Conn, br *bufio.Reader, head, body string) (answer, error) {
	c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, head+"\r\n"+body); err != nil {
		return answer{}, err
	}
	method, _, _ := strings.Cut(head, " ")
	for {
		resp, err := http.ReadResponse(br, &http.Request{Method: method})
		if err != nil {
			return answer{}, err
		}
		if resp.StatusCode < 200 {
			continue
		}
		got, err := io.ReadAll(resp.Body)
		for _, hop := range []string{"Connection", "Keep-Alive", "Trailer", "Upgrade"} {
			resp.Header.Del(hop)
		}
		return answer{resp.Status, resp.Header, string(got), resp.Trailer}, err
	}
}

// mask takes the token out of it, as the proxy is to do.
func (a *answer) mask(token *redact.Matcher) {
	masked := func(s string) string {
		p := []byte(s)
		token.Mask(p)
		return string(p)
	}
	a.Status, a.Body = masked(a.Status), masked(a.Body)
	for _, fields := range []http.Header{a.Header, a.Trailer} {
		for _, values := range fields {
			for i := range values {
				values[i] = masked(values[i])
			}
		}
	}
}

// TestThroughEveryBehaviour holds what arrives through the proxy against what
// the fake upstream answers without it, for each of its behaviours.
func TestThroughEveryBehaviour(t *testing.T) {
	const (
		model = `{"model":"fake-1","max_tokens":50,"stream":%v,"messages":[{"role":"user","content":"hello there"}]}`
		input = `{"model":"fake-1","stream":%v,"input":"hello there"}`
		batch = `{"operation":"download","transfers":["basic"],"objects":[{"oid":"` + "%064d" + `","size":5}]}`
	)
	samples := map[string][]struct{ method, query, body string }{
		"/bytes":    {{"GET", "?n=100000&framing=length", ""}, {"GET", "?n=100000&framing=chunked&piece=7000", ""}, {"GET", "?n=70000&framing=close", ""}, {"HEAD", "?n=9", ""}},
		"/early":    {{"POST", "", "a body"}},
		"/echo":     {{"GET", "?a=b&c", ""}, {"POST", "", "some body"}, {"DELETE", "", ""}},
		"/encoded":  {{"GET", "?as=gzip", ""}, {"GET", "?as=br", ""}, {"GET", "?as=x-lzw&label=odd", ""}},
		"/git/":     {{"GET", "demo.git/info/refs?service=git-upload-pack", ""}},
		"/hang":     nil, // a fault as far as a proxy is concerned: see TestThroughEveryFault
		"/interim":  {{"GET", "?n=3", ""}, {"GET", "?n=1&status=102", ""}},
		"/links":    {{"GET", "?pages=3", ""}},
		"/npm/":     {{"GET", "fake-left", ""}, {"GET", "@fake%2fgreeter", ""}},
		"/pypi/":    {{"GET", "simple/", ""}, {"GET", "simple/fake-left/", ""}},
		"/goproxy/": {{"GET", "fake.test/left/@v/list", ""}, {"GET", "fake.test/greeter/@v/v1.2.0.zip", ""}},
		"/redirect": {{"GET", "?n=1&to=relative", ""}, {"GET", "?n=1&to=absolute&status=308", ""}, {"GET", "?n=2&to=other", ""}},
		"/reflect":  {{"GET", "?where=header", ""}, {"GET", "?where=body&as=base64&split=2", ""}, {"GET", "?where=trailer&framing=chunked", ""}, {"GET", "?where=reason", ""}},
		"/sink":     {{"PUT", "", strings.Repeat("0123456789", 30000)}},
		"/sse":      {{"GET", "?n=5&ms=2&id=1&ping=2&retry=10&event=tick", ""}},
		"/status/{x}": {{"GET", "../status/204", ""}, {"GET", "../status/404", ""}, {"GET", "../status/503", ""},
			{"GET", "../status/304", ""}},
		"/trailers":                 {{"GET", "?n=3", ""}},
		"/v1/chat/completions":      {{"POST", "", fmt.Sprintf(model, false)}, {"POST", "", fmt.Sprintf(model, true)}},
		"/v1/messages":              {{"POST", "", fmt.Sprintf(model, false)}, {"POST", "", fmt.Sprintf(model, true)}, {"POST", "", "no JSON"}},
		"/v1/messages/count_tokens": {{"POST", "", fmt.Sprintf(model, false)}},
		"/v1/models":                {{"GET", "", ""}},
		"/v1/models/{x}":            {{"GET", "../models/fake-1", ""}},
		"/v1/responses":             {{"POST", "", fmt.Sprintf(input, false)}, {"POST", "", fmt.Sprintf(input, true)}},
		"/info/lfs/objects/batch":   {{"POST", "", fmt.Sprintf(batch, 7)}},
		"/ws":                       {{"GET", "", ""}}, // no handshake: for those see TestThroughWebSocket
		"/lfs/objects/{x}":          {{"GET", "../objects/" + strings.Repeat("0", 64), ""}},
	}
	up := fakeupstream.NewTest(t)
	p := serve(t, up, "A_TOKEN=token-of-route-a")
	token := redact.New([]redact.Secret{{Token: "token-of-route-a", Scheme: "Bearer"}})
	host := strings.TrimPrefix(up.URL, "https://")
	times := regexp.MustCompile(`"t":\d+`)
	for name, what := range fakeupstream.Behaviours() {
		tries, ok := samples[name]
		if !ok {
			t.Errorf("%s (%s) goes through nothing: add a sample", name, what)
		}
		for _, s := range tries {
			path := name + s.query
			if below, ok := strings.CutPrefix(s.query, "../"); ok {
				path = name[:strings.LastIndex(strings.TrimSuffix(name, "/{x}"), "/")+1] + below
			}
			t.Run(s.method+path, func(t *testing.T) {
				length := ""
				if s.body != "" {
					length = fmt.Sprintf("Content-Length: %d\r\n", len(s.body))
				}
				direct, err := tls.Dial("tcp", host, &tls.Config{RootCAs: roots(up)})
				if err != nil {
					t.Fatal(err)
				}
				want, wantErr := get(direct, s.method+" "+path+" HTTP/1.1\r\nX-Agent: 1\r\nHost: "+host+
					"\r\nAuthorization: Bearer token-of-route-a\r\nAccept-Encoding: identity\r\n"+length, s.body)
				c, err := net.Dial("tcp", p.addr)
				if err != nil {
					t.Fatal(err)
				}
				got, gotErr := get(c, s.method+" /a"+path+" HTTP/1.1\r\nX-Agent: 1\r\nHost: x\r\nAuthorization: of-the-agent\r\n"+length, s.body)
				if (wantErr == nil) != (gotErr == nil) {
					t.Fatalf("through the proxy %v, without it %v", gotErr, wantErr)
				}
				if wantErr == nil && want.Status == "" {
					t.Fatal("no answer at all")
				}
				for _, name := range []string{"Location", "Link"} { // come home
					for i, v := range got.Header[name] {
						v = strings.ReplaceAll(v, "http://x/a/", up.URL+"/")
						if below, ok := strings.CutPrefix(v, "/a/"); ok {
							v = "/" + below
						}
						got.Header[name][i] = v
					}
				}
				want.mask(token)
				got.Header.Del(proxy.RedactedField)
				for _, a := range []*answer{&want, &got} {
					a.Body = times.ReplaceAllString(a.Body, `"t":0`)
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("(-without the proxy +through it)\n%s", diff)
				}
			})
		}
	}
}

func roots(up *fakeupstream.Server) *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(up.CAPEM)
	return pool
}

// TestThroughEveryFault shows what an agent gets for each fault of an upstream:
// a refusal, a connection that breaks, or the whole answer; never a token, and
// the next request is served.
func TestThroughEveryFault(t *testing.T) {
	const whole = "200 OK"
	type sample struct {
		fault  fakeupstream.Fault
		method string
		want   string // a status; or "broken": a beginning of an answer, and no end
		twice  bool   // the fault meets the second request of a connection
	}
	kind := func(k fakeupstream.FaultKind) fakeupstream.Fault { return fakeupstream.Fault{Kind: k} }
	samples := []sample{
		{kind(fakeupstream.FaultRefuse), "GET", "502 Bad Gateway", false},
		{kind(fakeupstream.FaultAcceptHang), "GET", "504 Gateway Timeout", false},
		{kind(fakeupstream.FaultAcceptReset), "GET", "502 Bad Gateway", false},
		{kind(fakeupstream.FaultTLSHang), "GET", "504 Gateway Timeout", false},
		{kind(fakeupstream.FaultCertWrongName), "GET", "502 Bad Gateway", false},
		{kind(fakeupstream.FaultCertExpired), "GET", "502 Bad Gateway", false},
		{kind(fakeupstream.FaultCertSelfSigned), "GET", "502 Bad Gateway", false},
		{kind(fakeupstream.FaultCertMalformed), "GET", "502 Bad Gateway", false},
		{kind(fakeupstream.FaultHangHead), "GET", "504 Gateway Timeout", false},
		{kind(fakeupstream.FaultNoAnswer), "GET", "502 Bad Gateway", false},
		{kind(fakeupstream.FaultReset), "GET", "502 Bad Gateway", false},
		{fakeupstream.Fault{Kind: fakeupstream.FaultStale, Count: 1}, "GET", whole, true},
		{fakeupstream.Fault{Kind: fakeupstream.FaultStale, Count: 1, Then: fakeupstream.Reset}, "GET", whole, true},
		{fakeupstream.Fault{Kind: fakeupstream.FaultStale, Count: 1}, "POST", "502 Bad Gateway", true},
		{kind(fakeupstream.FaultMalformedStatus), "GET", "502 Bad Gateway", false},
		{kind(fakeupstream.FaultMalformedField), "GET", "502 Bad Gateway", false},
		{fakeupstream.Fault{Kind: fakeupstream.FaultMalformedField, Text: "X-Reflected : Bearer token-of-route-a"}, "GET", "502 Bad Gateway", false},
		{fakeupstream.Fault{Kind: fakeupstream.FaultBigHeader, Size: 300 << 10}, "GET", "502 Bad Gateway", false},
		{fakeupstream.Fault{Kind: fakeupstream.FaultBigHeader, Size: 200 << 10}, "GET", whole, false},
		{fakeupstream.Fault{Kind: fakeupstream.FaultTruncate, After: 1000}, "GET", "broken", false},
		{fakeupstream.Fault{Kind: fakeupstream.FaultTruncate, After: 1000, Then: fakeupstream.Reset}, "GET", "broken", false},
		{fakeupstream.Fault{Kind: fakeupstream.FaultTruncate, After: 1000, Then: fakeupstream.CloseNotify}, "GET", "broken", false},
		{fakeupstream.Fault{Kind: fakeupstream.FaultCutChunked, After: 1000}, "GET", "broken", false},
		{fakeupstream.Fault{Kind: fakeupstream.FaultLatency, Every: 30 * time.Millisecond}, "GET", whole, false},
		{fakeupstream.Fault{Kind: fakeupstream.FaultDrip, Size: 100, Every: time.Millisecond}, "GET", whole, false},
		{fakeupstream.Fault{Kind: fakeupstream.FaultBandwidth, Size: 1 << 20}, "GET", whole, false},
		{fakeupstream.Fault{Kind: fakeupstream.FaultSlowRead, Size: 100, Every: time.Millisecond}, "POST", whole, false},
	}
	tried := map[fakeupstream.FaultKind]bool{}
	for _, s := range samples {
		tried[s.fault.Kind] = true
		t.Run(string(s.fault.Kind)+" "+s.method, func(t *testing.T) {
			t.Parallel()
			up := fakeupstream.NewTest(t)
			p := serve(t, up, "A_TOKEN=token-of-route-a", "CRED_PROXY_TLS_TIMEOUT=1s", "CRED_PROXY_RESPONSE_TIMEOUT=1s")
			var c net.Conn
			var br *bufio.Reader
			connect := func() {
				var err error
				if c, err = net.Dial("tcp", p.addr); err != nil {
					t.Fatal(err)
				}
				br = bufio.NewReader(c)
				t.Cleanup(func() { c.Close() })
			}
			ask := func() (answer, error) {
				body := ""
				if s.method == "POST" {
					body = strings.Repeat("b", 5000)
				}
				return getAnother(c, br, fmt.Sprintf("%s /a/bytes?n=5000 HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n", s.method, len(body)), body)
			}
			connect()
			if s.twice {
				// On one connection, so that the upstream's is kept by the time of the second.
				if a, err := ask(); err != nil || a.Status != whole {
					t.Fatalf("before the fault: %s, %v", a.Status, err)
				}
			}
			if err := up.Inject(s.fault); err != nil {
				t.Fatal(err)
			}
			a, err := ask()
			refused := a.Header.Get(proxy.ErrorField) != ""
			switch {
			case s.want == "broken":
				if !errors.Is(err, io.ErrUnexpectedEOF) || a.Status != whole {
					t.Errorf("got %s, %d bytes, %v; want a broken connection", a.Status, len(a.Body), err)
				}
			case err != nil || a.Status != s.want || refused != (s.want != whole):
				t.Errorf("got %s, refused %v, %v; want %s", a.Status, refused, err, s.want)
			}
			var said bytes.Buffer
			a.Header.Write(&said)
			if strings.Contains(said.String()+a.Body+p.stderr.String(), "token-of-route-a") {
				t.Errorf("a token was told: %s %s", &said, a.Body)
			}
			if err := up.ClearFaults(); err != nil {
				t.Fatal(err)
			}
			connect()
			if a, err := ask(); err != nil || a.Status != whole {
				t.Errorf("after the fault: %s, %v", a.Status, err)
			}
		})
	}
	for _, k := range fakeupstream.FaultKinds() {
		if !tried[k] {
			t.Errorf("%s meets nothing: add a sample", k)
		}
	}
}
