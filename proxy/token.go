package proxy

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"
)

// TokenSource says where a token comes from: one of Env, File and Command is set.
type TokenSource struct {
	Env  string // an environment variable
	File string // a file that holds nothing else; relative to the working directory

	Command []string      // a program that prints it, and its arguments
	TTL     time.Duration // how long what that printed is used

	clients bool // it has tokens for clients, one a line, and none for an upstream
}

// String names the source as `cred-proxy check` does. A command is named by its first word: who wrongly passes secrets as
// arguments does not find them in a log.
func (t *TokenSource) String() string {
	if t.Env != "" {
		return "env " + shownName(t.Env)
	}
	return t.place()
}

// place is the source as messages name it, without what it is for.
func (t *TokenSource) place() string {
	switch {
	case t.File != "":
		return "file " + shownPath(t.File)
	case t.Command != nil:
		word, more, _ := strings.Cut(t.Command[0], " ")
		if word = shownPath(word); more != "" {
			word += " ..." // a line for a shell, perhaps
		}
		return "command " + word
	}
	return "env var " + shownName(t.Env)
}

// shownName is a variable's name as messages have it, of which some go to agents. Of what is probably a token, written
// where its place belongs, they have the beginning: of 20 bytes with digits and small letters.
func shownName(s string) string {
	if !isLikeToken(s) {
		return s
	}
	return s[:4] + "... (a token in place of a name?)"
}

// shownPath is shownName for the path of a file. One that begins as paths do is none of the tokens that have slashes, if
// it has not the other signs of base64 either.
func shownPath(s string) string {
	begins := strings.HasPrefix(s, "/") || strings.HasPrefix(s, "./") || strings.HasPrefix(s, "../")
	if begins && !strings.ContainsAny(s, "+=") || !slices.ContainsFunc(strings.Split(s, "/"), isLikeToken) {
		return s
	}
	return s[:4] + "... (a token in place of a path?)"
}

func isLikeToken(s string) bool {
	return len(s) >= 20 && strings.ContainsAny(s, "0123456789") && strings.ToUpper(s) != s
}

// named is how messages name the source.
func (t *TokenSource) named() string {
	switch {
	case t.clients:
		return "client token " + t.place()
	case t.Env == "":
		return "token " + t.place()
	}
	return t.place()
}

// key tells sources apart.
func (t *TokenSource) key() string {
	return fmt.Sprintf("%q %q %q %v %v", t.Env, t.File, t.Command, t.TTL, t.clients)
}

// tokenState is whether a token can be used.
type tokenState string

// The states of a token, as `cred-proxy check` prints them.
const (
	tokenSet     tokenState = "set"
	tokenUnset   tokenState = "unset"
	tokenInvalid tokenState = "invalid"
	tokenNotRun  tokenState = "not run" // and nobody knows
)

// maxToken is how many bytes a token may have, with the white space around it.
const maxToken = 64 << 10

// tokenValue is what a source gave.
type tokenValue struct {
	token   Secret
	state   tokenState
	problem string // what is wrong, where the state is not set; it names the source and says nothing of the token
	renew   func() // told by an exchange whose upstream refuses the token; nil: there is nothing to be done
}

// sum tells values apart.
func (v tokenValue) sum() [sha256.Size]byte {
	return sha256.Sum256([]byte(string(v.state) + "\x00" + v.problem + "\x00" + v.token.reveal()))
}

// not is the value of a source that gave none that can be used.
func (t *TokenSource) not(state tokenState, format string, args ...any) tokenValue {
	return tokenValue{state: state, problem: t.named() + " " + fmt.Sprintf(format, args...)}
}

// read takes the token from its source. It waits for nobody: a file is a regular one, and a command is not run.
func (t *TokenSource) read(getenv func(string) string) tokenValue {
	switch {
	case t.Command != nil:
		return t.not(tokenNotRun, "was not run")
	case t.File == "":
		return t.value(getenv(t.Env), "unset")
	}
	text, err := readRegular(t.File, maxToken)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return t.not(tokenUnset, "missing")
	case err != nil:
		return t.not(tokenInvalid, "%v", readError(err))
	}
	return t.value(string(text), "empty")
}

// value is the token that a source gave. White space around it is cut: files and shells leave it there, and no recipient of
// a field takes it for a part of the token, so it must not be looked for with it. Any other byte that is not visible ASCII or a space cannot stand in a credential.
func (t *TokenSource) value(token, ifNone string) tokenValue {
	if token = strings.Trim(token, " \t\r\n"); token == "" {
		return t.not(tokenUnset, "%s", ifNone)
	}
	if t.clients {
		return t.clientTokens(token)
	}
	for i := range len(token) {
		if token[i] < ' ' || token[i] > '~' {
			return t.not(tokenInvalid, "cannot stand in a header")
		}
	}
	return tokenValue{token: NewSecret(token), state: tokenSet}
}

// readRegular returns what is in a file of at most that many bytes. What is no regular file is not opened: to open a device
// or a FIFO does something to whoever is at its other end. In case it becomes one meanwhile, nothing waits.
func readRegular(name string, most int64) ([]byte, error) {
	if info, err := os.Stat(name); err != nil {
		return nil, err
	} else if !info.Mode().IsRegular() {
		return nil, errNotRegular
	}
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errNotRegular
	}
	text, err := io.ReadAll(io.LimitReader(f, most+1))
	switch {
	case err != nil:
		return nil, err
	case int64(len(text)) > most:
		return nil, fmt.Errorf("has more than %d bytes", most)
	}
	return text, nil
}

var errNotRegular = errors.New("is not a regular file")

// readError is an error of reading a file, in words that go on where its name ends.
func readError(err error) error {
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		return fmt.Errorf("cannot be read: %w", path.Err)
	}
	return err
}
