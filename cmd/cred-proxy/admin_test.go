package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// The operator's port, as a scenario asks it, and where it cannot be.

var adminLine = regexp.MustCompile(`(?m)^cred-proxy: admin on (?:http://([^/]+)/|unix:(.+))$`)

// adminOf returns a client of the operator's port that a process has told of.
func adminOf(p *process) (*http.Client, error) {
	m := adminLine.FindStringSubmatch(p.stderr.String())
	if m == nil {
		return nil, fmt.Errorf("it has no operator's port:\n%s", p.stderr)
	}
	network, address := "tcp", m[1]
	if m[2] != "" {
		network, address = "unix", m[2]
	}
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, address)
	}
	return &http.Client{Timeout: patience, Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}, nil
}

// cmdAdmin asks the operator's port of the running program, by the name
// localhost unless told otherwise, and prints its answer.
//
// With -until=REGEXP it asks until a line of the answer matches.
//
//	admin [-host=NAME] [-method=POST] [-until=REGEXP] PATH
func cmdAdmin(ts *testscript.TestScript, neg bool, args []string) {
	host, method, until := "localhost", "GET", regexp.MustCompile("")
	args = flagged(ts, args, func(name, value string) bool {
		switch name {
		case "host":
			host = value
		case "method":
			method = value
		case "until":
			until = regexp.MustCompile("(?m)" + value)
		default:
			return false
		}
		return true
	})
	usage(ts, neg || len(args) != 1, "admin [-host=NAME] [-method=POST] [-until=REGEXP] PATH")
	client, err := adminOf(running(ts))
	ts.Check(err)
	for end := time.Now().Add(patience); ; {
		answer, err := askAdmin(client, method, host, args[0])
		ts.Check(err)
		swept.add(of(ts).name()+": the operator's port", answer)
		if until.MatchString(answer) {
			fmt.Fprint(ts.Stdout(), answer)
			return
		}
		if time.Now().After(end) {
			ts.Fatalf("no line matches %q in %v:\n%s", until, patience, answer)
		}
	}
}

// askAdmin returns an answer of an operator's port.
func askAdmin(client *http.Client, method, host, path string) (string, error) {
	req, err := http.NewRequest(method, "http://admin"+path, nil)
	if err != nil {
		return "", err
	}
	req.Host = host
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", err
	}
	var head strings.Builder
	resp.Header.Del("Date")
	err = resp.Header.Write(&head)
	return fmt.Sprintf("%s %s\n%s\n%s", resp.Proto, resp.Status, strings.ReplaceAll(head.String(), "\r", ""), body), err
}

// TestApart: the operator's port is nowhere where agents connect, however both are written.
func TestApart(t *testing.T) {
	tcp := func(ip string) net.Addr { return &net.TCPAddr{IP: net.ParseIP(ip), Port: 80} }
	unix := func(path string) net.Addr { return &net.UnixAddr{Name: path, Net: "unix"} }
	for _, test := range []struct {
		address string
		agents  net.Addr
		want    string
	}{
		{"127.0.0.1:80", tcp("127.0.0.1"), "admin: 127.0.0.1:80 is where agents connect"},
		{"127.0.0.1:80", tcp("0.0.0.0"), "admin: 127.0.0.1:80 is where agents connect"},
		{"127.0.0.1:80", tcp("::"), "admin: 127.0.0.1:80 is where agents connect"},
		{"0.0.0.0:80", tcp("127.0.0.1"), "admin: 0.0.0.0:80 is where agents connect"},
		{"[::]:80", tcp("127.0.0.1"), "admin: [::]:80 is where agents connect"},
		{":80", tcp("127.0.0.1"), "admin: :80 is where agents connect"},
		{"127.0.0.1:80", tcp("127.0.0.2"), ""},
		{"127.0.0.1:81", tcp("127.0.0.1"), ""},
		{":81", tcp("0.0.0.0"), ""},
		{":80", unix("/80"), ""},
		{"unix:/a/b", unix("/a/b"), "admin: unix:/a/b is where agents connect"},
		{"unix:/a/../a/b", unix("/a/b"), "admin: unix:/a/../a/b is where agents connect"},
		{"unix:/a/b", unix("/a/c"), ""},
		{"unix:127.0.0.1:80", tcp("127.0.0.1"), ""},
		{"nonsense", tcp("127.0.0.1"), `admin: "nonsense" is neither host:port nor unix:/path`},
	} {
		got := ""
		if err := apart(test.address, test.agents); err != nil {
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("%s and agents on %s: %q, want %q", test.address, test.agents, got, test.want)
		}
	}
}

// TestSayAdmin: where others can reach the operator's port, stderr says so.
func TestSayAdmin(t *testing.T) {
	const warning = "cred-proxy: admin: whoever can reach %s sees the method and the path of every exchange: keep agents away from it\n"
	for _, test := range []struct {
		addr       net.Addr
		said, want string
	}{
		{&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9100}, "127.0.0.1:9100", "cred-proxy: admin on http://127.0.0.1:9100/\n"},
		{&net.TCPAddr{IP: net.IPv6loopback, Port: 9100}, "localhost:9100", "cred-proxy: admin on http://localhost:9100/\n"},
		{&net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 9100}, "10.0.0.1:9100", fmt.Sprintf(warning, "10.0.0.1:9100") + "cred-proxy: admin on http://10.0.0.1:9100/\n"},
		{&net.TCPAddr{IP: net.IPv6zero, Port: 9100}, ":9100", fmt.Sprintf(warning, "[::]:9100") + "cred-proxy: admin on http://:9100/\n"},
		{&net.UnixAddr{Name: "/run/a.sock", Net: "unix"}, "unix:/run/a.sock", "cred-proxy: admin on unix:/run/a.sock\n"},
	} {
		var stderr strings.Builder
		(&program{stderr: &stderr}).sayAdmin(test.addr, test.said)
		if stderr.String() != test.want {
			t.Errorf("%v: %q", test.addr, stderr.String())
		}
	}
}
