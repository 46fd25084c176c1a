package main

import (
	"log/slog"
	"time"

	"credproxy/audit"
	"credproxy/proxy"
)

// logs are where exchanges are told of, and all else that is said while the program serves.
type logs struct {
	observer proxy.Observer // nil if exchanges are told of nowhere
	stderr   *audit.Sink
	file     *audit.Sink // nil without -audit-file
}

// levels are the values of -log-level.
var levels = map[string]slog.Level{"info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}

// openLogs opens the logs that the options ask for. From then on nobody waits for who reads stderr. They must be closed,
// also after an error.
func (p *program) openLogs(o *options) (l *logs, err error) {
	direct := *p
	l = &logs{stderr: audit.NewSink("stderr", p.stderr, direct.say)}
	p.stderr = l.stderr
	var debug, line, record proxy.Observer
	if o.auditFile != "" {
		if l.file, err = audit.OpenFile(o.auditFile, p.say); err != nil {
			return l, err
		}
		record = audit.Observer(l.file, audit.JSON, slog.LevelInfo)
	}
	if o.log != "off" {
		line = audit.Observer(p.stderr, audit.Format(o.log), levels[o.logLevel])
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
	if l.file != nil {
		l.file.Close(time.Second)
	}
	l.stderr.Close(time.Second)
}
