package simulation_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/iamapi"
	"github.com/remit-ecs/remit/internal/simulation"
	"github.com/remit-ecs/remit/policy"
)

// TestValueTypes has, for each type, values that are of it and values that are
// not; most of them were tried on AWS.
func TestValueTypes(t *testing.T) {
	for kind, values := range map[string]struct{ good, bad []string }{
		"string":  {[]string{"", "a", "ä\n"}, nil},
		"numeric": {[]string{"0", "01.00", "+1", "-1.5", "1e2", "1e9999", ".5", "5."}, []string{"", "abc", "NaN", "Infinity", "0x10", " 1 ", "1_000", "1e", "--1", "."}},
		"boolean": {[]string{"true", "FALSE"}, []string{"", "yes", "1"}},
		"ip":      {[]string{"192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1"}, []string{"", "999.0.0.1", "192.0.2", "fe80::1%eth0", "192.0.2.0/24"}},
		"binary":  {[]string{"", "eWVz", "YQ=="}, []string{"YQ", "YR==", "eWVz\n", "YQ-_", "!base64"}},
		"date":    {[]string{"2035", "2035-01", "2035-01-02", "2035-01-02T03:04Z", "2035-01-02T03:04:05.678+02:00", "1700000000"}, []string{"", "tomorrow", "2035-13", "2035-02-30", "03:04"}},
	} {
		check := func(kind, value string) error {
			_, err := simulation.ContextEntries([]iamapi.ContextEntry{{ContextKeyName: api.Ptr("aws:x"), ContextKeyType: iamapi.ContextKeyTypeEnum(kind), ContextKeyValues: []string{value}}})
			return err
		}
		for _, suffix := range []string{"", "List"} {
			for _, v := range values.good {
				if err := check(kind+suffix, v); err != nil {
					t.Errorf("%s%s %q: %v", kind, suffix, v, err)
				}
			}
			for _, v := range values.bad {
				if err := check(kind+suffix, v); err == nil {
					t.Errorf("%s%s %q was accepted", kind, suffix, v)
				}
			}
		}
	}
}

// FuzzContextEntries holds what is accepted against what the engine reads: a
// value of a type can be compared by the operators of that type.
func FuzzContextEntries(f *testing.F) {
	for _, seed := range [][3]string{
		{"aws:CurrentTime", "date", "2035-01-02T03:04:05Z"}, {"aws:SourceIp", "ip", "192.0.2.1"}, {"aws:MultiFactorAuthAge", "numeric", "1e2"},
		{"aws:SecureTransport", "boolean", "TRUE"}, {"a:key", "binary", "YQ=="}, {"aws:TagKeys", "stringList", "a\x00b"}, {"", "", ""}, {"aws:x", "numericList", "1\x00+2\x00.5"},
	} {
		f.Add(seed[0], seed[1], seed[2])
	}
	equal := map[string]string{"string": "StringEquals", "numeric": "NumericEquals", "boolean": "Bool", "binary": "BinaryEquals", "ip": "IpAddress", "date": "DateEquals"}
	f.Fuzz(func(t *testing.T, name, kind, joined string) {
		values := strings.Split(joined, "\x00")
		out, err := simulation.ContextEntries([]iamapi.ContextEntry{{ContextKeyName: &name, ContextKeyType: iamapi.ContextKeyTypeEnum(kind), ContextKeyValues: values}})
		if err != nil {
			var e *api.Error
			if !errors.As(err, &e) || e.Code != "InvalidInput" || out != nil {
				t.Fatalf("%v, %v", out, err)
			}
			return
		}
		got, supplied := out[strings.ToLower(name)]
		if !supplied || !slices.Equal(got, values) || len(out) != 1 {
			t.Fatalf("%q became %q", values, out)
		}
		operator := equal[strings.TrimSuffix(kind, "List")]
		if operator == "" {
			t.Fatalf("the type %q was accepted", kind)
		}
		if kind == "numeric" && strings.ContainsAny(joined, "eE") { // beyond what a float holds, nothing compares
			return
		}
		doc := `{"Version":"2008-10-17","Statement":{"Effect":"Allow","Action":"s3:GetObject","Resource":"*","Condition":{"` + operator + `":{` + quote(name) + `:` + quote(values[0]) + `}}}}`
		s := simulation.Simulation{Context: map[string][]string{strings.ToLower(name): values[:1]}, Identity: []simulation.Policy{{Text: doc}},
			Caller: policy.Principal{Type: policy.User, Account: "111122223333"}}
		if strings.HasSuffix(kind, "List") || policy.MultiValued(strings.ToLower(name)) {
			return
		}
		if why := s.Explain("s3:GetObject", "*"); !why.Decision.Allowed {
			t.Fatalf("%s %q does not equal itself:\n%s", kind, values[0], why.Tree())
		}
	})
}

func TestParseCaller(t *testing.T) {
	const account = "111122223333"
	for _, tc := range []struct {
		text string
		want policy.Principal
	}{
		{"arn:aws:iam::111122223333:user/a/b/alice", policy.Principal{Type: policy.User, Account: account, ARN: "arn:aws:iam::111122223333:user/a/b/alice"}},
		{"arn:aws:iam::111122223333:group/staff", policy.Principal{Type: policy.User, Account: account, ARN: "arn:aws:iam::111122223333:group/staff"}},
		{"arn:aws:iam::111122223333:role/a/app", policy.Principal{Type: policy.AssumedRole, Account: account, ARN: "arn:aws:sts::111122223333:assumed-role/app/simulation", RoleARN: "arn:aws:iam::111122223333:role/a/app"}},
		{"arn:aws:sts::111122223333:assumed-role/app/one", policy.Principal{Type: policy.AssumedRole, Account: account, ARN: "arn:aws:sts::111122223333:assumed-role/app/one", RoleARN: "arn:aws:iam::111122223333:role/app"}},
		{"arn:aws:sts::111122223333:federated-user/bob", policy.Principal{Type: policy.FederatedUser, Account: account, ARN: "arn:aws:sts::111122223333:federated-user/bob", RoleARN: "arn:aws:iam::111122223333:user/bob"}},
		{"arn:aws:iam::111122223333:root", policy.Principal{Type: policy.Root, Account: account, ARN: "arn:aws:iam::111122223333:root", UserID: account}},
		{"ecs-tasks.amazonaws.com", policy.Principal{Type: policy.Service, ARN: "ecs-tasks.amazonaws.com", Service: "ecs-tasks.amazonaws.com"}},
	} {
		if got, ok := simulation.ParseCaller(tc.text); !ok || got != tc.want {
			t.Errorf("%s: %+v, %v", tc.text, got, ok)
		}
	}
	for _, text := range []string{"", "alice", "*", "arn:aws:iam::111122223333:user/*", "arn:aws:iam::1111:user/alice", "arn:aws:iam::111122223333:user/",
		"arn:aws:iam::111122223333:policy/p", "arn:aws:sts::111122223333:assumed-role/app", "arn:aws:sts::111122223333:assumed-role/app/one/two",
		"arn:aws:iam:eu-west-1:111122223333:user/alice", "arn:aws:s3:::shelf", ".amazonaws.com", "ecs.amazonaws.com.example", "a b.amazonaws.com"} {
		if got, ok := simulation.ParseCaller(text); ok {
			t.Errorf("%q is %+v", text, got)
		}
	}
}

// TestPages ends a page early when the documents are large, and refuses what no
// page could hold.
func TestPages(t *testing.T) {
	large := `{"Version":"2012-10-17","Statement":[` + strings.Repeat(`{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::shelf/*"},`, 1600) +
		`{"Effect":"Allow","Action":"ecs:*","Resource":"*"}]}`
	actions := slices.Repeat([]string{"ecs:RunTask", "s3:PutObject"}, 1000)
	in := &iamapi.SimulateCustomPolicyInput{PolicyInputList: []string{large}, ActionNames: actions}
	s, err := simulation.New(in, simulation.Source{Account: "111122223333"})
	if err != nil {
		t.Fatal(err)
	}
	seen, pages := 0, 0
	for from := 0; ; {
		pages++
		results, next, err := s.Page(actions, nil, from, 1000)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range results {
			if want := map[string]iamapi.PolicyEvaluationDecisionType{"ecs:RunTask": "allowed", "s3:PutObject": "implicitDeny"}[*r.EvalActionName]; r.EvalDecision != want || *r.EvalActionName != actions[seen] {
				t.Fatalf("%d: %s %s", seen, *r.EvalActionName, r.EvalDecision)
			}
			seen++
		}
		if next == 0 {
			break
		}
		if len(results) == 0 || next <= from {
			t.Fatal("a page without progress")
		}
		from = next
	}
	if seen != len(actions) || pages < 2 {
		t.Errorf("%d results on %d pages", seen, pages)
	}
	if _, _, err := s.Page(actions, slices.Repeat([]string{"arn:aws:s3:::shelf/a"}, 10_000), 0, 1); err == nil || !strings.Contains(err.Error(), "The simulation is too large") {
		t.Errorf("too large: %v", err)
	}
	if results, next, err := s.Page(actions, nil, 5000, 10); err != nil || len(results) != 0 || next != 0 {
		t.Errorf("beyond the end: %d results, %d, %v", len(results), next, err)
	}
}

// quote is a JSON string.
func quote(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // a string cannot fail
	}
	return string(b)
}
