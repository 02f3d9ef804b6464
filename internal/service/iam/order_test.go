package iam_test

import (
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsiam "github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	awssts "github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/remit-ecs/remit/internal/testkit"
)

// What must go before a role and a user go, one refusal after the other.
func TestDeletionOrder(t *testing.T) {
	k := newKit(t)
	name := func(s string) *string { return &s }
	doc := name(testkit.Allow("*", "s3:GetObject"))
	arn := k.policy("p", *doc)
	steps := func(deletion func() error, steps ...func() (want string, undo func() (any, error))) {
		t.Helper()
		for _, step := range steps {
			want, undo := step()
			refused(t, deletion(), "DeleteConflict: Cannot delete entity, must "+want+" first.")
			must(t)(undo())
		}
		if err := deletion(); err != nil {
			t.Error(err)
		}
		refused(t, deletion(), "NoSuchEntity: ")
	}

	app := name("app")
	k.role("app", testkit.TrustService("ec2.amazonaws.com"))
	must(t)(k.PutRolePolicy(ctx, &awsiam.PutRolePolicyInput{RoleName: app, PolicyName: name("in"), PolicyDocument: doc}))
	must(t)(k.AttachRolePolicy(ctx, &awsiam.AttachRolePolicyInput{RoleName: app, PolicyArn: &arn}))
	must(t)(k.CreateInstanceProfile(ctx, &awsiam.CreateInstanceProfileInput{InstanceProfileName: name("host")}))
	must(t)(k.AddRoleToInstanceProfile(ctx, &awsiam.AddRoleToInstanceProfileInput{InstanceProfileName: name("host"), RoleName: app}))
	steps(func() error { _, err := k.DeleteRole(ctx, &awsiam.DeleteRoleInput{RoleName: app}); return err },
		func() (string, func() (any, error)) {
			return "remove roles from instance profile", func() (any, error) {
				return k.RemoveRoleFromInstanceProfile(ctx, &awsiam.RemoveRoleFromInstanceProfileInput{InstanceProfileName: name("host"), RoleName: app})
			}
		},
		func() (string, func() (any, error)) {
			return "detach all policies", func() (any, error) {
				return k.DetachRolePolicy(ctx, &awsiam.DetachRolePolicyInput{RoleName: app, PolicyArn: &arn})
			}
		},
		func() (string, func() (any, error)) {
			return "delete policies", func() (any, error) {
				return k.DeleteRolePolicy(ctx, &awsiam.DeleteRolePolicyInput{RoleName: app, PolicyName: name("in")})
			}
		})

	bob := name("bob")
	_, cfg := k.user("bob", *doc)
	creds, err := cfg.Credentials.Retrieve(ctx)
	if err != nil {
		t.Fatal(err)
	}
	must(t)(k.AttachUserPolicy(ctx, &awsiam.AttachUserPolicyInput{UserName: bob, PolicyArn: &arn}))
	k.group("devs", "bob")
	steps(func() error { _, err := k.DeleteUser(ctx, &awsiam.DeleteUserInput{UserName: bob}); return err },
		func() (string, func() (any, error)) {
			return "detach all policies", func() (any, error) {
				return k.DetachUserPolicy(ctx, &awsiam.DetachUserPolicyInput{UserName: bob, PolicyArn: &arn})
			}
		},
		func() (string, func() (any, error)) {
			return "delete policies", func() (any, error) {
				return k.DeleteUserPolicy(ctx, &awsiam.DeleteUserPolicyInput{UserName: bob, PolicyName: name("p0")})
			}
		},
		func() (string, func() (any, error)) {
			return "remove users from group", func() (any, error) {
				return k.RemoveUserFromGroup(ctx, &awsiam.RemoveUserFromGroupInput{UserName: bob, GroupName: name("devs")})
			}
		},
		func() (string, func() (any, error)) {
			return "delete access keys", func() (any, error) {
				return k.DeleteAccessKey(ctx, &awsiam.DeleteAccessKeyInput{UserName: bob, AccessKeyId: &creds.AccessKeyID})
			}
		})
}

func TestQuotas(t *testing.T) {
	k := newKit(t)
	app := aws.String("app")
	k.role("app", testkit.TrustService("ec2.amazonaws.com"))
	attach := func(arn string) error {
		_, err := k.AttachRolePolicy(ctx, &awsiam.AttachRolePolicyInput{RoleName: app, PolicyArn: &arn})
		return err
	}
	var first string
	for i := range 10 {
		arn := k.policy(fmt.Sprint("p", i), testkit.Allow("*", "s3:GetObject"))
		if i == 0 {
			first = arn
		}
		if err := attach(arn); err != nil {
			t.Fatal(err)
		}
	}
	refused(t, attach(k.policy("more", testkit.Allow("*", "s3:GetObject"))), "LimitExceeded: Cannot exceed quota for PoliciesPerRole: 10")
	if err := attach(first); err != nil { // attached already
		t.Error(err)
	}
	var tags []types.Tag
	for i := range 50 {
		tags = append(tags, types.Tag{Key: aws.String(fmt.Sprint("k", i)), Value: aws.String("v")})
	}
	must(t)(k.TagRole(ctx, &awsiam.TagRoleInput{RoleName: app, Tags: tags}))
	must(t)(k.TagRole(ctx, &awsiam.TagRoleInput{RoleName: app, Tags: tags[:1]}))
	_, err := k.TagRole(ctx, &awsiam.TagRoleInput{RoleName: app, Tags: []types.Tag{{Key: aws.String("one-more"), Value: aws.String("v")}}})
	refused(t, err, "LimitExceeded: Cannot exceed quota for TagsPerResource: 50")
}

// Deleting a role ends its sessions. A role that is made under the same name is
// another one: it revives neither the sessions nor the trust in the old one.
func TestRecreatedRoleIsAnother(t *testing.T) {
	k := newKit(t)
	_, cfg := k.user("bob")
	role := k.role("app", trustAWS(prefix+"user/bob"))
	next := k.role("next", trustAWS(role))
	may := func() {
		must(t)(k.PutRolePolicy(ctx, &awsiam.PutRolePolicyInput{RoleName: aws.String("app"), PolicyName: aws.String("all"), PolicyDocument: aws.String(testkit.Allow("*", "iam:ListRoles"))}))
	}
	assume := func(cfg aws.Config, role string) (aws.Config, error) {
		out, err := awssts.NewFromConfig(cfg).AssumeRole(ctx, &awssts.AssumeRoleInput{RoleArn: &role, RoleSessionName: aws.String("run")})
		if err != nil {
			return aws.Config{}, err
		}
		_, session := k.as(*out.Credentials.AccessKeyId, *out.Credentials.SecretAccessKey, *out.Credentials.SessionToken)
		return session, nil
	}
	list := func(cfg aws.Config) error { _, err := awsiam.NewFromConfig(cfg).ListRoles(ctx, nil); return err }
	may()
	old, err := assume(cfg, role)
	if err != nil {
		t.Fatal(err)
	}
	if err := list(old); err != nil {
		t.Error(err)
	}
	if _, err := assume(old, next); err != nil {
		t.Error(err)
	}
	must(t)(k.DeleteRolePolicy(ctx, &awsiam.DeleteRolePolicyInput{RoleName: aws.String("app"), PolicyName: aws.String("all")}))
	must(t)(k.DeleteRole(ctx, &awsiam.DeleteRoleInput{RoleName: aws.String("app")}))
	if err := list(old); err == nil {
		t.Error("the session outlives its role")
	}
	k.role("app", trustAWS(prefix+"user/bob"))
	may()
	if err := list(old); err == nil {
		t.Error("the session is revived")
	}
	fresh, err := assume(cfg, role)
	if err != nil {
		t.Fatal(err)
	}
	if err := list(fresh); err != nil {
		t.Error(err)
	}
	_, err = assume(fresh, next)
	refused(t, err, "AccessDenied: User: arn:aws:sts::"+account+":assumed-role/app/run is not authorized to perform: sts:AssumeRole")
}
