//go:build linux

package main

import (
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// exports are the packages that the sources here import.
var exports = sync.OnceValues(func() (map[string]*listed, error) {
	return listExports("../..", []string{"ci/mutate/mutant"})
})

// check reads a package of one file.
func check(t *testing.T, src string) (*token.FileSet, *ast.File, *types.Package, *types.Info) {
	t.Helper()
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, "f.go", src, parser.ParseComments)
	if err != nil {
		t.Fatalf("%v\n%s", err, src)
	}
	info := newInfo()
	imports, err := exports()
	if err != nil {
		t.Fatal(err)
	}
	config := types.Config{Importer: importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) {
		return os.Open(imports[path].Export)
	})}
	pkg, err := config.Check("p", fset, []*ast.File{f}, info)
	if err != nil {
		t.Fatalf("%v\n%s", err, src)
	}
	return fset, f, pkg, info
}

func mutate(t *testing.T, src string) (string, []*Mutant) {
	t.Helper()
	fset, f, pkg, info := check(t, src)
	n := 0
	r := &rewriter{
		fset: fset, file: fset.File(f.Pos()), syntax: f, src: []byte(src), info: info, pkg: pkg, path: "p/f.go",
		next: func() int { n++; return n },
	}
	return r.rewrite()
}

// TestMutants checks what the mutants of each construct are, and that they compile.
func TestMutants(t *testing.T) {
	for body, want := range map[string]string{
		"if a < b { f() }":         "if a < b → if false; a < b → a <= b; a < b → a >= b; f() → ",
		"if ok { f() }":            "if ok → if !ok; if ok → if false; f() → ",
		"if !ok && a == b { g() }": "if !ok && a == b → if false; !ok && a == b → !ok || a == b; !ok → ok; a == b → a != b; g() → ",
		"switch { case a > b, ok: f() }": "case a > b → case false; case ok → case !ok; case ok → case false; " +
			"a > b → a >= b; a > b → a <= b; f() → ",
		"switch a { case 2: defer f() }": "2 → 2 + 1; 2 → 2 - 1; defer f() → ",
		"a = b &^ 1":                     "a = b &^ 1 → ; b &^ 1 → b & 1; 1 → 1 + 1; 1 → 1 - 1",
		"a += b << 0":                    "a += b << 0 → ; a += b << 0 → a -= b << 0; b << 0 → b >> 0",
		"a *= -b":                        "a *= -b → ; a *= -b → a /= -b; -b → b",
		"for a = 0; a < b; a++ { if ok { continue }; break }": "0 → 0 + 1; a < b → a <= b; a < b → a >= b; a++ → a--; " +
			"if ok → if !ok; if ok → if false; continue → break; break → continue",
		"if a -= b; a != b { g() }":                                "if a != b → if false; a -= b → a += b; a -= b → ; a != b → a == b; g() → ",
		"if a = b; ok { g() }":                                     "if ok → if !ok; if ok → if false; a = b → ; g() → ",
		"ok = flag(true) == x":                                     "ok = flag(true) == x → ; flag(true) == x → flag(true) != x",
		"for { if ok || g() { break } }; f()":                      "if ok || g() → if false; ok || g() → ok && g(); f() → ",
		"x := [4]int{1: a}; _ = x[min(a, 3)]; f()":                 "3 → 3 + 1; 3 → 3 - 1; f() → ",
		"const c = 1 << 4; var d time.Duration = 5":                "",
		"_ = time.Second * 5; _ = uint8(b) << 1":                   "uint8(b) << 1 → uint8(b) >> 1",
		"_ = func() (int, bool, error) { return 2 * a, false, e }": "2 * a → 2 / a; 2 → 2 + 1; 2 → 2 - 1",
		"_ = func() (int, error) { return 0, nil }":                "0 → 0 + 1",
		`_ = "a" + s; panic(s)`:                                    "",
		"select { case c <- a: f(); default: c <- b}":              "f() → ; c <- b → ",
	} {
		src := `package p
import "time"
type flag bool
func f() { _ = time.Second }
func g() bool { return ok }
var (a, b int; ok bool; x flag; s string; c chan int; e error)
func test() { ` + body + ` }
`
		src = strings.ReplaceAll(src, "var d time.Duration = 5", "var d time.Duration = 5; _ = d")
		text, mutants := mutate(t, src)
		var got []string
		for _, m := range mutants {
			got = append(got, m.Original+" → "+m.Mutated)
			if m.Line != 7 || m.Func != "test" || m.File != "p/f.go" || m.Package != "p" {
				t.Errorf("%s: %+v", body, m)
			}
		}
		if got := strings.Join(got, "; "); got != want {
			t.Errorf("%s\n got %s\nwant %s", body, got, want)
		}
		check(t, text)
	}
}

// TestKey checks that a mutant's name tells those that read the same apart, and does not depend on lines.
func TestKey(t *testing.T) {
	const f = "package p\ntype T[U any] struct{ a int }\nfunc (t *T[U]) f() { t.a++; t.a++ }\n"
	_, mutants := mutate(t, f)
	_, moved := mutate(t, strings.ReplaceAll(f, ";", "\n"))
	if len(mutants) != 2 || mutants[1].Key() != "p/f.go T.f #2\n- t.a++\n+ t.a--" || mutants[1].Key() != moved[1].Key() {
		t.Errorf("%+v", mutants)
	}
}

// TestEquivalents checks the form of equivalent.txt.
func TestEquivalents(t *testing.T) {
	all, err := readEquivalents("equivalent.txt")
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d equivalent mutants", len(all))
	file := filepath.Join(t.TempDir(), "equivalent.txt")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	write("# About it.\n\n# p/f.go:7: if a < b {\n# lived\np/f.go test\n- a < b\n+ a <= b\nThey never meet,\nas somebody said.\n" +
		"\np/f.go test\n- f()\n+\nIt does nothing.\n")
	all, err = readEquivalents(file)
	if err != nil {
		t.Fatal(err)
	}
	if e := all["p/f.go test\n- a < b\n+ a <= b"]; len(all) != 2 || e.reason != "They never meet, as somebody said." {
		t.Errorf("%q", all)
	}
	removed := &Mutant{File: "p/f.go", Func: "test", Original: "f()", Nth: 1}
	if _, ok := all[normal(removed.Key())]; !ok {
		t.Errorf("%q is not in %q", removed.Key(), all)
	}
	err = stale(all, []*Mutant{removed})
	if err == nil || !strings.Contains(err.Error(), "a <= b") || strings.Contains(err.Error(), "f()") {
		t.Error(err)
	}
	for _, wrong := range []string{"p/f.go test\n- a\n+ b\n", "p/f.go test\na\nb\nreason\n", "p/f.go test\n- a\n"} {
		write(wrong)
		if all, err := readEquivalents(file); err == nil {
			t.Errorf("%q is read as %q", wrong, all)
		}
	}
}
