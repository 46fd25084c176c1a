package main

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// What systemd and the program tell each other: sockets that are there already, and how it is.

// firstGiven is the descriptor of the first socket that systemd hands over (sd_listen_fds(3)).
const firstGiven = 3

// activated returns the sockets that systemd listened on before it started the program; those before an error, too.
func activated(getenv func(string) string) (given []net.Listener, err error) {
	if getenv("LISTEN_PID") != strconv.Itoa(os.Getpid()) {
		return nil, nil
	}
	n, err := strconv.ParseUint(getenv("LISTEN_FDS"), 10, 10)
	if err != nil {
		return nil, fmt.Errorf("LISTEN_FDS %q is not a number of sockets", getenv("LISTEN_FDS"))
	}
	for i := range n {
		fd := firstGiven + int(i)
		if listens, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN); err != nil || listens == 0 {
			return given, fmt.Errorf("descriptor %d of LISTEN_FDS is not a socket that listens; with Accept=yes it is not", fd)
		}
		f := os.NewFile(uintptr(fd), "")
		ln, err := net.FileListener(f)
		f.Close()
		if err != nil {
			return given, fmt.Errorf("descriptor %d of LISTEN_FDS: %w", fd, err)
		}
		given = append(given, ln)
	}
	return given, nil
}

// notify tells systemd what has become of the program (sd_notify(3)): a service of Type=notify has started when it says
// so. Whoever does not listen, at no socket or not any more, is not told, nor who listens and reads nothing.
func notify(getenv func(string) string, state string) {
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: getenv("NOTIFY_SOCKET"), Net: "unixgram"})
	if err == nil {
		conn.SetWriteDeadline(time.Now().Add(5 * time.Second))
		conn.Write([]byte(state))
		conn.Close()
	}
}

// What systemd is told. That it is reloading goes with the time on the clock that systemd compares it with.
const (
	notifyReady    = "READY=1"
	notifyStopping = "STOPPING=1"
)

func notifyReloading() string {
	var now unix.Timespec
	unix.ClockGettime(unix.CLOCK_MONOTONIC, &now)
	return fmt.Sprintf("RELOADING=1\nMONOTONIC_USEC=%d", now.Nano()/1000)
}
