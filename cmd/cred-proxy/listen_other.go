//go:build !unix

package main

import "net"

// bindUnix listens on a new socket. Here it is its directory that says who may connect.
func bindUnix(path string) (net.Listener, error) { return net.Listen("unix", path) }
