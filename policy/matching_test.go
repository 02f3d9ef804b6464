package policy_test

import (
	"slices"
	"testing"

	"github.com/remit-ecs/remit/policy"
)

func TestMatching(t *testing.T) {
	doc, err := policy.Parse(policy.KindIdentity, []byte(`{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":"ecs:*","Resource":"*"},
		{"Effect":"Deny","Action":"ecs:RunTask","Resource":"*","Condition":{"StringEquals":{"ecs:cluster":"prod"}}},
		{"Effect":"Allow","Action":"s3:*","Resource":"*"},
		{"Effect":"Allow","NotAction":"iam:*","Resource":"*"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	broken, err := policy.Parse(policy.KindIdentity, []byte(`{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":"ecs:*","Resource":"*"},{"Effect":"Deny","Action":"*","Resource":"*"},{"Effect":"Perhaps"}]}`))
	if err == nil {
		t.Fatal("a policy with the effect Perhaps can be read")
	}
	user := policy.Principal{Type: policy.User, Account: "111122223333", ARN: "arn:aws:iam::111122223333:user/alice"}
	for _, tc := range []struct {
		name   string
		who    policy.Principal
		doc    *policy.Document
		action string
		asked  bool
		allows []int
		denies []int
	}{
		{"all of them, in order", user, doc, "ecs:RunTask", true, []int{0, 3}, []int{1}},
		{"what can be read of a broken policy denies", user, broken, "ecs:RunTask", true, nil, []int{1}},
		{"services have no identity-based policies", policy.Principal{Type: policy.Service, Service: "ecs-tasks.amazonaws.com"}, doc, "ecs:RunTask", false, nil, nil},
		{"an action with a wildcard is none", user, doc, "ecs:Run*", false, nil, nil},
		{"no document", user, nil, "ecs:RunTask", true, nil, nil},
	} {
		r := &policy.Request{Principal: tc.who, Action: tc.action, Resource: "*", Context: map[string][]string{"ecs:cluster": {"prod"}}}
		allows, denies, asked := policy.Matching(r, &policy.Set{}, policy.LayerIdentity, &policy.Attached{Document: tc.doc})
		index := func(refs []policy.StatementRef) (out []int) {
			for _, ref := range refs {
				out = append(out, ref.Index)
			}
			return out
		}
		if a, d := index(allows), index(denies); asked != tc.asked || !slices.Equal(a, tc.allows) || !slices.Equal(d, tc.denies) {
			t.Errorf("%s: allows %v, denies %v, asked %v", tc.name, a, d, asked)
		}
	}
}
