package redact

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// bodies are what streams by, of about n bytes each.
func bodies(n int) map[string][]byte {
	r := rand.New(rand.NewPCG(1, 2))
	random := make([]byte, n)
	for i := range random {
		random[i] = byte(r.Uint32())
	}
	words := strings.Fields("the of model request answer stream token and to in a is that for it with as was on be by proxy agent response " +
		"function return value error string bytes header field `code` \"quoted\" path/to/file 12345 0x7f https://example.com/a/b?c=d")
	var text strings.Builder
	for text.Len() < n {
		text.WriteString(words[r.IntN(len(words))])
		if text.WriteByte(' '); r.IntN(12) == 0 {
			text.WriteByte('\n')
		}
	}
	var events, html, php, hexes strings.Builder
	for rest := text.String(); events.Len() < n && len(rest) > 100; rest = rest[40:] {
		delta, _ := json.Marshal(rest[:20+r.IntN(20)])
		fmt.Fprintf(&events, "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":%s}}\n\n", delta)
	}
	for rest := text.String(); html.Len() < n && len(rest) > 100; rest = rest[40:] {
		fmt.Fprintf(&html, "<a href=\"/search?q=%%E2%%9C%%93%%20&amp;next=https%%3A%%2F%%2Fexample.com%%2Fa%%2Fb%%3Fc%%3Dd\">%s</a>\n", rest[:30])
		fmt.Fprintf(&php, `{"url":"https:\/\/example.com\/a\/b?c=d","text":"%s"},`, strings.ReplaceAll(rest[:30], `"`, `\"`))
	}
	for hexes.Len() < n {
		fmt.Fprintf(&hexes, "%016x%016x%08x refs/heads/%s\n", r.Uint64(), r.Uint64(), r.Uint32(), words[r.IntN(len(words))])
	}
	return map[string][]byte{"random": random, "text": []byte(text.String()), "events": []byte(events.String()),
		"base64": []byte(base64.StdEncoding.EncodeToString(random))[:n], "percent": []byte(html.String()), "slashes": []byte(php.String()), "digests": []byte(hexes.String())}
}

// BenchmarkNext is what watching costs, for pieces as bulk and as events come, by the length of the tokens.
func BenchmarkNext(b *testing.B) {
	for _, length := range []int{108, 40, 20, 16, 8} {
		token := (tokens[2] + tokens[3])[:length]
		m := New([]Secret{{Token: token, Scheme: "Bearer"}, {Token: token[1:] + "x", Username: user("x-access-token")}})
		all := bodies(1 << 20)
		for _, name := range slices.Sorted(maps.Keys(all)) {
			for _, size := range []int{64 << 10, 16 << 10, 200} {
				b.Run(fmt.Sprintf("token=%d/%s/%d", length, name, size), func(b *testing.B) {
					s, p := Stream{M: m}, all[name]
					size := size
					b.SetBytes(int64(size))
					at := 0
					for b.Loop() {
						if at+size > len(p) {
							at = 0
						}
						s.Next(p[at : at+size])
						at += size
					}
				})
			}
		}
	}
}
