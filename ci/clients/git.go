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

	"credproxy/fakeupstream"
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
			{"push refused, with the reason", pushRefused},
		}},
		{
			name: "git with much to ask for", route: "/github/", version: "git version",
			needs: []need{{program: "git"}},
			steps: []step{{"clone of 22,000 branches, with a gzip'd request of 1 MiB", cloneBig("github.com", false, 300_000)}},
		},
		{
			name: "git with chunked_bodies", route: "/git/", version: "git version",
			needs: []need{{program: "git"}},
			steps: []step{{"clone of 22,000 branches, with a chunked request", cloneBig("git.example.com", true, 1_000_000)}},
		},
		{
			name: "git-lfs", route: "/github/", version: "git lfs version",
			needs: []need{{program: "git"}, {program: "git-lfs", debian: "git-lfs"}},
			steps: []step{{"clone with objects, whose URLs are absolute", cloneLFS}},
		},
		{
			name: "libgit2 (pygit2)", route: "/git/", cannot: present | inherit,
			version: debianPython + ` -c "import pygit2; print(pygit2.LIBGIT2_VERSION)"`,
			needs:   []need{{python: "pygit2", of: debianPython, debian: "python3-pygit2"}, {program: "git"}},
			steps:   []step{{"clone by url.insteadOf", cloneLibgit2}},
		},
	}
}

// debianPython is the interpreter that has the modules of Debian's packages.
const debianPython = "/usr/bin/python3"

// history is a stream for git fast-import: commits of one file on a branch, the first with a parent if there is one.
func history(branch, parent, label string, commits int) []byte {
	var b bytes.Buffer
	for i := range commits {
		from := ""
		if i == 0 {
			from = parent
		}
		writeCommit(&b, branch, i+1, from, fmt.Sprintf("%s %d", label, i), "file", fmt.Sprintf("%s, %d\n", label, i))
	}
	return b.Bytes()
}

// writeCommit writes a commit of files, each a name and a text, for git fast-import.
func writeCommit(b *bytes.Buffer, branch string, mark int, parent, message string, files ...string) {
	fmt.Fprintf(b, "commit refs/heads/%s\nmark :%d\ncommitter A <a@example.com> %d +0000\n", branch, mark, 1700000000+mark)
	fmt.Fprintf(b, "data %d\n%s\n", len(message), message)
	if parent != "" {
		fmt.Fprintf(b, "from %s\n", parent)
	}
	for i := 0; i < len(files); i += 2 {
		fmt.Fprintf(b, "M 100644 inline %s\ndata %d\n%s\n", files[i], len(files[i+1]), files[i+1])
	}
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
	out, err := b.sh(ctx, "git clone -q https://github.com/git/small.git && cd small && git log --format=%s && git remote get-url origin")
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
	out, err := b.sh(ctx, "cd small && git fast-import --quiet <../own && git fetch -q && git log --format=%s origin/main")
	if err != nil {
		return err
	}
	if err := want(out, "new 1\nnew 0\nsmall 2\nsmall 1\nsmall 0"); err != nil {
		return err
	}
	return b.asked(false, 1000)
}

// bigRepository makes the upstream's big repository, if there is none yet.
func (b *bottle) bigRepository(ctx context.Context) error {
	if _, err := os.Stat(filepath.Join(b.job.Dir, "git", "big.git")); err == nil {
		return nil
	}
	var stream bytes.Buffer
	for i := range bigBranches {
		writeCommit(&stream, "main", i+1, "", fmt.Sprint(i))
	}
	marks := b.work("marks")
	dir, err := b.repository(ctx, "big.git", stream.Bytes(), "--export-marks="+marks)
	if err != nil {
		return err
	}
	commits, err := os.ReadFile(marks)
	if err != nil {
		return err
	}
	refs := bytes.NewBufferString("# pack-refs with: peeled fully-peeled \n")
	for line := range strings.Lines(string(commits)) {
		mark, commit, _ := strings.Cut(strings.TrimSpace(line), " ")
		fmt.Fprintf(refs, "%s refs/heads/branch%s\n", commit, mark[1:])
	}
	return os.WriteFile(filepath.Join(dir, "packed-refs"), refs.Bytes(), 0o644)
}

// cloneBig clones the big repository from a host. Its request must have been chunked or gzip'd, and of more than so many
// bytes.
func cloneBig(host string, chunked bool, size int64) func(context.Context, *bottle) error {
	return func(ctx context.Context, b *bottle) error {
		if err := b.bigRepository(ctx); err != nil {
			return err
		}
		out, err := b.sh(ctx, "git clone -q --bare https://"+host+"/git/big.git && git -C big.git for-each-ref | wc -l")
		if err != nil {
			return err
		}
		if err := want(out, fmt.Sprint(bigBranches+1)); err != nil {
			return err
		}
		return b.asked(chunked, size)
	}
}

// asked wants a request for a pack to have come, chunked or gzip'd, and of more than so many bytes.
func (b *bottle) asked(chunked bool, size int64) error {
	largest := int64(0)
	for _, q := range b.recorded("/git-upload-pack") {
		if chunked && q.Get("Transfer-Encoding") == "chunked" || !chunked && q.Get("Content-Encoding") == "gzip" {
			largest = max(largest, q.BodySize)
		}
	}
	if largest < size {
		return fmt.Errorf("the largest such request had %d bytes, not %d", largest, size)
	}
	return nil
}

func pushRefused(ctx context.Context, b *bottle) error {
	_, stderr, err := b.try(ctx, "cd small && git push origin HEAD:refs/heads/mine")
	if err == nil {
		return errors.New("it was not refused")
	}
	if !strings.Contains(stderr, "remote: cred-proxy: git push") {
		return fmt.Errorf("git said: %s", lastLines(stderr))
	}
	if n := len(b.up.Requests()); n > 0 || b.up.Pushes() > 0 {
		return fmt.Errorf("the upstream was sent %d requests", n)
	}
	return nil
}

// cloneLFS clones a repository with a pointer to an object of the upstream.
func cloneLFS(ctx context.Context, b *bottle) error {
	const size = 100_000
	sum := fakeupstream.BytesSHA256(size)
	var stream bytes.Buffer
	writeCommit(&stream, "main", 1, "", "it", ".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n",
		"it.bin", fmt.Sprintf("version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize %d\n", sum, size))
	if _, err := b.repository(ctx, "lfs.git", stream.Bytes()); err != nil {
		return err
	}
	out, err := b.sh(ctx, "git lfs install --skip-repo >&2 && git clone -q https://github.com/git/lfs.git && sha256sum <lfs/it.bin")
	if err != nil {
		return err
	}
	return want(out, sum+"  -")
}

func cloneLibgit2(ctx context.Context, b *bottle) error {
	if _, err := b.repository(ctx, "lib.git", history("main", "", "lib", smallCommits)); err != nil {
		return err
	}
	const clone = `pygit2.clone_repository('https://git.example.com/git/lib.git', 'lib')`
	out, err := b.sh(ctx, debianPython+` -c "import pygit2; `+clone+`" && cat lib/file`)
	if err != nil {
		return err
	}
	return want(out, "lib, 2")
}
