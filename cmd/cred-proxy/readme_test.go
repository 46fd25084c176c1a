package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"credproxy/proxy"

	"github.com/google/go-cmp/cmp"
)

// TestReadmeSettings holds the README's table of settings to the program's.
func TestReadmeSettings(t *testing.T) {
	var want []string
	for _, s := range defaultOptions().settings() {
		value := s.value.String()
		switch {
		case value == "false":
			value = "off"
		case value != "":
			value = "`" + value + "`"
		}
		want = append(want, fmt.Sprintf("`-%s` | `%s` | %s", s.flag, s.env(), value))
	}
	if diff := cmp.Diff(want, readmeRows(t, "| flag | environment | default | |", 3)); diff != "" {
		t.Errorf("README.md (-program +README):\n%s", diff)
	}
}

// TestReadmeRefusals holds the README's table of refusals to the program's, and sees that there is a scenario for each.
func TestReadmeRefusals(t *testing.T) {
	scripts := allScripts(t)
	var want []string
	for _, r := range proxy.Refusals() {
		want = append(want, fmt.Sprintf("%d | `%s`", r.Status, r.Code))
		shown := regexp.MustCompile(fmt.Sprintf(`(?m)^(refused|refuses) %d %s |^X-Cred-Proxy-Error: %[2]s$|\^X-Cred-Proxy-Error: %[2]s\$`, r.Status, r.Code))
		if !shown.MatchString(scripts) {
			t.Errorf("no scenario shows the refusal %q", r.Code)
		}
	}
	if diff := cmp.Diff(want, readmeRows(t, "| status | code | when |", 2)); diff != "" {
		t.Errorf("README.md (-program +README):\n%s", diff)
	}
}

// TestReadmeMemory holds the ceiling on memory that the README states to the limits.
func TestReadmeMemory(t *testing.T) {
	l := proxy.DefaultLimits
	one, two := l, l
	one.Agents, two.Agents = 1, 2
	perAgent := two.Memory() - one.Memory()
	want := fmt.Sprintf("%d MiB + `-max-agents` × (%d KiB + 4 × the larger of `-max-head` and `-max-response-head`)",
		(one.Memory()-perAgent)>>20, (perAgent-4*int64(max(l.Head, l.ResponseHead)))>>10)
	if readme := readReadme(t); !strings.Contains(strings.Join(strings.Fields(readme), " "), want) {
		t.Errorf("README.md does not state: %s", want)
	}
}

func readReadme(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// readmeRows returns the first columns of the rows of the table with that heading.
func readmeRows(t *testing.T, heading string, columns int) (rows []string) {
	t.Helper()
	_, table, found := strings.Cut(readReadme(t), "\n"+heading+"\n")
	if !found {
		t.Fatalf("README.md has no table %s", heading)
	}
	for line := range strings.Lines(table) {
		cells := strings.Split(strings.Trim(line, "|\n"), "|")
		if len(cells) <= columns {
			break
		}
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		if cells[0] == "" || strings.Trim(cells[0], "-") == "" {
			continue
		}
		if cells[columns] == "" {
			t.Errorf("README.md says nothing about %s", cells[:columns])
		}
		rows = append(rows, strings.Join(cells[:columns], " | "))
	}
	return rows
}

// allScripts returns the text of all scenarios.
func allScripts(t *testing.T) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "..", "testdata", "scripts", "*.txtar"))
	if err != nil || len(files) == 0 {
		t.Fatal("no scenarios", err)
	}
	var all strings.Builder
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	return all.String()
}

// TestSecurityProofs: what SECURITY.md names as a proof is there.
func TestSecurityProofs(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "SECURITY.md"))
	if err != nil {
		t.Fatal(err)
	}
	code := ""
	for _, dir := range []string{"cmd/cred-proxy", "proxy", "proxy/http1", "proxy/redact", "audit", "admin", "ci/sbom"} {
		files, err := filepath.Glob(filepath.Join("..", "..", filepath.FromSlash(dir), "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			p, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			code += string(p)
		}
	}
	rows := 0
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) != 6 || !strings.Contains(cells[4], "`") {
			continue
		}
		rows++
		for _, name := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cells[4], -1) {
			_, err := os.Stat(filepath.Join(scripts, name[1]+".txtar"))
			if err != nil && !strings.Contains(code, "\nfunc "+name[1]+"(") {
				t.Errorf("there is no scenario or test %s", name[1])
			}
		}
	}
	if rows < 10 {
		t.Errorf("%d rows", rows)
	}
}
