package fakeupstream

import "net/http"

// anthropicBuiltins are the Anthropic API. A model called error-NNN answers with
// that error.
var anthropicBuiltins = []builtin{
	{"/v1/messages", "the Anthropic Messages API, JSON and SSE with pings, an event every ms= (0); wants a token", newMessages},
	{"/v1/messages/count_tokens", "Anthropic's token count: the words", newCountTokens},
}

// anthropicErrors are the types of Anthropic's errors.
var anthropicErrors = map[int]string{
	400: "invalid_request_error", 401: "authentication_error", 402: "billing_error", 403: "permission_error",
	404: "not_found_error", 405: "invalid_request_error", 413: "request_too_large", 429: "rate_limit_error",
	500: "api_error", 504: "timeout_error", 529: "overloaded_error",
}

var anthropicError apiShape = func(status int, message string) any {
	kind := anthropicErrors[status]
	if kind == "" {
		kind = "api_error"
	}
	return object{"type": "error", "error": object{"type": kind, "message": message}, "request_id": requestID.Value}
}

type anthropicPrompt struct {
	Model     string `json:"model"`
	MaxTokens int    `json:"max_tokens"`
	Messages  []turn `json:"messages"`
	Stream    bool   `json:"stream"`
}

// problem says what the API would refuse, or nothing.
func (p *anthropicPrompt) problem(x *Exchange) string {
	switch {
	case x.rec.Get("anthropic-version") == "":
		return "anthropic-version: header is required"
	case p.Model == "":
		return "model: Field required"
	case len(p.Messages) == 0:
		return "messages: Field required"
	}
	return ""
}

func newMessages(p params) (Behaviour, error) {
	return anthropicError.guarded(func(x *Exchange) error {
		var prompt anthropicPrompt
		if ok, err := anthropicError.readPrompt(x, &prompt); !ok {
			return err
		}
		problem := prompt.problem(x)
		if problem == "" && prompt.MaxTokens < 1 {
			problem = "max_tokens: Field required"
		}
		if problem != "" {
			return anthropicError.answerError(x, http.StatusBadRequest, problem)
		}
		if status, ok := wantedError(prompt.Model); ok {
			return anthropicError.answerError(x, status, "as you wish")
		}
		said, input := lastOfUser(prompt.Messages)
		text := saying(said)
		message := func(content []object, stop any, output int) object {
			return object{
				"id": "msg_fake", "type": "message", "role": "assistant", "model": prompt.Model,
				"content": content, "stop_reason": stop, "stop_sequence": nil,
				"usage": object{"input_tokens": input, "output_tokens": output},
			}
		}
		if !prompt.Stream {
			content := []object{{"type": "text", "text": text}}
			return x.JSON(http.StatusOK, message(content, "end_turn", countTokens(text)), requestID)
		}
		return x.sendEvents(p, anthropicEvents(message([]object{}, nil, 1), text))
	}), nil
}

// anthropicEvents are the events of a stream of one text.
func anthropicEvents(start object, text string) []modelEvent {
	var events []modelEvent
	add := func(kind string, data object) {
		data["type"] = kind
		events = append(events, modelEvent{kind, data})
	}
	add("message_start", object{"message": start})
	add("content_block_start", object{"index": 0, "content_block": object{"type": "text", "text": ""}})
	add("ping", object{})
	for i, token := range tokens(text) {
		if i > 0 && i%10 == 0 {
			add("ping", object{})
		}
		add("content_block_delta", object{"index": 0, "delta": object{"type": "text_delta", "text": token}})
	}
	add("content_block_stop", object{"index": 0})
	add("message_delta", object{
		"delta": object{"stop_reason": "end_turn", "stop_sequence": nil},
		"usage": object{"output_tokens": countTokens(text)},
	})
	add("message_stop", object{})
	return events
}

func newCountTokens(params) (Behaviour, error) {
	return anthropicError.guarded(func(x *Exchange) error {
		var prompt anthropicPrompt
		if ok, err := anthropicError.readPrompt(x, &prompt); !ok {
			return err
		}
		if problem := prompt.problem(x); problem != "" {
			return anthropicError.answerError(x, http.StatusBadRequest, problem)
		}
		_, count := lastOfUser(prompt.Messages)
		return x.JSON(http.StatusOK, object{"input_tokens": count}, requestID)
	}), nil
}
