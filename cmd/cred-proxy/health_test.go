package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestHealthOfAnother: what answers and is no cred-proxy, or has no place, is not ready.
func TestHealthOfAnother(t *testing.T) {
	code := ""
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if code != "" {
			w.Header().Set("X-Cred-Proxy-Error", code)
		}
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer s.Close()
	address := strings.TrimPrefix(s.URL, "http://")
	for c, want := range map[string]string{"": "it is no cred-proxy that answers", "busy": "busy"} {
		code = c
		if err := askHealth(address, "GET / HTTP/1.1", saysNo); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", c, err, want)
		}
	}
}
