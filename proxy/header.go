package proxy

import (
	"slices"
	"strings"

	"credproxy/proxy/http1"
)

// Which fields cross, up and down.

// hopByHop are the fields that end at each hop, whatever Connection says (RFC 9110, section 7.6.1, and the older ones
// that are still sent).
var hopByHop = []string{"connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te",
	"trailer", "trailers", "transfer-encoding", "upgrade"}

// droppedUp are the agent's fields that cross on no route; the proxy sends its own Host, credential, Accept-Encoding and
// framing. Accept-Encoding is forced to identity so that a scanner on the way can read the answer. What else a route
// drops is in its own set: see RouteConfig.dropped.
var droppedUp = slices.Concat(hopByHop, []string{"host", "authorization", "content-length", "accept-encoding"})

var (
	// droppedDown are the upstream's fields that do not cross. An upstream cannot pass its answer off as a refusal.
	droppedDown = newNameSet(hopByHop, proxysOwn...)

	// noContentDown goes with a status that has no content: a length there would be waited for (RFC 9110, section 8.6).
	noContentDown = newNameSet(hopByHop, append([]string{"content-length"}, proxysOwn...)...)

	// mappedDown goes with a body in which URLs are mapped: what is said of its bytes is no longer true.
	mappedDown = newNameSet(hopByHop, append([]string{"content-length", "accept-ranges", "content-md5", "digest",
		"content-digest", "repr-digest"}, proxysOwn...)...)
)

// proxysOwn are the fields of a response that only the proxy may send, in lower case.
var proxysOwn = []string{strings.ToLower(ErrorField), strings.ToLower(IDField), strings.ToLower(RedactedField)}

// nameSet is a set of field names. Whatever sign there is in a name is taken for a hyphen: servers that make variables of
// names, as CGI does, see no difference.
type nameSet [256][]string // canonical names, by hash

func newNameSet(names []string, more ...string) *nameSet {
	var s nameSet
	for _, n := range slices.Concat(names, more) {
		h := nameHash([]byte(n))
		s[h] = append(s[h], n)
	}
	return &s
}

// nameHash spreads names of about a hundred over the set, so that most fields meet none of them.
func nameHash(name []byte) byte {
	n := len(name)
	if n == 0 {
		return 0
	}
	return byte(n)*7 + nameByte[name[0]]*3 + nameByte[name[n-1]] + nameByte[name[n/2]]*5
}

// nameByte is how a byte of a name is compared: in lower case, and a hyphen for whatever is no letter and no digit. Some
// servers make an underscore of all of these in the names of variables.
var nameByte = func() (t [256]byte) {
	for i := range t {
		switch c := byte(i); {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
			t[i] = c
		case 'A' <= c && c <= 'Z':
			t[i] = c + 'a' - 'A'
		default:
			t[i] = '-'
		}
	}
	return t
}()

func (s *nameSet) has(name []byte) bool {
	for _, n := range s[nameHash(name)] {
		if len(n) == len(name) && sameName(name, n) {
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

// appendJoined appends each of joined as one field line: the values that the agent sent, in order, and the fixed one
// behind them (RFC 9110, section 5.3). The agent's own lines were dropped.
func appendJoined(p []byte, fields []http1.Field, m connected, joined []FieldConfig) []byte {
	for _, j := range joined {
		p = append(p, j.Name...)
		p = append(p, ": "...)
		for i := range fields {
			f := &fields[i]
			if len(f.Name) == len(j.Name) && sameName(f.Name, j.Name) && len(f.Value) > 0 && !m.Named(f.Name) {
				p = append(p, f.Value...)
				p = append(p, ", "...)
			}
		}
		p = append(p, j.Value...)
		p = append(p, "\r\n"...)
	}
	return p
}

// sameName reports whether two names of one length are the same to a nameSet.
func sameName(a []byte, b string) bool {
	for i, c := range a {
		if nameByte[c] != nameByte[b[i]] {
			return false
		}
	}
	return true
}
