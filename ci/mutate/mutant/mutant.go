//go:build linux

// Package mutant is what the mutated copy of a program calls wherever it could go wrong on purpose: each call carries the
// number of a mutant, and does what the original does unless that mutant is the one chosen for this process.
//
// The choice lies beside the executable, in the file "mutant", since scenarios close the environment of what they run.
// Beside it may be a file "reached" with a byte per mutant: that of each mutant that is reached becomes 1, at once, so
// that nothing is lost with a process that is killed.
package mutant

import (
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// memory bounds what a mutant that allocates for ever takes.
const memory = 8 << 30

var (
	chosen  int
	reached []byte
)

func init() {
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	dir := filepath.Dir(exe)
	n, err := os.ReadFile(filepath.Join(dir, "mutant"))
	if err != nil {
		return
	}
	if chosen, err = strconv.Atoi(string(n)); err != nil {
		panic(err)
	}
	syscall.Setrlimit(syscall.RLIMIT_AS, &syscall.Rlimit{Cur: memory, Max: memory})
	f, err := os.OpenFile(filepath.Join(dir, "reached"), os.O_RDWR, 0)
	if err != nil {
		return
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil {
		reached, _ = syscall.Mmap(int(f.Fd()), 0, int(info.Size()), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	}
}

// On reports whether mutant n is the chosen one.
func On(n int) bool {
	if reached != nil {
		reached[n] = 1
	}
	return n == chosen
}

type (
	integer interface {
		~int | ~int8 | ~int16 | ~int32 | ~int64 | ~uint | ~uint8 | ~uint16 | ~uint32 | ~uint64 | ~uintptr
	}
	number  interface{ integer | ~float32 | ~float64 }
	ordered interface{ number | ~string }
)

// Less is a < b, or a <= b.
func Less[T ordered](n int, a, b T) bool {
	if On(n) {
		return a <= b
	}
	return a < b
}

// LessEqual is a <= b, or a < b.
func LessEqual[T ordered](n int, a, b T) bool {
	if On(n) {
		return a < b
	}
	return a <= b
}

// Greater is a > b, or a >= b.
func Greater[T ordered](n int, a, b T) bool {
	if On(n) {
		return a >= b
	}
	return a > b
}

// GreaterEqual is a >= b, or a > b.
func GreaterEqual[T ordered](n int, a, b T) bool {
	if On(n) {
		return a > b
	}
	return a >= b
}

// Add is a + b, or a - b.
func Add[T number](n int, a, b T) T {
	if On(n) {
		return a - b
	}
	return a + b
}

// Sub is a - b, or a + b.
func Sub[T number](n int, a, b T) T {
	if On(n) {
		return a + b
	}
	return a - b
}

// Mul is a * b, or a / b.
func Mul[T number](n int, a, b T) T {
	if On(n) {
		return a / b
	}
	return a * b
}

// Quo is a / b, or a * b.
func Quo[T number](n int, a, b T) T {
	if On(n) {
		return a * b
	}
	return a / b
}

// Rem is a % b, or a * b.
func Rem[T integer](n int, a, b T) T {
	if On(n) {
		return a * b
	}
	return a % b
}

// And is a & b, or a | b.
func And[T integer](n int, a, b T) T {
	if On(n) {
		return a | b
	}
	return a & b
}

// Or is a | b, or a & b.
func Or[T integer](n int, a, b T) T {
	if On(n) {
		return a & b
	}
	return a | b
}

// Xor is a ^ b, or a & b.
func Xor[T integer](n int, a, b T) T {
	if On(n) {
		return a & b
	}
	return a ^ b
}

// AndNot is a &^ b, or a & b.
func AndNot[T integer](n int, a, b T) T {
	if On(n) {
		return a & b
	}
	return a &^ b
}

// Shl is a << b, or a >> b.
func Shl[T, U integer](n int, a T, b U) T {
	if On(n) {
		return a >> b
	}
	return a << b
}

// Shr is a >> b, or a << b.
func Shr[T, U integer](n int, a T, b U) T {
	if On(n) {
		return a << b
	}
	return a >> b
}

// Negated is a, or -a.
func Negated[T number](n int, a T) T {
	if On(n) {
		return -a
	}
	return a
}

// More is a, or a + 1.
func More[T integer](n int, a T) T {
	if On(n) {
		return a + 1
	}
	return a
}

// Fewer is a, or a - 1.
func Fewer[T integer](n int, a T) T {
	if On(n) {
		return a - 1
	}
	return a
}

// Zero is a, or nothing to add.
func Zero[T number](n int, a T) T {
	if On(n) {
		return 0
	}
	return a
}

// Kept is what a variable is set to, or what it was.
func Kept[T any](n int, was, becomes T) T {
	if On(n) {
		return was
	}
	return becomes
}
