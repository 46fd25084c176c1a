package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"credproxy/fakeupstream"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdRequest makes one request of the proxy on a connection of its own and
// prints all that comes back: informational responses, then the response.
//
//	request [-d BODY] METHOD TARGET ['Name: value']...
//	! request ...    the response must break in its body
//
// Sent are a Host, unless one is given, the fields as given, and with a body
// its Content-Length.
func cmdRequest(ts *testscript.TestScript, neg bool, args []string) {
	body, hasBody := "", false
	if len(args) > 2 && args[0] == "-d" {
		body, hasBody, args = args[1], true, args[2:]
	}
	usage(ts, len(args) < 2, "[!] request [-d BODY] METHOD TARGET ['Name: value']...")
	var head strings.Builder
	fmt.Fprintf(&head, "%s %s HTTP/1.1\r\n", args[0], args[1])
	fields := args[2:]
	if len(fields) == 0 || !strings.HasPrefix(fields[0], "Host:") {
		head.WriteString("Host: cred-proxy\r\n")
	}
	for _, f := range fields {
		head.WriteString(f + "\r\n")
	}
	if hasBody {
		fmt.Fprintf(&head, "Content-Length: %d\r\n", len(body))
	}
	exchange(ts, []byte(head.String()+"\r\n"+body), neg)
}

// cmdSend sends bytes on a connection of their own and prints what comes back
// as request does. See content.
//
//	[!] send FILE | -crlf FILE | -raw FILE | -text 'TEXT'
func cmdSend(ts *testscript.TestScript, neg bool, args []string) {
	exchange(ts, content(ts, args), neg)
}

// exchange sends what on a new connection and prints the messages that come
// back, up to the first that is final.
func exchange(ts *testscript.TestScript, what []byte, neg bool) {
	c, err := dial(ts.Getenv("PROXY"))
	ts.Check(err)
	defer c.tcp.Close()
	ts.Check(c.send(what))
	for {
		head, err := c.readHead()
		if err != nil {
			ts.Fatalf("%v: %q", err, head)
		}
		if interim.MatchString(head) {
			fmt.Fprint(ts.Stdout(), head)
			continue
		}
		body, err := c.readBody(-1)
		fmt.Fprint(ts.Stdout(), shown(head, body))
		broken(ts, neg, err)
		return
	}
}

// interim is the status line of a response before the final one.
var interim = regexp.MustCompile(`^HTTP/1\.1 1(?:0[02-9]|[1-9])`)

// cmdRefused checks that what was printed last is exactly a refusal by the
// proxy itself: that status and X-Cred-Proxy-Error, and as the whole body one
// line of text/plain, MESSAGE. A MESSAGE that ends in "..." is the beginning of
// the line.
//
//	refused STATUS CODE MESSAGE
func cmdRefused(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg || len(args) != 3, "refused STATUS CODE MESSAGE")
	ts.Check(isRefusal(ts.ReadFile("stdout"), args[0], args[1], args[2]))
}

// cmdAnswered checks the status of the response that was printed last, whatever
// the version of HTTP/1 and the words that come with it.
//
//	answered STATUS
func cmdAnswered(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg || len(args) != 1, "answered STATUS")
	line, _, _ := strings.Cut(ts.ReadFile("stdout"), "\n")
	if !isAnswer(line, args[0]) {
		ts.Fatalf("status line %q, want %s", line, args[0])
	}
}

// isAnswer says whether a response has a status.
func isAnswer(response, status string) bool {
	version, rest, _ := strings.Cut(response, " ")
	return (version == "HTTP/1.1" || version == "HTTP/1.0") && strings.HasPrefix(rest, status+" ")
}

// retryLine is what goes with a limit.
var retryLine = regexp.MustCompile(`\nRetry-After: [1-9][0-9]*`)

// isRefusal says what about a response is not as cmdRefused describes.
func isRefusal(response, status, code, message string) error {
	head, body, _ := strings.Cut(response, "\n\n")
	number, err := strconv.Atoi(status)
	if err != nil {
		return err
	}
	want := strings.Join([]string{
		"HTTP/1.1 " + status + " " + http.StatusText(number),
		"Content-Type: text/plain; charset=utf-8",
		fmt.Sprintf("Content-Length: %d", len(body)),
		"X-Cred-Proxy-Error: " + code,
	}, "\n")
	if status == "401" {
		want += "\nWWW-Authenticate: Basic realm=\"cred-proxy\""
	}
	if retry := retryLine.FindString(head); strings.HasPrefix(code, "limit-") == (retry == "") {
		return fmt.Errorf("Retry-After is where it should not be, or is not where it should:\n%s", head)
	}
	head = retryLine.ReplaceAllString(head, "")
	begin, open := strings.CutSuffix(message, "...")
	switch {
	case strings.TrimSuffix(idLine.ReplaceAllString(head, ""), "\nConnection: close") != want:
		return fmt.Errorf("head:\n%s\nwant:\n%s", head, want)
	case strings.Count(body, "\n") != 1 || !strings.HasSuffix(body, "\n"):
		return fmt.Errorf("the body is not one line: %q", body)
	case open && !strings.HasPrefix(body, begin):
		return fmt.Errorf("body %q, want %q at its beginning", body, begin)
	case !open && body != message+"\n":
		return fmt.Errorf("body %q, want %q", body, message+"\n")
	}
	return nil
}

// idLine is what a refusal has besides where there is a log that it can be found in.
var idLine = regexp.MustCompile("\nX-Cred-Proxy-Id: [0-9a-f]{16}")

// cmdRefuses makes a request for each line of a file, METHOD TARGET, and checks
// that each is refused, and that none reaches the fake upstream.
//
//	refuses STATUS CODE MESSAGE FILE
func cmdRefuses(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg || len(args) != 4, "refuses STATUS CODE MESSAGE FILE")
	before := len(fake(ts).Requests())
	for line := range strings.Lines(ts.ReadFile(args[3])) {
		answer, err := ask(ts.Getenv("PROXY"), strings.TrimSpace(line))
		if err == nil {
			err = isRefusal(answer, args[0], args[1], args[2])
		}
		if err != nil {
			ts.Fatalf("%s%v", line, err)
		}
	}
	if len(fake(ts).Requests()) != before {
		ts.Fatalf("the upstream has received a request")
	}
}

// cmdReflects has the fake upstream reflect the credential that it was sent in
// one spelling, in the head and in the body, in every framing and split into
// pieces of every size up to eleven bytes, and checks that what the agent gets is
// WANT. Pieces that take longer than a beginning is held for are another rule: an
// answer that took so long, on a busy machine, is asked for again, a few times.
//
//	reflects TARGET WANT
func cmdReflects(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg || len(args) != 2, "reflects TARGET WANT")
	want := "your credential is " + args[1] + ", is it not?\n"
	redacted := fmt.Sprintf("\nX-Cred-Proxy-Redacted: %d\n", len(regexp.MustCompile(`\*+`).FindAllString(args[1], -1)))
	const held = 20 * time.Millisecond
	for _, framing := range []string{"length", "chunked", "close"} {
		for _, version := range []string{"1.1", "1.0"} {
			for _, split := range []int{0, 1, 2, 3, 5, 7, 11} {
				for tries := 1; ; tries++ {
					c, err := dial(ts.Getenv("PROXY"))
					ts.Check(err)
					began := time.Now()
					ts.Check(c.send(fmt.Appendf(nil, "GET %s&framing=%s&split=%d HTTP/%s\r\nHost: x\r\n\r\n", args[0], framing, split, version)))
					head, err := c.readHead()
					ts.Check(err)
					body, err := c.readBody(-1)
					took := time.Since(began)
					c.tcp.Close()
					ts.Check(err)
					answer := shown(head, nil)
					if string(body) == want && strings.Contains(answer, "\nX-Reflected: "+args[1]+"\n") && strings.Contains(answer, redacted) {
						break
					}
					if took < held || tries == 5 {
						ts.Fatalf("%s, HTTP/%s, pieces of %d, in %v:\n%s%s\nwant: %s%s", framing, version, split, took, answer, body, redacted[1:], want)
					}
				}
			}
		}
	}
}

// cmdCrosses makes a GET for each line of a file, TARGET => WANT, and checks
// that the fake upstream receives the target WANT.
//
//	crosses FILE
func cmdCrosses(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg || len(args) != 1, "crosses FILE")
	for line := range strings.Lines(ts.ReadFile(args[0])) {
		target, want, ok := strings.Cut(strings.TrimSpace(line), " => ")
		usage(ts, !ok, "in the file: TARGET => WANT")
		answer, err := ask(ts.Getenv("PROXY"), "GET "+strings.TrimSpace(target))
		if err != nil || !isAnswer(answer, "200") {
			ts.Fatalf("%s%v\n%s", line, err, answer)
		}
		got := fake(ts).Requests()
		if last := got[len(got)-1]; last.Target != strings.TrimSpace(want) {
			ts.Fatalf("%s: the upstream has received %s", strings.TrimSpace(line), last.Target)
		}
	}
}

// ask sends a request without fields and returns its response.
func ask(addr, requestLine string) (string, error) {
	c, err := dial(addr)
	if err != nil {
		return "", err
	}
	defer c.tcp.Close()
	if err := c.send([]byte(requestLine + " HTTP/1.1\r\nHost: cred-proxy\r\n\r\n")); err != nil {
		return "", err
	}
	head, err := c.readHead()
	if err != nil {
		return head, err
	}
	body, err := c.readBody(-1)
	return shown(head, body), err
}

// agent is a client that knows of no other proxy and keeps no connection.
func agent() *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DisableCompression: true}}
}

// upload posts the n bytes of which want is the SHA-256 to url, where a /sink of
// the fake upstream listens, in chunks or not, and checks that it got them.
func upload(client *http.Client, url string, n int64, want string, chunked bool) error {
	req, err := http.NewRequest("POST", url, io.NopCloser(fakeupstream.Bytes(0, n)))
	if err != nil {
		return err
	}
	if req.ContentLength = n; chunked {
		req.ContentLength = -1
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	var got struct {
		N      int64
		SHA256 string
	}
	if err := json.Unmarshal(answer, &got); err != nil {
		return fmt.Errorf("%v: %.200q", err, answer)
	}
	if got.N != n || got.SHA256 != want {
		return fmt.Errorf("the upstream got %d bytes, SHA-256 %s; sent %d, %s", got.N, got.SHA256, n, want)
	}
	return nil
}

// download gets url, where a /bytes of the fake upstream gives n bytes, and
// checks that want is their SHA-256.
func download(client *http.Client, url string, n int64, want string) error {
	resp, err := client.Get(url)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	sum := sha256.New()
	got, err := io.Copy(sum, resp.Body)
	if err != nil {
		return err
	}
	if sha := hex.EncodeToString(sum.Sum(nil)); got != n || sha != want {
		return fmt.Errorf("%d bytes, SHA-256 %s; want %d, %s", got, sha, n, want)
	}
	return nil
}

// cmdUpload posts N bytes to a /sink of the fake upstream and compares the
// SHA-256 of what it got.
//
//	upload [-chunked] TARGET N
func cmdUpload(ts *testscript.TestScript, neg bool, args []string) {
	chunked := false
	args = flagged(ts, args, func(name, _ string) bool { chunked = name == "chunked"; return chunked })
	usage(ts, neg || len(args) != 2, "upload [-chunked] TARGET N")
	n, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	ts.Check(upload(agent(), "http://"+ts.Getenv("PROXY")+args[0], n, fakeupstream.BytesSHA256(n), chunked))
}

// cmdDownload gets N bytes from a /bytes of the fake upstream and compares
// their SHA-256.
//
//	download TARGET N
func cmdDownload(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg || len(args) != 2, "download TARGET N")
	n, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	ts.Check(download(agent(), "http://"+ts.Getenv("PROXY")+args[0], n, fakeupstream.BytesSHA256(n)))
}
