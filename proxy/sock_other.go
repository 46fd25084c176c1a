//go:build !unix

package proxy

import (
	"net"
	"syscall"
)

// rawConn returns nil: there is no waiting without a buffer here, so a sock reads and writes as any connection does, and
// the rest of this file is never called.
func rawConn(any) syscall.RawConn { return nil }

func tryRead(uintptr, []byte) (int, error)  { return 0, errWouldBlock }
func tryWrite(uintptr, []byte) (int, error) { return 0, errWouldBlock }
func shutFD(uintptr)                        {}
func hungUp(uintptr) bool                   { return false }

// unixPeerOf cannot tell here.
func unixPeerOf(*net.UnixConn) (unixPeer, bool) { return unixPeer{}, false }
