package proxy

import (
	"testing"
	"time"
)

// When a command is run again, and when its token has had its time.

func TestCommandIsDue(t *testing.T) {
	at := time.Now()
	for _, test := range []struct {
		ttl     time.Duration
		failed  bool // the run at the time 0
		after   time.Duration
		again   time.Duration // 0: when somebody else says
		expired bool
	}{
		{16 * time.Minute, false, 0, 12 * time.Minute, false},
		{16 * time.Minute, false, 11 * time.Minute, time.Minute, false},
		{16 * time.Minute, false, 12 * time.Minute, 4 * time.Minute, false}, // it is running again
		{16 * time.Minute, false, 15 * time.Minute, time.Minute, false},
		{16 * time.Minute, false, 16 * time.Minute, 0, true},
		{4 * time.Minute, true, 0, 15 * time.Second, false},
		{4 * time.Minute, true, 10 * time.Second, 5 * time.Second, false},
		{time.Hour, true, 0, time.Minute, false},
	} {
		src := &source{TokenSource: TokenSource{Command: []string{"x"}, TTL: test.ttl}, command: new(command)}
		src.command.running = make(chan struct{}) // so that nothing is run
		if !test.failed {
			src.value.state = tokenSet
		}
		src.command.gave(src.value, test.ttl, at)
		again, expired := New(Options{}).tend(src, at.Add(test.after))
		if again != test.again || expired != test.expired || expired && src.value.state == tokenSet {
			t.Errorf("%+v: again after %v, expired %v", test, again, expired)
		}
	}
}

// TestCommandRunsOnce: while a command runs it is not run a second time.
func TestCommandRunsOnce(t *testing.T) {
	running := make(chan struct{})
	c := &command{running: running}
	New(Options{}).rerun(TokenSource{Command: []string{"x"}}, c)
	if c.running != running {
		t.Error("it is run again")
	}
}

// TestCommandAfterTheEnd: no command is run any more once the server has ended those that ran.
func TestCommandAfterTheEnd(t *testing.T) {
	s := New(Options{})
	s.endCommands()
	if v := s.runCommand(&TokenSource{Command: []string{"/bin/sh", "-c", "echo a-token"}}, nil); v.state != tokenNotRun {
		t.Errorf("%+v", v)
	}
	if !s.mu.TryLock() {
		t.Error("the server is locked")
	}
}

// TestCommandComplains: of a command that fails again and again in the same way the operator is told once.
func TestCommandComplains(t *testing.T) {
	var told []string
	s := New(Options{Warn: func(line string) { told = append(told, line) }})
	src := &source{TokenSource: TokenSource{Command: []string{"gh"}, TTL: time.Hour}, command: new(command)}
	src.value = tokenValue{state: tokenSet, token: NewSecret("a-token")}
	for _, problem := range []string{"exit status 1", "exit status 1", "exit status 2", "exit status 2", "exit status 1"} {
		s.ran(src, src.not(tokenInvalid, "has failed: %s", problem), time.Now())
	}
	if len(told) != 3 {
		t.Errorf("told %q", told)
	}
}
