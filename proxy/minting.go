package proxy

import (
	"slices"
	"strings"
)

// The rules of deny_minting: which APIs hand out credentials, and where.

// service is an API that hands out credentials: with one injected credential an agent could get itself another, which it
// can read and keep.
type service struct {
	name  string
	hosts []string // where it is; ".x" is any host below x, "x." any host of which x is a label
	rules []Rule   // from the root of the host
}

var post = []string{"POST"}

// services are those that are known. Requests for tokens and keys, for codes that become tokens, and for adding keys of
// one's own are denied; lists that show no secret are not.
var services = []service{
	{"Anthropic", []string{"api.anthropic.com", "console.anthropic.com", "platform.claude.com", "claude.ai"}, []Rule{
		{nil, "/api/oauth/claude_cli/create_api_key"},
		{post, "/v1/oauth/**"},
		{post, "/oauth/**"},
	}},
	{"OpenAI", []string{"api.openai.com", ".api.openai.com", "auth.openai.com"}, []Rule{
		{post, "/v1/organization/admin_api_keys"},
		{post, "/v1/organization/projects/*/service_accounts"},
		{post, "/v1/realtime/client_secrets"},
		{post, "/v1/realtime/sessions"},
		{post, "/v1/realtime/transcription_sessions"},
		{post, "/v1/chatkit/sessions"},
		{post, "/oauth/**"},
	}},
	{"GitHub", []string{"api.github.com", "github.com", ".ghe.com"}, []Rule{
		{post, "/app/installations/*/access_tokens"},
		{post, "/app-manifests/*/conversions"},
		{[]string{"POST", "PATCH"}, "/applications/*/token"},
		{post, "/applications/*/token/scoped"},
		{[]string{"POST", "PUT", "PATCH"}, "/authorizations/**"},
		{nil, "/copilot_internal/**"},
		{nil, "/login/oauth/**"},
		{post, "/login/device/**"},
		{post, "/user/keys"},
		{post, "/repos/*/*/keys"},
		{post, "/repos/*/*/actions/runners/*"},
		{post, "/repositories/*/keys"}, // by number: the same
		{post, "/repositories/*/actions/runners/*"},
		{post, "/organizations/*/actions/runners/*"},
		{post, "/orgs/*/actions/runners/*"},
		{post, "/enterprises/*/actions/runners/*"},
	}},
	{"GitLab", []string{"gitlab.com"}, []Rule{
		{post, "/oauth/**"},
		{nil, "/jwt/auth"},
		{post, "/api/v4/user/personal_access_tokens"},
		{post, "/api/v4/users/*/personal_access_tokens"},
		{post, "/api/v4/users/*/impersonation_tokens"},
		{post, "/api/v4/personal_access_tokens/*/rotate"},
		{post, "/api/v4/projects/*/access_tokens/**"},
		{post, "/api/v4/groups/*/access_tokens/**"},
		{post, "/api/v4/groups/*/service_accounts/*/personal_access_tokens/**"},
		{post, "/api/v4/projects/*/service_accounts/*/personal_access_tokens/**"},
		{post, "/api/v4/projects/*/deploy_tokens"},
		{post, "/api/v4/groups/*/deploy_tokens"},
		{post, "/api/v4/projects/*/deploy_keys/**"},
		{post, "/api/v4/deploy_keys"},
		{post, "/api/v4/user/keys"},
		{post, "/api/v4/users/*/keys"},
		{nil, "/api/v4/projects/*/triggers/**"},
		{post, "/api/v4/user/runners"},
		{post, "/api/v4/runners/**"},
		{post, "/api/v4/projects/*/runners/reset_registration_token"},
		{post, "/api/v4/groups/*/runners/reset_registration_token"},
		{post, "/api/v4/projects/*/cluster_agents/*/tokens"},
		{post, "/api/v4/code_suggestions/direct_access"},
		{post, "/api/v4/ai/duo_workflows/direct_access"},
		{nil, "/api/v4/packages/conan/*/users/authenticate"},
		{nil, "/api/v4/projects/*/packages/conan/*/users/authenticate"},
	}},
	{"Gitea", []string{"gitea.com", "codeberg.org"}, []Rule{
		{nil, "/login/oauth/**"},
		{post, "/api/v1/users/*/tokens"},
		{[]string{"POST", "PATCH"}, "/api/v1/user/applications/oauth2/**"},
		{post, "/api/v1/user/keys"},
		{post, "/api/v1/admin/users/*/keys"},
		{post, "/api/v1/repos/*/*/keys"},
		{nil, "/v2/token"},
		{nil, "/api/packages/*/conan/*/users/authenticate"},
		{nil, "/api/v1/repos/*/*/actions/runners/registration-token"},
		{nil, "/api/v1/repos/*/*/runners/registration-token"},
		{nil, "/api/v1/orgs/*/actions/runners/registration-token"},
		{nil, "/api/v1/user/actions/runners/registration-token"},
		{nil, "/api/v1/admin/runners/registration-token"},
		{nil, "/api/v1/admin/actions/runners/registration-token"},
	}},
	{"npm", []string{"registry.npmjs.org", "npmjs.", "npm."}, []Rule{
		{[]string{"POST", "PUT"}, "/-/npm/v1/tokens/**"},
		{nil, "/-/npm/v1/oidc/**"},
		{nil, "/-/v1/login/**"},
		{[]string{"POST", "PUT"}, "/-/user/**"},
	}},
}

// isAt reports whether the service is at a host, and whether it is known where there: at its root. One that is told by a
// label of the host's name alone may begin anywhere.
func (s *service) isAt(host string) (is, atRoot bool) {
	for _, h := range s.hosts {
		if label, isLabel := strings.CutSuffix(h, "."); isLabel {
			is = is || slices.Contains(strings.Split(host, "."), label)
		} else if h == host || h[0] == '.' && strings.HasSuffix(host, h) {
			return true, true
		}
	}
	return is, false
}

// Minting returns the built-in rules of a route's deny_minting, and the names of the services that they are for. They
// are relative to the prefix; "**" at the beginning of a path is any prefix, since nobody knows where a self-hosted
// service begins.
func (r *RouteConfig) Minting() (names []string, rules []Rule) {
	if r.DenyMinting != nil && !*r.DenyMinting {
		return nil, nil
	}
	said := map[string]bool{}
	add := func(some ...Rule) {
		for _, rule := range some {
			if !said[rule.String()] {
				said[rule.String()] = true
				rules = append(rules, rule)
			}
		}
	}
	known := false
	for i := range services {
		s := &services[i]
		is, atRoot := s.isAt(r.UpstreamHost())
		if !is {
			continue
		}
		names, known = append(names, s.name), known || atRoot
		for _, rule := range s.rules {
			if !atRoot {
				add(anywhere(r.base, rule)...)
			} else if path, ok := below(r.base, rule.Path); ok {
				add(Rule{rule.Methods, path})
			}
		}
	}
	if known || r.DenyMinting == nil {
		return names, rules
	}
	names = nil
	for _, s := range services {
		names = append(names, s.name)
		for _, rule := range s.rules {
			add(anywhere(r.base, rule)...)
		}
	}
	return names, rules
}

// anywhere returns what is left of a rule of a service that may begin anywhere in the base path, or below it.
func anywhere(base string, rule Rule) []Rule {
	return append(insideBase(base, rule), Rule{rule.Methods, "/" + anyRest + rule.Path})
}

// below returns what of a rule's path is below a base path. ok is false if the base path leads elsewhere.
func below(base, path string) (rest string, ok bool) {
	want := strings.Split(path[1:], "/")
	for _, segment := range segmentsOf(base) {
		switch {
		case len(want) == 0:
			return "", false
		case want[0] == anyRest:
			return "/" + anyRest, true
		case want[0] != anySegment && !strings.EqualFold(want[0], segment):
			return "", false
		}
		want = want[1:]
	}
	return "/" + strings.Join(want, "/"), true
}

// insideBase returns what of a rule's path is left if it begins somewhere in the base path.
func insideBase(base string, rule Rule) (rules []Rule) {
	segments := segmentsOf(base)
	for i := range segments {
		if path, ok := below("/"+strings.Join(segments[i:], "/"), rule.Path); ok {
			rules = append(rules, Rule{rule.Methods, path})
		}
	}
	return rules
}

// segmentsOf returns the segments of a configured base path that are not empty, decoded.
func segmentsOf(base string) (segments []string) {
	decoded, _ := appendDecoded(nil, []byte(base))
	return strings.FieldsFunc(string(decoded), func(r rune) bool { return r == '/' })
}

// mintingPatterns compiles the rules of Minting.
func (r *RouteConfig) mintingPatterns() (patterns []pattern) {
	_, rules := r.Minting()
	for _, rule := range rules {
		patterns = append(patterns, newBuiltIn("deny_minting", rule))
		if path, ok := strings.CutSuffix(rule.Path, "/"+anyRest); ok && path != "" { // where there is no rest there may be a format, ".json"
			patterns = append(patterns, newBuiltIn("deny_minting", Rule{rule.Methods, path}))
		}
	}
	return patterns
}
