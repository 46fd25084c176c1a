package fakeupstream_test

import (
	"fmt"
	"io"
	"testing"

	"credproxy/fakeupstream"
)

// TestReadme is the README's example in Go, word for word. A test in cmd/cred-proxy compares them.
func TestReadme(t *testing.T) {
	up := fakeupstream.NewTest(t)                           // closes with the test
	up.Set("/v1/files", fakeupstream.Like("/bytes?n=1000")) // a behaviour; see fakeupstream.Behaviours
	up.Inject(fakeupstream.Fault{Kind: fakeupstream.FaultTruncate, After: 10, Count: 1})
	resp, err := up.Client().Get(up.URL + "/v1/files") // or your own client: trust up.CAPEM
	// ...
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); len(body) != 10 || err != io.ErrUnexpectedEOF {
		t.Errorf("%d bytes, %v", len(body), err)
	}
	// ...
	fmt.Print(up.Requests()[0].Dump()) // the request as it was sent
}
