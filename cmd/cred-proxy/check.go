package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"credproxy/proxy"
)

// The command check: a routes.json as a table, or every error in it.

// checkFlags declares the flags that check has besides the settings.
func checkFlags(flags *flag.FlagSet) (run *bool) {
	return flags.Bool("run", false, "run the commands that print tokens, to see whether they do")
}

// check reads a routes.json and shows what it says.
func (p *program) check(args []string) int {
	tellUnknown := p.watchVariables()
	var run *bool
	o, rest, err := parseOptions(args, p.getenv, func(flags *flag.FlagSet) { run = checkFlags(flags) })
	switch {
	case err != nil:
		return p.fail(err)
	case len(rest) > 1:
		return p.usageError("check takes one file")
	case len(rest) == 1:
		o.routes = rest[0]
	}
	config, err := proxy.LoadConfig(o.routes)
	if err != nil {
		return p.failToLoad(err, tellUnknown)
	}
	var within time.Duration
	if *run {
		within = o.timeouts.Command
	}
	var remarks []string
	w := tabwriter.NewWriter(p.stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "PATH\tUPSTREAM\tHEADER\tTOKEN\tSTATE")
	for _, r := range config.ByPrefix() {
		for _, c := range r.Credentials {
			token := config.TokenStatus(&c, p.getenv, within)
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", r.Path, r.Upstream, c.Line(), token.Source, state(token))
			remarks = append(remarks, remarksOn(r.Path, &c.Token, token)...)
		}
	}
	w.Flush()
	if config.LeakGuard != "" {
		fmt.Fprintf(p.stdout, "leak guard: %s\n", config.LeakGuard)
	}
	for _, line := range slices.Compact(slices.Sorted(slices.Values(remarks))) {
		p.warn(line)
	}
	for _, r := range config.ByPrefix() {
		showDetails(p.stdout, &r, p.getenv)
	}
	tellUnknown()
	return exitOK
}

// state is the state of a token as the table has it.
func state(t proxy.TokenStatus) string {
	if t.Short != "" {
		return fmt.Sprintf("%s, %s too short to be watched for", t.State, t.Short)
	}
	return t.State
}

// remarksOn is what is said of a token besides its state: why what is no variable is of no use, and whether the world can
// read a file. That is a remark and no error: Docker and Kubernetes mount secrets so, in containers that have one user.
func remarksOn(path string, t *proxy.TokenSource, token proxy.TokenStatus) (lines []string) {
	if t.Env == "" && token.State != "set" {
		lines = append(lines, fmt.Sprintf("route %s: %s", path, token.Problem))
	}
	if info, err := os.Stat(t.File); err == nil && info.Mode()&0o004 != 0 && runtime.GOOS != "windows" {
		lines = append(lines, fmt.Sprintf("token file %s can be read by every user of this machine (%#o)", t.File, info.Mode().Perm()))
	}
	return lines
}

// showDetails prints what a route says beyond the table, and what is denied on it by default.
func showDetails(w io.Writer, r *proxy.RouteConfig, getenv func(string) string) {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, "  "+format+"\n", args...) }
	if tokens, problem := r.ClientTokens(getenv); problem != "" {
		line("caller  %s", problem)
	} else if len(tokens) > 0 {
		line("caller  client token %s set", r.ClientToken)
	}
	if r.Limits != (proxy.RouteLimits{}) {
		line("limit   %s", r.Limits)
	}
	if r.Refusals != "" {
		line("refuse  as %s does", r.Refusals)
	}
	for _, f := range r.Set {
		line("set     %s: %s", f.Name, f.Value)
	}
	for _, f := range r.Append {
		line("append  %s: %s", f.Name, f.Value)
	}
	for _, n := range r.Strip {
		line("strip   %s", n)
	}
	for _, n := range r.Keep {
		line("keep    %s", n)
	}
	for _, rule := range r.Allow {
		line("allow   %s", rule)
	}
	for _, rule := range r.Deny {
		line("deny    %s", rule)
	}
	if r.LeaveURLs {
		line("urls    stay as they are")
	}
	for _, m := range r.MapURLsIn {
		line("urls    %s", m)
	}
	switch {
	case r.Unscreened:
		line("tokens  are not looked for in answers")
	case r.CutReflected:
		line("tokens  in an answer break it off")
	}
	if r.RefuseCompressed {
		line("deny    compressed answers")
	}
	if r.GitNone {
		line("deny    git")
	}
	if r.Chunked {
		line("stream  chunked request bodies")
	}
	if r.WebSocket {
		line("upgrade websocket")
	}
	if names, rules := r.Minting(); rules != nil {
		line("deny    what hands out credentials of %s:", strings.Join(names, ", "))
		for _, rule := range rules {
			line("        %s", rule)
		}
	}
	if details := b.String(); details != "" {
		fmt.Fprintf(w, "\n%s\n%s", r.Path, details)
	}
}
