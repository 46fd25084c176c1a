package main

import (
	"bufio"
	"bytes"
	"context"
	_ "embed"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"credproxy/fakeupstream"
)

// routesJSON are the routes, as an operator has them; the hosts are all played by the fake upstream.
//
//go:embed routes.json
var routesJSON []byte

// clientToken is what the clients are to present where they are asked. The judge knows it by the word placeholder.
const clientToken = "CLIENT_TOKEN=placeholder-of-this-sandbox"

// A world is what the clients live in.
type world struct {
	job    *job
	url    string            // of the proxy, as the clients know it
	tokens map[string]string // by host
	secret map[string]string // what must not be seen of them: they, and the Basic credentials that they are in
	up     *fakeupstream.Server
	out    *egress // the proxy's
	trap   *trap   // the clients'
	proxy  *exec.Cmd
	said   bytes.Buffer  // by the proxy
	past   int           // connections to the upstream by others, so far
	quiet  chan struct{} // closed when the proxy says no more
}

// newWorld starts what listens.
func (j *job) newWorld(ctx context.Context) (_ *world, err error) {
	w := &world{job: j, tokens: map[string]string{}, secret: map[string]string{}}
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	var table struct {
		Routes []map[string]any `json:"routes"`
	}
	if err := json.Unmarshal(routesJSON, &table); err != nil {
		return nil, err
	}
	routes := filepath.Join(j.Dir, "routes.json")
	env := append(plainEnvironment(), "CRED_PROXY_ROUTES="+routes, "CRED_PROXY_BIND=127.0.0.1", "CRED_PROXY_DEBUG=1", clientToken)
	var hosts []string
	for _, r := range table.Routes {
		text := func(key string) string { value, _ := r[key].(string); return value }
		u, err := url.Parse(text("upstream"))
		if err != nil {
			return nil, err
		}
		name := text("token_env")
		token := "real-" + strings.ToLower(name) + "-of-the-operator"
		hosts, env = append(hosts, u.Host), append(env, name+"="+token)
		w.tokens[u.Host] = token
		w.secret[token] = name
		w.secret[base64.StdEncoding.EncodeToString([]byte(text("username")+":"+token))] = name
		if j.Options.Ask {
			r["client_token_env"] = "CLIENT_TOKEN"
		}
	}
	text, err := json.Marshal(table)
	if err == nil {
		err = os.WriteFile(routes, text, 0o644)
	}
	if err != nil {
		return nil, err
	}
	git := filepath.Join(j.Dir, "git")
	if err := os.MkdirAll(git, 0o755); err != nil {
		return nil, err
	}
	if w.up, err = fakeupstream.Start(ctx, fakeupstream.Options{Names: hosts, BodyLimit: 4 << 20, GitRoot: git}); err != nil {
		return nil, err
	}
	ca := filepath.Join(j.Dir, "ca.pem")
	if err := os.WriteFile(ca, w.up.CAPEM, 0o644); err != nil {
		return nil, err
	}
	upstream, err := url.Parse(w.up.URL)
	if err != nil {
		return nil, err
	}
	if w.out, err = newEgress(hosts, net.JoinHostPort("127.0.0.1", upstream.Port())); err != nil {
		return nil, err
	}
	if w.trap, err = newTrap(j.sealed); err != nil {
		return nil, err
	}
	if !j.sealed {
		env = append(env, "CRED_PROXY_PORT=0")
	}
	return w, w.startProxy(ctx, append(env, "SSL_CERT_FILE="+ca, "SSL_CERT_DIR="+j.Dir, "HTTPS_PROXY="+w.out.URL))
}

// startProxy starts the proxy and waits until it listens.
func (w *world) startProxy(ctx context.Context, env []string) error {
	cmd := exec.CommandContext(ctx, w.job.program())
	own(cmd)
	cmd.Env = env
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	w.proxy, w.quiet = cmd, make(chan struct{})
	lines := bufio.NewReader(stderr)
	for {
		line, err := lines.ReadString('\n')
		w.said.WriteString(line)
		if err != nil {
			close(w.quiet)
			return fmt.Errorf("the proxy does not start: %s", lastLines(w.said.String()))
		}
		if rest, ok := strings.CutPrefix(line, "cred-proxy listening on "); ok {
			at, _, _ := strings.Cut(rest, ";")
			w.url = "http://" + at
			if w.job.sealed {
				w.url = "http://cred-proxy:9099"
			}
			break
		}
	}
	go func() {
		defer close(w.quiet)
		io.Copy(&w.said, lines)
	}()
	return nil
}

// end stops the proxy as an operator does. What it has said must hold no token.
func (w *world) end() error {
	w.proxy.Process.Signal(os.Interrupt)
	<-w.quiet
	err := w.proxy.Wait()
	w.proxy = nil
	if err != nil {
		return fmt.Errorf("the proxy: %w: %s", err, lastLines(w.said.String()))
	}
	if secret := w.secretIn(w.said.Bytes()); secret != "" {
		return fmt.Errorf("the log of the proxy has the token %s", secret)
	}
	return nil
}

func (w *world) close() {
	if w.proxy != nil {
		killAll(w.proxy)
		<-w.quiet
		w.proxy.Wait()
	}
	if w.out != nil {
		w.out.Close()
	}
	if w.trap != nil {
		w.trap.close()
	}
	if w.up != nil {
		w.up.Close()
	}
}

// secretIn returns the name of a token that text holds, or "".
func (w *world) secretIn(text []byte) string {
	for secret, name := range w.secret {
		if bytes.Contains(text, []byte(secret)) {
			return name
		}
	}
	return ""
}

// judge looks at what came to the upstream: by the proxy, with the token of its host and no other, and no placeholder.
func (w *world) judge() error {
	accepted, _ := w.up.Connections()
	past := accepted - w.out.count() - w.past
	w.past += max(past, 0)
	for _, q := range w.up.Requests() {
		host, what := q.Get("Host"), q.Method+" "+q.Get("Host")+q.Path()
		shown := slices.Concat(q.Values("Authorization"), q.Values("x-api-key"))
		switch token := w.tokens[host]; {
		case token == "":
			return fmt.Errorf("%s: a host of no route", what)
		case len(shown) != 1 || !strings.HasSuffix(decoded(shown[0]), token):
			return fmt.Errorf("%s came with %d credentials, and not the one of its host", what, len(shown))
		case bytes.Contains(q.Head, []byte("placeholder")):
			return fmt.Errorf("%s came with a placeholder", what)
		}
	}
	if past > 0 {
		return fmt.Errorf("%d connections to the upstream are not the proxy's", past)
	}
	if asked := w.trap.taken(); len(asked) > 0 {
		return fmt.Errorf("went past the proxy, to %s", strings.Join(asked, ", "))
	}
	return nil
}

// decoded is the value of a credential's field; of a Basic one, the user and password.
func decoded(value string) string {
	if pair, ok := strings.CutPrefix(value, "Basic "); ok {
		text, _ := base64.StdEncoding.DecodeString(pair)
		return string(text)
	}
	return value
}

// plainEnvironment is what is not taken from the machine's environment by chance.
func plainEnvironment() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "LANG=C.UTF-8"}
}

// An egress leads to one address, by the hosts that are known.
type egress struct {
	*fakeupstream.Egress
	hosts []string
	to    string

	mu    sync.Mutex
	n     int      // tunnels
	asked []string // other hosts
}

func newEgress(hosts []string, to string) (e *egress, err error) {
	e = &egress{hosts: hosts, to: to}
	e.Egress, err = fakeupstream.StartEgress(e.lead)
	return e, err
}

func (e *egress) lead(q fakeupstream.Request) (addr string, status int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	host, _, _ := net.SplitHostPort(q.Target)
	if slices.Contains(e.hosts, host) {
		e.n++
		return e.to, 0
	}
	e.asked = append(e.asked, q.Target)
	return "", http.StatusForbidden
}

func (e *egress) count() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.n
}

// A trap is what a client meets that looks for a way past the proxy. Where it is sealed in, that is a name server, which
// says that there is no such name. Elsewhere it is a proxy that the environment names, for those who heed that.
type trap struct {
	names net.PacketConn
	proxy *egress

	mu    sync.Mutex
	asked []string
}

func newTrap(sealed bool) (t *trap, err error) {
	t = &trap{}
	if !sealed {
		t.proxy, err = newEgress(nil, "")
		return t, err
	}
	if t.names, err = net.ListenPacket("udp", "127.0.0.1:53"); err != nil {
		return nil, err
	}
	go t.serve()
	return t, nil
}

// environment is what leads a client into the trap.
func (t *trap) environment() []string {
	if t.proxy == nil {
		return nil
	}
	return []string{"HTTPS_PROXY=" + t.proxy.URL, "https_proxy=" + t.proxy.URL, "NO_PROXY=127.0.0.1", "no_proxy=127.0.0.1"}
}

// serve answers every question with NXDOMAIN (RFC 1035 section 4.1).
func (t *trap) serve() {
	p := make([]byte, 1500)
	for {
		n, from, err := t.names.ReadFrom(p)
		if err != nil {
			return
		}
		name, end, err := question(p[:n])
		if err != nil {
			continue
		}
		t.mu.Lock()
		t.asked = append(t.asked, name)
		t.mu.Unlock()
		binary.BigEndian.PutUint16(p[2:], 0x8183) // a response, recursion is to be had, no such name
		binary.BigEndian.PutUint16(p[4:], 1)
		clear(p[6:12])
		t.names.WriteTo(p[:end], from)
	}
}

// question returns the name that a DNS message asks for, and where its first question ends.
func question(p []byte) (name string, end int, err error) {
	var labels []string
	for i := 12; i < len(p); {
		n := int(p[i])
		if n == 0 && i+5 <= len(p) {
			return strings.Join(labels, "."), i + 5, nil
		}
		if n == 0 || n > 63 || i+1+n > len(p) {
			break
		}
		labels = append(labels, string(p[i+1:i+1+n]))
		i += 1 + n
	}
	return "", 0, errors.New("not a question")
}

// taken returns who was asked for since the last time.
func (t *trap) taken() []string {
	mu, asked := &t.mu, &t.asked
	if t.proxy != nil {
		mu, asked = &t.proxy.mu, &t.proxy.asked
	}
	mu.Lock()
	defer mu.Unlock()
	list := *asked
	*asked = nil
	slices.Sort(list)
	return slices.Compact(list)
}

func (t *trap) close() {
	if t.names != nil {
		t.names.Close()
	}
	if t.proxy != nil {
		t.proxy.Close()
	}
}
