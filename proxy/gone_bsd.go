//go:build unix && !linux

package proxy

import "syscall"

// hungUp reports whether the peer of a socket has closed its side or reset the connection. While bytes that it sent
// before are unread, a closed side cannot be seen here.
func hungUp(fd uintptr) bool {
	var p [1]byte
	n, _, err := syscall.Recvfrom(int(fd), p[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	switch err {
	case nil:
		return n == 0
	case syscall.EAGAIN, syscall.EINTR:
		return false
	}
	return true
}
