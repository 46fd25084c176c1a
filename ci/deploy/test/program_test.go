// Package deploy tries what is in ci/deploy, each as far as this machine lets, and skips the rest by name. It is a module
// of its own, so that what it needs for that is no dependency of the program.
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

// Where the files are.
const (
	repository = "../../.."
	deploy     = ".."
)

// program is the program, as a release has it.
var program string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "cred-proxy-deploy")
	if err != nil {
		panic(err)
	}
	program = filepath.Join(dir, "cred-proxy")
	if out, err := exec.Command(filepath.Join(repository, "ci", "build"), program).CombinedOutput(); err != nil {
		panic(string(out))
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// A proxyService is a cred-proxy as one of the files describes it.
type proxyService struct {
	env    map[string]string
	routes string // routes.json
	memory int64  // the most that it may have
	grace  int    // seconds that it is given to stop
}

// test holds the service to what the program says of such settings and routes.
func (s proxyService) test(t *testing.T) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "routes.json")
	if err := os.WriteFile(file, []byte(s.routes), 0o600); err != nil {
		t.Fatal(err)
	}
	check := exec.Command(program, "check", file)
	for name, value := range s.env {
		check.Env = append(check.Env, name+"="+value)
	}
	if out, err := check.CombinedOutput(); err != nil {
		t.Errorf("cred-proxy check: %v\n%s", err, out)
	}
	// The formula is the README's.
	most := 32<<20 + s.number(t, "MAX_AGENTS")*(512<<10+4*max(s.number(t, "MAX_HEAD"), s.number(t, "MAX_RESPONSE_HEAD")))
	if s.memory < most {
		t.Errorf("it may have %d MiB, and could need %d", s.memory>>20, most>>20)
	}
	if drain := s.number(t, "DRAIN_DELAY") + s.number(t, "DRAIN_TIMEOUT"); int64(s.grace) <= drain {
		t.Errorf("it is given %d s to stop, and drains for %d", s.grace, drain)
	}
}

// number returns a setting of the service in ones, bytes or seconds.
func (s proxyService) number(t *testing.T, name string) int64 {
	t.Helper()
	value, ok := s.env["CRED_PROXY_"+name]
	if !ok {
		help, err := exec.Command(program, "help").Output()
		if err != nil {
			t.Fatal(err)
		}
		found := regexp.MustCompile(`(?m) CRED_PROXY_` + name + ` .*\(default (\S+)\)$`).FindSubmatch(help)
		if found == nil {
			t.Fatalf("help does not tell the default of CRED_PROXY_%s", name)
		}
		value = string(found[1])
	}
	for unit, ones := range map[string]int64{"MiB": 1 << 20, "KiB": 1 << 10, "m0s": 60, "m": 60, "s": 1, "": 1} {
		digits, ok := strings.CutSuffix(value, unit)
		if n, err := strconv.ParseInt(digits, 10, 64); ok && err == nil {
			return n * ones
		}
	}
	t.Fatalf("CRED_PROXY_%s=%s is no number", name, value)
	return 0
}

func readFile(t *testing.T, name ...string) string {
	t.Helper()
	p, err := os.ReadFile(filepath.Join(name...))
	if err != nil {
		t.Fatal(err)
	}
	return string(p)
}

// run runs a command to its end, and returns its output.
func run(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	return string(out)
}

// need skips the test where a program is not there, by its name.
func need(t *testing.T, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("SKIPPED: no %s here", p)
		}
	}
}
