package sts_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awsiam "github.com/aws/aws-sdk-go-v2/service/iam"
	awssts "github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"
	"github.com/aws/smithy-go"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/stsapi"
	"github.com/remit-ecs/remit/internal/gateway"
	"github.com/remit-ecs/remit/internal/service/iam"
	"github.com/remit-ecs/remit/internal/service/logs"
	"github.com/remit-ecs/remit/internal/service/sts"
	"github.com/remit-ecs/remit/internal/testkit"
)

var ctx = context.Background()

// kit is a gateway in which roles really bind.
type kit struct {
	*testkit.Kit
	t   *testing.T
	iam *awsiam.Client // as root
}

func newKit(t *testing.T, opts ...testkit.Option) *kit {
	k := testkit.New(t, func(k *testkit.Kit) []testkit.Registrar {
		s := iam.New(iam.Deps{Seal: k.Seal})
		k.Authz.Sources, k.Gateway.Keys = s, s
		return []testkit.Registrar{s, sts.New(k.Sealer, s), logs.New(k.Store)}
	}, opts...)
	return &kit{k, t, awsiam.NewFromConfig(k.Root())}
}

func (k *kit) role(name, trust string, policies ...string) (arn string) {
	k.t.Helper()
	out, err := k.iam.CreateRole(ctx, &awsiam.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: &trust})
	if err != nil {
		k.t.Fatal(err)
	}
	for i, p := range policies {
		k.put(name, string(rune('a'+i)), p)
	}
	return *out.Role.Arn
}

func (k *kit) put(role, name, document string) {
	k.t.Helper()
	if _, err := k.iam.PutRolePolicy(ctx, &awsiam.PutRolePolicyInput{RoleName: &role, PolicyName: &name, PolicyDocument: &document}); err != nil {
		k.t.Fatal(err)
	}
}

// user makes a user with an access key.
func (k *kit) user(name string, policies ...string) aws.Config {
	k.t.Helper()
	if _, err := k.iam.CreateUser(ctx, &awsiam.CreateUserInput{UserName: &name}); err != nil {
		k.t.Fatal(err)
	}
	for _, p := range policies {
		if _, err := k.iam.PutUserPolicy(ctx, &awsiam.PutUserPolicyInput{UserName: &name, PolicyName: aws.String("p"), PolicyDocument: &p}); err != nil {
			k.t.Fatal(err)
		}
	}
	out, err := k.iam.CreateAccessKey(ctx, &awsiam.CreateAccessKeyInput{UserName: &name})
	if err != nil {
		k.t.Fatal(err)
	}
	return k.as(*out.AccessKey.AccessKeyId, *out.AccessKey.SecretAccessKey, "")
}

func (k *kit) as(key, secret, token string) aws.Config {
	c := k.Root()
	c.Credentials = credentials.NewStaticCredentialsProvider(key, secret, token)
	return c
}

// assume assumes a role as cfg.
func (k *kit) assume(cfg aws.Config, in *awssts.AssumeRoleInput) aws.Config {
	k.t.Helper()
	out, err := awssts.NewFromConfig(cfg).AssumeRole(ctx, in)
	if err != nil {
		k.t.Fatal(err)
	}
	return k.session(out.Credentials)
}

func (k *kit) session(c *types.Credentials) aws.Config {
	return k.as(*c.AccessKeyId, *c.SecretAccessKey, *c.SessionToken)
}

// service assumes a role as an AWS service.
func (k *kit) service(name, role, sourceARN string, seconds int32) (*stsapi.AssumeRoleOutput, error) {
	return gateway.Invoke(ctx, k.Gateway.As(name), gateway.Target{Account: testkit.Account, Region: testkit.Region, SourceARN: sourceARN},
		stsapi.AssumeRole, &stsapi.AssumeRoleInput{RoleArn: &role, RoleSessionName: aws.String("task"), DurationSeconds: &seconds})
}

func request(role string) *awssts.AssumeRoleInput {
	return &awssts.AssumeRoleInput{RoleArn: &role, RoleSessionName: aws.String("test")}
}

func trustAWS(principal string, actions ...string) string {
	if len(actions) == 0 {
		actions = []string{"sts:AssumeRole"}
	}
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + principal + `"},"Action":["` + strings.Join(actions, `","`) + `"]}]}`
}

func wantError(t *testing.T, err error, code, text string) {
	t.Helper()
	var e smithy.APIError
	var own *api.Error
	switch {
	case errors.As(err, &e) && e.ErrorCode() == code && strings.Contains(e.ErrorMessage(), text):
	case errors.As(err, &own) && own.Code == code && strings.Contains(own.Message, text):
	default:
		t.Fatalf("got %v, want %s: %s", err, code, text)
	}
}

func TestRoleBinds(t *testing.T) {
	k := newKit(t)
	account := testkit.Account
	caller := k.user("caller", testkit.Allow("*", "sts:AssumeRole"))
	role := k.role("app", trustAWS("arn:aws:iam::"+account+":root"), testkit.Allow("arn:aws:iam::"+account+":role/app", "iam:GetRole"))

	app := k.assume(caller, request(role))
	id, err := awssts.NewFromConfig(app).GetCallerIdentity(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := awsiam.NewFromConfig(app).GetRole(ctx, &awsiam.GetRoleInput{RoleName: aws.String("app")})
	if err != nil {
		t.Fatal(err)
	}
	if *id.Arn != "arn:aws:sts::"+account+":assumed-role/app/test" || *id.UserId != *got.Role.RoleId+":test" || *id.Account != account {
		t.Errorf("identity %s %s %s", *id.Arn, *id.UserId, *id.Account)
	}
	_, err = awsiam.NewFromConfig(app).ListRoles(ctx, nil)
	wantError(t, err, "AccessDenied", "User: "+*id.Arn+" is not authorized to perform: iam:ListRoles on resource: * because no identity-based policy allows the iam:ListRoles action")

	// A policy binds the session that is already there.
	k.put("app", "list", testkit.Allow("*", "iam:ListRoles"))
	if _, err = awsiam.NewFromConfig(app).ListRoles(ctx, nil); err != nil {
		t.Error(err)
	}

	// The role is deleted, and made again under the same name: the session
	// belongs to neither.
	for _, p := range []string{"a", "list"} {
		if _, err := k.iam.DeleteRolePolicy(ctx, &awsiam.DeleteRolePolicyInput{RoleName: aws.String("app"), PolicyName: &p}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := k.iam.DeleteRole(ctx, &awsiam.DeleteRoleInput{RoleName: aws.String("app")}); err != nil {
		t.Fatal(err)
	}
	_, err = awsiam.NewFromConfig(app).ListRoles(ctx, nil)
	wantError(t, err, "AccessDenied", "iam:ListRoles")
	k.role("app", trustAWS("arn:aws:iam::"+account+":root"), testkit.Allow("*", "*"))
	_, err = awsiam.NewFromConfig(app).ListRoles(ctx, nil)
	wantError(t, err, "AccessDenied", "iam:ListRoles")
}

func TestRefusals(t *testing.T) {
	k := newKit(t)
	account := testkit.Account
	caller := k.user("caller", testkit.Allow("*", "sts:*"))
	client := awssts.NewFromConfig(caller)

	_, err := awssts.NewFromConfig(k.Root()).AssumeRole(ctx, request("arn:aws:iam::"+account+":role/app"))
	wantError(t, err, "AccessDenied", "Roles may not be assumed by root accounts.")

	// A role that does not exist and one that trusts nobody else answer alike.
	untrusting := k.role("untrusting", testkit.TrustService("ec2.amazonaws.com"))
	_, err = client.AssumeRole(ctx, request(untrusting))
	text := " is not authorized to perform: sts:AssumeRole on resource: arn:aws:iam::" + account + ":role/"
	wantError(t, err, "AccessDenied", "User: arn:aws:iam::"+account+":user/caller"+text+"untrusting")
	one := err.Error()
	_, err = client.AssumeRole(ctx, request("arn:aws:iam::"+account+":role/missing"))
	wantError(t, err, "AccessDenied", text+"missing")
	after := func(s, role string) string { _, rest, _ := strings.Cut(s, "role/"+role); return rest }
	if a, b := after(one, "untrusting"), after(err.Error(), "missing"); a != b {
		t.Errorf("a missing role is refused with %q, one without trust with %q", b, a)
	}

	// The ARN must be the role's own: path and case.
	out, err := k.iam.CreateRole(ctx, &awsiam.CreateRoleInput{RoleName: aws.String("Deep"), Path: aws.String("/a/b/"), AssumeRolePolicyDocument: aws.String(trustAWS(account))})
	if err != nil {
		t.Fatal(err)
	}
	for _, wrong := range []string{"role/Deep", "role/a/Deep", "role/a/b/deep"} {
		_, err = client.AssumeRole(ctx, request("arn:aws:iam::"+account+":"+wrong))
		wantError(t, err, "AccessDenied", wrong)
	}
	deep, err := client.AssumeRole(ctx, request(*out.Role.Arn))
	if err != nil || *deep.AssumedRoleUser.Arn != "arn:aws:sts::"+account+":assumed-role/Deep/test" {
		t.Fatalf("%v %v", deep, err)
	}
	_, err = client.AssumeRole(ctx, request("arn:aws:s3:::bucket-that-is-no-role"))
	wantError(t, err, "ValidationError", "is invalid")
}

func TestDurations(t *testing.T) {
	k := newKit(t)
	caller := k.user("caller", testkit.Allow("*", "sts:AssumeRole"))
	role := k.role("app", `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Principal":{"AWS":"`+testkit.Account+`","Service":"ecs-tasks.amazonaws.com"},"Action":"sts:AssumeRole"}]}`, testkit.Allow("*", "sts:AssumeRole"))
	client := awssts.NewFromConfig(caller)
	try := func(c *awssts.Client, seconds int32) (*awssts.AssumeRoleOutput, error) {
		in := request(role)
		in.DurationSeconds = &seconds
		return c.AssumeRole(ctx, in)
	}
	_, err := try(client, 3601)
	wantError(t, err, "ValidationError", "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.")
	_, err = try(client, 899)
	wantError(t, err, "ValidationError", "Member must have value greater than or equal to 900")
	if _, err := k.iam.UpdateRole(ctx, &awsiam.UpdateRoleInput{RoleName: aws.String("app"), MaxSessionDuration: aws.Int32(7200)}); err != nil {
		t.Fatal(err)
	}
	out, err := try(client, 7200)
	if err != nil {
		t.Fatal(err)
	}
	if left := time.Until(*out.Credentials.Expiration); left < 7190*time.Second || left > 7201*time.Second {
		t.Errorf("expires in %v", left)
	}
	// A role has to be named to assume itself; its account is not enough.
	chained := k.role("chained", trustAWS(testkit.Account))
	in := request(chained)
	in.DurationSeconds = aws.Int32(3601)
	self := awssts.NewFromConfig(k.session(out.Credentials))
	_, err = self.AssumeRole(ctx, in)
	wantError(t, err, "ValidationError", "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.")
	in.DurationSeconds = nil
	if _, err = self.AssumeRole(ctx, in); err != nil {
		t.Error(err)
	}
	// Services are not held to the role's limit.
	if _, err := k.service("ecs-tasks.amazonaws.com", role, "", 6*3600); err != nil {
		t.Error(err)
	}
}

func TestServiceTrust(t *testing.T) {
	k := newKit(t)
	text, err := os.ReadFile("../../../examples/orders/roles.json")
	if err != nil {
		t.Fatal(err)
	}
	// The example's roles, as its loader reads them.
	a := authorization(t, text)
	for _, r := range a.Roles {
		k.role(r.RoleName, string(r.AssumeRolePolicyDocument))
		for _, p := range r.RolePolicyList {
			k.put(r.RoleName, p.PolicyName, string(p.PolicyDocument))
		}
	}
	task := "arn:aws:ecs:us-east-1:" + testkit.Account + ":task/default/0123456789abcdef0123456789abcdef"
	for _, r := range a.Roles {
		if _, err := k.service("ecs-tasks.amazonaws.com", r.Arn, task, 6*3600); err != nil {
			t.Error(err)
		}
		_, err := k.service("ecs-tasks.amazonaws.com", r.Arn, strings.Replace(task, "us-east-1", "us-west-2", 1), 3600)
		wantError(t, err, "AccessDenied", "sts:AssumeRole")
		_, err = k.service("ecs.amazonaws.com", r.Arn, task, 3600)
		wantError(t, err, "AccessDenied", "sts:AssumeRole")
	}
}
