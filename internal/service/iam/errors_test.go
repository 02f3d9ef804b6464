package iam_test

import (
	"strings"
	"testing"

	awsiam "github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/remit-ecs/remit/internal/testkit"
)

func TestErrors(t *testing.T) {
	k := newKit(t)
	name := func(s string) *string { return &s }
	trust := name(testkit.TrustService("ec2.amazonaws.com"))
	doc := name(testkit.Allow("*", "s3:GetObject"))
	k.role("App", *trust)
	k.policy("P", *doc)
	must(t)(k.CreateUser(ctx, &awsiam.CreateUserInput{UserName: name("bob")}))
	must(t)(k.CreateInstanceProfile(ctx, &awsiam.CreateInstanceProfileInput{InstanceProfileName: name("host")}))
	must(t)(k.AddRoleToInstanceProfile(ctx, &awsiam.AddRoleToInstanceProfileInput{InstanceProfileName: name("host"), RoleName: name("App")}))
	missing := prefix + "policy/missing"
	create := func(trust string) func() (any, error) {
		return func() (any, error) {
			return k.CreateRole(ctx, &awsiam.CreateRoleInput{RoleName: name("new"), AssumeRolePolicyDocument: &trust})
		}
	}
	for _, c := range []struct {
		want string
		call func() (any, error)
	}{
		{"NoSuchEntity: The role with name gone cannot be found.", func() (any, error) { return k.GetRole(ctx, &awsiam.GetRoleInput{RoleName: name("gone")}) }},
		{"NoSuchEntity: The role with name app cannot be found.", func() (any, error) { return k.GetRole(ctx, &awsiam.GetRoleInput{RoleName: name("app")}) }},
		{"EntityAlreadyExists: Role with name APP already exists.", func() (any, error) {
			return k.CreateRole(ctx, &awsiam.CreateRoleInput{RoleName: name("APP"), Path: name("/other/"), AssumeRolePolicyDocument: trust})
		}},
		{"ValidationError: ", func() (any, error) {
			return k.CreateRole(ctx, &awsiam.CreateRoleInput{RoleName: name("x"), Path: name("/aws-service-role/x/"), AssumeRolePolicyDocument: trust})
		}},
		{"ValidationError: 1 validation error detected: Value 'a/b' at 'roleName' failed to satisfy constraint", func() (any, error) {
			return k.CreateRole(ctx, &awsiam.CreateRoleInput{RoleName: name("a/b"), AssumeRolePolicyDocument: trust})
		}},
		{`MalformedPolicyDocument: Invalid principal in policy: "AWS":"` + prefix + `role/none"`, create(trustAWS(prefix + "role/none"))},
		{`MalformedPolicyDocument: Invalid principal in policy: "AWS":"` + prefix + `role/wrong/path/App"`, create(trustAWS(prefix + "role/wrong/path/App"))},
		{`MalformedPolicyDocument: Invalid principal in policy: "AWS":"AROAAAAAAAAAAAAAAAAAA"`, create(trustAWS("AROAAAAAAAAAAAAAAAAAA"))},
		{`MalformedPolicyDocument: Invalid principal in policy: "AWS":"` + prefix + `group/g"`, create(trustAWS(prefix + "group/g"))},
		{`MalformedPolicyDocument: Invalid principal in policy: "SERVICE":"ecs.example.com"`, create(testkit.TrustService("ecs.example.com"))},
		{"MalformedPolicyDocument: Has prohibited field Resource", create(testkit.Allow("*", "sts:AssumeRole"))},
		{"MalformedPolicyDocument: This policy contains invalid Json", create("{")},
		{"LimitExceeded: Cannot exceed quota for ACLSizePerRole: 2048", create(strings.Replace(*trust, "ec2", strings.Repeat("x", 2048), 1))},
		{"MalformedPolicyDocument: Syntax errors in policy.", func() (any, error) {
			return k.PutRolePolicy(ctx, &awsiam.PutRolePolicyInput{RoleName: name("App"), PolicyName: name("p"), PolicyDocument: name("{}x")})
		}},
		{"LimitExceeded: Maximum policy size of 10240 bytes exceeded for role App", func() (any, error) {
			return k.PutRolePolicy(ctx, &awsiam.PutRolePolicyInput{RoleName: name("App"), PolicyName: name("p"), PolicyDocument: name(testkit.Allow("arn:aws:s3:::"+strings.Repeat("x", 10240), "s3:GetObject"))})
		}},
		{"LimitExceeded: Maximum policy size of 2048 bytes exceeded for user bob", func() (any, error) {
			return k.PutUserPolicy(ctx, &awsiam.PutUserPolicyInput{UserName: name("bob"), PolicyName: name("p"), PolicyDocument: name(testkit.Allow("arn:aws:s3:::"+strings.Repeat("x", 2048), "s3:GetObject"))})
		}},
		{"NoSuchEntity: The role policy with name p cannot be found.", func() (any, error) {
			return k.GetRolePolicy(ctx, &awsiam.GetRolePolicyInput{RoleName: name("App"), PolicyName: name("p")})
		}},
		{"NoSuchEntity: The user policy with name p cannot be found.", func() (any, error) {
			return k.DeleteUserPolicy(ctx, &awsiam.DeleteUserPolicyInput{UserName: name("bob"), PolicyName: name("p")})
		}},
		{"NoSuchEntity: Policy " + missing + " does not exist or is not attachable.", func() (any, error) {
			return k.AttachRolePolicy(ctx, &awsiam.AttachRolePolicyInput{RoleName: name("App"), PolicyArn: &missing})
		}},
		{"NoSuchEntity: Policy " + missing + " was not found.", func() (any, error) {
			return k.DetachRolePolicy(ctx, &awsiam.DetachRolePolicyInput{RoleName: name("App"), PolicyArn: &missing})
		}},
		{"NoSuchEntity: Policy " + missing + " was not found.", func() (any, error) { return k.GetPolicy(ctx, &awsiam.GetPolicyInput{PolicyArn: &missing}) }},
		{"ValidationError: ARN arn:aws:s3:::a-bucket-of-mine is not valid.", func() (any, error) {
			return k.AttachRolePolicy(ctx, &awsiam.AttachRolePolicyInput{RoleName: name("App"), PolicyArn: name("arn:aws:s3:::a-bucket-of-mine")})
		}},
		{"NoSuchEntity: Scope ARN: " + missing + " does not exist or is not attachable.", func() (any, error) {
			return k.PutRolePermissionsBoundary(ctx, &awsiam.PutRolePermissionsBoundaryInput{RoleName: name("App"), PermissionsBoundary: &missing})
		}},
		{"PolicyNotAttachable: Cannot attach a Service Role Policy to a Customer Role.", func() (any, error) {
			return k.AttachRolePolicy(ctx, &awsiam.AttachRolePolicyInput{RoleName: name("App"), PolicyArn: name("arn:aws:iam::aws:policy/aws-service-role/AmazonECSServiceRolePolicy")})
		}},
		{"EntityAlreadyExists: A policy called p already exists. Duplicate names are not allowed.", func() (any, error) {
			return k.CreatePolicy(ctx, &awsiam.CreatePolicyInput{PolicyName: name("p"), PolicyDocument: doc})
		}},
		{"LimitExceeded: Cannot exceed quota for PolicySize: 6144", func() (any, error) {
			return k.CreatePolicy(ctx, &awsiam.CreatePolicyInput{PolicyName: name("big"), PolicyDocument: name(testkit.Allow("arn:aws:s3:::"+strings.Repeat("x", 6144), "s3:GetObject"))})
		}},
		{"NoSuchEntity: Policy " + prefix + "policy/P version v7 does not exist", func() (any, error) {
			return k.GetPolicyVersion(ctx, &awsiam.GetPolicyVersionInput{PolicyArn: name(prefix + "policy/P"), VersionId: name("v7")})
		}},
		{"DeleteConflict: Cannot delete the default version of a policy.", func() (any, error) {
			return k.DeletePolicyVersion(ctx, &awsiam.DeletePolicyVersionInput{PolicyArn: name(prefix + "policy/P"), VersionId: name("v1")})
		}},
		{"AccessDenied: ", func() (any, error) { // nobody changes what is AWS's, not even root
			return k.CreatePolicyVersion(ctx, &awsiam.CreatePolicyVersionInput{PolicyArn: name(awsRead), PolicyDocument: doc})
		}},
		{"AccessDenied: ", func() (any, error) {
			return k.GetPolicy(ctx, &awsiam.GetPolicyInput{PolicyArn: name("arn:aws:iam::444455556666:policy/P")})
		}},
		{"NoSuchEntity: The user with name eve cannot be found.", func() (any, error) {
			return k.CreateAccessKey(ctx, &awsiam.CreateAccessKeyInput{UserName: name("eve")})
		}},
		{"EntityAlreadyExists: User with name BOB already exists.", func() (any, error) { return k.CreateUser(ctx, &awsiam.CreateUserInput{UserName: name("BOB")}) }},
		{"ValidationError: Must specify userName when calling with non-User credentials", func() (any, error) { return k.ListAccessKeys(ctx, nil) }},
		{"InvalidInput: Duplicate tag keys found.", func() (any, error) {
			return k.TagUser(ctx, &awsiam.TagUserInput{UserName: name("bob"), Tags: []types.Tag{{Key: name("a"), Value: name("1")}, {Key: name("A"), Value: name("2")}}})
		}},
		{"NoSuchEntity: Instance Profile gone cannot be found.", func() (any, error) {
			return k.GetInstanceProfile(ctx, &awsiam.GetInstanceProfileInput{InstanceProfileName: name("gone")})
		}},
		{"EntityAlreadyExists: Instance Profile Host already exists.", func() (any, error) {
			return k.CreateInstanceProfile(ctx, &awsiam.CreateInstanceProfileInput{InstanceProfileName: name("Host")})
		}},
		{"LimitExceeded: Cannot exceed quota for InstanceSessionsPerInstanceProfile: 1", func() (any, error) {
			return k.AddRoleToInstanceProfile(ctx, &awsiam.AddRoleToInstanceProfileInput{InstanceProfileName: name("host"), RoleName: name("App")})
		}},
		{"DeleteConflict: Cannot delete entity, must remove roles from instance profile first.", func() (any, error) {
			return k.DeleteInstanceProfile(ctx, &awsiam.DeleteInstanceProfileInput{InstanceProfileName: name("host")})
		}},
		{"DeleteConflict: Cannot delete entity, must remove roles from instance profile first.", func() (any, error) { return k.DeleteRole(ctx, &awsiam.DeleteRoleInput{RoleName: name("App")}) }},
		{"ValidationError: Invalid Marker.", func() (any, error) { return k.ListRoles(ctx, &awsiam.ListRolesInput{Marker: name("nonsense")}) }},
		{"NotImplemented: ", func() (any, error) { return k.ListSAMLProviders(ctx, nil) }},
	} {
		t.Run(c.want, func(t *testing.T) {
			_, err := c.call()
			refused(t, err, c.want)
		})
	}
}
