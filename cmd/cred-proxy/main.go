// Command cred-proxy holds the tokens of an agent that has none: the agent talks plain HTTP to it, and it forwards over
// TLS with the real credential. See README.md, or run `cred-proxy help`.
package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"
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
	exitFailed = 1 // see exitCodes
	exitUsage  = 2 // the command line is
)

// command is one of the program's commands. Without one it serves.
type command struct {
	name, usage, about string
	flags              func(*flag.FlagSet) // declares those that it takes; may be nil
	run                func(p *program, args []string) int
}

func commands() []command {
	return []command{
		{"check", "check [FILE]", "read routes.json, show the routes and whether their tokens are set, or every error in it (-run: run token commands)",
			func(f *flag.FlagSet) { settingFlags(f); checkFlags(f) }, (*program).check},
		{"env", "env [ROUTE]", "say what the sandbox needs for each client of the routes (-format sh, dotenv or json; -url URL)",
			func(f *flag.FlagSet) { settingFlags(f); newEnvOptions().declare(f) }, (*program).env},
		{"demo", "demo [-once]", "show it working against a fake upstream of its own",
			func(f *flag.FlagSet) { demoFlags(f) }, (*program).demo},
		{"health", "health", "ask the proxy that runs with these settings whether it is ready: exit code 0 if it is, else 1",
			settingFlags, (*program).health},
		{"completion", "completion " + shellNames, "print what makes a shell complete these words", nil, (*program).completion},
		{"man", "man", "print the manual page", nil, (*program).man},
		{"version", "version", "say which version this is", nil, (*program).version},
		{"help", "help", "show this", nil, (*program).help},
	}
}

// program is what a command runs with.
type program struct {
	getenv         func(string) string
	stdout, stderr io.Writer
}

// result is where a command writes what it was asked for; err is the first error of that.
type result struct {
	io.Writer
	err error
}

func (r *result) Write(p []byte) (int, error) {
	n, err := r.Writer.Write(p)
	r.err = cmp.Or(r.err, err)
	return n, err
}

func run(args []string, getenv func(string) string, stdout, stderr io.Writer) int {
	out := &result{Writer: stdout}
	p := &program{getenv, out, stderr}
	if len(args) > 0 {
		for _, c := range commands() {
			if args[0] == c.name || c.name == "help" && (args[0] == "-h" || args[0] == "-help" || args[0] == "--help") {
				code := c.run(p, args[1:])
				if out.err != nil && code == exitOK {
					return p.fail(fmt.Errorf("stdout: %w", out.err))
				}
				return code
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

// warn says what is no format.
func (p *program) warn(s string) { p.say("%s", s) }

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
		p.warn(line)
	}
	return exitFailed
}

func (p *program) version(args []string) int {
	if len(args) > 0 {
		return p.usageError("version takes no arguments")
	}
	fmt.Fprintf(p.stdout, "cred-proxy %s\n", readBuild())
	return exitOK
}

// build is what the binary knows of how it came to be; what it does not know is empty.
type build struct{ version, goVersion, revision, time string }

func (b build) String() string {
	if b.revision != "" {
		b.version += " " + b.revision[:min(12, len(b.revision))]
	}
	return b.version + " " + b.goVersion
}

func readBuild() build {
	info, _ := debug.ReadBuildInfo() // which is there in what is built of a module
	return buildOf(info)
}

func buildOf(info *debug.BuildInfo) build {
	b := build{version: info.Main.Version, goVersion: info.GoVersion}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.revision = s.Value
		case "vcs.time":
			b.time = s.Value
		}
	}
	return b
}

// What help and the manual page both say.
const (
	aboutProgram = "injects credentials into an agent's HTTP requests, so that the agent needs none"
	aboutServing = "serve until interrupted"
	aboutFlags   = "Flags, each with the environment variable that it wins over:"
	aboutSignals = `SIGHUP reads the routes again, and keeps the old ones if they are wrong. SIGUSR1 opens -audit-file again.
SIGTERM and SIGINT stop accepting and finish what runs within -drain-timeout; a second one cuts it off.`
)

// exitCodes are what the program's ends mean, by code.
var exitCodes = []string{exitOK: "done", exitFailed: "wrong configuration, an address that cannot be had, exchanges cut by a second signal, or not healthy", exitUsage: "wrong usage"}

func (p *program) help(args []string) int {
	fmt.Fprintf(p.stdout, "cred-proxy %s.\n\nUsage: cred-proxy %-28s %s\n", aboutProgram, "[flags]", aboutServing)
	for _, c := range commands() {
		fmt.Fprintf(p.stdout, "       cred-proxy %-28s %s\n", c.usage, c.about)
	}
	fmt.Fprintf(p.stdout, "\n%s\n", aboutFlags)
	for _, s := range defaultOptions().settings() {
		fmt.Fprintf(p.stdout, "  -%-17s %-28s %s (default %s)\n", s.flag, s.env(), s.about, s.shown())
	}
	var codes []string
	for code, meaning := range exitCodes {
		codes = append(codes, fmt.Sprintf("%d %s", code, meaning))
	}
	fmt.Fprintf(p.stdout, "\nSignals: %s\n\nExit codes: %s.\n", aboutSignals, strings.Join(codes, "; "))
	return exitOK
}
