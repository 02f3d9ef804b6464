package policy_test

import (
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/remit-ecs/remit/policy"
)

// typical is a role session with a few policies, as most requests are.
func typical(t testing.TB) (*policy.Request, *policy.Set) {
	parse := func(text string) *policy.Document {
		d, err := policy.Parse(policy.KindIdentity, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	read := parse(`{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":["ecs:Describe*","ecs:List*","logs:Get*","ecr:GetAuthorizationToken"],"Resource":"*"},
		{"Effect":"Deny","Action":"ecs:DeleteCluster","Resource":"arn:aws:ecs:*:*:cluster/prod"}]}`)
	deploy := parse(`{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":["ecs:RunTask","ecs:StopTask"],"Resource":["arn:aws:ecs:eu-west-1:111122223333:task-definition/web:*","arn:aws:ecs:*:111122223333:task/prod/*"],
		 "Condition":{"StringEquals":{"aws:RequestTag/team":["blue","green"]},"ArnLike":{"ecs:cluster":"arn:aws:ecs:*:111122223333:cluster/prod"},
		 "IpAddress":{"aws:SourceIp":"10.0.0.0/8"}, "Bool":{"aws:SecureTransport":"true"}}},
		{"Effect":"Allow","Action":"iam:PassRole","Resource":"*"}]}`)
	boundary := parse(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","NotAction":"iam:*","Resource":"*"}}`)
	r := &policy.Request{
		Principal: policy.Principal{Type: policy.AssumedRole, Account: "111122223333", UserID: "AROAEXAMPLE:ci",
			ARN: "arn:aws:sts::111122223333:assumed-role/deploy/ci", RoleARN: "arn:aws:iam::111122223333:role/deploy"},
		Action:   "ecs:RunTask",
		Resource: "arn:aws:ecs:eu-west-1:111122223333:task-definition/web:7",
		Context: map[string][]string{"aws:requesttag/team": {"blue"}, "ecs:cluster": {"arn:aws:ecs:eu-west-1:111122223333:cluster/prod"},
			"aws:sourceip": {"10.1.2.3"}, "aws:securetransport": {"true"}},
	}
	return r, &policy.Set{
		Identity: []policy.Attached{{Name: "read", Document: read}, {Name: "deploy", Document: deploy}},
		Boundary: &policy.Attached{ARN: "arn:aws:iam::111122223333:policy/limit", Document: boundary},
	}
}

func TestAuthorizeDoesNotAllocate(t *testing.T) {
	r, s := typical(t)
	if d := policy.Authorize(r, s); !d.Allowed {
		t.Fatal(policy.Explain(r, s))
	}
	if n := testing.AllocsPerRun(200, func() { policy.Authorize(r, s) }); n != 0 {
		t.Errorf("%v allocations when allowed", n)
	}
	r.Action = "ecs:DeleteCluster"
	if n := testing.AllocsPerRun(200, func() { policy.Authorize(r, s) }); n != 0 {
		t.Errorf("%v allocations when denied", n)
	}
}

func BenchmarkAuthorize(b *testing.B) {
	r, s := typical(b)
	b.ReportAllocs()
	for b.Loop() {
		policy.Authorize(r, s)
	}
}

func BenchmarkParse(b *testing.B) {
	text := []byte(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":["ecs:Describe*","ecs:List*"],"Resource":"*"}}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := policy.Parse(policy.KindIdentity, text); err != nil {
			b.Fatal(err)
		}
	}
}

func TestParsePositions(t *testing.T) {
	d, err := policy.Parse(policy.KindIdentity, []byte("{\"Version\": \"2012-10-17\",\n \"Statement\": [\n  {\"Effect\":\"Allow\",\"Action\":\"*\",\n   \"Resource\":\"*\"}]}"))
	if err != nil {
		t.Fatal(err)
	}
	st := d.Statements[0]
	if st.Start.Line != 3 || st.Start.Column != 3 || st.End.Line != 4 || st.End.Column != 19 {
		t.Errorf("statement at %+v to %+v", st.Start, st.End)
	}
}

func TestParseRefuses(t *testing.T) {
	statement := func(members string) string { return `{"Version":"2012-10-17","Statement":{` + members + `}}` }
	for name, tc := range map[string]struct {
		kind policy.Kind
		text string
	}{
		"empty text":             {policy.KindIdentity, ""},
		"not JSON":               {policy.KindIdentity, "{"},
		"text after":             {policy.KindIdentity, statement(`"Effect":"Allow","Action":"*","Resource":"*"`) + "x"},
		"an array":               {policy.KindIdentity, "[]"},
		"no statement":           {policy.KindIdentity, `{"Version":"2012-10-17"}`},
		"unknown version":        {policy.KindIdentity, `{"Version":"2013-10-17","Statement":[]}`},
		"unknown element":        {policy.KindIdentity, statement(`"Effect":"Allow","Action":"*","Resource":"*","Conditions":{}`)},
		"repeated element":       {policy.KindIdentity, statement(`"Effect":"Deny","Effect":"Allow","Action":"*","Resource":"*"`)},
		"effect in lower case":   {policy.KindIdentity, statement(`"Effect":"allow","Action":"*","Resource":"*"`)},
		"no effect":              {policy.KindIdentity, statement(`"Action":"*","Resource":"*"`)},
		"no action":              {policy.KindIdentity, statement(`"Effect":"Allow","Resource":"*"`)},
		"no resource":            {policy.KindIdentity, statement(`"Effect":"Allow","Action":"*"`)},
		"both actions":           {policy.KindIdentity, statement(`"Effect":"Allow","Action":"*","NotAction":"s3:*","Resource":"*"`)},
		"wildcard in service":    {policy.KindIdentity, statement(`"Effect":"Allow","Action":"e*:RunTask","Resource":"*"`)},
		"action without service": {policy.KindIdentity, statement(`"Effect":"Allow","Action":"RunTask","Resource":"*"`)},
		"unknown operator":       {policy.KindIdentity, statement(`"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringIs":{"a":"b"}}`)},
		"operator in lower case": {policy.KindIdentity, statement(`"Effect":"Allow","Action":"*","Resource":"*","Condition":{"stringequals":{"a":"b"}}`)},
		"unknown empty operator": {policy.KindIdentity, statement(`"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringIs":{}}`)},
		"NullIfExists":           {policy.KindIdentity, statement(`"Effect":"Allow","Action":"*","Resource":"*","Condition":{"NullIfExists":{"a":"true"}}`)},
		"null value":             {policy.KindIdentity, statement(`"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringEquals":{"a":null}}`)},
		"principal in identity":  {policy.KindIdentity, statement(`"Effect":"Allow","Action":"*","Resource":"*","Principal":"*"`)},
		"no principal":           {policy.KindResource, statement(`"Effect":"Allow","Action":"*","Resource":"*"`)},
		"wildcard in principal":  {policy.KindTrust, statement(`"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"AWS":"arn:aws:iam::111122223333:role/*"}`)},
		"principal text":         {policy.KindTrust, statement(`"Effect":"Allow","Action":"sts:AssumeRole","Principal":"alice"`)},
		"half a surrogate":       {policy.KindIdentity, statement(`"Sid":"\ud800","Effect":"Allow","Action":"*","Resource":"*"`)},
		"nested too deep":        {policy.KindIdentity, strings.Repeat("[", 100000)},
	} {
		d, err := policy.Parse(tc.kind, []byte(tc.text))
		if err == nil || d == nil || len(d.Diagnostics) == 0 {
			t.Errorf("%s: error %v", name, err)
			continue
		}
		// Whatever was unreadable, beside an Allow of everything it denies.
		all, _ := policy.Parse(policy.KindIdentity, []byte(statement(`"Effect":"Allow","Action":"*","Resource":"*"`)))
		set := policy.Set{Identity: []policy.Attached{{Document: all}, {Document: d}}}
		r := policy.Request{Principal: policy.Principal{Type: policy.User, Account: "111122223333"}, Action: "ecs:RunTask", Resource: "*"}
		if got := policy.Authorize(&r, &set); got.Allowed || len(got.Diagnostics) == 0 {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// A request that is not one is denied, never matched by accident.
func TestAuthorizeRefusesMalformedRequests(t *testing.T) {
	all, _ := policy.Parse(policy.KindIdentity, []byte(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`))
	set := &policy.Set{Identity: []policy.Attached{{Document: all}}}
	for _, r := range []policy.Request{
		{Action: "", Resource: "*"}, {Action: "ecs", Resource: "*"}, {Action: "ecs:", Resource: "*"}, {Action: ":RunTask", Resource: "*"},
		{Action: "ecs:*", Resource: "*"}, {Action: "ecs:Run:Task", Resource: "*"}, {Action: "ecs:RunTask"},
	} {
		r.Principal = policy.Principal{Type: policy.User, Account: "111122223333"}
		if d := policy.Authorize(&r, set); d.Allowed || len(d.Diagnostics) == 0 {
			t.Errorf("%q on %q: %+v", r.Action, r.Resource, d)
		}
		why := policy.Explain(&r, set)
		if !strings.HasSuffix(why.Tree(), "\nunreadable, so denied: the request's action or resource cannot be read\n") || why.Changes() != nil {
			t.Errorf("%q on %q: %v\n%s", r.Action, r.Resource, why.Changes(), why)
		}
	}
	if d := policy.Authorize(&policy.Request{}, &policy.Set{}); d.Allowed {
		t.Error("the empty request is allowed")
	}
}

// Where a simulation has no policy of the key or role, it takes it to delegate.
func TestResourceUnknown(t *testing.T) {
	all, _ := policy.Parse(policy.KindIdentity, []byte(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`))
	for action, resource := range map[string]string{
		"kms:Decrypt":    "arn:aws:kms:eu-west-1:111122223333:key/k",
		"sts:AssumeRole": "arn:aws:iam::111122223333:role/app",
	} {
		set := &policy.Set{Identity: []policy.Attached{{Document: all}}}
		r := &policy.Request{Principal: policy.Principal{Type: policy.User, Account: "111122223333"}, Action: action, Resource: resource}
		if policy.Authorize(r, set).Allowed {
			t.Errorf("%s is allowed without the policy of %s", action, resource)
		}
		set.ResourceUnknown = true
		if !policy.Authorize(r, set).Allowed {
			t.Errorf("%s is denied in a simulation", action)
		}
	}
}

func TestContextKeys(t *testing.T) {
	d, _ := policy.Parse(policy.KindIdentity, []byte(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"arn:aws:s3:::${aws:username}/*",
		"Condition":{"StringEquals":{"aws:RequestTag/Team":"${aws:PrincipalTag/Team, 'none'}"}}}}`))
	if got := strings.Join(d.ContextKeys(), " "); got != "aws:username aws:RequestTag/Team aws:PrincipalTag/Team" {
		t.Error(got)
	}
}

func TestSize(t *testing.T) {
	for text, want := range map[string]int{`{ "a" : "b c" }`: 11, "{\n\t\"é\":1}": 7, `{"a":"\" x"}`: 12, "": 0} {
		if got := policy.Size([]byte(text)); got != want {
			t.Errorf("Size(%s) = %d, want %d", text, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":["ecs:Run*","*"],"Resource":"arn:aws:s3:::b/${aws:username}/*","Condition":{"ForAnyValue:StringLikeIfExists":{"aws:TagKeys":["a*",true,1.5e3]}}}}`))
	f.Add([]byte(`{"Version":"2008-10-17","Statement":[{"Effect":"Deny","NotPrincipal":{"AWS":["111122223333","*"]},"NotAction":"s3:*","NotResource":"*"}]}`))
	f.Add([]byte(`{"Statement":[{"Effect":"Allow","Principal":{"Service":"ecs-tasks.amazonaws.com"},"Action":"sts:AssumeRole","Condition":{"DateLessThan":{"aws:CurrentTime":"2026-01-01T00:00:00Z"},"IpAddress":{"aws:SourceIp":"::1/64"}}}]}`))
	f.Add([]byte(`{"a":"\ud83d\ude00\n","b":[-0.0e-1,null]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		for kind := policy.KindIdentity; kind <= policy.KindVPCEndpoint; kind++ {
			d, err := policy.Parse(kind, text)
			if d == nil || (err == nil) != (len(d.Diagnostics) == 0) {
				t.Fatal("a document without diagnostics, or the other way round", err)
			}
			if err == nil && !json.Valid(text) {
				t.Fatal("read what is no JSON")
			}
			if policy.Validate(kind, text) == nil && err != nil {
				t.Fatalf("Validate accepts what Parse cannot read: %v", err)
			}
			set := &policy.Set{Identity: []policy.Attached{{Document: d}}, Resource: &policy.Attached{Document: d}, Trust: &policy.Attached{Document: d}}
			r := &policy.Request{Principal: policy.Principal{Type: policy.User, Account: "111122223333"}, Action: "ecs:RunTask", Resource: "arn:aws:s3:::b/alice/x",
				Context: map[string][]string{"aws:tagkeys": {"a", "b"}, "aws:username": {"alice"}}}
			if got := policy.Authorize(r, set); got.Allowed && err != nil {
				t.Fatal("allowed by an unreadable document")
			}
			if kind == policy.KindIdentity || kind == policy.KindTrust {
				checkReport(t, policy.Explain(r, set))
			}
		}
	})
}

// Strings of a document are read as encoding/json reads them, and what it
// refuses is refused.
func TestParseStrings(t *testing.T) {
	for _, text := range []string{
		`""`, `"a\"b\\c\/d\b\f\n\r\t"`, `"\u0041\u00e9\u20ac"`, `"\ud83d\ude00"`, `"é€😀"`,
		`"\ud83d"`, `"\ude00"`, `"\ud83dx"`, `"\ud83d\u0041"`, `"\u12"`, `"\u00zz"`, `"\x"`, `"\"`, `"`, "\"\x01\"", "\"\xff\"", `"\`,
	} {
		document := `{"Version":"2012-10-17","Statement":[{"Sid":` + text + `,"Effect":"Allow","Action":"*","Resource":"*"}]}`
		var want struct{ Statement []struct{ Sid string } }
		wantErr := json.Unmarshal([]byte(document), &want)
		d, err := policy.Parse(policy.KindIdentity, []byte(document))
		switch {
		case wantErr != nil && err == nil:
			t.Errorf("%s is read as %q", text, d.Statements[0].Sid)
		case err == nil && d.Statements[0].Sid != want.Statement[0].Sid:
			t.Errorf("%s is read as %q, want %q", text, d.Statements[0].Sid, want.Statement[0].Sid)
		case err != nil && wantErr == nil && utf8.ValidString(text) && !strings.Contains(strings.ToLower(text), `\ud`):
			t.Errorf("%s: %v", text, err) // half a surrogate pair is replaced there, refused here
		}
	}
}

// Numbers are accepted as values of conditions, in JSON's grammar.
func TestParseNumbers(t *testing.T) {
	for text, ok := range map[string]bool{"0": true, "-0": true, "10": true, "1.5": true, "-1.5e+3": true, "1E9": true,
		"01": false, "1.": false, ".5": false, "-": false, "1e": false, "+1": false, "0x1": false, "true": true, "null": false, "{}": false} {
		_, err := policy.Parse(policy.KindIdentity, []byte(`{"Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"NumericEquals":{"a:b":`+text+`}}}}`))
		if (err == nil) != ok {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestAlwaysAllowed(t *testing.T) {
	for action, want := range map[string]bool{"sts:GetCallerIdentity": true, "STS:getcalleridentity": true, "sts:getcalleridentity": true,
		"sts:GetSessionToken": true, "sts:AssumeRole": false, "iam:GetCallerIdentity": false, "sts": false, "": false} {
		set := &policy.Set{}
		allowed := policy.Authorize(&policy.Request{Principal: alice, Action: action, Resource: "*"}, set).Allowed
		if got := policy.AlwaysAllowed(action); got != want || allowed != want {
			t.Errorf("AlwaysAllowed(%q) = %v, and Authorize without policies says %v, want %v", action, got, allowed, want)
		}
	}
}

// A document serves many evaluations at once; make race runs this.
func TestConcurrentEvaluations(t *testing.T) {
	r, s := typical(t)
	want := policy.Explain(r, s).Tree()
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			for range 50 {
				if !policy.Authorize(r, s).Allowed || policy.Explain(r, s).Tree() != want {
					t.Error("another answer")
				}
			}
		})
	}
	wait.Wait()
}
