package main

import (
	"fmt"
	"os"
	"strings"
)

// A reason is an entry of reasons.txt.
type reason struct {
	key    string   // the place and the text
	reason []string // in lines
	used   bool     // by a block that is not reached
}

func (r *reason) sometimes() bool { return strings.HasPrefix(r.reason[0], "Sometimes:") }

func readReasons(file string) ([]*reason, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var all []*reason
	seen := make(map[string]bool)
	for entry := range strings.SplitSeq(string(text), "\n\n") {
		r := &reason{}
		var key []string
		for line := range strings.SplitSeq(strings.TrimSpace(entry), "\n") {
			line = strings.TrimRight(line, " ")
			switch {
			case line == "", strings.HasPrefix(line, "#"):
			case len(r.reason) == 0 && (len(key) == 0 || strings.HasPrefix(line, "| ")):
				key = append(key, line)
			default:
				r.reason = append(r.reason, line)
			}
		}
		if len(key) == 0 {
			continue
		}
		r.key = strings.Join(key, "\n")
		if len(key) < 2 || len(r.reason) == 0 || len(strings.Fields(key[0])) < 2 {
			return nil, fmt.Errorf("%s: not a file and a function, lines that begin with | and a reason:\n%s", file, entry)
		}
		if seen[r.key] {
			return nil, fmt.Errorf("%s: twice:\n%s", file, r.key)
		}
		seen[r.key] = true
		all = append(all, r)
	}
	return all, nil
}
