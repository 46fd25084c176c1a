package proxy

import "fmt"

// The keys chunked_bodies and upgrade.

func setChunked(r *RouteConfig, s string) error {
	return setEither(&r.Chunked, s, "refuse", "stream")
}

// upgrade reads the list of what requests may upgrade their connection to.
func (p *configParser) upgrade(where string, v jsonValue, r *RouteConfig) {
	if v.kind != "array" || len(v.items) == 0 {
		p.errorf(where, `must be a list that is not empty, such as ["websocket"]`)
	}
	for i, item := range v.items {
		switch {
		case item.kind != "string" || item.str != "websocket":
			p.errorf(fmt.Sprintf("%s[%d]", where, i), `must be "websocket"`)
		case r.WebSocket:
			p.errorf(fmt.Sprintf("%s[%d]", where, i), "is there twice")
		default:
			r.WebSocket = true
		}
	}
}
