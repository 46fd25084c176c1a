package main

import (
	"runtime/debug"
	"testing"
)

// TestBuild: the version is that of the module, with the commit that it was built from where the toolchain wrote it down.
func TestBuild(t *testing.T) {
	info := &debug.BuildInfo{GoVersion: "go1.99", Main: debug.Module{Version: "v1.2.3"}}
	if got := buildOf(info).String(); got != "v1.2.3 go1.99" {
		t.Error(got)
	}
	info.Settings = []debug.BuildSetting{{Key: "vcs", Value: "git"}, {Key: "vcs.revision", Value: "0123456789abcdef"}, {Key: "vcs.time", Value: "2026-01-02T03:04:05Z"}}
	if b := buildOf(info); b.String() != "v1.2.3 0123456789ab go1.99" || b.revision != "0123456789abcdef" || b.time != "2026-01-02T03:04:05Z" {
		t.Errorf("%+v", b)
	}
}
