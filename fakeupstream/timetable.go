package fakeupstream

import (
	"fmt"
	"net/http"
	"time"
)

// newSSE is /sse: on a timetable if it says how many events, else in lock-step.
func newSSE(p params) (Behaviour, error) {
	if !p.query.Has("n") {
		return newStream(p)
	}
	n, err1 := p.num("n", 0)
	every, err2 := p.millis("ms", 50)
	ping, err3 := p.num("ping", 0)
	retry, err4 := p.millis("retry", 0)
	ids, err5 := p.num("id", 0)
	if err := firstError(err1, err2, err3, err4, err5); err != nil {
		return nil, err
	}
	kind := p.str("event", "")
	return func(x *Exchange) error {
		if _, err := x.ReadBody(); err != nil {
			return err
		}
		if err := x.Head(http.StatusOK, Chunked, 0, eventStream...); err != nil {
			return err
		}
		start := time.Now()
		for i := int64(1); i <= n && !x.bodless; i++ {
			// Each event has its time of the table: being late does not add up.
			if err := x.pause(time.Until(start.Add(time.Duration(i) * every))); err != nil {
				return err
			}
			e := Event{Event: kind}
			if i == 1 {
				e.Retry = retry
			}
			if ids > 0 {
				e.ID = fmt.Sprint(i)
			}
			if ping > 0 && i%ping == 0 {
				e.Comment = "ping"
			}
			e.Data = fmt.Sprintf(`{"n":%d,"t":%d}`, i, time.Now().UnixNano())
			if _, err := x.Write(e.bytes()); err != nil {
				return err
			}
		}
		return nil
	}, nil
}
