package main

import (
	"fmt"
	"html"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// results are the figures of a run.
type results struct {
	rounds int
	pinned bool
	peers  []peer
	rows   []*row
	failed int // measurements
}

// A row is one figure of all peers.
type row struct {
	workload, about string
	figure
	values map[string][]float64 // by the peer's name, one for each round
}

func newResults(o options, peers []peer, chosen []workload) *results {
	r := &results{rounds: o.rounds, pinned: o.pin, peers: peers}
	for _, w := range chosen {
		for _, f := range w.figures {
			r.rows = append(r.rows, &row{w.name, w.about, f, map[string][]float64{}})
		}
	}
	return r
}

func (r *results) add(w workload, f figure, p peer, value float64) {
	for _, row := range r.rows {
		if row.workload == w.name && row.key == f.key {
			row.values[p.name] = append(row.values[p.name], value)
		}
	}
}

// own are the cred-proxies among the peers.
func (r *results) own() (own []peer) {
	for _, p := range r.peers {
		if p.own {
			own = append(own, p)
		}
	}
	return own
}

// ratio compares a peer's median with that of the better of nginx and HAProxy.
func (w *row) ratio(p peer) (ratio float64, ok bool) {
	mine, best := w.values[p.name], math.Inf(1)
	for _, rival := range rivals() {
		if v := w.values[rival.name]; len(v) > 0 {
			best = min(best, median(v))
		}
	}
	if w.plain || len(mine) == 0 || math.IsInf(best, 0) || best <= 0 || median(mine) <= 0 {
		return 0, false
	}
	return median(mine) / best, true
}

// markdown returns the table: a row for each figure, a column for each peer.
func (r *results) markdown() string {
	var b strings.Builder
	b.WriteString("| |")
	for _, p := range r.peers {
		fmt.Fprintf(&b, " %s |", p.name)
	}
	for _, p := range r.own() {
		fmt.Fprintf(&b, " %s ÷ better rival |", p.name)
	}
	fmt.Fprintf(&b, "\n|---|%s\n", strings.Repeat("---:|", len(r.peers)+len(r.own())))
	for i, w := range r.rows {
		if i == 0 || r.rows[i-1].workload != w.workload {
			fmt.Fprintf(&b, "| **%s**: %s |%s\n", w.workload, w.about, strings.Repeat(" |", len(r.peers)+len(r.own())))
		}
		fmt.Fprintf(&b, "| %s |", w.label)
		for _, p := range r.peers {
			fmt.Fprintf(&b, " %s |", summary(w.values[p.name]))
		}
		for _, p := range r.own() {
			if ratio, ok := w.ratio(p); ok {
				fmt.Fprintf(&b, " **%.2f** |", ratio)
			} else {
				b.WriteString(" |")
			}
		}
		b.WriteString("\n")
	}
	fmt.Fprintf(&b, "\nMedians of %d round(s), and their ranges; less is better, but for requests/s. ", r.rounds)
	b.WriteString(r.conditions() + "\n")
	return b.String()
}

// conditions says what was measured, where and when.
func (r *results) conditions() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s, %d cores, %s/%s, %s", time.Now().UTC().Format(time.DateOnly), processor(), runtime.NumCPU(),
		runtime.GOOS, runtime.GOARCH, runtime.Version())
	for _, p := range r.peers {
		if p.version != "" {
			fmt.Fprintf(&b, "; %s %s", p.name, p.version)
		}
	}
	b.WriteString(".")
	if !r.pinned {
		b.WriteString(" Nothing was pinned to a core.")
	}
	if !canMeasure {
		b.WriteString(" CPU and memory were not measured: this system has no /proc.")
	}
	return b.String()
}

func processor() string {
	info, _ := os.ReadFile("/proc/cpuinfo")
	_, model, _ := strings.Cut(string(info), "model name\t: ")
	if model, _, _ = strings.Cut(model, "\n"); model == "" {
		return "unnamed processor"
	}
	return model
}

// summary is a median with its range.
func summary(v []float64) string {
	switch len(v) {
	case 0:
		return ""
	case 1:
		return number(v[0])
	}
	return fmt.Sprintf("%s (%s–%s)", number(median(v)), number(slices.Min(v)), number(slices.Max(v)))
}

// number writes three digits, or all before the point.
func number(v float64) string {
	switch {
	case v >= 100 || v <= -100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10 || v <= -10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

// The chart's measures, in pixels.
const (
	chartWidth = 760
	labelWidth = 330
	rowHeight  = 26
	topHeight  = 52
	fullRatio  = 1.5 // where the longest bar ends
)

// chart returns an SVG image: a bar for each ratio, and a line where the better of nginx and HAProxy is.
func (r *results) chart() string {
	var bars strings.Builder
	y, unit := topHeight, (chartWidth-labelWidth-60)/fullRatio
	for _, w := range r.rows {
		for _, p := range r.own() {
			ratio, ok := w.ratio(p)
			if !ok {
				continue
			}
			label := w.workload + ": " + w.label
			if len(r.own()) > 1 {
				label += ", " + p.name
			}
			kind := "ahead"
			if ratio > 1 {
				kind = "behind"
			}
			width := min(ratio, fullRatio) * unit
			fmt.Fprintf(&bars, `<text x="%d" y="%d" text-anchor="end">%s</text><rect class="%s" x="%d" y="%d" width="%.1f" height="%d" rx="2"/><text x="%.1f" y="%d">%.2f</text>`+"\n",
				labelWidth-10, y+17, html.EscapeString(label), kind, labelWidth, y+4, width, rowHeight-8, labelWidth+width+6, y+17, ratio)
			y += rowHeight
		}
	}
	title := "relative to the better of nginx and HAProxy: shorter is better"
	if bars.Len() == 0 {
		title = "neither nginx nor HAProxy was measured: there is nothing to compare with"
	}
	line := labelWidth + unit
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" role="img" font-family="system-ui, sans-serif" font-size="13">
<title>cred-proxy, %[3]s</title>
<style>
text { fill: #24292f } .ahead { fill: #2f81c8 } .behind { fill: #c8702f } line { stroke: #57606a; stroke-dasharray: 4 3 }
@media (prefers-color-scheme: dark) { text { fill: #d0d7de } line { stroke: #8b949e } }
</style>
<text x="10" y="20" font-weight="600">cred-proxy, %[3]s</text>
%[4]s<line x1="%.1[5]f" y1="%[6]d" x2="%.1[5]f" y2="%[7]d"/><text x="%.1[5]f" y="%[8]d" text-anchor="middle">1</text>
</svg>
`, chartWidth, y+10, html.EscapeString(title), bars.String(), line, topHeight-6, y+4, topHeight-12)
}
