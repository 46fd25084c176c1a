package proxy

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestTour: the comment of proxy.go leads to every file of the package, a system's own aside, and to none that is not there.
func TestTour(t *testing.T) {
	text, err := os.ReadFile("proxy.go")
	if err != nil {
		t.Fatal(err)
	}
	comment, _, _ := strings.Cut(string(text), "\npackage proxy\n")
	named := map[string]bool{"proxy.go": true}
	for _, name := range regexp.MustCompile(`\w+\.go`).FindAllString(comment, -1) {
		named[name] = true
		if _, err := os.Stat(name); err != nil {
			t.Errorf("it leads to %s, which is not there", name)
		}
	}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if !strings.Contains(name, "_") && !named[name] {
			t.Errorf("it does not lead to %s", name)
		}
	}
}

// TestFirstComments: the first thing in a file behind its imports is a comment, which tells what lives there.
func TestFirstComments(t *testing.T) {
	seen := 0
	err := filepath.WalkDir("..", func(name string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(name, ".go") {
			return err
		}
		seen++
		files := token.NewFileSet()
		f, err := parser.ParseFile(files, name, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		if f.Doc != nil {
			return nil
		}
		behind, first := f.Name.End(), f.FileEnd
		for _, d := range f.Decls {
			if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.IMPORT {
				behind = d.End()
				continue
			}
			first = d.Pos()
			break
		}
		for _, c := range f.Comments {
			if c.Pos() > behind && c.Pos() < first && !strings.HasPrefix(c.List[0].Text, "//go:") {
				return nil
			}
		}
		t.Errorf("%s does not begin with a comment that tells what lives there", name)
		return nil
	})
	if err != nil || seen < 100 {
		t.Fatalf("%d files, %v", seen, err)
	}
}
