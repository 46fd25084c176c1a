package main

import (
	"fmt"
	"text/tabwriter"

	"credproxy/proxy"
)

// check reads a routes.json and shows what it says.
func (p *program) check(args []string) int {
	o, rest, err := parseOptions(args, p.getenv)
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
		return p.fail(err)
	}
	w := tabwriter.NewWriter(p.stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "PATH\tUPSTREAM\tHEADER\tTOKEN\tSTATE")
	for _, r := range config.ByPrefix() {
		fmt.Fprintf(w, "%s\t%s\t%s\tenv %s\t%s\n", r.Path, r.Upstream, r.Header(), r.TokenEnv, r.TokenState(p.getenv))
	}
	w.Flush()
	return exitOK
}
