package fakeupstream

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
)

// A Go module proxy.

var goBuiltins = []builtin{
	{"/goproxy/", "a Go module proxy with the modules fake.test/left and fake.test/greeter; wants a token", newGoProxy},
}

// A goModule is a module of the proxy.
type goModule struct {
	path     string
	versions []string // the last is the latest
	source   string   // of its package
	requires string
}

var goModules = []goModule{
	{"fake.test/left", []string{"v1.0.0", "v1.1.0"}, "package left\n\nfunc Left(s string) string { return \"<- \" + s }\n", ""},
	{"fake.test/greeter", []string{"v1.2.0"},
		"package greeter\n\nimport \"fake.test/left\"\n\nfunc Greet(name string) string { return left.Left(\"Hello, \" + name) }\n",
		"\nrequire fake.test/left v1.0.0\n"},
}

func (m *goModule) mod() []byte {
	return []byte("module " + m.path + "\n\ngo 1.20\n" + m.requires)
}

const goTime = "2023-11-14T22:13:20Z"

// goFiles returns what the proxy has, by path.
var goFiles = sync.OnceValue(func() map[string][]byte {
	files := map[string][]byte{}
	for i := range goModules {
		m := &goModules[i]
		info := func(version string) []byte { return fmt.Appendf(nil, "{\"Version\":%q,\"Time\":%q}", version, goTime) }
		files[m.path+"/@v/list"] = []byte(strings.Join(m.versions, "\n") + "\n")
		files[m.path+"/@latest"] = info(m.versions[len(m.versions)-1])
		for _, v := range m.versions {
			files[m.path+"/@v/"+v+".info"] = info(v)
			files[m.path+"/@v/"+v+".mod"] = m.mod()
			files[m.path+"/@v/"+v+".zip"] = m.zip(v)
		}
	}
	return files
})

// zip returns a version of the module in the form that the go command unpacks.
func (m *goModule) zip(version string) []byte {
	dir, name := m.path+"@"+version+"/", m.path[strings.LastIndexByte(m.path, '/')+1:]
	return zipped([]archived{{dir + "go.mod", m.mod()}, {dir + name + ".go", []byte(m.source)}})
}

// newGoProxy is the module proxy. It has no checksum database.
func newGoProxy(p params) (Behaviour, error) {
	path, err := url.PathUnescape(p.arg)
	if err != nil {
		return nil, err
	}
	return guarded(func(x *Exchange) error {
		if _, err := x.ReadBody(); err != nil {
			return err
		}
		file, ok := goFiles()[path]
		if !ok {
			return x.Answer(http.StatusNotFound, []byte("not found: "+path+"\n"), plainText)
		}
		kind := "text/plain; charset=utf-8"
		switch {
		case strings.HasSuffix(path, ".zip"):
			kind = "application/zip"
		case !strings.HasSuffix(path, "/list") && !strings.HasSuffix(path, ".mod"):
			kind = "application/json"
		}
		return x.Answer(http.StatusOK, file, Field{"Content-Type", kind})
	}), nil
}
