package main

import (
	"fmt"
	"slices"
	"strings"
)

// A client is a tool that people have, and what it is to do.
type client struct {
	name     string
	route    string // whose settings it is given
	needs    []need
	version  string // a script that prints it
	restless bool   // it talks to others of its own accord: only where there is no way out
	cannot   cannot // what the options may ask of it
	steps    []step
}

// cannot is what a client cannot do.
type cannot int

const (
	present cannot = 1 << iota // a client token
	inherit                    // settings of git's, from variables
)

// refuses says why a client does not take part.
func (o options) refuses(c client) string {
	switch {
	case o.Ask && c.cannot&present != 0:
		return "it presents no client token"
	case o.JSON && c.cannot&inherit != 0:
		return "it takes no settings of git's from variables"
	}
	return ""
}

// clients are all there are, in the table's order.
func clients() []client {
	return slices.Concat(gitClients(), httpClients(), modelClients(), agentClients(), registryClients())
}

// chosen returns the clients that names, separated by commas, ask for; all of them if there are none. A name is that of one
// client or else how those of some begin.
func chosen(names string) (list []client, err error) {
	all := clients()
	if names == "" {
		return all, nil
	}
	wanted := map[string]bool{}
	for name := range strings.SplitSeq(strings.ToLower(names), ",") {
		matches := func(c client) bool { return strings.ToLower(c.name) == name }
		if !slices.ContainsFunc(all, matches) {
			matches = func(c client) bool { return strings.HasPrefix(strings.ToLower(c.name), name+" ") }
		}
		if !slices.ContainsFunc(all, matches) {
			return nil, fmt.Errorf("there is no client %q", name)
		}
		for _, c := range all {
			wanted[c.name] = wanted[c.name] || matches(c)
		}
	}
	return slices.DeleteFunc(all, func(c client) bool { return !wanted[c.name] }), nil
}
