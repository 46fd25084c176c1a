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

// units copies the units to where a binary is that the service can start.
func units(t *testing.T) (service, socket string) {
	t.Helper()
	need(t, "systemd-analyze")
	dir := t.TempDir()
	service, socket = filepath.Join(dir, "cred-proxy.service"), filepath.Join(dir, "cred-proxy.socket")
	text := strings.ReplaceAll(readFile(t, deploy, "systemd", "cred-proxy.service"), "/usr/local/bin/cred-proxy\n", program+"\n")
	if !strings.Contains(text, "ExecStart="+program) {
		t.Fatal("the unit starts something else")
	}
	for file, text := range map[string]string{service: text, socket: readFile(t, deploy, "systemd", "cred-proxy.socket")} {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return service, socket
}

// TestUnits: systemd finds no fault in them.
func TestUnits(t *testing.T) {
	service, socket := units(t)
	if out := run(t, exec.Command("systemd-analyze", "--man=no", "verify", service, socket)); out != "" {
		t.Error(out)
	}
}

// TestUnitHardening: systemd's measure of what the service could still do, from 0 to 10, is below 2.
func TestUnitHardening(t *testing.T) {
	service, _ := units(t)
	out, err := exec.Command("systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=20", service).CombinedOutput()
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
