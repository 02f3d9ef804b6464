package sts_test

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awslogs "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	awsiam "github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	awssts "github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"

	"github.com/remit-ecs/remit/internal/audit"
	"github.com/remit-ecs/remit/internal/store"
	"github.com/remit-ecs/remit/internal/testkit"
	"github.com/remit-ecs/remit/policy"
)

const invalidToken = "The security token included in the request is invalid"

func (k *kit) sessionToken(cfg aws.Config) aws.Config {
	k.t.Helper()
	out, err := awssts.NewFromConfig(cfg).GetSessionToken(ctx, nil)
	if err != nil {
		k.t.Fatal(err)
	}
	return k.session(out.Credentials)
}

func (k *kit) federate(cfg aws.Config, in *awssts.GetFederationTokenInput) aws.Config {
	k.t.Helper()
	out, err := awssts.NewFromConfig(cfg).GetFederationToken(ctx, in)
	if err != nil {
		k.t.Fatal(err)
	}
	return k.session(out.Credentials)
}

func (k *kit) identity(cfg aws.Config) *awssts.GetCallerIdentityOutput {
	k.t.Helper()
	out, err := awssts.NewFromConfig(cfg).GetCallerIdentity(ctx, nil)
	if err != nil {
		k.t.Fatal(err)
	}
	return out
}

// describe is a call that policies of logs decide.
func describe(cfg aws.Config) error {
	_, err := awslogs.NewFromConfig(cfg).DescribeLogGroups(ctx, nil)
	return err
}

const describeGroups = "logs:DescribeLogGroups"

// TestUserSession: a session of GetSessionToken is the user, with all that the
// user may, except IAM and most of STS.
func TestUserSession(t *testing.T) {
	k := newKit(t)
	// What AWS's condition keys tell of such a session decides here too.
	caller := k.user("caller", `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":["iam:*","sts:*"],"Resource":"*"},
		{"Effect":"Allow","Action":"logs:DescribeLogGroups","Resource":"*","Condition":{
			"StringEquals":{"aws:PrincipalType":"User","aws:username":"caller"},
			"StringLike":{"aws:userid":"AIDA*"},
			"ArnEquals":{"aws:PrincipalArn":"arn:aws:iam::`+testkit.Account+`:user/caller"},
			"Bool":{"aws:MultiFactorAuthPresent":"false"},
			"DateGreaterThan":{"aws:TokenIssueTime":"2020-01-01T00:00:00Z"}}}]}`)
	role := k.role("app", trustAWS("arn:aws:iam::"+testkit.Account+":user/caller"))
	if _, err := k.iam.UpdateRole(ctx, &awsiam.UpdateRoleInput{RoleName: aws.String("app"), MaxSessionDuration: aws.Int32(7200)}); err != nil {
		t.Fatal(err)
	}
	s := k.sessionToken(caller)
	a, b := k.identity(caller), k.identity(s)
	if *a.Arn != *b.Arn || *a.UserId != *b.UserId || *a.Account != *b.Account {
		t.Errorf("the user is %s %s, its session %s %s", *a.Arn, *a.UserId, *b.Arn, *b.UserId)
	}
	if err := describe(s); err != nil {
		t.Error(err)
	}
	wantError(t, describe(caller), "AccessDeniedException", describeGroups) // long-term keys have no such condition keys

	_, err := awsiam.NewFromConfig(s).ListUsers(ctx, nil)
	wantError(t, err, "InvalidClientTokenId", invalidToken)
	c := awssts.NewFromConfig(s)
	_, err = c.GetSessionToken(ctx, nil)
	wantError(t, err, "AccessDenied", "Cannot call GetSessionToken with session credentials")
	_, err = c.GetFederationToken(ctx, &awssts.GetFederationTokenInput{Name: aws.String("bob")})
	wantError(t, err, "AccessDenied", "Cannot call GetFederationToken with session credentials")
	_, err = c.GetAccessKeyInfo(ctx, &awssts.GetAccessKeyInfoInput{AccessKeyId: aws.String("AKIAIOSFODNN7EXAMPLE")})
	wantError(t, err, "AccessDenied", "Cannot call GetAccessKeyInfo with session credentials")

	// A user's session may assume roles, and that is no chain: the role's own
	// limit holds, not an hour.
	in := request(role)
	in.DurationSeconds = aws.Int32(7200)
	if _, err := c.AssumeRole(ctx, in); err != nil {
		t.Error(err)
	}
	// A role's session gets neither kind.
	app := awssts.NewFromConfig(k.assume(caller, request(role)))
	_, err = app.GetSessionToken(ctx, nil)
	wantError(t, err, "AccessDenied", "Cannot call GetSessionToken with session credentials")
	_, err = app.GetFederationToken(ctx, &awssts.GetFederationTokenInput{Name: aws.String("bob")})
	wantError(t, err, "AccessDenied", "Cannot call GetFederationToken with session credentials")

	var rec *audit.Record
	for _, r := range k.Trail() {
		if r.EventName == "DescribeLogGroups" && r.ErrorCode == "" {
			rec = r
		}
	}
	if u := rec.UserIdentity; u.Type != "IAMUser" || u.UserName != "caller" || !strings.HasPrefix(u.AccessKeyID, "ASIA") || u.SessionContext == nil ||
		u.SessionContext.SessionIssuer != (audit.SessionIssuer{}) || u.SessionContext.Attributes["mfaAuthenticated"] != "false" {
		t.Errorf("%+v", rec.UserIdentity)
	}
}

// TestNoPermissionForGetSessionToken: it needs none, and none can be taken away.
func TestNoPermissionForGetSessionToken(t *testing.T) {
	k := newKit(t)
	k.sessionToken(k.user("poor"))
	k.sessionToken(k.user("denied", `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"*","Resource":"*"}]}`))
}

func TestUserDurations(t *testing.T) {
	k := newKit(t)
	caller := k.user("caller", testkit.Allow("*", "sts:GetFederationToken"))
	const name = "somebody"
	for _, c := range []struct {
		as      aws.Config
		seconds *int32
		want    time.Duration
	}{
		{caller, nil, 12 * time.Hour},
		{caller, aws.Int32(900), 15 * time.Minute},
		{caller, aws.Int32(129600), 36 * time.Hour},
		{k.Root(), nil, time.Hour},
		{k.Root(), aws.Int32(900), 15 * time.Minute},
		{k.Root(), aws.Int32(129600), time.Hour},
	} {
		client := awssts.NewFromConfig(c.as)
		s, err := client.GetSessionToken(ctx, &awssts.GetSessionTokenInput{DurationSeconds: c.seconds})
		if err != nil {
			t.Fatal(err)
		}
		f, err := client.GetFederationToken(ctx, &awssts.GetFederationTokenInput{Name: aws.String(name), DurationSeconds: c.seconds})
		if err != nil {
			t.Fatal(err)
		}
		for _, cred := range []*types.Credentials{s.Credentials, f.Credentials} {
			if left := time.Until(*cred.Expiration); left > c.want+time.Second || left < c.want-20*time.Second {
				t.Errorf("%v lasts %v, want %v", aws.ToInt32(c.seconds), left, c.want)
			}
		}
	}
	client := awssts.NewFromConfig(caller)
	for _, seconds := range []int32{899, 129601} {
		_, err := client.GetSessionToken(ctx, &awssts.GetSessionTokenInput{DurationSeconds: &seconds})
		wantError(t, err, "ValidationError", "'durationSeconds'")
		_, err = client.GetFederationToken(ctx, &awssts.GetFederationTokenInput{Name: aws.String(name), DurationSeconds: &seconds})
		wantError(t, err, "ValidationError", "'durationSeconds'")
	}
}

// TestMFAParameters are refused: there are no devices.
func TestMFAParameters(t *testing.T) {
	k := newKit(t)
	caller := awssts.NewFromConfig(k.user("caller"))
	role := k.role("app", trustAWS("arn:aws:iam::"+testkit.Account+":user/caller"))
	serial, code := aws.String("arn:aws:iam::"+testkit.Account+":mfa/caller"), aws.String("123456")
	for _, c := range []struct {
		serial, code *string
		text         string
	}{
		{serial, code, "unable to validate MFA code"},
		{serial, nil, "must provide both MFA serial number and one time pass code"},
		{nil, code, "must provide both MFA serial number and one time pass code"},
	} {
		_, err := caller.GetSessionToken(ctx, &awssts.GetSessionTokenInput{SerialNumber: c.serial, TokenCode: c.code})
		wantError(t, err, "AccessDenied", c.text)
		in := request(role)
		in.SerialNumber, in.TokenCode = c.serial, c.code
		_, err = caller.AssumeRole(ctx, in)
		wantError(t, err, "AccessDenied", c.text)
	}
}

// TestRootSession: the root user's session is the root user, without IAM.
func TestRootSession(t *testing.T) {
	k := newKit(t)
	s := k.sessionToken(k.Root())
	if id := k.identity(s); *id.Arn != "arn:aws:iam::"+testkit.Account+":root" || *id.UserId != testkit.Account {
		t.Errorf("%s %s", *id.Arn, *id.UserId)
	}
	if err := describe(s); err != nil {
		t.Error(err)
	}
	_, err := awsiam.NewFromConfig(s).ListUsers(ctx, nil)
	wantError(t, err, "InvalidClientTokenId", invalidToken)
	_, err = awssts.NewFromConfig(s).AssumeRole(ctx, request("arn:aws:iam::"+testkit.Account+":role/app"))
	wantError(t, err, "AccessDenied", "Roles may not be assumed by root accounts.")
}

// TestUserSessionEnds: with the user, not with its keys.
func TestUserSessionEnds(t *testing.T) {
	k := newKit(t)
	name := aws.String("caller")
	caller := k.user(*name, testkit.Allow("*", describeGroups, "sts:GetFederationToken"))
	s := k.sessionToken(caller)
	f := k.federate(caller, &awssts.GetFederationTokenInput{Name: aws.String("bob"), Policy: aws.String(testkit.Allow("*", "*"))})
	both := func(what string, check func(error)) {
		t.Helper()
		for _, cfg := range []aws.Config{s, f} {
			t.Log(what)
			check(describe(cfg))
		}
	}
	works := func(err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}
	cred, err := caller.Credentials.Retrieve(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.iam.UpdateAccessKey(ctx, &awsiam.UpdateAccessKeyInput{UserName: name, AccessKeyId: &cred.AccessKeyID, Status: iamtypes.StatusTypeInactive}); err != nil {
		t.Fatal(err)
	}
	both("the key is inactive", works)
	if _, err := k.iam.DeleteAccessKey(ctx, &awsiam.DeleteAccessKeyInput{UserName: name, AccessKeyId: &cred.AccessKeyID}); err != nil {
		t.Fatal(err)
	}
	both("the key is gone", works)

	// Under a new name it is the same user; whoever gets the old name is not.
	renamed := aws.String("renamed")
	if _, err := k.iam.UpdateUser(ctx, &awsiam.UpdateUserInput{UserName: name, NewUserName: renamed}); err != nil {
		t.Fatal(err)
	}
	k.user(*name)
	both("the user has another name", works)
	if id := k.identity(s); !strings.HasSuffix(*id.Arn, ":user/renamed") {
		t.Errorf("the renamed user's session is %s", *id.Arn)
	}

	if _, err := k.iam.DeleteUserPolicy(ctx, &awsiam.DeleteUserPolicyInput{UserName: renamed, PolicyName: aws.String("p")}); err != nil {
		t.Fatal(err)
	}
	both("the policy is gone", func(err error) { t.Helper(); wantError(t, err, "AccessDeniedException", describeGroups) })
	if _, err := k.iam.DeleteUser(ctx, &awsiam.DeleteUserInput{UserName: renamed}); err != nil {
		t.Fatal(err)
	}
	both("the user is gone", func(err error) { t.Helper(); wantError(t, err, "UnrecognizedClientException", invalidToken) })
	k.user(*renamed, testkit.Allow("*", "*"))
	both("another user has the name", func(err error) {
		t.Helper()
		wantError(t, err, "UnrecognizedClientException", invalidToken)
	})
	_, err = awssts.NewFromConfig(s).GetCallerIdentity(ctx, nil)
	wantError(t, err, "InvalidClientTokenId", invalidToken)
}

// TestFederatedUser: what both the user and the session policies allow.
func TestFederatedUser(t *testing.T) {
	k := newKit(t)
	caller := k.user("caller", testkit.Allow("*", describeGroups, "logs:CreateLogGroup", "sts:GetFederationToken", "sts:AssumeRole"))
	name := aws.String("bob")
	out, err := awssts.NewFromConfig(caller).GetFederationToken(ctx, &awssts.GetFederationTokenInput{Name: name, Policy: aws.String(testkit.Allow("*", describeGroups, "logs:DeleteLogGroup", "sts:*", "iam:*"))})
	//lint:ignore SA1019 clients still read it
	if err != nil || out.PackedPolicySize == nil || *out.FederatedUser.Arn != "arn:aws:sts::"+testkit.Account+":federated-user/bob" || *out.FederatedUser.FederatedUserId != testkit.Account+":bob" {
		t.Fatalf("%+v %v", out, err)
	}
	bob := k.session(out.Credentials)
	if id := k.identity(bob); *id.Arn != *out.FederatedUser.Arn || *id.UserId != *out.FederatedUser.FederatedUserId || *id.Account != testkit.Account {
		t.Errorf("%s %s", *id.Arn, *id.UserId)
	}
	if err := describe(bob); err != nil {
		t.Error(err)
	}
	group := aws.String("g")
	_, err = awslogs.NewFromConfig(bob).CreateLogGroup(ctx, &awslogs.CreateLogGroupInput{LogGroupName: group})
	wantError(t, err, "AccessDeniedException", "User: "+*out.FederatedUser.Arn+" is not authorized to perform: logs:CreateLogGroup on resource: ")
	wantError(t, err, "AccessDeniedException", "because no session policy allows the logs:CreateLogGroup action")
	_, err = awslogs.NewFromConfig(bob).DeleteLogGroup(ctx, &awslogs.DeleteLogGroupInput{LogGroupName: group})
	wantError(t, err, "AccessDeniedException", "because no identity-based policy allows the logs:DeleteLogGroup action")

	// Not IAM, and of STS only who it is.
	_, err = awsiam.NewFromConfig(bob).ListUsers(ctx, nil)
	wantError(t, err, "InvalidClientTokenId", invalidToken)
	c := awssts.NewFromConfig(bob)
	_, err = c.AssumeRole(ctx, request("arn:aws:iam::"+testkit.Account+":role/app"))
	wantError(t, err, "AccessDenied", "Cannot call AssumeRole")
	_, err = c.GetAccessKeyInfo(ctx, &awssts.GetAccessKeyInfoInput{AccessKeyId: aws.String("AKIAIOSFODNN7EXAMPLE")})
	wantError(t, err, "AccessDenied", "Cannot call GetAccessKeyInfo")

	// Managed session policies are as good.
	managed := k.federate(caller, &awssts.GetFederationTokenInput{Name: name, PolicyArns: []types.PolicyDescriptorType{{Arn: aws.String("arn:aws:iam::aws:policy/CloudWatchLogsReadOnlyAccess")}}})
	if err := describe(managed); err != nil {
		t.Error(err)
	}

	var rec *audit.Record
	for _, r := range k.Trail() {
		if r.EventName == "DescribeLogGroups" {
			rec = r
			break
		}
	}
	u := rec.UserIdentity
	if u.Type != "FederatedUser" || u.PrincipalID != testkit.Account+":bob" || u.ARN != *out.FederatedUser.Arn || u.SessionContext == nil {
		t.Fatalf("%+v", u)
	}
	if i := u.SessionContext.SessionIssuer; i.Type != "IAMUser" || i.UserName != "caller" || !strings.HasPrefix(i.PrincipalID, "AIDA") || !strings.HasSuffix(i.ARN, ":user/caller") {
		t.Errorf("%+v", i)
	}
}

// TestFederatedWithoutPolicy may do what resource-based policies grant it by
// name, and nothing else.
func TestFederatedWithoutPolicy(t *testing.T) {
	k := newKit(t)
	caller := k.user("caller", testkit.Allow("*", "*"))
	bob := k.federate(caller, &awssts.GetFederationTokenInput{Name: aws.String("bob")})
	eve := k.federate(caller, &awssts.GetFederationTokenInput{Name: aws.String("eve")})
	wantError(t, describe(bob), "AccessDeniedException", "because no identity-based policy allows")
	doc, err := policy.Parse(policy.KindResource, []byte(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:sts::`+testkit.Account+`:federated-user/bob"},"Action":"logs:*","Resource":"*"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	k.Authz.Resources["logs"] = func(store.Reader, string) *policy.Attached {
		return &policy.Attached{Layer: policy.LayerResource, Document: doc}
	}
	if err := describe(bob); err != nil {
		t.Error(err)
	}
	wantError(t, describe(eve), "AccessDeniedException", "because no identity-based policy allows")
}

// TestFederatedByRoot has what the session policies allow, and nothing without.
func TestFederatedByRoot(t *testing.T) {
	k := newKit(t)
	name := aws.String("bob")
	wantError(t, describe(k.federate(k.Root(), &awssts.GetFederationTokenInput{Name: name})), "AccessDeniedException", describeGroups)
	bob := k.federate(k.Root(), &awssts.GetFederationTokenInput{Name: name, Policy: aws.String(testkit.Allow("*", describeGroups))})
	if err := describe(bob); err != nil {
		t.Error(err)
	}
	_, err := awslogs.NewFromConfig(bob).CreateLogGroup(ctx, &awslogs.CreateLogGroupInput{LogGroupName: name})
	wantError(t, err, "AccessDeniedException", "because no session policy allows")
	all := k.federate(k.Root(), &awssts.GetFederationTokenInput{Name: name, Policy: aws.String(testkit.Allow("*", "*"))})
	if _, err = awslogs.NewFromConfig(all).CreateLogGroup(ctx, &awslogs.CreateLogGroupInput{LogGroupName: name}); err != nil {
		t.Error(err)
	}
	_, err = awsiam.NewFromConfig(all).ListUsers(ctx, nil)
	wantError(t, err, "InvalidClientTokenId", invalidToken)
}

// TestFederationAsksAndTags: the permission, tags as conditions, and tags of the
// session over those of the user.
func TestFederationAsksAndTags(t *testing.T) {
	k := newKit(t)
	in := &awssts.GetFederationTokenInput{Name: aws.String("bob"), Policy: aws.String(testkit.Allow("*", "*"))}
	on := "arn:aws:sts::" + testkit.Account + ":federated-user/bob"
	_, err := awssts.NewFromConfig(k.user("poor")).GetFederationToken(ctx, in)
	wantError(t, err, "AccessDenied", "is not authorized to perform: sts:GetFederationToken on resource: "+on)

	tagged := *in
	tagged.Tags = []types.Tag{{Key: aws.String("team"), Value: aws.String("orders")}}
	untagged := k.user("untagged", testkit.Allow(on, "sts:GetFederationToken"))
	k.federate(untagged, in)
	_, err = awssts.NewFromConfig(untagged).GetFederationToken(ctx, &tagged)
	wantError(t, err, "AccessDenied", "is not authorized to perform: sts:TagSession on resource: "+on)
	other := *in
	other.Name = aws.String("eve")
	_, err = awssts.NewFromConfig(untagged).GetFederationToken(ctx, &other)
	wantError(t, err, "AccessDenied", "federated-user/eve")

	tagger := k.user("tagger", `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":"sts:GetFederationToken","Resource":"*"},
		{"Effect":"Allow","Action":"sts:TagSession","Resource":"*","Condition":{"StringEquals":{"aws:RequestTag/team":"orders"}}},
		{"Effect":"Allow","Action":"logs:*","Resource":"*","Condition":{"StringEquals":{"aws:PrincipalTag/team":"orders","aws:PrincipalTag/site":"here","aws:PrincipalType":"FederatedUser","aws:userid":"`+testkit.Account+`:bob"},
			"Null":{"aws:username":"true","aws:TokenIssueTime":"false"},"ArnEquals":{"aws:PrincipalArn":"`+on+`"}}}]}`)
	if _, err := k.iam.TagUser(ctx, &awsiam.TagUserInput{UserName: aws.String("tagger"), Tags: []iamtypes.Tag{{Key: aws.String("Team"), Value: aws.String("billing")}, {Key: aws.String("site"), Value: aws.String("here")}}}); err != nil {
		t.Fatal(err)
	}
	if err := describe(k.federate(tagger, &tagged)); err != nil {
		t.Error(err)
	}
	wantError(t, describe(k.federate(tagger, in)), "AccessDeniedException", describeGroups)
	tagged.Tags[0].Value = aws.String("finance")
	_, err = awssts.NewFromConfig(tagger).GetFederationToken(ctx, &tagged)
	wantError(t, err, "AccessDenied", "sts:TagSession")

	client := awssts.NewFromConfig(tagger)
	for what, bad := range map[string]struct {
		in         awssts.GetFederationTokenInput
		code, text string
	}{
		"name":      {awssts.GetFederationTokenInput{Name: aws.String("a b")}, "ValidationError", "'name'"},
		"long name": {awssts.GetFederationTokenInput{Name: aws.String(strings.Repeat("n", 33))}, "ValidationError", "'name'"},
		"policy":    {awssts.GetFederationTokenInput{Name: in.Name, Policy: aws.String("{")}, "MalformedPolicyDocument", ""},
		"no policy": {awssts.GetFederationTokenInput{Name: in.Name, PolicyArns: []types.PolicyDescriptorType{{Arn: aws.String("arn:aws:iam::aws:policy/NoSuchPolicyAtAll")}}}, "ValidationError", "does not exist or is not attachable"},
		"long": {awssts.GetFederationTokenInput{Name: in.Name, Policy: aws.String(testkit.Allow("arn:aws:s3:::"+strings.Repeat("x", 1900), "s3:GetObject")),
			PolicyArns: []types.PolicyDescriptorType{{Arn: aws.String("arn:aws:iam::aws:policy/CloudWatchLogsReadOnlyAccess")}}}, "PackedPolicyTooLarge", "Packed policy consumes 10"},
		"tags": {awssts.GetFederationTokenInput{Name: in.Name, Tags: []types.Tag{{Key: aws.String("a"), Value: aws.String("")}, {Key: aws.String("A"), Value: aws.String("")}}}, "ValidationError", "Duplicate tag keys"},
	} {
		_, err := client.GetFederationToken(ctx, &bad.in)
		t.Log(what)
		wantError(t, err, bad.code, bad.text)
	}
}
