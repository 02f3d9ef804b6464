package authz_test

import (
	"testing"

	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/session"
	"github.com/remit-ecs/remit/internal/store"
	"github.com/remit-ecs/remit/policy"
)

// only is what is attached to the only principal that there is.
type only struct{ identity authz.Identity }

func (o only) Identity(store.Reader, *session.Principal) authz.Identity { return o.identity }

func (only) Trust(store.Reader, string) (*policy.Attached, bool) { return nil, false }

func document(t *testing.T, kind policy.Kind, statement string) *policy.Attached {
	t.Helper()
	doc, err := policy.Parse(kind, []byte(`{"Version":"2012-10-17","Statement":`+statement+`}`))
	if err != nil {
		t.Fatal(err)
	}
	return &policy.Attached{Name: "test", Document: doc}
}

// TestGrants: a grant allows what the policies leave open, and nothing that one
// of them denies.
func TestGrants(t *testing.T) {
	const (
		key   = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
		allow = `{"Effect":"Allow","Action":"kms:Decrypt","Resource":"*"}`
		other = `{"Effect":"Allow","Action":"kms:Encrypt","Resource":"*"}`
		deny  = `{"Effect":"Deny","Action":"kms:Decrypt","Resource":"*"}`
	)
	resource := func(statement string) *policy.Attached { return document(t, policy.KindResource, statement) }
	identity := func(statement string) *policy.Attached { return document(t, policy.KindIdentity, statement) }
	to := func(principal string) string {
		return `{"Effect":"Allow","Principal":{"AWS":"` + principal + `"},"Action":"kms:Decrypt","Resource":"*"}`
	}
	role := authz.Grant{Resource: *resource(to("AROAEXAMPLE")), Identity: identity(allow)}
	account := authz.Grant{Resource: *resource(to("111122223333"))}
	for name, tt := range map[string]struct {
		identity authz.Identity
		policy   *policy.Attached
		grants   []authz.Grant
		account  string // of the caller, the key's where empty
		want     bool
	}{
		"no grant":                         {want: false},
		"a grant":                          {grants: []authz.Grant{role}, want: true},
		"for another":                      {grants: []authz.Grant{{Resource: *resource(to("AROAOTHER")), Identity: identity(other)}}, want: false},
		"the second":                       {grants: []authz.Grant{account, role}, want: true},
		"from another account":             {grants: []authz.Grant{role}, account: "444455556666", want: true},
		"to the account":                   {grants: []authz.Grant{account}, want: false},
		"to the account, with a policy":    {grants: []authz.Grant{account}, identity: authz.Identity{Policies: []policy.Attached{*identity(allow)}}, want: true},
		"denied by an identity policy":     {grants: []authz.Grant{role}, identity: authz.Identity{Policies: []policy.Attached{*identity(deny)}}, want: false},
		"denied by the key policy":         {grants: []authz.Grant{role}, policy: resource(`{"Effect":"Deny","Principal":"*","Action":"kms:Decrypt","Resource":"*"}`), want: false},
		"a key policy that cannot be read": {grants: []authz.Grant{role}, policy: &policy.Attached{}, want: false},
		"a boundary that lacks it":         {grants: []authz.Grant{role}, identity: authz.Identity{Boundary: identity(other)}, want: false},
		"a boundary that has it":           {grants: []authz.Grant{role}, identity: authz.Identity{Boundary: identity(allow)}, want: true},
		"a session policy that lacks it":   {grants: []authz.Grant{role}, identity: authz.Identity{HasSession: true}, want: false},
		"a caller that is gone":            {grants: []authz.Grant{role}, identity: authz.Identity{Gone: true}, want: false},
	} {
		who := &session.Principal{Type: session.AssumedRole, Account: "111122223333", UserID: "AROAEXAMPLE:s"}
		if tt.account != "" {
			who.Account = tt.account
		}
		who.RoleARN, who.ARN = "arn:aws:iam::"+who.Account+":role/r", "arn:aws:sts::"+who.Account+":assumed-role/r/s"
		a := &authz.Authorizer{Sources: only{tt.identity}, Resources: map[string]authz.ResourcePolicy{
			"kms": func(store.Reader, string) *policy.Attached { return tt.policy },
		}}
		v := a.Decide(nil, who, &authz.Facts{}, authz.Ask{Action: "kms:Decrypt", Resource: key, Account: "111122223333", Grants: tt.grants})
		if v.Allowed != tt.want {
			t.Errorf("%s: allowed %v: %s", name, v.Allowed, v.Message())
		}
	}
}
