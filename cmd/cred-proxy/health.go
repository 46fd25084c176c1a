package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"credproxy/proxy"
)

// The command health: is the proxy that runs here ready?

// healthWithin is how long a proxy that is well takes to say so.
const healthWithin = 3 * time.Second

// health asks the cred-proxy that runs with the same settings whether it is ready: on the operator's port, or, if there is
// none, where agents connect.
func (p *program) health(args []string) int {
	o, rest, err := parseOptions(args, p.getenv)
	switch {
	case err != nil:
		return p.fail(err)
	case len(rest) > 0:
		return p.usageError("health takes no arguments")
	}
	address, request, judge := o.admin, "GET /readyz HTTP/1.1", saysReady
	if address == "" {
		// This names no route and is always refused, so nothing of it goes further.
		address, request, judge = o.addresses()[0], "OPTIONS * HTTP/1.1", saysNo
		if b, err := os.ReadFile(o.addrFile); err == nil {
			address, _, _ = strings.Cut(string(b), "\n")
		}
	}
	if err := askHealth(address, request, judge, healthWithin); err != nil {
		p.say("not ready: %v", err)
		return exitFailed
	}
	fmt.Fprintln(p.stdout, "ready")
	return exitOK
}

// askHealth asks at an address that somebody listens on, and judges an answer that comes within a time. A connection to
// 0.0.0.0 or :: is one to this machine (net.Dial).
func askHealth(address, request string, judge func(*http.Response) error, within time.Duration) error {
	network := "tcp"
	if path, ok := strings.CutPrefix(address, unixPrefix); ok {
		network, address = "unix", path
	}
	by := time.Now().Add(within)
	conn, err := (&net.Dialer{Deadline: by}).Dial(network, address)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(by)
	io.WriteString(conn, request+"\r\nHost: localhost\r\nConnection: close\r\n\r\n") // or there is no answer
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return fmt.Errorf("no answer from %s: %w", address, err)
	}
	return judge(resp)
}

// saysReady judges an answer of the operator's port.
func saysReady(resp *http.Response) error {
	if resp.StatusCode == http.StatusOK {
		return nil
	}
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
	why := strings.ReplaceAll(strings.TrimSpace(string(body)), "\nnot ready: ", "; ")
	return fmt.Errorf("%s", strings.TrimPrefix(why, "not ready: "))
}

// saysNo judges an answer to what every cred-proxy refuses that has a place for another agent.
func saysNo(resp *http.Response) error {
	switch code := resp.Header.Get(proxy.ErrorField); {
	case code == "":
		return fmt.Errorf("it is no cred-proxy that answers")
	case resp.StatusCode == http.StatusServiceUnavailable:
		return fmt.Errorf("%s", code)
	}
	return nil
}
