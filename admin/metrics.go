package admin

import (
	"bytes"
	"cmp"
	"maps"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"credproxy/proxy"
)

// The metrics are written in Prometheus' text format, version 0.0.4, by hand: its client library would make the program a
// third larger and bring seven modules into it, where there is none but golang.org/x. Its parser and its linter judge what
// is written here, in the tests.

// maxSeries bounds how many kinds of exchanges are told apart: an agent chooses the method, an upstream the status.
const maxSeries = 10000

// series is what exchanges are told apart by.
type series struct{ route, method, code, refusal string }

// count counts an exchange; a.mu is held.
func (a *Admin) count(e *proxy.Event) {
	s := series{e.Route, cmp.Or(e.Method, "other"), statusLabel(e.Status), e.Refusal}
	if _, known := a.exchanges[s]; !known && len(a.exchanges) >= maxSeries {
		s = series{"other", "other", "other", ""}
	}
	a.exchanges[s]++
}

// statusLabel is a status that is registered, or the class of another: an upstream has 900 to choose from.
func statusLabel(status int) string {
	if status == 0 || http.StatusText(status) != "" {
		return strconv.Itoa(status)
	}
	return strconv.Itoa(status/100) + "xx"
}

// metrics writes what was counted.
func (a *Admin) metrics(w http.ResponseWriter, _ *http.Request) {
	status := a.Status()
	a.mu.Lock() // which exchanges wait for: nothing is written meanwhile
	exchanges, streams := maps.Clone(a.exchanges), len(a.open)
	routes := make(map[string]route, len(a.routes)+1)
	for path, r := range a.routes {
		routes[path] = *r
	}
	if a.other.all != (histogram{}) {
		routes["other"] = a.other
	}
	a.mu.Unlock()

	var e exposition
	e.family("credproxy_build_info", "gauge", "Which build this is; always 1.")
	e.value(1, "version", a.Version, "revision", a.Revision, "goversion", runtime.Version())
	e.family("credproxy_exchanges_total", "counter", "Exchanges that have ended, by status and by the code of the refusal, if it was one. A status of 0: the agent left before.")
	for s, n := range exchanges {
		e.value(float64(n), "route", s.route, "method", s.method, "code", s.code, "refusal", s.refusal)
	}
	paths := slices.Sorted(maps.Keys(routes))
	e.family("credproxy_first_byte_seconds", "histogram", "From a request's first byte until the head of the upstream's answer was written.")
	for _, path := range paths {
		r := routes[path]
		e.histogram(&r.first, "route", path)
	}
	e.family("credproxy_exchange_seconds", "histogram", "From a request's first byte until the end of the exchange.")
	for _, path := range paths {
		r := routes[path]
		e.histogram(&r.all, "route", path)
	}
	e.family("credproxy_bytes_total", "counter", "Bytes of bodies, in from agents and out to them, counted when an exchange ends.")
	for _, path := range paths {
		e.value(float64(routes[path].in), "route", path, "direction", "in")
		e.value(float64(routes[path].out), "route", path, "direction", "out")
	}
	e.family("credproxy_streams_open", "gauge", "Exchanges that were sent to their upstream and have not ended.")
	e.value(float64(streams))
	e.family("credproxy_upstream_connections_total", "counter", "How exchanges reached their upstream.")
	for _, path := range paths {
		for i, n := range routes[path].connections {
			e.value(float64(n), "route", path, "kind", proxy.Connections[i])
		}
	}
	e.family("credproxy_redactions_total", "counter", "Tokens that were masked in answers, or for which they were broken off.")
	for _, path := range paths {
		e.value(float64(routes[path].redactions), "route", path)
	}
	e.family("credproxy_leaked_requests_total", "counter", "Requests that held a token, which must have leaked earlier.")
	for _, path := range paths {
		e.value(float64(routes[path].leaked), "route", path)
	}
	e.family("credproxy_compressed_answers_total", "counter", "Answers that could not be looked through for tokens, since they were compressed.")
	for _, path := range paths {
		e.value(float64(routes[path].compressed), "route", path)
	}
	e.family("credproxy_reloads_total", "counter", "Tables that were swapped in after the first, and attempts that failed.")
	e.value(float64(max(status.Generation, 1)-1), "result", "ok")
	e.value(float64(status.Failures), "result", "failed")
	e.family("credproxy_table_generation", "gauge", "Number of the table in force.")
	e.value(float64(status.Generation))
	e.family("credproxy_table_info", "gauge", "Which routes.json is in force: the first digits of its SHA-256; always 1.")
	e.value(1, "hash", status.Hash)
	e.family("credproxy_last_reload_timestamp_seconds", "gauge", "When the table in force was swapped in.")
	e.value(seconds(status.LastReload))
	e.family("credproxy_last_reload_error_timestamp_seconds", "gauge", "When a table or a token last was wrong; 0 if never.")
	e.value(seconds(status.LastErrorAt))
	e.family("credproxy_ready", "gauge", "Whether the table and every token are there, and the proxy does not drain.")
	e.value(map[bool]float64{true: 1}[len(a.missing(status)) == 0])
	e.runtime(a.started)

	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	w.Write(e.Bytes())
}

func seconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1e3
}

// exposition is a text in the making.
type exposition struct {
	bytes.Buffer
	name string // of the family
}

func (e *exposition) family(name, kind, help string) {
	e.name = name
	e.WriteString("# HELP " + name + " " + help + "\n# TYPE " + name + " " + kind + "\n")
}

// value writes a line of the family; labels are names and values by turns.
func (e *exposition) value(v float64, labels ...string) { e.line("", v, labels...) }

func (e *exposition) line(suffix string, v float64, labels ...string) {
	e.WriteString(e.name)
	e.WriteString(suffix)
	for i := 0; i < len(labels); i += 2 {
		e.WriteByte("{,"[min(i, 1)])
		e.WriteString(labels[i])
		e.WriteString(`="`)
		labelEscaper.WriteString(e, labels[i+1])
		e.WriteByte('"')
	}
	if len(labels) > 0 {
		e.WriteByte('}')
	}
	e.WriteByte(' ')
	e.Write(strconv.AppendFloat(e.AvailableBuffer(), v, 'g', -1, 64))
	e.WriteByte('\n')
}

var labelEscaper = strings.NewReplacer("\\", `\\`, "\n", `\n`, `"`, `\"`)

func (e *exposition) histogram(h *histogram, labels ...string) {
	var n uint64
	for i, bound := range bounds {
		n += h.counts[i]
		e.line("_bucket", float64(n), append(labels, "le", strconv.FormatFloat(bound, 'g', -1, 64))...)
	}
	n += h.counts[len(bounds)]
	e.line("_bucket", float64(n), append(labels, "le", "+Inf")...)
	e.line("_sum", h.sum, labels...)
	e.line("_count", float64(n), labels...)
}
