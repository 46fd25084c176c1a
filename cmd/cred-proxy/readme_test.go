package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
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
func allScripts(t *testing.T) string { return allText(t, "testdata/scripts/*.txtar") }

// TestSecurityProofs: what SECURITY.md names as a proof is there.
func TestSecurityProofs(t *testing.T) {
	code := ""
	for _, dir := range []string{"cmd/cred-proxy", "proxy", "proxy/http1", "proxy/redact", "audit", "admin", "ci/sbom"} {
		code += testSources(t, dir)
	}
	d := documentOf(t, "SECURITY.md")
	rows, tables, proofs := 0, 0, false
	for line := range strings.Lines(d.prose) {
		cells := strings.Split(strings.Trim(line, "|\n"), "|")
		last := strings.TrimSpace(cells[len(cells)-1])
		switch {
		case len(cells) < 2:
			proofs = false
		case last == "proved by":
			proofs, tables = true, tables+1
		case proofs:
			for _, name := range words(last) {
				rows++
				_, err := os.Stat(filepath.Join(scripts, name+".txtar"))
				if err != nil && !strings.Contains(code, "\nfunc "+name+"(") {
					t.Errorf("there is no scenario or test %s", name)
				}
			}
		}
	}
	if tables != 3 || rows < 100 {
		t.Errorf("%d proofs in %d tables", rows, tables)
	}
}

// TestReadmeOperator holds the README to what the real program shows to an operator: the paths of its port, the metrics,
// the members of /status and of a line of the log.
func TestReadmeOperator(t *testing.T) {
	dir := t.TempDir()
	routes := `{"routes": [{"path": "/a/", "upstream": "http://127.0.0.1:9", "auth_scheme": "Bearer", "token_env": "A_TOKEN"}]}`
	if err := os.WriteFile(filepath.Join(dir, "routes.json"), []byte(routes), 0o666); err != nil {
		t.Fatal(err)
	}
	env := append(os.Environ(), "CRED_PROXY_ROUTES=routes.json", "CRED_PROXY_ADDR_FILE="+filepath.Join(dir, "address"), "CRED_PROXY_MAX_AGENTS=100")
	p, err := start(dir, env, "-bind=127.0.0.1", "-port=0", "-admin=127.0.0.1:0", "-log=json")
	if err != nil {
		t.Fatal(err)
	}
	defer p.stop()
	operator, err := adminOf(p)
	if err != nil {
		t.Fatal(err)
	}
	get := func(path string) (int, string) {
		resp, err := operator.Get("http://localhost" + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(text)
	}
	d := documentOf(t, "README.md")
	port := d.section(t, "### The operator's port")
	same := func(what string, program, readme []string) {
		t.Helper()
		if diff := cmp.Diff(slices.Sorted(slices.Values(program)), slices.Sorted(slices.Values(readme))); diff != "" {
			t.Errorf("%s (-program +README):\n%s", what, diff)
		}
	}

	_, there := get("/no/such")
	_, list, _ := strings.Cut(strings.TrimSpace(there), "there are ")
	rows := map[string]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `(/[a-z]*)` \\| (.*) \\|$").FindAllStringSubmatch(port, -1) {
		rows[m[1]] = m[2]
	}
	same("paths", strings.Split(list, ", "), slices.Collect(maps.Keys(rows)))

	_, exposition := get("/metrics")
	var metrics, told []string
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (\w+) `).FindAllStringSubmatch(exposition, -1) {
		prefix, _, _ := strings.Cut(m[1], "_")
		switch prefix {
		case "credproxy":
			metrics = append(metrics, m[1])
		default:
			if !strings.Contains(rows["/metrics"], "`"+prefix+"_...`") {
				t.Errorf("README.md does not tell of metrics such as %s", m[1])
			}
		}
	}
	for _, name := range words(rows["/metrics"]) {
		if !strings.HasSuffix(name, "_...") {
			told = append(told, name)
		}
	}
	same("metrics", metrics, told)
	for _, d := range documents(t) {
		for _, name := range regexp.MustCompile(`\bcredproxy_[a-z_]+`).FindAllString(d.text, -1) {
			if !slices.Contains(metrics, name) {
				t.Errorf("%s: there is no metric %s", d.name, name)
			}
		}
	}

	_, status := get("/status")
	var members map[string]any
	if err := json.Unmarshal([]byte(status), &members); err != nil {
		t.Fatal(err)
	}
	same("members of /status", slices.Collect(maps.Keys(members)), words(rows["/status"]))

	if _, err := http.Get("http://" + p.addr + "/nowhere"); err != nil {
		t.Fatal(err)
	}
	if err := p.waitLine(p.stderr, regexp.MustCompile(`^\{`), 1); err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile(`(?m)^\{.*$`).FindString(p.stderr.String())
	members = nil
	if err := json.Unmarshal([]byte(line), &members); err != nil {
		t.Fatal(err)
	}
	logs, _, _ := strings.Cut(d.section(t, "### Logs"), ". ")
	_, logs, _ = strings.Cut(logs, "`log/slog`:")
	same("members of a line of the log", slices.Collect(maps.Keys(members)), words(logs))
}

// TestReadmeFields: the fields of the proxy's own that documents name are those that there are.
func TestReadmeFields(t *testing.T) {
	want := []string{proxy.ErrorField, proxy.IDField, proxy.RedactedField}
	slices.Sort(want)
	for _, d := range documents(t) {
		got := slices.Sorted(slices.Values(regexp.MustCompile(`\bX-Cred-Proxy-[A-Za-z]+`).FindAllString(d.text, -1)))
		got = slices.Compact(got)
		if d.name == "README.md" && !slices.Equal(got, want) {
			t.Errorf("README.md tells of %q, not of %q", got, want)
		}
		for _, name := range got {
			if !slices.Contains(want, name) {
				t.Errorf("%s: there is no field %s", d.name, name)
			}
		}
	}
}

// TestReadmeClients holds the README's table of what clients need to what `cred-proxy env` prints, for the routes that
// the table says.
func TestReadmeClients(t *testing.T) {
	d := documentOf(t, "README.md")
	text := d.section(t, "## Clients")
	var routes []string
	want := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^\|[^|]*\| (.*) \|([^|]*)\|$`).FindAllStringSubmatch(text, -1) {
		if r := words(m[2]); strings.HasPrefix(m[2], " `/") && strings.Contains(m[2], " → ") {
			routes = append(routes, documentedRoute(r))
		}
		for _, s := range words(m[1]) {
			if regexp.MustCompile(`^[A-Z][A-Z_]+=`).MatchString(s) {
				want[s] = true
			}
		}
	}
	file := filepath.Join(t.TempDir(), "routes.json")
	if err := os.WriteFile(file, []byte(`{"routes": [`+strings.Join(routes, ",\n")+`]}`), 0o666); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr strings.Builder
	if code := run([]string{"env", "-format=json", "-routes=" + file}, func(string) string { return "" }, &stdout, &stderr); code != 0 {
		t.Fatalf("the table's routes: %s", &stderr)
	}
	var printed struct{ Env, Files map[string]string }
	if err := json.Unmarshal([]byte(stdout.String()), &printed); err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	git := map[string]bool{}
	for name, value := range printed.Env {
		if !strings.HasPrefix(name, "GIT_CONFIG_") {
			got[name+"="+value] = true
			continue
		}
		if n, ok := strings.CutPrefix(name, "GIT_CONFIG_KEY_"); ok {
			git[value+" "+printed.Env["GIT_CONFIG_VALUE_"+n]] = true
		}
	}
	if diff := cmp.Diff(got, want); diff != "" {
		t.Errorf("variables (-cred-proxy env +README):\n%s", diff)
	}
	for _, s := range words(text) {
		if setting, ok := strings.CutPrefix(s, "git config --global "); ok && !git[setting] {
			t.Errorf("cred-proxy env does not print %q but %v", setting, git)
		}
	}
	for file, content := range printed.Files {
		row := ""
		for line := range strings.Lines(text) {
			if strings.Contains(line, "`~/"+file+"`") || strings.Contains(line, "`"+file+"`") {
				row = line
			}
		}
		for line := range strings.Lines(content) {
			if line = strings.Trim(strings.TrimSpace(line), "[]"); line != "" && !strings.Contains(row, line) {
				t.Errorf("README.md does not say %q of ~/%s", line, file)
			}
		}
	}
}

// documentedRoute is the route that a row says by its spans: the prefix and, if it names them, upstream and scheme.
func documentedRoute(spans []string) string {
	upstream, credential := "https://upstream.example", `"auth_scheme": "Bearer"`
	for _, s := range spans[1:] {
		switch {
		case strings.HasPrefix(s, "https://"):
			upstream = s
		case strings.HasPrefix(s, `"username"`):
			credential = s
		}
	}
	return fmt.Sprintf(`{"path": %q, "upstream": %q, %s, "token_env": "A"}`, spans[0], upstream, credential)
}
