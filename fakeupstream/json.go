package fakeupstream

import (
	"time"
	"unicode/utf8"
)

// requestJSON is a Request for other languages: text where there is text, base64
// where there is none.
type requestJSON struct {
	Method     string      `json:"method"`
	Target     string      `json:"target"`
	Path       string      `json:"path"`
	Query      string      `json:"query"`
	Proto      string      `json:"proto"`
	Fields     []Field     `json:"fields"`
	Head       string      `json:"head,omitempty"`
	HeadBase64 []byte      `json:"head_base64,omitempty"`
	Body       string      `json:"body"`
	BodyBase64 []byte      `json:"body_base64,omitempty"`
	BodySize   int64       `json:"body_size"`
	BodySHA256 string      `json:"body_sha256"`
	Trailers   []Field     `json:"trailers"`
	Complete   bool        `json:"complete"`
	Done       bool        `json:"done"`
	Malformed  string      `json:"malformed,omitempty"`
	Time       time.Time   `json:"time"`
	Conn       int         `json:"conn"`
	OnConn     int         `json:"on_conn"`
	Pipelined  bool        `json:"pipelined"`
	RemoteAddr string      `json:"remote_addr"`
	TLSVersion string      `json:"tls_version,omitempty"`
	SNI        string      `json:"sni,omitempty"`
	ALPN       string      `json:"alpn,omitempty"`
	Resumed    bool        `json:"resumed"`
	Faults     []FaultKind `json:"faults"`
	Answer     answerJSON  `json:"answer"`
	Dump       string      `json:"dump"`
}

type answerJSON struct {
	Status int        `json:"status"`
	Head   string     `json:"head"`
	Size   int64      `json:"size"`
	End    *time.Time `json:"end,omitempty"`
}

// MarshalJSON writes the request as the control port does: see the schema
// Request of the OpenAPI description.
func (r Request) MarshalJSON() ([]byte, error) {
	v := requestJSON{
		Method: r.Method, Target: r.Target, Path: r.Path(), Query: r.Query(), Proto: r.Proto,
		Fields:   append([]Field{}, r.Fields...),
		BodySize: r.BodySize, BodySHA256: r.BodySHA256,
		Trailers: append([]Field{}, r.Trailers...),
		Complete: r.Complete, Done: r.Done, Malformed: r.Malformed,
		Time: r.Time, Conn: r.Conn, OnConn: r.OnConn, Pipelined: r.Pipelined, RemoteAddr: r.RemoteAddr,
		TLSVersion: r.TLSVersion, SNI: r.SNI, ALPN: r.ALPN, Resumed: r.Resumed,
		Faults: append([]FaultKind{}, r.Faults...),
		Answer: answerJSON{Status: r.Answer.Status, Head: string(r.Answer.Head), Size: r.Answer.Size},
		Dump:   r.Dump(),
	}
	v.Head, v.HeadBase64 = textOrBase64(r.Head)
	v.Body, v.BodyBase64 = textOrBase64(r.Body)
	if !r.Answer.End.IsZero() {
		v.Answer.End = &r.Answer.End
	}
	return marshal(v)
}

// textOrBase64 returns p as one of the two: the second is not nil if it is not
// UTF-8.
func textOrBase64(p []byte) (string, []byte) {
	if utf8.Valid(p) {
		return string(p), nil
	}
	return "", p
}
