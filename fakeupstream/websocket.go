package fakeupstream

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// websocketBuiltins are what a handshake upgrades to.
var websocketBuiltins = []builtin{
	{"/ws", "a WebSocket: n= (0) messages of size= bytes (few), ms= (0) apart, then echoes; close= ends it by that code instead; " +
		"protocol= is the subprotocol it picks, deflate=1 grants that extension; wrong=accept|upgrade is a 101 that is none, " +
		"status= (101) another answer", newWebSocket},
}

// The opcodes of frames (RFC 6455 section 5.2).
const (
	opText  = 1
	opClose = 8
	opPing  = 9
	opPong  = 10
)

// maxFrame is the largest payload that a frame may have.
const maxFrame = 16 << 20

// newWebSocket is /ws.
func newWebSocket(p params) (Behaviour, error) {
	n, err1 := p.num("n", 0)
	size, err2 := p.num("size", 0)
	every, err3 := p.millis("ms", 0)
	code, err4 := p.num("close", 0)
	wrong, err5 := p.oneOf("wrong", "", "accept", "upgrade")
	status, err6 := p.num("status", http.StatusSwitchingProtocols)
	err := firstError(err1, err2, err3, err4, err5, err6)
	switch {
	case err != nil:
	case size > maxFrame:
		err = fmt.Errorf("want a size up to %d", maxFrame)
	case code != 0 && (code < 1000 || code > 4999):
		err = errors.New("want a code from 1000 to 4999 to close by")
	case status != http.StatusSwitchingProtocols && (status < 200 || status > 999):
		err = errors.New("want a status of 101, or from 200 to 999")
	}
	if err != nil {
		return nil, err
	}
	return func(x *Exchange) error {
		if _, err := x.ReadBody(); err != nil {
			return err
		}
		key := x.rec.Get("Sec-WebSocket-Key")
		if x.rec.Method != http.MethodGet || !strings.EqualFold(x.rec.Get("Upgrade"), "websocket") || key == "" {
			return x.Answer(http.StatusUpgradeRequired, []byte("fakeupstream: this is a WebSocket\n"), plainText,
				Field{"Upgrade", "websocket"}, Field{"Sec-WebSocket-Version", "13"})
		}
		if status != http.StatusSwitchingProtocols {
			return x.Answer(int(status), []byte("fakeupstream: no WebSocket for you\n"), plainText)
		}
		if wrong == "accept" {
			key = "another key"
		}
		head := "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + acceptOf(key) + "\r\n"
		if wrong == "upgrade" {
			head = "HTTP/1.1 101 Switching Protocols\r\n"
		}
		if protocol := p.str("protocol", ""); protocol != "" {
			head += "Sec-WebSocket-Protocol: " + protocol + "\r\n"
		}
		if p.str("deflate", "0") != "0" && strings.Contains(x.rec.Get("Sec-WebSocket-Extensions"), "permessage-deflate") {
			head += "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n"
		}
		// What comes from here on is the request's body: the payloads of the messages, one behind the other.
		x.record(func(r *Request) { r.Complete, r.Done, r.BodySHA256 = false, false, "" })
		x.Then(CloseNotify)
		if err := x.WriteRaw([]byte(head + "\r\n")); err != nil {
			return err
		}
		for i := range n {
			text := fmt.Sprintf("message %d", i+1)
			if size > 0 {
				text = strings.Repeat("x", int(size))
			}
			if err := x.pause(every); err != nil {
				return err
			}
			if err := x.writeFrame(0x80|opText, []byte(text)); err != nil {
				return err
			}
		}
		if code != 0 {
			if err := x.writeFrame(0x80|opClose, binary.BigEndian.AppendUint16(nil, uint16(code))); err != nil {
				return err
			}
		}
		return x.echoFrames(code != 0)
	}, nil
}

// acceptOf is what Sec-WebSocket-Accept answers to a key.
func acceptOf(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// echoFrames sends data back as it was framed, and answers pings, up to the
// client's close, which it answers unless it is an answer itself.
func (x *Exchange) echoFrames(closing bool) error {
	for {
		first, payload, err := readFrame(x.c.br)
		if err != nil {
			var malformed malformedFrame
			if errors.As(err, &malformed) {
				x.record(func(r *Request) { r.Malformed = err.Error() })
				endings[x.then](x.c) // with what is behind the frame unread, a close would be a reset
			}
			return err
		}
		switch first & 0xf {
		case opClose:
			x.record(func(r *Request) { r.Complete, r.BodySHA256 = true, hex.EncodeToString(x.hash.Sum(nil)) })
			if closing {
				return nil
			}
			return x.writeFrame(first, payload)
		case opPing:
			err = x.writeFrame(0x80|opPong, payload)
		case opPong:
		default:
			x.hash.Write(payload)
			x.record(func(r *Request) {
				r.BodySize += int64(len(payload))
				if room := x.c.s.opt.BodyLimit - len(r.Body); room > 0 {
					r.Body = append(r.Body, payload[:min(len(payload), room)]...)
				}
			})
			if !closing {
				err = x.writeFrame(first, payload)
			}
		}
		if err != nil {
			return err
		}
	}
}

// writeFrame writes a frame; first has the opcode, and whether it is the last.
func (x *Exchange) writeFrame(first byte, payload []byte) error {
	frame := []byte{first}
	switch n := len(payload); {
	case n < 126:
		frame = append(frame, byte(n))
	case n < 1<<16:
		frame = binary.BigEndian.AppendUint16(append(frame, 126), uint16(n))
	default:
		frame = binary.BigEndian.AppendUint64(append(frame, 127), uint64(n))
	}
	x.note(len(payload), payload)
	return x.write(append(frame, payload...))
}

// A malformedFrame says why a client's frame is none.
type malformedFrame string

func (m malformedFrame) Error() string { return "frame: " + string(m) }

// readFrame reads a client's frame and unmasks its payload.
func readFrame(br *bufio.Reader) (first byte, payload []byte, err error) {
	var b [8]byte
	if _, err := io.ReadFull(br, b[:2]); err != nil {
		return 0, nil, err
	}
	first = b[0]
	if b[1]&0x80 == 0 {
		return 0, nil, malformedFrame("not masked")
	}
	n := uint64(b[1] & 0x7f)
	if n >= 126 {
		long := b[:2]
		if n == 127 {
			long = b[:8]
		}
		if _, err := io.ReadFull(br, long); err != nil {
			return 0, nil, err
		}
		n = 0
		for _, c := range long {
			n = n<<8 | uint64(c)
		}
	}
	if n > maxFrame {
		return 0, nil, malformedFrame("too large")
	}
	payload = make([]byte, 4+n)
	if _, err := io.ReadFull(br, payload); err != nil {
		return 0, nil, err
	}
	mask, payload := payload[:4], payload[4:]
	for i := range payload {
		payload[i] ^= mask[i%4]
	}
	return first, payload, nil
}
