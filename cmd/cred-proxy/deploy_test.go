package main

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestDeploySettings: every variable of the program's that a file of ci/deploy sets is a setting, and every
// command that one runs is one.
func TestDeploySettings(t *testing.T) {
	known := map[string]bool{"CRED_PROXY_IMAGE": true} // compose.yaml's own
	for _, s := range defaultOptions().settings() {
		known[s.env()] = true
	}
	used := map[string]bool{}
	root := os.DirFS(filepath.Join("..", "..", "ci", "deploy"))
	variable := regexp.MustCompile(`\bCRED_PROXY_[A-Z_]+\b`)
	command := regexp.MustCompile("(?:[[\"]/cred-proxy(?:\", \"|, )|`cred-proxy )([a-z]+)")
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(name, ".go") {
			return err
		}
		text, err := fs.ReadFile(root, name)
		for _, v := range variable.FindAllString(string(text), -1) {
			used[v] = true
			if !known[v] {
				t.Errorf("%s: there is no setting %s", name, v)
			}
		}
		for _, c := range command.FindAllStringSubmatch(string(text), -1) {
			if !isCommand(c[1]) {
				t.Errorf("%s: there is no command %s", name, c[1])
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(used) < 5 {
		t.Errorf("they use %v", used)
	}
}

func isCommand(name string) bool {
	for _, c := range commands() {
		if c.name == name {
			return true
		}
	}
	return false
}

// TestDeployedAgents: the agents of ci/deploy have the environment that `cred-proxy env` prints for their routes.
func TestDeployedAgents(t *testing.T) {
	for _, test := range []struct{ routes, url, file, form string }{
		{"compose/routes.json", "http://cred-proxy:9099", "compose.yaml", "\n      %s: %s\n"},
		{"kubernetes/routes/routes.json", "http://127.0.0.1:9099", "kubernetes/overlays/sidecar/agent.yaml", "\n            - {name: %s, value: %s}\n"},
	} {
		deploy := filepath.Join("..", "..", "ci", "deploy")
		text, err := os.ReadFile(filepath.Join(deploy, test.file))
		if err != nil {
			t.Fatal(err)
		}
		var stdout, stderr strings.Builder
		routes := map[string]string{"CRED_PROXY_ROUTES": filepath.Join(deploy, test.routes)}
		if code := run([]string{"env", "-format", "json", "-url", test.url}, func(name string) string { return routes[name] }, &stdout, &stderr); code != exitOK {
			t.Fatal(stderr.String())
		}
		var printed struct{ Env, Files map[string]string }
		if err := json.Unmarshal([]byte(stdout.String()), &printed); err != nil || len(printed.Env) == 0 || len(printed.Files) > 0 {
			t.Fatalf("%v: %s", err, stdout.String())
		}
		for name, value := range printed.Env {
			plain, quoted := fmt.Sprintf(test.form, name, value), fmt.Sprintf(test.form, name, strconv.Quote(value))
			if !strings.Contains(string(text), plain) && !strings.Contains(string(text), quoted) {
				t.Errorf("%s: want %s", test.file, quoted)
			}
		}
	}
}
