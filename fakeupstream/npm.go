package fakeupstream

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha1"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
)

// An npm registry.

var npmBuiltins = []builtin{
	{"/npm/", "an npm registry with the packages fake-left and @fake/greeter, whose tarballs are named by absolute URLs; scoped ones want a token", newNPM},
}

// An npmPackage is a package of the registry.
type npmPackage struct {
	name     string
	versions []npmVersion // the last is the latest
}

type npmVersion struct {
	version      string
	index        string // its index.js
	dependencies map[string]string
}

var npmPackages = []npmPackage{
	{"fake-left", []npmVersion{
		{"1.0.0", "module.exports = s => '<' + s;\n", nil},
		{"1.1.0", "module.exports = s => '<- ' + s;\n", nil},
	}},
	{"@fake/greeter", []npmVersion{
		{"2.0.0", "const left = require('fake-left');\nmodule.exports = name => left('Hello, ' + name);\n", map[string]string{"fake-left": "^1.0.0"}},
	}},
}

func (p *npmPackage) manifest(v npmVersion) object {
	m := object{
		"name": p.name, "version": v.version, "main": "index.js", "license": "MIT",
		"description": "A package of the fake upstream.",
	}
	if v.dependencies != nil {
		m["dependencies"] = v.dependencies
	}
	return m
}

// file returns the name of a version's tarball.
func (p *npmPackage) file(v npmVersion) string {
	return p.name[strings.IndexByte(p.name, '/')+1:] + "-" + v.version + ".tgz"
}

// npmTarballs returns the tarballs by package and file name.
var npmTarballs = sync.OnceValue(func() map[string][]byte {
	tarballs := map[string][]byte{}
	for _, p := range npmPackages {
		for _, v := range p.versions {
			manifest, _ := marshal(p.manifest(v))
			tarballs[p.name+"/-/"+p.file(v)] = tarball(
				archived{"package/package.json", append(manifest, '\n')},
				archived{"package/index.js", []byte(v.index)},
			)
		}
	}
	return tarballs
})

// archived is a file of an archive.
type archived struct {
	name string
	body []byte
}

// tarball returns a gzip'd tar of the files, the same for the same files.
func tarball(files ...archived) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	t := tar.NewWriter(z)
	for _, f := range files {
		t.WriteHeader(&tar.Header{Name: f.name, Mode: 0o644, Size: int64(len(f.body)), Format: tar.FormatUSTAR})
		t.Write(f.body)
	}
	t.Close()
	z.Close()
	return b.Bytes()
}

// newNPM is the registry. A scoped name has a slash, encoded or not.
func newNPM(p params) (Behaviour, error) {
	path, err := url.PathUnescape(p.arg)
	if err != nil {
		return nil, err
	}
	registry := p.base + "/npm/"
	if strings.HasPrefix(path, "-/") {
		return npmService(path), nil
	}
	b := func(x *Exchange) error { return npmError(x, http.StatusNotFound, "Not found") }
	for i := range npmPackages {
		pkg := &npmPackages[i]
		rest, ok := strings.CutPrefix(path, pkg.name)
		switch {
		case !ok:
		case rest == "":
			b = func(x *Exchange) error { return npmPackument(x, pkg, registry) }
		case strings.HasPrefix(rest, "/-/") && npmTarballs()[path] != nil:
			b = func(x *Exchange) error {
				return x.Answer(http.StatusOK, npmTarballs()[path], Field{"Content-Type", "application/octet-stream"})
			}
		default:
			for _, v := range pkg.versions {
				if rest == "/"+v.version || rest == "/latest" {
					b = func(x *Exchange) error { return x.JSON(http.StatusOK, npmDescribe(x, pkg, v, registry)) }
				}
			}
		}
	}
	return func(x *Exchange) error {
		if _, err := x.ReadBody(); err != nil {
			return err
		}
		if strings.HasPrefix(path, "@") && !x.allowed() {
			return npmError(x, http.StatusUnauthorized, "a token is required")
		}
		if m := x.rec.Method; m != http.MethodGet && m != http.MethodHead {
			return npmError(x, http.StatusMethodNotAllowed, "the registry is read-only")
		}
		return b(x)
	}, nil
}

func npmError(x *Exchange, status int, message string) error {
	return x.JSON(status, object{"error": message})
}

// npmService answers what npm asks besides packages.
func npmService(path string) Behaviour {
	return func(x *Exchange) error {
		if _, err := x.ReadBody(); err != nil {
			return err
		}
		switch {
		case path == "-/ping", strings.HasPrefix(path, "-/npm/v1/security/"):
			return x.JSON(http.StatusOK, object{})
		case path == "-/whoami" && x.allowed():
			return x.JSON(http.StatusOK, object{"username": "agent"})
		case path == "-/whoami":
			return npmError(x, http.StatusUnauthorized, "a token is required")
		}
		return npmError(x, http.StatusNotFound, "Not found")
	}
}

func npmPackument(x *Exchange, p *npmPackage, registry string) error {
	versions, times := object{}, object{}
	latest := ""
	for _, v := range p.versions {
		latest = v.version
		versions[latest] = npmDescribe(x, p, v, registry)
		times[latest] = "2023-11-14T22:13:20.000Z"
	}
	body, err := marshal(object{
		"_id": p.name, "name": p.name, "dist-tags": object{"latest": latest},
		"versions": versions, "time": times, "modified": "2023-11-14T22:13:20.000Z",
	})
	if err != nil {
		return err
	}
	kind := "application/json"
	if strings.Contains(x.rec.Get("Accept"), "application/vnd.npm.install-v1+json") {
		kind = "application/vnd.npm.install-v1+json"
	}
	return x.Answer(http.StatusOK, append(body, '\n'), Field{"Content-Type", kind}, Field{"Vary", "Accept"})
}

// npmDescribe describes a version; its tarball is at the server's own host.
func npmDescribe(x *Exchange, p *npmPackage, v npmVersion, registry string) object {
	path := p.name + "/-/" + p.file(v)
	sum1, sum512 := sha1.Sum(npmTarballs()[path]), sha512.Sum512(npmTarballs()[path])
	m := p.manifest(v)
	m["_id"] = fmt.Sprintf("%s@%s", p.name, v.version)
	m["dist"] = object{
		"tarball":   x.absolute(registry + path),
		"shasum":    hex.EncodeToString(sum1[:]),
		"integrity": "sha512-" + base64.StdEncoding.EncodeToString(sum512[:]),
	}
	return m
}
