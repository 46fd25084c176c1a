package deploy

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// engine makes podman usable in the test: with a storage of its own, and what it needs where no systemd runs. It returns
// podman's path, which is also the first of PATH.
func engine(t *testing.T) string {
	t.Helper()
	need(t, "podman")
	real, err := exec.LookPath("podman")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	runtime := "crun"
	if _, err := exec.LookPath("runc"); err == nil {
		runtime = "runc" // knows cgroups of both versions at once
	}
	// Nothing in it is shared with whoever uses podman on this machine: not the locks, and not the networks.
	config := fmt.Sprintf(`[containers]
default_ulimits = ["nofile=10000:10000", "nproc=1000:1000"]
[engine]
runtime = %q
cgroup_manager = "cgroupfs"
lock_type = "file"
tmp_dir = "%[2]s/tmp"
[network]
network_config_dir = "%[2]s/networks"
`, runtime, dir)
	wrapper := fmt.Sprintf(`#!/bin/sh
export CONTAINERS_CONF=%[1]s/containers.conf
exec %[3]s %[2]s --storage-driver vfs --root %[1]s/store --runroot %[1]s/run "$@"
`, dir, real, room(t))
	for name, text := range map[string]string{"containers.conf": config, "podman": wrapper} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
	podman := filepath.Join(dir, "podman")
	if out, err := exec.Command(podman, "info").CombinedOutput(); err != nil {
		t.Skipf("SKIPPED: podman does not work here: %s", out)
	}
	t.Cleanup(func() {
		exec.Command(podman, "rm", "--all", "--force").Run()
		exec.Command(podman, "network", "prune", "--force").Run() // in its own directory of networks
		exec.Command(podman, "image", "rm", "--all", "--force").Run()
	})
	return podman
}

// room makes a place of its own for an engine that is run by root, and returns the command that runs programs there: the
// bridges of an engine, and who answers for names on them, are those of any other one in the same network, and of one that
// was killed. What runs in the place ends with the test, however that ends. Others than root have such a place from the
// engine itself.
func room(t *testing.T) string {
	t.Helper()
	if os.Getuid() != 0 {
		return ""
	}
	need(t, "unshare", "nsenter", "ip")
	const first = "mount -t tmpfs none /run && ip link set lo up && echo there && cat" // cat ends with who writes to it
	unshare := exec.Command("unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", "sh", "-c", first)
	var said strings.Builder
	unshare.Stderr = &said
	in, err := unshare.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := unshare.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := unshare.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		unshare.Wait()
	})
	if _, err := io.ReadFull(out, make([]byte, len("there\n"))); err != nil {
		unshare.Wait()
		t.Skipf("SKIPPED: no namespaces to be had here: %s", &said)
	}
	child := readFile(t, fmt.Sprintf("/proc/%d/task/%[1]d/children", unshare.Process.Pid))
	return fmt.Sprintf(`nsenter --target %s --all sh -c 'cd "$0" && exec "$@"' "$PWD"`, strings.TrimSpace(child))
}

// image is what is said of one.
type image struct {
	Config struct {
		User       string
		Entrypoint []string
	}
	Healthcheck struct{ Test []string }
	RootFS      struct{ Layers []string }
}

// buildImage builds the image as the README says.
func buildImage(t *testing.T, podman string) image {
	t.Helper()
	build := exec.Command(filepath.Join(deploy, "image"), "cred-proxy")
	build.Env = append(os.Environ(), "BUILDER="+podman)
	run(t, build)
	inspected, err := exec.Command(podman, "image", "inspect", "cred-proxy").Output()
	var images []image
	if err == nil {
		err = json.Unmarshal(inspected, &images)
	}
	if err != nil {
		t.Fatal(err)
	}
	return images[0]
}

// TestImage: what is in the image is the same every time, and two files; it runs as nobody in particular.
func TestImage(t *testing.T) {
	podman := engine(t)
	i := buildImage(t, podman)
	if again := buildImage(t, podman); len(i.RootFS.Layers) == 0 || !slices.Equal(again.RootFS.Layers, i.RootFS.Layers) {
		t.Errorf("the layers are %s, and then %s", i.RootFS.Layers, again.RootFS.Layers)
	}
	if i.Config.User != "65532:65532" || strings.Join(i.Config.Entrypoint, " ") != "/cred-proxy" ||
		strings.Join(i.Healthcheck.Test, " ") != "CMD /cred-proxy health" {
		t.Errorf("%+v", i)
	}

	file := filepath.Join(t.TempDir(), "image.tar")
	run(t, exec.Command(podman, "save", "--format", "docker-archive", "-o", file, "cred-proxy"))
	files := filesOf(t, file)
	slices.Sort(files)
	if got := strings.Join(files, " "); got != "cred-proxy etc/ssl/certs/ca-certificates.crt" {
		t.Errorf("it holds %s", got)
	}

	if out, err := exec.Command(podman, "run", "--rm", "--network=none", "--no-healthcheck", "cred-proxy", "version").CombinedOutput(); err != nil {
		t.Skipf("SKIPPED: podman runs nothing here: %s", out)
	} else if !strings.Contains(string(out), "cred-proxy ") {
		t.Errorf("version: %s", out)
	}
}

// filesOf returns the names of the files in all layers of an image.
func filesOf(t *testing.T, image string) (files []string) {
	t.Helper()
	f, err := os.Open(image)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	eachFile(t, f, func(name string, r io.Reader) {
		if strings.HasSuffix(name, ".tar") {
			eachFile(t, r, func(name string, r io.Reader) { files = append(files, name) })
		}
	})
	return files
}

func eachFile(t *testing.T, r io.Reader, do func(name string, r io.Reader)) {
	t.Helper()
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			do(h.Name, tr)
		}
	}
}
