// Package audit keeps a log of exchanges: a line for each, that no agent can forge and that nobody waits for.
//
// [Observer] makes the lines, a [Sink] writes them in the background.
package audit

import (
	"io"
	"log/slog"

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
	return func(e *proxy.Event) {
		if Level(e) < level {
			return
		}
		l := lines.Get().(*line)
		l.json = f == JSON
		l.exchange(e)
		w.Write(l.buf) // a Sink has no errors
		lines.Put(l)
	}
}
