package fakeupstream_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"strings"
	"testing"

	"credproxy/fakeupstream"
)

// In a test, NewTest closes the server with the test and logs through it.
func ExampleNewTest() {
	_ = func(t *testing.T) {
		up := fakeupstream.NewTest(t)
		resp, err := up.Client().Get(up.URL + "/v1/things?page=2")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if got := up.Requests()[0].Target; got != "/v1/things?page=2" {
			t.Errorf("the upstream was sent %q", got)
		}
	}
}

// Everything else starts it with Start and closes it itself.
func ExampleStart() {
	up, err := fakeupstream.Start(context.Background(), fakeupstream.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer up.Close()

	req, _ := http.NewRequest("POST", up.URL+"/v1/things", strings.NewReader("a thing"))
	req.Header.Set("Authorization", "Bearer s3cret")
	req.Host = "api.example.test"
	resp, err := up.Client().Do(req)
	if err != nil {
		log.Fatal(err)
	}
	resp.Body.Close()
	fmt.Print(up.Requests()[0].Dump())
	// Output:
	// POST /v1/things HTTP/1.1
	// Host: api.example.test
	// User-Agent: Go-http-client/1.1
	// Content-Length: 7
	// Authorization: Bearer s3cret
	//
	// a thing
}

// A stream in lock-step sends what it is told, when it is told.
func ExampleServer_Emit() {
	ctx := context.Background()
	up, err := fakeupstream.Start(ctx, fakeupstream.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer up.Close()
	resp, err := up.Client().Get(up.URL + "/sse?name=news")
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	events := bufio.NewReader(resp.Body)
	for _, data := range []string{"one", "two"} {
		if err := up.Emit(ctx, "news", data); err != nil {
			log.Fatal(err)
		}
		line, _ := events.ReadString('\n') // there before the next one is sent
		events.ReadString('\n')
		fmt.Print(line)
	}
	up.CutStream(ctx, "news")
	_, err = events.ReadString('\n')
	fmt.Println(err)
	// Output:
	// data: one
	// data: two
	// unexpected EOF
}

// A fault is met by the next requests, or by all until it is cleared.
func ExampleServer_Inject() {
	up, err := fakeupstream.Start(context.Background(), fakeupstream.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer up.Close()
	err = up.Inject(fakeupstream.Fault{Kind: fakeupstream.FaultTruncate, After: 3, Count: 1})
	if err != nil {
		log.Fatal(err)
	}
	for range 2 {
		resp, err := up.Client().Get(up.URL + "/status/200")
		if err != nil {
			log.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		fmt.Printf("%q %v\n", body, err)
	}
	// Output:
	// "200" unexpected EOF
	// "200 OK\n" <nil>
}

// Any path can behave like a built-in one, write bytes as they are, or run a
// function.
func ExampleServer_Set() {
	up, err := fakeupstream.Start(context.Background(), fakeupstream.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer up.Close()
	up.Set("/a", fakeupstream.Like("/status/503"))
	up.Set("/b", fakeupstream.Raw([]byte("HTTP/1.1 418 Short and stout\r\nContent-Length: 0\r\n\r\n"), fakeupstream.CloseNotify))
	up.Set("/c", func(x *fakeupstream.Exchange) error {
		body, err := x.ReadBody()
		if err != nil {
			return err
		}
		return x.Answer(201, body, fakeupstream.Field{Name: "Location", Value: "/c/1"})
	})
	for _, path := range []string{"/a", "/b", "/c"} {
		resp, err := up.Client().Get(up.URL + path)
		if err != nil {
			log.Fatal(err)
		}
		resp.Body.Close()
		fmt.Println(resp.Status)
	}
	// Output:
	// 503 Service Unavailable
	// 418 Short and stout
	// 201 Created
}
