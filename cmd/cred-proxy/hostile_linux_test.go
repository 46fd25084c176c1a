package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"credproxy/fakeupstream"

	"github.com/rogpeppe/go-internal/testscript"
)

// nobody is the user without privileges that a test which root runs uses.
const nobody = 65534

// asNobody makes a command run without privileges: as nobody, if root runs the
// test, and else as who does.
func asNobody(cmd *exec.Cmd) *exec.Cmd {
	if os.Getuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	return cmd
}

// cmdUnprivileged is cmdProxy with a program that has no privileges, in a
// directory of its own that it can read.
//
//	unprivileged [-descriptors=N] [ARG...]
//
// With -descriptors it may have no more than that many.
func cmdUnprivileged(ts *testscript.TestScript, neg bool, args []string) {
	limit := ""
	if len(args) > 0 && strings.HasPrefix(args[0], "-descriptors=") {
		limit, args = strings.TrimPrefix(args[0], "-descriptors="), args[1:]
	}
	usage(ts, neg, "unprivileged [-descriptors=N] [ARG...]")
	s := of(ts)
	dir, err := os.MkdirTemp("", "cred-proxy-unprivileged")
	ts.Check(err)
	ts.Defer(func() { os.RemoveAll(dir) })
	ts.Check(os.Chmod(dir, 0o777))
	bin, err := exec.LookPath("cred-proxy")
	ts.Check(err)
	for name, from := range map[string]string{"cred-proxy": bin, "routes.json": ts.MkAbs("routes.json"), "ca.pem": s.caFile} {
		ts.Check(copyFile(filepath.Join(dir, name), from))
	}
	// Core files as large as may be, so that it is the program that has none.
	limits := "ulimit -S -c $(ulimit -H -c)"
	if limit != "" {
		limits += " && ulimit -n " + limit
	}
	cmd := asNobody(exec.Command("/bin/sh", append([]string{"-c", limits + ` && exec "$0" "$@"`, filepath.Join(dir, "cred-proxy")}, args...)...))
	cmd.Dir = dir
	for _, v := range s.environ(ts) {
		if name, _, _ := strings.Cut(v, "="); !slices.Contains([]string{"GOCOVERDIR", "CRED_PROXY_ROUTES", "CRED_PROXY_ADDR_FILE", "SSL_CERT_FILE"}, name) {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(cmd.Env, "CRED_PROXY_ROUTES="+filepath.Join(dir, "routes.json"),
		"CRED_PROXY_ADDR_FILE="+filepath.Join(dir, "address"), "SSL_CERT_FILE="+filepath.Join(dir, "ca.pem"))
	for _, v := range coverage() { // where it may not write; what it has reached is taken there when it has ended
		to := strings.TrimPrefix(v, "GOCOVERDIR=")
		ts.Defer(func() {
			files, err := filepath.Glob(filepath.Join(dir, "cov*"))
			ts.Check(err)
			for _, file := range files {
				ts.Check(copyFile(filepath.Join(to, filepath.Base(file)), file))
			}
		})
		cmd.Env = append(cmd.Env, "GOCOVERDIR="+dir)
	}
	p, err := follow(cmd)
	ts.Check(err)
	ts.Check(p.listening())
	s.run(ts, p)
}

// copyFile copies with another process: a file that this one still had open for
// writing when it starts a third could not be run.
func copyFile(to, from string) error {
	if out, err := exec.Command("cp", from, to).CombinedOutput(); err != nil {
		return fmt.Errorf("cp: %w: %s", err, out)
	}
	return os.Chmod(to, 0o755)
}

// cmdSpy has another process of the user that the program runs as read a file
// of its directory in /proc, and prints what it finds.
//
//	spy FILE     it can
//	! spy FILE   it is not permitted, although it is for another program
func cmdSpy(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, len(args) != 1, "[!] spy FILE")
	found, err := spy(running(ts).cmd.Process.Pid, args[0])
	fmt.Fprint(ts.Stdout(), found)
	switch {
	case !neg:
		ts.Check(err)
	case err == nil:
		ts.Fatalf("it can read %s", args[0])
	case !strings.Contains(found, "Permission denied"):
		ts.Fatalf("it fails, but not for lack of permission: %v", err)
	default:
		ts.Check(spyOnOther())
	}
}

// spy reads the first bytes of a file in a process's directory of /proc.
func spy(pid int, file string) (string, error) {
	out, err := asNobody(exec.Command("head", "-c", "4096", filepath.Join("/proc", strconv.Itoa(pid), file))).CombinedOutput()
	return string(bytes.ReplaceAll(out, []byte{0}, []byte{'\n'})), err
}

// spyOnOther sees to it that a process without defences can be spied on here.
func spyOnOther() error {
	other := asNobody(exec.Command("cat"))
	other.Env = []string{"OTHER_TOKEN=not-sealed"}
	in, err := other.StdinPipe()
	if err != nil {
		return err
	}
	out, err := other.StdoutPipe()
	if err != nil {
		return err
	}
	if err := other.Start(); err != nil {
		return err
	}
	io.WriteString(in, "x")
	io.ReadFull(out, make([]byte, 1)) // it has an environment when it answers, and may have none yet when it is started
	found, err := spy(other.Process.Pid, "environ")
	in.Close()
	other.Wait()
	if err != nil || !strings.Contains(found, "OTHER_TOKEN=not-sealed") {
		return fmt.Errorf("not even another process can be read here: %v: %s", err, found)
	}
	return nil
}

// TestCrashLeavesNothing has the program crash in the middle of a stream, told to
// leave as much as it can: its traces hold no token, and there is no core.
func TestCrashLeavesNothing(t *testing.T) {
	const token = "sk-in-a-crash-0123456789"
	control := exec.Command("/bin/sh", "-c", "ulimit -S -c $(ulimit -H -c); kill -QUIT $$")
	control.Dir = t.TempDir()
	control.Run()
	if !control.ProcessState.Sys().(syscall.WaitStatus).CoreDump() {
		t.Log("no program leaves a core here: only the traces are looked at")
	}
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_CORE, &l); err != nil {
		t.Fatal(err)
	}
	defer syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{Cur: l.Cur, Max: l.Max})
	if err := syscall.Setrlimit(syscall.RLIMIT_CORE, &syscall.Rlimit{Cur: l.Max, Max: l.Max}); err != nil {
		t.Fatal(err)
	}
	up := fakeupstream.NewTest(t)
	p := serve(t, up, "A_TOKEN="+token, "GOTRACEBACK=crash")
	openStreams(t, p, 3, func(int) string { return "" })
	if err := p.cmd.Process.Signal(syscall.SIGQUIT); err != nil {
		t.Fatal(err)
	}
	if _, err := p.wait(); err != nil {
		t.Fatal(err)
	}
	if p.cmd.ProcessState.Sys().(syscall.WaitStatus).CoreDump() {
		t.Error("it has left a core")
	}
	log := p.stderr.String()
	if !strings.Contains(log, "goroutine ") {
		t.Errorf("there are no traces: %s", log)
	}
	if form := tokenIn(log, token); form != "" {
		t.Errorf("the token is in the traces %s", form)
	}
}
