package fakeupstream

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
)

// The program of cmd/fakeupstream.

// Ready is the line that the program prints when it is ready.
type Ready struct {
	URL     string `json:"url"`     // of the upstream
	Control string `json:"control"` // of the control port
	CAFile  string `json:"ca_file"` // holds CAPEM; removed at the end
	CAPEM   string `json:"ca_pem"`
}

// Main is the program: it runs a server and its control port until ctx is done
// or stdin is at its end, and returns the exit code. It does not wait for a read
// of stdin that goes on.
func Main(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("fakeupstream", flag.ContinueOnError)
	flags.SetOutput(stderr)
	var o Options
	var names string
	flags.BoolVar(&o.Plain, "plain", false, "serve HTTP instead of HTTPS")
	flags.StringVar(&names, "names", "", "further DNS `names` for the certificate, separated by commas")
	flags.IntVar(&o.BodyLimit, "body-limit", 0, "keep so many `bytes` of each body (default 64 KiB)")
	flags.IntVar(&o.RequestLimit, "request-limit", 0, "keep so many requests, the newest (default 100,000)")
	flags.DurationVar(&o.Wait, "wait", 0, "how long the control port waits if it is not told (default 10s)")
	flags.StringVar(&o.Token, "token", "", "the credential to insist on where one is wanted (default any)")
	flags.StringVar(&o.GitRoot, "git-root", "", "serve the bare repositories below this `directory` under /git/")
	detached := flags.Bool("detached", false, "go on when standard input is closed")
	verbose := flags.Bool("v", false, "a line on standard error for each exchange")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 2
	}
	if flags.NArg() > 0 {
		fmt.Fprintf(stderr, "fakeupstream: unexpected argument %q\n", flags.Arg(0))
		return 2
	}
	if names != "" {
		o.Names = strings.Split(names, ",")
	}
	if *verbose {
		o.Logf = func(format string, args ...any) { fmt.Fprintf(stderr, format+"\n", args...) }
	}
	if *detached {
		stdin = nil
	}
	if err := run(ctx, o, stdin, stdout); err != nil {
		fmt.Fprintln(stderr, err)
		return 1
	}
	return 0
}

func run(ctx context.Context, o Options, stdin io.Reader, stdout io.Writer) error {
	s, err := Start(ctx, o)
	if err != nil {
		return err
	}
	defer s.Close()
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("fakeupstream: control port: %w", err)
	}
	control := &http.Server{Handler: s.Control()}
	failed := make(chan error, 1)
	go func() { failed <- control.Serve(ln) }()
	defer control.Close()

	ready := Ready{URL: s.URL, Control: "http://" + ln.Addr().String(), CAPEM: string(s.CAPEM)}
	if !o.Plain {
		dir, err := os.MkdirTemp("", "fakeupstream-")
		if err != nil {
			return fmt.Errorf("fakeupstream: %w", err)
		}
		defer os.RemoveAll(dir)
		ready.CAFile = filepath.Join(dir, "ca.pem")
		if err := os.WriteFile(ready.CAFile, s.CAPEM, 0o644); err != nil {
			return fmt.Errorf("fakeupstream: %w", err)
		}
	}
	line, err := marshal(ready)
	if err != nil {
		return err
	}
	if _, err := stdout.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("fakeupstream: %w", err)
	}

	// Nobody is left to stop it when the one who started it is gone.
	orphaned := make(chan struct{})
	if stdin != nil {
		go func() {
			io.Copy(io.Discard, stdin)
			close(orphaned)
		}()
	}
	select {
	case <-ctx.Done():
		return nil
	case <-orphaned:
		return nil
	case err := <-failed:
		return fmt.Errorf("fakeupstream: control port: %w", err)
	}
}
