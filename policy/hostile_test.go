package policy_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/remit-ecs/remit/policy"
)

// best is the shortest of several runs: other work only ever adds.
func best(f func()) time.Duration {
	shortest := time.Duration(1 << 62)
	for range 4 {
		start := time.Now()
		f()
		shortest = min(shortest, time.Since(start))
	}
	return shortest
}

// checkDoubling fails if twice the input costs three times as much or more.
func checkDoubling(t *testing.T, once, twice func()) {
	t.Helper()
	ratio := 1e9
	for range 8 {
		a, b := best(once), best(twice)
		if r := float64(b) / float64(a); r < ratio {
			ratio = r
		}
		if ratio < 3 {
			return
		}
	}
	t.Errorf("twice the input costs %.1f times as much", ratio)
}

// everything does all that the package does with a document.
func everything(text string) func() {
	request := &policy.Request{
		Principal: policy.Principal{Type: policy.User, Account: "111122223333", ARN: "arn:aws:iam::111122223333:user/alice"},
		Action:    "ecs:RunTask", Resource: "arn:aws:ecs:eu-west-1:111122223333:task-definition/web:7",
		Context: map[string][]string{"aws:username": {"alice"}, "aws:tagkeys": {"a", "b"}},
	}
	return func() {
		for _, kind := range []policy.Kind{policy.KindIdentity, policy.KindTrust, policy.KindResource} {
			d, _ := policy.Parse(kind, []byte(text))
			_ = policy.Validate(kind, []byte(text))
			_ = d.ContextKeys()
			_ = d.Principals()
			a := policy.Attached{Name: "hostile", Document: d}
			set := &policy.Set{Resource: &a}
			if kind == policy.KindIdentity {
				set = &policy.Set{Identity: []policy.Attached{a}}
			}
			_ = policy.Authorize(request, set)
			why := policy.Explain(request, set)
			_ = why.Tree()
			_, _ = json.Marshal(why)
		}
		_ = policy.Size([]byte(text))
	}
}

// TestHostileDocuments holds that the cost of a document grows as its length,
// whatever stands in it.
func TestHostileDocuments(t *testing.T) {
	const allow = `"Effect":"Allow","Action":"ecs:RunTask","Resource":"*"`
	doc := func(elements string) string { return `{"Version":"2012-10-17","Statement":[{` + elements + `}]}` }
	list := func(n int, item func(i int) string) string {
		items := make([]string, n)
		for i := range items {
			items[i] = item(i)
		}
		return strings.Join(items, ",")
	}
	for name, make := range map[string]func(n int) string{
		"statements": func(n int) string {
			return `{"Version":"2012-10-17","Statement":[` + list(n, func(i int) string { return fmt.Sprintf(`{"Sid":"s%d",%s}`, i, allow) }) + `]}`
		},
		"statements that cannot be read": func(n int) string {
			return `{"Version":"2012-10-17","Statement":[` + list(n, func(int) string { return `{"Effect":"Perhaps","Also":1}` }) + `]}`
		},
		"denials": func(n int) string {
			return `{"Version":"2012-10-17","Statement":[` + list(n, func(int) string { return `{"Effect":"Deny","Action":"ecs:*","Resource":"*"}` }) + `]}`
		},
		"elements": func(n int) string {
			return doc(allow + `,` + list(n, func(i int) string { return fmt.Sprintf(`"E%d":""`, i) }))
		},
		"top-level elements": func(n int) string {
			return `{` + list(n, func(i int) string { return fmt.Sprintf(`"E%d":""`, i) }) + `}`
		},
		"actions": func(n int) string {
			return doc(`"Effect":"Allow","Resource":"*","Action":[` + list(n, func(i int) string { return fmt.Sprintf(`"ecs:R*%d"`, i) }) + `]`)
		},
		"the same action": func(n int) string {
			return doc(`"Effect":"Allow","Resource":"*","Action":[` + list(n, func(int) string { return `"ecs:RunTask"` }) + `]`)
		},
		"resources": func(n int) string {
			return doc(`"Effect":"Allow","Action":"*","Resource":[` + list(n, func(i int) string { return fmt.Sprintf(`"arn:aws:ecs:*:*:x%d*y"`, i) }) + `]`)
		},
		"principals": func(n int) string {
			return doc(`"Effect":"Allow","Action":"*","Principal":{"AWS":[` + list(n, func(i int) string { return fmt.Sprintf(`"%012d"`, i) }) + `]}`)
		},
		"kinds of principals": func(n int) string {
			return doc(`"Effect":"Allow","Action":"*","Principal":{` + list(n, func(i int) string { return fmt.Sprintf(`"K%d":"a.b"`, i) }) + `}`)
		},
		"condition values": func(n int) string {
			return doc(allow + `,"Condition":{"StringLike":{"aws:username":[` + list(n, func(i int) string { return fmt.Sprintf(`"*a%d*"`, i) }) + `]}}`)
		},
		"condition keys": func(n int) string {
			return doc(allow + `,"Condition":{"StringEquals":{` + list(n, func(i int) string { return fmt.Sprintf(`"aws:RequestTag/k%d":"v"`, i) }) + `}}`)
		},
		"condition operators": func(n int) string {
			return doc(allow + `,"Condition":{` + list(n, func(int) string { return `"StringEquals":{"aws:username":"v"}` }) + `}`)
		},
		"variables": func(n int) string {
			return doc(`"Effect":"Allow","Action":"*","Resource":"arn:aws:s3:::` + strings.Repeat("${aws:username}*", n) + `"`)
		},
		"variables with defaults": func(n int) string {
			return doc(allow + `,"Condition":{"StringEquals":{"aws:username":"` + strings.Repeat("${aws:x, 'y'}", n) + `"}}`)
		},
		"variables in variables": func(n int) string {
			return doc(`"Effect":"Allow","Action":"*","Resource":"arn:aws:s3:::` + strings.Repeat("${", 4*n) + `"`)
		},
		"variables in variables, closed": func(n int) string {
			return doc(`"Effect":"Allow","Action":"*","Resource":"arn:aws:s3:::` + strings.Repeat("${a", 2*n) + strings.Repeat("}", 2*n) + `"`)
		},
		"variables that never get a default": func(n int) string {
			return doc(`"Effect":"Allow","Action":"*","Resource":"arn:aws:s3:::` + strings.Repeat("${ ", 2*n) + "," + strings.Repeat(" ", n) + `"`)
		},
		"unclosed defaults": func(n int) string {
			return doc(`"Effect":"Allow","Action":"*","Resource":"arn:aws:s3:::` + strings.Repeat("${a,'", 2*n) + `"`)
		},
		"arrays in arrays": func(n int) string { return strings.Repeat("[", 8*n) },
		"objects in objects": func(n int) string {
			return strings.Repeat(`{"Statement":`, n)
		},
		"escapes": func(n int) string {
			return doc(`"Effect":"Allow","Action":"*","Resource":"` + strings.Repeat(`\u00e9\n`, n) + `"`)
		},
		"a long number": func(n int) string {
			return doc(allow + `,"Condition":{"NumericEquals":{"aws:username":` + strings.Repeat("9", 8*n) + `}}`)
		},
		"colons": func(n int) string {
			return doc(`"Effect":"Allow","Action":"*","Resource":"arn:` + strings.Repeat("*:", 4*n) + `"`)
		},
		"white space": func(n int) string { return strings.Repeat(" \n", 4*n) + doc(allow) },
	} {
		t.Run(name, func(t *testing.T) {
			const n = 1000
			checkDoubling(t, everything(make(n)), everything(make(2*n)))
		})
	}
}

// TestHostilePatterns holds that matching costs no more than the length of the
// pattern times that of the value: twice of either costs twice as much.
func TestHostilePatterns(t *testing.T) {
	pattern := func(n int) string { return strings.Repeat("*a", n) + "*b" }
	value := func(n int) string { return strings.Repeat("a", n) }
	parse := func(elements string) *policy.Set {
		d, err := policy.Parse(policy.KindIdentity, []byte(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow",`+elements+`}]}`))
		if err != nil {
			t.Fatal(err)
		}
		return &policy.Set{Identity: []policy.Attached{{Document: d}}}
	}
	user := policy.Principal{Type: policy.User, Account: "111122223333"}
	request := func(name, resource, key string) *policy.Request {
		return &policy.Request{Principal: user, Action: "ecs:" + name, Resource: resource, Context: map[string][]string{
			"test:key": {key}, "aws:username": {key}, "aws:tagkeys": strings.Split(key, "")}}
	}
	for name, f := range map[string]func(p, v int) func(){
		"action": func(p, v int) func() {
			s, r := parse(`"Resource":"*","Action":"ecs:`+pattern(p)+`"`), request(value(v), "*", "")
			return func() { policy.Authorize(r, s) }
		},
		"resource": func(p, v int) func() {
			s, r := parse(`"Action":"*","Resource":"arn:aws:s3:::`+pattern(p)+`"`), request("x", "arn:aws:s3:::"+value(v), "")
			return func() { policy.Authorize(r, s) }
		},
		"resource, the parts before": func(p, v int) func() {
			s, r := parse(`"Action":"*","Resource":"arn:aws:s3:`+pattern(p)+`:*:`+pattern(p)+`"`), request("x", "arn:aws:s3:"+value(v)+":"+value(v)+":"+value(v), "")
			return func() { policy.Authorize(r, s) }
		},
		"resource, colons": func(p, v int) func() {
			s, r := parse(`"Action":"*","Resource":"*:*:*:*:*:`+pattern(p)+`"`), request("x", strings.Repeat("a:", v), "")
			return func() { policy.Authorize(r, s) }
		},
		"StringLike": func(p, v int) func() {
			s, r := parse(`"Action":"*","Resource":"*","Condition":{"StringLike":{"test:key":"`+pattern(p)+`"}}`), request("x", "*", value(v))
			return func() { policy.Authorize(r, s) }
		},
		"StringLike with variables": func(p, v int) func() {
			s, r := parse(`"Action":"*","Resource":"*","Condition":{"StringLike":{"test:key":"`+pattern(p)+`${aws:username}"}}`), request("x", "*", value(v))
			return func() { policy.Authorize(r, s) }
		},
		"ArnLike": func(p, v int) func() {
			s, r := parse(`"Action":"*","Resource":"*","Condition":{"ArnLike":{"test:key":"arn:aws:s3:`+pattern(p)+`::`+pattern(p)+`"}}`), request("x", "*", "arn:aws:s3:"+value(v)+"::"+value(v))
			return func() { policy.Authorize(r, s) }
		},
		"sets": func(p, v int) func() {
			values := strings.TrimSuffix(strings.Repeat(`"b",`, p), ",")
			s, r := parse(`"Action":"*","Resource":"*","Condition":{"ForAnyValue:StringLike":{"aws:TagKeys":[`+values+`]}}`), request("x", "*", value(v))
			return func() { policy.Authorize(r, s) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			const p, v = 200, 3000
			checkDoubling(t, f(p, v), f(2*p, v))
			checkDoubling(t, f(p, v), f(p, 2*v))
		})
	}
}

// What a document has that cannot be read is listed up to a bound.
func TestDiagnosticsAreBounded(t *testing.T) {
	d, err := policy.Parse(policy.KindIdentity, []byte(`{"Statement":[`+strings.TrimSuffix(strings.Repeat(`{},`, 1000), ",")+`]}`))
	if err == nil || len(d.Diagnostics) != 20 {
		t.Errorf("%d diagnostics, %v", len(d.Diagnostics), err)
	}
	for _, st := range d.Statements {
		if st.Effect != "" {
			t.Error("a statement without effect has one")
		}
	}
}
