package gateway_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/ecsapi"
	"github.com/remit-ecs/remit/internal/api/iamapi"
	"github.com/remit-ecs/remit/internal/api/logsapi"
	"github.com/remit-ecs/remit/internal/audit"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/clock"
	"github.com/remit-ecs/remit/internal/gateway"
	"github.com/remit-ecs/remit/internal/sigv4"
	"github.com/remit-ecs/remit/internal/testkit"
)

// send signs a request as no SDK would.
func send(t *testing.T, k *testkit.Kit, service, region, target, body string, change func(*http.Request)) (int, string) {
	t.Helper()
	req, err := http.NewRequest("POST", k.URL+"/", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if target != "" {
		req.Header.Set("Content-Type", "application/x-amz-json-1.1")
		req.Header.Set("X-Amz-Target", target)
	}
	creds, err := k.Root().Credentials.Retrieve(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(body))
	sigv4.Sign(req, sigv4.Credentials{AccessKeyID: creds.AccessKeyID, SecretAccessKey: creds.SecretAccessKey}, service, region, k.Clock.Now(), hex.EncodeToString(sum[:]))
	if change != nil {
		change(req)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

func trail(t *testing.T, k *testkit.Kit, region string) []*audit.Record {
	t.Helper()
	recs, err := k.Store.ReadStream(context.Background(), audit.Stream(testkit.Account, region), 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	var out []*audit.Record
	for _, r := range recs {
		rec, err := audit.Decode(r.Data)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, rec)
	}
	return out
}

// TestRegionOfScope signs for what is no region. With a colon in it the fields
// of ARNs would shift: a policy for log-group:public* would allow any group.
func TestRegionOfScope(t *testing.T) {
	k := start(t)
	const create, body = "Logs_20140328.CreateLogGroup", `{"logGroupName":"secret"}`
	for _, region := range []string{
		"eu-west-1:" + testkit.Account + ":log-group:public", "*", "global", "EU-WEST-1", "eu-west-1%2f", "x", "eu-west-\xff1", strings.Repeat("a", 300),
	} {
		code, text := send(t, k, "logs", region, create, body, nil)
		if code < 400 || code >= 500 {
			t.Errorf("signed for %q: %d %s", region, code, text)
		}
	}
	recs := trail(t, k, "us-east-1")
	if len(recs) != 8 {
		t.Fatalf("%d of 8 refusals are in the trail", len(recs))
	}
	for _, r := range recs {
		if r.ErrorCode == "" {
			t.Errorf("not refused: %+v", r)
		}
	}
	if code, text := send(t, k, "logs", "mx-central-1", create, body, nil); code != 200 {
		t.Errorf("a region: %d %s", code, text)
	}
}

// TestRefusedRecordsAreBounded has a stranger talk a lot.
func TestRefusedRecordsAreBounded(t *testing.T) {
	k := start(t)
	send(t, k, "logs", testkit.Region, "Logs_20140328.CreateLogGroup", `{"logGroupName":"x"}`, func(r *http.Request) {
		r.Header.Set("User-Agent", strings.Repeat("x", 500_000))
		r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), "AKIAROOT", "AKIAEVIL", 1))
	})
	recs := k.Trail()
	if len(recs) != 1 || recs[0].ErrorCode == "" {
		t.Fatalf("trail: %+v", recs)
	}
	if b, _ := recs[0].Encode(); len(b) > 8<<10 {
		t.Errorf("a record of %d bytes for a stranger", len(b))
	}
}

// odd is a service with an operation of IAM, which belongs to no region, and
// one that panics.
type odd struct{}

func (odd) Register(m *gateway.Mux) {
	groups{}.Register(m)
	gateway.Handle(m, iamapi.ListUsers,
		func(*gateway.Call, *iamapi.ListUsersInput) ([]authz.Ask, error) {
			return []authz.Ask{{Action: "iam:ListUsers", Resource: "*"}}, nil
		},
		func(*gateway.Call, *iamapi.ListUsersInput) (*iamapi.ListUsersOutput, error) {
			return &iamapi.ListUsersOutput{Users: []iamapi.User{}}, nil
		})
	gateway.Handle(m, logsapi.DescribeLogGroups,
		func(*gateway.Call, *logsapi.DescribeLogGroupsInput) ([]authz.Ask, error) {
			return []authz.Ask{{Action: "logs:DescribeLogGroups", Resource: "*"}}, nil
		},
		func(*gateway.Call, *logsapi.DescribeLogGroupsInput) (*logsapi.DescribeLogGroupsOutput, error) {
			panic("for the test")
		})
}

func startOdd(t *testing.T, opts ...testkit.Option) *testkit.Kit {
	return testkit.New(t, func(*testkit.Kit) []testkit.Registrar { return []testkit.Registrar{odd{}} }, opts...)
}

// TestGlobalTrail: a call of IAM cannot be hidden in the trail of a region that
// nobody reads.
func TestGlobalTrail(t *testing.T) {
	k := startOdd(t)
	if code, text := send(t, k, "iam", "zz-hidden-9", "", "Action=ListUsers&Version=2010-05-08", nil); code != 200 {
		t.Fatalf("ListUsers: %d %s", code, text)
	}
	recs := trail(t, k, "us-east-1")
	if len(recs) != 1 || recs[0].EventName != "ListUsers" || recs[0].AWSRegion != "us-east-1" {
		t.Errorf("the trail of us-east-1: %+v", recs)
	}
}

func TestPanicIsRecorded(t *testing.T) {
	k := startOdd(t)
	if code, text := send(t, k, "logs", testkit.Region, "Logs_20140328.DescribeLogGroups", `{}`, nil); code != 500 {
		t.Fatalf("%d %s", code, text)
	}
	recs := k.Trail()
	if len(recs) != 1 || recs[0].EventName != "DescribeLogGroups" || recs[0].ErrorCode == "" || recs[0].UserIdentity.Type != "Root" {
		t.Errorf("trail: %+v", recs)
	}
}

// TestInvalidInvokeIsRecorded: what a listener passes on for its caller is
// recorded also where it is not even well-formed.
func TestInvalidInvokeIsRecorded(t *testing.T) {
	k := startOdd(t)
	k.Role("pusher", "")
	as := k.Gateway.For(k.Principal("pusher", "session"))
	target := gateway.Target{Account: testkit.Account, Region: testkit.Region}
	if _, err := gateway.Invoke(context.Background(), as, target, logsapi.CreateLogGroup, &logsapi.CreateLogGroupInput{LogGroupName: api.Ptr("*?*")}); err == nil {
		t.Fatal("a name with wildcards was taken")
	}
	if _, err := gateway.Invoke(context.Background(), as, target, logsapi.TagLogGroup, &logsapi.TagLogGroupInput{}); err == nil {
		t.Fatal("an operation that is not served was")
	}
	recs := k.Trail()
	if len(recs) != 2 || recs[0].ErrorCode == "" || recs[0].UserIdentity.Type != "AssumedRole" || recs[1].EventName != "TagLogGroup" {
		t.Errorf("trail: %+v", recs)
	}
}

// TestAdmittedSessionRunsOut: a connection outlives the session that it was
// opened with, but gets nothing any more.
func TestAdmittedSessionRunsOut(t *testing.T) {
	fake := clock.NewFake(time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC))
	k := startOdd(t, testkit.WithClock(fake))
	k.Role("host", "", testkit.Allow("*", "ecs:Poll"))
	creds, err := k.Session("host", "i-1", time.Hour).Credentials.Retrieve(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	req, _ := http.NewRequest("GET", k.URL+"/acs/ws", nil)
	sigv4.Sign(req, sigv4.Credentials{AccessKeyID: creds.AccessKeyID, SecretAccessKey: creds.SecretAccessKey, SessionToken: creds.SessionToken}, "ecs", testkit.Region, fake.Now(), sigv4.EmptyPayload)
	op := &api.OpInfo{Service: ecsapi.RunTask.Info.Service, Name: "Poll", Method: "GET", Input: -1, Output: -1}
	home := func(*gateway.Call) string { return gateway.Regional(testkit.Account, testkit.Region) }
	rule := func(*gateway.Call) ([]authz.Ask, error) {
		return []authz.Ask{{Action: "ecs:Poll", Resource: "arn:aws:ecs:eu-west-1:111122223333:container-instance/c/1"}}, nil
	}
	c, aerr := k.Gateway.Admit(req, op, home, rule)
	if aerr != nil {
		t.Fatal(aerr)
	}
	fake.Advance(time.Hour - time.Second)
	if err := k.Gateway.Ask(c, home, rule); err != nil {
		t.Errorf("within the hour: %v", err)
	}
	fake.Advance(time.Second)
	var refused *api.Error
	if err := k.Gateway.Ask(c, home, rule); err == nil || !errors.As(err, &refused) || refused.Fault != api.FaultClient {
		t.Errorf("after the session has run out: %v", err)
	}
	if last := k.Trail()[len(k.Trail())-1]; last.ErrorCode == "" || last.EventName != "Poll" {
		t.Errorf("the refusal is not in the trail: %+v", last)
	}
}

// TestTrailOrder: a record tells when its call was over, so that one that
// arrived long ago does not end a search backward through the trail.
func TestTrailOrder(t *testing.T) {
	fake := clock.NewFake(time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC))
	k := startOdd(t, testkit.WithClock(fake))
	pr, pw := io.Pipe()
	const body = `{"logGroupName":"slow"}`
	sum := sha256.Sum256([]byte(body))
	req, _ := http.NewRequest("POST", k.URL+"/", pr)
	req.Header.Set("Content-Type", "application/x-amz-json-1.1")
	req.Header.Set("X-Amz-Target", "Logs_20140328.CreateLogGroup")
	creds, _ := k.Root().Credentials.Retrieve(context.Background())
	req.ContentLength = int64(len(body))
	sigv4.Sign(req, sigv4.Credentials{AccessKeyID: creds.AccessKeyID, SecretAccessKey: creds.SecretAccessKey}, "logs", testkit.Region, fake.Now(), hex.EncodeToString(sum[:]))
	done := make(chan error, 1)
	go func() {
		res, err := http.DefaultClient.Do(req)
		if err == nil {
			_, _ = io.Copy(io.Discard, res.Body)
			res.Body.Close()
		}
		done <- err
	}()
	if _, err := pw.Write([]byte(body[:1])); err != nil {
		t.Fatal(err)
	}
	send(t, k, "logs", testkit.Region, "Logs_20140328.CreateLogGroup", `{"logGroupName":"x"}`, nil) // the slow one has arrived by now, or soon
	time.Sleep(50 * time.Millisecond)
	fake.Advance(time.Minute)
	send(t, k, "logs", testkit.Region, "Logs_20140328.CreateLogGroup", `{"logGroupName":"y"}`, nil)
	if _, err := pw.Write([]byte(body[1:])); err != nil {
		t.Fatal(err)
	}
	pw.Close()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	recs := k.Trail()
	for i := 1; i < len(recs); i++ {
		if recs[i].EventTime < recs[i-1].EventTime {
			t.Errorf("a record of %s stands after one of %s", recs[i].EventTime, recs[i-1].EventTime)
		}
	}
	if len(recs) != 3 {
		t.Errorf("trail: %+v", recs)
	}
}
