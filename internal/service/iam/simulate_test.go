package iam_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsiam "github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/remit-ecs/remit/internal/service/iam"
	"github.com/remit-ecs/remit/internal/testkit"
)

const (
	getA = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::shelf/a"}]}`
	del  = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:DeleteObject","Resource":"*"}]}`
	own  = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::home/${aws:username}/*",
		"Condition":{"StringEquals":{"aws:RequestedRegion":"eu-west-1"}}}]}`
	noDelete = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Deny","Action":"s3:Delete*","Resource":"*"}]}`
)

// said is the decision about each action, with the policies that determined it.
func said(results []types.EvaluationResult) string {
	var out []string
	for _, r := range results {
		text := aws.ToString(r.EvalActionName) + " " + string(r.EvalDecision)
		for _, m := range r.MatchedStatements {
			text += " " + aws.ToString(m.SourcePolicyId)
		}
		out = append(out, text)
	}
	return strings.Join(out, "; ")
}

func TestSimulateCustomPolicy(t *testing.T) {
	k := newKit(t)
	out, err := k.SimulateCustomPolicy(ctx, &awsiam.SimulateCustomPolicyInput{
		PolicyInputList: []string{getA, del}, PermissionsBoundaryPolicyInputList: []string{noDelete},
		ActionNames: []string{"s3:GetObject", "s3:PutObject", "s3:DeleteObject"}, ResourceArns: []string{"arn:aws:s3:::shelf/a", "arn:aws:s3:::shelf/b"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := said(out.EvaluationResults), "s3:GetObject implicitDeny PolicyInputList.1; s3:PutObject implicitDeny; s3:DeleteObject explicitDeny PermissionsBoundaryPolicyInputList.1"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	get, deny := out.EvaluationResults[0], out.EvaluationResults[2]
	if a, b := get.ResourceSpecificResults[0], get.ResourceSpecificResults[1]; a.EvalResourceDecision != "allowed" || b.EvalResourceDecision != "implicitDeny" ||
		*a.EvalResourceName != "arn:aws:s3:::shelf/a" || len(a.MatchedStatements) != 1 || !a.PermissionsBoundaryDecisionDetail.AllowedByPermissionsBoundary {
		t.Errorf("%+v\n%+v", a, b)
	}
	if m := deny.MatchedStatements[0]; m.SourcePolicyType != "Permissions Boundary Policy" || m.StartPosition.Line != 1 ||
		m.StartPosition.Column != int32(strings.Index(noDelete, `,{"Effect":"Deny"`)+1) || m.EndPosition.Column != int32(len(noDelete)-1) {
		t.Errorf("%+v %+v", m.StartPosition, m.EndPosition)
	}
	if deny.PermissionsBoundaryDecisionDetail.AllowedByPermissionsBoundary || deny.OrganizationsDecisionDetail != nil {
		t.Errorf("%+v", deny)
	}
}

// TestSimulationPages goes through the actions one by one.
func TestSimulationPages(t *testing.T) {
	k := newKit(t)
	pages := awsiam.NewSimulateCustomPolicyPaginator(k.Client, &awsiam.SimulateCustomPolicyInput{
		PolicyInputList: []string{del}, ActionNames: []string{"s3:GetObject", "s3:DeleteObject", "s3:PutObject"}, MaxItems: aws.Int32(1),
	})
	var got []string
	for pages.HasMorePages() {
		out, err := pages.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if len(out.EvaluationResults) != 1 || out.IsTruncated != (out.Marker != nil) {
			t.Errorf("%d results, truncated %v", len(out.EvaluationResults), out.IsTruncated)
		}
		got = append(got, said(out.EvaluationResults))
	}
	if want := "s3:GetObject implicitDeny|s3:DeleteObject allowed PolicyInputList.1|s3:PutObject implicitDeny"; strings.Join(got, "|") != want {
		t.Errorf("got  %q\nwant %s", got, want)
	}
	_, err := k.SimulateCustomPolicy(ctx, &awsiam.SimulateCustomPolicyInput{PolicyInputList: []string{del}, ActionNames: []string{"s3:GetObject"}, Marker: aws.String("elsewhere")})
	refused(t, err, "InvalidInput: Invalid marker for pagination.")
	_, err = k.SimulateCustomPolicy(ctx, &awsiam.SimulateCustomPolicyInput{PolicyInputList: []string{del}, ActionNames: []string{"s3:GetObject"}, MaxItems: aws.Int32(1001)})
	refused(t, err, "at 'maxItems' failed to satisfy constraint: Member must have value less than or equal to 1000")
}

func TestSimulatePrincipalPolicy(t *testing.T) {
	k := newKit(t)
	k.user("alice", getA, own)
	managed := k.policy("deleting", del)
	must(t)(k.AttachUserPolicy(ctx, &awsiam.AttachUserPolicyInput{UserName: aws.String("alice"), PolicyArn: &managed}))
	simulate := func(in *awsiam.SimulatePrincipalPolicyInput) string {
		t.Helper()
		out, err := k.SimulatePrincipalPolicy(ctx, in)
		if err != nil {
			t.Fatal(err)
		}
		return said(out.EvaluationResults)
	}
	alice := aws.String(prefix + "user/alice")
	actions := []string{"s3:GetObject", "s3:DeleteObject"}
	in := &awsiam.SimulatePrincipalPolicyInput{PolicySourceArn: alice, ActionNames: actions, ResourceArns: []string{"arn:aws:s3:::shelf/a"}}
	if got, want := simulate(in), "s3:GetObject allowed user_alice_p0; s3:DeleteObject allowed deleting"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}

	// What a policy says of ${aws:username} is said of alice, in the region that is supplied.
	home := &awsiam.SimulatePrincipalPolicyInput{PolicySourceArn: alice, ActionNames: actions[:1], ResourceArns: []string{"arn:aws:s3:::home/alice/x"},
		ContextEntries: []types.ContextEntry{{ContextKeyName: aws.String("aws:RequestedRegion"), ContextKeyType: types.ContextKeyTypeEnumString, ContextKeyValues: []string{"eu-west-1"}}}}
	if got, want := simulate(home), "s3:GetObject allowed user_alice_p1"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	home.ContextEntries = nil
	out, err := k.SimulatePrincipalPolicy(ctx, home)
	if err != nil {
		t.Fatal(err)
	}
	if got := out.EvaluationResults[0].MissingContextValues; out.EvaluationResults[0].EvalDecision != "implicitDeny" || !slices.Equal(got, []string{"aws:username", "aws:RequestedRegion"}) {
		t.Errorf("%s, missing %q", out.EvaluationResults[0].EvalDecision, got)
	}

	// Her boundary counts, unless another takes its place; a change counts at once.
	bound := k.policy("bound", noDelete)
	must(t)(k.PutUserPermissionsBoundary(ctx, &awsiam.PutUserPermissionsBoundaryInput{UserName: aws.String("alice"), PermissionsBoundary: &bound}))
	if got, want := simulate(in), "s3:GetObject allowed user_alice_p0; s3:DeleteObject explicitDeny bound"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	in.PermissionsBoundaryPolicyInputList = []string{del}
	if got, want := simulate(in), "s3:GetObject implicitDeny; s3:DeleteObject allowed deleting"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}

	// With a policy beside her own; the path in her ARN does not matter.
	in = &awsiam.SimulatePrincipalPolicyInput{PolicySourceArn: aws.String(prefix + "user/elsewhere/alice"), ActionNames: []string{"ecs:ListClusters"}, PolicyInputList: []string{noDelete}}
	if got, want := simulate(in), "ecs:ListClusters allowed PolicyInputList.1"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestSimulateGroups(t *testing.T) {
	k := newKit(t)
	k.user("alice", getA)
	staff, readers := aws.String("staff"), aws.String("readers")
	shared := k.policy("deleting", del)
	for _, g := range []*string{staff, readers} {
		must(t)(k.CreateGroup(ctx, &awsiam.CreateGroupInput{GroupName: g, Path: aws.String("/g/")}))
		must(t)(k.AddUserToGroup(ctx, &awsiam.AddUserToGroupInput{GroupName: g, UserName: aws.String("alice")}))
		must(t)(k.AttachGroupPolicy(ctx, &awsiam.AttachGroupPolicyInput{GroupName: g, PolicyArn: &shared}))
	}
	must(t)(k.PutGroupPolicy(ctx, &awsiam.PutGroupPolicyInput{GroupName: staff, PolicyName: aws.String("list"), PolicyDocument: aws.String(
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:ListBucket","Resource":"*","Condition":{"StringEquals":{"s3:prefix":"public/"}}}]}`)}))
	actions := []string{"s3:GetObject", "s3:ListBucket", "s3:DeleteObject"}
	prefixed := []types.ContextEntry{{ContextKeyName: aws.String("s3:prefix"), ContextKeyType: types.ContextKeyTypeEnumString, ContextKeyValues: []string{"public/"}}}
	for _, tc := range []struct{ source, want string }{
		{prefix + "user/alice", "s3:GetObject allowed user_alice_p0; s3:ListBucket allowed group_staff_list; s3:DeleteObject allowed deleting"},
		{prefix + "group/g/staff", "s3:GetObject implicitDeny; s3:ListBucket allowed group_staff_list; s3:DeleteObject allowed deleting"},
		{prefix + "group/g/readers", "s3:GetObject implicitDeny; s3:ListBucket implicitDeny; s3:DeleteObject allowed deleting"},
	} {
		out, err := k.SimulatePrincipalPolicy(ctx, &awsiam.SimulatePrincipalPolicyInput{PolicySourceArn: &tc.source, ActionNames: actions, ResourceArns: []string{"arn:aws:s3:::shelf/a"}, ContextEntries: prefixed})
		if err != nil {
			t.Fatal(err)
		}
		if got := said(out.EvaluationResults); got != tc.want {
			t.Errorf("%s\ngot  %s\nwant %s", tc.source, got, tc.want)
		}
	}
	keys, err := k.GetContextKeysForPrincipalPolicy(ctx, &awsiam.GetContextKeysForPrincipalPolicyInput{PolicySourceArn: aws.String(prefix + "user/alice")})
	if err != nil || !slices.Equal(keys.ContextKeyNames, []string{"s3:prefix"}) {
		t.Errorf("%v %v", keys, err)
	}
	_, err = k.SimulatePrincipalPolicy(ctx, &awsiam.SimulatePrincipalPolicyInput{PolicySourceArn: aws.String(prefix + "group/nobody"), ActionNames: actions})
	refused(t, err, "NoSuchEntity: Unable to retrieve specified IAM entity.")
}

// TestSimulateOrganization simulates in an account that is bound by service
// control policies, and in the management account, which is not.
func TestSimulateOrganization(t *testing.T) {
	file := `{"organization": {"id": "` + testkit.OrganizationID + `", "managementAccount": "` + testkit.Management + `", "root": {
		"id": "r-test", "accounts": [{"id": "` + testkit.Management + `"}, {"id": "` + account + `"}],
		"serviceControlPolicies": ["FullAWSAccess", {"name": "NoDelete", "id": "p-nodelete", "document":
			{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"s3:DeleteObject","Resource":"*"}}}]}}}`
	kit := testkit.New(t, func(k *testkit.Kit) []testkit.Registrar {
		s := iam.New(iam.Deps{Seal: k.Seal, Organizations: k.Authz.Organizations})
		k.Authz.Sources, k.Gateway.Keys = s, s
		return []testkit.Registrar{s}
	}, testkit.WithAccounts(file))
	for _, tc := range []struct {
		account, want string
		allowed       []bool // by the organization, none without
	}{
		{account, "s3:DeleteObject explicitDeny; s3:GetObject implicitDeny", []bool{false, true}},
		{testkit.Management, "s3:DeleteObject allowed user_alice_p; s3:GetObject implicitDeny", nil},
	} {
		root := awsiam.NewFromConfig(kit.RootOf(tc.account))
		must(t)(root.CreateUser(ctx, &awsiam.CreateUserInput{UserName: aws.String("alice")}))
		must(t)(root.PutUserPolicy(ctx, &awsiam.PutUserPolicyInput{UserName: aws.String("alice"), PolicyName: aws.String("p"), PolicyDocument: aws.String(del)}))
		out, err := root.SimulatePrincipalPolicy(ctx, &awsiam.SimulatePrincipalPolicyInput{PolicySourceArn: aws.String("arn:aws:iam::" + tc.account + ":user/alice"), ActionNames: []string{"s3:DeleteObject", "s3:GetObject"}})
		if err != nil {
			t.Fatal(err)
		}
		if got := said(out.EvaluationResults); got != tc.want {
			t.Errorf("%s: got %s, want %s", tc.account, got, tc.want)
		}
		var allowed []bool
		for _, r := range out.EvaluationResults {
			if r.OrganizationsDecisionDetail != nil {
				allowed = append(allowed, r.OrganizationsDecisionDetail.AllowedByOrganizations)
			}
		}
		if !slices.Equal(allowed, tc.allowed) {
			t.Errorf("%s: allowed by the organization: %v, want %v", tc.account, allowed, tc.allowed)
		}
	}
}

// TestSimulateTrust is the extension: a role's trust policy, asked as whoever
// would assume the role.
func TestSimulateTrust(t *testing.T) {
	k := newKit(t)
	app := k.role("app", trustAWS(account))
	trust := `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Principal":{"Service":"ecs-tasks.amazonaws.com"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"aws:SourceAccount":"` + account + `"}}},
		{"Effect":"Allow","Principal":{"AWS":"` + app + `"},"Action":"sts:AssumeRole"}]}`
	target := []string{prefix + "role/task"}
	for _, tc := range []struct{ caller, sourceAccount, want string }{
		{"ecs-tasks.amazonaws.com", account, "sts:AssumeRole allowed ResourcePolicy"},
		{"ecs-tasks.amazonaws.com", "444455556666", "sts:AssumeRole implicitDeny"},
		{"ec2.amazonaws.com", account, "sts:AssumeRole implicitDeny"},
		{app, "", "sts:AssumeRole allowed ResourcePolicy"},
		{"arn:aws:sts::" + account + ":assumed-role/app/session", "", "sts:AssumeRole allowed ResourcePolicy"},
		{"arn:aws:sts::" + account + ":assumed-role/other/session", "", "sts:AssumeRole implicitDeny"},
	} {
		in := &awsiam.SimulateCustomPolicyInput{PolicyInputList: []string{getA}, ActionNames: []string{"sts:AssumeRole"}, ResourceArns: target, CallerArn: &tc.caller, ResourcePolicy: &trust}
		if tc.sourceAccount != "" {
			in.ContextEntries = []types.ContextEntry{{ContextKeyName: aws.String("aws:SourceAccount"), ContextKeyType: types.ContextKeyTypeEnumString, ContextKeyValues: []string{tc.sourceAccount}}}
		}
		out, err := k.SimulateCustomPolicy(ctx, in)
		if err != nil {
			t.Errorf("%s: %v", tc.caller, err)
		} else if got := said(out.EvaluationResults); got != tc.want {
			t.Errorf("%s: got %s, want %s", tc.caller, got, tc.want)
		}
	}
	// SimulatePrincipalPolicy asks as a session of the role itself.
	out, err := k.SimulatePrincipalPolicy(ctx, &awsiam.SimulatePrincipalPolicyInput{PolicySourceArn: &app, ActionNames: []string{"sts:AssumeRole"}, ResourceArns: target, ResourcePolicy: &trust})
	if err != nil || said(out.EvaluationResults) != "sts:AssumeRole allowed ResourcePolicy" {
		t.Errorf("%v %v", out, err)
	}
}

func TestSimulationRefusals(t *testing.T) {
	k := newKit(t)
	k.user("alice", getA)
	custom := func(change func(in *awsiam.SimulateCustomPolicyInput)) error {
		in := &awsiam.SimulateCustomPolicyInput{PolicyInputList: []string{getA}, ActionNames: []string{"s3:GetObject"}}
		change(in)
		_, err := k.SimulateCustomPolicy(ctx, in)
		return err
	}
	refused(t, custom(func(in *awsiam.SimulateCustomPolicyInput) { in.PolicyInputList = []string{getA, "{"} }), "InvalidInput: Policy input list item 2 has invalid content")
	refused(t, custom(func(in *awsiam.SimulateCustomPolicyInput) { in.ResourceOwner = aws.String("123456789012") }), "InvalidInput: '123456789012' is not a valid as a Resource Owner.")
	source := func(arn string) error {
		_, err := k.SimulatePrincipalPolicy(ctx, &awsiam.SimulatePrincipalPolicyInput{PolicySourceArn: &arn, ActionNames: []string{"s3:GetObject"}})
		_, keysErr := k.GetContextKeysForPrincipalPolicy(ctx, &awsiam.GetContextKeysForPrincipalPolicyInput{PolicySourceArn: &arn})
		if (err == nil) != (keysErr == nil) {
			t.Errorf("%s: %v, but %v", arn, err, keysErr)
		}
		return err
	}
	refused(t, source(prefix+"user/bob"), "NoSuchEntity: Unable to retrieve specified IAM entity.")
	refused(t, source(prefix+"root"), "InvalidInput: Invalid ARN provided in the request: "+prefix+"root")
	refused(t, source("not-an-arn-but-long-enough"), "InvalidInput: Invalid ARN provided in the request: not-an-arn-but-long-enough")
	refused(t, source("arn:aws:sts::"+account+":assumed-role/app/session"), "InvalidInput: Invalid ARN provided in the request: arn:aws:sts::"+account+":assumed-role/app/session")
	refused(t, source("arn:aws:iam::999999999999:user/alice"), "InvalidInput: Invalid Policy Source Arn: caller's account "+account+" does not have access to policies in account 999999999999.")

	// Looking at others is a permission of its own, which the path in the ARN does not widen.
	bob, _ := k.user("bob", `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":"iam:SimulatePrincipalPolicy","Resource":"*"},
		{"Effect":"Deny","Action":"iam:SimulatePrincipalPolicy","Resource":"`+prefix+`user/alice"}]}`)
	for _, arn := range []string{prefix + "user/alice", prefix + "user/elsewhere/alice"} {
		_, err := bob.SimulatePrincipalPolicy(ctx, &awsiam.SimulatePrincipalPolicyInput{PolicySourceArn: &arn, ActionNames: []string{"s3:GetObject"}})
		refused(t, err, "AccessDenied: User: "+prefix+"user/bob is not authorized to perform: iam:SimulatePrincipalPolicy on resource: "+prefix+"user/alice with an explicit deny")
	}
}

func TestContextKeys(t *testing.T) {
	k := newKit(t)
	custom, err := k.GetContextKeysForCustomPolicy(ctx, &awsiam.GetContextKeysForCustomPolicyInput{PolicyInputList: []string{
		`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"dynamodb:*","Resource":"arn:aws:dynamodb:us-west-2:123456789012:table/${aws:username}","Condition":{"DateGreaterThan":{"aws:CurrentTime":"2015-08-16T12:00:00Z"}}}}`,
		`{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"Null":{"AWS:UserName":"true","aws:PrincipalTag/Cost Center":"true"}}}}`,
	}})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"aws:username", "aws:CurrentTime", "aws:PrincipalTag/Cost Center"}; !slices.Equal(custom.ContextKeyNames, want) {
		t.Errorf("got %q, want %q", custom.ContextKeyNames, want)
	}
	_, err = k.GetContextKeysForCustomPolicy(ctx, &awsiam.GetContextKeysForCustomPolicyInput{PolicyInputList: []string{`{"Version":"2012-10-17","Statement":{"Effect":"Perhaps"}}`}})
	refused(t, err, "InvalidInput: Policy input list item 1 has invalid content")

	app := k.role("app", trustAWS(account))
	must(t)(k.PutRolePolicy(ctx, &awsiam.PutRolePolicyInput{RoleName: aws.String("app"), PolicyName: aws.String("inline"), PolicyDocument: aws.String(own)}))
	managed := k.policy("tagged", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"ecs:*","Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/team":"${aws:PrincipalTag/team}"}}}]}`)
	bound := k.policy("bound", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":"true"}}}]}`)
	must(t)(k.AttachRolePolicy(ctx, &awsiam.AttachRolePolicyInput{RoleName: aws.String("app"), PolicyArn: &managed}))
	must(t)(k.PutRolePermissionsBoundary(ctx, &awsiam.PutRolePermissionsBoundaryInput{RoleName: aws.String("app"), PermissionsBoundary: &bound}))
	out, err := k.GetContextKeysForPrincipalPolicy(ctx, &awsiam.GetContextKeysForPrincipalPolicyInput{PolicySourceArn: &app, PolicyInputList: []string{
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"IpAddress":{"aws:SourceIp":"192.0.2.0/24"}}}]}`}})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"aws:SourceIp", "aws:username", "aws:RequestedRegion", "aws:ResourceTag/team", "aws:PrincipalTag/team", "aws:SecureTransport"}; !slices.Equal(out.ContextKeyNames, want) {
		t.Errorf("got %q, want %q", out.ContextKeyNames, want)
	}
}
