package proxy

import (
	"fmt"
	"net/http"
)

// Refusal is a reason to say no: what the agent is answered when its request goes no further, or when the upstream
// gave no answer.
type Refusal struct {
	Status  int
	Code    string // in X-Cred-Proxy-Error, the log and the metrics
	Message string // one line
}

// ErrorField is the response field that tells a refusal from an answer of the upstream; its value is the Code.
const ErrorField = "X-Cred-Proxy-Error"

// Every refusal there is. Where a message says more than stands here, what is added comes from the agent's own request
// or from our own words, never from an upstream's.
var (
	refuseBusy           = Refusal{503, "busy", "cred-proxy: too many connections"}
	refusePeer           = Refusal{403, "peer", "cred-proxy: this address is not among those that -allow-peers names"}
	refuseMalformed      = Refusal{400, "malformed", "malformed request"}
	refuseHeadTimeout    = Refusal{408, "head-timeout", "request head not complete in time"}
	refuseTargetTooLong  = Refusal{414, "target-too-long", "request target too long"}
	refuseHeadTooLarge   = Refusal{431, "head-too-large", "request head too large"}
	refuseTooManyFields  = Refusal{431, "too-many-fields", "too many header fields"}
	refuseLeaked         = Refusal{403, "leaked-token", "cred-proxy: the request holds a token that only the proxy may have: it leaked earlier"}
	refuseMethod         = Refusal{501, "method", "Unsupported method"}
	refuseAbsolute       = Refusal{400, "absolute-form", "absolute-form request target refused: set a base URL (for example ANTHROPIC_BASE_URL), not HTTP_PROXY"}
	refusePath           = Refusal{400, "path", "path refused"}
	refusePush           = Refusal{403, "push", "cred-proxy: git push over HTTPS is not supported; use the bottle.git SSH path (gitleaks-scanned by git-gate's pre-receive hook)"}
	refuseNoRoute        = Refusal{404, "no-route", "no route"}
	refuseClientToken    = Refusal{401, "client-token", "cred-proxy: this route wants its client token: as Bearer, as user or password of Basic, or in the field that the client uses"}
	refuseRule           = Refusal{403, "rule", "cred-proxy: refused by a rule"}
	refuseToken          = Refusal{500, "token", "cred-proxy: no token"}
	refuseLength         = Refusal{400, "content-length", "invalid Content-Length"}
	refuseEncoding       = Refusal{400, "transfer-encoding", "invalid Transfer-Encoding"}
	refuseChunked        = Refusal{411, "chunked", "cred-proxy: chunked request bodies not supported in v1"}
	refuseWebSocket      = Refusal{400, "websocket", "cred-proxy: not a WebSocket handshake"}
	refuseLimitBytes     = Refusal{429, "limit-bytes", "cred-proxy: the route's bytes are used up"}
	refuseLimitAtOnce    = Refusal{503, "limit-concurrent", "cred-proxy: too many requests of the route under way"}
	refuseLimitRate      = Refusal{429, "limit-rate", "cred-proxy: too many requests of the route"}
	refuseBodyTimeout    = Refusal{408, "body-timeout", "request body stopped arriving"}
	refuseBodySlow       = Refusal{408, "body-slow", "request body arrives too slowly"}
	refuseUpstream       = Refusal{502, "upstream", "upstream connection failed"}
	refuseResponseHead   = Refusal{502, "response-head-too-large", "upstream connection failed: response head too large"}
	refuseReflected      = Refusal{502, "reflected", "cred-proxy: the upstream's answer holds a token"}
	refuseCompressed     = Refusal{502, "compressed", "cred-proxy: the upstream's answer is compressed: it cannot be seen whether it holds a token"}
	refuseUpstreamSilent = Refusal{504, "upstream-timeout", "upstream connection failed: timed out"}
)

// Refusals returns every refusal there is, in the order in which an exchange can meet them.
func Refusals() []Refusal {
	return []Refusal{refusePeer, refuseBusy, refuseMalformed, refuseHeadTimeout, refuseTargetTooLong, refuseHeadTooLarge,
		refuseTooManyFields, refuseLeaked, refuseMethod, refuseAbsolute, refusePath, refusePush, refuseNoRoute,
		refuseClientToken, refuseRule, refuseToken, refuseLength, refuseEncoding, refuseChunked, refuseWebSocket,
		refuseLimitBytes, refuseLimitAtOnce, refuseLimitRate, refuseBodyTimeout, refuseBodySlow, refuseUpstream,
		refuseResponseHead, refuseReflected, refuseCompressed, refuseUpstreamSilent}
}

// because returns the refusal with its message continued.
func (r Refusal) because(format string, args ...any) *Refusal {
	r.Message += fmt.Sprintf(format, args...)
	return &r
}

// saying returns the refusal with another message.
func (r Refusal) saying(format string, args ...any) *Refusal {
	r.Message = fmt.Sprintf(format, args...)
	return &r
}

// answer is how a refusal is said.
type answer struct {
	id         ID    // of the exchange; 0: it has none
	shape      shape // of the content
	retryAfter int   // seconds; 0: nothing is said of that
	head       bool  // to a HEAD request, without its content
	closing    bool  // the connection will be closed
}

// appendTo appends the whole response. sent is how many bytes of content there are.
func (r *Refusal) appendTo(p []byte, a answer) (_ []byte, sent int64) {
	mediaType, content := a.shape.content(r)
	p = fmt.Appendf(p, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n%s: %s\r\n",
		r.Status, http.StatusText(r.Status), mediaType, len(content), ErrorField, r.Code)
	if r.Status == http.StatusUnauthorized {
		// Basic is what every client knows that waits to be asked; whoever uses another scheme sends it unasked.
		p = append(p, "WWW-Authenticate: Basic realm=\"cred-proxy\"\r\n"...)
	}
	if a.retryAfter > 0 {
		p = fmt.Appendf(p, "Retry-After: %d\r\n", a.retryAfter)
	}
	if a.id != 0 {
		p = append(append(append(p, IDField+": "...), a.id.String()...), "\r\n"...)
	}
	if a.closing {
		p = append(p, "Connection: close\r\n"...)
	}
	p = append(p, "\r\n"...)
	if a.head {
		return p, 0
	}
	return append(p, content...), int64(len(content))
}
