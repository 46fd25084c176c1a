package main

import (
	"errors"
	"runtime/debug"
	"strings"
	"testing"
)

// full is a disk without room.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

// TestResultIsNotWritten: a command whose result cannot be written has failed, and says so.
func TestResultIsNotWritten(t *testing.T) {
	for _, command := range []string{"man", "help", "version"} {
		var stderr strings.Builder
		if code := run([]string{command}, func(string) string { return "" }, full{}, &stderr); code != exitFailed || stderr.String() != "cred-proxy: stdout: no space left on device\n" {
			t.Errorf("%s: exit code %d, %q", command, code, stderr.String())
		}
	}
}

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
