package admin

import (
	"bytes"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// ofTheProcess are the figures that /proc has of the process, which it may read although others of its user may not.
var ofTheProcess = []processFigure{
	{"process_cpu_seconds_total", "counter", "CPU time, of the user and of the system.", cpuTime},
	{"process_resident_memory_bytes", "gauge", "Resident memory.", residentMemory},
	{"process_open_fds", "gauge", "Open file descriptors.", openDescriptors},
	{"process_max_fds", "gauge", "How many there can be.", maxDescriptors},
}

func cpuTime() (float64, bool) {
	var u unix.Rusage
	err := unix.Getrusage(unix.RUSAGE_SELF, &u)
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9, err == nil
}

func residentMemory() (float64, bool) {
	statm, err := os.ReadFile("/proc/self/statm")
	fields := bytes.Fields(statm)
	if err != nil || len(fields) < 2 {
		return 0, false
	}
	pages, err := strconv.ParseUint(string(fields[1]), 10, 64)
	return float64(pages) * float64(os.Getpagesize()), err == nil
}

func openDescriptors() (float64, bool) {
	d, err := os.Open("/proc/self/fd")
	if err != nil {
		return 0, false
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	return float64(len(names) - 1), err == nil // without the one that reads
}

func maxDescriptors() (float64, bool) {
	var l unix.Rlimit
	err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l)
	return float64(l.Cur), err == nil
}
