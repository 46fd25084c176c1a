package main

import (
	"strings"
	"testing"
)

// TestSettings: what each kind of setting takes, as it is shown then, or what is wrong with it.
func TestSettings(t *testing.T) {
	const size = " is not a size from 64 to 64MiB, such as 64KiB"
	for _, test := range []struct{ flag, value, shown, wrong string }{
		{"max-head", "64", "64", ""},
		{"max-head", "63", "", `"63"` + size},
		{"max-head", "1025", "1025", ""},
		{"max-head", "3072", "3KiB", ""},
		{"max-head", "1KiB", "1KiB", ""},
		{"max-head", "64MiB", "64MiB", ""},
		{"max-head", "65536KiB", "64MiB", ""},
		{"max-head", "67108864", "64MiB", ""},
		{"max-head", "65MiB", "", `"65MiB"` + size},
		{"max-head", "65537KiB", "", `"65537KiB"` + size},
		{"max-head", "67108865", "", `"67108865"` + size},
		{"max-head", "KiB", "", `"KiB"` + size},
		{"max-head", "1KB", "", `"1KB"` + size},
		{"max-head", "-64", "", `"-64"` + size},
		{"max-agents", "1", "1", ""},
		{"max-agents", "0", "", `"0" is not a number in 1 to 1048576`},
		{"max-agents", "1048576", "1048576", ""},
		{"max-agents", "1048577", "", `"1048577" is not a number in 1 to 1048576`},
		{"max-agents", "0x10", "", `"0x10" is not a number in 1 to 1048576`},
		{"port", "65535", "65535", ""},
		{"port", "65536", "", `port "65536" is not a number in 0 to 65535`},
		{"port", "a", "", `port "a" is not a number in 0 to 65535`},
		{"socket-mode", "0", "0000", ""},
		{"socket-mode", "777", "0777", ""},
		{"socket-mode", "1000", "", `"1000" is not permissions in octal digits, such as 0660`},
		{"socket-mode", "8", "", `"8" is not permissions in octal digits, such as 0660`},
		{"drain-delay", "0s", "0s", ""},
		{"drain-delay", "-1ns", "", `"-1ns" is not a duration, such as 5s`},
		{"dial-timeout", "1ns", "1ns", ""},
		{"dial-timeout", "0s", "", `"0s" is not a duration above zero, such as 90s`},
		{"watch", "1", "true", ""},
		{"watch", "on", "", `"on" is neither 1 nor 0`},
		{"log", "json", "json", ""},
		{"log", "", "", `"" is none of off, text, json`},
		{"allow-peers", "", "", `"" is no network, such as 10.0.0.0/8, and no address`},
	} {
		o, _, err := parseOptions([]string{"-" + test.flag + "=" + test.value}, func(string) string { return "" })
		if test.wrong != "" {
			if err == nil || !strings.HasSuffix(err.Error(), ": "+test.wrong) {
				t.Errorf("-%s=%s: %v, want %s", test.flag, test.value, err, test.wrong)
			}
			continue
		}
		if err != nil {
			t.Errorf("-%s=%s: %v", test.flag, test.value, err)
			continue
		}
		for _, s := range o.settings() {
			if s.flag == test.flag && s.shown() != test.shown {
				t.Errorf("-%s=%s is shown as %s, want %s", test.flag, test.value, s.shown(), test.shown)
			}
		}
	}
}
