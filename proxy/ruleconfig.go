package proxy

import (
	"fmt"
	"slices"
	"strings"
)

// The keys allow, deny, deny_minting and git.

// Rule names requests of a route: {"methods": ["GET"], "path": "/v1/models/*"}.
type Rule struct {
	Methods []string // none: all
	Path    string   // relative to the route's prefix, decoded; "*" is one segment, "**" at the end any rest
}

// String is what `cred-proxy check` shows: "GET,HEAD /v1/models/*".
func (r Rule) String() string {
	if len(r.Methods) == 0 {
		return r.Path
	}
	return strings.Join(r.Methods, ",") + " " + r.Path
}

// maxRules bounds a list of rules: each is looked at for each request.
const maxRules = 256

func (p *configParser) allow(where string, v jsonValue, r *RouteConfig) {
	if v.kind == "array" && len(v.items) == 0 {
		p.errorf(where, "lets nothing pass; leave it out to let everything")
	}
	r.Allow = p.rules(where, v)
}

func (p *configParser) deny(where string, v jsonValue, r *RouteConfig) { r.Deny = p.rules(where, v) }

func (p *configParser) rules(where string, v jsonValue) (rules []Rule) {
	if v.kind != "array" {
		p.errorf(where, "must be a list of rules (got %s)", v.kind)
	}
	if len(v.items) > maxRules {
		p.errorf(where, "more than %d rules", maxRules)
	}
	for i, item := range v.items {
		rules = append(rules, p.rule(fmt.Sprintf("%s[%d]", where, i), item))
	}
	return rules
}

func (p *configParser) rule(where string, v jsonValue) (r Rule) {
	if v.kind != "object" {
		p.errorf(where, "must be an object (got %s)", v.kind)
		return r
	}
	p.unknown(where, v, "methods", "path")
	if m, ok := v.get("path"); ok {
		stringKey(setRulePath)(p, where+": path", m, &r)
	} else {
		p.errorf(where+": path", "missing")
	}
	if m, ok := v.get("methods"); ok {
		p.methods(where+": methods", m, &r)
	}
	return r
}

func (p *configParser) methods(where string, v jsonValue, r *Rule) {
	if v.kind != "array" || len(v.items) == 0 {
		p.errorf(where, "must be a list that is not empty; without it a rule is for all methods")
	}
	for _, m := range v.items {
		if m.kind != "string" || !slices.Contains(methods, m.str) {
			p.errorf(where, "%q is none of %s", m.str, strings.Join(methods, ", "))
		}
		r.Methods = append(r.Methods, m.str)
	}
}

func setRulePath(r *Rule, s string) error {
	if !strings.HasPrefix(s, "/") {
		return fmt.Errorf("must begin with a slash: it is relative to the route's prefix")
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c == '%':
			return fmt.Errorf("is matched on the decoded path: write the character itself for a percent escape")
		case c < ' ' || c == 0x7f || strings.IndexByte(`?#;\`, c) >= 0:
			return fmt.Errorf("byte %q cannot stand in a rule", c)
		}
	}
	segments := strings.Split(s[1:], "/")
	if len(segments) > maxSegments {
		return fmt.Errorf("more than %d segments", maxSegments)
	}
	for i, segment := range segments {
		last := i == len(segments)-1
		switch {
		case segment == "" && !last:
			return fmt.Errorf("has an empty segment")
		case segment != "" && len(bareName([]byte(segment))) == 0:
			return fmt.Errorf("has a segment of dots or blanks")
		case segment == anyRest && !last:
			return fmt.Errorf("** is any rest: it stands at the end")
		case strings.Contains(segment, "*") && segment != anySegment && segment != anyRest:
			return fmt.Errorf("* is a whole segment")
		}
	}
	r.Path = s
	return nil
}

func (p *configParser) denyMinting(where string, v jsonValue, r *RouteConfig) {
	if on, ok := p.boolean(where, v); ok {
		r.DenyMinting = &on
	}
}

func setGit(r *RouteConfig, s string) error {
	switch s {
	case "fetch":
	case "none":
		r.GitNone = true
	default:
		return fmt.Errorf(`must be "fetch" or "none"; a push is refused on every route`)
	}
	return nil
}
