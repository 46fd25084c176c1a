// Clients holds the proxy to the real clients: git, curl, SDKs, package managers and the command lines of agents do their
// work through the real program, before the fake upstream. From the root of the repository:
//
//	go run ./ci/clients
//
// It prints a table: client, version, what was done, result; README.md's was made so. -h shows what else there is.
//
// A client (clients.go) has a home of its own, and nothing of the machine's environment but PATH: what it knows of the
// proxy is what `cred-proxy env` prints for its route, evaluated by a shell. It has no way out (seal_linux.go): in its
// network there is loopback and a name server that knows no name, and remembers who was asked for. The fake upstream is
// what the proxy alone can reach (world.go), by the hosts' own names, and each route has a token of its own. After every
// step (bottle.go) all requests must have come by the proxy, with the token of their host and no placeholder; no name must
// have been asked for, and no token be in what the client said or keeps.
//
// What a client needs is installed before, from the package registries in the versions that are pinned here (install.go),
// into a directory that is removed at the end. What a machine cannot have is skipped by name.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// enough is the time for everything.
const enough = 20 * time.Minute

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, enough)
	defer cancel()
	if run := inner[filepath.Base(os.Args[0])]; run != nil {
		os.Exit(run(ctx, os.Args[1:]))
	}
	err := outer(ctx, os.Args[1:], os.Stdout, os.Stderr)
	if err != nil && err != flag.ErrHelp {
		fmt.Fprintln(os.Stderr, "clients:", err)
		os.Exit(1)
	}
}

// inner are what the program is if it is started by another name, which only it does.
var inner = map[string]func(ctx context.Context, args []string) int{
	sealedName:   sealedMain,
	goClientName: goClientMain,
}

// options are what the command line says.
type options struct {
	Only     string // comma-separated names of clients
	Markdown string // file
	Debian   bool   // install what Debian packages
	Ask      bool   // all routes have a client token
	JSON     bool   // what the clients need is told in JSON
}

func parse(args []string, stderr io.Writer) (o options, err error) {
	f := flag.NewFlagSet("clients", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&o.Only, "only", "", "comma-separated `names` of clients, or their first words (default all)")
	f.StringVar(&o.Markdown, "md", "", "`file` to write the table to, as Markdown")
	f.BoolVar(&o.Debian, "apt", false, "install what is missing from Debian's packages; for root")
	f.BoolVar(&o.Ask, "ask", false, "let every route have a client token, which the clients must present")
	f.BoolVar(&o.JSON, "json", false, "give the clients what cred-proxy env says as JSON, in place of shell")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("wrong usage: %q", args)
	}
	_, err = chosen(o.Only)
	return o, err
}

// outer installs what the clients need and has them do their work where there is no way out.
func outer(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parse(args, stderr)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "clients-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	j := &job{Options: o, Dir: dir, Missing: map[string]string{}}
	if err := j.prepare(ctx, stderr); err != nil {
		return err
	}
	err = j.runSealed(ctx, stdout, stderr)
	if errors.Is(err, errNoSeal) {
		fmt.Fprintf(stderr, "SKIPPED: a network without a way out: %v\n", err)
		err = j.run(ctx, stdout, stderr)
	}
	return err
}

// run has the chosen clients do their work and prints the table.
func (j *job) run(ctx context.Context, stdout, stderr io.Writer) error {
	list, err := chosen(j.Options.Only)
	if err != nil {
		return err
	}
	w, err := j.newWorld(ctx)
	if err != nil {
		return err
	}
	defer w.close()
	var rows []row
	for _, c := range list {
		began := time.Now()
		r := w.hold(ctx, c, j.Missing[c.name])
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		fmt.Fprintf(stderr, "%s: %s, %.1f s\n", c.name, r.result(), time.Since(began).Seconds())
		rows = append(rows, r)
	}
	if err := w.end(); err != nil {
		return err
	}
	table := markdown(rows)
	if _, err := io.WriteString(stdout, table); err != nil {
		return err
	}
	if j.Options.Markdown != "" {
		if err := os.WriteFile(j.Options.Markdown, []byte(table), 0o644); err != nil {
			return err
		}
	}
	failed := slices.DeleteFunc(rows, func(r row) bool { return r.failed == nil })
	if len(failed) > 0 {
		return fmt.Errorf("%d of %d clients failed", len(failed), len(list))
	}
	return nil
}

// A row is what became of a client.
type row struct {
	client, version string
	done            []string // the steps that went well
	skipped         string   // why there are none
	failed          error    // the step that did not
}

func (r *row) result() string {
	switch {
	case r.failed != nil:
		return "FAILED: " + r.failed.Error()
	case r.skipped != "":
		return "skipped: " + r.skipped
	}
	return "ok"
}

func markdown(rows []row) string {
	var b strings.Builder
	b.WriteString("| client | version | what was done | result |\n|---|---|---|---|\n")
	cell := strings.NewReplacer("|", `\|`, "\n", " ", "\r", "").Replace
	for _, r := range rows {
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", r.client, r.version, strings.Join(r.done, "; "), cell(r.result()))
	}
	return b.String()
}
