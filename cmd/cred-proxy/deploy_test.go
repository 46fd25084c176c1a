package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
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
