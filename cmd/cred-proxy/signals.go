package main

import (
	"os"
	"syscall"
)

// On systems without SIGHUP, Windows, nobody sends it and there is no reload.
var (
	stopSignals   = []os.Signal{os.Interrupt, syscall.SIGTERM}
	reloadSignals = []os.Signal{syscall.SIGHUP}
)
