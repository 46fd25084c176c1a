package proxy

import "fmt"

// The keys leak_guard, redact, on_reflection and compressed.

func setLeakGuard(c *Config, s string) error {
	switch c.LeakGuard = LeakGuard(s); c.LeakGuard {
	case LeakRefuse, LeakLog, LeakOff:
		return nil
	}
	return fmt.Errorf(`must be "refuse", "log" or "off"`)
}

func (p *configParser) redact(where string, v jsonValue, r *RouteConfig) {
	on, ok := p.boolean(where, v)
	r.Unscreened = ok && !on
}

func setOnReflection(r *RouteConfig, s string) error {
	return setEither(&r.CutReflected, s, "mask", "cut")
}

func setCompressed(r *RouteConfig, s string) error {
	return setEither(&r.RefuseCompressed, s, "pass", "refuse")
}
