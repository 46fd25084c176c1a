package proxy

import (
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// queued accepts the connections that wait at a listener, and nothing more: when it is closed the kernel resets those that
// nobody accepted, with what their agents have sent.
func queued(ln net.Listener) (conns []net.Conn) {
	raw := rawConn(ln)
	if raw == nil {
		return nil
	}
	raw.Control(func(listener uintptr) {
		for {
			fd, _, err := unix.Accept4(int(listener), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
			if err == unix.EINTR || err == unix.ECONNABORTED {
				continue
			}
			if err != nil {
				return
			}
			f := os.NewFile(uintptr(fd), "")
			if conn, err := net.FileConn(f); err == nil {
				conns = append(conns, conn)
			}
			f.Close()
		}
	})
	return conns
}
