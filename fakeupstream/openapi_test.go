package fakeupstream

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// openapi.json is held to the control port that it describes, in both directions.

type apiSchema struct {
	Ref        string `json:"$ref"`
	Type       string
	Enum       []string
	Properties map[string]*apiSchema
	Required   []string
	Items      *apiSchema
	Extra      json.RawMessage `json:"additionalProperties"`
}

type apiContent map[string]struct {
	Schema  *apiSchema
	Example json.RawMessage
}

type apiDocument struct {
	Paths map[string]map[string]struct {
		Parameters []struct {
			Name    string
			Schema  *apiSchema
			Example any
		}
		RequestBody struct{ Content apiContent }
		Responses   map[string]struct{ Content apiContent }
	}
	Components struct{ Schemas map[string]*apiSchema }
}

func readAPI(t *testing.T) *apiDocument {
	t.Helper()
	var doc apiDocument
	if err := json.Unmarshal(OpenAPI(), &doc); err != nil {
		t.Fatal(err)
	}
	return &doc
}

// check compares a value with a schema.
func (doc *apiDocument) check(at string, s *apiSchema, v any) error {
	if s.Ref != "" {
		return doc.check(at, doc.Components.Schemas[s.Ref[strings.LastIndexByte(s.Ref, '/')+1:]], v)
	}
	kind := map[bool]string{true: "?"}[v == nil]
	switch v := v.(type) {
	case string:
		kind = "string"
		if s.Enum != nil && !slices.Contains(s.Enum, v) {
			return fmt.Errorf("%s: %q is none of %q", at, v, s.Enum)
		}
	case bool:
		kind = "boolean"
	case float64:
		kind = "integer"
	case []any:
		kind = "array"
		for i := range v {
			if err := doc.check(fmt.Sprintf("%s[%d]", at, i), s.Items, v[i]); err != nil {
				return err
			}
		}
	case map[string]any:
		kind = "object"
		for _, name := range s.Required {
			if _, ok := v[name]; !ok {
				return fmt.Errorf("%s: no %s", at, name)
			}
		}
		for name := range v {
			if p := s.Properties[name]; p != nil {
				if err := doc.check(at+"."+name, p, v[name]); err != nil {
					return err
				}
			} else if string(s.Extra) == "false" {
				return fmt.Errorf("%s: %s is not described", at, name)
			}
		}
	}
	if kind != s.Type {
		return fmt.Errorf("%s: %s, want %s", at, kind, s.Type)
	}
	return nil
}

func TestOpenAPIDescribesTheOperations(t *testing.T) {
	doc := readAPI(t)
	described, there := map[string]bool{}, map[string]bool{}
	for path, methods := range doc.Paths {
		for method := range methods {
			described[strings.ToUpper(method)+" "+path] = true
		}
	}
	for _, op := range operations {
		there[op.method+" "+op.path] = true
	}
	if !maps.Equal(described, there) {
		t.Errorf("described: %v\nthere: %v", described, there)
	}
	kinds := map[string]bool{}
	for _, kind := range doc.Components.Schemas["Fault"].Properties["kind"].Enum {
		kinds[kind] = true
	}
	for _, kind := range FaultKinds() {
		if !kinds[string(kind)] {
			t.Errorf("fault %s is not described", kind)
		}
	}
	if len(kinds) != len(FaultKinds()) {
		t.Errorf("%d faults are described, %d are there", len(kinds), len(FaultKinds()))
	}
}

// TestOpenAPIExamples calls each operation with the examples of the description
// and compares what comes back with what it promises.
func TestOpenAPIExamples(t *testing.T) {
	doc := readAPI(t)
	up := NewTest(t)
	control := httptest.NewServer(up.Control())
	t.Cleanup(control.Close)
	for _, op := range operations {
		if resp, err := up.Client().Get(up.URL + "/echo"); err != nil {
			t.Fatal(err)
		} else {
			resp.Body.Close()
		}
		spec := doc.Paths[op.path][strings.ToLower(op.method)]
		query := url.Values{}
		for _, p := range spec.Parameters {
			if p.Example != nil {
				query.Set(p.Name, fmt.Sprint(p.Example))
			}
		}
		if op.path == "/events" || op.path == "/streams/wait" {
			resp, err := up.Client().Get(up.URL + "/sse?name=spec")
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if err := up.WaitStream(t.Context(), "spec"); err != nil {
				t.Fatal(err)
			}
		}
		call := func(query url.Values, body string) (*http.Response, []byte) {
			req, _ := http.NewRequest(op.method, control.URL+op.path+"?"+query.Encode(), strings.NewReader(body))
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			p, _ := io.ReadAll(resp.Body)
			return resp, p
		}
		verify := func(resp *http.Response, p []byte) {
			t.Helper()
			promised, ok := spec.Responses[fmt.Sprint(resp.StatusCode)]
			if !ok {
				t.Errorf("%s %s: status %d is not described: %s", op.method, op.path, resp.StatusCode, p)
				return
			}
			if len(promised.Content) == 0 {
				if len(p) > 0 {
					t.Errorf("%s %s: a body that is not described: %s", op.method, op.path, p)
				}
				return
			}
			content, ok := promised.Content[resp.Header.Get("Content-Type")]
			if !ok {
				t.Errorf("%s %s: type %q is not described", op.method, op.path, resp.Header.Get("Content-Type"))
				return
			}
			var v any = string(p)
			if strings.HasSuffix(resp.Header.Get("Content-Type"), "json") {
				if err := json.Unmarshal(p, &v); err != nil {
					t.Errorf("%s %s: %v", op.method, op.path, err)
				}
			}
			if err := doc.check(op.method+" "+op.path, content.Schema, v); err != nil {
				t.Error(err)
			}
		}
		body := spec.RequestBody.Content["application/json"]
		resp, p := call(query, string(body.Example))
		if resp.StatusCode >= 300 {
			t.Errorf("%s %s: the example gets %s: %s", op.method, op.path, resp.Status, p)
		}
		verify(resp, p)
		if body.Schema != nil {
			var v any
			json.Unmarshal(body.Example, &v)
			if err := doc.check("example of "+op.path, body.Schema, v); err != nil {
				t.Error(err)
			}
			for _, nonsense := range []string{"", "{", `{"nonsense":1}`} {
				resp, p := call(query, nonsense)
				if resp.StatusCode != 400 {
					t.Errorf("%s %s of %q: %s", op.method, op.path, nonsense, resp.Status)
				}
				verify(resp, p)
			}
		}
		for _, p := range spec.Parameters {
			bad := maps.Clone(query)
			if p.Schema.Type == "string" && p.Schema.Enum == nil {
				continue
			}
			bad.Set(p.Name, "nonsense")
			resp, answer := call(bad, string(body.Example))
			if resp.StatusCode != 400 {
				t.Errorf("%s %s with a bad %s: %s", op.method, op.path, p.Name, resp.Status)
			}
			verify(resp, answer)
		}
	}
}

func TestControlIsForThisMachineOnly(t *testing.T) {
	up := NewTest(t)
	for host, want := range map[string]int{"localhost:1": 200, "127.0.0.1:1": 200, "[::1]:1": 200, "evil.test:1": 403} {
		w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "/requests", nil)
		r.Host = host
		up.Control().ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("%s: %d", host, w.Code)
		}
		r.Header.Set("Origin", "http://localhost")
		w = httptest.NewRecorder()
		if up.Control().ServeHTTP(w, r); w.Code != 403 {
			t.Errorf("%s with Origin: %d", host, w.Code)
		}
	}
}
