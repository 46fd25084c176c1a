//go:build !unix

package proxy

import "os/exec"

// runGroup runs a command. What it starts is its own affair on systems without process groups.
func runGroup(cmd *exec.Cmd) error { return cmd.Run() }
