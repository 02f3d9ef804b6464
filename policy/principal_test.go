package policy_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/remit-ecs/remit/policy"
)

// Which keys follow from a principal, and which are not there: a policy that
// asks for aws:username of a role session sees nothing.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html#principaltable
func TestFillContext(t *testing.T) {
	for _, tc := range []struct {
		name string
		who  policy.Principal
		want string // sorted
	}{
		{"anonymous", policy.Principal{},
			"aws:principalaccount=anonymous aws:principalisawsservice=false aws:principaltype=Anonymous aws:userid=anonymous"},
		{"root", policy.Principal{Type: policy.Root, Account: "111122223333", ARN: "arn:aws:iam::111122223333:root"},
			"aws:principalaccount=111122223333 aws:principalarn=arn:aws:iam::111122223333:root aws:principalisawsservice=false aws:principaltype=Account aws:userid=111122223333"},
		{"user", policy.Principal{Type: policy.User, Account: "111122223333", ARN: "arn:aws:iam::111122223333:user/staff/alice", UserID: "AIDAEXAMPLE"},
			"aws:principalaccount=111122223333 aws:principalarn=arn:aws:iam::111122223333:user/staff/alice aws:principalisawsservice=false aws:principaltype=User aws:userid=AIDAEXAMPLE aws:username=alice"},
		{"role session", policy.Principal{Type: policy.AssumedRole, Account: "111122223333", ARN: "arn:aws:sts::111122223333:assumed-role/app/one",
			RoleARN: "arn:aws:iam::111122223333:role/team/app", UserID: "AROAEXAMPLE:one"},
			"aws:principalaccount=111122223333 aws:principalarn=arn:aws:iam::111122223333:role/team/app aws:principalisawsservice=false aws:principaltype=AssumedRole aws:userid=AROAEXAMPLE:one"},
		{"federated user", policy.Principal{Type: policy.FederatedUser, Account: "111122223333", ARN: "arn:aws:sts::111122223333:federated-user/bob", UserID: "111122223333:bob"},
			"aws:principalaccount=111122223333 aws:principalarn=arn:aws:sts::111122223333:federated-user/bob aws:principalisawsservice=false aws:principaltype=FederatedUser aws:userid=111122223333:bob"},
		{"service", policy.Principal{Type: policy.Service, Service: "ecs.amazonaws.com"},
			"aws:principalisawsservice=true aws:principalservicename=ecs.amazonaws.com aws:principalservicenameslist=ecs.amazonaws.com"},
	} {
		context := map[string][]string{}
		tc.who.FillContext(context)
		var got []string
		for _, key := range slices.Sorted(maps.Keys(context)) {
			got = append(got, key+"="+strings.Join(context[key], "|"))
		}
		if s := strings.Join(got, " "); s != tc.want {
			t.Errorf("%s\n got %s\nwant %s", tc.name, s, tc.want)
		}
	}
}
