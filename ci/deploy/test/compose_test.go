package deploy

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
)

// project reads compose.yaml as docker compose does: a key that the specification does not know is an error.
func project(t *testing.T) *types.Project {
	t.Helper()
	details := types.ConfigDetails{
		WorkingDir:  deploy,
		ConfigFiles: []types.ConfigFile{{Filename: filepath.Join(deploy, "compose.yaml")}},
		Environment: types.Mapping{"AGENT_IMAGE": "agent"},
	}
	p, err := loader.LoadWithContext(context.Background(), details, func(o *loader.Options) { o.SetProjectName("bottle", false) })
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestCompose: the agent has no network but one that leads nowhere, and nothing of what the proxy holds.
func TestCompose(t *testing.T) {
	p := project(t)
	agent, proxy := p.Services["agent"], p.Services["cred-proxy"]
	for name := range agent.Networks {
		if !p.Networks[name].Internal {
			t.Errorf("the agent is on %s, which leads out", name)
		}
	}
	if len(agent.Networks) == 0 || agent.NetworkMode != "" || len(agent.Secrets)+len(agent.Volumes) > 0 || agent.Pid != "" || agent.Privileged {
		t.Errorf("the agent: %+v", agent)
	}
	if len(proxy.Ports)+len(agent.Ports) > 0 {
		t.Error("something is published to the host's network")
	}
	if !proxy.ReadOnly || !slices.Equal(proxy.CapDrop, []string{"ALL"}) {
		t.Errorf("the proxy: %+v", proxy)
	}
	if agent.DependsOn["cred-proxy"].Condition != types.ServiceConditionHealthy {
		t.Error("the agent does not wait for it")
	}
	env := map[string]string{}
	for name, value := range proxy.Environment {
		env[name] = *value
	}
	routes := readFile(t, deploy, "compose", "routes.json")
	proxyService{env, routes, int64(proxy.MemLimit), int(time.Duration(*proxy.StopGracePeriod).Seconds())}.test(t)
	given := map[string]bool{}
	for _, s := range proxy.Secrets {
		given["/run/secrets/"+s.Source] = true
	}
	for _, file := range tokenFiles(t, routes) {
		if !given[file] {
			t.Errorf("%s is no secret of the proxy", file)
		}
	}
}

// try is laid over compose.yaml: an upstream that is not the real one, and an agent that looks for it, for a way
// to the internet and for the proxy's admin port.
const try = `
services:
  cred-proxy:
    environment: {SSL_CERT_FILE: /ca/ca.pem}
    volumes: ["./ca:/ca:ro"]
    depends_on: [api.anthropic.com]
  api.anthropic.com:
    image: bottle
    command: [upstream, /ca/ca.pem]
    volumes: ["./ca:/ca"]
    networks: [outside]
  agent:
    command: [agent, "api.anthropic.com:443", "cred-proxy:9100", "cred-proxy:9099"]
`

// TestComposeRuns: with podman-compose, where that and podman are, the agent gets its answer from the upstream by way
// of the proxy, and reaches nothing else.
func TestComposeRuns(t *testing.T) {
	need(t, "podman-compose")
	podman := engine(t)
	buildImage(t, podman)
	dir := t.TempDir()
	for _, part := range []string{"secrets", "ca", "bottle"} {
		if err := os.Mkdir(filepath.Join(dir, part), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.CopyFS(filepath.Join(dir, "compose"), os.DirFS(filepath.Join(deploy, "compose"))); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"compose.yaml":         readFile(t, deploy, "compose.yaml"),
		"try.yaml":             try,
		"secrets/anthropic":    "the-real-token\n",
		"secrets/github":       "another\n",
		"bottle/Containerfile": "FROM scratch\nCOPY bottle /bottle\nENTRYPOINT [\"/bottle\"]\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	build := exec.Command("go", "build", "-trimpath", "-o", filepath.Join(dir, "bottle", "bottle"), "./bottle")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	run(t, build)
	run(t, exec.Command(podman, "build", "--tag", "bottle", filepath.Join(dir, "bottle")))

	compose := func(args ...string) *exec.Cmd {
		cmd := exec.Command("podman-compose", append([]string{"-p", "bottle", "-f", "compose.yaml", "-f", "try.yaml"}, args...)...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "AGENT_IMAGE=bottle")
		return cmd
	}
	defer func() { compose("down", "-t", "1").Run() }()
	out, err := compose("up", "-d").CombinedOutput()
	if err != nil || strings.Contains(string(out), "Error: ") {
		t.Skipf("SKIPPED: podman runs nothing here: %v\n%s", err, out)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	exec.CommandContext(ctx, podman, "wait", "bottle_agent_1").Run()
	proxyLog := run(t, exec.Command(podman, "logs", "bottle_cred-proxy_1"))
	got := run(t, exec.Command(podman, "logs", "bottle_agent_1"))
	want := fmt.Sprintf(`answer 200 credential %x
closed api.anthropic.com:443
closed cred-proxy:9100
open cred-proxy:9099
done
`, sha256.Sum256([]byte("Bearer the-real-token")))
	if got != want {
		t.Errorf("the agent says\n%sand the proxy\n%s", got, proxyLog)
	}
	if strings.Contains(proxyLog, "the-real-token") {
		t.Error("the token is in the log")
	}
	run(t, exec.Command(podman, "exec", "bottle_cred-proxy_1", "/cred-proxy", "health"))
}
