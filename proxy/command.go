package proxy

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"
)

// Commands that print tokens: when they are run, and what becomes of what they print.

// DefaultTokenTTL is how long the token of a command is used where the route does not say.
const DefaultTokenTTL = 15 * time.Minute

const (
	// renewEvery is how often the refusals of an upstream have a command run again: an agent can cause as many as it likes.
	renewEvery = time.Minute

	// endWithin is how long a stop waits for what it has ended: a command, an exchange.
	endWithin = 2 * time.Second

	// holdWithin is how long a command's output may stay open when the command has ended: on a machine that is busy the end
	// of the one is not seen at once when the other comes.
	holdWithin = 5 * time.Second

	// retryAtMost bounds the time between two runs of a command that fails.
	retryAtMost = time.Minute
)

// command is what is known of a token_command besides its token.
type command struct {
	until time.Time // its token is not used after this; Server.loading is held for this and the next
	due   time.Time // it is run again then

	begun time.Time  // when the last run began that gave a token; Server.loading is held for it
	turn  sync.Mutex // held while it runs

	mu      sync.Mutex
	token   Secret        // that it gave last
	running chan struct{} // closed when the run under way is over and what came of it is in force; nil: there is none
	renewed time.Time     // when it was last run because an upstream refused its token
}

// gave takes note of what a run gave that began at that time. The clock on the wall counts: the token of a machine that
// slept grew old meanwhile.
func (c *command) gave(v tokenValue, ttl time.Duration, at time.Time) {
	begun := at
	at = at.Round(0)
	if v.state != tokenSet {
		c.due = at.Add(min(ttl/16, retryAtMost))
		return
	}
	c.begun = begun
	c.until, c.due = at.Add(ttl), at.Add(ttl/4*3)
}

// commandEnv is the environment of commands: the program's own without the tokens, of which none needs another's, and
// without what is meant for the program alone.
func commandEnv(secret map[string]bool) []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return secret[name] || strings.HasPrefix(name, "CRED_PROXY_") ||
			strings.HasPrefix(name, "LISTEN_") || name == "NOTIFY_SOCKET"
	})
}

// secretVariables adds the variables that hold tokens.
func (c *Config) secretVariables(to map[string]bool) {
	for _, src := range c.sources() {
		if src.Env != "" {
			to[src.Env] = true
		}
	}
}

// run runs a command and takes the token that it prints. Nothing that it says is told to anybody: it could be the token.
func (t *TokenSource) run(ctx context.Context, within time.Duration, env []string) tokenValue {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	var out bounded
	cmd := exec.CommandContext(ctx, t.Command[0], t.Command[1:]...)
	cmd.Env, cmd.Stdout = env, &out
	cmd.WaitDelay = holdWithin
	ended := make(chan error, 1)
	go func() { ended <- runGroup(cmd) }()
	var err error
	select {
	case err = <-ended:
	case <-ctx.Done():
		select {
		case err = <-ended:
		case <-time.After(endWithin / 2): // what has left its group and holds its output is not waited for
		}
	}
	exit, failed := errors.AsType[*exec.ExitError](err)
	switch {
	case ctx.Err() != nil:
		return t.not(tokenInvalid, "has not ended within %v", within)
	case len(out) > maxToken:
		return t.not(tokenInvalid, "printed more than %d bytes", maxToken)
	case failed:
		return t.not(tokenInvalid, "failed: %v", exit.ProcessState)
	case errors.Is(err, exec.ErrWaitDelay):
		return t.not(tokenInvalid, "has ended, but not what it started")
	case err != nil:
		return t.not(tokenInvalid, "cannot be run: %v", startError(err))
	}
	return t.value(string(out), "printed nothing")
}

// startError takes the name of the command, and of its directory, out of an error.
func startError(err error) error {
	if e, ok := errors.AsType[*exec.Error](err); ok {
		return e.Err
	}
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		err = e.Err
	}
	return err
}

// bounded is what a command prints, as far as it matters.
type bounded []byte

func (b *bounded) Write(p []byte) (int, error) {
	if *b = append(*b, p[:min(len(p), maxToken+1-len(*b))]...); len(*b) > maxToken {
		return 0, errors.New("too much")
	}
	return len(p), nil
}

// runCommand runs a command while the server lives.
func (s *Server) runCommand(t *TokenSource, env []string) tokenValue {
	s.mu.Lock()
	if s.life.Err() != nil {
		s.mu.Unlock()
		return t.not(tokenNotRun, "was not run")
	}
	s.commands.Add(1)
	s.mu.Unlock()
	defer s.commands.Done()
	return t.run(s.life, s.timeouts.Command, env)
}

// givenToken is what a source gave, and when the run of a command began that did.
type givenToken struct {
	tokenValue
	at time.Time
}

// runInTurn is runCommand, once at a time.
func (s *Server) runInTurn(t *TokenSource, c *command, env []string) givenToken {
	c.turn.Lock()
	defer c.turn.Unlock()
	at := time.Now()
	return givenToken{s.runCommand(t, env), at}
}

// endCommands ends those that run, and returns when they have ended: what is left to a program that exits lives on.
func (s *Server) endCommands() {
	s.mu.Lock()
	s.end()
	s.mu.Unlock()
	ended := make(chan struct{})
	go func() {
		s.commands.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(endWithin):
	}
}

// rerun runs a command again, on a goroutine of its own, unless it is running; c.mu is held.
func (s *Server) rerun(t TokenSource, c *command) {
	if c.running != nil {
		return
	}
	done := make(chan struct{})
	c.running = done
	go func() {
		s.loading.Lock()
		env := commandEnv(s.secrets)
		s.loading.Unlock()
		v := s.runInTurn(&t, c, env)
		s.loading.Lock()
		if src := s.sources[t.key()]; src != nil && src.command == c && s.life.Err() == nil && !v.at.Before(c.begun) {
			s.ran(src, v.tokenValue, v.at)
		}
		s.loading.Unlock()
		c.mu.Lock()
		c.running = nil
		c.mu.Unlock()
		close(done)
	}()
}

// ran puts what a command gave in force; s.loading is held.
func (s *Server) ran(src *source, v tokenValue, at time.Time) {
	again := v.sum() == src.taken
	src.takes(v.sum())
	src.command.gave(v, src.TTL, at)
	changed, complaint := s.offer(src, v)
	if complaint != "" && !again {
		s.complain(complaint)
	}
	if changed {
		s.rotate(src.change())
	}
}

// tend runs a command that is due, and takes a token away that is too old. It returns when to come again, and reports
// whether the table is to be built anew; s.loading is held.
func (s *Server) tend(src *source, now time.Time) (again time.Duration, expired bool) {
	c := src.command
	now = now.Round(0)
	if src.value.state == tokenSet {
		if expired = !now.Before(c.until); expired {
			src.value = src.not(tokenInvalid, "gave its last token more than %v ago", src.TTL)
		} else {
			again = c.until.Sub(now)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !now.Before(c.due) {
		s.rerun(src.TokenSource, c)
	} else if wait := c.due.Sub(now); again == 0 || wait < again {
		again = wait
	}
	return again, expired
}

// renewal returns what an exchange does when its upstream refuses the token that a command gave: it has the command run
// again and returns when what came of that is in force. It returns at once if the token is another by now, or if the
// command was run for that reason a moment ago.
func (s *Server) renewal(t TokenSource, c *command, given Secret) func() {
	c.mu.Lock()
	c.token = given
	c.mu.Unlock()
	return func() {
		c.mu.Lock()
		if c.token != given {
			c.mu.Unlock()
			return
		}
		if c.running == nil && (c.renewed.IsZero() || time.Since(c.renewed) > renewEvery) {
			c.renewed = time.Now()
			s.rerun(t, c)
		}
		running := c.running
		c.mu.Unlock()
		if running != nil {
			<-running
		}
	}
}
