package main

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"credproxy/proxy"
)

// root is the directory of the tree.
var root = filepath.Join("..", "..")

// A document is one of the tree's Markdown files.
type document struct {
	name   string   // from the root, with slashes
	text   string   // all of it
	prose  string   // without the blocks
	spans  []string // of code, in the prose; white space in them is one space
	blocks []block
}

// A block is what stands between two fences.
type block struct {
	doc, info string // in which document, and the word behind the fence
	line      int
	text      string
}

var codeSpan = regexp.MustCompile("`([^`]+)`")

// documents reads every Markdown file of the tree.
func documents(t *testing.T) (docs []document) {
	t.Helper()
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && file != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "node_modules"):
			return filepath.SkipDir
		case d.IsDir() || filepath.Ext(file) != ".md":
			return nil
		}
		text, err := os.ReadFile(file)
		name, _ := filepath.Rel(root, file)
		docs = append(docs, readDocument(filepath.ToSlash(name), string(text)))
		return err
	})
	if err != nil || len(docs) < 4 {
		t.Fatal(len(docs), "documents", err)
	}
	return docs
}

func readDocument(name, text string) document {
	d := document{name: name, text: text}
	var prose strings.Builder
	var in *block
	n := 0
	for line := range strings.Lines(text) {
		n++
		info, fence := strings.CutPrefix(strings.TrimSpace(line), "```")
		switch {
		case fence && in == nil:
			in = &block{doc: name, info: info, line: n + 1}
		case fence:
			d.blocks, in = append(d.blocks, *in), nil
		case in != nil:
			in.text += line
		default:
			prose.WriteString(line)
		}
	}
	d.prose = prose.String()
	for paragraph := range strings.SplitSeq(d.prose, "\n\n") {
		for _, m := range codeSpan.FindAllStringSubmatch(paragraph, -1) {
			d.spans = append(d.spans, strings.ReplaceAll(strings.Join(strings.Fields(m[1]), " "), `\|`, "|"))
		}
	}
	return d
}

// documentOf is the document of that name.
func documentOf(t *testing.T, name string) document {
	t.Helper()
	docs := documents(t)
	i := slices.IndexFunc(docs, func(d document) bool { return d.name == name })
	if i < 0 {
		t.Fatalf("there is no %s", name)
	}
	return docs[i]
}

// section is the text below a heading, up to the next one of the same or a higher level.
func (d *document) section(t *testing.T, heading string) string {
	t.Helper()
	level, _, _ := strings.Cut(heading, " ")
	_, text, ok := strings.Cut(d.prose, "\n"+heading+"\n")
	if !ok {
		t.Fatalf("%s has no section %s", d.name, heading)
	}
	if next := regexp.MustCompile(`(?m)^#{1,` + strconv.Itoa(len(level)) + `} `).FindStringIndex(text); next != nil {
		text = text[:next[0]]
	}
	return text
}

// words are the spans of code in a text.
func words(text string) (found []string) {
	for _, m := range codeSpan.FindAllStringSubmatch(text, -1) {
		found = append(found, m[1])
	}
	return found
}

// TestReadmeLinks: what a document links to is in the tree, and has the heading that the link names.
func TestReadmeLinks(t *testing.T) {
	docs := documents(t)
	anchors := map[string]map[string]bool{}
	for _, d := range docs {
		anchors[d.name] = map[string]bool{}
		for _, h := range regexp.MustCompile(`(?m)^#{1,6} (.*)$`).FindAllStringSubmatch(d.prose, -1) {
			slug := regexp.MustCompile(`[^\p{L}\p{N} _-]`).ReplaceAllString(strings.ToLower(h[1]), "")
			anchors[d.name][strings.ReplaceAll(slug, " ", "-")] = true
		}
	}
	links := 0
	for _, d := range docs {
		for _, m := range regexp.MustCompile(`\]\(([^)\s]+)\)`).FindAllStringSubmatch(d.prose, -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			links++
			file, anchor, hasAnchor := strings.Cut(m[1], "#")
			target := d.name
			if file != "" {
				target = path.Join(path.Dir(d.name), file)
			}
			if _, err := os.Stat(filepath.Join(root, filepath.FromSlash(target))); err != nil {
				t.Errorf("%s links to %s, which is not there", d.name, m[1])
			} else if hasAnchor && !anchors[target][anchor] {
				t.Errorf("%s links to %s, which has no such heading", d.name, m[1])
			}
		}
	}
	if links < 30 {
		t.Errorf("%d links", links)
	}
}

// elsewhere are variables that look like settings and are none.
var elsewhere = map[string]string{
	"CRED_PROXY_BIN":   "names the binary that the tests run",
	"CRED_PROXY_IMAGE": "is compose.yaml's own",
}

// TestReadmeNames: a flag, a variable, a file, a test, a scenario or a refusal that a document names is there.
func TestReadmeNames(t *testing.T) {
	variables := map[string]bool{}
	for _, s := range defaultOptions().settings() {
		variables[s.env()] = true
	}
	refusals := map[string]int{}
	for _, r := range proxy.Refusals() {
		refusals[r.Code] = r.Status
	}
	flags, tests, names := declaredFlags(t), declaredTests(t), scenarioNames(t)
	var (
		aFlag     = regexp.MustCompile(`^-([a-z][a-z-]*)(=\S+)?$`)
		aVariable = regexp.MustCompile(`\bCRED_PROXY_[A-Z_]+\b`)
		aTest     = regexp.MustCompile(`^(?:Test|Fuzz|Benchmark|Example)[A-Z]\w*$`)
		aScenario = regexp.MustCompile(`^([a-z]+)_[a-z0-9_]+$`)
		aFile     = regexp.MustCompile(`^(?:\./)?[\w.-]+(?:/[\w.*{},-]+)+/?(?: |$)`)
		aRefusal  = regexp.MustCompile("\\b(\\d{3}) `([a-z-]+)`")
	)
	counts := map[string]int{}
	for _, d := range documents(t) {
		seen := func(kind string, ok bool, name string) {
			counts[kind]++
			if !ok {
				t.Errorf("%s: there is no %s %s", d.name, kind, name)
			}
		}
		for _, v := range aVariable.FindAllString(d.text, -1) {
			seen("setting", variables[v] || elsewhere[v] != "", v)
		}
		for _, m := range aRefusal.FindAllStringSubmatch(d.prose, -1) {
			seen("refusal", strconv.Itoa(refusals[m[2]]) == m[1], m[0])
		}
		for _, s := range d.spans {
			if m := aFlag.FindStringSubmatch(s); m != nil {
				seen("flag", flags[m[1]], s)
			}
			if aTest.MatchString(s) {
				seen("test", tests[s], s)
			}
			if m := aScenario.FindStringSubmatch(s); m != nil && slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(n, m[1]+"_") }) {
				seen("scenario or key", slices.Contains(names, s) || isKey(s), s)
			}
			if file := strings.TrimSpace(aFile.FindString(s)); file != "" && inTree(t, d.name, file) {
				seen("file", exists(t, d.name, file), file)
			}
		}
	}
	for _, kind := range []string{"setting", "refusal", "flag", "test", "scenario or key", "file"} {
		if counts[kind] < 2 {
			t.Errorf("of the kind %s there are %d", kind, counts[kind])
		}
	}
}

// TestReadmeScenarios holds the README of the scenarios to what they are about and to their commands, by what the
// commands say of themselves.
func TestReadmeScenarios(t *testing.T) {
	d := documentOf(t, "testdata/scripts/README.md")
	names, sources := scenarioNames(t), testSources(t, "cmd/cred-proxy")
	about, told := "", 0
	text, _, _ := strings.Cut(d.prose, "\n## ") // what a program under test needs comes behind
	for line := range strings.Lines(text) {
		cells := strings.Split(strings.ReplaceAll(line, `\|`, "/"), "|")
		switch {
		case len(cells) < 4:
		case !strings.Contains(cells[1], "`"):
			if !strings.Contains(cells[1], "---") {
				about = strings.TrimSpace(cells[1])
			}
		default:
			for _, span := range words(cells[1]) {
				told++
				of := strings.Fields(strings.TrimPrefix(span, "! "))
				if about == "" { // the table of what they are about
					if !slices.ContainsFunc(names, func(n string) bool { return n == span || strings.HasPrefix(n, span+"_") }) {
						t.Errorf("no scenario is about %s", span)
					}
					continue
				}
				if scriptCommands[of[0]] == nil {
					t.Errorf("%s: there is no command %s", about, of[0])
				}
				for _, f := range regexp.MustCompile(`(?:^|[ \[/])(-[a-z0-9]+)`).FindAllStringSubmatch(span, -1) {
					if !regexp.MustCompile(`(?m)(?://\t|usage\(.*)(?:.*\b)?` + of[0] + ` .*` + f[1] + `\b`).MatchString(sources) {
						t.Errorf("%s: %s has no %s", about, of[0], f[1])
					}
				}
			}
		}
	}
	if told < 70 {
		t.Errorf("%d are told of", told)
	}
}

// isKey reports whether a routes.json, or a route in it, may have such a key.
func isKey(name string) bool {
	for _, form := range []string{`{"routes": [{%q: null}]}`, `{"routes": [], %q: null}`} {
		if _, err := proxy.ParseConfig("", fmt.Appendf(nil, form, name)); err != nil && !strings.Contains(err.Error(), "unknown key") {
			return true
		}
	}
	return false
}

// declaredFlags are the flags of all programs of the tree and of the scenarios' commands.
func declaredFlags(t *testing.T) map[string]bool {
	flags := map[string]bool{}
	for _, c := range append(commands(), command{flags: settingFlags}) {
		for _, f := range flagsOf(c.flags) {
			flags[f.Name] = true
		}
	}
	for _, file := range []string{"ci/bench/main.go", "ci/clients/main.go", "ci/conform/main.go", "fakeupstream/main.go"} {
		for _, m := range regexp.MustCompile(`\.\w+\((?:&[\w.]+, )?"([a-z][a-z-]*)", (?:[^"]+|""), "`).FindAllStringSubmatch(readFile(t, file), -1) {
			flags[m[1]] = true
		}
	}
	for _, m := range regexp.MustCompile(`(?m)usage\(.*?"(.*)"\)$`).FindAllStringSubmatch(testSources(t, "cmd/cred-proxy"), -1) {
		for _, f := range regexp.MustCompile(`-([a-z]+)`).FindAllStringSubmatch(m[1], -1) {
			flags[f[1]] = true
		}
	}
	return flags
}

var aFunc = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark|Example)\w*)\(`)

// declaredTests are all tests of the tree.
func declaredTests(t *testing.T) map[string]bool {
	tests := map[string]bool{}
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(file, "_test.go") {
			return err
		}
		text, err := os.ReadFile(file)
		for _, m := range aFunc.FindAllSubmatch(text, -1) {
			tests[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return tests
}

func scenarioNames(t *testing.T) (names []string) {
	files, err := filepath.Glob(filepath.Join(scripts, "*.txtar"))
	if err != nil || len(files) == 0 {
		t.Fatal("no scenarios", err)
	}
	for _, f := range files {
		names = append(names, strings.TrimSuffix(filepath.Base(f), ".txtar"))
	}
	return names
}

// inTree reports whether a name begins like one of a file of the tree, seen from its root or from the document.
func inTree(t *testing.T, doc, name string) bool {
	first, _, _ := strings.Cut(strings.TrimPrefix(name, "./"), "/")
	return exists(t, doc, first)
}

// exists reports whether a file is there, or whatever a pattern with * and {a,b} names.
func exists(t *testing.T, doc, name string) bool {
	if before, rest, ok := strings.Cut(name, "{"); ok {
		list, after, _ := strings.Cut(rest, "}")
		for one := range strings.SplitSeq(list, ",") {
			if !exists(t, doc, before+one+after) {
				return false
			}
		}
		return true
	}
	for _, dir := range []string{".", path.Dir(doc)} {
		found, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(path.Join(dir, name))))
		if err != nil {
			t.Fatal(err)
		}
		if len(found) > 0 {
			return true
		}
	}
	return false
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// testSources are the tests of a package.
func testSources(t *testing.T, dir string) string { return allText(t, dir+"/*_test.go") }

// allText is the text of all files that a pattern names, of which there must be some.
func allText(t *testing.T, pattern string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(pattern)))
	if err != nil || len(files) == 0 {
		t.Fatalf("nothing is %s: %v", pattern, err)
	}
	var all strings.Builder
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	return all.String()
}
