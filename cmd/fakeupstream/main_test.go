package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"credproxy/fakeupstream"
)

// The tests run the program as a process of its own: the test binary, told so.
const beTheProgram = "FAKEUPSTREAM_TEST_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(beTheProgram) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

type program struct {
	cmd    *exec.Cmd
	stdin  io.Closer
	stderr bytes.Buffer
	exited chan error
	ready  fakeupstream.Ready
}

func run(t *testing.T, args ...string) *program {
	t.Helper()
	p := &program{exited: make(chan error, 1)}
	p.cmd = exec.Command(os.Args[0], args...)
	p.cmd.Env = append(os.Environ(), beTheProgram+"=1", "GORACE=atexit_sleep_ms=10")
	p.cmd.Stderr = &p.stderr
	p.stdin, _ = p.cmd.StdinPipe()
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.cmd.Process.Kill() })
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	go func() { p.exited <- p.cmd.Wait() }()
	if err != nil {
		t.Fatalf("no ready line: %v, %v\n%s", err, <-p.exited, &p.stderr)
	}
	if err := json.Unmarshal(line, &p.ready); err != nil {
		t.Fatalf("ready line %q: %v", line, err)
	}
	return p
}

// exit waits for the program to exit.
func (p *program) exit(t *testing.T) error {
	t.Helper()
	select {
	case err := <-p.exited:
		return err
	case <-time.After(20 * time.Second):
		t.Fatal("the program does not exit")
		return nil
	}
}

func TestProgram(t *testing.T) {
	p := run(t, "-names", "api.example.test", "-v")
	pem, err := os.ReadFile(p.ready.CAFile)
	if err != nil || string(pem) != p.ready.CAPEM {
		t.Errorf("ca_file: %v", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		t.Error("ca_file has no certificate")
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "api.example.test"}}}
	req, _ := http.NewRequest("GET", p.ready.URL+"/hello?q=1", nil)
	req.Header.Set("Authorization", "Bearer s3cret")
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()

	resp, err = http.Get(p.ready.Control + "/requests/wait?path=/hello")
	if err != nil {
		t.Fatal(err)
	}
	var q struct {
		Dump, SNI string
		Fields    []fakeupstream.Field
	}
	err = json.NewDecoder(resp.Body).Decode(&q)
	resp.Body.Close()
	if err != nil || q.SNI != "api.example.test" || !strings.Contains(q.Dump, "Authorization: Bearer s3cret\n") || len(q.Fields) < 3 {
		t.Errorf("%v, request %+v", err, q)
	}

	// A stream that nobody reads does not keep it from leaving with its parent.
	if resp, err = client.Get(p.ready.URL + "/sse"); err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	p.stdin.Close()
	if err := p.exit(t); err != nil {
		t.Errorf("exit: %v\n%s", err, &p.stderr)
	}
	if _, err := os.Stat(p.ready.CAFile); !os.IsNotExist(err) {
		t.Errorf("ca_file is still there: %v", err)
	}
	if log := p.stderr.String(); !strings.Contains(log, "GET /hello 200") || strings.Contains(log, "s3cret") || strings.Contains(log, "q=1") {
		t.Errorf("log: %s", log)
	}
}

func TestProgramEndsOnSignals(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no signals on Windows")
	}
	for _, sig := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		p := run(t, "-plain")
		if p.ready.CAFile != "" || !strings.HasPrefix(p.ready.URL, "http://") {
			t.Errorf("-plain: %+v", p.ready)
		}
		p.cmd.Process.Signal(sig)
		if err := p.exit(t); err != nil {
			t.Errorf("%v: exit: %v\n%s", sig, err, &p.stderr)
		}
	}
}

func TestProgramDetached(t *testing.T) {
	p := run(t, "-plain", "-detached")
	p.stdin.Close()
	resp, err := http.Get(p.ready.URL + "/echo")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	p.cmd.Process.Kill()
	p.exit(t)
}

func TestProgramUsage(t *testing.T) {
	for _, args := range [][]string{{"-nonsense"}, {"argument"}} {
		cmd := exec.Command(os.Args[0], args...)
		cmd.Env = append(os.Environ(), beTheProgram+"=1")
		out, err := cmd.CombinedOutput()
		if cmd.ProcessState.ExitCode() != 2 || len(out) == 0 {
			t.Errorf("%q: %v\n%s", args, err, out)
		}
	}
}
