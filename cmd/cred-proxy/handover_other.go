//go:build !linux

package main

import (
	"errors"
	"net"
)

// listenShared fails: elsewhere a port that is shared loses connections when one of those that share it stops.
func listenShared(*net.ListenConfig, string) (net.Listener, error) {
	return nil, errors.New("-reuseport needs Linux")
}
