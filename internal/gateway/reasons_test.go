package gateway_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"

	"github.com/remit-ecs/remit/internal/audit"
	"github.com/remit-ecs/remit/internal/testkit"
	"github.com/remit-ecs/remit/policy"
)

// refused makes a call that is refused and returns how the trail has it.
func refused(t *testing.T, k *testkit.Kit, cfg aws.Config) (audit.Ask, *policy.Report) {
	t.Helper()
	_, err := cloudwatchlogs.NewFromConfig(cfg).CreateLogGroup(context.Background(), &cloudwatchlogs.CreateLogGroupInput{LogGroupName: aws.String("orders-0123456789abcdef")})
	if c, _ := code(t, err); c != "AccessDeniedException" {
		t.Fatal(err)
	}
	all := k.Trail()
	a := all[len(all)-1].AdditionalEventData
	if a == nil || len(a.Asks) != 1 {
		t.Fatalf("asked %+v", a)
	}
	var r policy.Report
	if err := json.Unmarshal(a.Asks[0].Reasons, &r); err != nil {
		t.Fatalf("reasons %q: %v", a.Asks[0].Reasons, err)
	}
	return a.Asks[0], &r
}

// TestReasonsAreRecorded: the record of a refusal says which statement came
// near, why it did not match, and what would allow it, for every task and not
// only for this one.
func TestReasonsAreRecorded(t *testing.T) {
	k := start(t)
	k.Role("app", "", testkit.Allow("arn:aws:logs:*:*:log-group:shop*", "logs:CreateLogGroup"))
	ask, r := refused(t, k, k.Session("app", "0123456789abcdef", time.Hour))
	if r.Decision != "implicitDeny" || r.Action != "logs:CreateLogGroup" || r.Message != ask.Why || len(r.ToAllow) != 1 {
		t.Fatalf("%+v", r)
	}
	if c := r.ToAllow[0]; c.Kind != "addStatement" || !strings.Contains(string(c.Statement), "log-group:orders-*") || strings.Contains(c.Text, "0123456789abcdef") {
		t.Errorf("to allow: %+v", c)
	}
	tree := r.Tree()
	for _, want := range []string{"identity-based policy: does not allow", "nearest: policy-1, statement 1 (line 1, column 15)", "<- decides"} {
		if !strings.Contains(tree, want) {
			t.Errorf("%q is not in\n%s", want, tree)
		}
	}

	k.Delete("arn:aws:iam::" + testkit.Account + ":role/app")
	_, r = refused(t, k, k.Session("app", "0123456789abcdef", time.Hour))
	if r.Note != "the role or user behind the session no longer exists" || len(r.ToAllow) != 0 {
		t.Errorf("of a role that is gone: %+v", r)
	}
}

// TestReasonsAreBounded: a role with hundreds of statements that deny does not
// make its records as long as its policies.
func TestReasonsAreBounded(t *testing.T) {
	k := start(t)
	for _, n := range []int{1, 40, 400} {
		var statements []string
		for i := range n {
			values := make([]string, 50)
			for j := range values {
				values[j] = fmt.Sprintf(`"%s-%d-%d"`, strings.Repeat("agent", 10), i, j)
			}
			statements = append(statements, fmt.Sprintf(`{"Sid":"No%d","Effect":"Deny","Action":"logs:*","Resource":"*","Condition":{"StringNotLike":{"aws:UserAgent":[%s]}}}`, i, strings.Join(values, ",")))
		}
		ask, r := refused(t, k, k.With(`{"Version":"2012-10-17","Statement":[`+strings.Join(statements, ",")+`]}`))
		if len(ask.Reasons) > 12<<10 {
			t.Errorf("%d statements: %d bytes of reasons", n, len(ask.Reasons))
		}
		if r.Decision != "explicitDeny" || !strings.Contains(r.Tree(), "No0") {
			t.Errorf("%d statements:\n%s", n, r.Tree())
		}
		// n statements to change, and one to add: nothing allows it.
		if n > 1 && (!strings.Contains(r.Tree(), "shortened, there was more") || !strings.Contains(r.Tree(), fmt.Sprint(n+1-4, " more such changes"))) {
			t.Errorf("nothing says that something is missing:\n%s", r.Tree())
		}
	}
}
