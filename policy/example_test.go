package policy_test

import (
	"fmt"

	"github.com/remit-ecs/remit/policy"
)

func ExampleAuthorize() {
	doc, err := policy.Parse(policy.KindIdentity, []byte(`{
		"Version": "2012-10-17",
		"Statement": {
			"Sid": "ReadOnly",
			"Effect": "Allow",
			"Action": ["ecs:Describe*", "ecs:List*"],
			"Resource": "*"
		}
	}`))
	if err != nil {
		panic(err)
	}
	set := &policy.Set{Identity: []policy.Attached{{Name: "read-only", Document: doc}}}
	request := &policy.Request{
		Principal: policy.Principal{
			Type:    policy.User,
			Account: "111122223333",
			ARN:     "arn:aws:iam::111122223333:user/alice",
		},
		Action:   "ecs:DescribeClusters",
		Resource: "arn:aws:ecs:eu-west-1:111122223333:cluster/prod",
	}
	fmt.Println(policy.Authorize(request, set).Allowed)

	request.Action = "ecs:DeleteCluster"
	denied := policy.Authorize(request, set)
	fmt.Println(denied.Message(request.Principal.ARN, request.Action, request.Resource))
	// Output:
	// true
	// User: arn:aws:iam::111122223333:user/alice is not authorized to perform: ecs:DeleteCluster on resource: arn:aws:ecs:eu-west-1:111122223333:cluster/prod because no identity-based policy allows the ecs:DeleteCluster action
}
