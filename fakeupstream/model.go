package fakeupstream

import (
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// The model APIs answer every prompt alike: they say what they were told. Their
// tokens are words.

// models are those that the model APIs list; they answer as any model.
var models = []string{"fake-large-1", "fake-small-1"}

const modelsCreated = 1700000000 // as Unix time

// modelBuiltins are shared by the two APIs that have the path.
var modelBuiltins = []builtin{
	{"/v1/models", "the models, as Anthropic lists them if there is an anthropic-version, else as OpenAI does", listModels},
	{"/v1/models/{x}", "one of the models", oneModel},
}

const promptLimit = 32 << 20

// An apiShape is what an API's errors look like.
type apiShape func(status int, message string) any

// answerError answers with an error in the API's own shape.
func (shape apiShape) answerError(x *Exchange, status int, message string) error {
	if _, err := x.ReadBody(); err != nil {
		return err
	}
	return x.JSON(status, shape(status, message), requestID)
}

// requestID is the same for all, as everything is.
var requestID = Field{"Request-Id", "req_fake"}

// guarded is b for requests that show a credential, and an error in the API's
// shape for the others.
func (shape apiShape) guarded(b Behaviour) Behaviour {
	return func(x *Exchange) error {
		if !x.allowed() {
			return shape.answerError(x, http.StatusUnauthorized, "a token is required")
		}
		return b(x)
	}
}

// readPrompt reads the JSON of a POST into v; what is wrong with it is answered
// in the API's shape and ok is false.
func (shape apiShape) readPrompt(x *Exchange, v any) (ok bool, err error) {
	if x.rec.Method != http.MethodPost {
		return false, shape.answerError(x, http.StatusMethodNotAllowed, "want POST")
	}
	body, err := io.ReadAll(io.LimitReader(x, promptLimit+1))
	if err != nil {
		return false, err
	}
	if len(body) > promptLimit {
		return false, shape.answerError(x, http.StatusRequestEntityTooLarge, "the prompt is larger than 32 MiB")
	}
	if err := json.Unmarshal(body, v); err != nil {
		return false, shape.answerError(x, http.StatusBadRequest, "the request is not the JSON that it should be: "+err.Error())
	}
	return true, nil
}

// wantedError returns the status NNN that a model called error-NNN asks for.
func wantedError(model string) (status int, ok bool) {
	code, ok := strings.CutPrefix(model, "error-")
	status, err := strconv.Atoi(code)
	return status, ok && err == nil && status >= 400 && status <= 599
}

// saying is the answer to a prompt.
func saying(prompt string) string {
	if prompt == "" {
		return "You said nothing."
	}
	return "You said: " + prompt
}

// tokens splits a text so that joining them gives it back.
func tokens(text string) []string { return strings.SplitAfter(text, " ") }

func countTokens(text string) int { return len(strings.Fields(text)) }

// textOf returns the text of a message's content, which is a string or a list
// of parts of which some have text.
func textOf(content json.RawMessage) string {
	var text string
	if json.Unmarshal(content, &text) == nil {
		return text
	}
	var parts []struct {
		Text string `json:"text"`
	}
	json.Unmarshal(content, &parts)
	var texts []string
	for _, part := range parts {
		if part.Text != "" {
			texts = append(texts, part.Text)
		}
	}
	return strings.Join(texts, " ")
}

// A turn is a message of a conversation.
type turn struct {
	Role    string          `json:"role"`
	Content json.RawMessage `json:"content"`
}

// lastOfUser returns the text of the last turn of the user, and how many tokens
// all of them have.
func lastOfUser(turns []turn) (text string, count int) {
	for _, t := range turns {
		s := textOf(t.Content)
		count += countTokens(s)
		if t.Role == "user" {
			text = s
		}
	}
	return text, count
}

// sendEvents sends events with the JSON of their data, every so often.
func (x *Exchange) sendEvents(p params, events []modelEvent) error {
	every, err := p.millis("ms", 0)
	if err != nil {
		return x.Answer(http.StatusBadRequest, []byte(err.Error()+"\n"), plainText)
	}
	if err := x.Head(http.StatusOK, Chunked, 0, append([]Field{requestID}, eventStream...)...); err != nil {
		return err
	}
	for _, e := range events {
		data, err := marshal(e.data)
		if err != nil {
			return err
		}
		if s, ok := e.data.(string); ok {
			data = []byte(s)
		}
		if err := x.pause(every); err != nil {
			return err
		}
		if _, err := x.Write(Event{Event: e.name, Data: string(data)}.bytes()); err != nil {
			return err
		}
	}
	return nil
}

// A modelEvent has data that is sent as JSON, or as it is if it is a string.
type modelEvent struct {
	name string
	data any
}

type object = map[string]any

func listModels(params) (Behaviour, error) {
	return func(x *Exchange) error {
		var list []object
		shape, isAnthropic := openAIError, x.rec.Get("anthropic-version") != ""
		if isAnthropic {
			shape = anthropicError
		}
		for _, id := range models {
			list = append(list, describeModel(id, isAnthropic))
		}
		answer := object{"object": "list", "data": list}
		if isAnthropic {
			answer = object{"data": list, "has_more": false, "first_id": models[0], "last_id": models[len(models)-1]}
		}
		return shape.guarded(func(x *Exchange) error { return x.JSON(http.StatusOK, answer, requestID) })(x)
	}, nil
}

func oneModel(p params) (Behaviour, error) {
	return func(x *Exchange) error {
		shape, isAnthropic := openAIError, x.rec.Get("anthropic-version") != ""
		if isAnthropic {
			shape = anthropicError
		}
		return shape.guarded(func(x *Exchange) error {
			for _, id := range models {
				if id == p.arg {
					return x.JSON(http.StatusOK, describeModel(id, isAnthropic), requestID)
				}
			}
			return shape.answerError(x, http.StatusNotFound, "model: "+p.arg)
		})(x)
	}, nil
}

func describeModel(id string, isAnthropic bool) object {
	if isAnthropic {
		return object{"type": "model", "id": id, "display_name": id, "created_at": "2023-11-14T22:13:20Z"}
	}
	return object{"object": "model", "id": id, "created": modelsCreated, "owned_by": "fakeupstream"}
}
