//go:build unix

package proxy

import (
	"net"
	"syscall"
)

// rawConn returns access to the descriptor of a connection, or nil where it has none.
func rawConn(c net.Conn) syscall.RawConn {
	if sc, ok := c.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			return raw
		}
	}
	return nil
}
