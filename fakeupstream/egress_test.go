package fakeupstream

import (
	"io"
	"net"
	"net/http"
	"net/url"
	"testing"
)

// TestEgress: a client reaches by the proxy what it is led to, and learns the status by which it is not.
func TestEgress(t *testing.T) {
	up := NewTest(t)
	e, err := StartEgress(func(q Request) (string, int) {
		if q.Target == "upstream.test:443" && q.Method == "CONNECT" && q.Get("Host") == q.Target {
			return up.addr, 0
		}
		if q.Target == "nobody.test:443" {
			return "127.0.0.1:1", 0
		}
		return "", http.StatusTeapot
	})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	proxy, err := url.Parse(e.URL)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{Proxy: http.ProxyURL(proxy), TLSClientConfig: up.Client().Transport.(*http.Transport).TLSClientConfig}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	resp, err := client.Get("https://upstream.test/status/204")
	if err != nil || resp.StatusCode != http.StatusNoContent {
		t.Errorf("%v, %v", resp, err)
	}
	if resp, err := client.Get("https://elsewhere.test/"); err == nil || err.(*url.Error).Err.Error() != "I'm a teapot" {
		t.Errorf("led elsewhere: %v, %v", resp, err)
	}
	if resp, err := client.Get("https://nobody.test/"); err == nil || err.(*url.Error).Err.Error() != "Bad Gateway" {
		t.Errorf("led to nobody: %v, %v", resp, err)
	}
	conn, err := net.Dial("tcp", proxy.Host)
	if err != nil {
		t.Fatal(err)
	}
	conn.Write([]byte("CONNECT upstream.test:443 HT"))
	conn.(*net.TCPConn).CloseWrite()
	if p, err := io.ReadAll(conn); len(p) > 0 || err != nil {
		t.Errorf("half a head: %q, %v", p, err)
	}
	conn.Close()
	if resp, err := client.Get("http://upstream.test/"); err != nil || resp.StatusCode != http.StatusForbidden {
		t.Errorf("without CONNECT: %v, %v", resp, err)
	}
	if n := len(up.Requests()); n != 1 {
		t.Errorf("%d requests came", n)
	}
}
