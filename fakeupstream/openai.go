package fakeupstream

import (
	"encoding/json"
	"net/http"
)

// openAIBuiltins are the OpenAI API. A model called error-NNN answers with that
// error.
var openAIBuiltins = []builtin{
	{"/v1/chat/completions", "the OpenAI Chat Completions API, JSON and SSE, an event every ms= (0); wants a token", newChat},
	{"/v1/responses", "the OpenAI Responses API, JSON and SSE, an event every ms= (0); wants a token", newResponses},
}

// openAIErrors are the types of OpenAI's errors.
var openAIErrors = map[int]string{
	401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error",
}

var openAIError apiShape = func(status int, message string) any {
	kind := openAIErrors[status]
	if kind == "" {
		kind = "invalid_request_error"
	}
	if status >= 500 {
		kind = "server_error"
	}
	var code any
	if status == http.StatusUnauthorized {
		code = "invalid_api_key"
	}
	return object{"error": object{"message": message, "type": kind, "param": nil, "code": code}}
}

type openAIPrompt struct {
	Model         string          `json:"model"`
	Messages      []turn          `json:"messages"` // of chat completions
	Input         json.RawMessage `json:"input"`    // of responses: a text or turns
	Stream        bool            `json:"stream"`
	StreamOptions struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`
}

// openAIPrompted reads the prompt and hands it to answer; wanting says what is
// missing in it.
func openAIPrompted(wanting func(*openAIPrompt) string, answer func(*Exchange, *openAIPrompt) error) Behaviour {
	return openAIError.guarded(func(x *Exchange) error {
		var prompt openAIPrompt
		if ok, err := openAIError.readPrompt(x, &prompt); !ok {
			return err
		}
		missing := wanting(&prompt)
		if prompt.Model == "" {
			missing = "model"
		}
		if missing != "" {
			return openAIError.answerError(x, http.StatusBadRequest, "Missing required parameter: '"+missing+"'.")
		}
		if status, ok := wantedError(prompt.Model); ok {
			return openAIError.answerError(x, status, "as you wish")
		}
		return answer(x, &prompt)
	})
}

func newChat(p params) (Behaviour, error) {
	wanting := func(prompt *openAIPrompt) string {
		if len(prompt.Messages) == 0 {
			return "messages"
		}
		return ""
	}
	return openAIPrompted(wanting, func(x *Exchange, prompt *openAIPrompt) error {
		said, input := lastOfUser(prompt.Messages)
		text := saying(said)
		output := countTokens(text)
		usage := object{"prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output}
		chat := func(kind string, choices []object) object {
			return object{
				"id": "chatcmpl-fake", "object": kind, "created": modelsCreated,
				"model": prompt.Model, "choices": choices,
			}
		}
		if !prompt.Stream {
			answer := chat("chat.completion", []object{{
				"index": 0, "finish_reason": "stop", "logprobs": nil,
				"message": object{"role": "assistant", "content": text, "refusal": nil},
			}})
			answer["usage"] = usage
			return x.JSON(http.StatusOK, answer, requestID)
		}
		var events []modelEvent
		add := func(delta object, finish any) {
			choice := object{"index": 0, "delta": delta, "finish_reason": finish, "logprobs": nil}
			events = append(events, modelEvent{"", chat("chat.completion.chunk", []object{choice})})
		}
		add(object{"role": "assistant", "content": ""}, nil)
		for _, token := range tokens(text) {
			add(object{"content": token}, nil)
		}
		add(object{}, "stop")
		if prompt.StreamOptions.IncludeUsage {
			last := chat("chat.completion.chunk", []object{})
			last["usage"] = usage
			events = append(events, modelEvent{"", last})
		}
		return x.sendEvents(p, append(events, modelEvent{"", "[DONE]"}))
	}), nil
}

func newResponses(p params) (Behaviour, error) {
	wanting := func(prompt *openAIPrompt) string {
		if len(prompt.Input) == 0 {
			return "input"
		}
		return ""
	}
	return openAIPrompted(wanting, func(x *Exchange, prompt *openAIPrompt) error {
		var turns []turn
		if json.Unmarshal(prompt.Input, &turns) != nil {
			turns = []turn{{"user", prompt.Input}}
		}
		said, input := lastOfUser(turns)
		text := saying(said)
		answer := responsesAnswer{prompt.Model, text, input}
		if !prompt.Stream {
			return x.JSON(http.StatusOK, answer.response("completed"), requestID)
		}
		return x.sendEvents(p, answer.events())
	}), nil
}

// A responsesAnswer is an answer of the Responses API: one message of one text.
type responsesAnswer struct {
	model, text string
	input       int
}

const responsesItem = "msg_fake"

func (a responsesAnswer) part(text string) object {
	return object{"type": "output_text", "text": text, "annotations": []any{}, "logprobs": []any{}}
}

func (a responsesAnswer) item(status string, parts ...object) object {
	return object{
		"id": responsesItem, "type": "message", "status": status, "role": "assistant",
		"content": append([]object{}, parts...),
	}
}

func (a responsesAnswer) response(status string) object {
	r := object{
		"id": "resp_fake", "object": "response", "created_at": modelsCreated, "status": status,
		"model": a.model, "output": []object{}, "error": nil, "incomplete_details": nil, "instructions": nil,
		"metadata": object{}, "parallel_tool_calls": true, "temperature": 1.0, "top_p": 1.0,
		"tool_choice": "auto", "tools": []any{}, "usage": nil,
	}
	if status == "completed" {
		output := countTokens(a.text)
		r["output"] = []object{a.item("completed", a.part(a.text))}
		r["usage"] = object{
			"input_tokens": a.input, "input_tokens_details": object{"cached_tokens": 0},
			"output_tokens": output, "output_tokens_details": object{"reasoning_tokens": 0},
			"total_tokens": a.input + output,
		}
	}
	return r
}

func (a responsesAnswer) events() []modelEvent {
	var events []modelEvent
	add := func(kind string, data object) {
		data["type"], data["sequence_number"] = kind, len(events)
		events = append(events, modelEvent{kind, data})
	}
	inPart := func(data object) object {
		data["item_id"], data["output_index"], data["content_index"] = responsesItem, 0, 0
		return data
	}
	add("response.created", object{"response": a.response("in_progress")})
	add("response.in_progress", object{"response": a.response("in_progress")})
	add("response.output_item.added", object{"output_index": 0, "item": a.item("in_progress")})
	add("response.content_part.added", inPart(object{"part": a.part("")}))
	for _, token := range tokens(a.text) {
		add("response.output_text.delta", inPart(object{"delta": token, "logprobs": []any{}}))
	}
	add("response.output_text.done", inPart(object{"text": a.text, "logprobs": []any{}}))
	add("response.content_part.done", inPart(object{"part": a.part(a.text)}))
	add("response.output_item.done", object{"output_index": 0, "item": a.item("completed", a.part(a.text))})
	add("response.completed", object{"response": a.response("completed")})
	return events
}
