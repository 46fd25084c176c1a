package main

import (
	"os/exec"
	"syscall"
)

// dieWithParent has the system end a program if this one is killed. Elsewhere nothing does.
func dieWithParent(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGINT} }
