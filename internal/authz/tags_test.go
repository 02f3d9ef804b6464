package authz_test

import (
	"testing"
	"time"

	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/session"
	"github.com/remit-ecs/remit/internal/store"
	"github.com/remit-ecs/remit/policy"
)

// one is a role with a policy and tags.
type one struct {
	policy string
	tags   map[string]string
}

func (o one) Identity(store.Reader, *session.Principal) authz.Identity {
	doc, err := policy.Parse(policy.KindIdentity, []byte(o.policy))
	if err != nil {
		panic(err)
	}
	return authz.Identity{Policies: []policy.Attached{{Layer: policy.LayerIdentity, Document: doc}}, Tags: o.tags}
}

func (one) Trust(store.Reader, string) (*policy.Attached, bool) { return nil, false }

// TestPrincipalTags: session tags win over the role's, also where they are
// empty, and whichever case they are written in.
func TestPrincipalTags(t *testing.T) {
	const admins = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:PrincipalTag/team":"admin"}}}]}`
	const tagged = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"Null":{"aws:PrincipalTag/team":"false"}}}]}`
	for _, tc := range []struct {
		name, policy  string
		role, session map[string]string
		want          bool
	}{
		{"the role's", admins, map[string]string{"Team": "admin"}, nil, true},
		{"the session's", admins, map[string]string{"Team": "admin"}, map[string]string{"team": "guest"}, false},
		{"the session's, empty", admins, map[string]string{"Team": "admin"}, map[string]string{"team": ""}, false},
		{"an empty tag is there", tagged, map[string]string{"team": ""}, nil, true},
		{"no tag", tagged, nil, nil, false},
	} {
		p := &session.Principal{Type: session.AssumedRole, Account: "111122223333", ARN: "arn:aws:sts::111122223333:assumed-role/r/s", RoleARN: "arn:aws:iam::111122223333:role/r", Tags: tc.session}
		a := authz.Authorizer{Sources: one{tc.policy, tc.role}}
		v := a.Decide(nil, p, &authz.Facts{Time: time.Now()}, authz.Ask{Action: "ecs:ListClusters", Resource: "*"})
		if v.Allowed != tc.want {
			t.Errorf("%s: allowed %v, want %v", tc.name, v.Allowed, tc.want)
		}
	}
}
