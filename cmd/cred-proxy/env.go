package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/url"
	"path"
	"strconv"
	"strings"

	"credproxy/proxy"
)

// env prints what to put into the sandbox for the clients of the table: placeholders, and client tokens where routes have
// them, never a secret. A token is looked at only to see that a client token is none.
func (p *program) env(args []string) int {
	own := newEnvOptions()
	o, rest, err := parseOptions(args, p.getenv, own.declare)
	switch {
	case err != nil:
		return p.fail(err)
	case len(rest) > 1:
		return p.usageError("env takes one route")
	}
	at := own.url
	if at == "" {
		port := o.firstPort()
		switch port {
		case "":
			return p.usageError("env: a Unix socket has no URL: say -url http://HOST:PORT of what leads there")
		case "0":
			return p.usageError("env: port 0 is none that a sandbox could reach: say -url http://HOST:PORT")
		}
		at = "http://cred-proxy:" + port
	}
	at = strings.TrimRight(at, "/")
	if u, err := url.Parse(at); err != nil || u.Scheme != "http" || u.Hostname() == "" || u.User != nil || u.Path+u.RawQuery+u.Fragment != "" {
		return p.usageError("env: -url %q is not of the form http://HOST:PORT", at)
	}
	config, err := proxy.LoadConfig(o.routes)
	if err != nil {
		return p.fail(err)
	}
	routes, err := routesNamed(config, rest)
	if err != nil {
		return p.fail(err)
	}
	var s settings
	for i := range routes {
		tokens, problem := routes[i].ClientTokens(p.getenv)
		if problem != "" {
			return p.fail(fmt.Errorf("%s: %s: nobody can use this route", routes[i].Path, problem))
		}
		s.add(&routes[i], at, tokens)
	}
	for _, line := range s.skipped {
		p.warn(line)
	}
	formats[own.format](p.stdout, &s)
	return exitOK
}

// envOptions are the flags that env has besides the settings.
type envOptions struct{ format, url string }

func newEnvOptions() *envOptions { return &envOptions{format: "sh"} }

func (e *envOptions) declare(flags *flag.FlagSet) {
	flags.Var(choiceValue{&e.format, []string{"sh", "dotenv", "json"}}, "format", "sh, dotenv or json")
	flags.StringVar(&e.url, "url", "", "where the sandbox reaches the proxy, if not at `http://cred-proxy:PORT`")
}

// routesNamed returns the route with the prefix that the command line names, with or without slashes; or all routes.
func routesNamed(config *proxy.Config, args []string) ([]proxy.RouteConfig, error) {
	if len(args) == 0 {
		return config.Routes, nil
	}
	var paths []string
	for _, r := range config.Routes {
		if strings.Trim(r.Path, "/") == strings.Trim(args[0], "/") {
			return []proxy.RouteConfig{r}, nil
		}
		paths = append(paths, r.Path)
	}
	return nil, fmt.Errorf("%s: no route %q; there are: %s", config.File, args[0], strings.Join(paths, ", "))
}

var formats = map[string]func(io.Writer, *settings){"sh": writeShell, "dotenv": writeDotenv, "json": writeJSON}

// writeShell writes what a POSIX shell can evaluate. A file that is there already is left alone.
func writeShell(w io.Writer, s *settings) {
	about := heading(w)
	for _, v := range s.vars {
		about(v.about)
		fmt.Fprintf(w, "export %s=%s\n", v.name, shellQuoted(v.value))
	}
	for _, g := range s.gits {
		about(g.about)
		fmt.Fprintf(w, "git config --global %s %s\n", shellQuoted(g.name), shellQuoted(g.value))
	}
	for _, f := range s.files {
		about(f.about)
		fmt.Fprintf(w, "if [ -e \"$HOME/%[1]s\" ]; then\n\techo 'cred-proxy env: ~/%[1]s is there already and was left alone' >&2\nelse\n", f.path)
		if dir := path.Dir(f.path); dir != "." {
			fmt.Fprintf(w, "\tmkdir -p \"$HOME/%s\"\n", dir)
		}
		fmt.Fprintf(w, "\tcat >\"$HOME/%s\" <<'CRED_PROXY_END'\n%s\nCRED_PROXY_END\nfi\n", f.path, strings.Join(f.lines, "\n"))
	}
}

// writeDotenv writes variables alone. Git's configuration is among them; what only a file can hold is a comment.
func writeDotenv(w io.Writer, s *settings) {
	about := heading(w)
	for _, v := range s.variables() {
		about(v.about)
		fmt.Fprintf(w, "%s=%s\n", v.name, dotenvQuoted(v.value))
	}
	for _, f := range s.files {
		about(f.about)
		fmt.Fprintf(w, "# in ~/%s:\n", f.path)
		for _, line := range f.lines {
			fmt.Fprintln(w, strings.TrimRight("#   "+line, " "))
		}
	}
}

// writeJSON writes {"env": {NAME: VALUE}, "files": {PATH BELOW THE HOME DIRECTORY: CONTENT}}.
func writeJSON(w io.Writer, s *settings) {
	doc := struct {
		Env   map[string]string `json:"env"`
		Files map[string]string `json:"files"`
	}{map[string]string{}, map[string]string{}}
	for _, v := range s.variables() {
		doc.Env[v.name] = v.value
	}
	for _, f := range s.files {
		doc.Files[f.path] = strings.Join(f.lines, "\n") + "\n"
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	enc.Encode(doc) // of strings: there is nothing that could fail
	w.Write(b.Bytes())
}

// variables are the variables of the environment with git's configuration among them (git-config(1), GIT_CONFIG_COUNT).
func (s *settings) variables() []pair {
	vars := s.vars
	for i, g := range s.gits {
		if i == 0 {
			vars = append(vars, pair{"GIT_CONFIG_COUNT", strconv.Itoa(len(s.gits)), g.about})
		}
		vars = append(vars, pair{fmt.Sprintf("GIT_CONFIG_KEY_%d", i), g.name, g.about},
			pair{fmt.Sprintf("GIT_CONFIG_VALUE_%d", i), g.value, g.about})
	}
	return vars
}

// heading returns what writes a comment where the route or the client changes.
func heading(w io.Writer) func(about string) {
	last := ""
	return func(about string) {
		if about != last {
			fmt.Fprintf(w, "# %s\n", about)
		}
		last = about
	}
}

func shellQuoted(s string) string {
	if isPlain(s) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// dotenvQuoted quotes for the readers of such files, most of which know double quotes with backslashes.
func dotenvQuoted(s string) string {
	if isPlain(s) {
		return s
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, `$`, `\$`, "`", "\\`").Replace(s) + `"`
}

// isPlain reports whether no shell finds anything in s.
func isPlain(s string) bool {
	for _, c := range s {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.ContainsRune("/:.@_-+,%", c)) {
			return false
		}
	}
	return s != ""
}
