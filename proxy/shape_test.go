package proxy

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"

	"credproxy/proxy/http1"
)

// TestShapes: every refusal in every shape is a response that net/http reads, with the message as it is, whatever stands
// in that.
func TestShapes(t *testing.T) {
	hostile := []string{"", `"}}`, "\x00\x1f\x7f", "\xff\xfe", "\u2028</script>", strings.Repeat("é\"", 20_000)}
	for name, s := range shapes {
		for _, r := range Refusals() {
			for _, more := range hostile {
				r := r.because("%s", more)
				for _, head := range []bool{false, true} {
					p, sent := r.appendTo(http1.TakeBuffer(false)[:0], answer{id: 7, shape: s, retryAfter: 9, head: head, closing: true})
					method := map[bool]string{false: "GET", true: "HEAD"}[head]
					resp, err := http.ReadResponse(bufio.NewReader(strings.NewReader(string(p))), &http.Request{Method: method})
					if err != nil {
						t.Fatal(name, r.Code, err)
					}
					body, err := io.ReadAll(resp.Body)
					if err != nil || int64(len(body)) != sent || resp.StatusCode != r.Status || resp.Header.Get(ErrorField) != r.Code {
						t.Fatalf("%s %s: %d bytes, sent %d, %v %v", name, r.Code, len(body), sent, resp, err)
					}
					if head {
						if sent != 0 {
							t.Fatalf("%s %s: content to HEAD", name, r.Code)
						}
						continue
					}
					got := strings.TrimSuffix(string(body), "\n")
					if s != nil {
						var doc struct {
							Error struct{ Message, Type string }
						}
						if err := json.Unmarshal(body, &doc); err != nil || doc.Error.Type == "" {
							t.Fatalf("%s %s: %v %s", name, r.Code, err, body)
						}
						got = doc.Error.Message
					}
					if want := strings.ToValidUTF8(r.Message, "\ufffd"); got != r.Message && (utf8.ValidString(r.Message) || len(got) < len(want)) {
						t.Errorf("%s %s: message %.100q", name, r.Code, got)
					}
				}
			}
		}
	}
}

func TestAskedFor(t *testing.T) {
	for line, want := range map[string]bool{
		"Accept: application/json":                    true,
		"accept: text/html,APPLICATION/json;q=0.1, x": true,
		"Content-Type: application/json":              true,
		"Content-Type: application/json ; charset=x":  true,
		"Accept: */*":                      false,
		"Accept: application/json-seq":     false,
		"Accept: application/problem+json": false,
		"Accept: \"application/json\"":     false,
		"Accept:":                          false,
		"X-Accept: application/json":       false,
	} {
		if got := shapes["openai"].askedFor(asking(t, line)) != nil; got != want {
			t.Errorf("%s: %v", line, got)
		}
		if shapes["text"].askedFor(asking(t, line)) != nil {
			t.Errorf("%s: text is not text", line)
		}
	}
}

// TestErrorTypes: the types that a client is told are those of the API whose client it is.
func TestErrorTypes(t *testing.T) {
	for _, test := range []struct {
		status            int
		anthropic, openAI string
	}{
		{400, "invalid_request_error", "invalid_request_error"},
		{401, "authentication_error", "authentication_error"},
		{403, "permission_error", "permission_error"},
		{404, "not_found_error", "not_found_error"},
		{405, "invalid_request_error", "invalid_request_error"},
		{413, "request_too_large", "invalid_request_error"},
		{414, "invalid_request_error", "invalid_request_error"},
		{429, "rate_limit_error", "rate_limit_error"},
		{500, "api_error", "server_error"},
		{502, "api_error", "server_error"},
		{503, "overloaded_error", "server_error"},
		{504, "timeout_error", "server_error"},
	} {
		r := &Refusal{Status: test.status}
		if a, o := anthropicTypes.of(r), openAITypes.of(r); a != test.anthropic || o != test.openAI {
			t.Errorf("%d: %s, %s", test.status, a, o)
		}
	}
}
