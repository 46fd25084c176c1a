package proxy

import (
	"fmt"
	"slices"
	"strings"

	"credproxy/proxy/http1"
)

// The keys map_urls and map_urls_in.

func (p *configParser) mapURLs(where string, v jsonValue, r *RouteConfig) {
	on, ok := p.boolean(where, v)
	r.LeaveURLs = ok && !on
}

// mapURLsIn reads the media types of the bodies in which URLs are mapped.
func (p *configParser) mapURLsIn(where string, v jsonValue, r *RouteConfig) {
	if v.kind != "array" || len(v.items) == 0 {
		p.errorf(where, "must be a list of media types that is not empty")
		return
	}
	if r.LeaveURLs {
		p.errorf(where, "map_urls is false")
	}
	for i, item := range v.items {
		where := fmt.Sprintf("%s[%d]", where, i)
		name := strings.ToLower(item.str)
		kind, sub, _ := strings.Cut(name, "/")
		switch {
		case item.kind != "string":
			p.errorf(where, "must be a string (got %s)", item.kind)
		case !http1.IsToken(kind) || !http1.IsToken(sub) || strings.Contains(name, "*"):
			p.errorf(where, "%q is not a media type, such as application/json; parameters do not count", item.str)
		case slices.Contains(r.MapURLsIn, name):
			p.errorf(where, "%q is there twice", item.str)
		default:
			r.MapURLsIn = append(r.MapURLsIn, name)
		}
	}
}
