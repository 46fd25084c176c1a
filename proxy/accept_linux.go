package proxy

import (
	"iter"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// queued accepts the connections that wait at a listener, one after the other as they are taken, and nothing more: when it
// is closed the kernel resets those that nobody accepted, with what their agents have sent.
func queued(ln net.Listener) iter.Seq[net.Conn] {
	return func(yield func(net.Conn) bool) {
		raw := rawConn(ln)
		if raw == nil {
			return
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
				conn, err := net.FileConn(f)
				f.Close()
				if err == nil && !yield(conn) {
					return
				}
			}
		})
	}
}
