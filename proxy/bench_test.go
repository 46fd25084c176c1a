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

// benchmarkResponse is what an API answers with.
const benchmarkResponse = "HTTP/1.1 200 OK\r\nDate: Mon, 01 Jan 2024 00:00:00 GMT\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n" +
	"Connection: keep-alive\r\nCF-Ray: 8a1b2c3d4e5f6a7b-FRA\r\nServer: cloudflare\r\nrequest-id: req_011CSHoEeqs5C35K2UUqR7Fy\r\n" +
	"anthropic-organization-id: 11111111-2222-3333-4444-555555555555\r\nanthropic-ratelimit-requests-limit: 4000\r\n" +
	"anthropic-ratelimit-requests-remaining: 3999\r\nanthropic-ratelimit-requests-reset: 2024-01-01T00:00:00Z\r\n" +
	"strict-transport-security: max-age=31536000; includeSubDomains; preload\r\nvia: 1.1 google\r\ncf-cache-status: DYNAMIC\r\n"

// BenchmarkResponseHead is what is done with a response's head between its parsing and its sending: one without URLs, and
// one with two that come home.
func BenchmarkResponseHead(b *testing.B) {
	for name, more := range map[string]string{"plain": "", "links": "Link: <https://h/base/x?page=2>; rel=\"next\", <https://h/base/x?page=9>; rel=\"last\"\r\n"} {
		b.Run(name, func(b *testing.B) {
			x := &exchange{srv: New(Options{}), heads: new(heads), route: testTable(b, "/a/").routes[0], agent: &agent{host: "cred-proxy:9099"}}
			if _, err := x.resp.Parse([]byte(benchmarkResponse+more+"\r\n"), DefaultLimits.response()); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				x.out = x.responseHead()
				x.dropOut()
			}
		})
	}
}
