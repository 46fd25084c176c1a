package main

import (
	"os/exec"
	"syscall"
)

// dieWithParent has the system end a program if the tests are killed: the fuzzer kills a worker whose input takes too
// long, and then waits for all that have its pipes.
func dieWithParent(cmd *exec.Cmd) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
}
