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
	mute     bool   // it presents nothing: only where no client token is asked for
	steps    []step
}

// clients are all there are, in the table's order.
func clients() []client {
	return slices.Concat(gitClients(), httpClients(), modelClients(), agentClients(), registryClients())
}

// chosen returns the clients that names, separated by commas, ask for; all of them if there are none.
func chosen(names string) (list []client, err error) {
	wanted := strings.Split(strings.ToLower(names), ",")
	found := map[string]bool{"": true}
	for _, c := range clients() {
		taken := names == ""
		for _, name := range wanted {
			if full := strings.ToLower(c.name); full == name || strings.HasPrefix(full, name+" ") {
				found[name], taken = true, true
			}
		}
		if taken {
			list = append(list, c)
		}
	}
	for _, name := range wanted {
		if !found[name] {
			return nil, fmt.Errorf("there is no client %q", name)
		}
	}
	return list, nil
}
