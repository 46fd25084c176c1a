//go:build linux

package mutant

import "testing"

// TestOperators checks that each does what its original does, and the other thing when it is chosen.
func TestOperators(t *testing.T) {
	for name, c := range map[string]struct {
		f       func(n int) any
		is, not any
	}{
		"Less":         {func(n int) any { return Less(n, 2, 2) }, false, true},
		"LessEqual":    {func(n int) any { return LessEqual(n, 2, 2) }, true, false},
		"Greater":      {func(n int) any { return Greater(n, 2, 2) }, false, true},
		"GreaterEqual": {func(n int) any { return GreaterEqual(n, 2, 2) }, true, false},
		"Add":          {func(n int) any { return Add(n, 6, 3) }, 9, 3},
		"Sub":          {func(n int) any { return Sub(n, 6, 3) }, 3, 9},
		"Mul":          {func(n int) any { return Mul(n, 6, 3) }, 18, 2},
		"Quo":          {func(n int) any { return Quo(n, 6, 3) }, 2, 18},
		"Rem":          {func(n int) any { return Rem(n, 6, 4) }, 2, 24},
		"And":          {func(n int) any { return And(n, 6, 3) }, 2, 7},
		"Or":           {func(n int) any { return Or(n, 6, 3) }, 7, 2},
		"Xor":          {func(n int) any { return Xor(n, 6, 3) }, 5, 2},
		"AndNot":       {func(n int) any { return AndNot(n, 6, 3) }, 4, 2},
		"Shl":          {func(n int) any { return Shl(n, 4, 1) }, 8, 2},
		"Shr":          {func(n int) any { return Shr(n, 4, 1) }, 2, 8},
		"Negated":      {func(n int) any { return Negated(n, 4) }, 4, -4},
		"More":         {func(n int) any { return More(n, 4) }, 4, 5},
		"Fewer":        {func(n int) any { return Fewer(n, 4) }, 4, 3},
		"Zero":         {func(n int) any { return Zero(n, 4) }, 4, 0},
		"Kept":         {func(n int) any { return Kept(n, "was", "becomes") }, "becomes", "was"},
	} {
		chosen = 7
		if got := c.f(6); got != c.is {
			t.Errorf("%s is %v, not %v", name, got, c.is)
		}
		if got := c.f(7); got != c.not {
			t.Errorf("%s becomes %v, not %v", name, got, c.not)
		}
	}
	reached = make([]byte, 3)
	if chosen = 0; On(1) || reached[1] != 1 || reached[2] != 0 {
		t.Error("a mutant that is reached is not noted, or chosen")
	}
	reached = nil
}
