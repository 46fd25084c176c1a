//go:build unix

package proxy

import (
	"os/exec"
	"syscall"
)

// runAndKill runs a command that is the first of its process group, and ends what there is of the group then, or when
// its time is over.
func runAndKill(cmd *exec.Cmd) error {
	kill := func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.Cancel = kill
	if err := cmd.Start(); err != nil {
		return err
	}
	defer kill()
	return cmd.Wait()
}
