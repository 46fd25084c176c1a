package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"credproxy/fakeupstream"
)

// httpClients are the HTTP clients of the languages. They all do the same, by a script that is given what to do, a URL
// and, to upload, a file:
//
//	json      POST {"hello": "world"}, print the answer
//	stream    GET, print each line as it comes
//	upload    PUT the file, print the answer
//	download  GET, print the answer
//
// What they present is in $KEY.
func httpClients() []client {
	python := []need{{program: "python3"}}
	list := []client{
		httpClient("curl", []need{{program: "curl"}}, "curl --version", `case $1 in
			json) set -- -d '{"hello": "world"}' -H 'Content-Type: application/json' "$2" ;;
			stream) set -- -N "$2" ;;
			upload) set -- -T "$3" "$2" ;;
			download) set -- "$2" ;;
		esac
		curl -fsS -H "Authorization: Bearer $KEY" "$@"`),
		httpClient("Python urllib", python, "python3 --version", `python3 "$SCRIPTS/agent.py" urllib "$@"`),
		httpClient("Python http.client", python, "python3 --version", `python3 "$SCRIPTS/agent.py" http.client "$@"`),
		httpClient("requests (that in pip)", []need{{program: "python3"}, {python: "pip._vendor.requests"}},
			`python3 -c "from pip._vendor import requests; print(requests.__version__)"`, `python3 "$SCRIPTS/agent.py" requests "$@"`),
		httpClient("Go net/http", nil, "echo "+runtime.Version(), `"$CLIENTS/`+goClientName+`" "$@"`),
		httpClient("Node fetch", []need{{program: "node"}}, "node --version", `node "$SCRIPTS/fetch.mjs" "$@"`),
	}
	list[0].steps = append(list[0].steps, step{"a streamed message", curlMessage})
	return list
}

// curlMessage asks a model with nothing but curl.
func curlMessage(ctx context.Context, b *bottle) error {
	const request = `{"model": "fake-large-1", "max_tokens": 100, "stream": true, "messages": [{"role": "user", "content": "hi"}]}`
	if err := os.WriteFile(b.work("request.json"), []byte(request), 0o644); err != nil {
		return err
	}
	out, err := b.sh(ctx, `curl -fsSN "$AT/anthropic/v1/messages" -H "Authorization: Bearer ${FILES_CLIENT_TOKEN:-placeholder}" \
		-H 'anthropic-version: 2023-06-01' -H 'content-type: application/json' -d @request.json`)
	if err != nil {
		return err
	}
	if !strings.Contains(out, `"text":"hi"`) || !strings.HasSuffix(out, "data: {\"type\":\"message_stop\"}\n\n") {
		return fmt.Errorf("printed %q", out)
	}
	return nil
}

const uploaded = 5_000_000

func httpClient(name string, needs []need, version, script string) client {
	run := func(what, path string, more string) string {
		return `export KEY="${FILES_CLIENT_TOKEN:-placeholder}"; set -- ` + what + ` "$FILES_BASE_URL` + path + `" ` + more + "\n" + script
	}
	return client{name: name, route: "/files/", needs: needs, version: version, steps: []step{
		{"JSON", func(ctx context.Context, b *bottle) error {
			out, err := b.sh(ctx, run("json", "/sink?of=json", ""))
			if err != nil {
				return err
			}
			if len(b.recorded("/sink")) != 1 {
				return fmt.Errorf("%d requests", len(b.recorded("/sink")))
			}
			q := b.recorded("/sink")[0]
			var sent struct{ Hello string }
			if json.Unmarshal(q.Body, &sent); sent.Hello != "world" || q.Method != "POST" || q.Query() != "of=json" {
				return fmt.Errorf("%s %s arrived with %q", q.Method, q.Target, q.Body)
			}
			return want(out, fmt.Sprintf(`{"n":%d,"sha256":%q}`, q.BodySize, q.BodySHA256))
		}},
		{"a stream, event by event", func(ctx context.Context, b *bottle) error {
			var events []event
			for i := range 5 {
				data := fmt.Sprintf("number %d", i)
				events = append(events, event{fakeupstream.Event{Data: data}, "data: " + data})
			}
			return b.watch(ctx, name, run("stream", "/sse?name="+strings.ReplaceAll(name, " ", "+"), ""), false, events)
		}},
		{"upload and download of 5 MB", func(ctx context.Context, b *bottle) error {
			f, err := os.Create(b.work("upload"))
			if err != nil {
				return err
			}
			defer f.Close()
			if _, err := io.Copy(f, fakeupstream.Bytes(0, uploaded)); err != nil {
				return err
			}
			got, err := b.sh(ctx, run("upload", "/sink", "upload"))
			if err == nil {
				err = want(got, fmt.Sprintf(`{"n":%d,"sha256":%q}`, uploaded, fakeupstream.BytesSHA256(uploaded)))
			}
			if err != nil {
				return err
			}
			got, err = b.sh(ctx, `(`+run("download", fmt.Sprintf("/bytes?n=%d", uploaded), "")+`) >download; cmp download upload && echo same`)
			if err != nil {
				return err
			}
			return want(got, "same")
		}},
	}}
}

// goClientName is the program as a client of Go's net/http.
const goClientName = "clients-go"

func goClientMain(ctx context.Context, args []string) int {
	if err := goClient(ctx, args[0], args[1], args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func goClient(ctx context.Context, what, url string, files []string) error {
	method, body := http.MethodGet, io.Reader(nil)
	var size int64
	switch what {
	case "json":
		method, body = http.MethodPost, strings.NewReader(`{"hello": "world"}`)
	case "upload":
		f, err := os.Open(filepath.Clean(files[0]))
		if err != nil {
			return err
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			return err
		}
		method, body, size = http.MethodPut, f, info.Size()
	}
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return err
	}
	if size > 0 {
		req.ContentLength = size
	}
	req.Header.Set("Authorization", "Bearer "+os.Getenv("KEY"))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s", resp.Status)
	}
	if what == "stream" {
		lines := bufio.NewScanner(resp.Body)
		for lines.Scan() {
			fmt.Println(lines.Text())
		}
		return lines.Err()
	}
	_, err = io.Copy(os.Stdout, resp.Body)
	return err
}
