package proxy

import (
	"fmt"
	"slices"
	"strings"

	"credproxy/proxy/http1"
)

// The keys set_headers, append_headers, strip_headers and keep_headers.

// FieldConfig is a fixed field of a route, which is no secret.
type FieldConfig struct{ Name, Value string }

func (p *configParser) setFields(where string, v jsonValue, r *RouteConfig) {
	r.Set = p.fields(where, v)
}

func (p *configParser) appendFields(where string, v jsonValue, r *RouteConfig) {
	r.Append = p.fields(where, v)
}

// fields reads {"Name": "value"}, in the order of the file.
func (p *configParser) fields(where string, v jsonValue) (fields []FieldConfig) {
	if v.kind != "object" {
		p.errorf(where, "must be an object of names and values (got %s)", v.kind)
	}
	for _, m := range v.members {
		where := fmt.Sprintf("%s %q", where, m.name)
		err := checkName(m.name)
		switch {
		case err != nil:
		case m.value.kind != "string":
			err = fmt.Errorf("must be a string (got %s)", m.value.kind)
		case m.value.str == "" || strings.TrimSpace(m.value.str) != m.value.str || !http1.IsValue(m.value.str):
			err = fmt.Errorf("value must be visible text that neither begins nor ends with a space") // unquoted: who knows what it is
		case isSlot(m.name):
			err = fmt.Errorf("holds a credential: use auth_header and token_env")
		}
		if err != nil {
			p.errorf(where, "%v", err)
		}
		fields = append(fields, FieldConfig{m.name, m.value.str})
	}
	return fields
}

func (p *configParser) stripFields(where string, v jsonValue, r *RouteConfig) {
	r.Strip = p.names(where, v)
}

func (p *configParser) keepFields(where string, v jsonValue, r *RouteConfig) {
	r.Keep = p.names(where, v)
	for _, n := range r.Keep {
		if checkName(n) == nil && !isSlot(n) {
			p.errorf(where, "%q is not dropped anyway", n)
		}
	}
}

// names reads a list of field names.
func (p *configParser) names(where string, v jsonValue) (names []string) {
	if v.kind != "array" {
		p.errorf(where, "must be a list of names (got %s)", v.kind)
	}
	for i, item := range v.items {
		if item.kind != "string" {
			p.errorf(fmt.Sprintf("%s[%d]", where, i), "must be a string (got %s)", item.kind)
			continue
		}
		if err := checkName(item.str); err != nil {
			p.errorf(fmt.Sprintf("%s[%d]", where, i), "%v", err)
		}
		names = append(names, item.str)
	}
	return names
}

// ownFields are the fields that a configuration cannot touch: those that frame a message or belong to one connection,
// and those that the proxy sets itself.
var ownFields = slices.Concat(hopByHop, proxysOwn, []string{"host", "content-length", "accept-encoding", "expect",
	"http2-settings", "sec-websocket-key", "sec-websocket-version", "sec-websocket-accept", "sec-websocket-protocol"})

// checkName reports why a field cannot be configured.
func checkName(name string) error {
	if !http1.IsToken(name) {
		return fmt.Errorf("%q is not the name of a header field", name)
	}
	if slices.Contains(ownFields, canonicalName(name)) {
		return fmt.Errorf("%q is the proxy's own: it frames the message or belongs to the connection", name)
	}
	return nil
}

// checkNames reports a field that a route is told two things about.
func (p *configParser) checkNames(where string, r *RouteConfig) {
	said := map[string]string{}
	say := func(key, name string) {
		n := canonicalName(name)
		if first, dup := said[n]; dup {
			p.errorf(where+": "+key, "%q is already in %s", name, first)
			return
		}
		said[n] = key
	}
	for _, c := range r.Credentials {
		say("auth_header", c.Header)
	}
	for _, f := range r.Set {
		say("set_headers", f.Name)
	}
	for _, f := range r.Append {
		say("append_headers", f.Name)
	}
	for _, n := range r.Strip {
		say("strip_headers", n)
	}
	for _, n := range r.Keep {
		if canonicalName(n) == "authorization" {
			p.errorf(where+": keep_headers", "%q is always dropped", n)
			continue
		}
		say("keep_headers", n)
	}
}
