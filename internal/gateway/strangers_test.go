package gateway_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/remit-ecs/remit/internal/audit"
	"github.com/remit-ecs/remit/internal/clock"
	"github.com/remit-ecs/remit/internal/testkit"
)

// TestStrangersCannotFillTheTrail knocks 500 times without a signature: every
// time the answer is the same refusal, and the trail has a few records and the
// count. Callers who are known get a record each, all the while.
func TestStrangersCannotFillTheTrail(t *testing.T) {
	fake := clock.NewFake(time.Now().Truncate(time.Second)) // SDKs sign with the time of now
	began := audit.Time(fake.Now())
	k := testkit.New(t, func(*testkit.Kit) []testkit.Registrar { return []testkit.Registrar{groups{}} }, testkit.WithClock(fake))
	knock := func() {
		t.Helper()
		res, err := http.Post(k.URL, "application/x-www-form-urlencoded", strings.NewReader("Action=GetCallerIdentity&Version=2011-06-15"))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusForbidden {
			t.Fatalf("without a signature: %s", res.Status)
		}
	}
	const knocks, calls = 500, 100
	known := sts.NewFromConfig(k.With())
	for i := range knocks {
		knock()
		if i < calls {
			if _, err := known.GetCallerIdentity(context.Background(), nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	refused, answered := 0, 0
	for _, r := range k.Trail() {
		if r.UserIdentity.Type == "AssumedRole" {
			answered++
		}
	}
	home := trail(t, k, "us-east-1") // what names no region
	for _, r := range home {
		if r.ErrorCode != "" {
			refused++
		}
	}
	if answered != calls {
		t.Errorf("%d records of %d calls with a signature", answered, calls)
	}
	const burst = 60
	if refused != burst {
		t.Errorf("%d records of %d refusals, want %d", refused, knocks, burst)
	}

	fake.Advance(time.Minute) // the count is due, and the source has some records to spend again
	deadline := time.Now().Add(10 * time.Second)
	for len(home) == refused && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
		home = trail(t, k, "us-east-1")
	}
	last := home[len(home)-1]
	if last.AdditionalEventData == nil || last.AdditionalEventData.Unrecorded == nil {
		t.Fatalf("no count: %+v", last)
	}
	u := last.AdditionalEventData.Unrecorded
	if u.Count != knocks-burst || u.Codes["MissingAuthenticationToken"] != u.Count || u.Sources["127.0.0.1"] != u.Count || u.Since != began {
		t.Errorf("counted %+v, want %d", u, knocks-burst)
	}
	n := len(home)
	for range 20 {
		knock()
	}
	if err := k.Gateway.RecordHeld(context.Background()); err != nil {
		t.Fatal(err)
	}
	home = trail(t, k, "us-east-1")
	if got := len(home) - n; got != 6+1 { // one for each ten seconds that have passed, and the count
		t.Errorf("after a minute: %d more records, want 7", got)
	}
	if err := k.Gateway.RecordHeld(context.Background()); err != nil || len(trail(t, k, "us-east-1")) != len(home) {
		t.Error("nothing was held, and yet there is a record of it")
	}
}
