package proxy

import (
	"slices"

	"credproxy/proxy/http1"
)

// hopByHop are the fields that end at each hop, whatever Connection says (RFC 9110, section 7.6.1, and the older ones
// that are still sent).
var hopByHop = []string{"connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te",
	"trailer", "trailers", "transfer-encoding", "upgrade"}

var (
	// droppedUp are the agent's fields that do not cross; the proxy sends its own Host, credential, Accept-Encoding and
	// framing. Accept-Encoding is forced to identity so that a scanner on the way can read the answer.
	droppedUp = newNameSet(hopByHop, "host", "authorization", "content-length", "accept-encoding")

	// droppedDown are the upstream's fields that do not cross. An upstream cannot pass its answer off as a refusal.
	droppedDown = newNameSet(hopByHop, "x-cred-proxy-error")

	// noContentDown goes with a status that has no content: a length there would be waited for (RFC 9110, section 8.6).
	noContentDown = newNameSet(hopByHop, "x-cred-proxy-error", "content-length")
)

// nameSet is a set of field names.
type nameSet [32][]string // lower case, by length

func newNameSet(names []string, more ...string) *nameSet {
	var s nameSet
	for _, n := range slices.Concat(names, more) {
		s[len(n)] = append(s[len(n)], n)
	}
	return &s
}

func (s *nameSet) has(name []byte) bool {
	if len(name) >= len(s) {
		return false
	}
	for _, n := range s[len(name)] {
		if http1.EqualFold(name, n) {
			return true
		}
	}
	return false
}

// connected is a message head that may name further fields as hop-by-hop.
type connected interface {
	HasConnection() bool
	Named(name []byte) bool
}

// appendFields appends the field lines that cross, as they were sent. Content-Length is the message's framing: Connection
// cannot name it away.
func appendFields(p []byte, fields []http1.Field, m connected, dropped *nameSet) []byte {
	named := m.HasConnection()
	for i := range fields {
		f := &fields[i]
		if dropped.has(f.Name) || named && m.Named(f.Name) && !http1.EqualFold(f.Name, "content-length") {
			continue
		}
		p = append(p, f.Line...)
	}
	return p
}
