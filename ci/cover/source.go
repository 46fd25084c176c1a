package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// A source is a file of the program.
type source struct {
	lines     []string // without the space around them
	functions []function
}

// A function is one that is declared, with its first and last line. What a variable is declared with is in none.
type function struct {
	name     string // Type.Method, or of no type
	from, to int
}

func readSource(root, file string) (*source, error) {
	text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(file)))
	if err != nil {
		return nil, err
	}
	fset := token.NewFileSet()
	parsed, err := parser.ParseFile(fset, file, text, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	s := &source{}
	for line := range strings.Lines(string(text)) {
		s.lines = append(s.lines, strings.TrimSpace(line))
	}
	for _, d := range parsed.Decls {
		if f, ok := d.(*ast.FuncDecl); ok {
			name := f.Name.Name
			if f.Recv != nil {
				name = receiver(f.Recv.List[0].Type) + "." + name
			}
			s.functions = append(s.functions, function{name, fset.Position(f.Pos()).Line, fset.Position(f.End()).Line})
		}
	}
	return s, nil
}

// receiver is the name of a method's type.
func receiver(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return receiver(e.X)
	case *ast.IndexExpr:
		return receiver(e.X)
	case *ast.Ident:
		return e.Name
	}
	return "?"
}

// in is the function that a line is in.
func (s *source) in(line int) string {
	for _, f := range s.functions {
		if f.from <= line && line <= f.to {
			return f.name
		}
	}
	return "-"
}

// bare is a condition that does not say what it is about.
var bare = regexp.MustCompile(`^(} else )?if !?\w+( [!=]= nil)? {$`)

// text is what is written where a block is: the line where it begins, the first line inside if that is another, and, if
// the condition is bare, the line before.
func (s *source) text(at place) []string {
	line := at.from.line
	var text []string
	if bare.MatchString(s.lines[line-1]) {
		for before := line - 1; before > 0; before-- {
			if s.says(before) {
				text = append(text, s.lines[before-1])
				break
			}
		}
	}
	text = append(text, s.lines[line-1])
	for inside := line + 1; inside <= min(at.to.line, len(s.lines)); inside++ {
		if s.says(inside) {
			return append(text, s.lines[inside-1])
		}
	}
	return text
}

// says reports whether a line is more than space or a comment.
func (s *source) says(line int) bool {
	text := s.lines[line-1]
	return text != "" && !strings.HasPrefix(text, "//")
}

// name gives the blocks, which are sorted, their keys.
func name(root string, blocks []*block) ([]*block, error) {
	var s *source
	var file string
	times := make(map[string]int)
	for _, b := range blocks {
		if b.file != file {
			var err error
			if s, err = readSource(root, b.file); err != nil {
				return nil, err
			}
			file = b.file
		}
		if b.to.line > len(s.lines) {
			return nil, fmt.Errorf("%s has changed since it was measured", b.file)
		}
		place, text := b.file+" "+s.in(b.from.line), "\n| "+strings.Join(s.text(b.place), "\n| ")
		times[place+text]++
		if n := times[place+text]; n > 1 {
			place += fmt.Sprintf(" #%d", n)
		}
		b.key = place + text
	}
	return blocks, nil
}
