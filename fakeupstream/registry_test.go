package fakeupstream_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"credproxy/fakeupstream"
)

// The package registries, by their real clients where they are here.

func TestNPM(t *testing.T) {
	up := start(t)
	token := []string{"Authorization", "Bearer x"}
	if resp, _ := do(t, up, "GET", "/npm/@fake%2fgreeter", ""); resp.StatusCode != 401 {
		t.Errorf("a scoped package without a token: %d", resp.StatusCode)
	}
	for _, name := range []string{"@fake%2fgreeter", "@fake/greeter", "fake-left"} {
		resp, got := do(t, up, "GET", "/base/npm/"+name, "", append(token, "Accept", "application/vnd.npm.install-v1+json; q=1.0, */*")...)
		var packument struct {
			DistTags map[string]string `json:"dist-tags"`
			Versions map[string]struct {
				Name string
				Dist struct{ Tarball, Integrity string }
			}
		}
		if err := json.Unmarshal([]byte(got), &packument); err != nil || resp.Header.Get("Content-Type") != "application/vnd.npm.install-v1+json" {
			t.Fatalf("%s: %v, %v: %s", name, err, resp, got)
		}
		latest := packument.Versions[packument.DistTags["latest"]]
		path, ok := strings.CutPrefix(latest.Dist.Tarball, up.URL+"/base/npm/"+latest.Name+"/-/")
		if !ok || !strings.HasSuffix(path, ".tgz") {
			t.Errorf("%s: tarball %q", name, latest.Dist.Tarball)
		}
		_, tgz := do(t, up, "GET", strings.TrimPrefix(latest.Dist.Tarball, up.URL), "", token...)
		sum := sha512.Sum512([]byte(tgz))
		if got := "sha512-" + base64.StdEncoding.EncodeToString(sum[:]); got != latest.Dist.Integrity {
			t.Errorf("%s: integrity %s, want %s", name, got, latest.Dist.Integrity)
		}
		z, err := gzip.NewReader(bytes.NewReader([]byte(tgz)))
		if err != nil {
			t.Fatal(err)
		}
		if h, err := tar.NewReader(z).Next(); err != nil || h.Name != "package/package.json" {
			t.Errorf("%s: %v, %v", name, h, err)
		}
	}
	for path, status := range map[string]int{
		"fake-left/1.0.0": 200, "fake-left/latest": 200, "fake-left/9.9.9": 404, "nothing": 404, "fake-left/-/none.tgz": 404,
		"-/ping": 200, "-/whoami": 200, "-/nothing": 404, "-/npm/v1/security/advisories/bulk": 200,
	} {
		if resp, got := do(t, up, "GET", "/npm/"+path, "", token...); resp.StatusCode != status {
			t.Errorf("%s: %d %s", path, resp.StatusCode, got)
		}
	}
	if resp, _ := do(t, up, "PUT", "/npm/fake-left", "{}", token...); resp.StatusCode != 405 {
		t.Errorf("publish: %d", resp.StatusCode)
	}
}

func TestPyPI(t *testing.T) {
	up := start(t)
	token := []string{"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte("user:x"))}
	if resp, _ := do(t, up, "GET", "/pypi/simple/", ""); resp.StatusCode != 401 {
		t.Errorf("without a token: %d", resp.StatusCode)
	}
	if _, got := do(t, up, "GET", "/pypi/simple/", "", token...); !strings.Contains(got, `<a href="fake-greeter/">`) {
		t.Errorf("index: %s", got)
	}
	resp, _ := do(t, up, "GET", "/base/pypi/simple/Fake_Greeter", "", token...)
	if got := resp.Header.Get("Location"); resp.StatusCode != 301 || got != "/base/pypi/simple/fake-greeter/" {
		t.Errorf("name: %d, %q", resp.StatusCode, got)
	}
	_, got := do(t, up, "GET", "/base/pypi/simple/fake-greeter/", "", token...)
	link := regexp.MustCompile(`href="\.\./\.\./(files/[^#]+)#sha256=([0-9a-f]+)"`).FindStringSubmatch(got)
	if link == nil {
		t.Fatalf("project: %s", got)
	}
	_, wheel := do(t, up, "GET", "/base/pypi/"+link[1], "", token...)
	if sum := sha256.Sum256([]byte(wheel)); hex.EncodeToString(sum[:]) != link[2] {
		t.Errorf("wheel of %d bytes: %x, want %s", len(wheel), sum, link[2])
	}
	const asJSON = "application/vnd.pypi.simple.v1+json"
	resp, got = do(t, up, "GET", "/pypi/simple/fake-left/", "", append(token, "Accept", asJSON)...)
	var page struct {
		Files []struct {
			URL    string
			Hashes map[string]string
		}
	}
	if err := json.Unmarshal([]byte(got), &page); err != nil || len(page.Files) != 1 || resp.Header.Get("Content-Type") != asJSON {
		t.Errorf("%v, %s", err, got)
	}
	up.Set("/pypi/simple/fake-left/", fakeupstream.Like("/pypi/simple/fake-left/?files=https://files.test/"))
	if _, got := do(t, up, "GET", "/pypi/simple/fake-left/", "", token...); !strings.Contains(got, `href="https://files.test/fake_left-1.1.0-py3-none-any.whl#`) {
		t.Errorf("files elsewhere: %s", got)
	}
	for path, status := range map[string]int{"simple/nothing/": 404, "files/nothing.whl": 404, "nothing": 404} {
		if resp, _ := do(t, up, "GET", "/pypi/"+path, "", token...); resp.StatusCode != status {
			t.Errorf("%s: %d", path, resp.StatusCode)
		}
	}
}

func TestGoProxy(t *testing.T) {
	up := start(t)
	token := []string{"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte("user:x"))}
	if resp, _ := do(t, up, "GET", "/goproxy/fake.test/left/@v/list", ""); resp.StatusCode != 401 {
		t.Errorf("without a token: %d", resp.StatusCode)
	}
	for path, want := range map[string]string{
		"fake.test/left/@v/list":           "text/plain; charset=utf-8 v1.0.0\nv1.1.0\n",
		"fake.test/left/@latest":           `application/json {"Version":"v1.1.0","Time":"2023-11-14T22:13:20Z"}`,
		"fake.test/left/@v/v1.0.0.info":    `application/json {"Version":"v1.0.0","Time":"2023-11-14T22:13:20Z"}`,
		"fake.test/greeter/@v/v1.2.0.mod":  "text/plain; charset=utf-8 module fake.test/greeter\n\ngo 1.20\n\nrequire fake.test/left v1.0.0\n",
		"fake.test/nothing/@v/list":        "text/plain; charset=utf-8 not found: fake.test/nothing/@v/list\n",
		"sumdb/sum.fake.test/supported":    "text/plain; charset=utf-8 not found: sumdb/sum.fake.test/supported\n",
		"fake.test/greeter/@v/v1.9.0.info": "text/plain; charset=utf-8 not found: fake.test/greeter/@v/v1.9.0.info\n",
	} {
		resp, got := do(t, up, "GET", "/base/goproxy/"+path, "", token...)
		if got = resp.Header.Get("Content-Type") + " " + got; got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
		if found := !strings.Contains(want, "not found"); found != (resp.StatusCode == 200) {
			t.Errorf("%s: %d", path, resp.StatusCode)
		}
	}
	resp, got := do(t, up, "GET", "/goproxy/fake.test/greeter/@v/v1.2.0.zip", "", token...)
	z, err := zip.NewReader(strings.NewReader(got), int64(len(got)))
	if err != nil || resp.Header.Get("Content-Type") != "application/zip" {
		t.Fatal(err, resp)
	}
	var names []string
	for _, f := range z.File {
		names = append(names, f.Name)
	}
	if got := strings.Join(names, " "); got != "fake.test/greeter@v1.2.0/go.mod fake.test/greeter@v1.2.0/greeter.go" {
		t.Errorf("zip of %s", got)
	}
}

// TestAbsolute: absolute URLs are by the name that the request was for, if the server has it.
func TestAbsolute(t *testing.T) {
	up := fakeupstream.NewTest(t, fakeupstream.Options{Names: []string{"registry.test"}})
	for host, want := range map[string]string{
		"registry.test": "https://registry.test/npm/", "registry.test:8443": "https://registry.test:8443/npm/",
		"else.test": up.URL + "/npm/", "localhost": up.URL + "/npm/",
	} {
		req, err := http.NewRequest("GET", up.URL+"/npm/fake-left", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		resp, err := up.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || !strings.Contains(string(got), `"tarball":"`+want) {
			t.Errorf("%s: %v, %s", host, err, got)
		}
	}
}

// client runs an installed client in a directory and home of its own.
func client(t *testing.T, up *fakeupstream.Server, name string, args ...string) (dir string) {
	t.Helper()
	if testing.Short() {
		t.Skip("-short")
	}
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed", name)
	}
	dir = t.TempDir()
	ca := filepath.Join(dir, "ca.pem")
	if err := os.WriteFile(ca, up.CAPEM, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.WaitDelay = time.Second
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "HOME="+dir, "NO_PROXY=*", "no_proxy=*",
		"npm_config_cafile="+ca, "npm_config_update_notifier=false", "SSL_CERT_FILE="+ca, "PIP_CERT="+ca, "REQUESTS_CA_BUNDLE="+ca, "PIP_CONFIG_FILE="+os.DevNull, "PIP_FIND_LINKS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s\nrequests: %v", name, err, out, up.Requests())
	}
	return dir
}

func TestRealNPM(t *testing.T) {
	up := start(t)
	host := strings.TrimPrefix(up.URL, "https:")
	dir := client(t, up, "npm", "install", "--no-audit", "--no-fund", "--fetch-retries=0",
		"--registry="+up.URL+"/npm/", "--"+host+"/npm/:_authToken=s3cret", "@fake/greeter")
	for _, file := range []string{"@fake/greeter/index.js", "fake-left/index.js"} {
		if _, err := os.Stat(filepath.Join(dir, "node_modules", file)); err != nil {
			t.Error(err)
		}
	}
	if q := up.Requests()[0]; q.Target != "/npm/@fake%2fgreeter" || q.Get("Authorization") != "Bearer s3cret" {
		t.Errorf("first request: %s", q.Dump())
	}
}

func TestRealPip(t *testing.T) {
	up := start(t)
	index := strings.Replace(up.URL, "https://", "https://agent:s3cret@", 1) + "/pypi/simple/"
	dir := client(t, up, "python3", "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
		"--no-cache-dir", "--retries=0", "--index-url="+index, "fake-greeter")
	for _, file := range []string{"fake_greeter-2.0.0-py3-none-any.whl", "fake_left-1.1.0-py3-none-any.whl"} {
		if _, err := os.Stat(filepath.Join(dir, file)); err != nil {
			t.Error(err)
		}
	}
}

func TestRealGo(t *testing.T) {
	up := start(t)
	for name, value := range map[string]string{
		"GOPROXY": strings.Replace(up.URL, "https://", "https://agent:s3cret@", 1) + "/goproxy", "GONOSUMDB": "fake.test",
		"GOFLAGS": "-modcacherw", "GOMODCACHE": t.TempDir(),
	} {
		t.Setenv(name, value)
	}
	client(t, up, "go", "mod", "download", "fake.test/greeter@latest", "fake.test/left@v1.0.0")
	if _, err := os.Stat(filepath.Join(os.Getenv("GOMODCACHE"), "fake.test/greeter@v1.2.0/greeter.go")); err != nil {
		t.Error(err)
	}
}
