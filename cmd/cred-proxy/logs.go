package main

import (
	"log/slog"
	"time"

	"credproxy/audit"
	"credproxy/proxy"
)

// logs are where exchanges are told of.
type logs struct {
	observer proxy.Observer // nil if nowhere
	stderr   *audit.Sink
	file     *audit.Sink
}

// levels are the values of -log-level.
var levels = map[string]slog.Level{"info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}

// openLogs opens the logs that the options ask for. They must be closed.
func (p *program) openLogs(o *options) (l *logs, err error) {
	l = new(logs)
	var debug, line, record proxy.Observer
	if o.auditFile != "" {
		if l.file, err = audit.OpenFile(o.auditFile, p.say); err != nil {
			return nil, err
		}
		record = audit.Observer(l.file, audit.JSON, slog.LevelInfo)
	}
	if o.log != "off" {
		l.stderr = audit.NewSink("log", p.stderr, p.say)
		line = audit.Observer(l.stderr, audit.Format(o.log), levels[o.logLevel])
	}
	if o.debug {
		debug = proxy.LogTo(p.stderr)
	}
	l.observer = proxy.Observers(record, line, debug)
	return l, nil
}

// reopen opens the audit file again: something has moved it away.
func (p *program) reopen(l *logs) {
	if l.file == nil {
		p.say("SIGUSR1: there is no audit file to open again")
		return
	}
	l.file.Reopen()
}

// close writes what is not yet written, as far as that does not take long.
func (l *logs) close() {
	for _, s := range []*audit.Sink{l.stderr, l.file} {
		if s != nil {
			s.Close(time.Second)
		}
	}
}
