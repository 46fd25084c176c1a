package fakeupstream

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// lfsBuiltins are the Git LFS API of any repository, that of /git/ included.
var lfsBuiltins = []builtin{
	{"/info/lfs/objects/batch", "git LFS batch: absolute hrefs to /lfs/objects/ for the objects that exist; wants a token", fixed(guarded(lfsBatch))},
	{"/lfs/objects/{x}", "a git LFS object by its SHA-256", newLFSObject},
}

// lfsSizes are the objects that /lfs/objects/ has: Bytes of these sizes.
var lfsSizes = []int64{1, 1000, 100_000}

// lfsSize returns the size of the object of that SHA-256.
func lfsSize(oid string) (size int64, ok bool) {
	i := slices.IndexFunc(lfsSizes, func(n int64) bool { return BytesSHA256(n) == oid })
	if i < 0 {
		return 0, false
	}
	return lfsSizes[i], true
}

// lfsBatch answers the batch request of the Git LFS API. Every action names the
// server's own host.
func lfsBatch(x *Exchange) error {
	body, err := x.ReadBody()
	if err != nil {
		return err
	}
	var batch struct {
		Operation string `json:"operation"`
		Objects   []struct {
			OID  string `json:"oid"`
			Size int64  `json:"size"`
		} `json:"objects"`
	}
	kind := Field{"Content-Type", "application/vnd.git-lfs+json"}
	if err := json.Unmarshal(body, &batch); err != nil || batch.Operation != "download" {
		return x.Answer(http.StatusUnprocessableEntity, []byte(`{"message":"want a batch of downloads"}`+"\n"), kind)
	}
	root, _, _ := strings.Cut(x.path, "/info/lfs/")
	base, _, _ := strings.Cut(root, "/git/")
	objects := []map[string]any{}
	for _, o := range batch.Objects {
		answer := map[string]any{"oid": o.OID, "size": o.Size}
		if size, ok := lfsSize(o.OID); ok {
			answer["size"] = size
			answer["authenticated"] = true
			answer["actions"] = map[string]any{"download": map[string]any{"href": x.absolute(base + "/lfs/objects/" + o.OID)}}
		} else {
			answer["error"] = map[string]any{"code": 404, "message": "object does not exist"}
		}
		objects = append(objects, answer)
	}
	p, err := marshal(map[string]any{"transfer": "basic", "objects": objects})
	if err != nil {
		return err
	}
	return x.Answer(http.StatusOK, append(p, '\n'), kind)
}

// newLFSObject is /lfs/objects/{x}.
func newLFSObject(p params) (Behaviour, error) {
	size, ok := lfsSize(p.arg)
	if !ok {
		return Like("/status/404"), nil
	}
	return Like(fmt.Sprintf("/bytes?n=%d", size)), nil
}
