package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
)

// TestRelease builds the program as it is released, twice, the second time from a copy of nothing but its own source in
// another directory, and has both be the same, and made of what may be shipped.
func TestRelease(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the program")
	}
	dir := t.TempDir()
	var binaries, boms [2]string
	for i := range binaries {
		source, err := filepath.Abs(filepath.Join("..", ".."))
		if err != nil {
			t.Fatal(err)
		}
		if i == 1 {
			copied := filepath.Join(dir, "elsewhere")
			for _, part := range []string{"cmd", "proxy", "audit", "admin", "fakeupstream"} {
				if err := os.CopyFS(filepath.Join(copied, part), os.DirFS(filepath.Join(source, part))); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.Mkdir(filepath.Join(copied, "ci"), 0o777); err != nil {
				t.Fatal(err)
			}
			for _, part := range []string{"go.mod", "go.sum", "ci/build"} {
				p, err := os.ReadFile(filepath.Join(source, part))
				if err == nil {
					err = os.WriteFile(filepath.Join(copied, part), p, 0o777)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			source = copied
		}
		file := filepath.Join(dir, string(rune('a'+i)))
		build := exec.Command("bash", filepath.Join(source, "ci", "build"), file, "-buildvcs=false")
		build.Env = append(os.Environ(), "GOOS=linux", "GOARCH="+runtime.GOARCH)
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		p, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var bom bytes.Buffer
		if err := run(file, &bom); err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(p, []byte(source)) || bytes.Contains(p, []byte(toolchain(t)+"/src")) {
			t.Error("the binary names directories of the machine that built it")
		}
		binaries[i], boms[i] = string(p), bom.String()
	}
	if binaries[0] != binaries[1] {
		t.Error("the same source gives two binaries")
	}
	if boms[0] != boms[1] {
		t.Error("the same binary gives two documents")
	}
	var d document
	if err := json.Unmarshal([]byte(boms[0]), &d); err != nil {
		t.Fatal(err)
	}
	if d.Format != "CycloneDX" || !regexp.MustCompile(`^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(d.Serial) {
		t.Errorf("%s %s", d.Format, d.Serial)
	}
	if c := d.Metadata.Component; c.Name != "credproxy" || len(c.Hashes) != 1 || len(c.Hashes[0].Content) != 64 {
		t.Errorf("%+v", c)
	}
	var names []string
	for _, c := range d.Components {
		names = append(names, c.Name)
	}
	if got := strings.Join(names, " "); got != "std golang.org/x/sys golang.org/x/time" {
		t.Errorf("the program is made of %s", got)
	}
}

// TestRefused: what may not be shipped gets no document.
func TestRefused(t *testing.T) {
	good := []debug.BuildSetting{{Key: "CGO_ENABLED", Value: "0"}, {Key: "-trimpath", Value: "true"}}
	for name, info := range map[string]*debug.BuildInfo{
		"another module":   {Settings: good, Deps: []*debug.Module{{Path: "example.com/m"}}},
		"much like x":      {Settings: good, Deps: []*debug.Module{{Path: "golang.org/xy"}}},
		"a replaced one":   {Settings: good, Deps: []*debug.Module{{Path: "golang.org/x/sys", Replace: &debug.Module{Path: "../sys"}}}},
		"cgo":              {Settings: []debug.BuildSetting{{Key: "CGO_ENABLED", Value: "1"}, good[1]}},
		"without trimpath": {Settings: good[:1]},
	} {
		if checkModules(info) == nil && checkStatic(info, nil) == nil {
			t.Errorf("%s passes", name)
		}
	}
	if err := checkModules(&debug.BuildInfo{Deps: []*debug.Module{{Path: "golang.org/x/sys"}}}); err != nil {
		t.Error(err)
	}
}

// toolchain is the directory of the toolchain.
func toolchain(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}
