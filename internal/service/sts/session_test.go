package sts_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsiam "github.com/aws/aws-sdk-go-v2/service/iam"
	awssts "github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"

	"github.com/remit-ecs/remit/internal/gateway"
	"github.com/remit-ecs/remit/internal/testkit"
)

func TestSessionPolicies(t *testing.T) {
	k := newKit(t)
	caller := k.user("caller")
	role := k.role("app", trustAWS("arn:aws:iam::"+testkit.Account+":user/caller"), testkit.Allow("*", "iam:*"))
	in := request(role)
	in.Policy = aws.String(testkit.Allow("*", "iam:ListRoles"))
	out, err := awssts.NewFromConfig(caller).AssumeRole(ctx, in)
	//lint:ignore SA1019 clients still read it
	if err != nil || out.PackedPolicySize == nil || *out.PackedPolicySize < 1 || *out.PackedPolicySize > 20 {
		t.Fatalf("%+v %v", out, err)
	}
	inline := awsiam.NewFromConfig(k.session(out.Credentials))
	if _, err := inline.ListRoles(ctx, nil); err != nil {
		t.Error(err)
	}
	_, err = inline.ListUsers(ctx, nil)
	wantError(t, err, "AccessDenied", "because no session policy allows the iam:ListUsers action")

	// Managed ones: an AWS one and one of the role's account.
	doc := testkit.Allow("*", "iam:ListUsers")
	p, err := k.iam.CreatePolicy(ctx, &awsiam.CreatePolicyInput{PolicyName: aws.String("list"), PolicyDocument: &doc})
	if err != nil {
		t.Fatal(err)
	}
	in = request(role)
	in.PolicyArns = []types.PolicyDescriptorType{{Arn: p.Policy.Arn}, {Arn: aws.String("arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess")}}
	managed := awsiam.NewFromConfig(k.assume(caller, in))
	if _, err := managed.ListUsers(ctx, nil); err != nil {
		t.Error(err)
	}
	_, err = managed.ListRoles(ctx, nil)
	wantError(t, err, "AccessDenied", "because no session policy allows the iam:ListRoles action")
	// A policy that is no more allows nothing.
	if _, err := k.iam.DeletePolicy(ctx, &awsiam.DeletePolicyInput{PolicyArn: p.Policy.Arn}); err != nil {
		t.Fatal(err)
	}
	_, err = managed.ListUsers(ctx, nil)
	wantError(t, err, "AccessDenied", "iam:ListUsers")

	client := awssts.NewFromConfig(caller)
	for _, c := range []struct {
		change     func(in *awssts.AssumeRoleInput)
		code, text string
	}{
		{func(in *awssts.AssumeRoleInput) { in.Policy = aws.String("{") }, "MalformedPolicyDocument", ""},
		{func(in *awssts.AssumeRoleInput) {
			in.Policy = aws.String(testkit.Allow("arn:aws:s3:::"+strings.Repeat("x", 2048), "s3:GetObject"))
		}, "PackedPolicyTooLarge", "Packed policy consumes"},
		{func(in *awssts.AssumeRoleInput) { // policy and ARNs share the limit
			in.Policy = aws.String(testkit.Allow("arn:aws:s3:::"+strings.Repeat("x", 1900), "s3:GetObject"))
			in.PolicyArns = []types.PolicyDescriptorType{{Arn: aws.String("arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess")}}
		}, "PackedPolicyTooLarge", "Packed policy consumes"},
		{func(in *awssts.AssumeRoleInput) {
			in.PolicyArns = []types.PolicyDescriptorType{{Arn: p.Policy.Arn}}
		}, "ValidationError", "does not exist or is not attachable"},
		{func(in *awssts.AssumeRoleInput) {
			in.PolicyArns = make([]types.PolicyDescriptorType, 11)
			for i := range in.PolicyArns {
				in.PolicyArns[i].Arn = aws.String("arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess")
			}
		}, "ValidationError", "'policyArns'"},
		{func(in *awssts.AssumeRoleInput) { in.RoleSessionName = aws.String("a b") }, "ValidationError", "'roleSessionName'"},
	} {
		in := request(role)
		c.change(in)
		_, err := client.AssumeRole(ctx, in)
		wantError(t, err, c.code, c.text)
	}
}

func TestTagsAndSourceIdentity(t *testing.T) {
	k := newKit(t)
	root := "arn:aws:iam::" + testkit.Account + ":root"
	caller := k.user("caller", testkit.Allow("*", "sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"))
	// Each role trusts the account for what its name says.
	plain := k.role("plain", trustAWS(root))
	first := k.role("first", trustAWS(root, "sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"),
		testkit.Allow("*", "sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"),
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iam:ListRoles","Resource":"*","Condition":{"StringEquals":{"aws:PrincipalTag/Team":"orders"}}}]}`)
	second := k.role("second", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"`+root+`"},"Action":["sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity"],
		"Condition":{"StringEquals":{"aws:PrincipalTag/Team":"orders"}}}]}`,
		testkit.Allow("*", "iam:ListUsers"))

	tagged := func(role string) *awssts.AssumeRoleInput {
		in := request(role)
		in.Tags = []types.Tag{{Key: aws.String("Team"), Value: aws.String("orders")}, {Key: aws.String("Cost"), Value: aws.String("1")}}
		in.TransitiveTagKeys = []string{"Team"}
		return in
	}
	client := awssts.NewFromConfig(caller)
	_, err := client.AssumeRole(ctx, tagged(plain))
	wantError(t, err, "AccessDenied", "is not authorized to perform: sts:TagSession on resource: "+plain)
	in := request(plain)
	in.SourceIdentity = aws.String("alice")
	_, err = client.AssumeRole(ctx, in)
	wantError(t, err, "AccessDenied", "is not authorized to perform: sts:SetSourceIdentity on resource: "+plain)

	in = tagged(first)
	in.SourceIdentity = aws.String("alice")
	out, err := client.AssumeRole(ctx, in)
	//lint:ignore SA1019 clients still read it
	if err != nil || aws.ToString(out.SourceIdentity) != "alice" || out.PackedPolicySize == nil {
		t.Fatalf("%+v %v", out, err)
	}
	session := k.session(out.Credentials)
	if _, err := awsiam.NewFromConfig(session).ListRoles(ctx, nil); err != nil {
		t.Error(err)
	}
	_, err = awsiam.NewFromConfig(k.assume(caller, request(first))).ListRoles(ctx, nil)
	wantError(t, err, "AccessDenied", "iam:ListRoles")

	// Along the chain the transitive tag and the source identity stay.
	chain := awssts.NewFromConfig(session)
	out, err = chain.AssumeRole(ctx, request(second))
	if err != nil || aws.ToString(out.SourceIdentity) != "alice" {
		t.Fatalf("%+v %v", out, err)
	}
	p, _, err := k.Sealer.Open(*out.Credentials.AccessKeyId, *out.Credentials.SessionToken, k.Clock.Now())
	if err != nil || p.Tags["Team"] != "orders" || p.Tags["Cost"] != "" || len(p.TransitiveTagKeys) != 1 || !p.Chained {
		t.Errorf("%+v %v", p, err)
	}
	_, err = chain.AssumeRole(ctx, request(plain))
	wantError(t, err, "AccessDenied", "sts:TagSession")
	// Sent again unchanged it is no change.
	again := request(second)
	again.SourceIdentity = aws.String("alice")
	if _, err := chain.AssumeRole(ctx, again); err != nil {
		t.Error(err)
	}
	_, err = chain.AssumeRole(ctx, tagged(second))
	wantError(t, err, "ValidationError", "conflicts with a transitive tag key from the calling session")
	// The trail has it, and whose key the new session's is.
	found := false
	for _, r := range k.Trail() {
		text, err := json.Marshal(r.ResponseElements)
		if err != nil || r.EventName != "AssumeRole" || !strings.Contains(string(text), *out.Credentials.AccessKeyId) {
			continue
		}
		found = true
		if s := r.UserIdentity.SessionContext; s == nil || s.SourceIdentity != "alice" || strings.Contains(string(text), *out.Credentials.SecretAccessKey) || strings.Contains(string(text), *out.Credentials.SessionToken) {
			t.Errorf("%+v %s", r.UserIdentity, text)
		}
	}
	if !found {
		t.Error("the trail does not say who got the access key")
	}
	in = request(second)
	in.SourceIdentity = aws.String("mallory")
	_, err = chain.AssumeRole(ctx, in)
	wantError(t, err, "AccessDenied", "")
	in = request(first)
	in.TransitiveTagKeys = []string{"Other"}
	_, err = client.AssumeRole(ctx, in)
	wantError(t, err, "ValidationError", "transitive tag key must be included")
}

func TestExternalID(t *testing.T) {
	k := newKit(t)
	caller := awssts.NewFromConfig(k.user("caller"))
	role := k.role("app", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::`+testkit.Account+`:user/caller"},"Action":"sts:AssumeRole",
		"Condition":{"StringEquals":{"sts:ExternalId":"secret"},"StringLike":{"sts:RoleSessionName":"test*"}}}]}`)
	in := request(role)
	_, err := caller.AssumeRole(ctx, in)
	wantError(t, err, "AccessDenied", "because no role trust policy allows the sts:AssumeRole action")
	in.ExternalId = aws.String("secret")
	if _, err := caller.AssumeRole(ctx, in); err != nil {
		t.Error(err)
	}
	in.RoleSessionName = aws.String("other")
	_, err = caller.AssumeRole(ctx, in)
	wantError(t, err, "AccessDenied", "sts:AssumeRole")
}

func TestAccessKeyInfo(t *testing.T) {
	k := newKit(t)
	cfg := k.user("caller", testkit.Allow("*", "sts:GetAccessKeyInfo"))
	cred, err := cfg.Credentials.Retrieve(ctx)
	if err != nil {
		t.Fatal(err)
	}
	out, err := awssts.NewFromConfig(cfg).GetAccessKeyInfo(ctx, &awssts.GetAccessKeyInfoInput{AccessKeyId: &cred.AccessKeyID})
	if err != nil || *out.Account != testkit.Account {
		t.Errorf("%v %v", out, err)
	}
}

func TestOtherAccount(t *testing.T) {
	k := newKit(t)
	const other = "444455556666"
	k.Gateway.RootKeys["AKIAOTHEROTHEROTHER1"] = gateway.RootKey{Account: other, Secret: "other/secret"}
	mine := k.iam
	k.iam = awsiam.NewFromConfig(k.as("AKIAOTHEROTHEROTHER1", "other/secret", ""))
	stranger := k.user("stranger", testkit.Allow("*", "sts:AssumeRole"))
	poor := k.user("poor")
	there := k.role("there", trustAWS(testkit.Account))
	k.iam = mine

	// Both sides have to allow it, and IAM calls act in the caller's account.
	role := k.role("app", trustAWS("arn:aws:iam::"+other+":root"), testkit.Allow("*", "iam:ListRoles"))
	app := k.assume(stranger, request(role))
	out, err := awsiam.NewFromConfig(app).ListRoles(ctx, nil)
	if err != nil || len(out.Roles) != 1 || *out.Roles[0].Arn != role {
		t.Errorf("%+v %v", out, err)
	}
	_, err = awssts.NewFromConfig(poor).AssumeRole(ctx, request(role))
	wantError(t, err, "AccessDenied", "sts:AssumeRole on resource: "+role)
	mineOnly := k.user("mine", testkit.Allow("*", "sts:AssumeRole"))
	_, err = awssts.NewFromConfig(mineOnly).AssumeRole(ctx, request(role))
	wantError(t, err, "AccessDenied", "sts:AssumeRole on resource: "+role)
	if strings.Contains(there, testkit.Account) {
		t.Errorf("a role of account %s has the ARN %s", other, there)
	}
	k.assume(mineOnly, request(there))
}
