package fakeupstream

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
)

// A Python package index.

var pypiBuiltins = []builtin{
	{"/pypi/", "a Python package index, simple/ (HTML and JSON) with the packages fake-left and fake-greeter, whose files are below files= (../../files/); wants a token", newPyPI},
}

// A pyPackage is a package of the index, of one version.
type pyPackage struct {
	name, version string
	source        string // its module's
	requires      string
}

var pyPackages = []pyPackage{
	{"fake-left", "1.1.0", "def left(s):\n    return '<- ' + s\n", ""},
	{"fake-greeter", "2.0.0", "from fake_left import left\n\n\ndef greet(name):\n    return left('Hello, ' + name)\n", "fake-left>=1.0"},
}

func (p *pyPackage) module() string { return strings.ReplaceAll(p.name, "-", "_") }

func (p *pyPackage) file() string { return p.module() + "-" + p.version + "-py3-none-any.whl" }

// wheels returns the wheels by file name.
var wheels = sync.OnceValue(func() map[string][]byte {
	files := map[string][]byte{}
	for i := range pyPackages {
		files[pyPackages[i].file()] = pyPackages[i].wheel()
	}
	return files
})

// wheel returns the package in the binary distribution format.
func (p *pyPackage) wheel() []byte {
	info := p.module() + "-" + p.version + ".dist-info/"
	metadata := fmt.Sprintf("Metadata-Version: 2.1\nName: %s\nVersion: %s\nSummary: A package of the fake upstream.\n", p.name, p.version)
	if p.requires != "" {
		metadata += "Requires-Dist: " + p.requires + "\n"
	}
	files := []archived{
		{p.module() + ".py", []byte(p.source)},
		{info + "METADATA", []byte(metadata)},
		{info + "WHEEL", []byte("Wheel-Version: 1.0\nGenerator: fakeupstream\nRoot-Is-Purelib: true\nTag: py3-none-any\n")},
	}
	record := ""
	for _, f := range files {
		sum := sha256.Sum256(f.body)
		record += fmt.Sprintf("%s,sha256=%s,%d\n", f.name, base64.RawURLEncoding.EncodeToString(sum[:]), len(f.body))
	}
	files = append(files, archived{info + "RECORD", []byte(record + info + "RECORD,,\n")})

	return zipped(files)
}

// zipped returns the files as a ZIP archive.
func zipped(files []archived) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, f := range files {
		if w, err := z.Create(f.name); err == nil {
			w.Write(f.body)
		}
	}
	z.Close()
	return b.Bytes()
}

// newPyPI is the index. Its links are relative, as pip allows, unless files= says otherwise.
func newPyPI(p params) (Behaviour, error) {
	path, err := url.PathUnescape(p.arg)
	if err != nil {
		return nil, err
	}
	return guarded(func(x *Exchange) error {
		if _, err := x.ReadBody(); err != nil {
			return err
		}
		if file, ok := strings.CutPrefix(path, "files/"); ok && wheels()[file] != nil {
			return x.Answer(http.StatusOK, wheels()[file], Field{"Content-Type", "application/octet-stream"})
		}
		project, ok := strings.CutPrefix(path, "simple/")
		if !ok {
			return Like("/status/404")(x)
		}
		if project == "" {
			return simpleIndex(x)
		}
		name := strings.TrimSuffix(project, "/")
		if proper := normalName(name); proper+"/" != project { // PEP 503
			return x.Answer(http.StatusMovedPermanently, nil, Field{"Location", p.base + "/pypi/simple/" + proper + "/"})
		}
		for i := range pyPackages {
			if pyPackages[i].name == name {
				return simpleProject(x, &pyPackages[i], p.str("files", "../../files/"))
			}
		}
		return Like("/status/404")(x)
	}), nil
}

// normalName is a name in lower case, with one hyphen for each run of separators.
func normalName(name string) string {
	var b strings.Builder
	for i := range len(name) {
		switch c := name[i]; {
		case strings.IndexByte("-_.", c) < 0:
			b.WriteByte(c)
		case i == 0 || strings.IndexByte("-_.", name[i-1]) < 0:
			b.WriteByte('-')
		}
	}
	return strings.ToLower(b.String())
}

const simpleJSON = "application/vnd.pypi.simple.v1+json" // PEP 691

func simpleIndex(x *Exchange) error {
	var projects []object
	html := "<!DOCTYPE html>\n<title>Simple index</title>\n"
	for _, p := range pyPackages {
		projects = append(projects, object{"name": p.name})
		html += fmt.Sprintf("<a href=\"%s/\">%s</a><br>\n", p.name, p.name)
	}
	return simple(x, object{"meta": object{"api-version": "1.0"}, "projects": projects}, html)
}

func simpleProject(x *Exchange, p *pyPackage, files string) error {
	sum := sha256.Sum256(wheels()[p.file()])
	digest := hex.EncodeToString(sum[:])
	href := files + p.file()
	file := object{"filename": p.file(), "url": href, "hashes": object{"sha256": digest}, "requires-python": ">=3.6"}
	html := fmt.Sprintf("<!DOCTYPE html>\n<title>%s</title>\n<a href=\"%s#sha256=%s\" data-requires-python=\"&gt;=3.6\">%s</a><br>\n",
		p.name, href, digest, p.file())
	return simple(x, object{"meta": object{"api-version": "1.0"}, "name": p.name, "files": []object{file}}, html)
}

// simple answers with a page as JSON or, to those who do not ask for it, HTML.
func simple(x *Exchange, page object, html string) error {
	vary := Field{"Vary", "Accept"}
	if !strings.Contains(x.rec.Get("Accept"), simpleJSON) {
		return x.Answer(http.StatusOK, []byte(html), Field{"Content-Type", "text/html; charset=utf-8"}, vary)
	}
	body, err := marshal(page)
	if err != nil {
		return err
	}
	return x.Answer(http.StatusOK, append(body, '\n'), Field{"Content-Type", simpleJSON}, vary)
}
