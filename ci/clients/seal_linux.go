package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"credproxy/ci/loopback"

	"golang.org/x/sys/unix"
)

// sealedName is the program in a network of its own, in which there is loopback and nothing else.
const sealedName = "clients-sealed"

// noSealCode is its exit code if it has not got that.
const noSealCode = 77

var errNoSeal = errors.New("it cannot be made")

// runSealed is run in a network of its own.
func (j *job) runSealed(ctx context.Context, stdout, stderr io.Writer) error {
	what, err := json.Marshal(j)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "/proc/self/exe")
	cmd.Args = []string{sealedName}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(string(what)), stdout, stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGTERM}
	if uid, gid := os.Getuid(), os.Getgid(); uid != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: uid, Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: gid, Size: 1}}
	}
	runtime.LockOSThread() // its death would be the child's
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("%w: %w", errNoSeal, err)
	}
	err = cmd.Wait()
	switch exit := (*exec.ExitError)(nil); {
	case errors.As(err, &exit) && exit.ExitCode() == noSealCode:
		return errNoSeal
	case errors.As(err, &exit) && exit.ExitCode() == 1:
		return errors.New("see above")
	}
	return err
}

func sealedMain(ctx context.Context, _ []string) int {
	var j job
	err := json.NewDecoder(os.Stdin).Decode(&j)
	if err == nil {
		err = j.seal()
		if err != nil {
			fmt.Fprintln(os.Stderr, "clients:", err)
			return noSealCode
		}
		j.sealed = true
		err = j.run(ctx, os.Stdout, os.Stderr)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "clients:", err)
		return 1
	}
	return 0
}

// seal gives the process's network loopback, a host called cred-proxy on it, and a name server there.
func (j *job) seal() error {
	signal.Ignore(syscall.SIGPIPE)
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("mount /: %w", err)
	}
	machine, err := os.Hostname()
	if err != nil {
		return err
	}
	for file, text := range map[string]string{
		"hosts":         "127.0.0.1 localhost cred-proxy " + machine + "\n",
		"resolv.conf":   "nameserver 127.0.0.1\n",
		"nsswitch.conf": "hosts: files dns\npasswd: files\ngroup: files\n",
	} {
		real, err := filepath.EvalSymlinks(filepath.Join("/etc", file))
		if errors.Is(err, os.ErrNotExist) {
			continue // nobody reads it, then
		}
		if err != nil {
			return err
		}
		own := filepath.Join(j.Dir, file)
		if err := os.WriteFile(own, []byte(text), 0o644); err != nil {
			return err
		}
		if err := unix.Mount(own, real, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("mount %s: %w", real, err)
		}
	}
	return loopback.Up()
}

// own has cmd end with the process, and what it starts end with it.
func own(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return killAll(cmd) }
}

// killAll ends what is left of cmd and of what it started.
func killAll(cmd *exec.Cmd) error {
	err := syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	if err == syscall.ESRCH {
		return os.ErrProcessDone
	}
	return err
}
