// Command sbom prints what a Go binary is made of, as a CycloneDX document, from what the toolchain wrote into the binary
// itself. It refuses one that is not what cred-proxy ships: static, without cgo, and made of nothing but the standard
// library and golang.org/x. The same binary gives the same document.
//
//	go run ./ci/sbom BINARY >BINARY.cdx.json
package main

import (
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"debug/elf"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: sbom BINARY")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "sbom:", err)
		os.Exit(1)
	}
}

func run(file string, w io.Writer) error {
	binary, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	info, err := buildinfo.Read(bytes.NewReader(binary))
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if err := errors.Join(checkModules(info), checkStatic(info, binary)); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(describe(info, sha256.Sum256(binary)))
}

// checkModules holds the modules in a binary to the ones that may be shipped.
func checkModules(info *debug.BuildInfo) (err error) {
	for _, m := range info.Deps {
		if !strings.HasPrefix(m.Path, "golang.org/x/") || m.Replace != nil {
			err = errors.Join(err, fmt.Errorf("depends on %s", m.Path))
		}
	}
	return err
}

// checkStatic sees to it that a binary needs nothing of the system that it runs on.
func checkStatic(info *debug.BuildInfo, binary []byte) error {
	if v := setting(info, "CGO_ENABLED"); v != "0" {
		return fmt.Errorf("was built with CGO_ENABLED=%s", v)
	}
	if v := setting(info, "-trimpath"); v != "true" {
		return errors.New("was built without -trimpath")
	}
	f, err := elf.NewFile(bytes.NewReader(binary))
	if err != nil {
		return nil // another system's format; it has no cgo, and that is what there is to say
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return errors.New("is linked dynamically")
		}
	}
	return nil
}

func setting(info *debug.BuildInfo, key string) string {
	for _, s := range info.Settings {
		if s.Key == key {
			return s.Value
		}
	}
	return ""
}

// The parts of a CycloneDX document that are used.
type (
	document struct {
		Format       string       `json:"bomFormat"`
		Spec         string       `json:"specVersion"`
		Serial       string       `json:"serialNumber"`
		Version      int          `json:"version"`
		Metadata     metadata     `json:"metadata"`
		Components   []component  `json:"components"`
		Dependencies []dependency `json:"dependencies"`
	}
	metadata struct {
		Component component `json:"component"`
	}
	component struct {
		Type       string     `json:"type"`
		Ref        string     `json:"bom-ref"`
		Name       string     `json:"name"`
		Version    string     `json:"version"`
		PURL       string     `json:"purl"`
		Hashes     []hash     `json:"hashes,omitempty"`
		Properties []property `json:"properties,omitempty"`
	}
	hash struct {
		Algorithm string `json:"alg"`
		Content   string `json:"content"`
	}
	property struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	}
	dependency struct {
		Ref string   `json:"ref"`
		On  []string `json:"dependsOn"`
	}
)

func describe(info *debug.BuildInfo, sum [sha256.Size]byte) document {
	program := module("application", info.Main.Path, info.Main.Version)
	program.Hashes = []hash{{"SHA-256", fmt.Sprintf("%x", sum)}}
	for _, s := range info.Settings {
		program.Properties = append(program.Properties, property{"go:build:" + s.Key, s.Value})
	}
	std := module("library", "std", strings.TrimPrefix(info.GoVersion, "go"))
	d := document{Format: "CycloneDX", Spec: "1.6", Version: 1, Metadata: metadata{program}, Components: []component{std},
		Serial: serial(sum)}
	on := []string{std.Ref}
	for _, m := range info.Deps {
		c := module("library", m.Path, m.Version)
		c.Properties = []property{{"go:sum", m.Sum}}
		d.Components = append(d.Components, c)
		on = append(on, c.Ref)
	}
	d.Dependencies = []dependency{{program.Ref, on}}
	return d
}

// serial is the UUID (RFC 9562, version 8) that the hash of a binary makes.
func serial(sum [sha256.Size]byte) string {
	u := sum[:16]
	u[6] = u[6]&0x0f | 0x80
	u[8] = u[8]&0x3f | 0x80
	return fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}

func module(kind, path, version string) component {
	purl := "pkg:golang/" + path + "@" + version
	return component{Type: kind, Ref: purl, Name: path, Version: version, PURL: purl}
}
