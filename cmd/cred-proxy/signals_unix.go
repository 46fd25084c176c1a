//go:build unix

package main

import (
	"os"
	"syscall"
)

// reopenSignals have the audit file opened again. They are caught also where there is none: they would end the process.
var reopenSignals = []os.Signal{syscall.SIGUSR1}
