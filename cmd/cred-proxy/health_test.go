package main

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// What the command health makes of an answer.

// TestHealthOfAnother: what answers and is no cred-proxy, or has no place, is not ready; of its text not much is told.
func TestHealthOfAnother(t *testing.T) {
	code, body := "", ""
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if code != "" {
			w.Header().Set("X-Cred-Proxy-Error", code)
		}
		w.WriteHeader(http.StatusServiceUnavailable)
		io.WriteString(w, body)
	}))
	defer s.Close()
	for _, test := range []struct {
		judge            func(*http.Response) error
		code, body, want string
	}{
		{saysNo, "", "", "it is no cred-proxy that answers"},
		{saysNo, "busy", "", "busy"},
		{saysReady, "", strings.Repeat("x", 5000), strings.Repeat("x", 4096)},
	} {
		code, body = test.code, test.body
		err := askHealth(strings.TrimPrefix(s.URL, "http://"), "GET / HTTP/1.1", test.judge, patience)
		if err == nil || err.Error() != test.want {
			t.Errorf("%q %.10q: %v, want %s", code, body, err, test.want)
		}
	}
}

// TestHealthOfTheSilent: what takes a connection and says nothing is not waited for.
func TestHealthOfTheSilent(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		if conn, err := ln.Accept(); err == nil {
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(patience))
			io.Copy(io.Discard, conn)
		}
	}()
	err = askHealth(ln.Addr().String(), "GET / HTTP/1.1", saysReady, 50*time.Millisecond)
	if timeout, ok := errors.AsType[net.Error](err); !ok || !timeout.Timeout() {
		t.Errorf("%v, want a timeout", err)
	}
}
