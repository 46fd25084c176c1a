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
	steps    []step
}

// clients are all there are, in the table's order.
func clients() []client {
	return slices.Concat(gitClients(), httpClients(), modelClients())
}

// chosen returns the clients that names, separated by commas, ask for; all of them if there are none.
func chosen(names string) (list []client, err error) {
	if names == "" {
		return clients(), nil
	}
	for name := range strings.SplitSeq(names, ",") {
		before := len(list)
		for _, c := range clients() {
			if strings.EqualFold(c.name, name) || strings.HasPrefix(strings.ToLower(c.name), strings.ToLower(name)+" ") {
				list = append(list, c)
			}
		}
		if len(list) == before {
			return nil, fmt.Errorf("there is no client %q", name)
		}
	}
	return list, nil
}
