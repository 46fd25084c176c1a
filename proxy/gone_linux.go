package proxy

import (
	"syscall"
	"unsafe"
)

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
	n, _, _ := syscall.Syscall6(syscall.SYS_PPOLL, uintptr(unsafe.Pointer(&p)), 1, uintptr(unsafe.Pointer(&now)), 0, 0, 0)
	return n == 1 && p.revents&(pollErr|pollHup|pollRdHup) != 0
}
