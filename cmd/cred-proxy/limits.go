package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"credproxy/proxy"
)

// fitDescriptors makes room for as many connections as the limits allow, or lowers the limit to what there is room for
// and says so: to run out of descriptors would hurt agents that are served already.
func (p *program) fitDescriptors(l *proxy.Limits) {
	want := l.Descriptors()
	have, err := raiseDescriptors(want)
	if err != nil || have >= want {
		return
	}
	agents := proxy.AgentsFor(have)
	p.say("%d descriptors, and -max-agents %d needs %d: %d connections of agents will be served at a time", have, l.Agents, want, agents)
	l.Agents = agents
}

// countValue is a number above zero.
type countValue int

func (v *countValue) String() string { return strconv.Itoa(int(*v)) }
func (v *countValue) Set(s string) error {
	n, _ := strconv.ParseUint(s, 10, 0) // 0 of what is no number, and of a larger one the largest
	if n == 0 || n > 1<<20 {
		return fmt.Errorf("%q is not a number in 1 to %d", s, 1<<20)
	}
	*v = countValue(n)
	return nil
}

// sizeValue is a number of bytes, with KiB or MiB behind it if need be.
type sizeValue int

type unit struct {
	name string
	size uint64
}

// units are those of a size, the largest first.
var units = []unit{{"MiB", 1 << 20}, {"KiB", 1 << 10}, {"", 1}}

// minSize and maxSize hold sizes to what works: no client gets along with less, and more would bound nothing.
const minSize, maxSize = 64, 64 << 20

func (v *sizeValue) String() string {
	n := uint64(*v)
	u := units[slices.IndexFunc(units, func(u unit) bool { return n%u.size == 0 })] // as that of one byte does
	return strconv.FormatUint(n/u.size, 10) + u.name
}

func (v *sizeValue) Set(s string) error {
	for _, u := range units {
		digits, ok := strings.CutSuffix(s, u.name)
		if !ok {
			continue
		}
		n, _ := strconv.ParseUint(digits, 10, 0) // as above
		if n <= maxSize/u.size && n*u.size >= minSize {
			*v = sizeValue(n * u.size)
			return nil
		}
	}
	return fmt.Errorf("%q is not a size from %d to %dMiB, such as 64KiB", s, minSize, maxSize>>20)
}
