package main

import (
	"context"
	"embed"
	"fmt"
	"strings"
	"sync/atomic"

	"credproxy/fakeupstream"
)

// The clients of model APIs: the SDKs.

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
	const abort = "an abort in mid-stream, which the upstream notices"
	anthropicSDK, openaiSDK, octokit := version("@anthropic-ai/sdk"), version("openai"), version("@octokit/rest")
	return []client{
		{name: "Anthropic SDK (TypeScript)", route: "/anthropic/", needs: sdks, version: anthropicSDK, steps: []step{
			prints("messages", anthropic("messages"), said),
			prints("count_tokens", anthropic("count_tokens"), "2"),
			prints("models", anthropic("models"), "fake-large-1\nfake-small-1"),
			streams("a stream, event by event", "/v1/messages", anthropic("stream"), "anthropic.sse", 0),
			streams(abort, "/v1/messages", anthropic("abort"), "anthropic.sse", 5),
			retries(529, "/v1/messages", anthropic("messages")),
			retries(500, "/v1/messages", anthropic("messages")),
			prints("an error of the upstream", anthropic("error"), "BadRequestError 400 invalid_request_error"),
		}},
		{name: "OpenAI SDK (TypeScript)", route: "/openai/", needs: sdks, version: openaiSDK, steps: []step{
			prints("chat", openai("chat"), said),
			prints("responses", openai("responses"), said),
			prints("models", openai("models"), "fake-large-1\nfake-small-1"),
			streams("a stream of each, event by event", "/v1/chat/completions", openai("chat stream"), "chat.sse", 0),
			streams("", "/v1/responses", openai("responses stream"), "responses.sse", 0),
			streams(abort, "/v1/chat/completions", openai("abort"), "chat.sse", 2),
			retries(500, "/v1/responses", openai("responses")),
			prints("an error of the upstream", openai("error"), "BadRequestError 400 invalid_request_error"),
		}},
		{name: "ws (Node)", route: "/openai/", needs: sdks, version: version("ws"), steps: []step{
			speaks("a realtime WebSocket, messages both ways, the key in a field", "field", "n=2&deflate=1"),
			speaks("the key as a subprotocol", "subprotocol", "n=2&protocol=realtime"),
		}},
		{name: "Octokit", route: "/github/api/", needs: sdks, version: octokit, steps: []step{
			prints("every page of a list, by absolute Link fields", `node "$NPM/sdks/octokit.mjs"`,
				"?pages=3\n?page=2&pages=3\n?page=3&pages=3"),
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

// speaks is the script that has a WebSocket, whose other end is as the query says.
func speaks(what, keyIn, query string) step {
	return step{what, func(ctx context.Context, b *bottle) error {
		b.up.Set("/v1/realtime", fakeupstream.Like("/ws?"+query))
		defer b.up.Set("/v1/realtime", nil)
		out, err := b.sh(ctx, `node "$NPM/sdks/ws.mjs" `+keyIn)
		if err != nil {
			return err
		}
		return want(out, "message 1\nmessage 2\nhello\nclosed 1000")
	}}
}

// streams is a script that shows the events of a file as they come from a path, in lock-step; only so many of them if it
// leaves then.
func streams(what, path, script, file string, leavesAfter int) step {
	return step{what, func(ctx context.Context, b *bottle) error {
		events, err := dictated(file)
		if err != nil {
			return err
		}
		leaves := leavesAfter > 0
		if leaves {
			events = events[:leavesAfter]
		}
		b.up.Set(path, fakeupstream.Like("/sse?name=it"))
		defer b.up.Set(path, nil)
		return b.watch(ctx, "it", script, leaves, events)
	}}
}

// retries is a script that asks a path and gets its answer at the third try.
func retries(status int, path, script string) step {
	return step{fmt.Sprintf("retries on %d", status), func(ctx context.Context, b *bottle) error {
		var n atomic.Int32
		b.up.Set(path, func(x *fakeupstream.Exchange) error {
			if n.Add(1) <= 2 {
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
		if n.Load() != 3 {
			return fmt.Errorf("%d tries", n.Load())
		}
		return want(out, said)
	}}
}

// streamFiles are the streams that are dictated: server-sent events, each with a comment of what shows it, if it is shown.
//
//go:embed streams
var streamFiles embed.FS

// dictated returns the events of a file.
func dictated(file string) (events []event, err error) {
	text, err := streamFiles.ReadFile("streams/" + file)
	if err != nil {
		return nil, err
	}
	for block := range strings.SplitSeq(strings.TrimSpace(string(text)), "\n\n") {
		var e event
		for line := range strings.SplitSeq(block, "\n") {
			name, value, _ := strings.Cut(line, ": ")
			switch name {
			case "event":
				e.Event.Event = value
			case "data":
				e.Data = value
			default:
				e.shown = strings.TrimPrefix(value, "shown: ")
			}
		}
		events = append(events, e)
	}
	return events, nil
}
