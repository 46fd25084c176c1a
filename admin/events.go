package admin

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"maps"
	"math"
	"net/http"
	"slices"
	"time"
)

// The page, and the events that keep it up to date.

//go:embed page.html
var pageHTML []byte

// pagePolicy lets the page run its own script and style, and talk to the port that it came from; nothing else.
var pagePolicy = "default-src 'none'; script-src " + hashOf("script") + "; style-src " + hashOf("style") +
	"; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"

// hashOf is the source expression of the page's one element of that name (Content Security Policy Level 3, section 2.3.1).
func hashOf(element string) string {
	_, text, _ := bytes.Cut(pageHTML, []byte("<"+element+">"))
	text, _, _ = bytes.Cut(text, []byte("</"+element+">"))
	sum := sha256.Sum256(text)
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

func (a *Admin) page(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Write(pageHTML)
}

const (
	// lookEvery is how often exchanges that have ended are sent to a page.
	lookEvery = 250 * time.Millisecond

	// stateEvery is how many of those go by between two states.
	stateEvery = 4

	// maxOpenShown is how many open exchanges a page is sent, the oldest first.
	maxOpenShown = 100
)

// events keeps a page up to date by server-sent events: "exchanges" that have ended, at first all that are kept, and the
// "state" every second.
func (a *Admin) events(w http.ResponseWriter, r *http.Request) {
	select {
	case a.pages <- struct{}{}:
		defer func() { <-a.pages }()
	default:
		http.Error(w, "too many pages are open", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	to := http.NewResponseController(w)
	// A page that does not take what it is sent is one that has left: the request's context ends with the first failure.
	send := func(event string, v any) {
		data, _ := json.Marshal(v) // of texts and of numbers that are finite: it cannot fail
		to.SetWriteDeadline(time.Now().Add(writeWithin))
		w.Write(slices.Concat([]byte("event: "+event+"\ndata: "), data, []byte("\n\n")))
		to.Flush()
	}
	if r.Method == http.MethodHead {
		return
	}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	var seq uint64
	var slot int64
	for n := 0; ; n++ {
		a.mu.Lock()
		ended := a.recent.since(seq)
		a.mu.Unlock()
		if n == 0 || len(ended) > 0 {
			send("exchanges", exchangesOf(ended))
		}
		if len(ended) > 0 {
			seq = ended[len(ended)-1].seq
		}
		if now := time.Now(); n%stateEvery == 0 {
			send("state", a.state(now, slotOf(now) != slot))
			slot = slotOf(now)
		}
		select {
		case <-r.Context().Done():
			return
		case <-tick.C:
		}
	}
}

// What a page is sent. Times are in ms since 1970, durations in ms, and negative where there is none.
type (
	stateJSON struct {
		Now        int64       `json:"now"`
		Started    int64       `json:"started"`
		Version    string      `json:"version"`
		Generation uint64      `json:"generation"`
		Hash       string      `json:"hash"`
		Reloaded   int64       `json:"reloaded"`
		Error      string      `json:"error"`
		ErrorAt    int64       `json:"error_at"`
		Missing    []string    `json:"missing"`
		Routes     []routeJSON `json:"routes"`
		Open       []openJSON  `json:"open"`
		OpenInAll  int         `json:"open_in_all"`
	}
	routeJSON struct {
		Path     string    `json:"path"`
		Upstream string    `json:"upstream"`
		Ready    bool      `json:"ready"`
		Rate     float64   `json:"rate"`
		In       float64   `json:"in"`
		Out      float64   `json:"out"`
		N        uint32    `json:"n"`
		Refused  uint32    `json:"refused"`
		Broken   uint32    `json:"broken"`
		P50      float64   `json:"p50"`
		P95      float64   `json:"p95"`
		Open     int       `json:"open"`
		Spark    []float64 `json:"spark,omitempty"` // only when a slot has ended
	}
	openJSON struct {
		ID     string `json:"id"`
		Began  int64  `json:"began"`
		Route  string `json:"route"`
		Method string `json:"method"`
		Path   string `json:"path"`
		Peer   string `json:"peer"`
		Status int    `json:"status"`
	}
	exchangeJSON struct {
		Seq        uint64  `json:"seq"`
		ID         string  `json:"id"`
		Began      int64   `json:"began"`
		Route      string  `json:"route"`
		Method     string  `json:"method"`
		Path       string  `json:"path"`
		Status     int     `json:"status"`
		Refusal    string  `json:"refusal"`
		Broken     string  `json:"broken"`
		In         int64   `json:"in"`
		Out        int64   `json:"out"`
		First      float64 `json:"first"`
		Duration   float64 `json:"duration"`
		Connection string  `json:"connection"`
		Peer       string  `json:"peer"`
		Redactions int     `json:"redactions"`
	}
)

func exchangesOf(records []record) []exchangeJSON {
	all := make([]exchangeJSON, len(records))
	for i, x := range records {
		all[i] = exchangeJSON{x.seq, x.id.String(), x.began.UnixMilli(), x.route, x.method, x.path, x.status, x.refusal, x.broken,
			x.in, x.out, ms(x.first), ms(x.all), x.connection, x.peer, x.redactions}
	}
	return all
}

// state is what the page shows besides the exchanges that have ended; with sparklines if they are asked for.
func (a *Admin) state(now time.Time, spark bool) stateJSON {
	s := a.Status()
	doc := stateJSON{Now: now.UnixMilli(), Started: a.started.UnixMilli(), Version: a.Version, Generation: s.Generation,
		Hash: s.Hash, Reloaded: s.LastReload.UnixMilli(), Error: s.LastError, ErrorAt: s.LastErrorAt.UnixMilli(),
		Missing: append([]string{}, a.missing(s)...), Routes: make([]routeJSON, 0, len(s.Routes)), Open: []openJSON{}}
	perRoute := map[string]int{}
	a.mu.Lock()
	used := slices.Sorted(maps.Keys(a.routes))
	all := make([]*open, 0, len(a.open))
	for _, o := range a.open {
		one := *o // its status changes
		all = append(all, &one)
	}
	a.mu.Unlock()
	doc.OpenInAll = len(all)
	slices.SortFunc(all, func(x, y *open) int { return x.began.Compare(y.began) })
	for i, o := range all {
		perRoute[o.route]++
		if i < maxOpenShown {
			doc.Open = append(doc.Open, openJSON{o.id.String(), o.began.UnixMilli(), o.route, o.method, o.path, o.peer, o.status})
		}
	}
	known := map[string]bool{}
	row := func(path, upstream string, ready bool, w window) {
		known[path] = true
		one := routeJSON{path, upstream, ready, short(w.rate), short(w.in), short(w.out), w.n, w.refused, w.broken,
			short(w.p50), short(w.p95), perRoute[path], nil}
		if spark {
			for _, v := range w.spark {
				one.Spark = append(one.Spark, short(v))
			}
		}
		doc.Routes = append(doc.Routes, one)
	}
	for i := range s.Routes {
		r := &s.Routes[i]
		row(r.Path, r.Upstream, r.Ready(), a.window(r.Path, now))
	}
	for _, path := range used { // of no route, or of one that is in the table no more
		if w := a.window(path, now); !known[path] && w.n > 0 {
			row(path, "", true, w)
		}
	}
	return doc
}

// window is the last five minutes of a route.
func (a *Admin) window(path string, now time.Time) window {
	a.mu.Lock()
	defer a.mu.Unlock()
	if r := a.routes[path]; r != nil {
		return r.live.window(now)
	}
	return (*live)(nil).window(now)
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1e3 }

// short drops digits that nobody looks at.
func short(v float64) float64 { return math.Round(v*100) / 100 }
