package admin

import (
	"runtime"
	"runtime/metrics"
	"time"
)

// ofTheRuntime are figures of the Go runtime, under the names that Prometheus' client library gives them: dashboards know
// those.
var ofTheRuntime = []struct{ name, kind, help, source string }{
	{"go_goroutines", "gauge", "Goroutines that exist.", "/sched/goroutines:goroutines"},
	{"go_threads", "gauge", "OS threads.", "/sched/threads/total:threads"},
	{"go_sched_gomaxprocs_threads", "gauge", "How many threads run Go code at a time.", "/sched/gomaxprocs:threads"},
	{"go_gc_cycles_total_gc_cycles_total", "counter", "Garbage collections.", "/gc/cycles/total:gc-cycles"},
	{"go_gc_gogc_percent", "gauge", "How much the heap may grow until the next one.", "/gc/gogc:percent"},
	{"go_memstats_alloc_bytes", "gauge", "Bytes of the heap in use.", "/memory/classes/heap/objects:bytes"},
	{"go_memstats_alloc_bytes_total", "counter", "Bytes allocated since the start.", "/gc/heap/allocs:bytes"},
	{"go_memstats_mallocs_total", "counter", "Objects allocated since the start.", "/gc/heap/allocs:objects"},
	{"go_memstats_frees_total", "counter", "Objects freed since the start.", "/gc/heap/frees:objects"},
	{"go_memstats_heap_objects", "gauge", "Objects on the heap.", "/gc/heap/objects:objects"},
	{"go_memstats_heap_released_bytes", "gauge", "Bytes of the heap given back to the system.", "/memory/classes/heap/released:bytes"},
	{"go_memstats_next_gc_bytes", "gauge", "Size of the heap at which the next garbage collection ends.", "/gc/heap/goal:bytes"},
	{"go_memstats_stack_inuse_bytes", "gauge", "Bytes of goroutines' stacks.", "/memory/classes/heap/stacks:bytes"},
	{"go_memstats_sys_bytes", "gauge", "Bytes that the runtime has of the system.", "/memory/classes/total:bytes"},
}

// runtime writes the figures of the runtime and of the process.
func (e *exposition) runtime(started time.Time) {
	e.family("go_info", "gauge", "Which Go this was built with; always 1.")
	e.value(1, "version", runtime.Version())
	samples := make([]metrics.Sample, len(ofTheRuntime))
	for i, f := range ofTheRuntime {
		samples[i].Name = f.source
	}
	metrics.Read(samples)
	for i, f := range ofTheRuntime {
		if samples[i].Value.Kind() == metrics.KindUint64 { // not of a runtime that has another name for it
			e.family(f.name, f.kind, f.help)
			e.value(float64(samples[i].Value.Uint64()))
		}
	}
	e.family("process_start_time_seconds", "gauge", "When the process started.")
	e.value(seconds(started))
	for _, f := range ofTheProcess {
		if v, ok := f.read(); ok {
			e.family(f.name, f.kind, f.help)
			e.value(v)
		}
	}
}

// processFigure is a figure that the system keeps of the process.
type processFigure struct {
	name, kind, help string
	read             func() (v float64, ok bool)
}
