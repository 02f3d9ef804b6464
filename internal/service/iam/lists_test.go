package iam_test

import (
	"fmt"
	"net/url"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsiam "github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
)

const readBuckets = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:ListAllMyBuckets","Resource":"*"}}`

// TestPoliciesOfUsersAndRoles lists and reads what was attached and put.
func TestPoliciesOfUsersAndRoles(t *testing.T) {
	k := newKit(t)
	k.role("app", `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Service":"ecs-tasks.amazonaws.com"},"Action":"sts:AssumeRole"}}`)
	user, role := aws.String("dev"), aws.String("app")
	must(t)(k.CreateUser(ctx, &awsiam.CreateUserInput{UserName: user}))
	for i := range 3 {
		name := aws.String(fmt.Sprint("p", i))
		must(t)(k.PutUserPolicy(ctx, &awsiam.PutUserPolicyInput{UserName: user, PolicyName: name, PolicyDocument: aws.String(readBuckets)}))
		must(t)(k.PutRolePolicy(ctx, &awsiam.PutRolePolicyInput{RoleName: role, PolicyName: name, PolicyDocument: aws.String(readBuckets)}))
	}
	must(t)(k.AttachUserPolicy(ctx, &awsiam.AttachUserPolicyInput{UserName: user, PolicyArn: aws.String(awsRead)}))

	got, err := k.GetUserPolicy(ctx, &awsiam.GetUserPolicyInput{UserName: user, PolicyName: aws.String("p1")})
	if err != nil {
		t.Fatal(err)
	}
	if text, err := url.QueryUnescape(*got.PolicyDocument); err != nil || text != readBuckets {
		t.Errorf("%s, %v", text, err)
	}
	attached, err := k.ListAttachedUserPolicies(ctx, &awsiam.ListAttachedUserPoliciesInput{UserName: user})
	if err != nil || len(attached.AttachedPolicies) != 1 || *attached.AttachedPolicies[0].PolicyArn != awsRead {
		t.Errorf("attached: %+v, %v", attached, err)
	}
	of := map[string][]string{}
	users := awsiam.NewListUserPoliciesPaginator(k.Client, &awsiam.ListUserPoliciesInput{UserName: user, MaxItems: aws.Int32(2)})
	for users.HasMorePages() {
		p, err := users.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		of["user"] = append(of["user"], p.PolicyNames...)
	}
	roles := awsiam.NewListRolePoliciesPaginator(k.Client, &awsiam.ListRolePoliciesInput{RoleName: role, MaxItems: aws.Int32(2)})
	for roles.HasMorePages() {
		p, err := roles.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		of["role"] = append(of["role"], p.PolicyNames...)
	}
	for who, names := range of {
		if fmt.Sprint(names) != "[p0 p1 p2]" {
			t.Errorf("inline policies of the %s: %v", who, names)
		}
	}
	if len(of) != 2 {
		t.Errorf("listed: %v", of)
	}
}

// TestTagsOf tags, lists and untags what can have tags beside roles.
func TestTagsOf(t *testing.T) {
	k := newKit(t)
	name, arn := aws.String("thing"), aws.String(k.policy("thing", readBuckets))
	must(t)(k.CreateUser(ctx, &awsiam.CreateUserInput{UserName: name}))
	must(t)(k.CreateInstanceProfile(ctx, &awsiam.CreateInstanceProfileInput{InstanceProfileName: name, Path: aws.String("/ec2/")}))
	tags := []types.Tag{{Key: aws.String("team"), Value: aws.String("orders")}, {Key: aws.String("stage"), Value: aws.String("")}}
	gone := []string{"stage"}
	must(t)(k.TagUser(ctx, &awsiam.TagUserInput{UserName: name, Tags: tags}))
	must(t)(k.TagPolicy(ctx, &awsiam.TagPolicyInput{PolicyArn: arn, Tags: tags}))
	must(t)(k.TagInstanceProfile(ctx, &awsiam.TagInstanceProfileInput{InstanceProfileName: name, Tags: tags}))
	check := func(want int) {
		t.Helper()
		user, err := k.ListUserTags(ctx, &awsiam.ListUserTagsInput{UserName: name})
		if err != nil {
			t.Fatal(err)
		}
		policy, err := k.ListPolicyTags(ctx, &awsiam.ListPolicyTagsInput{PolicyArn: arn})
		if err != nil {
			t.Fatal(err)
		}
		profile, err := k.ListInstanceProfileTags(ctx, &awsiam.ListInstanceProfileTagsInput{InstanceProfileName: name})
		if err != nil {
			t.Fatal(err)
		}
		for of, tags := range map[string][]types.Tag{"user": user.Tags, "policy": policy.Tags, "instance profile": profile.Tags} {
			if len(tags) != want {
				t.Errorf("the %s has %d tags, want %d", of, len(tags), want)
			}
		}
	}
	check(2)
	must(t)(k.UntagUser(ctx, &awsiam.UntagUserInput{UserName: name, TagKeys: gone}))
	must(t)(k.UntagPolicy(ctx, &awsiam.UntagPolicyInput{PolicyArn: arn, TagKeys: gone}))
	must(t)(k.UntagInstanceProfile(ctx, &awsiam.UntagInstanceProfileInput{InstanceProfileName: name, TagKeys: gone}))
	check(1)
	list, err := k.ListInstanceProfiles(ctx, &awsiam.ListInstanceProfilesInput{PathPrefix: aws.String("/ec2/")})
	if err != nil || len(list.InstanceProfiles) != 1 || *list.InstanceProfiles[0].InstanceProfileName != "thing" {
		t.Errorf("instance profiles below /ec2/: %+v, %v", list, err)
	}
}
