package proxy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// jsonValue is a JSON value as it was written. encoding/json alone will not do: it folds the case of names, takes the
// last of two equal ones and mends bad UTF-8, and each of these would hide a mistake in a routes.json.
type jsonValue struct {
	kind    string // "object", "array", "string", "number", "boolean" or "null"
	str     string // of a string its text, of a number or a boolean how it is written
	members []jsonMember
	items   []jsonValue
}

type jsonMember struct {
	name  string
	value jsonValue
}

// jsonError is an error at a byte of the document.
type jsonError struct {
	offset int
	msg    string
}

func (e *jsonError) Error() string { return e.msg }

// at returns the line and the column, in bytes, both from 1.
func (e *jsonError) at(data []byte) (line, col int) {
	before := data[:min(e.offset, len(data))]
	return 1 + bytes.Count(before, []byte("\n")), e.offset - bytes.LastIndexByte(before, '\n')
}

// parseJSON parses one document and nothing after it. Its errors are *jsonError.
func parseJSON(data []byte) (jsonValue, error) {
	for i := 0; i < len(data); {
		r, n := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && n == 1 {
			return jsonValue{}, &jsonError{i, "invalid UTF-8"}
		}
		i += n
	}
	var whole json.RawMessage
	if err := json.Unmarshal(data, &whole); err != nil {
		e := &jsonError{len(data), err.Error()}
		if syntax, ok := errors.AsType[*json.SyntaxError](err); ok && !strings.HasPrefix(e.msg, "unexpected end") {
			e.offset = int(syntax.Offset) - 1
		}
		return jsonValue{}, e
	}
	w := jsonWalker{data: data, dec: json.NewDecoder(bytes.NewReader(data))}
	w.dec.UseNumber()
	return w.value()
}

// jsonWalker walks a document that is known to be valid.
type jsonWalker struct {
	data []byte
	dec  *json.Decoder
}

// token returns the next token. A string that encoding/json would mend is an error.
func (w *jsonWalker) token() (json.Token, error) {
	from := w.dec.InputOffset()
	t, err := w.dec.Token()
	if err != nil {
		return nil, &jsonError{int(from), err.Error()}
	}
	if s, ok := t.(string); ok && strings.ContainsRune(s, utf8.RuneError) {
		raw := w.data[from:w.dec.InputOffset()]
		written := bytes.Count(raw, []byte("\uFFFD")) + bytes.Count(bytes.ToLower(raw), []byte(`\ufffd`))
		if strings.Count(s, string(utf8.RuneError)) != written {
			return nil, &jsonError{int(from) + bytes.IndexByte(raw, '"'), "half of a surrogate pair"}
		}
	}
	return t, nil
}

func (w *jsonWalker) value() (jsonValue, error) {
	t, err := w.token()
	if err != nil {
		return jsonValue{}, err
	}
	switch t := t.(type) {
	case json.Delim:
		v := jsonValue{kind: "array"}
		if t == '{' {
			v.kind = "object"
			err = w.members(&v)
		} else {
			err = w.items(&v)
		}
		return v, err
	case string:
		return jsonValue{kind: "string", str: t}, nil
	case json.Number:
		return jsonValue{kind: "number", str: t.String()}, nil
	case bool:
		return jsonValue{kind: "boolean", str: strconv.FormatBool(t)}, nil
	}
	return jsonValue{kind: "null"}, nil
}

func (w *jsonWalker) members(v *jsonValue) error {
	seen := map[string]bool{}
	for w.dec.More() {
		from := w.dec.InputOffset()
		t, err := w.token()
		if err != nil {
			return err
		}
		m := jsonMember{name: t.(string)}
		if seen[m.name] {
			at := int(from) + bytes.IndexByte(w.data[from:], '"')
			return &jsonError{at, fmt.Sprintf("key %q given twice", m.name)}
		}
		seen[m.name] = true
		if m.value, err = w.value(); err != nil {
			return err
		}
		v.members = append(v.members, m)
	}
	_, err := w.token()
	return err
}

func (w *jsonWalker) items(v *jsonValue) error {
	for w.dec.More() {
		item, err := w.value()
		if err != nil {
			return err
		}
		v.items = append(v.items, item)
	}
	_, err := w.token()
	return err
}

// get returns the member of that very name.
func (v *jsonValue) get(name string) (jsonValue, bool) {
	for _, m := range v.members {
		if m.name == name {
			return m.value, true
		}
	}
	return jsonValue{}, false
}
