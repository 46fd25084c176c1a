//go:build !linux

package main

import "net"

// There is no systemd here.

func activated(func(string) string) ([]net.Listener, error) { return nil, nil }

func notify(func(string) string, string) {}

const notifyReady, notifyStopping = "", ""

func notifyReloading() string { return "" }
