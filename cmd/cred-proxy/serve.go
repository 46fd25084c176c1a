package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"

	"credproxy/admin"
	"credproxy/proxy"
)

// serve is the program without a command: it proxies until it is told to stop.
func (p *program) serve(args []string) int {
	tellUnknown := p.watchVariables()
	o, rest, err := parseOptions(args, p.getenv)
	switch {
	case err != nil:
		return p.fail(err)
	case len(rest) > 0:
		return p.usageError("unexpected argument %q", rest[0])
	}
	if p.getenv("GOGC") == "" {
		// Little is allocated for a request and much is held for a stream: a smaller heap costs next to nothing here.
		debug.SetGCPercent(50)
	}
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, slices.Concat(stopSignals, reloadSignals, reopenSignals)...)
	outlivePipes()

	trusted, err := namedRoots(p.getenv)
	if err != nil {
		return p.fail(err)
	}
	logs, err := p.openLogs(o)
	defer logs.close()
	if err != nil {
		return p.fail(err)
	}
	p.fitDescriptors(&o.limits)
	var srv *proxy.Server
	adm := newAdmin(p, o, func() proxy.Status { return srv.Status() })
	srvOptions := proxy.Options{Timeouts: o.timeouts, Limits: o.limits, Peers: o.peers, Getenv: p.getenv, Observer: logs.observer,
		RootCAs: trusted, Poll: o.poll, Watch: o.watch, Warn: p.warn}
	if adm != nil {
		srvOptions.Observer, srvOptions.Progress = proxy.Observers(logs.observer, adm.Finished), adm.Progress
		defer adm.Close()
	}
	srv = proxy.New(srvOptions)
	changed, err := p.loadFirst(srv, o.routes, logs, signals)
	switch {
	case err == errStopped:
		return exitOK
	case err != nil:
		return p.failToLoad(err, tellUnknown)
	}
	tellUnknown()
	doors, err := o.doors(p.getenv)
	if err != nil {
		return p.fail(err)
	}
	if err := p.serveAdmin(adm, o, doors); err != nil {
		closeAll(doors)
		return p.fail(err)
	}
	var said, addrs []string
	for _, d := range doors {
		said, addrs = append(said, d.said), append(addrs, d.addr)
	}
	if o.addrFile != "" {
		remove, err := writeAddrFile(o.addrFile, strings.Join(addrs, "\n"))
		if err != nil {
			closeAll(doors)
			return p.fail(err)
		}
		defer remove()
	}
	fmt.Fprintf(p.stderr, "cred-proxy listening on %s; %s\n", strings.Join(said, ", "), srv.Routes())

	served := make(chan error, len(doors))
	for _, d := range doors {
		go func() { served <- srv.Serve(d.Listener) }()
	}
	notify(p.getenv, notifyReady)
	reloads := make(chan struct{}, 1) // one that waits sees all that was written before it
	if changed {
		reloads <- struct{}{}
	}
	go func() {
		for range reloads {
			p.reload(srv, o.routes)
		}
	}()
	for {
		select {
		case err := <-served:
			return p.fail(err)
		case sig := <-signals:
			switch {
			case sig == syscall.SIGHUP:
				select {
				case reloads <- struct{}{}: // not here: a command that prints a token may take its time
				default:
				}
			case slices.Contains(reopenSignals, sig):
				p.reopen(logs)
			default:
				return p.drain(srv, adm, o, logs, signals)
			}
		}
	}
}

// errStopped says that the program was told to stop before it served.
var errStopped = errors.New("stopped")

// loadFirst loads the routes, which can take as long as commands that print tokens, unless a signal says that nobody wants
// them any more. It reports whether one says that they have changed meanwhile.
func (p *program) loadFirst(srv *proxy.Server, file string, logs *logs, signals <-chan os.Signal) (changed bool, err error) {
	loaded := make(chan error, 1)
	go func() { loaded <- srv.LoadFile(file) }()
	for {
		select {
		case err := <-loaded:
			return changed, err
		case sig := <-signals:
			switch {
			case sig == syscall.SIGHUP:
				changed = true
			case slices.Contains(reopenSignals, sig):
				p.reopen(logs)
			default:
				srv.Shutdown(context.Background()) // which ends the commands
				return false, errStopped
			}
		}
	}
}

// reload reads the routes again. Everything is built before anything changes: a failure keeps the old routes.
func (p *program) reload(srv *proxy.Server, file string) {
	notify(p.getenv, notifyReloading())
	defer notify(p.getenv, notifyReady)
	if err := srv.LoadFile(file); err != nil {
		p.say("SIGHUP failed: reload failed: %v", err)
		return
	}
	p.say("SIGHUP ok: reloaded %s\ncred-proxy: in force: %s", srv.Routes(), srv.Status())
}

// drain stops the server, once whoever asks had time to learn that it is not ready any more: what runs may finish in
// time, unless a second signal comes.
func (p *program) drain(srv *proxy.Server, adm *admin.Admin, o *options, logs *logs, signals <-chan os.Signal) int {
	if adm != nil {
		adm.Drain()
	}
	notify(p.getenv, notifyStopping)
	ctx, cancel := context.WithTimeout(context.Background(), o.drainDelay+o.drain)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		select {
		case <-time.After(o.drainDelay):
		case <-ctx.Done():
		}
		done <- srv.Shutdown(ctx)
	}()
	code := exitOK
	for {
		select {
		case err := <-done:
			if err != nil && code == exitOK {
				p.say("exchanges still under way after %v were cut", o.drain)
			}
			return code
		case sig := <-signals:
			switch {
			case slices.Contains(stopSignals, sig):
				p.say("second signal: exchanges under way are cut")
				code = exitFailed
				cancel() // and not out at once: the logs are told of them
			case slices.Contains(reopenSignals, sig):
				p.reopen(logs)
			case sig == syscall.SIGHUP:
				p.say("SIGHUP ignored: stopping")
			}
		}
	}
}

// writeAddrFile writes the addresses in one step: whoever sees the file sees all of it. It returns what removes the file,
// unless it is another's by then who took over.
func writeAddrFile(file, addrs string) (remove func(), err error) {
	f, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+".*")
	if err != nil {
		return nil, fmt.Errorf("address file: %w", err)
	}
	_, err = f.WriteString(addrs + "\n")
	mine, statErr := f.Stat()
	err = errors.Join(err, statErr, f.Chmod(0o644), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		os.Remove(f.Name())
		return nil, fmt.Errorf("address file: %w", err)
	}
	return func() {
		if now, err := os.Stat(file); err == nil && os.SameFile(now, mine) && now.ModTime().Equal(mine.ModTime()) { // inodes are used again
			os.Remove(file)
		}
	}, nil
}

// errorLines splits an error into the lines that a person reads.
func errorLines(err error) (lines []string) {
	if several, ok := errors.AsType[proxy.ConfigErrors](err); ok {
		for _, e := range several {
			lines = append(lines, e.Error())
		}
		return lines
	}
	if several, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range several.Unwrap() {
			lines = append(lines, errorLines(e)...)
		}
		return lines
	}
	return []string{err.Error()}
}
