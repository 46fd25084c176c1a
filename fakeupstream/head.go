package fakeupstream

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// How a head is read: as it was sent, and as net/http takes it.

const headLimit = 1 << 20

var errHeadTooLarge = errors.New("head is larger than 1 MiB")

// readHead reads a message head from br as it stands, up to and including the
// empty line, and not a byte more. It skips empty lines before it, as RFC 9112
// section 2.2 asks for.
func readHead(br *bufio.Reader) ([]byte, error) {
	var head []byte
	for {
		line, err := br.ReadSlice('\n')
		head = append(head, line...)
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
		case err != nil:
			if len(head) > 0 && err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return head, err
		}
		if len(head) > headLimit {
			return head, errHeadTooLarge
		}
		if err == nil && isBlank(line) && (len(line) == len(head) || head[len(head)-len(line)-1] == '\n') {
			if len(line) == len(head) {
				head = head[:0]
				continue
			}
			return head, nil
		}
	}
}

func isBlank(line []byte) bool {
	return len(line) == 1 || len(line) == 2 && line[0] == '\r'
}

// parseHead splits a head into its start line's three parts and its fields,
// names as sent and values without the white space around them. It never
// fails: what is malformed is recorded as far as it goes.
func parseHead(head []byte) (method, target, proto string, fields []Field) {
	start, rest, _ := bytes.Cut(head, []byte("\n"))
	method, target, _ = strings.Cut(strings.TrimSuffix(string(start), "\r"), " ")
	if i := strings.LastIndexByte(target, ' '); i >= 0 {
		target, proto = target[:i], target[i+1:]
	}
	return method, target, proto, parseFields(rest)
}

func parseFields(lines []byte) (fields []Field) {
	for line := range bytes.Lines(lines) {
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			break
		}
		if (line[0] == ' ' || line[0] == '\t') && len(fields) > 0 { // obs-fold
			last := &fields[len(fields)-1]
			last.Value = strings.TrimLeft(last.Value+" "+string(bytes.Trim(line, " \t")), " ")
			continue
		}
		name, value, _ := strings.Cut(string(line), ":")
		fields = append(fields, Field{name, strings.Trim(value, " \t")})
	}
	return fields
}

// judge parses a head with net/http, whose verdict on it is the one that
// counts. The returned request's Body is not the message's.
func judge(head []byte) (*http.Request, error) {
	req, err := http.ReadRequest(bufio.NewReaderSize(bytes.NewReader(head), 512))
	if err != nil {
		return nil, err
	}
	if req.Host == "" && req.ProtoAtLeast(1, 1) {
		return nil, fmt.Errorf("missing Host")
	}
	if req.ProtoMajor != 1 {
		return nil, fmt.Errorf("unsupported version %q", req.Proto)
	}
	return req, nil
}
