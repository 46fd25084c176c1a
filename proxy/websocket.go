package proxy

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"iter"

	"credproxy/proxy/http1"
)

// handshake is a WebSocket handshake (RFC 6455, section 4) for which an agent asks. On a route that lets it, it is
// forwarded with the fields of its hop made anew; what has been upgraded is tunnel.go's.
type handshake struct {
	accept string // what Sec-WebSocket-Accept must be in a 101
}

// upgraded are the fields that belong to a hop, either way.
const upgraded = "Connection: Upgrade\r\nUpgrade: websocket\r\n"

// handshakeOn returns the handshake that a request on a route is, nil if it is none. What names a WebSocket and is not
// one handshake to the letter is refused; what would be upgraded to anything else goes on without that, as on any route.
func (r *route) handshakeOn(q *http1.Request) (*handshake, *Refusal) {
	if !r.WebSocket {
		return nil, nil
	}
	upgrades, asks, only := 0, false, false
	for i := range q.Fields {
		if f := &q.Fields[i]; http1.EqualFold(f.Name, "upgrade") {
			upgrades++
			only = http1.EqualFold(f.Value, "websocket")
			for item := range listItems(f.Value) {
				name, _, _ := bytes.Cut(item, []byte("/"))
				asks = asks || http1.EqualFold(name, "websocket")
			}
		}
	}
	if !asks {
		return nil, nil
	}
	key, keys := field(q.Fields, "sec-websocket-key")
	version, versions := field(q.Fields, "sec-websocket-version")
	nonce, _ := base64.StdEncoding.Strict().AppendDecode(nil, key)
	why := ""
	switch {
	case string(q.Method) != "GET":
		why = "its method is not GET"
	case q.Minor == 0:
		why = "it is HTTP/1.0"
	case upgrades > 1 || !only:
		why = "it would be upgraded to other protocols, too"
	case !q.Named([]byte("upgrade")):
		why = "Connection does not name upgrade"
	case q.Framing > http1.Length || q.Length > 0:
		why = "it has a body"
	case keys != 1 || len(key) != 24 || len(nonce) != 16:
		why = "Sec-WebSocket-Key is not 16 bytes in base64, once"
	case versions != 1 || string(version) != "13":
		why = "Sec-WebSocket-Version is not 13"
	case q.Named([]byte("sec-websocket-key")) || q.Named([]byte("sec-websocket-version")):
		why = "Connection names its fields"
	default:
		sum := sha1.Sum(append(key[:24:24], "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"...))
		return &handshake{accept: base64.StdEncoding.EncodeToString(sum[:])}, nil
	}
	return &handshake{}, refuseWebSocket.because(": %s", why)
}

// field returns the value of the last field with that name, in whatever spelling, and how many there are.
func field(fields []http1.Field, name string) (value []byte, n int) {
	for i := range fields {
		if f := &fields[i]; len(f.Name) == len(name) && sameName(f.Name, name) {
			value, n = f.Value, n+1
		}
	}
	return value, n
}

// appendTo appends the fields that belong to the hop, and of the agent's subprotocols those that are no credential, in
// order. It may be called on nil.
func (h *handshake) appendTo(p []byte, q *http1.Request) []byte {
	if h == nil {
		return p
	}
	p = append(p, upgraded...)
	separator := subprotocols + ": "
	for i := range q.Fields {
		f := &q.Fields[i]
		if len(f.Name) != len(subprotocols) || !bytes.EqualFold(f.Name, []byte(subprotocols)) || q.Named(f.Name) {
			continue
		}
		for item := range listItems(f.Value) {
			if _, closed := closedSubprotocol(item); !closed {
				p = append(p, separator...)
				p = append(p, item...)
				separator = ", "
			}
		}
	}
	if separator == ", " {
		p = append(p, "\r\n"...)
	}
	return p
}

// check holds a 101 to the handshake that it answers: what an upstream says to others, or what it would say to anybody,
// opens no tunnel. It may be called on nil.
func (h *handshake) check(s *http1.Response) error {
	if h == nil {
		return http1.Malformed("101 to a request that asked for no upgrade")
	}
	to, upgrades := field(s.Fields, "upgrade")
	accept, accepts := field(s.Fields, "sec-websocket-accept")
	switch {
	case s.Minor == 0:
		return http1.Malformed("101 in HTTP/1.0")
	case upgrades != 1 || !http1.EqualFold(to, "websocket") || !s.Named([]byte("upgrade")):
		return http1.Malformed("101 that does not upgrade to websocket")
	case accepts != 1 || string(accept) != h.accept:
		return http1.Malformed("101 with a Sec-WebSocket-Accept that is none to this handshake")
	}
	return nil
}

// subprotocols is the field in which an agent lists what it would speak in a WebSocket.
const subprotocols = "Sec-WebSocket-Protocol"

// closedSubprotocols are the beginnings of what is no protocol but a credential: where a client cannot set a field, as a
// browser cannot, it is in this list.
var closedSubprotocols = []struct {
	prefix string
	base64 bool // what follows is so encoded
}{
	{"openai-insecure-api-key.", false},
	{"base64url.bearer.", true}, // Kubernetes has authorization.k8s.io. behind it, Phoenix phx.
}

// closedSubprotocol reports whether a subprotocol is a credential, and which.
func closedSubprotocol(item []byte) (credential []byte, closed bool) {
	for _, c := range closedSubprotocols {
		if len(item) < len(c.prefix) || !http1.EqualFold(item[:len(c.prefix)], c.prefix) {
			continue
		}
		credential = item[len(c.prefix):]
		if c.base64 {
			credential = credential[bytes.LastIndexByte(credential, '.')+1:]
			credential, _ = base64.RawURLEncoding.AppendDecode(nil, bytes.TrimRight(credential, "="))
		}
		return credential, true
	}
	return nil, false
}

// listItems are the elements of a field that is a list (RFC 9110, section 5.6.1), the empty ones left out.
func listItems(list []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for item := range bytes.SplitSeq(list, []byte(",")) {
			if item = bytes.Trim(item, " \t"); len(item) > 0 && !yield(item) {
				return
			}
		}
	}
}
