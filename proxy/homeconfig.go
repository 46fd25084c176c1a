package proxy

func (p *configParser) mapURLs(where string, v jsonValue, r *RouteConfig) {
	on, ok := p.boolean(where, v)
	r.LeaveURLs = ok && !on
}
