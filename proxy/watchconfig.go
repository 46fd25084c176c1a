package proxy

import "fmt"

func setLeakGuard(c *Config, s string) error {
	switch c.LeakGuard = LeakGuard(s); c.LeakGuard {
	case LeakRefuse, LeakLog, LeakOff:
		return nil
	}
	return fmt.Errorf(`must be "refuse", "log" or "off"`)
}
