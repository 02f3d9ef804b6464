package iam_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awsiam "github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	awssts "github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"github.com/remit-ecs/remit/internal/scenario"
	"github.com/remit-ecs/remit/internal/service/iam"
	"github.com/remit-ecs/remit/internal/service/sts"
	"github.com/remit-ecs/remit/internal/testkit"
)

var ctx = context.Background()

const (
	account = testkit.Account
	prefix  = "arn:aws:iam::" + account + ":"
	awsRead = "arn:aws:iam::aws:policy/ReadOnlyAccess"
)

// kit is a gateway whose principals are IAM's own.
type kit struct {
	*testkit.Kit
	*awsiam.Client // as root
	t              *testing.T
}

func newKit(t *testing.T) *kit {
	k := testkit.New(t, func(k *testkit.Kit) []testkit.Registrar {
		s := iam.New(iam.Deps{Seal: k.Seal})
		k.Authz.Sources, k.Gateway.Keys, k.Gateway.Used = s, s, s.Used
		return []testkit.Registrar{s, sts.New(k.Sealer, s)}
	})
	return &kit{k, awsiam.NewFromConfig(k.Root()), t}
}

// user makes a user with an access key and a policy.
func (k *kit) user(name string, policies ...string) (client *awsiam.Client, cfg aws.Config) {
	k.t.Helper()
	must(k.t)(k.CreateUser(ctx, &awsiam.CreateUserInput{UserName: &name}))
	for i, p := range policies {
		must(k.t)(k.PutUserPolicy(ctx, &awsiam.PutUserPolicyInput{UserName: &name, PolicyName: aws.String(fmt.Sprint("p", i)), PolicyDocument: &p}))
	}
	out, err := k.CreateAccessKey(ctx, &awsiam.CreateAccessKeyInput{UserName: &name})
	if err != nil {
		k.t.Fatal(err)
	}
	return k.as(*out.AccessKey.AccessKeyId, *out.AccessKey.SecretAccessKey, "")
}

func (k *kit) as(key, secret, token string) (*awsiam.Client, aws.Config) {
	cfg := k.Root()
	cfg.Credentials = credentials.NewStaticCredentialsProvider(key, secret, token)
	return awsiam.NewFromConfig(cfg), cfg
}

func (k *kit) role(name, trust string) string {
	k.t.Helper()
	out, err := k.CreateRole(ctx, &awsiam.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: &trust})
	if err != nil {
		k.t.Fatal(err)
	}
	return *out.Role.Arn
}

func (k *kit) policy(name, document string) string {
	k.t.Helper()
	out, err := k.CreatePolicy(ctx, &awsiam.CreatePolicyInput{PolicyName: &name, PolicyDocument: &document})
	if err != nil {
		k.t.Fatal(err)
	}
	return *out.Policy.Arn
}

func must(t *testing.T) func(out any, err error) {
	t.Helper()
	return func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
}

func refused(t *testing.T, err error, want string) {
	t.Helper()
	var e smithy.APIError
	if !errors.As(err, &e) {
		t.Errorf("got %v, want %s", err, want)
		return
	}
	if got := e.ErrorCode() + ": " + e.ErrorMessage(); !strings.Contains(got, want) {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func trustAWS(principals ...string) string {
	b, err := json.Marshal(principals)
	if err != nil {
		panic(err)
	}
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":` + string(b) + `},"Action":"sts:AssumeRole"}]}`
}

func decoded(t *testing.T, s *string) string {
	t.Helper()
	text, err := url.PathUnescape(aws.ToString(s))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestRole(t *testing.T) {
	k := newKit(t)
	given := "{ \"Version\":\"2012-10-17\",\n \"Statement\":{\"Effect\":\"Allow\",\"Principal\":{\"Service\":\"ecs-tasks.amazonaws.com\"},\"Action\":\"sts:AssumeRole\"}}"
	must(t)(k.CreateRole(ctx, &awsiam.CreateRoleInput{
		RoleName: aws.String("App"), Path: aws.String("/team/"), AssumeRolePolicyDocument: &given, Description: aws.String("an app"),
		MaxSessionDuration: aws.Int32(7200), PermissionsBoundary: aws.String(awsRead),
		Tags: []types.Tag{{Key: aws.String("Team"), Value: aws.String("orders")}},
	}))
	out, err := k.GetRole(ctx, &awsiam.GetRoleInput{RoleName: aws.String("App")})
	if err != nil {
		t.Fatal(err)
	}
	r := out.Role
	if *r.Arn != prefix+"role/team/App" || !strings.HasPrefix(*r.RoleId, "AROA") || len(*r.RoleId) != 21 || *r.MaxSessionDuration != 7200 ||
		*r.Description != "an app" || decoded(t, r.AssumeRolePolicyDocument) != given || *r.PermissionsBoundary.PermissionsBoundaryArn != awsRead || len(r.Tags) != 1 {
		t.Errorf("role %+v", r)
	}
	if doc := *r.AssumeRolePolicyDocument; strings.ContainsAny(doc, " +\n{") || !strings.HasPrefix(doc, "%7B%20%22Version") {
		t.Errorf("document is not encoded by RFC 3986: %s", doc)
	}
	list, err := k.ListRoles(ctx, &awsiam.ListRolesInput{PathPrefix: aws.String("/team/")})
	if err != nil || len(list.Roles) != 1 || list.Roles[0].Tags != nil || list.Roles[0].PermissionsBoundary != nil {
		t.Errorf("list %+v %v", list, err)
	}
	list, err = k.ListRoles(ctx, &awsiam.ListRolesInput{PathPrefix: aws.String("/other/")})
	if err != nil || len(list.Roles) != 0 {
		t.Errorf("list %+v %v", list, err)
	}
	must(t)(k.UpdateRoleDescription(ctx, &awsiam.UpdateRoleDescriptionInput{RoleName: aws.String("App"), Description: aws.String("another")}))
	must(t)(k.TagRole(ctx, &awsiam.TagRoleInput{RoleName: aws.String("App"), Tags: []types.Tag{{Key: aws.String("TEAM"), Value: aws.String("x")}, {Key: aws.String("a"), Value: aws.String("")}}}))
	must(t)(k.UntagRole(ctx, &awsiam.UntagRoleInput{RoleName: aws.String("App"), TagKeys: []string{"A", "missing"}}))
	tags, err := k.ListRoleTags(ctx, &awsiam.ListRoleTagsInput{RoleName: aws.String("App")})
	if err != nil || len(tags.Tags) != 1 || *tags.Tags[0].Key != "TEAM" || *tags.Tags[0].Value != "x" {
		t.Errorf("tags %+v %v", tags, err)
	}
}

func TestTrustIsBound(t *testing.T) {
	k := newKit(t)
	_, cfg := k.user("alice")
	other := k.role("other", testkit.TrustService("ec2.amazonaws.com"))
	role := k.role("app", trustAWS(prefix+"user/alice", other))
	assume := func(cfg aws.Config) error {
		_, err := awssts.NewFromConfig(cfg).AssumeRole(ctx, &awssts.AssumeRoleInput{RoleArn: &role, RoleSessionName: aws.String("test")})
		return err
	}
	shown := func() string {
		out, err := k.GetRole(ctx, &awsiam.GetRoleInput{RoleName: aws.String("app")})
		if err != nil {
			t.Fatal(err)
		}
		return decoded(t, out.Role.AssumeRolePolicyDocument)
	}
	if err := assume(cfg); err != nil { // named in the trust policy: no policy of her own is needed
		t.Fatal(err)
	}

	// Renamed she stays who she is, and so do her keys.
	must(t)(k.UpdateUser(ctx, &awsiam.UpdateUserInput{UserName: aws.String("alice"), NewUserName: aws.String("Alicia"), NewPath: aws.String("/staff/")}))
	if err := assume(cfg); err != nil {
		t.Error(err)
	}
	if want := trustAWS(prefix+"user/staff/Alicia", other); shown() != want {
		t.Errorf("shown %s, want %s", shown(), want)
	}

	// Deleted, she is shown by her id, and another alice is not trusted.
	got, err := k.GetUser(ctx, &awsiam.GetUserInput{UserName: aws.String("Alicia")})
	if err != nil {
		t.Fatal(err)
	}
	keys, err := k.ListAccessKeys(ctx, &awsiam.ListAccessKeysInput{UserName: aws.String("Alicia")})
	if err != nil {
		t.Fatal(err)
	}
	_, err = k.DeleteUser(ctx, &awsiam.DeleteUserInput{UserName: aws.String("Alicia")})
	refused(t, err, "DeleteConflict: Cannot delete entity, must delete access keys first.")
	must(t)(k.DeleteAccessKey(ctx, &awsiam.DeleteAccessKeyInput{UserName: aws.String("Alicia"), AccessKeyId: keys.AccessKeyMetadata[0].AccessKeyId}))
	must(t)(k.DeleteUser(ctx, &awsiam.DeleteUserInput{UserName: aws.String("Alicia")}))
	refused(t, assume(cfg), "InvalidClientTokenId: The security token included in the request is invalid.")
	if want := trustAWS(*got.User.UserId, other); shown() != want {
		t.Errorf("shown %s, want %s", shown(), want)
	}
	_, again := k.user("alice", testkit.Allow("*", "sts:AssumeRole"))
	refused(t, assume(again), "AccessDenied: User: "+prefix+"user/alice is not authorized to perform: sts:AssumeRole")

	// Saved again, the policy means the new alice; what it shows now cannot be saved.
	_, err = k.UpdateAssumeRolePolicy(ctx, &awsiam.UpdateAssumeRolePolicyInput{RoleName: aws.String("app"), PolicyDocument: aws.String(shown())})
	refused(t, err, `MalformedPolicyDocument: Invalid principal in policy: "AWS":"`+*got.User.UserId+`"`)
	must(t)(k.UpdateAssumeRolePolicy(ctx, &awsiam.UpdateAssumeRolePolicyInput{RoleName: aws.String("app"), PolicyDocument: aws.String(trustAWS(prefix + "user/alice"))}))
	if err := assume(again); err != nil {
		t.Error(err)
	}
}

// A trust policy that names a session means that of the role of then.
func TestSessionPrincipalIsBound(t *testing.T) {
	k := newKit(t)
	_, root := k.user("starter", testkit.Allow("*", "sts:AssumeRole"))
	first := k.role("first", trustAWS(prefix+"user/starter"))
	session := "arn:aws:sts::" + account + ":assumed-role/first/run"
	second := k.role("second", trustAWS(session))
	as := func(cfg aws.Config, role, name string) (aws.Config, error) {
		out, err := awssts.NewFromConfig(cfg).AssumeRole(ctx, &awssts.AssumeRoleInput{RoleArn: &role, RoleSessionName: &name})
		if err != nil {
			return aws.Config{}, err
		}
		_, next := k.as(*out.Credentials.AccessKeyId, *out.Credentials.SecretAccessKey, *out.Credentials.SessionToken)
		return next, nil
	}
	try := func(name string) error {
		cfg, err := as(root, first, name)
		if err != nil {
			t.Fatal(err)
		}
		_, err = as(cfg, second, "next")
		return err
	}
	if err := try("run"); err != nil {
		t.Error(err)
	}
	refused(t, try("other"), "AccessDenied: User: arn:aws:sts::"+account+":assumed-role/first/other is not authorized to perform: sts:AssumeRole")
	must(t)(k.DeleteRole(ctx, &awsiam.DeleteRoleInput{RoleName: aws.String("first")}))
	k.role("first", trustAWS(prefix+"user/starter"))
	refused(t, try("run"), "AccessDenied: User: "+session+" is not authorized to perform: sts:AssumeRole")
	_, err := k.CreateRole(ctx, &awsiam.CreateRoleInput{RoleName: aws.String("third"), AssumeRolePolicyDocument: aws.String(trustAWS("arn:aws:sts::" + account + ":assumed-role/none/run"))})
	refused(t, err, `MalformedPolicyDocument: Invalid principal in policy: "AWS":"arn:aws:sts::`+account+`:assumed-role/none/run"`)
}

func TestManagedPoliciesBind(t *testing.T) {
	k := newKit(t)
	client, _ := k.user("bob")
	list := func() error { _, err := client.ListUsers(ctx, nil); return err }
	arn := k.policy("list", testkit.Allow("*", "iam:ListUsers"))
	user := aws.String("bob")
	refused(t, list(), "AccessDenied: User: "+prefix+"user/bob is not authorized to perform: iam:ListUsers on resource: * because no identity-based policy allows the iam:ListUsers action")

	must(t)(k.AttachUserPolicy(ctx, &awsiam.AttachUserPolicyInput{UserName: user, PolicyArn: &arn}))
	must(t)(k.AttachUserPolicy(ctx, &awsiam.AttachUserPolicyInput{UserName: user, PolicyArn: &arn}))
	if err := list(); err != nil {
		t.Error(err)
	}
	// Another default version, and back.
	for i := 2; i <= 5; i++ {
		must(t)(k.CreatePolicyVersion(ctx, &awsiam.CreatePolicyVersionInput{PolicyArn: &arn, PolicyDocument: aws.String(testkit.Allow("*", "iam:GetUser")), SetAsDefault: i == 3}))
	}
	refused(t, list(), "AccessDenied")
	_, err := k.CreatePolicyVersion(ctx, &awsiam.CreatePolicyVersionInput{PolicyArn: &arn, PolicyDocument: aws.String(testkit.Allow("*", "*"))})
	refused(t, err, "LimitExceeded: A managed policy can have up to 5 versions. Before you create a new version, you must delete an existing version.")
	must(t)(k.SetDefaultPolicyVersion(ctx, &awsiam.SetDefaultPolicyVersionInput{PolicyArn: &arn, VersionId: aws.String("v1")}))
	if err := list(); err != nil {
		t.Error(err)
	}
	must(t)(k.DeletePolicyVersion(ctx, &awsiam.DeletePolicyVersionInput{PolicyArn: &arn, VersionId: aws.String("v5")}))
	out, err := k.CreatePolicyVersion(ctx, &awsiam.CreatePolicyVersionInput{PolicyArn: &arn, PolicyDocument: aws.String(testkit.Allow("*", "iam:GetUser"))})
	if err != nil || *out.PolicyVersion.VersionId != "v6" {
		t.Errorf("numbers are used again: %v %v", out, err)
	}
	versions, err := k.ListPolicyVersions(ctx, &awsiam.ListPolicyVersionsInput{PolicyArn: &arn})
	if err != nil || len(versions.Versions) != 5 || *versions.Versions[0].VersionId != "v6" || !versions.Versions[4].IsDefaultVersion {
		t.Errorf("versions %+v %v", versions, err)
	}

	// A boundary bounds; AWS managed policies do as boundary and attached.
	must(t)(k.PutUserPermissionsBoundary(ctx, &awsiam.PutUserPermissionsBoundaryInput{UserName: user, PermissionsBoundary: aws.String("arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess")}))
	refused(t, list(), "because no permissions boundary allows the iam:ListUsers action")
	must(t)(k.DeleteUserPermissionsBoundary(ctx, &awsiam.DeleteUserPermissionsBoundaryInput{UserName: user}))
	if err := list(); err != nil {
		t.Error(err)
	}
	got, err := k.GetPolicy(ctx, &awsiam.GetPolicyInput{PolicyArn: &arn})
	if err != nil || *got.Policy.AttachmentCount != 1 || *got.Policy.DefaultVersionId != "v1" {
		t.Errorf("policy %+v %v", got, err)
	}
	entities, err := k.ListEntitiesForPolicy(ctx, &awsiam.ListEntitiesForPolicyInput{PolicyArn: &arn})
	if err != nil || len(entities.PolicyUsers) != 1 || len(entities.PolicyRoles) != 0 {
		t.Errorf("entities %+v %v", entities, err)
	}
	_, err = k.DeletePolicy(ctx, &awsiam.DeletePolicyInput{PolicyArn: &arn})
	refused(t, err, "DeleteConflict: Cannot delete a policy attached to entities.")
	must(t)(k.DetachUserPolicy(ctx, &awsiam.DetachUserPolicyInput{UserName: user, PolicyArn: &arn}))
	refused(t, list(), "AccessDenied")
	_, err = k.DeletePolicy(ctx, &awsiam.DeletePolicyInput{PolicyArn: &arn})
	refused(t, err, "DeleteConflict: This policy has more than one version.")
	for _, v := range []string{"v2", "v3", "v4", "v6"} {
		must(t)(k.DeletePolicyVersion(ctx, &awsiam.DeletePolicyVersionInput{PolicyArn: &arn, VersionId: &v}))
	}
	must(t)(k.DeletePolicy(ctx, &awsiam.DeletePolicyInput{PolicyArn: &arn}))

	must(t)(k.AttachUserPolicy(ctx, &awsiam.AttachUserPolicyInput{UserName: user, PolicyArn: aws.String(awsRead)}))
	if err := list(); err != nil {
		t.Error(err)
	}
}

func TestAccessKeys(t *testing.T) {
	k := newKit(t)
	client, cfg := k.user("bob", testkit.Allow("*", "iam:*AccessKey*", "iam:GetUser"))
	own, err := client.CreateAccessKey(ctx, nil) // her own
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.CreateAccessKey(ctx, nil)
	refused(t, err, "LimitExceeded: Cannot exceed quota for AccessKeysPerUser: 2")
	second, _ := k.as(*own.AccessKey.AccessKeyId, *own.AccessKey.SecretAccessKey, "")
	if out, err := second.GetUser(ctx, nil); err != nil || *out.User.UserName != "bob" {
		t.Errorf("%v %v", out, err)
	}
	_, err = second.ListAccessKeys(ctx, &awsiam.ListAccessKeysInput{UserName: aws.String("nobody")})
	refused(t, err, "NoSuchEntity: The user with name nobody cannot be found.")
	last, err := client.GetAccessKeyLastUsed(ctx, &awsiam.GetAccessKeyLastUsedInput{AccessKeyId: own.AccessKey.AccessKeyId})
	if err != nil || *last.UserName != "bob" || *last.AccessKeyLastUsed.ServiceName != "iam" {
		t.Errorf("%+v %v", last, err)
	}
	wrong, _ := k.as(*own.AccessKey.AccessKeyId, *own.AccessKey.SecretAccessKey+"x", "")
	_, err = wrong.GetUser(ctx, nil)
	refused(t, err, "SignatureDoesNotMatch")

	must(t)(client.UpdateAccessKey(ctx, &awsiam.UpdateAccessKeyInput{AccessKeyId: own.AccessKey.AccessKeyId, Status: types.StatusTypeInactive}))
	_, err = second.GetUser(ctx, nil)
	refused(t, err, "InvalidClientTokenId")
	must(t)(client.UpdateAccessKey(ctx, &awsiam.UpdateAccessKeyInput{AccessKeyId: own.AccessKey.AccessKeyId, Status: types.StatusTypeActive}))
	must(t)(second.GetUser(ctx, nil))
	must(t)(client.DeleteAccessKey(ctx, &awsiam.DeleteAccessKeyInput{AccessKeyId: own.AccessKey.AccessKeyId}))
	_, err = second.GetUser(ctx, nil)
	refused(t, err, "InvalidClientTokenId")

	// Another user's key is not found under this name.
	k.user("eve")
	keys, err := k.ListAccessKeys(ctx, &awsiam.ListAccessKeysInput{UserName: aws.String("eve")})
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.DeleteAccessKey(ctx, &awsiam.DeleteAccessKeyInput{AccessKeyId: keys.AccessKeyMetadata[0].AccessKeyId})
	refused(t, err, "NoSuchEntity: The Access Key with id")
	creds, err := cfg.Credentials.Retrieve(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range k.Trail() {
		b, err := r.Encode()
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{creds.SecretAccessKey, *own.AccessKey.SecretAccessKey} {
			if strings.Contains(string(b), secret) {
				t.Errorf("the trail holds a secret: %s", b)
			}
		}
	}
}

func TestConditionKeys(t *testing.T) {
	k := newKit(t)
	allow := func(action, condition string) string {
		return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":` + action + `,"Resource":"*","Condition":` + condition + `}]}`
	}
	trust := testkit.TrustService("ec2.amazonaws.com")
	k.role("app", trust)
	must(t)(k.TagRole(ctx, &awsiam.TagRoleInput{RoleName: aws.String("app"), Tags: []types.Tag{{Key: aws.String("Team"), Value: aws.String("orders")}}}))
	k.role("other", trust)
	must(t)(k.CreateInstanceProfile(ctx, &awsiam.CreateInstanceProfileInput{InstanceProfileName: aws.String("host")}))

	// Only these policies, only with this boundary, only one's own team, ...
	delegated, _ := k.user("delegated",
		allow(`["iam:AttachRolePolicy","iam:DetachRolePolicy"]`, `{"ArnEquals":{"iam:PolicyARN":"arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"}}`),
		allow(`["iam:CreateRole","iam:PutRolePermissionsBoundary"]`, `{"StringEquals":{"iam:PermissionsBoundary":"`+awsRead+`"}}`),
		allow(`"iam:GetRole"`, `{"StringEquals":{"iam:ResourceTag/Team":"orders"}}`),
		allow(`"iam:TagRole"`, `{"ForAllValues:StringEquals":{"aws:TagKeys":["Team"]},"StringEquals":{"aws:RequestTag/Team":"orders"}}`),
		allow(`"iam:PassRole"`, `{"StringEquals":{"iam:PassedToService":"ec2.amazonaws.com"}}`),
		testkit.Allow("*", "iam:AddRoleToInstanceProfile"),
	)
	tags := func(kv ...string) (out []types.Tag) {
		for i := 0; i < len(kv); i += 2 {
			out = append(out, types.Tag{Key: &kv[i], Value: &kv[i+1]})
		}
		return out
	}
	for i, c := range []struct {
		allowed bool
		call    func() (any, error)
	}{
		{true, func() (any, error) {
			return delegated.AttachRolePolicy(ctx, &awsiam.AttachRolePolicyInput{RoleName: aws.String("app"), PolicyArn: aws.String("arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess")})
		}},
		{false, func() (any, error) {
			return delegated.AttachRolePolicy(ctx, &awsiam.AttachRolePolicyInput{RoleName: aws.String("app"), PolicyArn: aws.String("arn:aws:iam::aws:policy/AdministratorAccess")})
		}},
		{false, func() (any, error) {
			return delegated.CreateRole(ctx, &awsiam.CreateRoleInput{RoleName: aws.String("unbounded"), AssumeRolePolicyDocument: &trust})
		}},
		{true, func() (any, error) {
			return delegated.CreateRole(ctx, &awsiam.CreateRoleInput{RoleName: aws.String("bounded"), AssumeRolePolicyDocument: &trust, PermissionsBoundary: aws.String(awsRead)})
		}},
		{true, func() (any, error) {
			return delegated.CreateRole(ctx, &awsiam.CreateRoleInput{RoleName: aws.String("tagged"), AssumeRolePolicyDocument: &trust, PermissionsBoundary: aws.String(awsRead), Tags: tags("Team", "orders")})
		}},
		{false, func() (any, error) {
			return delegated.CreateRole(ctx, &awsiam.CreateRoleInput{RoleName: aws.String("mistagged"), AssumeRolePolicyDocument: &trust, PermissionsBoundary: aws.String(awsRead), Tags: tags("Team", "billing")})
		}},
		{false, func() (any, error) {
			return delegated.PutRolePermissionsBoundary(ctx, &awsiam.PutRolePermissionsBoundaryInput{RoleName: aws.String("bounded"), PermissionsBoundary: aws.String("arn:aws:iam::aws:policy/AdministratorAccess")})
		}},
		{true, func() (any, error) { return delegated.GetRole(ctx, &awsiam.GetRoleInput{RoleName: aws.String("app")}) }},
		{false, func() (any, error) {
			return delegated.GetRole(ctx, &awsiam.GetRoleInput{RoleName: aws.String("other")})
		}},
		{true, func() (any, error) {
			return delegated.TagRole(ctx, &awsiam.TagRoleInput{RoleName: aws.String("other"), Tags: tags("Team", "orders")})
		}},
		{false, func() (any, error) {
			return delegated.TagRole(ctx, &awsiam.TagRoleInput{RoleName: aws.String("other"), Tags: tags("Team", "orders", "Cost", "1")})
		}},
		{true, func() (any, error) {
			return delegated.AddRoleToInstanceProfile(ctx, &awsiam.AddRoleToInstanceProfileInput{RoleName: aws.String("app"), InstanceProfileName: aws.String("host")})
		}},
	} {
		_, err := c.call()
		switch {
		case c.allowed && err != nil:
			t.Errorf("%d: %v", i, err)
		case !c.allowed:
			refused(t, err, "AccessDenied: User: "+prefix+"user/delegated is not authorized to perform: iam:")
		}
	}
	poor, _ := k.user("poor", testkit.Allow("*", "iam:AddRoleToInstanceProfile"))
	_, err := poor.AddRoleToInstanceProfile(ctx, &awsiam.AddRoleToInstanceProfileInput{RoleName: aws.String("app"), InstanceProfileName: aws.String("host")})
	refused(t, err, "is not authorized to perform: iam:PassRole on resource: "+prefix+"role/app because no identity-based policy allows the iam:PassRole action")
}

func TestInstanceProfile(t *testing.T) {
	k := newKit(t)
	k.role("app", testkit.TrustService("ec2.amazonaws.com"))
	in := &awsiam.AddRoleToInstanceProfileInput{InstanceProfileName: aws.String("host"), RoleName: aws.String("app")}
	must(t)(k.CreateInstanceProfile(ctx, &awsiam.CreateInstanceProfileInput{InstanceProfileName: in.InstanceProfileName, Path: aws.String("/p/")}))
	must(t)(k.AddRoleToInstanceProfile(ctx, in))
	got, err := k.GetInstanceProfile(ctx, &awsiam.GetInstanceProfileInput{InstanceProfileName: in.InstanceProfileName})
	if err != nil || len(got.InstanceProfile.Roles) != 1 || *got.InstanceProfile.Arn != prefix+"instance-profile/p/host" || !strings.HasPrefix(*got.InstanceProfile.InstanceProfileId, "AIPA") {
		t.Errorf("%+v %v", got, err)
	}
	list, err := k.ListInstanceProfilesForRole(ctx, &awsiam.ListInstanceProfilesForRoleInput{RoleName: in.RoleName})
	if err != nil || len(list.InstanceProfiles) != 1 {
		t.Errorf("%+v %v", list, err)
	}
	must(t)(k.RemoveRoleFromInstanceProfile(ctx, &awsiam.RemoveRoleFromInstanceProfileInput{InstanceProfileName: in.InstanceProfileName, RoleName: in.RoleName}))
	must(t)(k.DeleteRole(ctx, &awsiam.DeleteRoleInput{RoleName: in.RoleName}))
	must(t)(k.DeleteInstanceProfile(ctx, &awsiam.DeleteInstanceProfileInput{InstanceProfileName: in.InstanceProfileName}))
}

func TestPages(t *testing.T) {
	k := newKit(t)
	var want []string
	for i := range 7 {
		name := fmt.Sprintf("role-%d", i)
		k.role(name, testkit.TrustService("ec2.amazonaws.com"))
		want = append(want, name)
	}
	var got []string
	p := awsiam.NewListRolesPaginator(k.Client, &awsiam.ListRolesInput{MaxItems: aws.Int32(3)})
	for p.HasMorePages() {
		out, err := p.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if len(out.Roles) > 3 || out.IsTruncated != (out.Marker != nil) {
			t.Errorf("page %+v", out)
		}
		for _, r := range out.Roles {
			got = append(got, *r.RoleName)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}

	all := map[string]bool{}
	pp := awsiam.NewListPoliciesPaginator(k.Client, &awsiam.ListPoliciesInput{MaxItems: aws.Int32(20)})
	for pp.HasMorePages() {
		out, err := pp.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range out.Policies {
			all[*p.Arn] = true
		}
	}
	if len(all) != 71 || !all["arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"] {
		t.Errorf("%d AWS managed policies", len(all))
	}
	k.policy("mine", testkit.Allow("*", "s3:GetObject"))
	out, err := k.ListPolicies(ctx, &awsiam.ListPoliciesInput{Scope: types.PolicyScopeTypeLocal})
	if err != nil || len(out.Policies) != 1 {
		t.Errorf("%+v %v", out, err)
	}
	out, err = k.ListPolicies(ctx, &awsiam.ListPoliciesInput{OnlyAttached: true})
	if err != nil || len(out.Policies) != 0 {
		t.Errorf("%+v %v", out, err)
	}
}

// What an account exports, the scenario loader reads.
func TestAuthorizationDetails(t *testing.T) {
	k := newKit(t)
	k.user("bob", testkit.Allow("*", "s3:GetObject"))
	role := k.role("app", trustAWS(prefix+"user/bob"))
	arn := k.policy("mine", testkit.Allow("*", "sqs:*"))
	must(t)(k.AttachRolePolicy(ctx, &awsiam.AttachRolePolicyInput{RoleName: aws.String("app"), PolicyArn: &arn}))
	must(t)(k.AttachRolePolicy(ctx, &awsiam.AttachRolePolicyInput{RoleName: aws.String("app"), PolicyArn: aws.String(awsRead)}))
	must(t)(k.PutRolePermissionsBoundary(ctx, &awsiam.PutRolePermissionsBoundaryInput{RoleName: aws.String("app"), PermissionsBoundary: &arn}))
	must(t)(k.CreateInstanceProfile(ctx, &awsiam.CreateInstanceProfileInput{InstanceProfileName: aws.String("host")}))
	must(t)(k.AddRoleToInstanceProfile(ctx, &awsiam.AddRoleToInstanceProfileInput{InstanceProfileName: aws.String("host"), RoleName: aws.String("app")}))

	export := map[string][]any{}
	p := awsiam.NewGetAccountAuthorizationDetailsPaginator(k.Client, &awsiam.GetAccountAuthorizationDetailsInput{MaxItems: aws.Int32(1)})
	for p.HasMorePages() {
		out, err := p.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range out.UserDetailList {
			export["UserDetailList"] = append(export["UserDetailList"], x)
		}
		for _, x := range out.RoleDetailList {
			export["RoleDetailList"] = append(export["RoleDetailList"], x)
		}
		for _, x := range out.Policies {
			export["Policies"] = append(export["Policies"], x)
		}
	}
	text, err := json.Marshal(export)
	if err != nil {
		t.Fatal(err)
	}
	var a scenario.Authorization
	dec := json.NewDecoder(strings.NewReader(string(text)))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&a); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	if len(a.Users) != 1 || len(a.Roles) != 1 || len(a.Policies) != 2 {
		t.Fatalf("%d users, %d roles, %d policies", len(a.Users), len(a.Roles), len(a.Policies))
	}
	r, pol := a.Roles[0], a.Policies[0]
	if r.Arn != role || string(r.AssumeRolePolicyDocument) != trustAWS(prefix+"user/bob") || len(r.AttachedManagedPolicies) != 2 || r.PermissionsBoundary.PermissionsBoundaryArn != arn ||
		len(r.InstanceProfileList) != 1 || pol.Arn != arn || pol.AttachmentCount != 1 || pol.PermissionsBoundaryUsageCount != 1 || len(pol.PolicyVersionList) != 1 ||
		string(a.Users[0].UserPolicyList[0].PolicyDocument) != testkit.Allow("*", "s3:GetObject") {
		t.Errorf("%s", text)
	}
	filtered, err := k.GetAccountAuthorizationDetails(ctx, &awsiam.GetAccountAuthorizationDetailsInput{Filter: []types.EntityType{types.EntityTypeAWSManagedPolicy}})
	if err != nil || len(filtered.Policies) != 1 || len(filtered.RoleDetailList) != 0 {
		t.Errorf("%+v %v", filtered, err)
	}
	sum, err := k.GetAccountSummary(ctx, nil)
	if err != nil || sum.SummaryMap["Roles"] != 1 || sum.SummaryMap["Policies"] != 1 {
		t.Errorf("%+v %v", sum, err)
	}
}

// TestRequestedRegion: IAM has one endpoint, so that its requests ask for
// us-east-1 whatever region the client is configured for.
func TestRequestedRegion(t *testing.T) {
	k := newKit(t)
	for region, allowed := range map[string]bool{"us-east-1": true, "eu-west-1": false} {
		_, cfg := k.user("in-"+region, fmt.Sprintf(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"iam:ListRoles","Resource":"*","Condition":{"StringEquals":{"aws:RequestedRegion":%q}}}}`, region))
		for _, signed := range []string{"us-east-1", "eu-west-1"} {
			cfg.Region = signed
			_, err := awsiam.NewFromConfig(cfg).ListRoles(ctx, &awsiam.ListRolesInput{})
			if (err == nil) != allowed {
				t.Errorf("a policy for %s, a client in %s: %v", region, signed, err)
			}
		}
	}
}
