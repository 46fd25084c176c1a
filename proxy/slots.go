package proxy

import "slices"

// slots are the fields in which clients and servers are known to put a credential. Whatever the agent puts there is
// dropped, since it would be used beside the injected one, or in its place. Cookie is not among them: load balancers
// need it.
var slots = []string{
	"authorization", "x-authorization", "x-original-authorization", "x-forwarded-authorization",
	"x-serverless-authorization", "x-ms-authorization-auxiliary", "authentication",
	// keys of APIs
	"x-api-key", "api-key", "apikey", "x-apikey", "x-goog-api-key", "xi-api-key", "x-rapidapi-key", "x-algolia-api-key",
	"x-typesense-api-key", "x-meili-api-key", "x-redmine-api-key", "x-nuget-apikey", "x-jfrog-art-api", "dd-api-key",
	"dd-application-key", "ocp-apim-subscription-key", "x-functions-key", "x-auth-key", "x-auth-user-service-key",
	"x-subscription-token", "x-honeycomb-team", "x-sentry-auth",
	// tokens
	"x-auth", "x-auth-token", "auth-token", "x-access-token", "access-token", "x-api-token", "api-token", "x-token",
	"x-user-token", "x-session-token", "x-subject-token", "x-authentication-token", "x-forwarded-access-token",
	"private-token", "job-token", "deploy-token", "x-gitlab-token", "x-github-token", "circle-token", "x-buildkite-token",
	"x-vault-token", "x-consul-token", "x-nomad-token", "x-amz-security-token", "x-goog-iam-authorization-token",
	"x-goog-iap-jwt-assertion", "x-figma-token", "x-shopify-access-token", "x-postmark-server-token", "x-registry-auth",
	"x-registry-config", "cf-access-client-secret", "cf-access-jwt-assertion", "cf-access-token",
}

// isSlot reports whether a field is one of the slots.
func isSlot(name string) bool { return slices.Contains(slots, canonicalName(name)) }

// canonicalName is a field name as a server may see it that makes variables of names, as CGI does: case is of no
// account, nor is which sign stands where there is no letter or digit.
func canonicalName(name string) string {
	p := []byte(name)
	for i, c := range p {
		p[i] = nameByte[c]
	}
	return string(p)
}

// overrides are the fields that make some servers act on another method or another path than the request line has.
// What has rules for methods and paths cannot let them pass, nor can those for paths what has a base path.
var overrides = struct{ method, path []string }{
	[]string{"x-http-method-override", "x-http-method", "x-method-override", "x-original-method"},
	[]string{"x-original-url", "x-original-uri", "x-rewrite-url"},
}

// dropped are the agent's fields that do not cross on a route, besides droppedUp: canonical names, each once, in order.
func (r *RouteConfig) dropped(rules bool) []string {
	names := slices.Clone(slots)
	names = slices.DeleteFunc(names, func(n string) bool {
		return slices.ContainsFunc(r.Keep, func(k string) bool { return canonicalName(k) == n })
	})
	for _, c := range r.Credentials {
		names = append(names, c.Header)
	}
	for _, f := range slices.Concat(r.Set, r.Append) {
		names = append(names, f.Name)
	}
	names = append(names, r.Strip...)
	if rules {
		names = append(names, overrides.method...)
	}
	if rules || r.base != "" {
		names = append(names, overrides.path...)
	}
	if r.WebSocket {
		names = append(names, subprotocols) // a handshake's is made anew, without what is a slot in it
	}
	for i, n := range names {
		names[i] = canonicalName(n)
	}
	slices.Sort(names)
	return slices.Compact(names)
}
