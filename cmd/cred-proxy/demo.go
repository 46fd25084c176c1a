package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"time"

	"credproxy/fakeupstream"
	"credproxy/proxy"
)

// The command demo: a tour of the product, in front of a fake upstream.

const (
	demoToken       = "sk-demo-only-the-proxy-knows-this"
	demoPlaceholder = "sk-placeholder-of-the-agent"
)

// demo shows the real program against a fake upstream, and plays the agent itself.
func (p *program) demo(args []string) int {
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	once := demoFlags(flags)
	if err := flags.Parse(args); err != nil {
		return p.usageError("demo: %v", err)
	}
	if flags.NArg() > 0 {
		return p.usageError("demo: unexpected argument %q", flags.Arg(0))
	}
	ctx, _ := signal.NotifyContext(context.Background(), stopSignals...) // what is started here ends with the program

	up, err := fakeupstream.Start(ctx, fakeupstream.Options{})
	if err != nil {
		return p.fail(err)
	}
	srv, ln, err := demoProxy(up, p.warn)
	if err != nil {
		return p.fail(err)
	}
	go srv.Serve(ln)

	t := &tour{out: p.stdout, colour: isTerminal(p.stdout) && p.getenv("NO_COLOR") == "",
		base: "http://" + ln.Addr().String(), up: up}
	t.say("cred-proxy listening on %s, in front of a fake upstream at %s\n", t.bold(ln.Addr().String()), up.URL)
	t.say("The agent knows the token %s; the proxy's is %s.\n", t.red(demoPlaceholder), t.green(demoToken))
	for _, step := range []func(context.Context) error{t.echo, t.stream, t.push, t.chunked} {
		if err := step(ctx); err != nil {
			if ctx.Err() != nil {
				return exitOK
			}
			return p.fail(fmt.Errorf("demo: %w", err))
		}
	}
	t.outro()
	if *once {
		return exitOK
	}
	t.say("\nListening until interrupted (Ctrl-C).\n")
	<-ctx.Done()
	return exitOK
}

func demoFlags(flags *flag.FlagSet) (once *bool) {
	return flags.Bool("once", false, "exit after the tour")
}

// demoProxy returns a server in front of up, and the listener to serve on.
func demoProxy(up *fakeupstream.Server, warn func(string)) (*proxy.Server, net.Listener, error) {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(up.CAPEM)
	srv := proxy.New(proxy.Options{
		Getenv:  func(string) string { return demoToken },
		RootCAs: roots,
		Warn:    warn,
	})
	config, err := proxy.ParseConfig("demo", fmt.Appendf(nil,
		`{"routes": [{"path": "/demo/", "upstream": %q, "auth_scheme": "Bearer", "token_env": "DEMO_TOKEN"}]}`, up.URL))
	if err == nil {
		err = srv.Load(config)
	}
	var ln net.Listener
	if err == nil {
		ln, err = net.Listen("tcp", "127.0.0.1:0")
	}
	return srv, ln, err
}

// tour is what the demo tells, a step at a time.
type tour struct {
	out    io.Writer
	colour bool
	base   string // the proxy's URL
	up     *fakeupstream.Server
	step   int
}

func (t *tour) say(format string, args ...any) { fmt.Fprintf(t.out, format, args...) }

func (t *tour) title(text string) {
	t.step++
	t.say("\n%s\n", t.bold(fmt.Sprintf("%d. %s", t.step, text)))
}

func (t *tour) paint(code, s string) string {
	if !t.colour {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

func (t *tour) bold(s string) string  { return t.paint("1", s) }
func (t *tour) red(s string) string   { return t.paint("31", s) }
func (t *tour) green(s string) string { return t.paint("32", s) }
func (t *tour) dim(s string) string   { return t.paint("2", s) }

// request sends a request as an agent would and returns the response; the caller closes its body.
func (t *tour) request(ctx context.Context, method, path string, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, t.base+path, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+demoPlaceholder)
	t.say("   agent > %s %s %s\n", method, path, t.dim("Authorization: Bearer "+demoPlaceholder))
	return http.DefaultClient.Do(req)
}

func (t *tour) echo(ctx context.Context) error {
	t.title("The credential is replaced, and an answer that repeats it is masked")
	resp, err := t.request(ctx, "POST", "/demo/echo", strings.NewReader(`{"hello":"world"}`))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var echo struct{ Fields [][2]string }
	if err := json.NewDecoder(resp.Body).Decode(&echo); err != nil {
		return fmt.Errorf("echo: %w", err)
	}
	got := t.up.Requests()[0]
	t.say("   upstream received %s %s\n", got.Method, got.Target)
	for _, f := range got.Fields {
		if f.Name == "Authorization" {
			if f.Value != "Bearer "+demoToken {
				return errors.New("echo: the credential was not replaced")
			}
			f.Value = t.green(f.Value)
		}
		t.say("     %s: %s\n", f.Name, f.Value)
	}
	for _, f := range echo.Fields {
		if f[0] == "Authorization" {
			t.say("   upstream's answer says %s, as the agent reads it\n", t.red(f[0]+": "+f[1]))
		}
	}
	return nil
}

func (t *tour) stream(ctx context.Context) error {
	t.title("Events arrive one by one, as they are sent")
	resp, err := t.request(ctx, "GET", "/demo/sse?n=8&ms=150", nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for last := time.Now(); lines.Scan(); {
		data, ok := bytes.CutPrefix(lines.Bytes(), []byte("data: "))
		if !ok {
			continue
		}
		now := time.Now()
		var e struct{ N, T int64 }
		if err := json.Unmarshal(data, &e); err != nil {
			return fmt.Errorf("stream: %w", err)
		}
		t.say("   event %d  %s after it was sent, %3d ms after the one before\n", e.N,
			t.green(fmt.Sprintf("%.1f ms", float64(now.UnixNano()-e.T)/1e6)), now.Sub(last).Milliseconds())
		last = now
	}
	return lines.Err()
}

func (t *tour) push(ctx context.Context) error {
	t.title("git push is refused")
	return t.refused(t.request(ctx, "GET", "/demo/repo.git/info/refs?service=git-receive-pack", nil))
}

func (t *tour) chunked(ctx context.Context) error {
	t.title("A chunked request body is refused before a byte of it is read")
	return t.refused(t.request(ctx, "POST", "/demo/echo", struct{ io.Reader }{strings.NewReader("of unknown length")}))
}

// refused shows a refusal.
func (t *tour) refused(resp *http.Response, err error) error {
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	message, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	code := resp.Header.Get(proxy.ErrorField)
	if code == "" {
		return fmt.Errorf("not refused: %s", resp.Status)
	}
	t.say("   proxy < %s %s\n   %s\n", t.red(resp.Status), t.dim(proxy.ErrorField+": "+code), bytes.TrimSpace(message))
	return nil
}

func (t *tour) outro() {
	t.say("\n%s\n", t.bold("Try it yourself:"))
	for _, args := range []string{
		"-H 'Authorization: Bearer mine' " + t.base + "/demo/echo",
		"-N '" + t.base + "/demo/sse?n=20&ms=250'",
		"-i '" + t.base + "/demo/repo.git/info/refs?service=git-receive-pack'",
		"-i -H 'Transfer-Encoding: chunked' -d hello " + t.base + "/demo/echo",
	} {
		t.say("  curl %s\n", args)
	}
}

// isTerminal reports whether a person looks at w, rather than a file or a program.
func isTerminal(w io.Writer) bool {
	if r, ok := w.(*result); ok {
		w = r.Writer
	}
	f, _ := w.(*os.File)
	info, err := f.Stat() // an error where w is no file
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
