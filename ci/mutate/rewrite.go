//go:build linux

package main

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/constant"
	"go/token"
	"go/types"
	"slices"
	"strings"
)

// A Mutant is one change to the program.
type Mutant struct {
	ID       int
	Package  string // its folder
	File     string // from the root of the module
	Line     int
	Func     string // Type.Method, or empty outside of functions
	Original string // on one line
	Mutated  string
	Nth      int    // of those in the function that read the same, from 1
	Context  string // the line
}

// Key names a mutant for as long as its function's text around it does not change.
func (m *Mutant) Key() string {
	s := m.File + " " + cmp.Or(m.Func, "-")
	if m.Nth > 1 {
		s += fmt.Sprintf(" #%d", m.Nth)
	}
	return s + "\n- " + m.Original + "\n+ " + m.Mutated
}

// support is the import of package mutant in a mutated file; the name is nobody's.
const (
	support     = "mutant__"
	supportPath = "credproxy/ci/mutate/mutant"
)

// A rewriter puts all mutants of a file into its text.
type rewriter struct {
	fset   *token.FileSet
	file   *token.File
	syntax *ast.File
	src    []byte
	info   *types.Info
	pkg    *types.Package
	path   string
	next   func() int // the number for another mutant

	mutants []*Mutant
	edits   []edit
	stack   []ast.Node
	leave   [][]func()
	asIs    map[ast.Node]bool // what must not be changed
	fn      string
	seen    map[string]int
}

// An edit replaces src[from:to]. What closes an expression goes before what opens another one at the same place.
type edit struct {
	from, to int
	text     string
	opens    bool
}

// rewrite returns the mutated text and what is in it.
func (r *rewriter) rewrite() (string, []*Mutant) {
	r.asIs, r.seen = make(map[ast.Node]bool), make(map[string]int)
	for _, d := range r.syntax.Decls {
		r.fn = ""
		if f, ok := d.(*ast.FuncDecl); ok {
			r.fn = f.Name.Name
			if f.Recv != nil {
				t := f.Recv.List[0].Type
				if star, ok := t.(*ast.StarExpr); ok {
					t = star.X
				}
				if index, ok := t.(*ast.IndexExpr); ok {
					t = index.X
				}
				r.fn = r.text(t) + "." + r.fn
			}
		}
		ast.Inspect(d, r.visit)
	}
	if len(r.mutants) == 0 {
		return string(r.src), nil
	}
	at := r.offset(r.syntax.Name.End())
	r.edits = append(r.edits, edit{at, at, "; import " + support + " \"" + supportPath + "\"", false})
	slices.SortStableFunc(r.edits, func(a, b edit) int {
		if c := cmp.Compare(a.from, b.from); c != 0 || a.opens == b.opens {
			return c
		}
		if b.opens {
			return -1
		}
		return 1
	})
	var out strings.Builder
	done := 0
	for _, e := range r.edits {
		out.Write(r.src[done:e.from])
		out.WriteString(e.text)
		done = e.to
	}
	out.Write(r.src[done:])
	return out.String(), r.mutants
}

func (r *rewriter) visit(n ast.Node) bool {
	if n == nil {
		last := len(r.stack) - 1
		for _, f := range slices.Backward(r.leave[last]) {
			f()
		}
		r.stack, r.leave = r.stack[:last], r.leave[:last]
		return true
	}
	if r.asIs[n] || !r.enters(n) {
		return false
	}
	if ret, ok := n.(*ast.ReturnStmt); ok {
		r.returns(ret)
		return false
	}
	r.stack, r.leave = append(r.stack, n), append(r.leave, nil)
	r.mutate(n)
	return true
}

// returns makes the mutants of a return statement. Nobody reads a constant that is returned beside an error.
func (r *rewriter) returns(n *ast.ReturnStmt) {
	for _, e := range n.Results {
		if r.info.Types[e].Value == nil || !r.isError(n.Results[len(n.Results)-1]) {
			ast.Inspect(e, r.visit)
		}
	}
}

func (r *rewriter) isError(e ast.Expr) bool {
	tv := r.info.Types[e]
	return !tv.IsNil() && tv.Type != nil && types.AssignableTo(tv.Type, types.Universe.Lookup("error").Type())
}

// enters makes the mutants of constants, and says whether there is more in n.
func (r *rewriter) enters(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.GenDecl:
		return n.Tok == token.VAR
	case *ast.FuncType, *ast.FieldList, *ast.BasicLit:
		if lit, ok := n.(*ast.BasicLit); ok {
			r.constant(lit)
		}
		return false
	case ast.Expr:
		tv, ok := r.info.Types[n]
		if ok && tv.IsType() {
			return false
		}
		if ok && tv.Value != nil {
			r.constant(n)
			return false
		}
	}
	return true
}

// constant makes the mutants of an expression that is constant as a whole.
func (r *rewriter) constant(e ast.Expr) {
	tv := r.info.Types[e]
	basic, ok := tv.Type.Underlying().(*types.Basic)
	if !ok {
		return
	}
	if id, ok := e.(*ast.Ident); ok && (id.Name == "true" || id.Name == "false") && isBool(tv.Type) {
		other := map[string]string{"true": "false", "false": "true"}[id.Name]
		n := r.add(e, id.Name, other)
		r.around(e, "("+id.Name+" != "+on(n)+")", "", true)
		return
	}
	literal := false
	ast.Inspect(e, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.INT {
			literal = true
		}
		return true
	})
	name, ok := r.typeName(tv.Type)
	if !literal || !ok || basic.Info()&types.IsInteger == 0 || name == "time.Duration" {
		return
	}
	text := r.text(e)
	n := r.add(e, text, text+" + 1")
	before, after := fmt.Sprintf("%s.More[%s](%d, ", support, name, n), ")"
	if constant.Sign(tv.Value) > 0 {
		n := r.add(e, text, text+" - 1")
		before, after = fmt.Sprintf("%s.Fewer[%s](%d, ", support, name, n)+before, "))"
	}
	r.insert(e.Pos(), before, true)
	r.insert(e.End(), after, false)
}

var calls = map[token.Token][2]string{
	token.ADD: {"Add", "-"}, token.SUB: {"Sub", "+"},
	token.MUL: {"Mul", "/"}, token.QUO: {"Quo", "*"}, token.REM: {"Rem", "*"},
	token.AND: {"And", "|"}, token.OR: {"Or", "&"}, token.XOR: {"Xor", "&"}, token.AND_NOT: {"AndNot", "&"},
	token.SHL: {"Shl", ">>"}, token.SHR: {"Shr", "<<"},
	token.LSS: {"Less", "<="}, token.LEQ: {"LessEqual", "<"},
	token.GTR: {"Greater", ">="}, token.GEQ: {"GreaterEqual", ">"},
}

var negations = map[token.Token]string{
	token.EQL: "!=", token.NEQ: "==", token.LSS: ">=", token.LEQ: ">", token.GTR: "<=", token.GEQ: "<",
	token.LAND: "||", token.LOR: "&&",
}

// mutate makes the mutants of a node that is no constant.
func (r *rewriter) mutate(n ast.Node) {
	switch n := n.(type) {
	case *ast.CompositeLit:
		t := r.info.Types[n].Type.Underlying()
		if p, ok := t.(*types.Pointer); ok {
			t = p.Elem().Underlying()
		}
		for _, e := range n.Elts {
			if kv, ok := e.(*ast.KeyValueExpr); ok {
				if _, ok := t.(*types.Map); !ok {
					r.asIs[kv.Key] = true
				}
			}
		}
	case *ast.BinaryExpr:
		r.binary(n)
	case *ast.UnaryExpr:
		switch {
		case n.Op == token.NOT && isBool(r.info.Types[n].Type):
			id := r.add(n, r.text(n), r.text(n.X))
			r.around(n, "((", ") != "+on(id)+")", false)
		case n.Op == token.SUB && isNumber(r.info.Types[n].Type):
			id := r.add(n, r.text(n), r.text(n.X))
			r.around(n, fmt.Sprintf("%s.Negated(%d, ", support, id), ")", false)
		}
	case *ast.IfStmt:
		r.condition(n.Cond, "if ")
	case *ast.SwitchStmt:
		if n.Tag == nil {
			for _, c := range n.Body.List {
				for _, e := range c.(*ast.CaseClause).List {
					r.condition(e, "case ")
				}
			}
		}
	case ast.Stmt:
		r.statement(n)
	}
}

// condition makes the mutants of what decides: it is never true, and where it has no operator to change, the opposite.
func (r *rewriter) condition(e ast.Expr, what string) {
	tv := r.info.Types[e]
	if tv.Value != nil || !isBool(tv.Type) {
		return
	}
	after := ""
	bare := ast.Unparen(e)
	if _, ok := bare.(*ast.BinaryExpr); !ok {
		if u, ok := bare.(*ast.UnaryExpr); !ok || u.Op != token.NOT {
			after = " != " + on(r.add(e, what+r.text(e), what+"!"+r.text(e)))
		}
	}
	never := r.add(e, what+r.text(e), what+"false")
	r.insert(e.Pos(), "(((", true)
	r.atLeave(func() { r.insert(e.End(), ")"+after+") && !"+on(never)+")", false) })
}

func (r *rewriter) binary(n *ast.BinaryExpr) {
	with := func(op string) string { return r.text(n.X) + " " + op + " " + r.text(n.Y) }
	switch n.Op {
	case token.LAND, token.LOR:
		if !isBool(r.info.Types[n.X].Type) || !isBool(r.info.Types[n.Y].Type) {
			return
		}
		// a || b is !(!a && !b)
		is := on(r.add(n, r.text(n), with(negations[n.Op])))
		r.insert(n.Pos(), "(((", true)
		r.insert(n.Y.Pos(), "(", true)
		r.atLeave(func() {
			r.insert(n.X.End(), ") != "+is, false)
			r.insert(n.Y.End(), ") != "+is+") != "+is+")", false)
		})
	case token.EQL, token.NEQ:
		id := r.add(n, r.text(n), with(negations[n.Op]))
		r.around(n, "((", ") != "+on(id)+")", false)
	case token.LSS, token.LEQ, token.GTR, token.GEQ:
		call := calls[n.Op]
		id := r.add(n, r.text(n), with(call[1]))
		not := r.add(n, r.text(n), with(negations[n.Op]))
		r.around(n, fmt.Sprintf("((%s.%s(%d, ", support, call[0], id), ")) != "+on(not)+")", false)
		r.replace(n.OpPos, len(n.Op.String()), ",")
	default:
		call, ok := calls[n.Op]
		t := r.info.Types[n].Type
		name, spelled := r.typeName(t)
		if !ok || !isNumber(t) || !spelled {
			return
		}
		id := r.add(n, r.text(n), with(call[1]))
		r.around(n, fmt.Sprintf("%s.%s[%s](%d, ", support, call[0], name, id), ")", false)
		r.replace(n.OpPos, len(n.Op.String()), ",")
	}
}

// statement makes the mutants of a statement: it is left out, or does the opposite.
func (r *rewriter) statement(n ast.Stmt) {
	listed := r.listed()
	removable := func() {
		if listed {
			id := r.add(n, r.text(n), "")
			r.around(n, "if !"+on(id)+" { ", " }", false)
		}
	}
	switch n := n.(type) {
	case *ast.ExprStmt:
		if call, ok := n.X.(*ast.CallExpr); ok {
			if id, ok := call.Fun.(*ast.Ident); ok && id.Name == "panic" {
				return
			}
		}
		removable()
	case *ast.DeferStmt, *ast.GoStmt, *ast.SendStmt:
		removable()
	case *ast.IncDecStmt:
		t := r.info.Types[n.X].Type
		name, ok := r.typeName(t)
		if !ok || !isNumber(t) {
			return
		}
		op, other := "+", "--"
		if n.Tok == token.DEC {
			op, other = "-", "++"
		}
		id := r.add(n, r.text(n), r.text(n.X)+other)
		r.replace(n.TokPos, 2, fmt.Sprintf(" %s= %s.Negated[%s](%d, 1)", op, support, name, id))
	case *ast.AssignStmt:
		r.assignment(n, listed, removable)
	case *ast.BranchStmt:
		r.branch(n, listed)
	}
}

func (r *rewriter) assignment(n *ast.AssignStmt, listed bool, removable func()) {
	if n.Tok == token.DEFINE || !slices.ContainsFunc(n.Lhs, func(e ast.Expr) bool { return r.text(e) != "_" }) {
		return
	}
	removable()
	if len(n.Lhs) != 1 || len(n.Rhs) != 1 {
		return
	}
	x, y := n.Lhs[0], n.Rhs[0]
	t := r.info.TypeOf(x)
	name, spelled := r.typeName(t)
	if !spelled {
		return
	}
	wrap := func(call, typ, args string) {
		r.insert(y.Pos(), fmt.Sprintf("%s.%s[%s](%s, ", support, call, typ, args), true)
		r.atLeave(func() { r.insert(y.End(), ")", false) })
	}
	if n.Tok == token.ASSIGN {
		if !listed && isInit(r.stack) {
			wrap("Kept", name, fmt.Sprintf("%d, %s", r.add(n, r.text(n), ""), r.text(x)))
		}
		return
	}
	if !isNumber(t) {
		return
	}
	switch n.Tok {
	case token.ADD_ASSIGN, token.SUB_ASSIGN:
		other := map[token.Token]string{token.ADD_ASSIGN: "-=", token.SUB_ASSIGN: "+="}[n.Tok]
		id := r.add(n, r.text(n), r.text(x)+" "+other+" "+r.text(y))
		if !listed && isInit(r.stack) {
			wrap("Zero", name, fmt.Sprint(r.add(n, r.text(n), "")))
		}
		wrap("Negated", name, fmt.Sprint(id))
	default:
		op, ok := calls[assigned[n.Tok]]
		if !ok || !listed {
			return
		}
		text := r.text(x) + " " + op[1] + "= " + r.text(y)
		id := r.add(n, r.text(n), text)
		r.around(n, "if "+on(id)+" { "+text+" } else { ", " }", false)
	}
}

var assigned = map[token.Token]token.Token{
	token.MUL_ASSIGN: token.MUL, token.QUO_ASSIGN: token.QUO, token.REM_ASSIGN: token.REM, token.AND_ASSIGN: token.AND,
	token.OR_ASSIGN: token.OR, token.XOR_ASSIGN: token.XOR, token.AND_NOT_ASSIGN: token.AND_NOT,
	token.SHL_ASSIGN: token.SHL, token.SHR_ASSIGN: token.SHR,
}

// branch swaps break and continue where both mean the same loop, one that ends by itself: the compiler takes a function
// that ends in any other for finished.
func (r *rewriter) branch(n *ast.BranchStmt, listed bool) {
	if !listed || n.Label != nil || n.Tok != token.BREAK && n.Tok != token.CONTINUE {
		return
	}
	for i := len(r.stack) - 2; i >= 0; i-- {
		switch s := r.stack[i].(type) {
		case *ast.ForStmt:
			if s.Cond == nil {
				return
			}
		case *ast.RangeStmt:
		case *ast.BlockStmt, *ast.IfStmt:
			continue
		default:
			return
		}
		break
	}
	other := map[token.Token]string{token.BREAK: "continue", token.CONTINUE: "break"}[n.Tok]
	id := r.add(n, n.Tok.String(), other)
	r.insert(n.Pos(), "if "+on(id)+" { "+other+" }; ", true)
}

// listed reports whether the node that is looked at is a statement among others.
func (r *rewriter) listed() bool {
	n := r.stack[len(r.stack)-1]
	if len(r.stack) < 2 {
		return false
	}
	switch parent := r.stack[len(r.stack)-2].(type) {
	case *ast.BlockStmt:
		return true
	case *ast.CaseClause:
		return true
	case *ast.CommClause:
		return parent.Comm != n
	}
	return false
}

// isInit reports whether the last node is the statement before a condition.
func isInit(stack []ast.Node) bool {
	n := stack[len(stack)-1]
	switch parent := stack[len(stack)-2].(type) {
	case *ast.IfStmt:
		return parent.Init == n
	case *ast.SwitchStmt:
		return parent.Init == n
	case *ast.ForStmt:
		return parent.Post == n
	}
	return false
}

func (r *rewriter) add(n ast.Node, original, mutated string) int {
	line := r.file.Line(n.Pos())
	context, _, _ := strings.Cut(string(r.src[r.offset(r.file.LineStart(line)):]), "\n")
	m := &Mutant{
		ID: r.next(), Package: r.path[:strings.LastIndexByte(r.path, '/')], File: r.path, Line: line, Func: r.fn,
		Original: oneLine(original), Mutated: oneLine(mutated), Context: oneLine(context),
	}
	key := m.Key()
	r.seen[key]++
	m.Nth = r.seen[key]
	r.mutants = append(r.mutants, m)
	return m.ID
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

func on(id int) string { return fmt.Sprintf("%s.On(%d)", support, id) }

func (r *rewriter) offset(p token.Pos) int { return r.file.Offset(p) }
func (r *rewriter) text(n ast.Node) string { return string(r.src[r.offset(n.Pos()):r.offset(n.End())]) }
func (r *rewriter) atLeave(f func())       { r.leave[len(r.leave)-1] = append(r.leave[len(r.leave)-1], f) }
func (r *rewriter) insert(p token.Pos, text string, opens bool) {
	r.edits = append(r.edits, edit{r.offset(p), r.offset(p), text, opens})
}

func (r *rewriter) replace(p token.Pos, n int, text string) {
	r.edits = append(r.edits, edit{r.offset(p), r.offset(p) + n, text, true})
}

// around puts a node between two texts, or in its place where instead says so.
func (r *rewriter) around(n ast.Node, before, after string, instead bool) {
	if instead {
		r.replace(n.Pos(), int(n.End()-n.Pos()), before)
		return
	}
	r.insert(n.Pos(), before, true)
	r.atLeave(func() { r.insert(n.End(), after, false) })
}

// typeName spells a type as the file may write it.
func (r *rewriter) typeName(t types.Type) (string, bool) {
	ok := true
	name := types.TypeString(t, func(p *types.Package) string {
		if p == r.pkg {
			return ""
		}
		for _, spec := range r.syntax.Imports {
			if spec.Name == nil && spec.Path.Value == `"`+p.Path()+`"` {
				return p.Name()
			}
		}
		ok = false
		return p.Name()
	})
	if b, basic := t.(*types.Basic); basic && b.Info()&types.IsUntyped != 0 {
		return "", false
	}
	return name, ok
}

func isBool(t types.Type) bool {
	b, ok := t.(*types.Basic)
	return ok && b.Info()&types.IsBoolean != 0
}

func isNumber(t types.Type) bool {
	b, ok := t.Underlying().(*types.Basic)
	return ok && b.Info()&(types.IsInteger|types.IsFloat) != 0
}
