package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"credproxy/proxy"
)

// keys are those of a line, in their order.
var keys = []string{"time", "id", "route", "method", "path", "status", "refusal", "bytes_in", "bytes_out", "first_byte_ms",
	"duration_ms", "reused", "peer", "redactions"}

func anEvent() *proxy.Event {
	return &proxy.Event{ID: 0xabc, Time: time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC), Route: "/a/", Method: "GET", Path: "/a/b",
		Status: 200, BytesIn: 1, BytesOut: 2, FirstByte: 1500 * time.Microsecond, Duration: time.Second, Connection: "reused",
		Redactions: 3, Peer: &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 99}}
}

func TestLine(t *testing.T) {
	for format, want := range map[Format]string{
		Text: "time=2026-01-02T03:04:05.000Z id=0000000000000abc route=/a/ method=GET path=/a/b status=200 refusal=\"\" bytes_in=1" +
			" bytes_out=2 first_byte_ms=1.5 duration_ms=1000 reused=true peer=10.0.0.1:99 redactions=3\n",
		JSON: `{"time":"2026-01-02T03:04:05.000006Z","id":"0000000000000abc","route":"/a/","method":"GET","path":"/a/b","status":200,` +
			`"refusal":"","bytes_in":1,"bytes_out":2,"first_byte_ms":1.5,"duration_ms":1000,"reused":true,"peer":"10.0.0.1:99","redactions":3}` + "\n",
	} {
		var b bytes.Buffer
		Observer(&b, format, slog.LevelInfo)(anEvent())
		if b.String() != want {
			t.Errorf("%s:\n%swant:\n%s", format, b.String(), want)
		}
	}
	for want, agent := range map[string]net.Addr{
		"/run/agent":       &net.UnixAddr{Name: "/run/agent", Net: "unix"},
		"[2001:db8::1]:99": &net.TCPAddr{IP: net.ParseIP("2001:db8::1"), Port: 99},
		"":                 nil, // what a program of its own tells of no agent
	} {
		var b bytes.Buffer
		e := anEvent()
		e.Peer = agent
		Observer(&b, JSON, slog.LevelInfo)(e)
		if !strings.Contains(b.String(), `"peer":"`+want+`"`) {
			t.Errorf("%v: %s", agent, b.String())
		}
	}
}

// TestLevels: what matters less than asked for is not written.
func TestLevels(t *testing.T) {
	events := map[string]*proxy.Event{"fine": anEvent(), "refused": anEvent(), "cut": anEvent(), "ours": anEvent(), "method": anEvent()}
	events["refused"].Refusal, events["refused"].Status = "push", 403
	events["cut"].Broken = "upstream"
	events["ours"].Refusal, events["ours"].Status = "token", 500
	events["method"].Refusal, events["method"].Status = "method", 501 // the agent's fault
	for level, want := range map[slog.Level]string{
		slog.LevelInfo: "cut fine method ours refused", slog.LevelWarn: "cut method ours refused", slog.LevelError: "ours",
	} {
		var written []string
		for name, e := range events {
			var b bytes.Buffer
			Observer(&b, JSON, level)(e)
			if b.Len() > 0 {
				written = append(written, name)
			}
		}
		slices.Sort(written)
		if got := strings.Join(written, " "); got != want {
			t.Errorf("%v: %s, want %s", level, got, want)
		}
	}
}

// FuzzLine: whatever is in an Event makes one line, with the keys that it must have and no other, and it says what slog's
// handlers would say: in JSON of any text, in the other format byte by byte where the text is ASCII.
func FuzzLine(f *testing.F) {
	f.Add("/a\n{\"id\":1}", "/r\\", "x\x1b[31m", int64(1), int64(0))
	f.Add("/a status=200 refusal=\"", "\u2028", "\xff\xfe\x85", int64(999_999_999), int64(1e15))
	f.Add("/a?b=c", "", "GET", int64(-1), int64(1e12))
	f.Fuzz(func(t *testing.T, path, route, method string, n, ns int64) {
		e := anEvent()
		e.Path, e.Route, e.Method = path, route, method
		e.BytesIn, e.Duration = n, time.Duration(ns)
		for _, format := range []Format{JSON, Text} {
			var b bytes.Buffer
			Observer(&b, format, slog.LevelInfo)(e)
			if bytes.Count(b.Bytes(), []byte("\n")) != 1 || b.Bytes()[b.Len()-1] != '\n' || bytes.ContainsAny(b.Bytes(), "\r\x00\x1b") {
				t.Fatalf("%s: %q", format, b.String())
			}
			want := bySlog(e, format)
			if format == JSON {
				if got := keysOf(t, b.Bytes()); !slices.Equal(got, keys) {
					t.Fatalf("%q", got)
				}
				if got, want := valuesOf(t, b.Bytes()), valuesOf(t, want); !maps.Equal(got, want) {
					t.Fatalf("%v, slog says %v", got, want)
				}
			} else if !bytes.Equal(b.Bytes(), want) && isVisible(path+route+method) && !bytes.Contains(want, []byte("e+")) {
				t.Fatalf("%sslog says:\n%s", b.String(), want)
			}
		}
	})
}

// bySlog is the line that slog makes of an Event.
func bySlog(e *proxy.Event, f Format) []byte {
	var b bytes.Buffer
	o := &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.LevelKey || a.Key == slog.MessageKey {
			return slog.Attr{}
		}
		return a
	}}
	var h slog.Handler = slog.NewTextHandler(&b, o)
	if f == JSON {
		h = slog.NewJSONHandler(&b, o)
	}
	r := slog.NewRecord(e.Time, slog.LevelInfo, "", 0)
	r.Add("id", e.ID.String(), "route", e.Route, "method", e.Method, "path", e.Path, "status", e.Status, "refusal", e.Refusal,
		"bytes_in", e.BytesIn, "bytes_out", e.BytesOut, "first_byte_ms", float64(e.FirstByte.Microseconds())/1e3,
		"duration_ms", float64(e.Duration.Microseconds())/1e3, "reused", e.Connection == "reused", "peer", e.Peer.String(),
		"redactions", e.Redactions)
	h.Handle(context.Background(), r)
	return b.Bytes()
}

// valuesOf are the values of a JSON object without any in them.
func valuesOf(t *testing.T, object []byte) (values map[string]any) {
	t.Helper()
	if err := json.Unmarshal(object, &values); err != nil {
		t.Fatalf("%v: %s", err, object)
	}
	return values
}

func isVisible(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' })
}

// keysOf are the keys of a JSON object, in their order.
func keysOf(t *testing.T, object []byte) (names []string) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(object))
	for d.Token(); d.More(); {
		name, err := d.Token()
		if err != nil {
			t.Fatalf("%v: %s", err, object)
		}
		names = append(names, name.(string))
		if err := d.Decode(new(any)); err != nil {
			t.Fatalf("%v: %s", err, object)
		}
	}
	return names
}

// BenchmarkLine is what a line costs the goroutine that serves.
func BenchmarkLine(b *testing.B) {
	for _, format := range []Format{Text, JSON} {
		b.Run(string(format), func(b *testing.B) {
			s := NewSink("bench", discard{}, b.Logf)
			defer s.Close(time.Second)
			o, e := Observer(s, format, slog.LevelInfo), anEvent()
			b.ReportAllocs()
			for b.Loop() {
				o(e)
			}
		})
	}
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
