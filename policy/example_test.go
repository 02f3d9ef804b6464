package policy_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log"

	"github.com/remit-ecs/remit/policy"
)

// document parses a policy of the examples.
func document(kind policy.Kind, text string) *policy.Document {
	d, err := policy.Parse(kind, []byte(text))
	if err != nil {
		log.Fatal(err)
	}
	return d
}

// alice is an IAM user.
var alice = policy.Principal{
	Type:    policy.User,
	Account: "111122223333",
	ARN:     "arn:aws:iam::111122223333:user/alice",
}

func ExampleAuthorize() {
	readOnly := document(policy.KindIdentity, `{
		"Version": "2012-10-17",
		"Statement": {"Effect": "Allow", "Action": ["ecs:Describe*", "ecs:List*"], "Resource": "*"}
	}`)
	set := &policy.Set{Identity: []policy.Attached{{Name: "read-only", Document: readOnly}}}
	request := &policy.Request{
		Principal: alice,
		Action:    "ecs:DescribeClusters",
		Resource:  "arn:aws:ecs:eu-west-1:111122223333:cluster/prod",
	}
	fmt.Println(policy.Authorize(request, set).Allowed)

	request.Action = "ecs:DeleteCluster"
	denied := policy.Authorize(request, set)
	fmt.Println(denied.Allowed, denied.Effect, denied.Layer)
	fmt.Println(denied.Message(alice.ARN, request.Action, request.Resource))
	// Output:
	// true
	// false implicitDeny identity-based policy
	// User: arn:aws:iam::111122223333:user/alice is not authorized to perform: ecs:DeleteCluster on resource: arn:aws:ecs:eu-west-1:111122223333:cluster/prod because no identity-based policy allows the ecs:DeleteCluster action
}

// ECS assumes the role of a task: only the role's trust policy decides, and its
// conditions keep ECS from acting for somebody else's task.
func ExampleAuthorize_trustPolicy() {
	trust := document(policy.KindTrust, `{
		"Version": "2012-10-17",
		"Statement": {
			"Effect": "Allow",
			"Principal": {"Service": "ecs-tasks.amazonaws.com"},
			"Action": "sts:AssumeRole",
			"Condition": {"StringEquals": {"aws:SourceAccount": "111122223333"}}
		}
	}`)
	set := &policy.Set{Trust: &policy.Attached{Document: trust}}
	for _, account := range []string{"111122223333", "444455556666"} {
		decision := policy.Authorize(&policy.Request{
			Principal: policy.Principal{Type: policy.Service, Service: "ecs-tasks.amazonaws.com"},
			Action:    "sts:AssumeRole",
			Resource:  "arn:aws:iam::111122223333:role/web",
			Context:   map[string][]string{"aws:sourceaccount": {account}},
		}, set)
		fmt.Println(account, decision.Allowed, decision.Layer)
	}
	// Output:
	// 111122223333 true role trust policy
	// 444455556666 false role trust policy
}

// A permissions boundary never grants: both it and the identity-based policies
// must allow.
func ExampleAuthorize_permissionsBoundary() {
	admin := document(policy.KindIdentity, `{"Version": "2012-10-17",
		"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}`)
	noIAM := document(policy.KindIdentity, `{"Version": "2012-10-17",
		"Statement": {"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}}`)
	set := &policy.Set{
		Identity: []policy.Attached{{Name: "admin", Document: admin}},
		Boundary: &policy.Attached{ARN: "arn:aws:iam::111122223333:policy/NoIAM", Document: noIAM},
	}
	for _, action := range []string{"ecs:ListClusters", "iam:ListUsers"} {
		decision := policy.Authorize(&policy.Request{Principal: alice, Action: action, Resource: "*"}, set)
		fmt.Println(action, decision.Effect, decision.Layer)
	}
	// Output:
	// ecs:ListClusters allowed identity-based policy
	// iam:ListUsers implicitDeny permissions boundary
}

// runBlue allows to run tasks of one team only; the request is for another.
func runBlue() (*policy.Request, *policy.Set) {
	doc := document(policy.KindIdentity, `{"Version": "2012-10-17", "Statement": [
  {"Sid": "RunBlue", "Effect": "Allow", "Action": "ecs:RunTask", "Resource": "*",
   "Condition": {"StringEquals": {"aws:RequestTag/team": "blue"}}}
]}`)
	return &policy.Request{
		Principal: alice,
		Action:    "ecs:RunTask",
		Resource:  "arn:aws:ecs:eu-west-1:111122223333:task-definition/web:7",
		Context:   map[string][]string{"aws:requesttag/team": {"red"}},
	}, &policy.Set{Identity: []policy.Attached{{Name: "deploy", Document: doc}}}
}

func ExampleExplain() {
	why := policy.Explain(runBlue())
	fmt.Print(why.Tree())
	// Output:
	// implicit deny: no identity-based policy allows ecs:RunTask on arn:aws:ecs:eu-west-1:111122223333:task-definition/web:7 by arn:aws:iam::111122223333:user/alice
	// ├─ resource control policy: not asked (they do not cover ecs:RunTask)
	// ├─ service control policy: none
	// ├─ VPC endpoint policy: none
	// ├─ resource-based policy: none
	// ├─ identity-based policy: does not allow  <- decides
	// │     nearest: deploy, statement "RunBlue" (line 2, column 3)
	// │       condition StringEquals "blue": aws:RequestTag/team is "red" (is not met)
	// ├─ permissions boundary: none
	// └─ session policy: none
	// to allow it: add to an identity-based policy of arn:aws:iam::111122223333:user/alice {"Effect":"Allow","Action":"ecs:RunTask","Resource":"arn:aws:ecs:eu-west-1:111122223333:task-definition/web:7"}
}

// A Report is kept with the record of a decision, and explains it when the
// policies have long changed.
func ExampleReasons_Report() {
	record, err := json.Marshal(policy.Explain(runBlue()))
	if err != nil {
		log.Fatal(err)
	}

	var past policy.Report
	if err := json.Unmarshal(record, &past); err != nil {
		log.Fatal(err)
	}
	fmt.Println(past.Decision, "by the", past.Layer)
	for _, layer := range past.Layers {
		for _, statement := range layer.Nearest {
			fmt.Println(statement.PolicyName, statement.Sid, "line", statement.Start.Line)
			for _, c := range statement.Conditions {
				fmt.Println(c.Operator, c.Key, "wanted", c.Wanted, "found", c.Found, "met", c.Met)
			}
		}
	}
	// Output:
	// implicitDeny by the identity-based policy
	// deploy RunBlue line 2
	// StringEquals aws:RequestTag/team wanted [blue] found [red] met false
}

// Carlos wants to write to a bucket of another account: both sides must allow.
func ExampleReasons_Changes() {
	why := policy.Explain(&policy.Request{
		Principal:       policy.Principal{Type: policy.User, Account: "111111111111", ARN: "arn:aws:iam::111111111111:user/Carlos"},
		Action:          "s3:PutObject",
		Resource:        "arn:aws:s3:::production/report",
		ResourceAccount: "222222222222",
	}, &policy.Set{})
	for _, change := range why.Changes() {
		fmt.Println(change.Layer, "of", change.Of)
		fmt.Println("  ", change.Statement)
	}
	// Output:
	// identity-based policy of arn:aws:iam::111111111111:user/Carlos
	//    {"Effect":"Allow","Action":"s3:PutObject","Resource":"arn:aws:s3:::production/report"}
	// resource-based policy of arn:aws:s3:::production/report
	//    {"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111111111111:user/Carlos"},"Action":"s3:PutObject","Resource":"arn:aws:s3:::production/report"}
}

// What cannot be read denies, and says where it stands.
func ExampleParse() {
	doc, err := policy.Parse(policy.KindIdentity, []byte(`{
  "Version": "2012-10-17",
  "Statement": [
    {"Effect": "Allow", "Action": "ecs:*", "Resource": "*"},
    {"Effect": "Deny", "Action": "*", "Resource": "*", "Condition": {"StringIs": {"aws:username": "eve"}}}
  ]
}`))
	fmt.Println(err)
	for _, st := range doc.Statements {
		fmt.Printf("%s: line %d, column %d to %d\n", st.Effect, st.Start.Line, st.Start.Column, st.End.Column)
	}
	set := &policy.Set{Identity: []policy.Attached{{Name: "odd", Document: doc}}}
	fmt.Println(policy.Authorize(&policy.Request{Principal: alice, Action: "ecs:ListClusters", Resource: "*"}, set).Allowed)
	// Output:
	// policy document: line 5: unknown operator StringIs
	// Allow: line 4, column 5 to 60
	// Deny: line 5, column 5 to 107
	// false
}

// New documents are checked in AWS's order and words.
func ExampleValidate() {
	err := policy.Validate(policy.KindIdentity, []byte(`{
		"Version": "2012-10-17",
		"Statement": {"Effect": "Allow", "Action": "RunTask", "Resource": "*"}
	}`))
	var refused *policy.ValidationError
	if errors.As(err, &refused) {
		fmt.Println(refused.Code)
		fmt.Println(refused.Message)
	}
	// Output:
	// MalformedPolicyDocument
	// Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.
}

func ExampleContextKeys() {
	doc := document(policy.KindIdentity, `{
		"Version": "2012-10-17",
		"Statement": {
			"Effect": "Allow",
			"Action": "dynamodb:*",
			"Resource": "arn:aws:dynamodb:us-west-2:111122223333:table/${aws:username}",
			"Condition": {"DateGreaterThan": {"aws:CurrentTime": "2026-08-16T12:00:00Z"}}
		}
	}`)
	fmt.Println(policy.ContextKeys(doc))
	// Output: [aws:username aws:CurrentTime]
}

func ExamplePrincipal_FillContext() {
	session := policy.Principal{
		Type:    policy.AssumedRole,
		Account: "111122223333",
		ARN:     "arn:aws:sts::111122223333:assumed-role/deploy/ci",
		RoleARN: "arn:aws:iam::111122223333:role/team/deploy",
		UserID:  "AROAEXAMPLE:ci",
	}
	context := map[string][]string{"aws:requestedregion": {"eu-west-1"}}
	session.FillContext(context)
	fmt.Println(context["aws:principalarn"], context["aws:userid"], context["aws:username"])
	// Output: [arn:aws:iam::111122223333:role/team/deploy] [AROAEXAMPLE:ci] []
}
