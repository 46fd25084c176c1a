package main

import (
	"flag"
	"fmt"
	"io"
	"strings"
)

// completion prints what makes a shell complete the command line. It is made of the tables that help is made of, and
// nothing of the program runs when a key is pressed.
func (p *program) completion(args []string) int {
	if len(args) != 1 || shells[args[0]] == nil {
		return p.usageError("completion takes one of %s", shellNames)
	}
	// Without a command the program serves, and a command may follow.
	line := []completed{{flags: flagsOf(settingFlags)}}
	for _, c := range commands() {
		line[0].words = append(line[0].words, word{c.name, c.about})
		line = append(line, completed{word: word{c.name, c.about}, flags: flagsOf(c.flags)}.after(c.usage))
	}
	shells[args[0]](p.stdout, line)
	return exitOK
}

// shellNames are those of shells, as usage shows them.
const shellNames = "bash|zsh|fish"

var shells = map[string]func(io.Writer, []completed){"bash": writeBash, "zsh": writeZsh, "fish": writeFish}

// completed is what can follow a command; the first is what can without one.
type completed struct {
	word
	flags []*flag.Flag
	words []word // that may stand for the argument
	file  bool   // that one may
}

// word is one that a shell can offer.
type word struct{ text, about string }

// after takes the kind of the argument from how a command's usage is written.
func (c completed) after(usage string) completed {
	_, argument, _ := strings.Cut(usage, " ")
	c.file = argument == "[FILE]"
	if strings.Contains(argument, "|") {
		for _, w := range strings.Split(argument, "|") {
			c.words = append(c.words, word{text: w})
		}
	}
	return c
}

// flagsOf returns the flags that declare makes, by name.
func flagsOf(declare func(*flag.FlagSet)) (flags []*flag.Flag) {
	if declare == nil {
		return nil
	}
	set := flag.NewFlagSet("", flag.ContinueOnError)
	declare(set)
	set.VisitAll(func(f *flag.Flag) { flags = append(flags, f) })
	return flags
}

// valueOf says what follows a flag: one of some words, a file, something else (name is what a manual calls it), or, if
// name is empty, nothing.
func valueOf(f *flag.Flag) (name string, words []string, file bool) {
	switch v := f.Value.(type) {
	case choiceValue:
		return strings.Join(v.words, "|"), v.words, false
	case *fileValue:
		return "FILE", nil, true
	case *portValue:
		return "PORT", nil, false
	case *durationValue, *delayValue:
		return "DURATION", nil, false
	case *sizeValue:
		return "SIZE", nil, false
	case *countValue:
		return "N", nil, false
	case *modeValue:
		return "MODE", nil, false
	case *networksValue:
		return "NETWORKS", nil, false
	case interface{ IsBoolFlag() bool }:
		return "", nil, false
	}
	return "TEXT", nil, false
}

// writeBash writes a function to be evaluated. Bash splits -flag=VALUE at the equals sign, and completes the names of files
// itself when it is told to.
func writeBash(w io.Writer, line []completed) {
	fmt.Fprint(w, `# cred-proxy for bash: eval "$(cred-proxy completion bash)"
_cred_proxy() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} flags='' words='' file=''
	if [[ $cur == = ]]; then
		cur=''
	elif [[ $prev == = ]]; then
		prev=${COMP_WORDS[COMP_CWORD-2]}
	fi
	COMPREPLY=()
	case $prev in
`)
	var others []string // flags whose values nobody can guess
	seen := map[string]bool{}
	for _, c := range line {
		for _, f := range c.flags {
			name, words, file := valueOf(f)
			switch {
			case seen[f.Name] || name == "":
			case file:
				fmt.Fprintf(w, "\t-%s) compopt -o default; return ;;\n", f.Name)
			case words != nil:
				fmt.Fprintf(w, "\t-%s) COMPREPLY=($(compgen -W '%s' -- \"$cur\")); return ;;\n", f.Name, strings.Join(words, " "))
			default:
				others = append(others, "-"+f.Name)
			}
			seen[f.Name] = true
		}
	}
	fmt.Fprintf(w, "\t%s) return ;;\n", strings.Join(others, "|"))
	fmt.Fprint(w, "\tesac\n\tcase ${COMP_WORDS[1]} in\n")
	for _, c := range line[1:] {
		fmt.Fprintf(w, "\t%s)%s ;;\n", c.text, bashWords(c))
	}
	fmt.Fprintf(w, "\t*)%s ;;\n", bashWords(line[0]))
	fmt.Fprint(w, `	esac
	if [[ $cur == -* ]]; then
		words=$flags
	elif [[ $file ]]; then
		compopt -o default
	fi
	COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -F _cred_proxy cred-proxy
`)
}

// bashWords sets the variables that say what can stand in c.
func bashWords(c completed) string {
	var flags, words []string
	for _, f := range c.flags {
		flags = append(flags, "-"+f.Name)
	}
	for _, w := range c.words {
		words = append(words, w.text)
	}
	var b strings.Builder
	fmt.Fprintf(&b, " flags='%s'", strings.Join(flags, " "))
	if c.text == "" {
		b.WriteString("; ((COMP_CWORD > 1)) ||") // a command comes first or not at all
	}
	fmt.Fprintf(&b, " words='%s'", strings.Join(words, " "))
	if c.file {
		b.WriteString(" file=1")
	}
	return b.String()
}

// writeZsh writes a file that can be sourced, or be put as _cred-proxy where zsh looks for functions.
func writeZsh(w io.Writer, line []completed) {
	fmt.Fprint(w, "#compdef cred-proxy\n# cred-proxy for zsh: eval \"$(cred-proxy completion zsh)\", after compinit\n_cred_proxy() {\n\tcase ${words[2]} in\n")
	for i, c := range append(line[1:], line[0]) {
		if i < len(line)-1 {
			fmt.Fprintf(w, "\t%s)\n\t\tshift words\n\t\t((CURRENT--))\n", c.text)
		} else {
			fmt.Fprint(w, "\t*)\n")
		}
		if c.words != nil {
			fmt.Fprint(w, "\t\tif ((CURRENT == 2)); then\n\t\t\tlocal -a offers=(")
			for _, word := range c.words {
				fmt.Fprintf(w, "\n\t\t\t\t'%s:%s'", word.text, strings.ReplaceAll(word.about, "'", `'\''`))
			}
			fmt.Fprint(w, "\n\t\t\t)\n\t\t\t_describe word offers\n\t\tfi\n")
		}
		fmt.Fprint(w, "\t\t_arguments")
		for _, f := range c.flags {
			name, words, file := valueOf(f)
			about := zshQuoted(aboutFlag(f))
			switch {
			case file:
				fmt.Fprintf(w, " \\\n\t\t\t'-%s=[%s]:%s:_files'", f.Name, about, name)
			case words != nil:
				fmt.Fprintf(w, " \\\n\t\t\t'-%s=[%s]:%s:(%s)'", f.Name, about, f.Name, strings.Join(words, " "))
			case name != "":
				fmt.Fprintf(w, " \\\n\t\t\t'-%s=[%s]:%s: '", f.Name, about, name)
			default:
				fmt.Fprintf(w, " \\\n\t\t\t'-%s[%s]'", f.Name, about)
			}
		}
		if c.file {
			fmt.Fprint(w, " \\\n\t\t\t':FILE:_files'")
		}
		fmt.Fprint(w, "\n\t\t;;\n")
	}
	fmt.Fprint(w, `	esac
}
if [[ $funcstack[1] == _cred-proxy ]]; then
	_cred_proxy "$@"
else
	compdef _cred_proxy cred-proxy
fi
`)
}

// zshQuoted quotes a text within an argument of _arguments.
func zshQuoted(s string) string {
	return strings.NewReplacer("'", `'\''`, `\`, `\\`, "[", `\[`, "]", `\]`, ":", `\:`).Replace(s)
}

// writeFish writes lines to be sourced. What fish calls an old option begins with one dash.
func writeFish(w io.Writer, line []completed) {
	fmt.Fprint(w, "# cred-proxy for fish: cred-proxy completion fish | source\ncomplete -c cred-proxy -f\n")
	var names []string
	for _, c := range line[1:] {
		names = append(names, c.text)
	}
	for _, c := range line {
		when, place := "__fish_seen_subcommand_from "+c.text, 2
		if c.text == "" {
			when, place = "not __fish_seen_subcommand_from "+strings.Join(names, " "), 1
		}
		start := "complete -c cred-proxy -n '" + when + "'"
		if c.file {
			fmt.Fprintf(w, "%s -F\n", start)
		}
		for _, word := range c.words {
			fmt.Fprintf(w, "complete -c cred-proxy -n '%s; and test (count (commandline -opc)) -eq %d' -a %s -d '%s'\n", when, place, word.text, fishQuoted(word.about))
		}
		for _, f := range c.flags {
			value := ""
			switch name, words, file := valueOf(f); {
			case file:
				value = " -rF"
			case words != nil:
				value = " -x -a '" + strings.Join(words, " ") + "'"
			case name != "":
				value = " -x"
			}
			fmt.Fprintf(w, "%s -o %s%s -d '%s'\n", start, f.Name, value, fishQuoted(aboutFlag(f)))
		}
	}
}

func fishQuoted(s string) string { return strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(s) }

// aboutFlag is what is said of a flag.
func aboutFlag(f *flag.Flag) string {
	_, about := flag.UnquoteUsage(f)
	return about
}
