package proxy

import (
	"testing"

	"credproxy/proxy/http1"
)

// benchmarkHead is what an SDK sends.
const benchmarkHead = "POST /a/v1/messages HTTP/1.1\r\nHost: cred-proxy:9099\r\nAccept: application/json\r\nContent-Type: application/json\r\n" +
	"User-Agent: Anthropic/JS 0.60.0\r\nX-Stainless-Lang: js\r\nX-Stainless-Package-Version: 0.60.0\r\nX-Stainless-OS: Linux\r\n" +
	"X-Stainless-Arch: x64\r\nX-Stainless-Runtime: node\r\nX-Stainless-Runtime-Version: v22.0.0\r\nX-Stainless-Retry-Count: 0\r\n" +
	"X-Stainless-Timeout: 600\r\nanthropic-version: 2023-06-01\r\nanthropic-dangerous-direct-browser-access: true\r\n" +
	"Authorization: Bearer placeholder\r\nAccept-Encoding: gzip, deflate\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\n"

// BenchmarkCompose is what a route does with a request's head between its parsing and its sending.
func BenchmarkCompose(b *testing.B) {
	var q http1.Request
	if _, err := q.Parse([]byte(benchmarkHead), DefaultLimits.request()); err != nil {
		b.Fatal(err)
	}
	r := testTable(b, "/a/").routes[0]
	p := make([]byte, 0, 8192)
	b.ReportAllocs()
	for b.Loop() {
		p = appendFields(p[:0], q.Fields, &q, r.dropped)
		p = append(p, r.fields.reveal()...)
	}
}
