//go:build !linux

package main

import "github.com/rogpeppe/go-internal/testscript"

// There are no users without privileges to play here.

func cmdUnprivileged(ts *testscript.TestScript, _ bool, _ []string) {
	ts.Fatalf("what Linux offers is tested there")
}

func cmdSpy(ts *testscript.TestScript, neg bool, args []string) { cmdUnprivileged(ts, neg, args) }
