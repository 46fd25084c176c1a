package proxy

import (
	"net"
	"syscall"
	"unsafe"
)

// tryRead reads from a non-blocking descriptor: 0 is the end, errWouldBlock means that nothing is there.
//
// It is a raw system call: the runtime's account of a call that might block costs more than the call itself, and one on
// a descriptor that the runtime's poller has made non-blocking never does. TestRawIO holds it and its twin in
// sock_bsd.go to the same behaviour.
func tryRead(fd uintptr, p []byte) (int, error) { return tryIO(syscall.SYS_READ, fd, p) }

// tryWrite writes to a non-blocking descriptor, as much as there is room for.
func tryWrite(fd uintptr, p []byte) (int, error) { return tryIO(syscall.SYS_WRITE, fd, p) }

func tryIO(call, fd uintptr, p []byte) (int, error) {
	for {
		n, _, errno := syscall.RawSyscall(call, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
		switch errno {
		case 0:
			return int(n), nil
		case syscall.EINTR:
		case syscall.EAGAIN:
			return 0, errWouldBlock
		default:
			return 0, errno
		}
	}
}

// shutFD ends both directions of a socket.
func shutFD(fd uintptr) { syscall.RawSyscall(syscall.SYS_SHUTDOWN, fd, syscall.SHUT_RDWR, 0) }

// hungUp reports whether the peer of a socket has closed its side or reset the connection, even where bytes that it sent
// before are still unread.
func hungUp(fd uintptr) bool {
	const (
		pollErr   = 0x8
		pollHup   = 0x10
		pollRdHup = 0x2000
	)
	p := struct {
		fd              int32
		events, revents int16
	}{fd: int32(fd), events: pollRdHup}
	var now syscall.Timespec
	n, _, _ := syscall.RawSyscall6(syscall.SYS_PPOLL, uintptr(unsafe.Pointer(&p)), 1, uintptr(unsafe.Pointer(&now)), 0, 0, 0)
	return n == 1 && p.revents&(pollErr|pollHup|pollRdHup) != 0
}

// unixPeerOf asks who connected to a Unix socket.
func unixPeerOf(c *net.UnixConn) (p unixPeer, ok bool) {
	rawConn(c).Control(func(fd uintptr) {
		if cred, err := syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED); err == nil {
			p, ok = unixPeer{int(cred.Uid), int(cred.Pid)}, true
		}
	})
	return p, ok
}
