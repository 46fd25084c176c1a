package fakeupstream

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
)

// answerBuiltins are the behaviours that speak no protocol but HTTP.
var answerBuiltins = []builtin{
	{"/echo", "200 and what was received, as JSON", fixed(echo)},
	{"/sse", "server-sent events: in lock-step under name=, or n= of them every ms=, with id=1, ping= (a comment every so many), retry= (ms), event=", newSSE},
	{"/bytes", "n= bytes made from seed=, framing=length|chunked|close, piece= bytes a write", newBytes},
	{"/sink", "reads the body and answers with its size and SHA-256", fixed(sink)},
	{"/reflect", "the Authorization that was received, where=both|header|body|trailer|reason, part=value|token, as=plain|base64|base64-1|base64-2|base64url|base64url-1|base64url-2|percent|percent-all|percent-lower|percent-some|json|json-upper|json-some|json-slash|hex|hex-upper|upper|reverse, split= bytes a write, framing=, status=, encoding=", newReflect},
	{"/encoded", "an echo in the Content-Encoding as=gzip|deflate|raw-deflate|br|zstd|x-lzw|identity, called label=", newEncoded},
	{"/status/{x}", "that status with a short text", newStatus},
}

// fixed is a behaviour without parameters.
func fixed(b Behaviour) func(params) (Behaviour, error) {
	return func(params) (Behaviour, error) { return b, nil }
}

// firstError returns the first error that is not nil.
func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// newStatus is /status/NNN.
func newStatus(p params) (Behaviour, error) {
	status, err := strconv.Atoi(p.arg)
	if err != nil || status < 200 || status > 999 {
		return nil, errors.New("want a status from 200 to 999")
	}
	return func(x *Exchange) error {
		if _, err := x.ReadBody(); err != nil {
			return err
		}
		return x.Answer(status, fmt.Appendf(nil, "%d %s\n", status, http.StatusText(status)), plainText)
	}, nil
}
