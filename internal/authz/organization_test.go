package authz_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/organization"
	"github.com/remit-ecs/remit/internal/session"
	"github.com/remit-ecs/remit/internal/store"
	"github.com/remit-ecs/remit/policy"
)

// everything lets identities do everything, and has every role trust whoever
// asks, so that the control policies alone decide.
type everything struct{}

func (everything) Identity(store.Reader, *session.Principal) authz.Identity {
	d, _ := policy.Parse(policy.KindIdentity, []byte(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`))
	return authz.Identity{Policies: []policy.Attached{{Document: d}}}
}

func (everything) Trust(store.Reader, string) (*policy.Attached, bool) {
	d, _ := policy.Parse(policy.KindTrust, []byte(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"*","Service":"ecs-tasks.amazonaws.com"},"Action":"sts:AssumeRole"}}`))
	return &policy.Attached{Document: d}, true
}

const (
	member, manager, outsider = "111122223333", "100000000001", "777788889999"
)

func authorizer(t *testing.T, scp, rcp string) *authz.Authorizer {
	t.Helper()
	d, err := organization.Parse([]byte(`{"organization":{"id":"o-testtest01","managementAccount":"`+manager+`","root":{"id":"r-test",
		"serviceControlPolicies":["FullAWSAccess",{"name":"scp","document":{"Version":"2012-10-17","Statement":`+scp+`}}],
		"resourceControlPolicies":[{"name":"rcp","document":{"Version":"2012-10-17","Statement":`+rcp+`}}],
		"accounts":[{"id":"`+manager+`"}],
		"organizationalUnits":[{"name":"unit","id":"ou-test-11111111","accounts":[{"id":"`+member+`"}]}]}},"accounts":[{"id":"`+outsider+`"}]}`), fstest.MapFS{})
	if err != nil {
		t.Fatal(err)
	}
	return &authz.Authorizer{Sources: everything{}, Organizations: d}
}

func principalIn(account, path string) *session.Principal {
	return &session.Principal{Type: session.AssumedRole, Account: account, ARN: "arn:aws:sts::" + account + ":assumed-role/r/s", UserID: "AROAR:s",
		RoleARN: "arn:aws:iam::" + account + ":role" + path + "r", RoleName: "r", RoleID: "AROAR", SessionName: "s"}
}

// TestWhomControlPoliciesBind: SCPs go by the account of the principal, RCPs by
// that of the resource.
func TestWhomControlPoliciesBind(t *testing.T) {
	a := authorizer(t, `{"Effect":"Deny","Action":"ecs:*","Resource":"*"}`, `{"Effect":"Deny","Principal":"*","Action":["s3:*","ecs:*","kms:*","sts:*"],"Resource":"*"}`)
	tasks := authz.Service("ecs-tasks.amazonaws.com")
	for _, c := range []struct {
		what    string
		who     *session.Principal
		action  string
		account string // of the resource
		allowed bool
	}{
		{"SCP", principalIn(member, "/"), "ecs:ListClusters", member, false},
		{"no SCP in the management account", principalIn(manager, "/"), "ecs:ListClusters", manager, true},
		{"no SCP outside", principalIn(outsider, "/"), "ecs:ListClusters", outsider, true},
		{"no SCP of a service-linked role", principalIn(member, "/aws-service-role/ecs.amazonaws.com/"), "ecs:ListClusters", member, true},
		{"RCP", principalIn(member, "/"), "s3:ListBucket", member, false},
		{"RCP does not go with the principal", principalIn(manager, "/"), "s3:ListBucket", manager, true},
		{"RCP binds who comes from elsewhere", principalIn(manager, "/"), "sts:AssumeRole", member, false},
		{"no RCP of a service-linked role", principalIn(member, "/aws-service-role/ecs.amazonaws.com/"), "s3:ListBucket", member, true},
		{"RCP binds services, too", tasks, "sts:AssumeRole", member, false},
		{"but not in the management account", tasks, "sts:AssumeRole", manager, true},
		{"nor outside", tasks, "sts:AssumeRole", outsider, true},
		{"KMS", principalIn(member, "/"), "kms:CreateKey", member, false},
		{"a grant can always be retired", principalIn(member, "/"), "kms:RetireGrant", member, true},
		{"root", &session.Principal{Type: session.Root, Account: member, ARN: "arn:aws:iam::" + member + ":root", UserID: member}, "ecs:ListClusters", member, false},
	} {
		resource := "*"
		if strings.HasPrefix(c.action, "sts:") {
			resource = "arn:aws:iam::" + c.account + ":role/r"
		}
		v := a.Decide(nil, c.who, &authz.Facts{}, authz.Ask{Action: c.action, Resource: resource, Account: c.account})
		if v.Allowed != c.allowed {
			t.Errorf("%s: %+v", c.what, v.Decision)
		}
	}
	// Of services without RCPs nothing is asked: ecs:* in the RCP is idle.
	free := authorizer(t, `{"Effect":"Deny","Action":"s3:*","Resource":"*"}`, `{"Effect":"Deny","Principal":"*","Action":"ecs:*","Resource":"*"}`)
	if v := free.Decide(nil, principalIn(member, "/"), &authz.Facts{}, authz.Ask{Action: "ecs:ListClusters", Resource: "*"}); !v.Allowed {
		t.Errorf("%+v", v.Decision)
	}
}

// TestOrganizationKeys: each key has the values of its account, and outside an
// organization there is none.
func TestOrganizationKeys(t *testing.T) {
	const path = "o-testtest01/r-test/ou-test-11111111/"
	for _, c := range []struct {
		key, value string
		who        *session.Principal
		resource   string // account
		source     string // account that a service acts for
		there      bool
	}{
		{"aws:PrincipalOrgID", "o-testtest01", principalIn(member, "/"), member, "", true},
		{"aws:PrincipalOrgID", "*", principalIn(outsider, "/"), member, "", false},
		{"aws:PrincipalOrgID", "*", authz.Service("ecs-tasks.amazonaws.com"), member, member, false},
		{"aws:PrincipalOrgPaths", path, principalIn(member, "/"), member, "", true},
		{"aws:PrincipalOrgPaths", "o-testtest01/r-test/", principalIn(manager, "/"), member, "", true},
		{"aws:ResourceOrgID", "o-testtest01", principalIn(outsider, "/"), member, "", true},
		{"aws:ResourceOrgPaths", path, principalIn(outsider, "/"), member, "", true},
		{"aws:SourceOrgID", "o-testtest01", authz.Service("ecs-tasks.amazonaws.com"), member, member, true},
		{"aws:SourceOrgPaths", path, authz.Service("ecs-tasks.amazonaws.com"), member, member, true},
		{"aws:SourceOrgID", "*", authz.Service("ecs-tasks.amazonaws.com"), member, outsider, false},
		{"aws:SourceOrgID", "*", principalIn(member, "/"), member, member, false},
	} {
		operator := "StringLike"
		if strings.HasSuffix(c.key, "Paths") {
			operator = "ForAnyValue:StringLike"
		}
		a := authorizer(t, `{"Effect":"Deny","Action":"ssm:*","Resource":"*"}`,
			`{"Effect":"Deny","Principal":"*","Action":"sts:*","Resource":"*","Condition":{"`+operator+`":{"`+c.key+`":"`+c.value+`"}}}`)
		v := a.Decide(nil, c.who, &authz.Facts{SourceAcct: c.source}, authz.Ask{Action: "sts:AssumeRole", Resource: "arn:aws:iam::" + c.resource + ":role/r"})
		if v.Allowed == c.there {
			t.Errorf("%s = %s of %s: %+v", c.key, c.value, c.who.ARN, v.Decision)
		}
	}
	// The question itself may say what the service acts for.
	a := authorizer(t, `{"Effect":"Deny","Action":"ssm:*","Resource":"*"}`, `{"Effect":"Deny","Principal":"*","Action":"sts:*","Resource":"*","Condition":{"StringLike":{"aws:SourceOrgID":"*"}}}`)
	for account, allowed := range map[string]bool{member: false, outsider: true} {
		v := a.Decide(nil, authz.Service("ecs-tasks.amazonaws.com"), &authz.Facts{}, authz.Ask{Action: "sts:AssumeRole", Resource: "arn:aws:iam::" + member + ":role/r", Keys: map[string][]string{"aws:SourceAccount": {account}}})
		if v.Allowed != allowed {
			t.Errorf("source account %s: %+v", account, v.Decision)
		}
	}
	// aws:ResourceOrgID is absent for what belongs to an account outside.
	a = authorizer(t, `{"Effect":"Deny","Action":"s3:*","Resource":"*","Condition":{"StringLike":{"aws:ResourceOrgID":"*"}}}`, `{"Effect":"Deny","Principal":"*","Action":"sqs:*","Resource":"*"}`)
	for account, want := range map[string]policy.Effect{member: policy.ExplicitDeny, outsider: policy.ImplicitDeny} {
		v := a.Decide(nil, principalIn(member, "/"), &authz.Facts{}, authz.Ask{Action: "s3:ListBucket", Resource: "arn:aws:s3:::b", Account: account})
		if v.Decision.Effect != want {
			t.Errorf("resource of %s: %+v", account, v.Decision)
		}
	}
}
