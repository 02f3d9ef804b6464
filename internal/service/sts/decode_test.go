package sts_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awslogs "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	awsiam "github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	awssts "github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/aws-sdk-go-v2/service/sts/types"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/remit-ecs/remit/internal/gateway"
	"github.com/remit-ecs/remit/internal/session"
	"github.com/remit-ecs/remit/internal/testkit"
	"github.com/remit-ecs/remit/policy"
)

// message is what a denial carries in its header.
func message(t *testing.T, err error) string {
	t.Helper()
	var e *smithyhttp.ResponseError
	if !errors.As(err, &e) {
		t.Fatalf("no denial: %v", err)
	}
	return e.Response.Header.Get(gateway.MessageHeader)
}

// decodedMessage is the document that DecodeAuthorizationMessage answers, as a
// client reads it.
type decodedMessage struct {
	Allowed           *bool
	ExplicitDeny      bool
	MatchedStatements struct {
		Items []struct {
			StatementID                    string `json:"statementId"`
			Effect                         string
			Principals, Actions, Resources items
			PrincipalGroups                items
			Conditions                     struct{ Items []keyed }
		}
	}
	Failures items
	Context  struct {
		Principal        struct{ ID, ARN string }
		Action, Resource string
		Conditions       struct{ Items []keyed }
	}
	Remit struct {
		RequestID, Account, Region, Time, RoleARN string
		Reasons                                   *policy.Report
		LeftOut                                   []string
	}
}

type items struct{ Items []struct{ Value string } }

type keyed struct {
	Key    string
	Values items
}

func (m *decodedMessage) key(name string) []string {
	for _, k := range m.Context.Conditions.Items {
		if k.Key == name {
			var out []string
			for _, v := range k.Values.Items {
				out = append(out, v.Value)
			}
			return out
		}
	}
	return nil
}

func (k *kit) decode(cfg aws.Config, text string) (m decodedMessage) {
	k.t.Helper()
	out, err := awssts.NewFromConfig(cfg).DecodeAuthorizationMessage(ctx, &awssts.DecodeAuthorizationMessageInput{EncodedMessage: &text})
	if err != nil {
		k.t.Fatal(err)
	}
	for _, part := range []string{`"allowed":false`, `"failures":{"items":[]}`, `"matchedStatements":{"items":[`} {
		if !strings.Contains(*out.DecodedMessage, part) {
			k.t.Errorf("%s is missing from %s", part, *out.DecodedMessage)
		}
	}
	if err := json.Unmarshal([]byte(*out.DecodedMessage), &m); err != nil {
		k.t.Fatal(err)
	}
	return m
}

func TestDecodeImplicitDeny(t *testing.T) {
	k := newKit(t)
	caller := k.user("caller", testkit.Allow("*", "sts:AssumeRole"))
	role := k.role("app", trustAWS(testkit.Account), testkit.Allow("*", "logs:CreateLogGroup"))
	app := k.assume(caller, request(role))
	denial := describe(app)
	wantError(t, denial, "AccessDeniedException", describeGroups)
	text := message(t, denial)
	if len(text) != session.MessageLength {
		t.Fatalf("a message of %d characters", len(text))
	}

	// It tells the decision as it was made, also when the policies have changed.
	k.put("app", "more", testkit.Allow("*", describeGroups))
	m := k.decode(k.Root(), text)
	if m.Allowed == nil || *m.Allowed || m.ExplicitDeny || len(m.MatchedStatements.Items) != 0 {
		t.Errorf("%+v", m)
	}
	id := k.identity(app)
	if c := m.Context; c.Principal.ID != *id.UserId || c.Principal.ARN != *id.Arn || c.Action != describeGroups || !strings.Contains(c.Resource, ":log-group:") {
		t.Errorf("%+v", c)
	}
	if v := m.key("aws:principalarn"); !slices.Equal(v, []string{role}) {
		t.Errorf("aws:principalarn %v", v)
	}
	var e *smithyhttp.ResponseError
	_ = errors.As(denial, &e)
	r := m.Remit
	if r.RequestID != e.Response.Header.Get("X-Amzn-Requestid") || r.Account != testkit.Account || r.Region != testkit.Region || r.RoleARN != role ||
		r.Reasons == nil || r.Reasons.Decision != "implicitDeny" || r.Reasons.Layer != "identity-based policy" || len(r.Reasons.ToAllow) != 1 || r.LeftOut != nil {
		t.Errorf("%+v", r)
	}
}

func TestDecodeExplicitDeny(t *testing.T) {
	k := newKit(t)
	caller := k.user("caller", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"},
		{"Sid":"NoGroups","Effect":"Deny","Action":["logs:Describe*","logs:Create*"],"Resource":"arn:aws:logs:*:*:*","Condition":{"StringEquals":{"aws:PrincipalType":["User","Account"]}}}]}`)
	m := k.decode(k.Root(), message(t, describe(caller)))
	if !m.ExplicitDeny || len(m.MatchedStatements.Items) != 1 {
		t.Fatalf("%+v", m)
	}
	st := m.MatchedStatements.Items[0]
	userID := *k.identity(caller).UserId
	if st.StatementID != "NoGroups" || st.Effect != "DENY" || len(st.Actions.Items) != 2 || st.Actions.Items[0].Value != "logs:Describe*" || st.Resources.Items[0].Value != "arn:aws:logs:*:*:*" ||
		len(st.Principals.Items) != 1 || st.Principals.Items[0].Value != userID || len(st.Conditions.Items) != 1 || st.Conditions.Items[0].Key != "aws:PrincipalType" || len(st.Conditions.Items[0].Values.Items) != 2 {
		t.Errorf("%+v", st)
	}
	if m.Context.Principal.ID != userID || m.Remit.Reasons.Decision != "explicitDeny" {
		t.Errorf("%+v", m)
	}
}

// TestDecodeIsPermitted: by its own permission, to the account's own principals.
func TestDecodeIsPermitted(t *testing.T) {
	k := newKit(t)
	text := message(t, describe(k.user("caller")))
	in := &awssts.DecodeAuthorizationMessageInput{EncodedMessage: &text}

	_, err := awssts.NewFromConfig(k.user("poor")).DecodeAuthorizationMessage(ctx, in)
	wantError(t, err, "AccessDenied", "is not authorized to perform: sts:DecodeAuthorizationMessage on resource: * because no identity-based policy allows")
	if message(t, err) == "" {
		t.Error("this denial has no message")
	}
	k.decode(k.user("reader", testkit.Allow("*", "sts:DecodeAuthorizationMessage")), text)

	k.Gateway.RootKeys["AKIAOTHEROTHEROTHER1"] = gateway.RootKey{Account: "444455556666", Secret: "other/secret"}
	for name, c := range map[string]struct {
		as   aws.Config
		text string
	}{
		"another account": {k.as("AKIAOTHEROTHEROTHER1", "other/secret", ""), text},
		"altered":         {k.Root(), text[:40] + "A" + text[41:] + "A"},
		"a line break":    {k.Root(), text[:40] + "\n" + text[40:]},
		"nonsense":        {k.Root(), "x"},
		"a session token": {k.Root(), k.token()},
	} {
		_, err := awssts.NewFromConfig(c.as).DecodeAuthorizationMessage(ctx, &awssts.DecodeAuthorizationMessageInput{EncodedMessage: &c.text})
		t.Log(name)
		wantError(t, err, "InvalidAuthorizationMessageException", "Message is not valid")
	}
	_, err = awssts.NewFromConfig(k.Root()).DecodeAuthorizationMessage(ctx, &awssts.DecodeAuthorizationMessageInput{EncodedMessage: aws.String(strings.Repeat("A", 10241))})
	wantError(t, err, "ValidationError", "'encodedMessage'")
}

func (k *kit) token() string {
	c, err := k.sessionToken(k.Root()).Credentials.Retrieve(ctx)
	if err != nil {
		k.t.Fatal(err)
	}
	return c.SessionToken
}

// TestMessageAtDenialsOnly: not where something else is wrong, nor where no
// policy was asked.
func TestMessageAtDenialsOnly(t *testing.T) {
	k := newKit(t)
	_, err := awssts.NewFromConfig(k.Root()).AssumeRole(ctx, request("arn:aws:iam::"+testkit.Account+":role/app"))
	if text := message(t, err); text != "" {
		t.Errorf("%v came with a message", err)
	}
	_, err = k.iam.GetRole(ctx, &awsiam.GetRoleInput{RoleName: aws.String("missing")})
	wantError(t, err, "NoSuchEntity", "")
	if text := message(t, err); text != "" {
		t.Errorf("%v came with a message", err)
	}
}

// TestMessageOfTwoAccounts: of a role elsewhere the caller's account learns
// nothing but what it knows: not its tags, nor what its trust policy says.
func TestMessageOfTwoAccounts(t *testing.T) {
	k := newKit(t)
	const other = "444455556666"
	k.Gateway.RootKeys["AKIAOTHEROTHEROTHER1"] = gateway.RootKey{Account: other, Secret: "other/secret"}
	owner := k.as("AKIAOTHEROTHEROTHER1", "other/secret", "")
	mine := k.iam
	k.iam = awsiam.NewFromConfig(owner)
	theirs := k.role("theirs", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"`+testkit.Account+`"},"Action":["sts:AssumeRole","sts:TagSession"]},
		{"Sid":"TheirSecret","Effect":"Deny","Principal":{"AWS":"*"},"Action":"sts:*","Condition":{"StringEquals":{"sts:ExternalId":"wrong"}}}]}`)
	if _, err := k.iam.TagRole(ctx, &awsiam.TagRoleInput{RoleName: aws.String("theirs"), Tags: []iamtypes.Tag{{Key: aws.String("hidden"), Value: aws.String("tag")}}}); err != nil {
		t.Fatal(err)
	}
	k.iam = mine
	caller := k.user("caller", testkit.Allow("*", "sts:AssumeRole"))
	in := request(theirs)
	in.ExternalId = aws.String("wrong")
	_, err := awssts.NewFromConfig(caller).AssumeRole(ctx, in)
	wantError(t, err, "AccessDenied", "sts:AssumeRole on resource: "+theirs)
	text := message(t, err)
	m := k.decode(k.Root(), text)
	all, jerr := json.Marshal(m)
	if jerr != nil || strings.Contains(string(all), "TheirSecret") || strings.Contains(string(all), "hidden") || m.ExplicitDeny {
		t.Errorf("%s %v", all, jerr)
	}
	// Nor is it in their trail.
	for _, r := range k.Trail() {
		text, err := r.Encode()
		if err != nil || strings.Contains(string(text), "TheirSecret") {
			t.Errorf("%s %v", text, err)
		}
	}
	if v := m.key("sts:externalid"); !slices.Equal(v, []string{"wrong"}) {
		t.Errorf("what the caller sent itself is not there: %v", v)
	}
	// The nearest of their statements is not there either.
	_, err = awssts.NewFromConfig(k.user("stranger")).AssumeRole(ctx, request(theirs))
	wantError(t, err, "AccessDenied", "sts:AssumeRole on resource: "+theirs)
	for _, r := range k.Trail() {
		text, err := r.Encode()
		if err != nil || strings.Contains(string(text), "sts:TagSession") {
			t.Errorf("%s %v", text, err)
		}
	}
	// It is not the owner's message: who called from elsewhere is not theirs to know.
	_, err = awssts.NewFromConfig(owner).DecodeAuthorizationMessage(ctx, &awssts.DecodeAuthorizationMessageInput{EncodedMessage: &text})
	wantError(t, err, "InvalidAuthorizationMessageException", "Message is not valid")
}

// TestMessageFitsTheHeader of a request that carries as much as it can.
func TestMessageFitsTheHeader(t *testing.T) {
	k := newKit(t)
	caller := k.user("caller")
	in := request(k.role("app", trustAWS(testkit.Account)))
	for i := range 50 {
		in.Tags = append(in.Tags, types.Tag{Key: aws.String(strings.Repeat("k", 100) + string(rune('A'+i%26)) + string(rune('0'+i/26))), Value: aws.String(strings.Repeat("v", 256))})
	}
	_, err := awssts.NewFromConfig(caller).AssumeRole(ctx, in)
	wantError(t, err, "AccessDenied", "sts:AssumeRole")
	text := message(t, err)
	if len(text) != session.MessageLength {
		t.Fatalf("a message of %d characters", len(text))
	}
	m := k.decode(k.Root(), text)
	if len(m.Remit.LeftOut) == 0 || m.Context.Action != "sts:AssumeRole" || m.Context.Principal.ARN == "" || m.Remit.Reasons == nil {
		t.Errorf("%+v", m)
	}
}

// TestMessageHeader is on every protocol's denials, under the name that the
// documentation gives.
func TestMessageHeader(t *testing.T) {
	k := newKit(t)
	caller := k.user("caller")
	_, query := awsiam.NewFromConfig(caller).ListUsers(ctx, nil)
	_, json := awslogs.NewFromConfig(caller).DescribeLogGroups(ctx, nil)
	for _, err := range []error{query, json} {
		var e *smithyhttp.ResponseError
		if !errors.As(err, &e) || e.Response.Header.Get("x-remit-authorization-message") == "" {
			t.Errorf("%v has no message", err)
		}
	}
}
