package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"credproxy/fakeupstream"
)

// One client in its sandbox: its steps, and what is looked at after each.

// stepTime bounds a step.
const stepTime = 3 * time.Minute

// A bottle is the sandbox of a client: a home and a working directory, both its own.
type bottle struct {
	*world
	dir    string
	env    []string
	recipe string       // by which a shell learns what it needs for its route
	said   bytes.Buffer // by all programs so far
}

// hold has a client take its steps, unless it is missing.
func (w *world) hold(ctx context.Context, c client, missing string) (r row) {
	r.client, r.skipped = c.name, missing
	if c.restless && !w.job.sealed && missing == "" {
		r.skipped = "it needs a network without a way out"
	}
	r.skipped = cmp.Or(r.skipped, w.job.Options.refuses(c))
	if r.skipped != "" {
		return r
	}
	b, err := w.newBottle(ctx, c)
	if err != nil {
		r.failed = err
		return r
	}
	for i, s := range append([]step{{"its version", func(ctx context.Context, b *bottle) error {
		r.version, err = b.version(ctx, c.version)
		return err
	}}}, c.steps...) {
		if err := b.take(ctx, s); err != nil {
			r.failed = fmt.Errorf("%s: %w", s.what, err)
			break
		}
		if i > 0 && s.what != "" {
			r.done = append(r.done, s.what)
		}
	}
	return r
}

// A step is something that a client does.
type step struct {
	what string
	do   func(ctx context.Context, b *bottle) error
}

// take takes a step and judges it by what came to the upstream and by what the client keeps.
func (b *bottle) take(ctx context.Context, s step) error {
	ctx, cancel := context.WithTimeout(ctx, stepTime)
	defer cancel()
	b.up.Forget()
	err := errors.Join(s.do(ctx, b), b.judge())
	return cmp.Or(err, b.holdsNoToken())
}

func (w *world) newBottle(ctx context.Context, c client) (*bottle, error) {
	b := &bottle{world: w, dir: filepath.Join(w.job.Dir, "bottles", c.name)}
	for _, dir := range []string{"home", "work", "tmp"} {
		if err := os.MkdirAll(filepath.Join(b.dir, dir), 0o755); err != nil {
			return nil, err
		}
	}
	b.env = append(plainEnvironment(), "HOME="+filepath.Join(b.dir, "home"), "TMPDIR="+filepath.Join(b.dir, "tmp"),
		"CRED_PROXY="+w.job.program(), "SCRIPTS="+w.job.scripts(), "NPM="+filepath.Join(w.job.Dir, "npm"), "CLIENTS="+w.job.Dir)
	b.env = append(append(b.env, w.trap.environment()...), clientToken, "AT="+w.url, "ROUTE="+c.route)
	if w.job.Options.JSON {
		return b, b.settle(ctx)
	}
	b.recipe = `FORMAT=sh; eval "$(` + tell + `)"` + "\n"
	return b, nil
}

// tell is the proxy's own command that tells what the sandbox needs for a route.
const tell = `"$CRED_PROXY" env -routes "$CLIENTS/routes.json" -url "$AT" -format "$FORMAT" "$ROUTE"`

// settle gives the bottle the variables and the files that its route needs, as they are told in JSON.
func (b *bottle) settle(ctx context.Context) error {
	out, err := b.sh(ctx, "FORMAT=json; "+tell)
	if err != nil {
		return err
	}
	var settings struct{ Env, Files map[string]string }
	if err := json.Unmarshal([]byte(out), &settings); err != nil {
		return err
	}
	for name, value := range settings.Env {
		b.env = append(b.env, name+"="+value)
	}
	for name, text := range settings.Files {
		file := filepath.Join(b.dir, "home", filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// work is a file of the working directory.
func (b *bottle) work(file string) string { return filepath.Join(b.dir, "work", file) }

var number = regexp.MustCompile(`\d+\.\d[\w.+-]*`)

// version returns the first number that a script prints.
func (b *bottle) version(ctx context.Context, script string) (string, error) {
	out, err := b.sh(ctx, script)
	if err != nil {
		return "", err
	}
	return number.FindString(out), nil
}

// command is a shell that knows what `cred-proxy env` says and runs a script.
func (b *bottle) command(ctx context.Context, script string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "sh", "-eu", "-c", b.recipe+script)
	own(cmd)
	cmd.Dir = filepath.Join(b.dir, "work")
	cmd.Env = b.env
	cmd.WaitDelay = time.Second
	return cmd
}

// sh runs a script to its end and returns what it printed.
func (b *bottle) sh(ctx context.Context, script string) (string, error) {
	out, errs, err := b.try(ctx, script)
	if err != nil {
		return out, fmt.Errorf("%w: %s", err, lastLines(out+errs))
	}
	return out, nil
}

// try is sh for a script that may fail; it also returns its standard error.
func (b *bottle) try(ctx context.Context, script string) (stdout, stderr string, err error) {
	cmd := b.command(ctx, script)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err = cmd.Start(); err == nil {
		err = cmd.Wait()
		killAll(cmd)
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	b.said.Write(out.Bytes())
	b.said.Write(errs.Bytes())
	return out.String(), errs.String(), err
}

// holdsNoToken looks for a token in what the client said and in its files.
func (b *bottle) holdsNoToken() error {
	if secret := b.secretIn(b.said.Bytes()); secret != "" {
		return fmt.Errorf("the client printed the token %s", secret)
	}
	return filepath.WalkDir(b.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if secret := b.secretIn(text); secret != "" {
			return fmt.Errorf("the client has the token %s in %s", secret, path)
		}
		return nil
	})
}

// watch runs a script that shows the events of the stream as they come, and sends each only when the one before it was
// shown: shows says what line shows it. At the end it ends the stream or, if the script leaves by itself before that,
// waits until the upstream has seen it leave.
func (b *bottle) watch(ctx context.Context, stream, script string, leaves bool, events []event) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := b.command(ctx, script)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	defer killAll(cmd)
	lines := bufio.NewScanner(out)
	wrong := b.dictate(ctx, stream, events, lines)
	switch {
	case wrong != nil:
	case leaves:
		wrong = b.up.WaitStreamGone(ctx, stream)
	default:
		wrong = b.up.EndStream(ctx, stream)
	}
	if wrong != nil {
		killAll(cmd)
	}
	for lines.Scan() {
		b.said.Write(append(lines.Bytes(), '\n'))
	}
	err = cmd.Wait()
	b.said.Write(errs.Bytes())
	if wrong == nil {
		wrong = err
	}
	if wrong != nil {
		return fmt.Errorf("%w: %s", wrong, lastLines(errs.String()))
	}
	return nil
}

// An event is one of a stream, and the line by which a client shows that it has it; none if it shows nothing.
type event struct {
	fakeupstream.Event
	shown string
}

func (b *bottle) dictate(ctx context.Context, stream string, events []event, lines *bufio.Scanner) error {
	for i, e := range events {
		if err := b.up.EmitEvent(ctx, stream, e.Event); err != nil {
			return fmt.Errorf("event %d: %w", i+1, err)
		}
		for shown := e.shown == ""; !shown; {
			if !lines.Scan() {
				return fmt.Errorf("event %d was not shown", i+1)
			}
			b.said.Write(append(lines.Bytes(), '\n'))
			shown = strings.Contains(lines.Text(), e.shown)
		}
	}
	return nil
}

// recorded returns the requests so far whose path has that end.
func (b *bottle) recorded(end string) (list []fakeupstream.Request) {
	for _, q := range b.up.Requests() {
		if strings.HasSuffix(q.Path(), end) {
			list = append(list, q)
		}
	}
	return list
}

// want compares what a client printed.
func want(got, want string) error {
	if strings.TrimSpace(got) != strings.TrimSpace(want) {
		return fmt.Errorf("printed %q, want %q", got, want)
	}
	return nil
}
