package main

import (
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdDribble sends a byte of no meaning every so often, in the background, until
// the connection breaks or the script ends.
//
//	dribble NAME EVERY
func cmdDribble(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg || len(args) != 2, "dribble NAME EVERY")
	c := named(ts, args[0])
	every, err := time.ParseDuration(args[1])
	ts.Check(err)
	stop := make(chan struct{})
	ts.Defer(func() { close(stop) })
	go dribble(c, every, stop)
}

// dribble sends a byte at a time until it cannot, or may not any more.
func dribble(c *conn, every time.Duration, stop <-chan struct{}) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
			if _, err := c.rw.Write([]byte("x")); err != nil {
				return
			}
		}
	}
}
