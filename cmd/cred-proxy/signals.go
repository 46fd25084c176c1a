package main

import (
	"os"
	"os/signal"
	"syscall"
)

// On systems without SIGHUP, Windows, nobody sends it and there is no reload.
var (
	stopSignals   = []os.Signal{os.Interrupt, syscall.SIGTERM}
	reloadSignals = []os.Signal{syscall.SIGHUP}
)

// outlivePipes has the program go on when nobody is left who reads what it says: without it the next line on stderr ends
// it. To ignore SIGPIPE would do too, but commands that print tokens would inherit that.
func outlivePipes() { signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) }
