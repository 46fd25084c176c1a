//go:build race

package proxy

// Under the race detector a sync.Pool drops values on purpose, so allocations cannot be counted.
func init() { raceEnabled = true }
