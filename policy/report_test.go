package policy_test

import (
	"encoding/json"
	"testing"

	"github.com/remit-ecs/remit/policy"
)

// The names and the shape of the JSON form are a promise: records keep it.
func TestReportJSON(t *testing.T) {
	doc, err := policy.Parse(policy.KindIdentity, []byte(`{"Version":"2012-10-17","Statement":[{"Sid":"S","Effect":"Deny","Action":"s3:*","Resource":"*",`+
		`"Condition":{"StringNotEquals":{"aws:ResourceTag/team":"${aws:username}"}}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	set := &policy.Set{Boundary: &policy.Attached{ARN: "arn:aws:iam::111122223333:policy/Limit", Document: doc}}
	got, err := json.Marshal(policy.Explain(&policy.Request{Principal: alice, Action: "s3:GetObject", Resource: "arn:aws:s3:::b/x",
		Context: map[string][]string{"aws:username": {"alice"}}}, set))
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"decision":"explicitDeny","layer":"permissions boundary","principal":"arn:aws:iam::111122223333:user/alice","action":"s3:GetObject","resource":"arn:aws:s3:::b/x",` +
		`"message":"User: arn:aws:iam::111122223333:user/alice is not authorized to perform: s3:GetObject on resource: arn:aws:s3:::b/x with an explicit deny in a permissions boundary: arn:aws:iam::111122223333:policy/Limit",` +
		`"layers":[{"layer":"resource control policy","verdict":"absent"},{"layer":"service control policy","verdict":"absent"},{"layer":"VPC endpoint policy","verdict":"absent"},` +
		`{"layer":"resource-based policy","verdict":"absent"},{"layer":"identity-based policy","verdict":"silent","note":"no policy is attached"},` +
		`{"layer":"permissions boundary","verdict":"denies","decided":true,"policies":["arn:aws:iam::111122223333:policy/Limit"],` +
		`"statements":[{"policyArn":"arn:aws:iam::111122223333:policy/Limit","sid":"S","index":0,"effect":"Deny","start":{"offset":37,"line":1,"column":38},"end":{"offset":170,"line":1,"column":171},` +
		`"action":true,"resource":true,"principal":true,"conditions":[{"operator":"StringNotEquals","key":"aws:ResourceTag/team","wanted":["${aws:username}"],"means":["alice"],"negated":true,"met":true,"note":"a missing key differs from every value"}]}]},` +
		`{"layer":"session policy","verdict":"absent"}],"missingContext":["aws:ResourceTag/team"],` +
		`"toAllow":[{"kind":"changeStatement","layer":"permissions boundary","of":"arn:aws:iam::111122223333:user/alice","policyArn":"arn:aws:iam::111122223333:policy/Limit","sid":"S","index":0,"start":{"offset":37,"line":1,"column":38},` +
		`"text":"change statement \"S\" (line 1, column 38) of arn:aws:iam::111122223333:policy/Limit, which denies: no allow outweighs it"},` +
		`{"kind":"addStatement","layer":"identity-based policy","of":"arn:aws:iam::111122223333:user/alice","statement":{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/x"},` +
		`"text":"add to an identity-based policy of arn:aws:iam::111122223333:user/alice {\"Effect\":\"Allow\",\"Action\":\"s3:GetObject\",\"Resource\":\"arn:aws:s3:::b/x\"}"},` +
		`{"kind":"addStatement","layer":"permissions boundary","of":"arn:aws:iam::111122223333:user/alice","policyArn":"arn:aws:iam::111122223333:policy/Limit","statement":{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::b/x"},` +
		`"text":"add to the permissions boundary of arn:aws:iam::111122223333:user/alice {\"Effect\":\"Allow\",\"Action\":\"s3:GetObject\",\"Resource\":\"arn:aws:s3:::b/x\"}"}]}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
