package fakeupstream_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"credproxy/fakeupstream"
)

// beTheProgram has the test binary be the program, as other languages start it: what they reach counts as reached.
const beTheProgram = "FAKEUPSTREAM_TEST_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(beTheProgram) != "" {
		os.Exit(fakeupstream.Main(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// TestElsewhere runs the tests under testdata that use the fake upstream from
// other languages and from another module, where their tools are installed.
func TestElsewhere(t *testing.T) {
	if testing.Short() {
		t.Skip("-short")
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		dir     string
		command []string
	}{
		{"python", []string{"python3", "-m", "unittest"}},
		{"node", []string{"node", "--test"}},
		{"bottle", []string{"go", "test", "-count=1", "./..."}},
	}
	for _, tt := range tests {
		t.Run(tt.dir, func(t *testing.T) {
			t.Parallel()
			path, err := exec.LookPath(tt.command[0])
			if err != nil {
				t.Skipf("%s is not installed", tt.command[0])
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, path, tt.command[1:]...)
			cmd.WaitDelay = time.Second
			cmd.Dir = filepath.Join("testdata", tt.dir)
			cmd.Env = append(os.Environ(), "FAKEUPSTREAM="+program, beTheProgram+"=1", "PYTHONDONTWRITEBYTECODE=1", "GOFLAGS=", "GOWORK=off")
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%q: %v\n%s", tt.command, err, out)
			}
		})
	}
}
