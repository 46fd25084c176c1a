//go:build unix && !linux

package proxy

import (
	"os/exec"
	"syscall"
)

// runGroup runs a command in a process group of its own, which ends with it.
func runGroup(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return runAndKill(cmd)
}
