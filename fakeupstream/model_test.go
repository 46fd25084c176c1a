package fakeupstream_test

import (
	"bufio"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"credproxy/fakeupstream"
)

// The model APIs, as their clients see them.

func TestModelStreams(t *testing.T) {
	up := start(t)
	tests := []struct {
		path, prompt string
		text         func(data map[string]any) string // of an event
		want         []string                         // names, or data that is no JSON
	}{
		{
			"/v1/messages", `{"model":"m","max_tokens":9,"stream":true,"messages":[{"role":"user","content":[{"type":"text","text":"a b"}]}]}`,
			func(data map[string]any) string { s, _ := dig(data, "delta", "text").(string); return s },
			[]string{"message_start", "content_block_start", "ping", "content_block_delta", "content_block_delta", "content_block_delta", "content_block_delta", "content_block_stop", "message_delta", "message_stop"},
		},
		{
			"/v1/responses", `{"model":"m","stream":true,"input":"a b"}`,
			func(data map[string]any) string { s, _ := dig(data, "delta").(string); return s },
			[]string{"response.created", "response.in_progress", "response.output_item.added", "response.content_part.added", "response.output_text.delta", "response.output_text.delta", "response.output_text.delta", "response.output_text.delta", "response.output_text.done", "response.content_part.done", "response.output_item.done", "response.completed"},
		},
		{
			"/v1/chat/completions", `{"model":"m","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"system","content":"x"},{"role":"user","content":"a b"}]}`,
			func(data map[string]any) string {
				if choices, _ := data["choices"].([]any); len(choices) > 0 {
					s, _ := dig(choices[0].(map[string]any), "delta", "content").(string)
					return s
				}
				return ""
			},
			[]string{"[DONE]"},
		},
	}
	for _, tt := range tests {
		resp, got := do(t, up, "POST", tt.path, tt.prompt, "Authorization", "Bearer x", "anthropic-version", "2023-06-01")
		if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" {
			t.Errorf("%s: %v %s", tt.path, resp, got)
		}
		text, names := "", []string(nil)
		for scanner := bufio.NewScanner(strings.NewReader(got)); scanner.Scan(); {
			if name, ok := strings.CutPrefix(scanner.Text(), "event: "); ok {
				names = append(names, name)
			} else if p, ok := strings.CutPrefix(scanner.Text(), "data: "); ok {
				var data map[string]any
				if json.Unmarshal([]byte(p), &data) != nil {
					names = append(names, p)
				}
				text += tt.text(data)
			}
		}
		if text != "You said: a b" || !slices.Equal(names, tt.want) {
			t.Errorf("%s: text %q, events %q", tt.path, text, names)
		}
	}
}

func dig(data map[string]any, names ...string) (v any) {
	v = data
	for _, name := range names {
		m, _ := v.(map[string]any)
		v = m[name]
	}
	return v
}

func TestModelAnswers(t *testing.T) {
	up := start(t, fakeupstream.Options{Token: "s3cret"})
	key := []string{"x-api-key", "s3cret", "anthropic-version", "2023-06-01"}
	bearer := []string{"Authorization", "Bearer s3cret"}
	const prompt = `{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"hi"}],"input":"hi"}`
	tests := []struct {
		method, path, prompt string
		fields               []string
		status               int
		want                 string
	}{
		{"POST", "/v1/messages", prompt, key, 200, `"text":"You said: hi"`},
		{"POST", "/v1/messages", prompt, nil, 401, `"type":"authentication_error"`},
		{"POST", "/v1/messages", prompt, []string{"x-api-key", "wrong"}, 401, `{"error":{"message":`},
		{"POST", "/v1/messages", prompt, bearer, 400, `anthropic-version: header is required`},
		{"POST", "/v1/messages", `{"model":"m"}`, key, 400, `messages: Field required`},
		{"POST", "/v1/messages", `{`, key, 400, `"invalid_request_error"`},
		{"POST", "/v1/messages", strings.Replace(prompt, `"m"`, `"error-529"`, 1), key, 529, `"overloaded_error"`},
		{"GET", "/v1/messages", "", key, 405, `"type":"error"`},
		{"POST", "/v1/messages/count_tokens", `{"model":"m","messages":[{"role":"user","content":"one two three"}]}`, key, 200, `{"input_tokens":3}`},
		{"GET", "/v1/models", "", key, 200, `"first_id":"fake-large-1"`},
		{"GET", "/v1/models", "", bearer, 200, `"object":"list"`},
		{"GET", "/v1/models", "", nil, 401, `"code":"invalid_api_key"`},
		{"GET", "/v1/models/fake-small-1", "", bearer, 200, `"id":"fake-small-1"`},
		{"GET", "/v1/models/nonsense", "", key, 404, `"not_found_error"`},
		{"POST", "/v1/chat/completions", prompt, bearer, 200, `"content":"You said: hi"`},
		{"POST", "/v1/chat/completions", `{"model":"m"}`, bearer, 400, `Missing required parameter: 'messages'.`},
		{"POST", "/v1/chat/completions", prompt, nil, 401, `"code":"invalid_api_key"`},
		{"POST", "/v1/chat/completions", strings.Replace(prompt, `"m"`, `"error-429"`, 1), bearer, 429, `"rate_limit_error"`},
		{"POST", "/v1/responses", prompt, bearer, 200, `"text":"You said: hi"`},
		{"POST", "/v1/responses", `{"model":"m","input":[{"role":"user","content":[{"type":"input_text","text":"yo"}]}]}`, bearer, 200, `"text":"You said: yo"`},
		{"POST", "/v1/responses", `{"model":"m"}`, bearer, 400, `'input'`},
		{"POST", "/v1/messages", `{"max_tokens":9,"messages":[{"role":"user","content":"hi"}]}`, key, 400, `model: Field required`},
		{"POST", "/v1/messages", `{"model":"m","messages":[{"role":"user","content":"hi"}]}`, key, 400, `max_tokens: Field required`},
		{"POST", "/v1/messages", `{"model":"m","max_tokens":9,"messages":[{"role":"user","content":""}]}`, key, 200, `"text":"You said nothing."`},
		{"POST", "/v1/messages", strings.Replace(prompt, `"m"`, `"error-418"`, 1), key, 418, `"api_error"`},
		{"POST", "/v1/messages", strings.NewReplacer(`"m"`, `"m","stream":true`, "hi", strings.Repeat("so ", 12)).Replace(prompt), key, 200, "}\n\nevent: ping\ndata: {\"type\":\"ping\"}\n\nevent: content_block_delta\ndata: {\"delta\":{\"text\":\"so \""},
		{"POST", "/v1/messages?ms=soon", strings.Replace(prompt, `"m"`, `"m","stream":true`, 1), key, 400, `ms=`},
		{"POST", "/v1/chat/completions", strings.Replace(prompt, `"m"`, `"error-503"`, 1), bearer, 503, `"server_error"`},
	}
	long := strings.Replace(prompt, "hi", strings.Repeat("long ", 50_000), 1) // more than is kept of a body
	if resp, got := do(t, up, "POST", "/v1/messages", long, key...); resp.StatusCode != 200 || !strings.Contains(got, `"input_tokens":50000`) {
		t.Errorf("long prompt: %v %.100s", resp, got)
	}
	for _, tt := range tests {
		resp, got := do(t, up, tt.method, "/base"+tt.path, tt.prompt, tt.fields...)
		if resp.StatusCode != tt.status || !strings.Contains(got, tt.want) {
			t.Errorf("%s %s %s: %d %s, want %d with %s", tt.method, tt.path, tt.prompt, resp.StatusCode, got, tt.status, tt.want)
		}
	}
}
