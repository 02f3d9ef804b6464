package sts_test

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsiam "github.com/aws/aws-sdk-go-v2/service/iam"
	awssts "github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/remit-ecs/remit/internal/clock"
	"github.com/remit-ecs/remit/internal/testkit"
)

// deleteRole deletes a role with its one policy.
func (k *kit) deleteRole(name string) {
	k.t.Helper()
	if _, err := k.iam.DeleteRolePolicy(ctx, &awsiam.DeleteRolePolicyInput{RoleName: &name, PolicyName: aws.String("a")}); err != nil {
		k.t.Fatal(err)
	}
	if _, err := k.iam.DeleteRole(ctx, &awsiam.DeleteRoleInput{RoleName: &name}); err != nil {
		k.t.Fatal(err)
	}
}

// TestDeletedRole: a role's sessions end with it, and a role made anew under its
// name revives none: neither those of the role, nor a chain that goes through
// it, nor a trust policy that named the old one.
func TestDeletedRole(t *testing.T) {
	k := newKit(t)
	first := k.role("first", trustAWS(testkit.Account), testkit.Allow("*", "logs:*", "sts:AssumeRole"))
	second := k.role("second", trustAWS(first), testkit.Allow("*", "logs:*"))
	caller := k.user("caller", testkit.Allow("*", "sts:AssumeRole"))
	a := k.assume(caller, request(first))
	b := k.assume(a, request(second))
	for _, cfg := range []aws.Config{a, b} {
		if err := describe(cfg); err != nil {
			t.Fatal(err)
		}
	}
	ended := func(cfg aws.Config) {
		t.Helper()
		wantError(t, describe(cfg), "AccessDeniedException", describeGroups)
		_, err := awssts.NewFromConfig(cfg).GetCallerIdentity(ctx, nil)
		wantError(t, err, "InvalidClientTokenId", invalidToken)
	}

	k.deleteRole("first")
	ended(a)
	_, err := awssts.NewFromConfig(a).AssumeRole(ctx, request(second))
	wantError(t, err, "AccessDenied", "sts:AssumeRole on resource: "+second)
	// What was assumed further is a session of its own, as on AWS.
	if err := describe(b); err != nil {
		t.Error(err)
	}

	k.role("first", trustAWS(testkit.Account), testkit.Allow("*", "*"))
	ended(a)
	_, err = awssts.NewFromConfig(a).AssumeRole(ctx, request(second))
	wantError(t, err, "AccessDenied", "sts:AssumeRole on resource: "+second)
	again := k.assume(caller, request(first))
	if err := describe(again); err != nil {
		t.Error(err)
	}
	// The second role trusted the first one, not its name. (An identity policy
	// that allows everything does not outweigh that.)
	_, err = awssts.NewFromConfig(again).AssumeRole(ctx, request(second))
	wantError(t, err, "AccessDenied", "sts:AssumeRole on resource: "+second)

	k.deleteRole("second")
	ended(b)
	k.role("second", trustAWS(testkit.Account), testkit.Allow("*", "*"))
	ended(b)
}

// TestRevokedByIssueTime is the policy with which IAM's console revokes the
// sessions of a role: those from before a moment are denied everything.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_revoke-sessions.html
func TestRevokedByIssueTime(t *testing.T) {
	at := clock.NewFake(time.Now())
	k := newKit(t, testkit.WithClock(at))
	caller := k.user("caller", testkit.Allow("*", "sts:AssumeRole"))
	role := k.role("app", trustAWS(testkit.Account), testkit.Allow("*", "logs:*"))
	old := k.assume(caller, request(role))
	at.Advance(10 * time.Second)
	moment := at.Now().UTC().Format("2006-01-02T15:04:05Z")
	at.Advance(10 * time.Second)
	fresh := k.assume(caller, request(role))
	if err := describe(old); err != nil {
		t.Fatal(err)
	}
	k.put("app", "AWSRevokeOlderSessions", `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":["*"],"Resource":["*"],
		"Condition":{"DateLessThan":{"aws:TokenIssueTime":"`+moment+`"}}}]}`)
	wantError(t, describe(old), "AccessDeniedException", "with an explicit deny in an identity-based policy")
	if err := describe(fresh); err != nil {
		t.Error(err)
	}
}

// TestExpiredSession: at its end a session is over, of whichever kind.
func TestExpiredSession(t *testing.T) {
	at := clock.NewFake(time.Now())
	k := newKit(t, testkit.WithClock(at))
	caller := k.user("caller", testkit.Allow("*", "sts:*", "logs:*"))
	role := k.role("app", trustAWS(testkit.Account), testkit.Allow("*", "logs:*"))
	// Clients' clocks are real, and at most five minutes from the server's: these
	// sessions are made anew for two.
	var sessions []aws.Config
	for _, cfg := range []aws.Config{
		k.assume(caller, request(role)), k.sessionToken(caller),
		k.federate(caller, &awssts.GetFederationTokenInput{Name: aws.String("bob"), Policy: aws.String(testkit.Allow("*", "*"))}),
	} {
		c, err := cfg.Credentials.Retrieve(ctx)
		if err != nil {
			t.Fatal(err)
		}
		p, _, err := k.Sealer.Open(c.AccessKeyID, c.SessionToken, at.Now())
		if err != nil {
			t.Fatal(err)
		}
		short, err := k.Sealer.Mint(p, c.AccessKeyID, 2*time.Minute, at.Now())
		if err != nil {
			t.Fatal(err)
		}
		sessions = append(sessions, k.as(short.AccessKeyID, short.SecretAccessKey, short.SessionToken))
	}
	at.Advance(time.Minute)
	for _, s := range sessions {
		if err := describe(s); err != nil {
			t.Error(err)
		}
	}
	at.Advance(time.Minute)
	for _, s := range sessions {
		wantError(t, describe(s), "ExpiredTokenException", "The security token included in the request is expired")
	}
}
