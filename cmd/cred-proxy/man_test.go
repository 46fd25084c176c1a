package main

import "testing"

// TestManualText: nothing in a text or an argument is taken for a request, an escape or the end of the argument.
func TestManualText(t *testing.T) {
	var m manual
	m.text(".TH\n'br\na .b 'c' \\d -e")
	m.macro("B", `a "b"`, `\c`, "-d")
	want := "\\&.TH\n\\&'br\na .b 'c' \\ed \\-e\n" + `.B "a \(dqb\(dq" "\ec" "\-d"` + "\n"
	if got := m.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
