package proxy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"credproxy/proxy/http1"
)

// shape is how the content of a refusal is written for the clients of an API, as JSON; the nil one is a line of text. Text
// is for git too: it shows its user what comes as text, and of what comes in another type nothing.
type shape func(*Refusal) any

// shapes are those that a route can name. Without a name it has that of its upstream's host.
var shapes = map[string]shape{"anthropic": anthropicShape, "openai": openAIShape, "text": nil}

// shapesOfHosts are those of upstreams at a host, or at one below it, as those of OpenAI's regions are.
var shapesOfHosts = map[string]string{"api.anthropic.com": "anthropic", "api.openai.com": "openai"}

func setRefusals(r *RouteConfig, s string) error {
	if _, ok := shapes[s]; !ok {
		return fmt.Errorf("%q is none of %s", s, strings.Join(slices.Sorted(maps.Keys(shapes)), ", "))
	}
	r.Refusals = s
	return nil
}

// shape is that of the route's refusals.
func (r *RouteConfig) shape() shape {
	if r.Refusals != "" {
		return shapes[r.Refusals]
	}
	for host, name := range shapesOfHosts {
		if strings.HasSuffix("."+r.UpstreamHost(), "."+host) {
			return shapes[name]
		}
	}
	return nil
}

// errorTypes are the types of an API's errors by status, as they are documented. What is not there has the type of the
// others of its class; that of the servers' errors is at 500.
type errorTypes map[int]string

func (t errorTypes) of(r *Refusal) string {
	switch kind := t[r.Status]; {
	case kind != "":
		return kind
	case r.Status < 500:
		return "invalid_request_error"
	}
	return t[500]
}

var (
	anthropicTypes = errorTypes{401: "authentication_error", 403: "permission_error", 404: "not_found_error",
		413: "request_too_large", 429: "rate_limit_error", 500: "api_error", 503: "overloaded_error", 504: "timeout_error"}
	openAITypes = errorTypes{401: "authentication_error", 403: "permission_error", 404: "not_found_error",
		429: "rate_limit_error", 500: "server_error"}
)

// anthropicShape is an error of the Anthropic API.
func anthropicShape(r *Refusal) any {
	type inner struct {
		Type    string `json:"type"`
		Message string `json:"message"`
	}
	return struct {
		Type  string `json:"type"`
		Error inner  `json:"error"`
	}{"error", inner{anthropicTypes.of(r), r.Message}}
}

// openAIShape is an error of the OpenAI API; its code is the refusal's.
func openAIShape(r *Refusal) any {
	type inner struct {
		Message string  `json:"message"`
		Type    string  `json:"type"`
		Param   *string `json:"param"`
		Code    string  `json:"code"`
	}
	return struct {
		Error inner `json:"error"`
	}{inner{r.Message, openAITypes.of(r), nil, r.Code}}
}

// content is what a refusal is answered with, and its media type.
func (s shape) content(r *Refusal) (mediaType string, content []byte) {
	if s == nil {
		return "text/plain; charset=utf-8", append([]byte(r.Message), '\n')
	}
	content, _ = json.Marshal(s(r)) // of a struct of strings, which cannot fail; what is not UTF-8 is replaced
	return "application/json", append(content, '\n')
}

// askedFor returns the shape if a request asks for JSON: by its Accept, as SDKs do, or by being JSON itself.
func (s shape) askedFor(q *http1.Request) shape {
	if s == nil {
		return nil
	}
	for i := range q.Fields {
		f := &q.Fields[i]
		if (http1.EqualFold(f.Name, "accept") || http1.EqualFold(f.Name, "content-type")) && namesJSON(f.Value) {
			return s
		}
	}
	return nil
}

// namesJSON reports whether application/json is in a list of media types.
func namesJSON(list []byte) bool {
	for len(list) > 0 {
		var item []byte
		item, list, _ = bytes.Cut(list, []byte(","))
		item, _, _ = bytes.Cut(item, []byte(";"))
		if http1.EqualFold(bytes.Trim(item, " \t"), "application/json") {
			return true
		}
	}
	return false
}
