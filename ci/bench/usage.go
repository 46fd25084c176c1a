package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// A usage is what a process and its descendants have taken: nginx is two processes. Pages that they share count twice.
type usage struct {
	cpu time.Duration // user and system, in steps of 10 ms
	rss float64       // resident memory, KiB
}

// canMeasure says whether this system tells of other processes in the way that usageOf reads.
var canMeasure = runtime.GOOS == "linux"

// usageOf returns the usage of a process, zero where it cannot be measured.
func usageOf(root int) (u usage) {
	parent, ticks := map[int]int{}, map[int]int{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range stats {
		stat, err := os.ReadFile(name)
		if err != nil {
			continue // it has ended
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		// The name of the program, in parentheses, may hold anything. Behind it are proc(5)'s fields from (3) on.
		f := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		parent[pid], _ = strconv.Atoi(f[1])
		user, _ := strconv.Atoi(f[11])
		system, _ := strconv.Atoi(f[12])
		ticks[pid] = user + system
	}
	for pid := range ticks {
		for up := pid; up > 0; up = parent[up] {
			if up == root {
				u.cpu += time.Duration(ticks[pid]) * 10 * time.Millisecond // USER_HZ is 100 everywhere
				u.rss += rss(pid)
				break
			}
		}
	}
	return u
}

func rss(pid int) (kib float64) {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	_, value, _ := strings.Cut(string(status), "VmRSS:")
	fmt.Sscan(value, &kib)
	return kib
}

// The cores that -pin uses.
const (
	proxyCore = "0"
	loadCore  = "1" // of the load generator and the upstreams
)

// pinSelf puts this process, and with it those that it starts, on the load's core.
func pinSelf() error {
	out, err := exec.Command("taskset", "-a", "-c", "-p", loadCore, strconv.Itoa(os.Getpid())).CombinedOutput()
	if err != nil {
		return fmt.Errorf("taskset: %w: %s", err, bytes.TrimSpace(out))
	}
	runtime.GOMAXPROCS(1)
	return nil
}

// canPin says whether there are two cores and a way to choose one.
func canPin() bool {
	_, err := exec.LookPath("taskset")
	return err == nil && runtime.NumCPU() >= 2
}
