package proxy

import (
	"fmt"
	"io"
	"net"
	"time"
)

// Event is one finished exchange. It holds no query, no header value and no token.
type Event struct {
	Time      time.Time     // when the request's first byte was there
	Route     string        // the route's path; empty where none was found
	Method    string        // empty where the request could not be read
	Status    int           // what the agent was answered; 0 where it was gone before
	Refusal   string        // the refusal's code, or empty
	Broken    string        // why the answer has no clean end: "upstream" or "agent"; or empty
	BytesIn   int64         // of the request's body, as read from the agent
	BytesOut  int64         // of the response's body, chunk framing of the upstream's included
	FirstByte time.Duration // from Time until the head of the answer was written
	Duration  time.Duration // from Time until the end
	Reused    bool          // over an upstream connection that had served before
	Peer      net.Addr      // the agent

	// ForeignURLs is how many of the URLs that the route maps lead to no route of the table: they crossed as they were.
	ForeignURLs int
}

// Observer is told of every finished exchange, on the goroutine that served it: it must be quick. The Event is good
// only during the call.
type Observer func(*Event)

// LogTo returns an Observer that writes one line per exchange.
func LogTo(w io.Writer) Observer {
	return func(e *Event) {
		method, route, end := e.Method, e.Route, ""
		if method == "" {
			method = "-"
		}
		if route == "" {
			route = "-"
		}
		if e.Refusal != "" {
			end = " refused: " + e.Refusal
		}
		if e.Broken != "" {
			end += " broken: " + e.Broken
		}
		if e.ForeignURLs > 0 {
			end += fmt.Sprintf(" foreign URLs: %d", e.ForeignURLs)
		}
		fmt.Fprintf(w, "cred-proxy: %s %s %d in %d out %d bytes %.1f ms%s\n", method, route, e.Status, e.BytesIn, e.BytesOut,
			float64(e.Duration.Microseconds())/1e3, end)
	}
}
