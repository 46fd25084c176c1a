//go:build !unix

package proxy

import (
	"net"
	"syscall"
)

// rawConn returns nil: there is no waiting without a buffer here, so a sock reads as any connection does.
func rawConn(net.Conn) syscall.RawConn { return nil }

func tryRead(uintptr, []byte) (int, error) { return 0, errWouldBlock }

// hungUp is never asked here: an agent that left is noticed when something is written to it.
func hungUp(uintptr) bool { return false }
