package proxy

import (
	"os/exec"
	"runtime"
	"syscall"
)

// runGroup runs a command in a process group of its own, which ends with it, and with the program.
func runGroup(cmd *exec.Cmd) error {
	// The signal comes when the thread ends that started the command, be that before the program does.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	return runAndKill(cmd)
}
