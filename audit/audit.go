// Package audit keeps a log of exchanges: a line for each, that no agent can forge and that nobody waits for.
//
// [Observer] makes the lines, a [Sink] writes them in the background.
package audit

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"

	"credproxy/proxy"
)

// Format is how a line is written: a JSON object or key=value pairs.
type Format string

// The formats there are.
const (
	JSON Format = "json"
	Text Format = "text"
)

// Level is how much an exchange matters to an operator: slog.LevelError if it was refused for a reason that is not the
// agent's, slog.LevelWarn if it was refused for another or if its answer has no clean end, else slog.LevelInfo.
func Level(e *proxy.Event) slog.Level {
	switch {
	case e.Refusal != "" && e.Status >= 500 && e.Refusal != "method":
		return slog.LevelError
	case e.Refusal != "" || e.Broken != "":
		return slog.LevelWarn
	}
	return slog.LevelInfo
}

// Observer returns one that writes a line to w for each exchange that has at least that level. Whatever the agent chose
// is quoted as the format wants it: a line has one end.
func Observer(w io.Writer, f Format, level slog.Level) proxy.Observer {
	o := &slog.HandlerOptions{Level: level, ReplaceAttr: onlyOurs}
	var h slog.Handler = slog.NewTextHandler(w, o)
	if f == JSON {
		h = slog.NewJSONHandler(w, o)
	}
	ctx := context.Background()
	return func(e *proxy.Event) {
		level := Level(e)
		if !h.Enabled(ctx, level) {
			return
		}
		// A group without a name is its members; a Record that has more than five of its own allocates.
		a := attrs.Get().(*[13]slog.Attr)
		*a = [...]slog.Attr{
			slog.String("id", e.ID.String()),
			slog.String("route", e.Route),
			slog.String("method", e.Method),
			slog.String("path", e.Path),
			slog.Int("status", e.Status),
			slog.String("refusal", e.Refusal),
			slog.Int64("bytes_in", e.BytesIn),
			slog.Int64("bytes_out", e.BytesOut),
			slog.Float64("first_byte_ms", float64(e.FirstByte.Microseconds())/1e3),
			slog.Float64("duration_ms", float64(e.Duration.Microseconds())/1e3),
			slog.Bool("reused", e.Connection == "reused"),
			slog.String("peer", peer(e)),
			slog.Int("redactions", e.Redactions),
		}
		r := slog.NewRecord(e.Time, level, "", 0)
		r.AddAttrs(slog.Attr{Value: slog.GroupValue(a[:]...)})
		h.Handle(ctx, r) // a Sink has no errors
		*a = [13]slog.Attr{}
		attrs.Put(a)
	}
}

var attrs = sync.Pool{New: func() any { return new([13]slog.Attr) }}

// onlyOurs leaves out what slog adds besides the time.
func onlyOurs(_ []string, a slog.Attr) slog.Attr {
	if a.Key == slog.LevelKey || a.Key == slog.MessageKey {
		return slog.Attr{}
	}
	return a
}

func peer(e *proxy.Event) string {
	if e.Peer == nil {
		return ""
	}
	if a, ok := e.Peer.(*net.TCPAddr); ok {
		addr := a.AddrPort()
		return netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port()).String()
	}
	return e.Peer.String()
}
