//go:build unix

package proxy

import "syscall"

// rawConn returns access to the descriptor of a connection, or a listener, or nil where it has none.
func rawConn(c any) syscall.RawConn {
	if sc, ok := c.(syscall.Conn); ok {
		if raw, err := sc.SyscallConn(); err == nil {
			return raw
		}
	}
	return nil
}
