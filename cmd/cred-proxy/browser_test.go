package main

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// A browser is a headless Chromium with one page, driven over a pair of pipes by the DevTools protocol.
type browser struct {
	t       *testing.T
	to      *os.File
	session string

	mu      sync.Mutex
	n       int
	replies map[int]chan reply
	url     string   // of what is on the page
	trouble []string // what the page complained about
	asked   []string // the URLs that it has asked for
}

type reply struct {
	Result json.RawMessage
	Error  *struct{ Message string }
}

// newBrowser starts a Chromium, or skips the test where there is none.
func newBrowser(t *testing.T) *browser {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("a browser's pipes are not inherited here")
	}
	bin := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			bin = path
			break
		}
	}
	if bin == "" {
		t.Skip("no Chromium here")
	}
	theirs, to, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	from, theirs2, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	profile := t.TempDir()
	cmd := exec.Command(bin, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions", "--hide-scrollbars",
		"--no-proxy-server", "--user-data-dir="+profile, "--remote-debugging-pipe", "about:blank")
	cmd.Env = append(os.Environ(), "HOME="+profile)
	cmd.ExtraFiles = []*os.File{theirs, theirs2} // its descriptors 3 and 4
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	theirs.Close()
	theirs2.Close()
	b := &browser{t: t, to: to, replies: map[int]chan reply{}}
	read := make(chan struct{})
	go func() {
		defer close(read)
		b.read(from)
	}()
	t.Cleanup(func() {
		b.post("", "Browser.close", nil)
		exited := make(chan struct{})
		go func() {
			cmd.Wait()
			close(exited)
		}()
		select {
		case <-exited:
		case <-time.After(5 * time.Second):
			cmd.Process.Kill()
			<-exited
		}
		to.Close()
		from.Close()
		<-read
	})
	var target struct{ TargetID, SessionID string }
	b.call("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	b.call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &target)
	b.session = target.SessionID
	for _, domain := range []string{"Page", "Runtime", "Log", "Network"} {
		b.call(domain+".enable", nil, nil)
	}
	return b
}

// read takes what the browser says: answers, and what happens on the page.
func (b *browser) read(from *os.File) {
	for in := bufio.NewReader(from); ; {
		text, err := in.ReadBytes(0)
		if err != nil {
			b.mu.Lock()
			defer b.mu.Unlock()
			for _, r := range b.replies {
				close(r)
			}
			b.replies = nil
			return
		}
		var m struct {
			ID     int
			Method string
			Params struct {
				Entry            struct{ Level, Text string }
				ExceptionDetails struct{ Text string }
				Request, Frame   struct{ URL string }
			}
			reply
		}
		json.Unmarshal(text[:len(text)-1], &m)
		b.mu.Lock()
		switch m.Method {
		case "":
			if r := b.replies[m.ID]; r != nil {
				r <- m.reply
				delete(b.replies, m.ID)
			}
		case "Page.frameNavigated":
			b.url = m.Params.Frame.URL
		case "Log.entryAdded":
			b.trouble = append(b.trouble, m.Params.Entry.Level+": "+m.Params.Entry.Text)
		case "Runtime.exceptionThrown":
			b.trouble = append(b.trouble, string(text))
		case "Network.requestWillBeSent":
			b.asked = append(b.asked, m.Params.Request.URL)
		}
		b.mu.Unlock()
	}
}

// post sends a command and returns where its answer will be.
func (b *browser) post(session, method string, params any) <-chan reply {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.n++
	r := make(chan reply, 1)
	if b.replies == nil {
		close(r)
		return r
	}
	b.replies[b.n] = r
	if params == nil {
		params = struct{}{}
	}
	text, _ := json.Marshal(map[string]any{"id": b.n, "method": method, "params": params, "sessionId": session})
	b.to.Write(append(text, 0))
	return r
}

// call sends a command to the page and waits for its answer.
func (b *browser) call(method string, params, result any) {
	b.t.Helper()
	select {
	case r, ok := <-b.post(b.session, method, params):
		switch {
		case !ok:
			b.t.Fatalf("%s: the browser is gone", method)
		case r.Error != nil:
			b.t.Fatalf("%s: %s", method, r.Error.Message)
		case result != nil:
			if err := json.Unmarshal(r.Result, result); err != nil {
				b.t.Fatalf("%s: %v", method, err)
			}
		}
	case <-time.After(4 * patience):
		b.t.Fatalf("%s: no answer", method)
	}
}

// open has the page show what is at url, and returns when what was there before is gone: whatever is asked of that one
// fails.
func (b *browser) open(url string) {
	b.t.Helper()
	b.call("Page.navigate", map[string]any{"url": url}, nil)
	shows := func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.url == url
	}
	for end := time.Now().Add(patience); !shows(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			b.t.Fatalf("%s is not shown", url)
		}
	}
}

// eval returns what an expression of the page's language gives, a promise once it is settled.
func (b *browser) eval(expression string, result any) {
	b.t.Helper()
	var r struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails json.RawMessage
	}
	b.call("Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true, "awaitPromise": true}, &r)
	if r.ExceptionDetails != nil {
		b.t.Fatalf("%s: %s", expression, r.ExceptionDetails)
	}
	if result != nil {
		if err := json.Unmarshal(r.Result.Value, result); err != nil {
			b.t.Fatalf("%s: %v in %s", expression, err, r.Result.Value)
		}
	}
}

// wait waits until an expression is true.
func (b *browser) wait(expression string) {
	b.t.Helper()
	var ok bool
	b.eval(fmt.Sprintf(`new Promise(done => {
		const end = Date.now() + %d;
		const is = () => { try { return %s } catch { return false } }; // it may be about something that is still to come
		const look = () => is() ? done(true) : Date.now() > end ? done(false) : setTimeout(look, 20);
		look();
	})`, patience.Milliseconds(), expression), &ok)
	if !ok {
		var text string
		b.eval("document.body.innerText", &text)
		b.t.Fatalf("not true in %v: %s\n%s", patience, expression, text)
	}
}

// look makes the page as wide as that, in a theme, light or dark.
func (b *browser) look(width, height int, theme string) {
	b.t.Helper()
	b.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}, nil)
	b.call("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": theme}}}, nil)
	b.wait(fmt.Sprintf("innerWidth === %d && matchMedia('(prefers-color-scheme: %s)').matches", width, theme))
}

// screenshot writes what is seen into a file.
func (b *browser) screenshot(file string) {
	b.t.Helper()
	var r struct{ Data string }
	b.call("Page.captureScreenshot", map[string]any{"format": "png"}, &r)
	png, err := base64.StdEncoding.DecodeString(r.Data)
	if err == nil {
		err = os.WriteFile(file, png, 0o666)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// complaints returns what went wrong on the page, and what it asked of anybody but from.
func (b *browser) complaints(from string) (all []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	all = append(all, b.trouble...)
	for _, url := range b.asked {
		if !strings.HasPrefix(url, from) && !strings.HasPrefix(url, "data:") && url != "about:blank" {
			all = append(all, "asked for "+url)
		}
	}
	return all
}
