package controlplane_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/remit-ecs/remit/internal/controlplane"
	"github.com/remit-ecs/remit/internal/gateway"
	"github.com/remit-ecs/remit/internal/testkit"
	"github.com/remit-ecs/remit/internal/testkit/whole"
)

func get(t *testing.T, method, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequest(method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

func TestHealth(t *testing.T) {
	s := whole.Start(t, nil)
	for _, path := range []string{"/_remit/health", "/_localstack/health"} {
		code, body := get(t, "GET", s.Endpoint()+path)
		var h struct {
			Status, Version, IAM string
			Services             map[string]string
		}
		if err := json.Unmarshal([]byte(body), &h); err != nil || code != 200 {
			t.Fatalf("%s: %d %s", path, code, body)
		}
		if h.Status != "running" || h.IAM != "strict" || h.Services["ecs"] != "running" || h.Services["s3"] != "running" {
			t.Errorf("%s: %s", path, body)
		}
	}
}

func TestReset(t *testing.T) {
	s := whole.Start(t, nil)
	if code, _ := get(t, "POST", s.Endpoint()+"/_remit/reset"); code != 403 {
		t.Errorf("without --allow-reset: %d", code)
	}
	s = whole.Start(t, func(o *controlplane.Options) { o.AllowReset = true })
	ctx := context.Background()
	c := ecs.NewFromConfig(s.Root())
	if _, err := c.CreateCluster(ctx, &ecs.CreateClusterInput{ClusterName: aws.String("shop")}); err != nil {
		t.Fatal(err)
	}
	if code, body := get(t, "POST", s.Endpoint()+"/_remit/reset"); code != 200 {
		t.Fatalf("reset: %d %s", code, body)
	}
	out, err := c.DescribeClusters(ctx, &ecs.DescribeClustersInput{Clusters: []string{"shop"}})
	if err != nil || len(out.Clusters) != 0 {
		t.Errorf("after the reset: %+v %v", out, err)
	}
	// Both trails that were emptied say so: the region's and that of global services.
	if _, err := iam.NewFromConfig(s.Root()).ListUsers(ctx, nil); err != nil {
		t.Fatal(err)
	}
	if code, body := get(t, "POST", s.Endpoint()+"/_remit/reset"); code != 200 {
		t.Fatalf("reset: %d %s", code, body)
	}
	for _, region := range []string{whole.Region, "us-east-1"} {
		events, err := cloudtrail.NewFromConfig(s.Root(), func(o *cloudtrail.Options) { o.Region = region }).LookupEvents(ctx, nil)
		if err != nil || len(events.Events) != 1 || aws.ToString(events.Events[0].EventName) != "Reset" ||
			!strings.Contains(aws.ToString(events.Events[0].CloudTrailEvent), `"sourceIPAddress":"127.0.0.1"`) {
			t.Errorf("the trail of %s after a reset: %+v %v", region, events, err)
		}
	}
	if code, _ := get(t, "GET", s.Endpoint()+"/_remit/reset"); code != 405 {
		t.Errorf("GET: %d", code)
	}
}

// TestBucketsLikeListeners: buckets may be named like the paths of the other
// listeners on the port.
func TestBucketsLikeListeners(t *testing.T) {
	s := whole.Start(t, nil)
	ctx := context.Background()
	c := s3.NewFromConfig(s.Root(), func(o *s3.Options) { o.UsePathStyle = true })
	key := "ws"
	for _, bucket := range []string{"acs", "tcs"} {
		if _, err := c.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &bucket, CreateBucketConfiguration: &types.CreateBucketConfiguration{LocationConstraint: "eu-west-1"}}); err != nil {
			t.Errorf("%s: %v", bucket, err)
			continue
		}
		if _, err := c.PutObject(ctx, &s3.PutObjectInput{Bucket: &bucket, Key: &key, Body: strings.NewReader("x")}); err != nil {
			t.Errorf("%s/%s: %v", bucket, key, err)
		}
		if _, err := c.GetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: &key}); err != nil {
			t.Errorf("%s/%s: %v", bucket, key, err)
		}
	}
}

// TestPagesInBrowsers has a page call where nothing is verified.
func TestPagesInBrowsers(t *testing.T) {
	s := whole.Start(t, func(o *controlplane.Options) { o.Mode = gateway.Off })
	for origin, want := range map[string]int{"": 200, "http://evil.example": 403} {
		req, err := http.NewRequest("POST", s.Endpoint()+"/", strings.NewReader("Action=CreateUser&Version=2010-05-08&UserName=page"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if origin != "" {
			req.Header.Set("Origin", origin)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("origin %q: %d, want %d", origin, res.StatusCode, want)
		}
	}
}

// TestModes has a role without permissions in each mode.
func TestModes(t *testing.T) {
	ctx := context.Background()
	list := func(c aws.Config) error { _, err := ecs.NewFromConfig(c).ListClusters(ctx, nil); return err }

	soft := whole.Start(t, func(o *controlplane.Options) { o.Mode = gateway.Soft })
	if err := list(soft.With(testkit.Allow("*", "sts:GetCallerIdentity"))); err != nil {
		t.Errorf("soft: %v", err)
	}
	stranger := soft.Root()
	stranger.Credentials = credentials.NewStaticCredentialsProvider("AKIAIOSFODNN7EXAMPLE", "nonsense", "")
	if err := list(stranger); err == nil {
		t.Error("soft took a key that nobody has")
	}

	off := whole.Start(t, func(o *controlplane.Options) { o.Mode = gateway.Off })
	stranger = off.Root()
	stranger.Credentials = credentials.NewStaticCredentialsProvider("444455556666", "nonsense", "")
	if err := list(stranger); err != nil {
		t.Errorf("off: %v", err)
	}
	me, err := sts.NewFromConfig(stranger).GetCallerIdentity(ctx, nil)
	if err != nil || *me.Account != "444455556666" {
		t.Errorf("off: a 12-digit key id is account %+v, %v", me, err)
	}
}

func TestOptionsRefused(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*controlplane.Options)
		want   string
	}{
		"off loopback":     {func(o *controlplane.Options) { o.Listen = "0.0.0.0:0" }, "--insecure-http"},
		"reserved account": {func(o *controlplane.Options) { o.Account = controlplane.ReservedAccount }, "reserved"},
		"short account":    {func(o *controlplane.Options) { o.Account = "123" }, "12 digits"},
		"runtime":          {func(o *controlplane.Options) { o.Runtime = "docker" }, "not one of"},
		"half a key":       {func(o *controlplane.Options) { o.RootKeyID = "AKIA" }, "belong together"},
	} {
		o := controlplane.Options{Listen: "127.0.0.1:0", Runtime: controlplane.RuntimeNone}
		tc.change(&o)
		cp, err := controlplane.Start(context.Background(), o)
		if err == nil {
			_ = cp.Close(context.Background())
			t.Errorf("%s: accepted", name)
		} else if !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSecondProcess keeps two servers from one data directory.
func TestSecondProcess(t *testing.T) {
	s := whole.Start(t, nil)
	cp, err := controlplane.Start(context.Background(), controlplane.Options{Listen: "127.0.0.1:0", Data: s.Data(), Account: whole.Account, Runtime: controlplane.RuntimeNone})
	if err == nil {
		_ = cp.Close(context.Background())
		t.Fatal("a second server took the same data directory")
	}
	if !strings.Contains(err.Error(), "in use") {
		t.Error(err)
	}
}
