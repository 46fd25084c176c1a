package fakeupstream

import (
	"net/http"
	"unicode/utf8"
)

// An echoAnswer is what /echo answers.
type echoAnswer struct {
	Method     string  `json:"method"`
	Target     string  `json:"target"`
	Proto      string  `json:"proto"`
	Host       string  `json:"host"`
	Fields     []Field `json:"fields"`
	Body       string  `json:"body"`
	BodyBase64 []byte  `json:"body_base64,omitempty"` // in place of a body that is not UTF-8
	BodySize   int64   `json:"body_size"`
	BodySHA256 string  `json:"body_sha256"`
	Trailers   []Field `json:"trailers,omitempty"`
}

// echoOf describes a request that has been read.
func echoOf(q Request) echoAnswer {
	e := echoAnswer{
		Method: q.Method, Target: q.Target, Proto: q.Proto, Host: q.Get("Host"), Fields: q.Fields,
		BodySize: q.BodySize, BodySHA256: q.BodySHA256, Trailers: q.Trailers,
	}
	if utf8.Valid(q.Body) {
		e.Body = string(q.Body)
	} else {
		e.BodyBase64 = q.Body
	}
	return e
}

// echo answers with what was received.
func echo(x *Exchange) error {
	if _, err := x.ReadBody(); err != nil {
		return err
	}
	return x.JSON(http.StatusOK, echoOf(x.Request()))
}
