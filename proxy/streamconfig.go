package proxy

import "fmt"

func setChunked(r *RouteConfig, s string) error {
	switch s {
	case "refuse":
	case "stream":
		r.Chunked = true
	default:
		return fmt.Errorf(`must be "refuse" or "stream"`)
	}
	return nil
}
