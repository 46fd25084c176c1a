package proxy

import (
	"strings"
	"testing"
	"unicode"
)

// readings returns every way in which an upstream may read a path that it decodes so many times at least, as lists of
// segments: written out one by one, where rules follow them all at once.
func readings(path string, least int) (all [][]string) {
	all = pathReadings(path, least)
	for _, segments := range all {
		empty := 0
		for empty < len(segments) && segments[empty] == "" {
			empty++
		}
		if 0 < empty && empty < len(segments) { // the first that is not is taken for a host
			all = append(all, segments[empty+1:])
		}
	}
	return all
}

// pathReadings returns those by which it is a path from its first byte on.
func pathReadings(path string, least int) (all [][]string) {
	parts := strings.Split(path, "/")
	for level := 0; level <= decodings; level++ {
		if level >= least {
			all = append(all, splits(parts)...)
			for _, end := range "?#" { // the path ends at the first of these, or at the first in a later segment
				for i, part := range parts {
					fresh := true
					for cut, c := range part {
						if c == end && fresh {
							all = append(all, splits(append(append([]string{}, parts[:i]...), part[:cut]))...)
						}
						fresh = c == '/' || c == '\\' || fresh && c != end
					}
				}
			}
		}
		for i := range parts {
			decoded, _ := appendDecoded(nil, []byte(parts[i]))
			parts[i] = string(foldOverlong(decoded))
		}
	}
	return all
}

// splits returns every way to split parts further, at slashes that were encoded and at backslashes.
func splits(parts []string) [][]string {
	all := [][]string{nil}
	for _, part := range parts {
		var longer [][]string
		for _, way := range ways(part) {
			for _, s := range all {
				longer = append(longer, append(append([]string{}, s...), way...))
			}
		}
		all = longer
	}
	return all
}

func ways(part string) [][]string {
	i := strings.IndexAny(part, `/\`)
	if i < 0 {
		return [][]string{{part}}
	}
	var all [][]string
	for _, way := range ways(part[i+1:]) {
		all = append(all, append([]string{part[:i]}, way...))                                       // it splits
		all = append(all, append([]string{part[:i+1] + way[0]}, append([]string{}, way[1:]...)...)) // it does not
	}
	return all
}

func bareOf(segment string) string {
	segment, _, _ = strings.Cut(segment, ";")
	segment = strings.TrimSpace(segment)
	return strings.TrimRightFunc(segment, func(c rune) bool { return c == '.' || unicode.IsSpace(c) })
}

// matches holds a reading against a pattern. A segment that is empty counts or does not.
func matches(segments, pattern []string) bool {
	switch {
	case len(pattern) > 0 && pattern[0] == "**":
		return matches(segments, pattern[1:]) || len(segments) > 0 && matches(segments[1:], pattern)
	case len(segments) == 0:
		return len(pattern) == 0
	case bareOf(segments[0]) == "" && matches(segments[1:], pattern):
		return true
	case len(pattern) == 0:
		return false
	}
	return (pattern[0] == "*" || pattern[0] == segments[0] || bareOf(pattern[0]) == bareOf(segments[0])) && matches(segments[1:], pattern[1:])
}

// FuzzRules holds the compiled rules against all readings of a path: deny matches if one of them does, and allow lets
// nothing pass of which a reading does not match.
func FuzzRules(f *testing.F) {
	for _, seed := range [][2]string{
		{"/a/*/b", "a/x%2fy/b"}, {"/a/**", "a"}, {"/a", "%61;x%2fy"}, {"/*", "x%252fy"}, {"/a/b", `a\b`}, {"/a", "a%3fb%2fc"},
		{"/a/*", "a//"}, {"/a", ";x%5cy/a"}, {"/*/b", "a;x/b."}, {"/", ""}, {"/a/", "a"}, {"/a/*/**", "a/%c0%af/b"}, {"/a", `;x\y/a`}, {"/a", `a;x\y`}, {"/*/a", "x%2fy/z/a"}, {"/*", "x/y%20"},
		{"/a", "/x/a"}, {"/a", `\x/a`}, {"/a/b", "%2f%2fx%2fa/b"}, {"/a", "/%2f/%61"}, {"/", "/x%3f"}, {"/a", "/x%2fy/%61"}, {"/ a/b ", "%20a/%20b"},
	} {
		f.Add(seed[0], seed[1])
	}
	for path := range byChance(5000, 6, "/", "%2f", "%5c", `\`, "%2e", "%252e", "%25", "%20", "%c2%a0", ";", "%c0%af", "a", "b", "x", "%3f", "%61", "...") {
		for _, rule := range []string{"/a", "/a/b", "/*/a", "/a/**"} {
			f.Add(rule, path)
		}
	}
	f.Fuzz(holdRule)
}

// TestRulesOfShortPaths is FuzzRules with every path that is made of a few pieces.
func TestRulesOfShortPaths(t *testing.T) {
	pieces := []string{"/", "a", "x", "%2f", `\`, ";", "%3f", "x%3f"}
	paths := []string{""}
	for from := 0; len(paths) < 2000; {
		to := len(paths)
		for ; from < to; from++ {
			for _, piece := range pieces {
				paths = append(paths, paths[from]+piece)
			}
		}
	}
	for _, rule := range []string{"/", "/a", "/a/a", "/*", "/**/a", "/*/a"} {
		for _, path := range paths {
			holdRule(t, rule, path)
		}
	}
}

// holdRule holds one compiled rule against all readings of a path.
func holdRule(t *testing.T, rule, path string) {
	var r Rule
	if setRulePath(&r, rule) != nil || len(rule) > 24 || len(path) > 48 {
		return
	}
	for i := range len(path) {
		if path[i] <= ' ' || path[i] > '~' || path[i] == '?' || path[i] == '#' {
			return // no request target
		}
	}
	if checkPath([]byte("/"+path), nil) != "" {
		return
	}
	few := strings.NewReplacer("%5", `\`, "%2", `\`, "%c", `\`, "%e", `\`, "%f", `\`).Replace(strings.ToLower(path))
	if strings.Count(few, `\`) > 8 || strings.Count(path, "/") > 8 {
		return // the readings are too many
	}
	rc := RouteConfig{Deny: []Rule{r}}
	denied := rc.compile().refusal("", []byte("GET"), []byte(path)) != nil
	pattern := strings.Split(strings.TrimSuffix(rule[1:], "/"), "/")
	if pattern[0] == "" {
		pattern = nil
	}
	want := false
	for _, reading := range readings(path, 0) {
		want = want || matches(reading, pattern)
	}
	if denied != want {
		t.Fatalf("deny %q: %q denied %v, want %v", rule, path, denied, want)
	}
	rc = RouteConfig{Allow: []Rule{r}}
	if rc.compile().refusal("", []byte("GET"), []byte(path)) != nil {
		return
	}
	for _, reading := range readings(path, 1) {
		if !matches(reading, strings.Split(rule[1:], "/")) {
			t.Fatalf("allow %q: %q passes, but may be read as %q", rule, path, reading)
		}
	}
}
