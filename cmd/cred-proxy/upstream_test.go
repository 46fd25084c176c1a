package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"credproxy/fakeupstream"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdUpstream starts a fake upstream. $UPSTREAM is then its URL and
// $UPSTREAM_HOST its host:port. See package fakeupstream for what its paths do.
//
//	upstream [-plain] [-untrusted] [-git=DIR]
//
// With -plain it speaks no TLS; with -untrusted the program does not get to
// know its CA; with -git the bare repositories in DIR are at /git/.
func cmdUpstream(ts *testscript.TestScript, neg bool, args []string) {
	var o fakeupstream.Options
	untrusted := false
	args = flagged(ts, args, func(name, value string) bool {
		switch name {
		case "plain":
			o.Plain = true
		case "untrusted":
			untrusted = true
		case "git":
			o.GitRoot = ts.MkAbs(value)
		default:
			return false
		}
		return true
	})
	usage(ts, neg || len(args) != 0, "upstream [-plain] [-untrusted] [-git=DIR]")
	s := of(ts)
	up, err := fakeupstream.Start(context.Background(), o)
	ts.Check(err)
	ts.Defer(up.Close)
	s.upstream = up
	if !o.Plain && !untrusted {
		ts.Check(s.trust(up.CAPEM))
	}
	setUpstream(ts, up.URL)
}

// setUpstream publishes the URL of an upstream in $UPSTREAM, and its parts.
func setUpstream(ts *testscript.TestScript, url string) {
	_, host, _ := strings.Cut(url, "://")
	ts.Setenv("UPSTREAM", url)
	ts.Setenv("UPSTREAM_HOST", host)
	ts.Setenv("UPSTREAM_PORT", host[strings.LastIndexByte(host, ':')+1:])
}

// fake is the fake upstream of the script.
func fake(ts *testscript.TestScript) *fakeupstream.Server {
	up := of(ts).upstream
	if up == nil {
		ts.Check(errors.New("no upstream was started"))
	}
	return up
}

// cmdRespond makes a path of the fake upstream answer with the bytes of a file.
// See content for how they are given.
//
//	respond [-then=keep|close|abrupt|reset|hang] PATH FILE | -crlf FILE | -raw FILE | -text 'TEXT'
func cmdRespond(ts *testscript.TestScript, neg bool, args []string) {
	afters := map[string]fakeupstream.After{
		"keep":   fakeupstream.Keep,
		"close":  fakeupstream.CloseNotify,
		"abrupt": fakeupstream.CloseAbrupt,
		"reset":  fakeupstream.Reset,
		"hang":   fakeupstream.Hang,
	}
	after := fakeupstream.Keep
	if len(args) > 0 && strings.HasPrefix(args[0], "-then=") {
		var ok bool
		after, ok = afters[strings.TrimPrefix(args[0], "-then=")]
		usage(ts, !ok, "respond [-then=keep|close|abrupt|reset|hang] PATH FILE")
		args = args[1:]
	}
	usage(ts, neg || len(args) < 2, "respond [-then=AFTER] PATH FILE|-crlf FILE|-raw FILE|-text TEXT")
	fake(ts).Set(args[0], fakeupstream.Raw(content(ts, args[1:]), after))
}

// cmdRecorded prints a request that the fake upstream has received, as it came,
// with LF line ends: the N-th, the last that matches, or the last.
//
//	recorded [-unordered] [N | -match=REGEXP]
func cmdRecorded(ts *testscript.TestScript, neg bool, args []string) {
	var re *regexp.Regexp
	unordered := false
	args = flagged(ts, args, func(name, value string) (ok bool) {
		if name == "unordered" {
			unordered = true
			return true
		}
		var err error
		re, err = regexp.Compile(value)
		return name == "match" && err == nil
	})
	usage(ts, neg || len(args) > 1, "recorded [-unordered] [N | -match=REGEXP]")
	var got []string
	for _, r := range fake(ts).Requests() {
		if dump := r.Dump(); re == nil || re.MatchString(dump) {
			got = append(got, dump)
		}
	}
	n := len(got)
	if len(args) == 1 {
		var err error
		n, err = strconv.Atoi(args[0])
		ts.Check(err)
	}
	if n < 1 || n > len(got) {
		ts.Fatalf("the upstream has received %d such requests", len(got))
	}
	head, body, _ := strings.Cut(got[n-1], "\n\n")
	if unordered {
		head = withoutOrder(head)
	}
	fmt.Fprint(ts.Stdout(), shown(head, []byte(body)))
}

// withoutOrder is the head of a request with all that RFC 9110 leaves to who
// sends it taken out: its fields are sorted by their names, in small letters, those
// of one name in their order. Host and Connection, which are about the connection
// that it came on, are left out.
func withoutOrder(head string) string {
	lines := strings.Split(strings.TrimSuffix(head, "\n"), "\n")
	type field struct{ name, value string }
	var fields []field
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ":")
		if name = strings.ToLower(name); name != "host" && name != "connection" {
			fields = append(fields, field{name, strings.TrimSpace(value)})
		}
	}
	slices.SortStableFunc(fields, func(a, b field) int { return strings.Compare(a.name, b.name) })
	lines = lines[:1]
	for _, f := range fields {
		lines = append(lines, f.name+": "+f.value)
	}
	return strings.Join(lines, "\n")
}

// cmdRequests checks how many requests the fake upstream has received. It does
// not wait: let it follow something that shows that they have been made.
//
//	requests N
func cmdRequests(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg || len(args) != 1, "requests N")
	got := fake(ts).Requests()
	if args[0] != strconv.Itoa(len(got)) {
		for _, r := range got {
			ts.Logf("%s", r.Dump())
		}
		ts.Fatalf("the upstream has received %d requests", len(got))
	}
}

// cmdEmit waits for a stream of the fake upstream, which a GET of its /sse has
// opened, and sends an event on it.
//
//	emit [-stream=NAME] DATA
func cmdEmit(ts *testscript.TestScript, neg bool, args []string) {
	stream := ""
	args = flagged(ts, args, func(name, value string) bool { stream = value; return name == "stream" })
	usage(ts, neg || len(args) != 1, "emit [-stream=NAME] DATA")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	ts.Check(fake(ts).Emit(ctx, stream, args[0]))
}

// onStream is a command that does one thing to a stream of the fake upstream,
// and takes its name.
func onStream(ts *testscript.TestScript, neg bool, args []string, do func(context.Context, string) error) {
	usage(ts, neg || len(args) > 1, "end|cut [NAME]")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	ts.Check(do(ctx, append(args, "")[0]))
}

// cmdEnd ends a stream as HTTP does.
//
//	end [NAME]
func cmdEnd(ts *testscript.TestScript, neg bool, args []string) {
	onStream(ts, neg, args, fake(ts).EndStream)
}

// cmdCut breaks the connection of a stream.
//
//	cut [NAME]
func cmdCut(ts *testscript.TestScript, neg bool, args []string) {
	onStream(ts, neg, args, fake(ts).CutStream)
}

// cmdStreamGone waits until the fake upstream has seen the connection of a
// stream close, which must happen within a second: a hundred sleeps of a
// hundredth, which are late where the machine is too busy for all else, too.
//
//	streamgone [NAME]
func cmdStreamGone(ts *testscript.TestScript, neg bool, args []string) {
	usage(ts, neg || len(args) > 1, "streamgone [NAME]")
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		for range 100 {
			time.Sleep(promptly / 100)
		}
		cancel()
	}()
	if err := fake(ts).WaitStreamGone(ctx, append(args, "")[0]); err != nil {
		ts.Fatalf("%v, after %v", err, promptly)
	}
}
