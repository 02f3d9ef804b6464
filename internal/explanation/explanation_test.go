package explanation_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/remit-ecs/remit/internal/controlplane"
	"github.com/remit-ecs/remit/internal/explanation"
	"github.com/remit-ecs/remit/internal/testkit/whole"
)

var update = flag.Bool("update", false, "rewrite testdata")

// golden compares an explanation's text, ids and times replaced, with a file.
func golden(t *testing.T, name string, x *explanation.Explanation) {
	t.Helper()
	var b strings.Builder
	if err := x.Text(&b); err != nil {
		t.Fatal(err)
	}
	got := normalised(b.String())
	file := filepath.Join("testdata", name+".txt")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s:\n%s\nwant\n%s", name, got, want)
	}
	// What is printed is what tools get.
	text, err := json.Marshal(x)
	if err != nil {
		t.Fatal(err)
	}
	var again explanation.Explanation
	if err := json.Unmarshal(text, &again); err != nil {
		t.Fatal(err)
	}
	var c strings.Builder
	if err := again.Text(&c); err != nil || c.String() != b.String() {
		t.Errorf("through JSON: %v\n%s\nwant\n%s", err, c.String(), b.String())
	}
}

var ids = []struct{ from, to string }{
	{`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`, "REQUEST"},
	{`[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}Z`, "TIME"},
	{`[0-9a-f]{32}`, "TASK"},
	{`(secret:[a-z/]+)-[A-Za-z0-9]{6}\b`, "$1-SUFFIX"},
	{`retried [0-9]+ time`, "retried N time"},
	{`[0-9]+ calls?, 0 denied`, "N calls, 0 denied"},
	{`[0-9]+ calls?, [1-9][0-9]* denied`, "N calls, N denied"},
	{`\n[0-9]+ were denied`, "\nN were denied"},
	{`and [0-9]+ more like it`, "and N more like it"},
	{`not asked \(.*\)`, "not asked"}, // the engine's own words, held by its tests
	{`127\.0\.0\.1:[0-9]+`, "ENDPOINT"},
}

func normalised(s string) string {
	for _, r := range ids {
		s = regexp.MustCompile(r.from).ReplaceAllString(s, r.to)
	}
	return s
}

// world is an account with a role app, which may read some secrets of one
// region and no others, and a user that assumes it.
type world struct {
	*whole.System
	iam *iam.Client
	app aws.Config
	x   *explanation.Explainer
}

const (
	trustUser  = `{"Version":"2012-10-17","Statement":[{"Sid":"Dev","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:user/dev"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"shop"}}}]}`
	readShop   = `{"Version":"2012-10-17","Statement":[` + "\n" + `{"Sid":"ReadShop","Effect":"Allow","Action":"secretsmanager:GetSecretValue","Resource":"arn:aws:secretsmanager:*:*:secret:shop/*"},` + "\n" + `{"Sid":"Ours","Effect":"Allow","Action":"secretsmanager:GetSecretValue","Resource":"arn:aws:secretsmanager:*:*:secret:orders/*","Condition":{"StringEquals":{"aws:RequestedRegion":"us-east-1"}}}]}`
	orders     = "arn:aws:secretsmanager:" + whole.Region + ":" + whole.Account + ":secret:orders/db-"
	appARN     = "arn:aws:iam::" + whole.Account + ":role/app"
	devARN     = "arn:aws:iam::" + whole.Account + ":user/dev"
	assumeApp  = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"` + appARN + `"}}`
	readOrders = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"secretsmanager:GetSecretValue","Resource":"*"}}`
)

func start(t *testing.T, change func(*controlplane.Options)) *world {
	t.Helper()
	ctx := context.Background()
	s := whole.Start(t, change)
	w := &world{System: s, iam: iam.NewFromConfig(s.Root()), x: explanation.New(s.Root())}
	check := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(w.iam.CreateUser(ctx, &iam.CreateUserInput{UserName: aws.String("dev")}))
	check(w.iam.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: aws.String("dev"), PolicyName: aws.String("assume"), PolicyDocument: aws.String(assumeApp)}))
	check(w.iam.CreateRole(ctx, &iam.CreateRoleInput{RoleName: aws.String("app"), AssumeRolePolicyDocument: aws.String(trustUser)}))
	check(w.iam.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: aws.String("app"), PolicyName: aws.String("secrets"), PolicyDocument: aws.String(readShop)}))
	check(secretsmanager.NewFromConfig(s.Root()).CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: aws.String("orders/db"), SecretString: aws.String("s3cret")}))
	out, err := sts.NewFromConfig(w.dev(t)).AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: aws.String(appARN), RoleSessionName: aws.String("friday"), ExternalId: aws.String("shop")})
	check(nil, err)
	c := out.Credentials
	w.app = s.Root()
	w.app.Credentials = credentials.NewStaticCredentialsProvider(*c.AccessKeyId, *c.SecretAccessKey, *c.SessionToken)
	return w
}

func (w *world) dev(t *testing.T) aws.Config {
	t.Helper()
	key, err := w.iam.CreateAccessKey(context.Background(), &iam.CreateAccessKeyInput{UserName: aws.String("dev")})
	if err != nil {
		t.Fatal(err)
	}
	cfg := w.Root()
	cfg.Credentials = credentials.NewStaticCredentialsProvider(*key.AccessKey.AccessKeyId, *key.AccessKey.SecretAccessKey, "")
	return cfg
}

// requestID is that of a failed call, as every SDK tells it.
func requestID(t *testing.T, err error) string {
	t.Helper()
	var answered *awshttp.ResponseError
	if !errors.As(err, &answered) || answered.ServiceRequestID() == "" {
		t.Fatalf("no request id: %v", err)
	}
	return answered.ServiceRequestID()
}

func (w *world) read(t *testing.T) error {
	t.Helper()
	_, err := secretsmanager.NewFromConfig(w.app).GetSecretValue(context.Background(), &secretsmanager.GetSecretValueInput{SecretId: aws.String("orders/db")})
	return err
}

// TestPastDenial explains a denial when it has just happened, after the policy
// was repaired, and after the role was deleted: each time as it was made.
func TestPastDenial(t *testing.T) {
	w := start(t, nil)
	ctx := context.Background()
	id := requestID(t, w.read(t))
	explain := func() *explanation.Explanation {
		t.Helper()
		x, err := w.x.Request(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		if x.Allowed || len(x.Calls) != 1 {
			t.Fatalf("%+v", x)
		}
		return x
	}
	golden(t, "past-denial", explain())
	last, err := w.x.Last(ctx)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "past-denial", last)

	if _, err := w.iam.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: aws.String("app"), PolicyName: aws.String("secrets"), PolicyDocument: aws.String(readOrders)}); err != nil {
		t.Fatal(err)
	}
	if err := w.read(t); err != nil {
		t.Fatalf("with the policy repaired: %v", err)
	}
	golden(t, "past-denial", explain())

	if _, err := w.iam.DeleteRolePolicy(ctx, &iam.DeleteRolePolicyInput{RoleName: aws.String("app"), PolicyName: aws.String("secrets")}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.iam.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: aws.String("app")}); err != nil {
		t.Fatal(err)
	}
	golden(t, "past-denial", explain())
}

// TestMessage explains what a denial carries in its header, for those who may
// decode it.
func TestMessage(t *testing.T) {
	w := start(t, nil)
	ctx := context.Background()
	var answered *awshttp.ResponseError
	if err := w.read(t); !errors.As(err, &answered) {
		t.Fatal(err)
	}
	message := answered.Response.Header.Get("x-remit-authorization-message")
	x, err := w.x.Message(ctx, message)
	if err != nil {
		t.Fatal(err)
	}
	if x.Allowed || x.Calls[0].RequestID != answered.ServiceRequestID() {
		t.Errorf("%+v", x)
	}
	golden(t, "message", x)
	for _, bad := range []string{"not-a-message", message[:len(message)-1]} {
		if _, err := w.x.Message(ctx, bad); !errors.Is(err, explanation.ErrUnusable) {
			t.Errorf("%.20s: %v", bad, err)
		}
	}
	if _, err := explanation.New(w.app).Message(ctx, message); err == nil || !strings.Contains(err.Error(), "sts:DecodeAuthorizationMessage") {
		t.Errorf("without the permission to decode: %v", err)
	}
}

// TestTheChangeAllows makes the change that is suggested, and the call succeeds.
func TestTheChangeAllows(t *testing.T) {
	w := start(t, nil)
	ctx := context.Background()
	x, err := w.x.Request(ctx, requestID(t, w.read(t)))
	if err != nil {
		t.Fatal(err)
	}
	change := x.Calls[0].Decisions[0].Reasons.ToAllow[0]
	if change.Of != appARN {
		t.Errorf("whose policy: %s", change.Of)
	}
	if _, err := w.iam.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: aws.String("app"), PolicyName: aws.String("suggested"),
		PolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":` + string(change.Statement) + `}`)}); err != nil {
		t.Fatal(err)
	}
	if err := w.read(t); err != nil {
		t.Errorf("with what was suggested: %v", err)
	}
}

// TestOtherCalls explains an allowed call, one that was refused by the trust
// policy, one that failed for another reason, and ones that nobody signed.
func TestOtherCalls(t *testing.T) {
	w := start(t, nil)
	ctx := context.Background()
	explain := func(name string, err error, allowed bool) {
		t.Helper()
		x, xerr := w.x.Request(ctx, requestID(t, err))
		if xerr != nil {
			t.Fatal(xerr)
		}
		if x.Allowed != allowed {
			t.Errorf("%s: allowed %v", name, x.Allowed)
		}
		golden(t, name, x)
	}
	_, err := sts.NewFromConfig(w.dev(t)).AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: aws.String(appARN), RoleSessionName: aws.String("friday"), ExternalId: aws.String("guess")})
	explain("trust", err, false)

	_, err = ecs.NewFromConfig(w.Root()).DescribeTasks(ctx, &ecs.DescribeTasksInput{Cluster: aws.String("none"), Tasks: []string{strings.Repeat("0", 32)}})
	explain("allowed-and-failed", err, true)

	forged := w.app.Copy()
	forged.Credentials = credentials.NewStaticCredentialsProvider("AKIAIOSFODNN7EXAMPLE", "wrong", "")
	_, err = ecs.NewFromConfig(forged).ListClusters(ctx, nil)
	explain("unknown-key", err, false)

	if _, err := explanation.New(whole.Start(t, nil).Root()).Last(ctx); !errors.Is(err, explanation.ErrNotFound) {
		t.Errorf("the last denial where there was none: %v", err)
	}
	if _, err := w.x.Request(ctx, "00000000-0000-4000-8000-000000000000"); !errors.Is(err, explanation.ErrNotFound) {
		t.Errorf("a request that never was: %v", err)
	}
	if _, err := explanation.New(w.app).Request(ctx, requestID(t, w.read(t))); err == nil || !strings.Contains(err.Error(), "cloudtrail:LookupEvents") {
		t.Errorf("without the permission to read the trail: %v", err)
	}
}

// TestSoft: what would have been denied is explained, and was allowed.
func TestSoft(t *testing.T) {
	w := start(t, func(o *controlplane.Options) { o.Mode = "soft" })
	out, err := secretsmanager.NewFromConfig(w.app).GetSecretValue(context.Background(), &secretsmanager.GetSecretValueInput{SecretId: aws.String("orders/db")})
	if err != nil {
		t.Fatal(err)
	}
	id, _ := awsmiddleware.GetRequestIDMetadata(out.ResultMetadata)
	x, err := w.x.Request(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	if !x.Allowed {
		t.Error("it was allowed")
	}
	golden(t, "soft", x)
}

// TestQuestion asks about calls that nobody has made.
func TestQuestion(t *testing.T) {
	w := start(t, nil)
	ctx := context.Background()
	for _, tc := range []struct {
		name    string
		q       explanation.Question
		allowed bool
	}{
		{"question-denied", explanation.Question{As: appARN, Action: "secretsmanager:GetSecretValue", Resource: orders + "AbCdEf"}, false},
		{"question-allowed", explanation.Question{As: appARN, Action: "secretsmanager:GetSecretValue", Resource: orders + "AbCdEf",
			Context: map[string][]string{"aws:RequestedRegion": {"us-east-1"}}}, true},
		{"question-trust", explanation.Question{As: devARN, Action: "sts:AssumeRole", Resource: appARN}, false},
		{"question-trust-allowed", explanation.Question{As: devARN, Action: "sts:AssumeRole", Resource: appARN, Context: map[string][]string{"sts:ExternalId": {"shop"}}}, true},
		{"question-root", explanation.Question{As: "arn:aws:iam::" + whole.Account + ":root", Action: "ecs:ListClusters", Resource: "*"}, true},
		{"question-session", explanation.Question{As: "arn:aws:sts::" + whole.Account + ":assumed-role/app/friday", Action: "ecs:ListClusters", Resource: "*"}, false},
	} {
		x, err := w.x.Ask(ctx, tc.q)
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		if x.Allowed != tc.allowed {
			t.Errorf("%s: allowed %v", tc.name, x.Allowed)
		}
		golden(t, tc.name, x)
	}
	for _, q := range []explanation.Question{
		{As: appARN, Action: "everything", Resource: "*"}, {As: appARN, Action: "s3:*", Resource: "*"},
		{As: appARN, Action: "s3:GetObject", Resource: "bucket"}, {As: "app", Action: "s3:GetObject", Resource: "*"},
		{As: "arn:aws:s3:::bucket", Action: "s3:GetObject", Resource: "*"},
	} {
		if _, err := w.x.Ask(ctx, q); !errors.Is(err, explanation.ErrUnusable) {
			t.Errorf("%+v: %v", q, err)
		}
	}
	if _, err := w.x.Ask(ctx, explanation.Question{As: appARN + "s", Action: "s3:GetObject", Resource: "*"}); !errors.Is(err, explanation.ErrNotFound) {
		t.Errorf("a role that is not there: %v", err)
	}
}
