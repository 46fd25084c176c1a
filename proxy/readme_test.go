package proxy

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"credproxy/proxy/redact"

	"github.com/google/go-cmp/cmp"
)

// TestReadmeKeys holds what the README says of routes.json to its reader: the keys, the words and the examples.
func TestReadmeKeys(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(text), "\n### routes.json\n")
	section, _, _ = strings.Cut(section, "\n### ")
	if !ok {
		t.Fatal("README.md has no section on routes.json")
	}
	rows := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| (.*) \\|$").FindAllStringSubmatch(section, -1) {
		rows[m[1]] = m[2]
	}
	want := credentialNames(true)
	for _, k := range routeKeys {
		want = append(want, k.name)
	}
	if diff := cmp.Diff(slices.Sorted(slices.Values(want)), slices.Sorted(maps.Keys(rows))); diff != "" {
		t.Errorf("keys of a route (-program +README):\n%s", diff)
	}
	members := []string{`"leak_guard"`, `"routes"`, `"methods"`, `"path"`}
	for _, k := range limitKeys {
		members = append(members, `"`+k.name+`"`)
	}
	for _, m := range members {
		if !strings.Contains(section, m) {
			t.Errorf("README.md does not tell of the member %s", m)
		}
	}
	// Whatever is written as JSON in a row is a value of its key, and every word that the reader knows is written there.
	values := 0
	for key, row := range rows {
		for _, m := range regexp.MustCompile("`([\\[{\"][^`]*|true|false)`").FindAllStringSubmatch(row, -1) {
			values++
			if err := parseMember(key, m[1]); err != nil {
				t.Errorf("the README gives %s for %q: %v", m[1], key, err)
			}
		}
		var words string
		if err := parseMember(key, `"no such word"`); err != nil {
			_, words, _ = strings.Cut(err.Error(), "must be ")
		}
		for _, w := range regexp.MustCompile(`"[a-z]+"`).FindAllString(words, -1) {
			if !strings.Contains(row, w) {
				t.Errorf("the README does not say that %q may be %s", key, w)
			}
		}
	}
	// Members that are named with a value in running text.
	for _, m := range regexp.MustCompile("`\"([a-z_]+)\": ([^`]+)`").FindAllStringSubmatch(section, -1) {
		values++
		if err := parseMember(m[1], m[2]); err != nil {
			t.Errorf("the README says %s: %v", m[0], err)
		}
	}
	if values < 25 {
		t.Errorf("%d values", values)
	}
	if !strings.Contains(section, fmt.Sprintf("%d in all", len(slots))) {
		t.Errorf("README.md miscounts the %d closed fields", len(slots))
	}
}

// parseMember reads a routes.json with one member more than it must have, or in place of one.
func parseMember(key, value string) error {
	if key == "leak_guard" {
		_, err := ParseConfig("README", fmt.Appendf(nil, `{"routes": [], %q: %s}`, key, value))
		return err
	}
	route := map[string]string{"path": `"/a/"`, "upstream": `"https://a.example"`, "auth_scheme": `"Bearer"`, "token_env": `"A"`}
	switch key {
	case "token_file", "token_command":
		delete(route, "token_env")
	case "token_ttl":
		delete(route, "token_env")
		route["token_command"] = `["a"]`
	case "username":
		delete(route, "auth_scheme")
	case "credentials":
		delete(route, "auth_scheme")
		delete(route, "token_env")
	}
	route[key] = value
	var members []string
	for k, v := range route {
		members = append(members, fmt.Sprintf("%q: %s", k, v))
	}
	_, err := ParseConfig("README", []byte(`{"routes": [{`+strings.Join(members, ", ")+`}]}`))
	return err
}

// TestReadmeNumbers: what the README says of bounds and times is what they are.
func TestReadmeNumbers(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	readme := strings.Join(strings.Fields(string(text)), " ")
	for _, want := range []string{
		fmt.Sprintf("the first %d KiB of its body", guardedBody>>10),
		fmt.Sprintf("Tokens of less than %d bytes are not looked for", redact.Shortest),
		fmt.Sprintf("one line, %d KiB at most, a regular file", maxToken>>10),
		fmt.Sprintf("no longer than %d ms", heldFor.Milliseconds()),
		fmt.Sprintf("how long that token is used: `\"%.0fm\"` if left out", DefaultTokenTTL.Minutes()),
		fmt.Sprintf("visible ASCII, %d bytes at most, %d at most", maxClientToken, maxClientTokens),
		fmt.Sprintf("within the last %s minutes", map[float64]string{10: "ten"}[soughtFor.Minutes()]),
		map[int]string{32: "thirty-two at a time"}[maxRefusedPeers],
		map[float64]string{1: "once a minute at most"}[renewEvery.Minutes()],
	} {
		if want == "" || !strings.Contains(readme, want) {
			t.Errorf("README.md does not say: %q", want)
		}
	}
}
