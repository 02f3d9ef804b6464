package scenario_test

import (
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/remit-ecs/remit/internal/scenario"
	"github.com/remit-ecs/remit/internal/testkit/whole"
)

// same reports whether two texts are the same JSON.
func same(t *testing.T, a, b string) bool {
	t.Helper()
	var x, y any
	if err := json.Unmarshal([]byte(a), &x); err != nil {
		t.Fatalf("%s: %v", a, err)
	}
	if err := json.Unmarshal([]byte(b), &y); err != nil {
		t.Fatalf("%s: %v", b, err)
	}
	return reflect.DeepEqual(x, y)
}

func plain(t *testing.T, document *string) string {
	t.Helper()
	text, err := url.PathUnescape(aws.ToString(document))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func details(t *testing.T, c *iam.Client) *iam.GetAccountAuthorizationDetailsOutput {
	t.Helper()
	all := &iam.GetAccountAuthorizationDetailsOutput{}
	pages := iam.NewGetAccountAuthorizationDetailsPaginator(c, &iam.GetAccountAuthorizationDetailsInput{})
	for pages.HasMorePages() {
		p, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		all.RoleDetailList = append(all.RoleDetailList, p.RoleDetailList...)
		all.UserDetailList = append(all.UserDetailList, p.UserDetailList...)
		all.GroupDetailList = append(all.GroupDetailList, p.GroupDetailList...)
		all.Policies = append(all.Policies, p.Policies...)
	}
	return all
}

const (
	account = "arn:aws:iam::111122223333:"
	sso     = account + "role/aws-reserved/sso.amazonaws.com/eu-west-1/AWSReservedSSO_AdministratorAccess_3f1c0d9a77b2e645"
)

// leftOut is what of the account's export cannot be loaded, with why.
var leftOut = []string{
	"not loaded: " + account + "role/aws-service-role/support.amazonaws.com/AWSServiceRoleForSupport (InvalidInput: Cannot find Service Linked Role template for support.amazonaws.com)",
	"not loaded: " + sso + " (AWS owns it; no task can be given it)",
	"not loaded: " + account + "role/service-role/lambda-thumbnails (its policy arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole is not loaded: this AWS managed policy is not served yet)",
	"not loaded: tag aws:cloudformation:stack-name of " + account + "role/tasks/ordersTask (it belongs to AWS; no policy asks about it)",
	"not loaded: principal " + sso + " in the trust policy of " + account + "role/audit-reader (nobody here can be it)",
	"not loaded: principal AIDATDNXQ5ZJ4DELETEDX in the trust policy of " + account + "role/break-glass (nobody here can be it)",
	"not loaded: principal AROATDNXQ5ZJ4DELETEDC in the trust policy of " + account + "role/old-ci (nobody here can be it)",
}

// changedTrust are the trust policies that lost who cannot exist here.
var changedTrust = map[string]string{
	"audit-reader": `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":["` + account + `role/break-glass"]},"Action":"sts:AssumeRole"}]}`,
	"break-glass": `{"Version":"2012-10-17","Statement":[
		{"Sid":"Admins","Effect":"Allow","Principal":{"AWS":["` + account + `user/people/alice","` + account + `role/audit-reader"]},"Action":"sts:AssumeRole","Condition":{"Bool":{"aws:MultiFactorAuthPresent":"true"}}},
		{"Effect":"Deny","NotPrincipal":{"AWS":["` + account + `root","` + account + `user/people/alice","` + account + `role/audit-reader"]},"Action":"sts:AssumeRole"}]}`,
	"old-ci": `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"sts:AssumeRole"}]}`,
}

// TestAccount loads the export of an account as real ones are, and compares
// what the control plane then has with what the export says.
func TestAccount(t *testing.T) {
	s, err := scenario.Load("testdata/account")
	if err != nil {
		t.Fatal(err)
	}
	if s.Account != whole.Account || s.Region != whole.Region {
		t.Fatalf("account %s, region %s", s.Account, s.Region)
	}
	sys := whole.Start(t, nil)
	caller, notes, err := s.Apply(t.Context(), sys.Root())
	if err != nil {
		t.Fatal(err)
	}
	var others []string
	for _, n := range notes {
		switch {
		case strings.HasPrefix(n, "other version: arn:aws:iam::aws:policy/SecurityAudit is v"):
		case !slices.Contains(leftOut, n):
			others = append(others, n)
		}
	}
	for _, n := range leftOut {
		if !slices.Contains(notes, n) {
			t.Errorf("not said: %s", n)
		}
	}
	for _, n := range others {
		t.Errorf("said: %s", n)
	}

	have := details(t, iam.NewFromConfig(sys.Root()))
	compareRoles(t, s, have, notes)
	comparePolicies(t, s, have)
	if len(have.UserDetailList) != 2 || *have.UserDetailList[1].UserName != "deployer" || len(have.UserDetailList[1].UserPolicyList) != 2 ||
		*have.UserDetailList[1].PermissionsBoundary.PermissionsBoundaryArn != account+"policy/boundaries/workload" ||
		*have.UserDetailList[0].UserName != "alice" || !slices.Equal(have.UserDetailList[0].GroupList, []string{"admins"}) {
		t.Errorf("users: %+v", have.UserDetailList)
	}
	if g := have.GroupDetailList; len(g) != 2 || *g[0].GroupName != "admins" || len(g[0].AttachedManagedPolicies) != 1 ||
		*g[0].AttachedManagedPolicies[0].PolicyArn != "arn:aws:iam::aws:policy/AdministratorAccess" || *g[1].GroupName != "everybody" {
		t.Errorf("groups: %+v", g)
	}

	// The caller may do just what its policies and its boundary allow.
	who, err := sts.NewFromConfig(caller).GetCallerIdentity(t.Context(), nil)
	if err != nil || *who.Arn != account+"user/deployer" {
		t.Errorf("the caller is %v, %v", who, err)
	}
	if _, err := ecs.NewFromConfig(caller).RegisterTaskDefinition(t.Context(), s.TaskDefinition); err != nil {
		t.Errorf("register what describe-task-definition printed: %v", err)
	}
	if _, err := ecs.NewFromConfig(caller).ListClusters(t.Context(), nil); err == nil {
		t.Error("the caller may list clusters")
	}
}

func compareRoles(t *testing.T, s *scenario.Scenario, have *iam.GetAccountAuthorizationDetailsOutput, notes []string) {
	compared := 0
	for _, want := range s.Roles.Roles {
		i := slices.IndexFunc(have.RoleDetailList, func(r iamtypes.RoleDetail) bool { return *r.Arn == want.Arn })
		skipped := slices.ContainsFunc(notes, func(n string) bool { return strings.HasPrefix(n, "not loaded: "+want.Arn+" ") })
		if i < 0 != skipped {
			t.Errorf("%s: loaded %t, said to be left out %t", want.Arn, i >= 0, skipped)
		}
		if i < 0 {
			continue
		}
		compared++
		got := have.RoleDetailList[i]
		trust := string(want.AssumeRolePolicyDocument)
		if c := changedTrust[want.RoleName]; c != "" {
			trust = c
		}
		if p := plain(t, got.AssumeRolePolicyDocument); !same(t, p, trust) {
			t.Errorf("%s is trusted by\n%s\nwant\n%s", want.RoleName, p, trust)
		}
		if len(got.RolePolicyList) != len(want.RolePolicyList) || len(got.AttachedManagedPolicies) != len(want.AttachedManagedPolicies) || len(got.InstanceProfileList) != len(want.InstanceProfileList) {
			t.Errorf("%s: %+v", want.RoleName, got)
			continue
		}
		for _, w := range want.RolePolicyList {
			j := slices.IndexFunc(got.RolePolicyList, func(p iamtypes.PolicyDetail) bool { return *p.PolicyName == w.PolicyName })
			if j < 0 || !same(t, plain(t, got.RolePolicyList[j].PolicyDocument), string(w.PolicyDocument)) {
				t.Errorf("%s: inline policy %s", want.RoleName, w.PolicyName)
			}
		}
		for _, w := range want.AttachedManagedPolicies {
			if !slices.ContainsFunc(got.AttachedManagedPolicies, func(p iamtypes.AttachedPolicy) bool { return *p.PolicyArn == w.PolicyArn }) {
				t.Errorf("%s: %s is not attached", want.RoleName, w.PolicyArn)
			}
		}
		if (got.PermissionsBoundary == nil) != (want.PermissionsBoundary == nil) ||
			got.PermissionsBoundary != nil && *got.PermissionsBoundary.PermissionsBoundaryArn != want.PermissionsBoundary.PermissionsBoundaryArn {
			t.Errorf("%s: boundary %+v", want.RoleName, got.PermissionsBoundary)
		}
	}
	if compared != 12 {
		t.Errorf("%d roles are loaded", compared)
	}
}

func comparePolicies(t *testing.T, s *scenario.Scenario, have *iam.GetAccountAuthorizationDetailsOutput) {
	for _, want := range s.Roles.Policies {
		if strings.HasPrefix(want.Arn, "arn:aws:iam::aws:") {
			continue
		}
		i := slices.IndexFunc(have.Policies, func(p iamtypes.ManagedPolicyDetail) bool { return *p.Arn == want.Arn })
		if i < 0 {
			t.Errorf("%s is not there", want.Arn)
			continue
		}
		got := have.Policies[i]
		for _, v := range want.PolicyVersionList {
			j := slices.IndexFunc(got.PolicyVersionList, func(h iamtypes.PolicyVersion) bool { return *h.VersionId == v.VersionId })
			if j < 0 || got.PolicyVersionList[j].IsDefaultVersion != v.IsDefaultVersion || !same(t, plain(t, got.PolicyVersionList[j].Document), string(v.Document)) {
				t.Errorf("%s %s: %+v", want.Arn, v.VersionId, got.PolicyVersionList)
			}
		}
		if len(got.PolicyVersionList) != len(want.PolicyVersionList) {
			t.Errorf("%s has %d versions, want %d", want.Arn, len(got.PolicyVersionList), len(want.PolicyVersionList))
		}
		if want.Description != aws.ToString(got.Description) {
			t.Errorf("%s: description %q", want.Arn, aws.ToString(got.Description))
		}
	}
}

// TestNeeded takes what the task needs out of what can be loaded: each time the
// load stops, and names it.
func TestNeeded(t *testing.T) {
	text, err := os.ReadFile("testdata/account/roles.json")
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct{ from, to, want string }{
		"an AWS managed policy that is not served": {"policy/AWSXRayDaemonWriteAccess", "policy/AWSXRayNothing",
			"role/tasks/ordersTask cannot be loaded: its policy arn:aws:iam::aws:policy/AWSXRayNothing is not loaded: this AWS managed policy is not served yet"},
		"a policy that is not exported": {`"PolicyArn": "` + account + `policy/teams/orders/orders-data"`, `"PolicyArn": "` + account + `policy/lost"`,
			"role/tasks/ordersTask cannot be loaded: its policy " + account + "policy/lost is not in roles.json"},
		"a boundary without default version": {`"DefaultVersionId": "v1",
            "AttachmentCount": 0,
            "PermissionsBoundaryUsageCount": 3`, `"DefaultVersionId": "v2",
            "AttachmentCount": 0,
            "PermissionsBoundaryUsageCount": 3`,
			"user/deployer cannot be loaded: its policy " + account + "policy/boundaries/workload is not loaded: its default version is not there"},
		"a document that is none": {`"sqs:SendMessage"`, `"SendMessage"`, "role/tasks/ordersTask cannot be loaded: MalformedPolicyDocument: "},
		"a caller in a group that is not exported": {`"GroupList": [
                "everybody"`, `"GroupList": [
                "nobody"`, "user/deployer cannot be loaded: its group nobody is not in roles.json"},
		"a caller in a group that cannot be loaded": {`"GroupName": "everybody",
            "GroupId": "AGPATDNXQ5ZJ4QQQQQQ2Q",
            "Arn": "` + account + `group/everybody",
            "CreateDate": "2025-11-04T08:31:19+00:00",
            "GroupPolicyList": []`, `"GroupName": "everybody",
            "GroupId": "AGPATDNXQ5ZJ4QQQQQQ2Q",
            "Arn": "` + account + `group/everybody",
            "CreateDate": "2025-11-04T08:31:19+00:00",
            "GroupPolicyList": [{"PolicyName":"p","PolicyDocument":{"Version":"2012-10-17"}}]`,
			"user/deployer cannot be loaded: its group everybody is not loaded: MalformedPolicyDocument: "},
		"a tag of AWS that a policy asks about": {"aws:PrincipalTag/team}", "aws:PrincipalTag/aws:cloudformation:stack-name}",
			"role/tasks/ordersTask cannot be loaded: its tag aws:cloudformation:stack-name belongs to AWS, and a policy asks about it"},
		"an execution role of AWS": {`"Path": "/",
            "RoleName": "ecsTaskExecutionRole"`, `"Path": "/aws-reserved/",
            "RoleName": "ecsTaskExecutionRole"`, "the ARN does not fit"},
	} {
		t.Run(name, func(t *testing.T) {
			if !strings.Contains(string(text), tc.from) {
				t.Fatalf("the export has no %s", tc.from)
			}
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "roles.json"), []byte(strings.Replace(string(text), tc.from, tc.to, 1)), 0o644); err != nil {
				t.Fatal(err)
			}
			abs, err := filepath.Abs("testdata/account")
			if err != nil {
				t.Fatal(err)
			}
			rel, err := filepath.Rel(dir, abs)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, "scenario.json"), []byte(`{"extends":"`+rel+`"}`), 0o644); err != nil {
				t.Fatal(err)
			}
			s, err := scenario.Load(dir)
			if err == nil {
				_, _, err = s.Apply(t.Context(), whole.Start(t, nil).Root())
			}
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got  %v\nwant %s", err, tc.want)
			}
		})
	}
}
