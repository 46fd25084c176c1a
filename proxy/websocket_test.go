package proxy

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
	"testing"

	"credproxy/proxy/http1"

	"github.com/google/go-cmp/cmp"
)

// FuzzHandshake: what is forwarded as a handshake is one for net/http, has the fields of its hop once, and no subprotocol
// that is a credential; and nothing else asks the upstream for an upgrade.
func FuzzHandshake(f *testing.F) {
	const whole = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	for _, fields := range []string{
		whole, whole + "Sec-WebSocket-Protocol: a, openai-insecure-api-key.x,b\r\nSEC-WebSocket-Protocol: Base64url.Bearer.y, c\r\n",
		whole + "Upgrade: h2c\r\n", whole + "Content-Length: 0\r\n", whole + "Content-Length: 1\r\n", whole + "Transfer-Encoding: chunked\r\n",
		whole + "sec_websocket_key: x\r\n", whole + "Connection: sec-websocket-protocol\r\nSec-WebSocket-Protocol: a\r\n",
		strings.Replace(whole, "websocket", "websocket, websocket", 1), strings.Replace(whole, "==", "=", 1), strings.Replace(whole, "13", "13, 8", 1),
		"Upgrade: h2c\r\nConnection: upgrade\r\n", "Upgrade: \r\n", strings.Replace(whole, "ZQ==", "ZR==", 1),
	} {
		f.Add("GET / HTTP/1.1", []byte(fields))
	}
	f.Add("GET / HTTP/1.0", []byte(whole))
	f.Add("POST / HTTP/1.1", []byte(whole))
	r := oneRoute(f, `"upgrade": ["websocket"], "chunked_bodies": "stream"`)
	for fields := range byChance(2000, 9, "Upgrade: websocket\r\n", "Connection: Upgrade\r\n", "Connection: upgrade, x\r\n", "Sec-WebSocket-Version: 13\r\n", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "Sec-WebSocket-Protocol: a, openai-insecure-api-key.x,b\r\n", "Connection: sec-websocket-protocol\r\n", "Content-Length: 0\r\n", "Sec-WebSocket-Extensions: permessage-deflate\r\n", "Upgrade: h2c\r\n", "upgrade: WebSocket\r\n") {
		f.Add("GET / HTTP/1.1", []byte(fields))
	}
	f.Fuzz(func(t *testing.T, line string, fields []byte) {
		var q http1.Request
		head := line + "\r\nHost: h\r\n" + string(fields) + "\r\n"
		if n, err := q.Parse([]byte(head), DefaultLimits.request()); err != nil || n != len(head) {
			return
		}
		h, refusal := r.handshakeOn(&q)
		if refusal != nil {
			return
		}
		p := appendFields([]byte("GET / HTTP/1.1\r\nHost: h\r\n"), q.Fields, &q, r.dropped)
		sent, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(append(h.appendTo(p, &q), "\r\n"...))))
		if err != nil {
			t.Fatalf("%v: %q", err, p)
		}
		if h == nil {
			if len(sent.Header["Upgrade"])+len(sent.Header["Connection"]) > 0 {
				t.Fatalf("asks for an upgrade: %q", sent.Header)
			}
			return
		}
		came, err := http.ReadRequest(bufio.NewReader(strings.NewReader(head)))
		if err != nil || came.Method != "GET" || !came.ProtoAtLeast(1, 1) || came.ContentLength != 0 {
			t.Fatalf("a handshake, but %v: %q", err, head)
		}
		connection := strings.ToLower(strings.Join(came.Header["Connection"], ","))
		key, err := base64.StdEncoding.DecodeString(came.Header.Get("Sec-Websocket-Key"))
		if !strings.EqualFold(strings.Join(came.Header["Upgrade"], "|"), "websocket") || !strings.Contains(connection, "upgrade") || err != nil ||
			len(key) != 16 || len(came.Header["Sec-Websocket-Key"]) != 1 {
			t.Fatalf("a handshake: %q", head)
		}
		for name, want := range map[string]string{"Upgrade": "websocket", "Connection": "Upgrade", "Sec-Websocket-Version": "13",
			"Sec-Websocket-Key": came.Header.Get("Sec-Websocket-Key")} {
			if diff := cmp.Diff([]string{want}, sent.Header[textproto.CanonicalMIMEHeaderKey(name)]); diff != "" {
				t.Fatalf("%s: %s", name, diff)
			}
		}
		var left []string
		for _, item := range strings.Split(strings.Join(came.Header["Sec-Websocket-Protocol"], ","), ",") {
			lower := strings.ToLower(strings.Trim(item, " \t"))
			if lower != "" && !strings.HasPrefix(lower, "openai-insecure-api-key.") && !strings.HasPrefix(lower, "base64url.bearer.") {
				left = append(left, strings.Trim(item, " \t"))
			}
		}
		if strings.Contains(connection, "sec-websocket-protocol") { // one of its options, or a part of one
			return
		}
		if got := strings.Join(sent.Header["Sec-Websocket-Protocol"], "|"); got != strings.Join(left, ", ") {
			t.Fatalf("subprotocols %q, want %q", got, left)
		}
	})
}

// FuzzHandshakeAnswer: what opens a tunnel is, for net/http, a 101 that answers the handshake.
func FuzzHandshakeAnswer(f *testing.F) {
	const accept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
	const whole = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + accept + "\r\n\r\n"
	f.Add([]byte(whole))
	for _, change := range [][2]string{{"101", "200"}, {"1.1", "1.0"}, {"Upgrade: websocket", "Upgrade: websocket, h2c"}, {"Connection", "X"}, {accept, accept + ", x"},
		{"\r\n\r\n", "\r\nsec_websocket_accept: x\r\n\r\n"}, {"\r\n\r\n", "\r\nUpgrade: h2c\r\n\r\n"}, {"Upgrade\r\n", "keep-alive, UPGRADE\r\n"}} {
		f.Add([]byte(strings.Replace(whole, change[0], change[1], 1)))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		var s http1.Response
		if n, err := s.Parse(p, DefaultLimits.response()); err != nil || n != len(p) || s.Status != 101 {
			return
		}
		if (*handshake)(nil).check(&s) == nil {
			t.Fatal("opens a tunnel that nobody asked for")
		}
		judge, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(p)), nil)
		if err == nil && judge.Close {
			return // net/http has taken Connection out
		}
		right := err == nil && judge.ProtoAtLeast(1, 1) && strings.Join(judge.Header["Sec-Websocket-Accept"], "|") == accept &&
			strings.EqualFold(strings.Join(judge.Header["Upgrade"], "|"), "websocket") &&
			slices.ContainsFunc(strings.Split(strings.Join(judge.Header["Connection"], ","), ","), func(o string) bool {
				return strings.EqualFold(strings.Trim(o, " \t"), "upgrade")
			})
		if got := (&handshake{accept: accept}).check(&s); got == nil && !right {
			t.Fatalf("opens a tunnel: %q", p)
		}
	})
}

func TestClosedSubprotocol(t *testing.T) {
	for item, want := range map[string]string{
		"openai-insecure-api-key.k": "k", "OpenAI-Insecure-API-Key.k": "k", "openai-insecure-api-key.": "", "base64url.bearer.phx.aw": "k",
		"openai-insecure-api-key": "none", "graphql-ws": "none", "": "none",
	} {
		credential, closed := closedSubprotocol([]byte(item))
		if closed != (want != "none") || closed && string(credential) != want {
			t.Errorf("%q: %q, %v", item, credential, closed)
		}
	}
}

func TestListItems(t *testing.T) {
	var items []string
	for item := range listItems([]byte(" a,, b\t,")) {
		items = append(items, string(item))
	}
	if want := []string{"a", "b"}; !slices.Equal(items, want) {
		t.Errorf("%q, want %q", items, want)
	}
	for item := range listItems([]byte("a,b")) {
		if string(item) != "a" {
			t.Errorf("%q after the loop has ended", item)
		}
		break
	}
}
