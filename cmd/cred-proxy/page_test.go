package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"credproxy/fakeupstream"
)

// TestPage uses the operator's page as a person does, in a real browser: it loads, filters, shows what happens while it
// happens, at two widths and in both themes. With CRED_PROXY_SCREENSHOTS it leaves pictures in that directory.
func TestPage(t *testing.T) {
	b := newBrowser(t)
	up := fakeupstream.NewTest(t)
	p := serve(t, up, "A_TOKEN=token-of-route-a", "CRED_PROXY_ADMIN=127.0.0.1:0")
	m := adminLine.FindStringSubmatch(p.stderr.String())
	if m == nil {
		t.Fatal(p.stderr)
	}
	url := "http://" + m[1] + "/"
	ask := func(requestLine string) {
		t.Helper()
		if _, err := ask(p.addr, requestLine); err != nil {
			t.Fatal(err)
		}
	}
	rows := func(selector string) string {
		return fmt.Sprintf("[...document.querySelectorAll('#exchanges tr%s')].filter(r => r.checkVisibility()).length", selector)
	}

	// It loads, and shows what was before.
	ask("GET /a/echo?key=in-the-query")
	ask("GET /a/status/500")
	ask("GET /a/<img/src=x/onerror=document.title=1>")
	ask("GET /none/x")
	b.open(url)
	b.wait("document.getElementById('pill').textContent === 'ready' && " + rows("") + " === 4")
	b.wait("document.title === 'cred-proxy' && !document.querySelector('img') && !document.body.innerText.includes('in-the-query')")
	b.wait("document.querySelector('#routes tr th').innerText.startsWith('/a/')")

	// What happens is seen without a reload: an exchange, a refusal in red, a stream that grows older.
	ask("GET /a/live")
	b.wait("document.querySelector('#exchanges tr .path').textContent === '/a/live'")
	ask("POST /a/git-receive-pack")
	b.wait("document.querySelector('#exchanges tr.refused .code').textContent === 'push'")
	b.wait("getComputedStyle(document.querySelector('#exchanges tr.refused .status')).color === 'rgb(179, 38, 30)'")
	stream := openStreams(t, p, 1, func(int) string { return "held" })[0]
	b.wait("document.querySelectorAll('#open tr').length === 1 && document.querySelector('#open .path').textContent === '/a/sse'")
	b.wait("document.querySelector('#open td').textContent === '0:02'")

	// Filters.
	b.eval("document.getElementById('only').click()", nil)
	b.wait(rows(".refused") + " === 2 && " + rows("") + " === 2")
	b.eval("document.getElementById('only').click()", nil)
	set := func(id, value string) {
		b.eval(fmt.Sprintf("{ const e = document.getElementById(%q); e.value = %q; e.dispatchEvent(new Event('input', {bubbles: true})); }", id, value), nil)
	}
	set("text", "LIVE")
	b.wait(rows("") + " === 1 && document.getElementById('shown').textContent === '1 of 6 shown'")
	set("text", "")
	set("status", "5")
	b.wait(rows("") + " === 1")
	set("status", "")
	set("route", "no route")
	b.wait(rows("") + " === 2")
	set("route", "")
	b.wait(rows("") + " === 6")

	// Paused, nothing moves; then it is all there.
	b.eval("document.getElementById('pause').click()", nil)
	ask("GET /a/while-paused")
	b.wait("document.getElementById('pause').textContent === 'Resume, 1 new' && " + rows("") + " === 6")
	b.eval("document.getElementById('pause').click()", nil)
	b.wait(rows("") + " === 7")

	// Nor is anything there twice after a connection that was lost meanwhile: a new one begins with all that there is.
	b.eval("document.getElementById('pause').click()", nil)
	b.eval("{ const all = JSON.stringify([...list].reverse()); source.dispatchEvent(new Event('open')); source.dispatchEvent(new MessageEvent('exchanges', {data: all})); }", nil)
	ask("GET /a/after-the-loss")
	b.wait("document.getElementById('pause').textContent === 'Resume, 1 new' && " + rows("") + " === 7")
	b.eval("document.getElementById('pause').click()", nil)
	b.wait(rows("") + " === 8")

	// No width needs scrolling sideways, no theme has text that is hard to read.
	for i := range 12 {
		ask([]string{"GET /a/bytes?n=1000", "POST /a/v1/messages", "GET /a/" + longPath}[i%3])
	}
	b.wait(rows("") + " >= 20")
	for _, width := range []int{1280, 390} {
		for _, theme := range []string{"light", "dark"} {
			b.look(width, 1100, theme)
			var wide int
			if b.eval("document.documentElement.scrollWidth", &wide); wide > width {
				t.Errorf("%s at %d: %d wide", theme, width, wide)
			}
			var faint []string
			if b.eval(faintJS, &faint); len(faint) > 0 {
				t.Errorf("%s at %d: hard to read: %q", theme, width, faint)
			}
			if dir := os.Getenv("CRED_PROXY_SCREENSHOTS"); dir != "" {
				b.screenshot(filepath.Join(dir, fmt.Sprintf("page-%d-%s.png", width, theme)))
			}
		}
		b.eval("document.getElementById('only').click()", nil)
		b.wait(rows("") + " === 2")
		b.eval("document.getElementById('only').click()", nil)
	}

	// The end of a stream, and of the program.
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	stream.tcp.Close()
	if err := up.WaitStreamGone(ctx, "held"); err != nil {
		t.Fatal(err)
	}
	b.wait("document.querySelectorAll('#open tr').length === 0 && document.querySelector('#exchanges tr .code').textContent === 'agent left'")
	if all := b.complaints(url); len(all) > 0 {
		t.Errorf("the page complains: %q", all)
	}
	p.stop()
	b.wait("document.getElementById('pill').textContent === 'no connection'")
}

const longPath = "repos/an-organisation-with-a-long-name/a-repository-with-a-longer-one/contents/of/a/file/that/is/deep/down.txt"

// faintJS finds text that has less contrast to what is behind it than 4.5 to 1 (WCAG 2.2, 1.4.3).
const faintJS = `(() => {
	const rgb = c => c.match(/[\d.]+/g).map(Number);
	const luminance = c => {
		const [r, g, b] = c.map(v => (v /= 255) <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
		return .2126 * r + .7152 * g + .0722 * b;
	};
	const behind = e => {
		for (; e; e = e.parentElement) {
			const c = rgb(getComputedStyle(e).backgroundColor);
			if (c.length < 4 || c[3] > 0) return c.slice(0, 3);
		}
		return [255, 255, 255];
	};
	document.getAnimations().forEach(a => a.finish());
	const faint = new Set();
	for (const e of document.querySelectorAll('body *:not(script)')) {
		if (![...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()) || !e.offsetParent) continue;
		const a = luminance(rgb(getComputedStyle(e).color).slice(0, 3)), b = luminance(behind(e));
		if ((Math.max(a, b) + .05) / (Math.min(a, b) + .05) < 4.5) faint.add(e.tagName + '.' + e.className + ': ' + e.textContent.slice(0, 30));
	}
	return [...faint];
})()`
