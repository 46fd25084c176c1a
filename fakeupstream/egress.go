package fakeupstream

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// An Egress is the way out of a network: a proxy that knows CONNECT and nothing
// else, for clients that heed HTTPS_PROXY.
type Egress struct {
	URL string // "http://127.0.0.1:PORT"

	ln   net.Listener
	lead func(Request) (addr string, status int)
}

// StartEgress starts one on a free port of 127.0.0.1; Close ends it. Lead is
// told of every request whose head is whole, by several goroutines at a time,
// and returns the address to connect to, or none and the status that refuses
// it. Of the request there are Head, Method, Target, Proto and Fields; what is
// no CONNECT is answered with 403, whatever lead returns.
func StartEgress(lead func(Request) (addr string, status int)) (*Egress, error) {
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("fakeupstream: %w", err)
	}
	e := &Egress{URL: "http://" + ln.Addr().String(), ln: ln, lead: lead}
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go e.tunnel(c)
		}
	}()
	return e, nil
}

// Close stops listening. A tunnel ends when either side of it does.
func (e *Egress) Close() { e.ln.Close() }

// tunnel serves one CONNECT.
func (e *Egress) tunnel(client net.Conn) {
	defer client.Close()
	br := bufio.NewReader(client)
	head, err := readHead(br)
	if err != nil {
		return
	}
	q := Request{Head: head}
	q.Method, q.Target, q.Proto, q.Fields = parseHead(head)
	addr, status := e.lead(q)
	if q.Method != http.MethodConnect {
		addr, status = "", http.StatusForbidden
	}
	var server net.Conn
	if addr != "" {
		if server, err = net.DialTimeout("tcp", addr, 10*time.Second); err != nil {
			addr, status = "", http.StatusBadGateway
		}
	}
	if addr == "" {
		fmt.Fprintf(client, "HTTP/1.1 %d %s\r\nContent-Length: 0\r\n\r\n", status, http.StatusText(status))
		return
	}
	defer server.Close()
	io.WriteString(client, "HTTP/1.1 200 OK\r\n\r\n")
	go func() {
		defer server.Close()
		defer client.Close()
		io.Copy(server, br)
	}()
	io.Copy(client, server)
}
