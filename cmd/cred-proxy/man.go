package main

import (
	"flag"
	"fmt"
	"strings"
)

// man prints the manual page, in the macros of man(7), made of the tables that help is made of.
func (p *program) man(args []string) int {
	if len(args) > 0 {
		return p.usageError("man takes no arguments")
	}
	var m manual
	b := readBuild()
	day, _, _ := strings.Cut(b.time, "T") // of the commit: a release comes out the same every time
	m.macro("TH", "CRED-PROXY", "1", day, "cred-proxy "+b.version, "cred-proxy")
	m.section("NAME")
	m.text("cred-proxy - " + aboutProgram)

	m.section("SYNOPSIS")
	m.macro("B", "cred-proxy")
	m.macro("RI", "[", "flags", "]")
	for _, c := range commands() {
		name, argument, _ := strings.Cut(c.usage, " ")
		m.macro("br")
		m.macro("B", "cred-proxy "+name)
		if argument != "" {
			m.macro("I", argument)
		}
	}

	m.section("DESCRIPTION")
	m.text(`An agent talks plain HTTP to cred-proxy, which holds the tokens that the agent must not have. It picks the
route with the longest prefix of the request's path, drops whatever credential the agent sent, injects the real one,
forwards to the route's upstream over TLS, and passes the answer on as it comes.`)
	m.paragraph("A file of JSON lists the routes. Each has at least a prefix, an upstream, a scheme and the name of what holds its token:")
	m.example(`{"routes": [
  {"path": "/anthropic/", "upstream": "https://api.anthropic.com",
   "auth_scheme": "Bearer", "token_env": "ANTHROPIC_TOKEN"}
]}`)
	m.paragraph("Without a command cred-proxy serves until it is told to stop.")

	o := defaultOptions()
	settings := map[string]bool{}
	for _, s := range o.settings() {
		settings[s.flag] = true
	}
	m.section("COMMANDS")
	for _, c := range commands() {
		m.entry(c.usage, c.about)
		for _, f := range flagsOf(c.flags) {
			if !settings[f.Name] {
				m.macro("RS")
				m.flag(f, aboutFlag(f))
				m.macro("RE")
			}
		}
	}

	m.section("FLAGS")
	m.text(aboutFlags)
	for _, s := range o.settings() {
		m.flag(&flag.Flag{Name: s.flag, Value: s.value}, fmt.Sprintf("%s (%s; default %s)", s.about, s.env(), s.shown()))
	}

	m.section("ENVIRONMENT")
	m.text("Besides the variables of the flags, and those that hold tokens:")
	m.entry("SSL_CERT_FILE, SSL_CERT_DIR", "what upstreams' certificates are verified against, in place of the system's roots")
	m.entry("HTTPS_PROXY, HTTP_PROXY, NO_PROXY", "the proxy on the way out, by CONNECT")

	m.section("SIGNALS")
	m.text(aboutSignals)

	m.section("EXIT STATUS")
	for code, meaning := range exitCodes {
		m.entry(fmt.Sprint(code), meaning)
	}
	fmt.Fprint(p.stdout, m.String())
	return exitOK
}

// manual is a page in the making.
type manual struct{ strings.Builder }

// macro writes a request of roff and its arguments.
func (m *manual) macro(name string, args ...string) {
	m.WriteString("." + name)
	for _, a := range args {
		m.WriteString(` "` + strings.ReplaceAll(roff(a), `"`, `\(dq`) + `"`)
	}
	m.WriteByte('\n')
}

func (m *manual) section(title string) { m.macro("SH", title) }

func (m *manual) paragraph(text string) {
	m.macro("PP")
	m.text(text)
}

// entry writes a term and what is to be said of it.
func (m *manual) entry(term, about string) {
	m.macro("TP")
	m.macro("B", term)
	m.text(about)
}

func (m *manual) flag(f *flag.Flag, about string) {
	m.macro("TP")
	if name, _, _ := valueOf(f); name != "" {
		m.macro("BI", "-"+f.Name, " "+name)
	} else {
		m.macro("B", "-"+f.Name)
	}
	m.text(about)
}

func (m *manual) example(text string) {
	m.macro("PP")
	m.macro("EX")
	m.text(text)
	m.macro("EE")
}

// text writes lines of which none is taken for a request.
func (m *manual) text(s string) {
	for line := range strings.Lines(s + "\n") {
		if strings.HasPrefix(line, ".") || strings.HasPrefix(line, "'") {
			m.WriteString(`\&`)
		}
		m.WriteString(roff(line))
	}
}

// roff escapes what is special within a line.
func roff(s string) string { return strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(s) }
