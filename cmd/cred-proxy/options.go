package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"credproxy/proxy"
)

// options is what the program is told on its command line and in its environment.
type options struct {
	routes     string
	port       int
	bind       string
	socketMode modeValue
	peers      proxy.Networks
	debug      bool
	log        string
	logLevel   string
	auditFile  string
	addrFile   string
	admin      string
	drainDelay time.Duration
	drain      time.Duration
	timeouts   proxy.Timeouts
	limits     proxy.Limits

	poll  time.Duration
	watch bool

	reusePort bool
}

func defaultOptions() *options {
	return &options{
		routes:     "/run/cred-proxy/routes.json",
		port:       9099,
		bind:       "0.0.0.0",
		socketMode: 0o600,
		log:        "off",
		logLevel:   "info",
		drain:      10 * time.Second,
		timeouts:   proxy.DefaultTimeouts,
		limits:     proxy.DefaultLimits,
		poll:       proxy.DefaultPoll,
	}
}

// setting is one option: a flag, and the environment variable of the same meaning.
type setting struct {
	flag  string
	about string
	value flag.Value
}

// variablePrefix is what the variables of all settings begin with.
const variablePrefix = "CRED_PROXY_"

// env is the setting's variable: -drain-timeout is CRED_PROXY_DRAIN_TIMEOUT.
func (s setting) env() string {
	return variablePrefix + strings.ToUpper(strings.ReplaceAll(s.flag, "-", "_"))
}

// shown is the value as help shows it.
func (s setting) shown() string {
	if v := s.value.String(); v != "" {
		return v
	}
	return "none"
}

// settings is the one table that flags, environment and help are made of.
func (o *options) settings() []setting {
	return []setting{
		{"routes", "file of the routes", (*fileValue)(&o.routes)},
		{"port", "port to listen on; 0 takes a free one", (*portValue)(&o.port)},
		{"bind", "addresses to listen on, with commas between them: a host, a host:port, or unix:/path for a Unix socket", (*bindValue)(&o.bind)},
		{"socket-mode", "permissions of a Unix socket", (*modeValue)(&o.socketMode)},
		{"allow-peers", "networks from which connections are served, such as 10.0.0.0/8,fd00::1; a Unix socket's are anyway; none: all", (*networksValue)(&o.peers)},
		{"debug", "one line on stderr for each exchange; in the environment anything but empty turns it on", (*switchValue)(&o.debug)},
		{"log", "one line on stderr for each exchange, as json or text, or off", choiceValue{&o.log, []string{"off", "text", "json"}}},
		{"log-level", "from which level on that line is written: info, warn (refused or cut), error (not the agent's fault)", choiceValue{&o.logLevel, []string{"info", "warn", "error"}}},
		{"audit-file", "file to which a line of json is appended for each exchange; SIGUSR1 opens it again", (*fileValue)(&o.auditFile)},
		{"addr-file", "file that holds host:port while listening", (*fileValue)(&o.addrFile)},
		{"dial-timeout", "to connect to an upstream", (*durationValue)(&o.timeouts.Dial)},
		{"tls-timeout", "for the TLS handshake with it", (*durationValue)(&o.timeouts.TLS)},
		{"response-timeout", "from the end of a request to the head of the response", (*durationValue)(&o.timeouts.Response)},
		{"silence-timeout", "without a byte in the middle of a body, either way", (*durationValue)(&o.timeouts.Silence)},
		{"head-timeout", "for an agent to send a request's head, and its first byte after connecting", (*durationValue)(&o.timeouts.Head)},
		{"idle-timeout", "between two requests of an agent's connection", (*durationValue)(&o.timeouts.Idle)},
		{"max-agents", "connections of agents at a time", (*countValue)(&o.limits.Agents)},
		{"max-head", "of a request's head", (*sizeValue)(&o.limits.Head)},
		{"max-fields", "header fields of a request; of a response four times as many", (*countValue)(&o.limits.Fields)},
		{"max-target", "of a request's target", (*sizeValue)(&o.limits.Target)},
		{"max-response-head", "of a response's head", (*sizeValue)(&o.limits.ResponseHead)},
		{"min-rate", "bytes a second of a request's body, once 30 s, or -silence-timeout, were spent waiting for it", (*countValue)(&o.limits.Rate)},
		{"command-timeout", "for a command to print a token", (*durationValue)(&o.timeouts.Command)},
		{"poll-interval", "between two looks at the files of tokens", (*durationValue)(&o.poll)},
		{"watch", "look at the file of the routes as well, and reload them when it changes: 1 or 0", (*onOffValue)(&o.watch)},
		{"admin", "address of the operator's port, host:port or unix:/path; none: there is no such port", (*textValue)(&o.admin)},
		{"drain-delay", "to go on serving when told to stop, while /readyz says that it is not ready", (*delayValue)(&o.drainDelay)},
		{"reuseport", "share the port with the cred-proxy that this one takes over from: 1 or 0 (Linux)", (*onOffValue)(&o.reusePort)},
		{"drain-timeout", "to finish what runs when told to stop", (*durationValue)(&o.drain)},
	}
}

// settingFlags declares a flag for each setting, for a command that takes them all.
func settingFlags(flags *flag.FlagSet) { defaultOptions().declare(flags) }

func (o *options) declare(flags *flag.FlagSet) {
	for _, s := range o.settings() {
		flags.Var(s.value, s.flag, s.about)
	}
}

// watchVariables remembers which variables are asked for from now on. What it returns tells of those that are named like
// a setting and that neither a setting nor a route has asked for: one that is misspelt would go unnoticed.
func (p *program) watchVariables() (tell func()) {
	var asked sync.Map
	getenv := p.getenv
	p.getenv = func(name string) string {
		asked.Store(name, true)
		return getenv(name)
	}
	return func() {
		for _, v := range os.Environ() {
			name, _, _ := strings.Cut(v, "=")
			if _, known := asked.Load(name); !known && strings.HasPrefix(name, variablePrefix) {
				p.say("%s is no setting and is ignored", name)
			}
		}
	}
}

// failToLoad says why there are no routes. If there is no file, the variable that names it may be misspelt.
func (p *program) failToLoad(err error, tellUnknown func()) int {
	if errors.Is(err, fs.ErrNotExist) {
		tellUnknown()
	}
	return p.fail(err)
}

// usageError is an error of the command line; any other is the environment's.
type usageError struct{ error }

// parseOptions takes the command line, and the environment for what it does not say. It returns what is left of the
// command line. A command adds flags of its own by more.
func parseOptions(args []string, getenv func(string) string, more ...func(*flag.FlagSet)) (*options, []string, error) {
	o := defaultOptions()
	flags := flag.NewFlagSet("cred-proxy", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	var errs []error
	o.declare(flags)
	for _, add := range more {
		add(flags)
	}
	if err := flags.Parse(args); err != nil {
		return nil, nil, usageError{err}
	}
	given := map[string]bool{}
	flags.Visit(func(f *flag.Flag) { given[f.Name] = true })
	for _, s := range o.settings() {
		if v := getenv(s.env()); v != "" && !given[s.flag] {
			if on, ok := s.value.(*switchValue); ok {
				*on = true // whatever it says, as ever
				continue
			}
			if err := s.value.Set(v); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", s.env(), err))
			}
		}
	}
	return o, flags.Args(), errors.Join(errs...)
}

type textValue string

func (v *textValue) String() string     { return string(*v) }
func (v *textValue) Set(s string) error { *v = textValue(s); return nil }

// fileValue is the name of a file.
type fileValue string

func (v *fileValue) String() string     { return string(*v) }
func (v *fileValue) Set(s string) error { *v = fileValue(s); return nil }

// choiceValue is one of several words.
type choiceValue struct {
	value *string
	words []string
}

func (v choiceValue) String() string { return *v.value }
func (v choiceValue) Set(s string) error {
	if !slices.Contains(v.words, s) {
		return fmt.Errorf("%q is none of %s", s, strings.Join(v.words, ", "))
	}
	*v.value = s
	return nil
}

type networksValue proxy.Networks

func (v *networksValue) String() string { return proxy.Networks(*v).String() }
func (v *networksValue) Set(s string) error {
	n, err := proxy.ParseNetworks(s)
	*v = networksValue(n)
	return err
}

type portValue int

func (v *portValue) String() string { return strconv.Itoa(int(*v)) }
func (v *portValue) Set(s string) error {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil {
		return fmt.Errorf("port %q is not a number in 0 to 65535", s)
	}
	*v = portValue(n)
	return nil
}

type durationValue time.Duration

func (v *durationValue) String() string { return time.Duration(*v).String() }
func (v *durationValue) Set(s string) error {
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return fmt.Errorf("%q is not a duration above zero, such as 90s", s)
	}
	*v = durationValue(d)
	return nil
}

type onOffValue bool

func (v *onOffValue) String() string   { return strconv.FormatBool(bool(*v)) }
func (v *onOffValue) IsBoolFlag() bool { return true }
func (v *onOffValue) Set(s string) error {
	on, err := strconv.ParseBool(s)
	if err != nil {
		return fmt.Errorf("%q is neither 1 nor 0", s)
	}
	*v = onOffValue(on)
	return nil
}

// delayValue is a durationValue that may be zero.
type delayValue time.Duration

func (v *delayValue) String() string { return time.Duration(*v).String() }
func (v *delayValue) Set(s string) error {
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return fmt.Errorf("%q is not a duration, such as 5s", s)
	}
	*v = delayValue(d)
	return nil
}

// switchValue is one that anything turns on that stands in its variable.
type switchValue bool

func (v *switchValue) String() string   { return strconv.FormatBool(bool(*v)) }
func (v *switchValue) IsBoolFlag() bool { return true }
func (v *switchValue) Set(s string) error {
	on, err := strconv.ParseBool(s)
	*v = switchValue(on)
	return err
}
