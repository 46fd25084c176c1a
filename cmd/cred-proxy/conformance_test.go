package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// conformance is the second line of a scenario that any program must pass which is to stand where cred-proxy stands,
// whatever it is written in; ci/conform runs those.
const conformance = "# conformance"

// conformanceCommands are what such a scenario may use: none that needs what this program alone promises, as its own
// commands, the wording of its refusals, or connections that are kept.
var conformanceCommands = strings.Fields(`
	proxy proxylog signal stopped exits
	request send answered crosses upload download
	connect listen accept write head body read event closewrite close
	upstream respond recorded requests emit end
	expand bytes repeat secret capture
	env cp cmp cmpenv stdout stderr exec stdin mkdir rm skip stop exists`)

// conformanceKeys are those of routes.json that such a scenario may use, and what its files that are wrong have.
var conformanceKeys = []string{"routes", "path", "upstream", "auth_scheme", "token_env"}

// TestConformanceForm checks that a scenario that any program must pass asks nothing of it that only this one promises.
func TestConformanceForm(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(scripts, "*.txtar"))
	if err != nil {
		t.Fatal(err)
	}
	marked := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(text, []byte("\n"+conformance+"\n")) {
			marked++
			for _, wrong := range beyondConformance(string(text)) {
				t.Errorf("%s: %s", filepath.Base(file), wrong)
			}
		}
	}
	t.Logf("%d of %d scenarios are for any program", marked, len(files))
	if marked == 0 {
		t.Error("no scenario is marked: " + conformance)
	}
	for _, wrong := range []string{"refused 404 no-route ...", "! proxy -port=0", "[unix] admin /metrics",
		"stdout '^HTTP/1.1 200 OK$'", "env CRED_PROXY_WATCH=1", "env A=1 CRED_PROXY_LOG=json",
		"-- routes.json --\n{\"path\": \"/\", \"allow\": []}", "gone agent", "listen OTHER"} {
		if len(beyondConformance(wrong)) != 1 {
			t.Errorf("not found: %s", wrong)
		}
	}
}

var (
	scriptLine   = regexp.MustCompile(`^(?:\[[^]]*\] *)*(?:! *)?(\S+) *(.*)$`)
	settingName  = regexp.MustCompile(`\bCRED_PROXY_[A-Z_]+`)
	routesKey    = regexp.MustCompile(`"([a-z_]+)":`)
	exactVersion = regexp.MustCompile(`std(?:out|err) .*HTTP/1\\?\.1 [0-9]`)
)

// beyondConformance says what a scenario uses that it may not.
func beyondConformance(text string) (wrong []string) {
	script, files, _ := strings.Cut("\n"+text, "\n-- ")
	for line := range strings.Lines(script) {
		line = strings.TrimSpace(line)
		m := scriptLine.FindStringSubmatch(line)
		switch {
		case m == nil || strings.HasPrefix(line, "#"):
		case !slices.Contains(conformanceCommands, m[1]),
			m[1] == "proxy" && m[2] != "",
			m[1] == "listen" && !strings.Contains(m[2], "-http1"),
			exactVersion.MatchString(line):
			wrong = append(wrong, line)
		}
	}
	for _, name := range settingName.FindAllString(script, -1) {
		if name != "CRED_PROXY_ROUTES" && name != "CRED_PROXY_DEBUG" {
			wrong = append(wrong, "the setting "+name)
		}
	}
	for _, key := range routesKey.FindAllStringSubmatch(files, -1) {
		if !slices.Contains(conformanceKeys, key[1]) {
			wrong = append(wrong, "the key "+key[1])
		}
	}
	return wrong
}
