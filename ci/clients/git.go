package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// The repositories that the upstream has below https://github.com/git/.
const (
	smallCommits = 3
	bigBranches  = 22_000 // so many that asking for all of them takes more than git's own buffer for a request, 1 MiB
	ownCommits   = 2_000  // that a clone has and the upstream has not
)

func gitClients() []client {
	return []client{
		{name: "git", route: "/github/", needs: []need{{program: "git"}}, version: "git version", steps: []step{
			{"clone by url.insteadOf", cloneSmall},
			{"fetch of new commits, with a gzip'd negotiation", fetchNew},
			{"clone of 22,000 branches, with a gzip'd request of more than 1 MiB", cloneBig},
			{"push refused, with the reason", pushRefused},
		}},
	}
}

// history is a stream for git fast-import: commits of one file on a branch, the first with a parent if there is one.
func history(branch, parent, label string, commits int) []byte {
	var b bytes.Buffer
	for i := range commits {
		message, text := fmt.Sprintf("%s %d", label, i), fmt.Sprintf("%s, %d\n", label, i)
		fmt.Fprintf(&b, "commit refs/heads/%s\nmark :%d\ncommitter A <a@example.com> %d +0000\ndata %d\n%s\n", branch, i+1, 1700000000+i, len(message), message)
		if i == 0 && parent != "" {
			fmt.Fprintf(&b, "from %s\n", parent)
		}
		fmt.Fprintf(&b, "M 100644 inline file\ndata %d\n%s\n", len(text), text)
	}
	return b.Bytes()
}

// repository makes a bare repository of the upstream's, or adds to one.
func (b *bottle) repository(ctx context.Context, name string, stream []byte, more ...string) (dir string, err error) {
	dir = filepath.Join(b.job.Dir, "git", name)
	if _, err := os.Stat(dir); err != nil {
		if err := command(ctx, "", "git", "init", "--quiet", "--bare", "--initial-branch=main", dir); err != nil {
			return "", err
		}
	}
	cmd := exec.CommandContext(ctx, "git", append([]string{"--git-dir=" + dir, "fast-import", "--quiet"}, more...)...)
	cmd.Stdin = bytes.NewReader(stream)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("git fast-import: %w: %s", err, lastLines(string(out)))
	}
	return dir, nil
}

func cloneSmall(ctx context.Context, b *bottle) error {
	if _, err := b.repository(ctx, "small.git", history("main", "", "small", smallCommits)); err != nil {
		return err
	}
	out, err := b.sh(ctx, "git clone -q https://github.com/git/small.git && git -C small log --format=%s && git -C small remote get-url origin")
	if err != nil {
		return err
	}
	return want(out, "small 2\nsmall 1\nsmall 0\n"+b.url+"/github/git/small.git")
}

// fetchNew fetches into a clone that has many commits of its own: git offers them, more and more at a time.
func fetchNew(ctx context.Context, b *bottle) error {
	if _, err := b.repository(ctx, "small.git", history("main", "refs/heads/main^0", "new", 2)); err != nil {
		return err
	}
	if err := os.WriteFile(b.work("own"), history("own", "", "own", ownCommits), 0o644); err != nil {
		return err
	}
	out, err := b.sh(ctx, "git -C small fast-import --quiet <own && git -C small fetch -q && git -C small log --format=%s origin/main")
	if err != nil {
		return err
	}
	if err := want(out, "new 1\nnew 0\nsmall 2\nsmall 1\nsmall 0"); err != nil {
		return err
	}
	return b.asked(1000)
}

func cloneBig(ctx context.Context, b *bottle) error {
	marks := b.work("marks")
	dir, err := b.repository(ctx, "big.git", history("main", "", "big", bigBranches), "--export-marks="+marks)
	if err != nil {
		return err
	}
	commits, err := os.ReadFile(marks)
	if err != nil {
		return err
	}
	refs := "# pack-refs with: peeled fully-peeled \n"
	for line := range strings.Lines(string(commits)) {
		mark, commit, _ := strings.Cut(strings.TrimSpace(line), " ")
		refs += commit + " refs/heads/branch" + mark[1:] + "\n"
	}
	if err := os.WriteFile(filepath.Join(dir, "packed-refs"), []byte(refs), 0o644); err != nil {
		return err
	}
	out, err := b.sh(ctx, "git clone -q --bare https://github.com/git/big.git && git -C big.git for-each-ref | wc -l")
	if err != nil {
		return err
	}
	if err := want(out, fmt.Sprint(bigBranches+1)); err != nil {
		return err
	}
	return b.asked(300_000)
}

// asked wants a gzip'd request for a pack, of more than so many bytes, to have come.
func (b *bottle) asked(size int64) error {
	largest := int64(0)
	for _, q := range b.recorded("/git-upload-pack") {
		if q.Get("Content-Encoding") == "gzip" && q.Get("Transfer-Encoding") == "" {
			largest = max(largest, q.BodySize)
		}
	}
	if largest < size {
		return fmt.Errorf("the largest gzip'd request had %d bytes, not %d", largest, size)
	}
	return nil
}

func pushRefused(ctx context.Context, b *bottle) error {
	_, stderr, err := b.try(ctx, "cd small && git push origin HEAD:refs/heads/mine")
	if err == nil {
		return errors.New("it was not refused")
	}
	if !strings.Contains(stderr, "403") {
		return fmt.Errorf("git said: %s", lastLines(stderr))
	}
	if n := len(b.up.Requests()); n > 0 || b.up.Pushes() > 0 {
		return fmt.Errorf("the upstream was sent %d requests", n)
	}
	return nil
}
