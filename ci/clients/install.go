package main

import (
	"bytes"
	"cmp"
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// npmFiles are the clients that npm has: folders of a package.json and its lock, which names versions and hashes and no
// address, and of the scripts that use what it installs.
//
//go:embed npm scripts
var npmFiles embed.FS

// A job is a run of the program: what the process that installs has found out for the one that runs the clients.
type job struct {
	Options options
	Dir     string            // for all files
	Missing map[string]string // by client: why it cannot be had

	sealed bool // there is no way out
}

func (j *job) program() string          { return filepath.Join(j.Dir, "cred-proxy") }
func (j *job) npm(folder string) string { return filepath.Join(j.Dir, "npm", folder) }
func (j *job) scripts() string          { return filepath.Join(j.Dir, "scripts") }

// prepare builds the proxy and installs what the chosen clients need.
func (j *job) prepare(ctx context.Context, log io.Writer) error {
	list, err := chosen(j.Options.Only)
	if err != nil {
		return err
	}
	fmt.Fprintln(log, "building cred-proxy")
	if err := command(ctx, "", "go", "build", "-o", j.program(), "credproxy/cmd/cred-proxy"); err != nil {
		return err
	}
	if err := os.CopyFS(j.Dir, npmFiles); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if err := os.Symlink(self, filepath.Join(j.Dir, goClientName)); err != nil {
		return err
	}
	installed := map[string]error{}
	for _, c := range list {
		for _, n := range c.needs {
			err, ok := installed[n.String()]
			if !ok {
				if err = n.have(ctx, j, log); ctx.Err() != nil {
					return context.Cause(ctx)
				}
				installed[n.String()] = err
			}
			if err != nil && j.Missing[c.name] == "" {
				j.Missing[c.name] = err.Error()
			}
		}
	}
	return nil
}

// A need is something that a client cannot do without.
type need struct {
	program string // in PATH
	python  string // a module of Python
	of      string // whose: the interpreter, python3 if empty
	debian  string // the Debian package that has it, if it may be installed
	npm     string // a folder of npm to install
	run     string // in that folder: a script of the package's own to run then
}

func (n need) String() string { return n.program + n.python + n.npm }

// have sees to it that the need is met, or says why it is not.
func (n need) have(ctx context.Context, j *job, log io.Writer) error {
	switch {
	case n.npm != "":
		return n.install(ctx, j, log)
	case n.python != "":
		return n.fromDebian(ctx, j, log, func() error {
			if command(ctx, "", cmp.Or(n.of, "python3"), "-c", "import "+n.python) != nil {
				return fmt.Errorf("there is no %s for Python", n.python)
			}
			return nil
		})
	}
	return n.fromDebian(ctx, j, log, func() error {
		if _, err := exec.LookPath(n.program); err != nil {
			return fmt.Errorf("%s is not on this machine", n.program)
		}
		return nil
	})
}

// fromDebian looks whether the need is met and, if it is not and that is asked for, installs the Debian package.
func (n need) fromDebian(ctx context.Context, j *job, log io.Writer, met func() error) error {
	err := met()
	if err == nil || n.debian == "" || !j.Options.Debian {
		return err
	}
	fmt.Fprintf(log, "installing %s\n", n.debian)
	if err := command(ctx, "", "apt-get", "install", "-qq", "-y", "--no-install-recommends", n.debian); err != nil {
		fmt.Fprintln(log, err)
	}
	return met()
}

// installTime bounds what npm installs at a time.
const installTime = 5 * time.Minute

// install installs a folder of npm's, as its lock says. No script of a package runs but the one that is named.
func (n need) install(ctx context.Context, j *job, log io.Writer) error {
	if _, err := exec.LookPath("npm"); err != nil {
		return errors.New("npm is not on this machine")
	}
	fmt.Fprintf(log, "installing %s\n", n.npm)
	ctx, cancel := context.WithTimeout(ctx, installTime)
	defer cancel()
	dir := j.npm(n.npm)
	err := command(ctx, dir, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--omit-lockfile-registry-resolved")
	if err == nil && n.run != "" {
		err = command(ctx, dir, "node", filepath.FromSlash(n.run))
	}
	if err != nil {
		fmt.Fprintln(log, err) // at length, and with addresses, which no table needs
		return errors.New("npm could not install it")
	}
	return nil
}

// command runs a program of the machine's. An error has the end of what it said.
func command(ctx context.Context, dir, program string, args ...string) error {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", program, args[0], err, lastLines(out.String()))
	}
	return nil
}

// lastLines is the end of what a program said, in one line.
func lastLines(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	lines = lines[max(0, len(lines)-8):]
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return strings.Join(slices.DeleteFunc(lines, func(l string) bool { return l == "" }), " / ")
}
