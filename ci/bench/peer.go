package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	_ "embed"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"text/template"
	"time"
)

// A peer is what is compared. All but direct do the same work: /api/ goes to /base/ of the upstream, whose certificate
// is verified and whose connections are kept; the agent's Authorization and Accept-Encoding are replaced; nothing is
// buffered.
type peer struct {
	name    string
	own     bool     // a cred-proxy
	program string   // none for direct
	version string   // as it says itself
	config  string   // template of its configuration, which becomes the file "config" in its working directory
	args    []string // that have it read that
}

const direct = "direct"

var (
	//go:embed nginx.conf
	nginxConf string
	//go:embed haproxy.cfg
	haproxyCfg string
)

// routesJSON has one route for all requests; the others are there to be looked through.
const routesJSON = `{"routes": [
	{{- range .More}}
	{"path": "/more/{{.}}/", "upstream": "https://localhost:{{$.UpstreamPort}}/base", "auth_scheme": "Bearer", "token_env": "BENCH_TOKEN"},
	{{- end}}
	{"path": "/api/", "upstream": "https://localhost:{{.UpstreamPort}}/base", "auth_scheme": "Bearer", "token_env": "BENCH_TOKEN"}
]}`

// rivals are the peers that the machine may have.
func rivals() []peer {
	return []peer{
		{name: "nginx", config: nginxConf, args: []string{"-e", "stderr", "-p", ".", "-c", "config"}},
		{name: "HAProxy", config: haproxyCfg, args: []string{"-db", "-q", "-f", "config"}},
	}
}

// find looks for a rival's program, where daemons are too.
func (p *peer) find(ctx context.Context) error {
	name := strings.ToLower(p.name)
	for _, dir := range []string{"", "/usr/sbin", "/usr/local/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			p.program = path
			p.version = versionNumber.FindString(p.ask(ctx, "-v"))
			return nil
		}
	}
	return fmt.Errorf("%s is not on this machine", p.name)
}

var versionNumber = regexp.MustCompile(`\d+\.\d\S*`)

// ask returns the first line that the program answers an argument with.
func (p *peer) ask(ctx context.Context, arg string) string {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	out, _ := exec.CommandContext(ctx, p.program, arg).CombinedOutput()
	line, _, _ := strings.Cut(string(out), "\n")
	return line
}

// ownPeer is a cred-proxy.
func ownPeer(ctx context.Context, name, program string) (peer, error) {
	program, err := filepath.Abs(program)
	p := peer{name: name, own: true, program: program, config: routesJSON}
	if err == nil {
		_, err = os.Stat(program)
	}
	p.version = strings.TrimPrefix(p.ask(ctx, "version"), "cred-proxy ")
	return p, err
}

// build makes the release binary in dir; the program is run from somewhere in the repository.
func build(ctx context.Context, dir string) (program string, err error) {
	program = filepath.Join(dir, "cred-proxy.exe") // a name that runs everywhere
	root, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "credproxy").Output()
	if err != nil {
		return "", fmt.Errorf("looking for the repository: %w", err)
	}
	script := filepath.Join(strings.TrimSpace(string(root)), "ci", "build")
	if out, err := exec.CommandContext(ctx, "bash", script, program).CombinedOutput(); err != nil {
		return "", fmt.Errorf("building cred-proxy: %w\n%s", err, out)
	}
	return program, nil
}

// setup is what a configuration's template sees.
type setup struct {
	Port                   string
	Upstream, UpstreamPort string // host:port, and port
	CA, Token              string
	Root                   bool  // nginx would drop root, and could then not write
	Agents, Sockets        int   // to be ready for
	More                   []int // routes besides the one that is asked for
}

func (b *bench) newSetup(upstream string, routes int) (s setup, err error) {
	s = setup{Upstream: upstream, CA: filepath.Join(b.dir, "ca.pem"), Token: token, Root: os.Getuid() == 0,
		Agents: max(b.scale.streams, b.scale.connections, 1000) + 100, More: make([]int, routes-1)}
	s.Sockets = 2*s.Agents + 100
	for i := range s.More {
		s.More[i] = i
	}
	if _, s.UpstreamPort, err = net.SplitHostPort(upstream); err == nil {
		s.Port, err = freePort()
	}
	return s, err
}

// command prepares the program that a peer is, in a new directory with its configuration.
func (b *bench) command(ctx context.Context, p peer, s setup) (*exec.Cmd, error) {
	dir, err := os.MkdirTemp(b.dir, "peer-")
	if err != nil {
		return nil, err
	}
	config, err := os.Create(filepath.Join(dir, "config"))
	if err != nil {
		return nil, err
	}
	defer config.Close()
	if err := template.Must(template.New(p.name).Parse(p.config)).Execute(config, s); err != nil {
		return nil, err
	}
	args := append([]string{p.program}, p.args...)
	if b.pin {
		args = append([]string{"taskset", "-c", proxyCore}, args...)
	}
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CRED_PROXY_ROUTES=config", "CRED_PROXY_PORT="+s.Port, "CRED_PROXY_BIND=127.0.0.1",
		"BENCH_TOKEN="+token, "SSL_CERT_FILE="+s.CA)
	cmd.WaitDelay = 3 * time.Second // and then it is killed
	cmd.Cancel = func() error {
		if runtime.GOOS == "windows" {
			return cmd.Process.Kill()
		}
		return cmd.Process.Signal(os.Interrupt)
	}
	dieWithParent(cmd)
	return cmd, nil
}

// A process is a peer that runs. Direct needs none.
type process struct {
	target
	pid   int           // 0 for direct
	ready time.Duration // from its start to its first answer
	stop  func()        // ends it and waits for that
}

// measurable says whether usage is worth looking at.
func (p *process) measurable() bool { return p.pid != 0 && canMeasure }

func (p *process) usage() usage {
	if !p.measurable() {
		return usage{}
	}
	return usageOf(p.pid)
}

// start starts a peer before one of the upstreams, waits for its first answer and has it checked. A cred-proxy has that
// many routes.
func (b *bench) start(p peer, upstream string, routes int) (*process, error) {
	if p.name == direct {
		return &process{stop: func() {}, target: target{addr: upstream, prefix: "/base", tls: b.tls,
			fields: "Authorization: Bearer " + token + "\r\nAccept-Encoding: identity\r\n"}}, nil
	}
	s, err := b.newSetup(upstream, routes)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(b.ctx)
	cmd, err := b.command(ctx, p, s)
	if err != nil {
		cancel()
		return nil, err
	}
	var output bytes.Buffer // not to be read before it has exited
	cmd.Stdout, cmd.Stderr = &output, &output
	began := time.Now()
	if err := cmd.Start(); err != nil {
		cancel()
		return nil, err
	}
	exited := make(chan struct{})
	go func() { cmd.Wait(); close(exited) }()
	r := &process{pid: cmd.Process.Pid, stop: func() { cancel(); <-exited }, target: target{addr: "127.0.0.1:" + s.Port,
		prefix: "/api", fields: "Authorization: Bearer placeholder\r\nAccept-Encoding: gzip, br\r\n"}}
	err = r.awaitAnswer(b.ctx, exited)
	r.ready = time.Since(began)
	if err == nil {
		err = r.check(b.ctx, bytes.Repeat([]byte("all of it, in this order; "), 15_000))
	}
	if err != nil {
		r.stop()
		return nil, fmt.Errorf("%w\n%s", err, output.Bytes())
	}
	return r, nil
}

// awaitAnswer asks until the peer listens, and answers.
func (p *process) awaitAnswer(ctx context.Context, exited <-chan struct{}) error {
	for deadline := time.After(patience); ; {
		if c, err := p.dial(ctx); err == nil {
			c.Close()
			return p.check(ctx, nil)
		}
		select {
		case <-time.After(time.Millisecond):
		case <-exited:
			return fmt.Errorf("it exited")
		case <-deadline:
			return fmt.Errorf("it does not listen after %v", patience)
		}
	}
}

// check sends a body. The upstream answers with its SHA-256, if it was asked as it must be.
func (p *process) check(ctx context.Context, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	c, err := p.dial(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	length, err := c.ask(append(p.request("POST", "/check", int64(len(body))), body...))
	if err != nil {
		return fmt.Errorf("self-check: %w", err)
	}
	got, err := io.ReadAll(io.LimitReader(c.br, length))
	if want := fmt.Sprintf("%x", sha256.Sum256(body)); err != nil || string(got) != want {
		return fmt.Errorf("self-check: the upstream received a body of SHA-256 %q, not %q (%v)", got, want, err)
	}
	return nil
}

// trust returns the TLS configuration of clients that go straight to the upstreams.
func trust(ca string) *tls.Config {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(ca))
	return &tls.Config{RootCAs: roots, ServerName: "localhost"}
}

func freePort() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer ln.Close()
	_, port, err := net.SplitHostPort(ln.Addr().String())
	return port, err
}
