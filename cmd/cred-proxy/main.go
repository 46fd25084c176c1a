// Command cred-proxy holds the tokens of an agent that has none: the agent talks plain HTTP to it, and it forwards over
// TLS with the real credential. See README.md, or run `cred-proxy help`.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
)

func main() {
	// First of all, and for every command: the tokens are in the environment from the start.
	if err := seal(); err != nil {
		fmt.Fprintf(os.Stderr, "cred-proxy: %v\n", err)
	}
	os.Exit(run(os.Args[1:], os.Getenv, os.Stdout, os.Stderr))
}

// The exit codes.
const (
	exitOK     = 0
	exitFailed = 1 // the configuration is wrong, or the address cannot be had
	exitUsage  = 2 // the command line is
)

// command is one of the program's commands. Without one it serves.
type command struct {
	name, usage, about string
	run                func(p *program, args []string) int
}

func commands() []command {
	return []command{
		{"check", "check [FILE]", "read routes.json, show the routes and whether their tokens are set, or every error in it", (*program).check},
		{"env", "env [ROUTE]", "say what the sandbox needs for each client of the routes (-format sh, dotenv or json; -url URL)", (*program).env},
		{"demo", "demo [-once]", "show it working against a fake upstream of its own", (*program).demo},
		{"version", "version", "say which version this is", (*program).version},
		{"help", "help", "show this", (*program).help},
	}
}

// program is what a command runs with.
type program struct {
	getenv         func(string) string
	stdout, stderr io.Writer
}

func run(args []string, getenv func(string) string, stdout, stderr io.Writer) int {
	p := &program{getenv, stdout, stderr}
	if len(args) > 0 {
		for _, c := range commands() {
			if args[0] == c.name || c.name == "help" && (args[0] == "-h" || args[0] == "-help" || args[0] == "--help") {
				return c.run(p, args[1:])
			}
		}
		if args[0][:min(1, len(args[0]))] != "-" {
			return p.usageError("unknown command %q", args[0])
		}
	}
	return p.serve(args)
}

// say writes one line to stderr, where everything goes that is not a command's result.
func (p *program) say(format string, args ...any) {
	fmt.Fprintf(p.stderr, "cred-proxy: "+format+"\n", args...)
}

func (p *program) usageError(format string, args ...any) int {
	p.say(format, args...)
	fmt.Fprintln(p.stderr, "Run 'cred-proxy help' for usage.")
	return exitUsage
}

// fail says an error, each part of it on a line of its own.
func (p *program) fail(err error) int {
	if usage, ok := errors.AsType[usageError](err); ok {
		return p.usageError("%v", usage)
	}
	for _, line := range errorLines(err) {
		p.say("%s", line)
	}
	return exitFailed
}

func (p *program) version(args []string) int {
	if len(args) > 0 {
		return p.usageError("version takes no arguments")
	}
	version, goVersion, revision := "(devel)", "", ""
	if info, ok := debug.ReadBuildInfo(); ok {
		version, goVersion = info.Main.Version, info.GoVersion
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				revision = " " + s.Value[:min(12, len(s.Value))]
			}
		}
	}
	fmt.Fprintf(p.stdout, "cred-proxy %s%s %s\n", version, revision, goVersion)
	return exitOK
}

func (p *program) help(args []string) int {
	fmt.Fprint(p.stdout, `cred-proxy injects credentials into an agent's HTTP requests, so that the agent needs none.

Usage: cred-proxy [flags]         serve until interrupted
`)
	for _, c := range commands() {
		fmt.Fprintf(p.stdout, "       cred-proxy %-14s %s\n", c.usage, c.about)
	}
	fmt.Fprint(p.stdout, "\nFlags, each with the environment variable that it wins over:\n")
	o := defaultOptions()
	for _, s := range o.settings() {
		fmt.Fprintf(p.stdout, "  -%-17s %-28s %s (default %s)\n", s.flag, s.env(), s.about, s.shown())
	}
	fmt.Fprint(p.stdout, `
Signals: SIGHUP reads the routes again, and keeps the old ones if they are wrong. SIGTERM and SIGINT stop accepting
and finish what runs within -drain-timeout; a second one exits at once.

Exit codes: 0 done, 1 wrong configuration or an address that cannot be had, 2 wrong usage.
`)
	return exitOK
}
