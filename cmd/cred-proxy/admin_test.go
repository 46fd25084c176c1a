package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// The operator's port, as a scenario asks it.

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
