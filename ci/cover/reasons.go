package main

import (
	"fmt"
	"os"
	"regexp"
	"strings"
)

// A reason is why one block is not reached. An entry of reasons.txt has one for each of its blocks.
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
		var keys [][]string // of the blocks that the entry's reason is for
		var why []string
		for line := range strings.SplitSeq(strings.TrimSpace(entry), "\n") {
			line = strings.TrimRight(line, " ")
			switch last := len(keys) - 1; {
			case line == "", strings.HasPrefix(line, "#"):
			case len(why) == 0 && isPlace.MatchString(line):
				keys = append(keys, []string{line})
			case len(why) == 0 && last >= 0 && strings.HasPrefix(line, "| "):
				keys[last] = append(keys[last], line)
			default:
				why = append(why, line)
			}
		}
		if len(keys) == 0 && len(why) == 0 {
			continue
		}
		if len(keys) == 0 || len(why) == 0 {
			return nil, malformed(file, entry)
		}
		for _, key := range keys {
			r := &reason{key: strings.Join(key, "\n"), reason: why}
			switch {
			case len(key) < 2:
				return nil, malformed(file, entry)
			case seen[r.key]:
				return nil, fmt.Errorf("%s: twice:\n%s", file, r.key)
			}
			seen[r.key] = true
			all = append(all, r)
		}
	}
	return all, nil
}

// isPlace matches a file and a function, and its number if there are several blocks of the same text.
var isPlace = regexp.MustCompile(`^\S+\.go \S+( #\d+)?$`)

func malformed(file, entry string) error {
	return fmt.Errorf("%s: not a file and a function, lines that begin with | and a reason:\n%s", file, entry)
}
