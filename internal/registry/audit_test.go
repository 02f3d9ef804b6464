package registry_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/remit-ecs/remit/internal/audit"
	"github.com/remit-ecs/remit/internal/testkit"
)

// TestForgedPasswordIsRecorded: who claims to be somebody and is not stands in
// the trail; who has not claimed anything yet does not.
func TestForgedPasswordIsRecorded(t *testing.T) {
	f := start(t)
	for _, password := range []string{"", "forged"} {
		r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, f.server.URL+"/v2/", nil)
		if err != nil {
			t.Fatal(err)
		}
		if password != "" {
			r.SetBasicAuth("AWS", password)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("password %q: %s", password, resp.Status)
		}
	}
	recs, err := f.Store.ReadStream(context.Background(), audit.Stream(testkit.Account, "us-east-1"), 0, 10)
	if err != nil || len(recs) != 1 {
		t.Fatalf("%d records, %v", len(recs), err)
	}
	rec, err := audit.Decode(recs[0].Data)
	if err != nil || rec.ErrorCode == "" || rec.EventSource != "ecr.amazonaws.com" || rec.SourceIPAddress != "127.0.0.1" {
		t.Errorf("%+v %v", rec, err)
	}
}
