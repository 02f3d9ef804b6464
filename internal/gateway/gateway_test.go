package gateway_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"github.com/remit-ecs/remit/internal/api/logsapi"
	"github.com/remit-ecs/remit/internal/api/stsapi"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/gateway"
	"github.com/remit-ecs/remit/internal/store"
	"github.com/remit-ecs/remit/internal/testkit"
)

// groups is a small service: log groups with a counter of their creations.
type groups struct{}

type group struct{ Created int }

var groupKind = store.NewKind[group]("gateway-test-group", 1)

func (groups) Register(m *gateway.Mux) {
	gateway.Handle(m, stsapi.GetCallerIdentity,
		func(*gateway.Call, *stsapi.GetCallerIdentityInput) ([]authz.Ask, error) {
			return []authz.Ask{{Action: "sts:GetCallerIdentity", Resource: "*"}}, nil
		},
		func(c *gateway.Call, _ *stsapi.GetCallerIdentityInput) (*stsapi.GetCallerIdentityOutput, error) {
			return &stsapi.GetCallerIdentityOutput{Account: &c.Principal.Account, Arn: &c.Principal.ARN, UserId: &c.Principal.UserID}, nil
		})
	gateway.Handle(m, logsapi.CreateLogGroup,
		func(c *gateway.Call, in *logsapi.CreateLogGroupInput) ([]authz.Ask, error) {
			return []authz.Ask{{Action: "logs:CreateLogGroup", Resource: "arn:aws:logs:" + c.Region + ":" + c.Account + ":log-group:" + *in.LogGroupName}}, nil
		},
		func(c *gateway.Call, in *logsapi.CreateLogGroupInput) (*logsapi.CreateLogGroupOutput, error) {
			g, ok := groupKind.Edit(c.Tx, *in.LogGroupName)
			if !ok {
				g = &group{}
			}
			g.Created++
			groupKind.Put(c.Tx, *in.LogGroupName, g)
			return &logsapi.CreateLogGroupOutput{}, nil
		})
	gateway.Handle(m, logsapi.DeleteLogGroup,
		func(*gateway.Call, *logsapi.DeleteLogGroupInput) ([]authz.Ask, error) { return nil, nil },
		func(*gateway.Call, *logsapi.DeleteLogGroupInput) (*logsapi.DeleteLogGroupOutput, error) {
			panic("a rule that asks for nothing let a request through")
		})
}

func start(t *testing.T) *testkit.Kit {
	return testkit.New(t, func(*testkit.Kit) []testkit.Registrar { return []testkit.Registrar{groups{}} })
}

func code(t *testing.T, err error) (string, string) {
	t.Helper()
	var e smithy.APIError
	if !errors.As(err, &e) {
		t.Fatalf("not an API error: %v", err)
	}
	return e.ErrorCode(), e.ErrorMessage()
}

func TestIdentity(t *testing.T) {
	k := start(t)
	ctx := context.Background()
	out, err := sts.NewFromConfig(k.Root()).GetCallerIdentity(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := aws.ToString(out.Arn), "arn:aws:iam::"+testkit.Account+":root"; got != want {
		t.Errorf("root is %s, want %s", got, want)
	}
	k.Role("app", "")
	out, err = sts.NewFromConfig(k.Session("app", "0af3", time.Hour)).GetCallerIdentity(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := aws.ToString(out.Arn), "arn:aws:sts::"+testkit.Account+":assumed-role/app/0af3"; got != want {
		t.Errorf("session is %s, want %s", got, want)
	}
}

func TestRefusals(t *testing.T) {
	k := start(t)
	ctx := context.Background()
	in := &cloudwatchlogs.CreateLogGroupInput{LogGroupName: aws.String("orders")}
	const groupARN = "arn:aws:logs:" + testkit.Region + ":" + testkit.Account + ":log-group:orders"

	nobody := k.With()
	_, err := cloudwatchlogs.NewFromConfig(nobody).CreateLogGroup(ctx, in)
	c, m := code(t, err)
	creds, _ := nobody.Credentials.Retrieve(ctx)
	id, _ := sts.NewFromConfig(nobody).GetCallerIdentity(ctx, nil)
	want := "User: " + *id.Arn + " is not authorized to perform: logs:CreateLogGroup on resource: " + groupARN + " because no identity-based policy allows the logs:CreateLogGroup action"
	if c != "AccessDeniedException" || m != want {
		t.Errorf("without a policy:\n got %s: %s\nwant AccessDeniedException: %s", c, m, want)
	}

	allowed := k.With(testkit.Allow(groupARN, "logs:CreateLogGroup"))
	if _, err := cloudwatchlogs.NewFromConfig(allowed).CreateLogGroup(ctx, in); err != nil {
		t.Errorf("with the permission: %v", err)
	}

	forged := allowed.Copy()
	forged.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		c, err := allowed.Credentials.Retrieve(ctx)
		c.SecretAccessKey = creds.SecretAccessKey
		return c, err
	})
	if c, _ := codeOf(t, cloudwatchlogs.NewFromConfig(forged), ctx, in); c != "InvalidSignatureException" {
		t.Errorf("wrong secret: %s", c)
	}
	swapped := allowed.Copy()
	swapped.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		c, err := allowed.Credentials.Retrieve(ctx)
		c.SessionToken = creds.SessionToken
		return c, err
	})
	if c, _ := codeOf(t, cloudwatchlogs.NewFromConfig(swapped), ctx, in); c != "UnrecognizedClientException" {
		t.Errorf("another session's token: %s", c)
	}

	_, err = cloudwatchlogs.NewFromConfig(k.Root()).DeleteLogGroup(ctx, &cloudwatchlogs.DeleteLogGroupInput{LogGroupName: aws.String("orders")})
	if c, _ := code(t, err); c != "AccessDeniedException" {
		t.Errorf("a rule without questions: %s", c)
	}

	last := k.Trail()[len(k.Trail())-1]
	if last.EventName != "DeleteLogGroup" || last.ErrorCode != "AccessDenied" {
		t.Errorf("the refusal is not in the trail: %+v", last)
	}
}

func codeOf(t *testing.T, c *cloudwatchlogs.Client, ctx context.Context, in *cloudwatchlogs.CreateLogGroupInput) (string, string) {
	t.Helper()
	_, err := c.CreateLogGroup(ctx, in)
	return code(t, err)
}

func TestUnsignedAndUnknown(t *testing.T) {
	k := start(t)
	for _, tc := range []struct{ name, target, body, want string }{
		{"unsigned", "Logs_20140328.CreateLogGroup", `{"logGroupName":"x"}`, "MissingAuthenticationTokenException"},
		{"unsigned and unknown", "Logs_20140328.Nonsense", `{}`, "MissingAuthenticationToken"},
	} {
		req, _ := http.NewRequest("POST", k.URL+"/", strings.NewReader(tc.body))
		req.Header.Set("X-Amz-Target", tc.target)
		req.Header.Set("Content-Type", "application/x-amz-json-1.1")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 512)
		n, _ := res.Body.Read(buf)
		res.Body.Close()
		if res.StatusCode < 400 || res.StatusCode >= 500 || !strings.Contains(string(buf[:n]), tc.want) {
			t.Errorf("%s: %d %s", tc.name, res.StatusCode, buf[:n])
		}
	}
	_, err := ecs.NewFromConfig(k.Root()).ListClusters(context.Background(), nil)
	if err == nil {
		t.Error("a service that is not served answered")
	}
}

// TestConflicts has many callers change one document: each change counts once.
func TestConflicts(t *testing.T) {
	k := start(t)
	c := cloudwatchlogs.NewFromConfig(k.Root())
	const n = 24
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			if _, err := c.CreateLogGroup(context.Background(), &cloudwatchlogs.CreateLogGroupInput{LogGroupName: aws.String("one")}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	g, ok := groupKind.Get(k.Store.View(context.Background()), gateway.Regional(testkit.Account, testkit.Region), "one")
	if !ok || g.Created != n {
		t.Fatalf("%+v after %d creations", g, n)
	}
	created := 0
	for _, r := range k.Trail() {
		if r.EventName == "CreateLogGroup" && r.ErrorCode == "" {
			created++
		}
	}
	if created != n {
		t.Errorf("the trail has %d of %d creations", created, n)
	}
}
