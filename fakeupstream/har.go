package fakeupstream

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"
)

// HAR returns the exchanges so far as an HTTP archive (HAR 1.2), which the
// network view of a browser's developer tools opens. Credentials are in it.
func (s *Server) HAR() ([]byte, error) {
	entries := []harEntry{}
	for _, q := range s.Requests() {
		entries = append(entries, s.harEntry(q))
	}
	return marshal(map[string]any{"log": map[string]any{
		"version": "1.2",
		"creator": map[string]string{"name": "fakeupstream", "version": "1"},
		"entries": entries,
	}})
}

type harPair struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

type harContent struct {
	Size     int64  `json:"size"`
	MIMEType string `json:"mimeType"`
	Text     string `json:"text"`
	Encoding string `json:"encoding,omitempty"`
}

type harPost struct {
	MIMEType string    `json:"mimeType"`
	Params   []harPair `json:"params"`
	Text     string    `json:"text"`
	Comment  string    `json:"comment,omitempty"`
}

type harRequest struct {
	Method      string    `json:"method"`
	URL         string    `json:"url"`
	HTTPVersion string    `json:"httpVersion"`
	Cookies     []harPair `json:"cookies"`
	Headers     []harPair `json:"headers"`
	QueryString []harPair `json:"queryString"`
	PostData    *harPost  `json:"postData,omitempty"`
	HeadersSize int       `json:"headersSize"`
	BodySize    int64     `json:"bodySize"`
}

type harResponse struct {
	Status      int        `json:"status"`
	StatusText  string     `json:"statusText"`
	HTTPVersion string     `json:"httpVersion"`
	Cookies     []harPair  `json:"cookies"`
	Headers     []harPair  `json:"headers"`
	Content     harContent `json:"content"`
	RedirectURL string     `json:"redirectURL"`
	HeadersSize int        `json:"headersSize"`
	BodySize    int64      `json:"bodySize"`
}

type harEntry struct {
	StartedDateTime string           `json:"startedDateTime"`
	Time            float64          `json:"time"`
	Request         harRequest       `json:"request"`
	Response        harResponse      `json:"response"`
	Cache           struct{}         `json:"cache"`
	Timings         map[string]int64 `json:"timings"`
	Connection      string           `json:"connection"`
}

func (s *Server) harEntry(q Request) harEntry {
	end := q.Answer.End
	if end.IsZero() {
		end = time.Now()
	}
	took := end.Sub(q.Time)
	e := harEntry{
		StartedDateTime: q.Time.Format(time.RFC3339Nano),
		Time:            float64(took.Microseconds()) / 1000,
		Request: harRequest{
			Method: q.Method, URL: s.URL + q.Target, HTTPVersion: q.Proto,
			Cookies: []harPair{}, Headers: harPairs(q.Fields), QueryString: harQuery(q.Query()),
			HeadersSize: len(q.Head), BodySize: q.BodySize,
		},
		Response:   harAnswer(q),
		Timings:    map[string]int64{"send": 0, "wait": took.Milliseconds(), "receive": 0},
		Connection: q.RemoteAddr,
	}
	if q.BodySize > 0 {
		text, encoding := harText(q.Body)
		e.Request.PostData = &harPost{MIMEType: q.Get("Content-Type"), Params: []harPair{}, Text: text, Comment: encoding}
	}
	return e
}

// harAnswer describes what was written, which need not be a response at all.
func harAnswer(q Request) harResponse {
	a := harResponse{
		Status: q.Answer.Status, HTTPVersion: "HTTP/1.1", Cookies: []harPair{}, Headers: []harPair{},
		HeadersSize: len(q.Answer.Head), BodySize: q.Answer.Size,
		Content: harContent{Size: q.Answer.Size},
	}
	a.Content.Text, a.Content.Encoding = harText(q.Answer.Body)
	if line, rest, ok := bytes.Cut(q.Answer.Head, []byte("\n")); ok {
		a.Headers = harPairs(parseFields(rest))
		if parts := strings.SplitN(strings.TrimSpace(string(line)), " ", 3); len(parts) == 3 {
			a.StatusText = parts[2]
		}
	}
	if resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(q.Answer.Head)), nil); err == nil {
		a.Content.MIMEType = resp.Header.Get("Content-Type")
		a.RedirectURL = resp.Header.Get("Location")
	}
	return a
}

func harPairs(fields []Field) []harPair {
	pairs := []harPair{}
	for _, f := range fields {
		pairs = append(pairs, harPair(f))
	}
	return pairs
}

func harQuery(query string) []harPair {
	pairs := []harPair{}
	if query == "" {
		return pairs
	}
	for pair := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(pair, "=")
		if v, err := url.QueryUnescape(value); err == nil {
			value = v
		}
		pairs = append(pairs, harPair{name, value})
	}
	return pairs
}

func harText(p []byte) (text, encoding string) {
	if utf8.Valid(p) {
		return string(p), ""
	}
	return base64.StdEncoding.EncodeToString(p), "base64"
}
