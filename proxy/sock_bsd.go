//go:build unix && !linux

package proxy

import (
	"net"
	"syscall"
)

// tryRead reads from a non-blocking descriptor: 0 is the end, errWouldBlock means that nothing is there.
func tryRead(fd uintptr, p []byte) (int, error) { return tryIO(syscall.Read, fd, p) }

// tryWrite writes to a non-blocking descriptor, as much as there is room for.
func tryWrite(fd uintptr, p []byte) (int, error) { return tryIO(syscall.Write, fd, p) }

func tryIO(call func(int, []byte) (int, error), fd uintptr, p []byte) (int, error) {
	for {
		n, err := call(int(fd), p)
		switch err {
		case nil:
			return n, nil
		case syscall.EINTR:
		case syscall.EAGAIN:
			return 0, errWouldBlock
		default:
			return 0, err
		}
	}
}

// shutFD ends both directions of a socket.
func shutFD(fd uintptr) { syscall.Shutdown(int(fd), syscall.SHUT_RDWR) }

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

// unixPeerOf cannot tell here.
func unixPeerOf(*net.UnixConn) (unixPeer, bool) { return unixPeer{}, false }
