package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// unit returns a copy of the unit that starts a binary which is there.
func unit(t *testing.T) (service string) {
	t.Helper()
	need(t, "systemd-analyze")
	service = filepath.Join(t.TempDir(), "cred-proxy.service")
	text := strings.ReplaceAll(readFile(t, deploy, "systemd", "cred-proxy.service"), "/usr/local/bin/cred-proxy\n", program+"\n")
	if !strings.Contains(text, "ExecStart="+program) {
		t.Fatal("the unit starts something else")
	}
	if err := os.WriteFile(service, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return service
}

// TestUnit: systemd finds no fault in it.
func TestUnit(t *testing.T) {
	if out := run(t, exec.Command("systemd-analyze", "--man=no", "verify", unit(t))); out != "" {
		t.Error(out)
	}
}

// TestUnitHardening: systemd's measure of what the service could still do, from 0 to 10, is below 2.
func TestUnitHardening(t *testing.T) {
	out, err := exec.Command("systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=20", unit(t)).CombinedOutput()
	score := regexp.MustCompile(`Overall exposure level for \S+: (\S+)`).FindSubmatch(out)
	if score == nil {
		t.Skipf("SKIPPED: this systemd cannot measure a file: %s", out)
	}
	t.Logf("%s", score[1])
	if n, parseErr := strconv.ParseFloat(string(score[1]), 64); err != nil || parseErr != nil || n >= 2 {
		t.Errorf("%v %v\n%s", err, parseErr, out)
	}
}

// TestUnitSettings: the program takes the service's settings, and has a credential for each token.
func TestUnitSettings(t *testing.T) {
	text := readFile(t, deploy, "systemd", "cred-proxy.service")
	routes := readFile(t, deploy, "systemd", "routes.json")
	s := proxyService{env: map[string]string{}, routes: routes}
	given := map[string]bool{}
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		switch key {
		case "Environment":
			name, value, _ := strings.Cut(value, "=")
			s.env[name] = value
		case "LoadCredential":
			name, _, _ := strings.Cut(value, ":")
			given["/run/credentials/cred-proxy.service/"+name] = true
		case "MemoryMax":
			n, err := strconv.Atoi(strings.TrimSuffix(value, "G"))
			if err != nil {
				t.Fatal(err)
			}
			s.memory = int64(n) << 30
		case "TimeoutStopSec":
			s.grace, _ = strconv.Atoi(value)
		}
	}
	s.test(t)
	for _, file := range tokenFiles(t, routes) {
		if !given[file] {
			t.Errorf("%s is no credential of the service", file)
		}
	}
}
