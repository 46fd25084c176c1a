package main

import (
	"context"
	"fmt"
	"strings"
)

// agentClients are the command lines of coding agents. They want to talk to others, too: what they are told not to is
// what `cred-proxy env` says.
func agentClients() []client {
	return []client{
		{
			name: "Claude's command line", route: "/anthropic/", restless: true,
			needs:   []need{{program: "node"}, {npm: "claude", run: "node_modules/@anthropic-ai/claude-code/install.cjs"}},
			version: `"$NPM/claude/node_modules/.bin/claude" --version`,
			steps: []step{
				{"a prompt by claude -p, streamed", says(`"$NPM/claude/node_modules/.bin/claude" -p 'hello, proxy'`)},
			},
		},
		{
			name: "Codex", route: "/openai/", restless: true,
			needs:   []need{{program: "node"}, {npm: "codex"}},
			version: `"$NPM/codex/node_modules/.bin/codex" --version`,
			steps: []step{
				{"a prompt by codex exec, streamed", says(
					`"$NPM/codex/node_modules/.bin/codex" exec --skip-git-repo-check 'hello, proxy'`)},
			},
		},
	}
}

// says is a script that prints what the models say, among other things.
func says(script string) func(context.Context, *bottle) error {
	return func(ctx context.Context, b *bottle) error {
		out, err := b.sh(ctx, script+" </dev/null")
		if err != nil {
			return err
		}
		if !strings.Contains(out, "You said: ") {
			return fmt.Errorf("printed: %s", lastLines(out))
		}
		return nil
	}
}
