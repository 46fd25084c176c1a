//go:build linux

package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// buildLimit bounds one run of the go command.
const buildLimit = 15 * time.Minute

// A tree is a copy of the module with all mutants in it, built.
type tree struct {
	dir     string // where the copy is
	bin     string // where its binaries are
	mutants []*Mutant
	tests   []string // the packages whose tests are run, by folder
	sources string   // a hash of what is mutated
}

// makeTree copies the module at root into dir, mutates the packages and builds the program and the tests. What dir holds
// of the same text is taken as it is.
func makeTree(root, dir string, packages []string) (*tree, error) {
	t := &tree{dir: filepath.Join(dir, "tree"), bin: filepath.Join(dir, "bin"), tests: packages}
	before, _ := os.ReadFile(filepath.Join(dir, "hash"))
	os.Remove(filepath.Join(dir, "hash"))
	if err := os.RemoveAll(t.dir); err != nil {
		return nil, err
	}
	hash := sha256.New()
	if err := copyTree(root, t.dir, hash); err != nil {
		return nil, err
	}
	exports, err := listExports(root, packages)
	if err != nil {
		return nil, err
	}
	sources := sha256.New()
	for _, pkg := range packages {
		if err := t.mutate(root, pkg, exports, sources); err != nil {
			return nil, fmt.Errorf("%s: %w", pkg, err)
		}
	}
	for _, m := range t.mutants {
		fmt.Fprintln(sources, m.Key())
	}
	t.sources = hex.EncodeToString(sources.Sum(nil))
	all := hex.EncodeToString(hash.Sum([]byte(t.sources)))
	if all != string(before) {
		if err := t.build(); err != nil {
			return nil, err
		}
	}
	return t, os.WriteFile(filepath.Join(dir, "hash"), []byte(all), 0o666)
}

// copyTree copies what git would, more or less, and hashes it.
func copyTree(from, to string, hash io.Writer) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		switch {
		case name == ".git", name == "dist", name == "coverage":
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case d.IsDir():
			return os.MkdirAll(filepath.Join(to, name), 0o755)
		case d.Type()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			return os.Symlink(target, filepath.Join(to, name))
		case !d.Type().IsRegular():
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		fmt.Fprintf(hash, "%s %d\n", name, len(b))
		hash.Write(b)
		return os.WriteFile(filepath.Join(to, name), b, info.Mode().Perm())
	})
}

// A listed package is what go list says of it.
type listed struct {
	ImportPath, Dir, Export string
	GoFiles                 []string
}

// listExports returns the packages and all that they import, by import path.
func listExports(root string, packages []string) (map[string]*listed, error) {
	args := []string{"list", "-deps", "-export", "-json=ImportPath,Dir,Export,GoFiles"}
	for _, p := range packages {
		args = append(args, "./"+p)
	}
	out, err := goCommand(root, args...)
	if err != nil {
		return nil, err
	}
	all := make(map[string]*listed)
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		p := new(listed)
		if err := d.Decode(p); err == io.EOF {
			return all, nil
		} else if err != nil {
			return nil, err
		}
		all[p.ImportPath] = p
	}
}

// mutate puts the mutants of one package into the copy.
func (t *tree) mutate(root, pkg string, exports map[string]*listed, hash io.Writer) error {
	dir := filepath.Join(root, pkg)
	var p *listed
	for _, q := range exports {
		if q.Dir == dir {
			p = q
		}
	}
	if p == nil {
		return fmt.Errorf("no such package")
	}
	fset := token.NewFileSet()
	var files []*ast.File
	texts := make([][]byte, len(p.GoFiles))
	slices.Sort(p.GoFiles)
	for i, name := range p.GoFiles {
		var err error
		if texts[i], err = os.ReadFile(filepath.Join(dir, name)); err != nil {
			return err
		}
		fmt.Fprintf(hash, "%s/%s %d\n", pkg, name, len(texts[i]))
		hash.Write(texts[i])
		f, err := parser.ParseFile(fset, filepath.Join(dir, name), texts[i], parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		files = append(files, f)
	}
	config := types.Config{Importer: importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) {
		return os.Open(exports[path].Export)
	})}
	info := newInfo()
	checked, err := config.Check(p.ImportPath, fset, files, info)
	if err != nil {
		return err
	}
	for i, f := range files {
		r := &rewriter{
			fset: fset, file: fset.File(f.Pos()), syntax: f, src: texts[i], info: info, pkg: checked,
			path: pkg + "/" + p.GoFiles[i], next: t.next(),
		}
		text, mutants := r.rewrite()
		t.mutants = append(t.mutants, mutants...)
		if err := os.WriteFile(filepath.Join(t.dir, r.path), []byte(text), 0o666); err != nil {
			return err
		}
	}
	return nil
}

// newInfo asks for what a rewriter needs to know.
func newInfo() *types.Info {
	return &types.Info{
		Types: make(map[ast.Expr]types.TypeAndValue), Uses: make(map[*ast.Ident]types.Object),
		Defs: make(map[*ast.Ident]types.Object),
	}
}

// next numbers mutants from 1; 0 is the program as it is.
func (t *tree) next() func() int {
	n := len(t.mutants)
	return func() int { n++; return n }
}

// build makes the program and a test binary of each package.
func (t *tree) build() error {
	if err := os.RemoveAll(t.bin); err != nil {
		return err
	}
	if err := os.MkdirAll(t.bin, 0o755); err != nil {
		return err
	}
	if _, err := goCommand(t.dir, "build", "-o", filepath.Join(t.bin, "cred-proxy"), "./cmd/cred-proxy"); err != nil {
		return err
	}
	for _, pkg := range t.tests {
		if _, err := goCommand(t.dir, "test", "-c", "-o", filepath.Join(t.bin, binary(pkg)), "./"+pkg); err != nil {
			return err
		}
	}
	return nil
}

// binary is the name of a package's tests.
func binary(pkg string) string { return strings.ReplaceAll(pkg, "/", "-") + ".test" }

func goCommand(dir string, args ...string) ([]byte, error) {
	return command(dir, buildLimit, "go", args...)
}

// command returns what a command prints.
func command(dir string, limit time.Duration, name string, args ...string) ([]byte, error) {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if _, err := bounded(cmd, limit); err != nil {
		return nil, fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args[:min(3, len(args))], " "), err, &stderr)
	}
	return stdout.Bytes(), nil
}
