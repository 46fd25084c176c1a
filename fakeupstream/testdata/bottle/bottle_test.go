// Package bottle stands for a module of somebody else, such as a bottle
// backend, whose tests use the fake upstream.
package bottle

import (
	"net/http"
	"testing"

	"credproxy/fakeupstream"
)

// fetch is the code under test: it presents a credential.
func fetch(client *http.Client, url, token string) (int, error) {
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	return resp.StatusCode, nil
}

func TestFetchPresentsTheToken(t *testing.T) {
	up := fakeupstream.NewTest(t)
	up.Set("/v1/files", fakeupstream.Like("/status/202"))
	status, err := fetch(up.Client(), up.URL+"/v1/files", "s3cret")
	if err != nil || status != 202 {
		t.Errorf("%d, %v", status, err)
	}
	if got := up.Requests()[0].Get("Authorization"); got != "Bearer s3cret" {
		t.Errorf("the upstream was shown %q", got)
	}
}

func TestFetchReportsAnUpstreamThatDies(t *testing.T) {
	up := fakeupstream.NewTest(t)
	if err := up.Inject(fakeupstream.Fault{Kind: fakeupstream.FaultReset}); err != nil {
		t.Fatal(err)
	}
	if _, err := fetch(up.Client(), up.URL, "s3cret"); err == nil {
		t.Error("no error")
	}
}
