package main

import (
	"context"
	"fmt"
	"sync"

	"credproxy/fakeupstream"
)

// said is what the fake models say to the prompt of the scripts.
const said = "You said: hello, proxy"

// modelClients are the SDKs of the model APIs.
func modelClients() []client {
	sdks := []need{{program: "node"}, {npm: "sdks"}}
	version := func(sdk string) string {
		return `node -p "require('$NPM/sdks/node_modules/` + sdk + `/package.json').version"`
	}
	anthropic := func(what string) string { return `node "$NPM/sdks/anthropic.mjs" "` + what + `"` }
	openai := func(what string) string { return `node "$NPM/sdks/openai.mjs" "` + what + `"` }
	return []client{
		{name: "Anthropic SDK (TypeScript)", route: "/anthropic/", needs: sdks, version: version("@anthropic-ai/sdk"), steps: []step{
			prints("messages", anthropic("messages"), said),
			prints("count_tokens", anthropic("count_tokens"), "2"),
			prints("models", anthropic("models"), "fake-large-1\nfake-small-1"),
			streams("a stream, event by event", "/v1/messages", anthropic("stream"), false, anthropicStream),
			streams("an abort in mid-stream, which the upstream notices", "/v1/messages", anthropic("abort"), true, anthropicStream[:5]),
			retries(529, "/v1/messages", anthropic("messages")),
			retries(500, "/v1/messages", anthropic("messages")),
			prints("an error of the upstream", anthropic("error"), "BadRequestError 400 invalid_request_error"),
		}},
		{name: "OpenAI SDK (TypeScript)", route: "/openai/", needs: sdks, version: version("openai"), steps: []step{
			prints("chat", openai("chat"), said),
			prints("responses", openai("responses"), said),
			prints("models", openai("models"), "fake-large-1\nfake-small-1"),
			streams("a stream of each, event by event", "/v1/chat/completions", openai("chat stream"), false, chatStream),
			streams("", "/v1/responses", openai("responses stream"), false, responsesStream),
			streams("an abort in mid-stream, which the upstream notices", "/v1/chat/completions", openai("abort"), true, chatStream[:2]),
			retries(500, "/v1/responses", openai("responses")),
			prints("an error of the upstream", openai("error"), "BadRequestError 400 invalid_request_error"),
		}},
		{name: "Octokit", route: "/github/api/", needs: sdks, version: version("@octokit/rest"), steps: []step{
			prints("every page of a list, by absolute Link fields", `node "$NPM/sdks/octokit.mjs"`, "?pages=3\n?page=2&pages=3\n?page=3&pages=3"),
		}},
	}
}

// prints is a script that prints something.
func prints(what, script, text string) step {
	return step{what, func(ctx context.Context, b *bottle) error {
		out, err := b.sh(ctx, script)
		if err != nil {
			return err
		}
		return want(out, text)
	}}
}

// streams is a script that shows the events of a path, in lock-step.
func streams(what, path, script string, leaves bool, events []event) step {
	return step{what, func(ctx context.Context, b *bottle) error {
		b.up.Set(path, fakeupstream.Like("/sse?name=it"))
		defer b.up.Set(path, nil)
		return b.watch(ctx, "it", script, leaves, events)
	}}
}

// retries is a script that asks a path and gets its answer at the third try.
func retries(status int, path, script string) step {
	return step{fmt.Sprintf("retries on %d", status), func(ctx context.Context, b *bottle) error {
		var mu sync.Mutex
		n := 0
		b.up.Set(path, func(x *fakeupstream.Exchange) error {
			mu.Lock()
			defer mu.Unlock()
			if n++; n <= 2 {
				if _, err := x.ReadBody(); err != nil {
					return err
				}
				return x.JSON(status, map[string]any{}, fakeupstream.Field{Name: "Retry-After-Ms", Value: "1"})
			}
			return fakeupstream.Like(path)(x)
		})
		defer b.up.Set(path, nil)
		out, err := b.sh(ctx, script)
		if err != nil {
			return err
		}
		if n != 3 {
			return fmt.Errorf("%d tries", n)
		}
		return want(out, said)
	}}
}

// The streams that are dictated: each event is sent when the one before it was shown.

func named(name, data, shown string) event {
	return event{fakeupstream.Event{Event: name, Data: data}, shown}
}

var anthropicStream = []event{
	named("message_start", `{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"fake-large-1","content":[],`+
		`"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":2,"output_tokens":1}}}`, "message_start"),
	named("content_block_start", `{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`, "content_block_start"),
	named("ping", `{"type":"ping"}`, ""),
	named("content_block_delta", `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"one "}}`, "content_block_delta one"),
	named("content_block_delta", `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"two "}}`, "content_block_delta two"),
	named("content_block_delta", `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"three"}}`, "content_block_delta three"),
	named("content_block_stop", `{"type":"content_block_stop","index":0}`, "content_block_stop"),
	named("message_delta", `{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":3}}`, "message_delta"),
	named("message_stop", `{"type":"message_stop"}`, "message_stop"),
}

var chatStream = []event{
	chatDelta("one"), chatDelta("two"), chatDelta("three"),
	{fakeupstream.Event{Data: "[DONE]"}, ""},
}

func chatDelta(text string) event {
	return event{fakeupstream.Event{Data: `{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"fake-large-1",` +
		`"choices":[{"index":0,"delta":{"content":"` + text + `"},"finish_reason":null}]}`}, "delta " + text}
}

var responsesStream = []event{
	named("response.created", `{"type":"response.created","sequence_number":0,"response":{"id":"resp_1","object":"response","status":"in_progress","output":[]}}`,
		"response.created"),
	responsesDelta(1, "one"), responsesDelta(2, "two"),
	named("response.completed", `{"type":"response.completed","sequence_number":3,"response":{"id":"resp_1","object":"response","status":"completed","output":[]}}`,
		"response.completed"),
}

func responsesDelta(n int, text string) event {
	return named("response.output_text.delta", fmt.Sprintf(`{"type":"response.output_text.delta","sequence_number":%d,"item_id":"msg_1",`+
		`"output_index":0,"content_index":0,"delta":%q}`, n, text), "response.output_text.delta "+text)
}
