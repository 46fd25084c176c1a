// Fakeupstream is an HTTPS upstream for tests in any language: see package
// credproxy/fakeupstream. It prints one line of JSON when it is ready,
//
//	{"url":...,"control":...,"ca_file":...,"ca_pem":...}
//
// and exits on INT or TERM, or when its standard input is closed.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"credproxy/fakeupstream"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := fakeupstream.Main(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
