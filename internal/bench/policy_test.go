package bench

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cedar-policy/cedar-go"
	"github.com/cedar-policy/cedar-go/types"

	"github.com/remit-ecs/remit/policy"
)

// The rules of a role that deploys: five policies, ten statements, conditions
// with sets, patterns, addresses and dates, and policy variables.
var deployPolicies = []string{`{
  "Version": "2012-10-17",
  "Statement": [
    {"Sid": "Look", "Effect": "Allow", "Action": ["ecs:Describe*", "ecs:List*"], "Resource": "*",
     "Condition": {"StringEquals": {"aws:RequestedRegion": ["eu-west-1", "eu-central-1"]}}},
    {"Sid": "Logs", "Effect": "Allow", "Action": ["logs:GetLogEvents", "logs:FilterLogEvents"],
     "Resource": "arn:aws:logs:eu-west-1:111122223333:log-group:/ecs/*"}
  ]}`, `{
  "Version": "2012-10-17",
  "Statement": [
    {"Sid": "Run", "Effect": "Allow", "Action": ["ecs:RunTask", "ecs:StartTask"],
     "Resource": "arn:aws:ecs:eu-west-1:111122223333:task-definition/web:*",
     "Condition": {
       "StringEquals": {"aws:RequestTag/team": "${aws:PrincipalTag/team}"},
       "ArnLike": {"ecs:cluster": "arn:aws:ecs:eu-west-1:111122223333:cluster/prod-*"},
       "Bool": {"aws:SecureTransport": "true"}}},
    {"Sid": "Pass", "Effect": "Allow", "Action": "iam:PassRole", "Resource": "arn:aws:iam::111122223333:role/app-*",
     "Condition": {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}}}
  ]}`, `{
  "Version": "2012-10-17",
  "Statement": [
    {"Sid": "Objects", "Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject"],
     "Resource": "arn:aws:s3:::data/${aws:PrincipalTag/team}/*"},
    {"Sid": "Bucket", "Effect": "Allow", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::data",
     "Condition": {"StringLike": {"s3:prefix": "${aws:PrincipalTag/team}/*"}}}
  ]}`, `{
  "Version": "2012-10-17",
  "Statement": [
    {"Sid": "Inside", "Effect": "Deny", "Action": "ecs:*", "Resource": "*",
     "Condition": {"NotIpAddress": {"aws:SourceIp": ["10.0.0.0/8", "192.168.0.0/16"]}}},
    {"Sid": "Region", "Effect": "Deny", "Action": "ecs:RunTask", "Resource": "*",
     "Condition": {"StringNotEquals": {"aws:RequestedRegion": ["eu-west-1", "eu-central-1"]}}}
  ]}`, `{
  "Version": "2012-10-17",
  "Statement": [
    {"Sid": "Secrets", "Effect": "Allow", "Action": "secretsmanager:GetSecretValue",
     "Resource": "arn:aws:secretsmanager:eu-west-1:111122223333:secret:${aws:PrincipalTag/team}/*",
     "Condition": {"StringEquals": {"secretsmanager:VersionStage": "AWSCURRENT"}}},
    {"Sid": "Until", "Effect": "Deny", "Action": ["ecs:RunTask", "secretsmanager:GetSecretValue"], "Resource": "*",
     "Condition": {"DateGreaterThan": {"aws:CurrentTime": "2030-01-01T00:00:00Z"}}}
  ]}`}

// The same rules for cedar-go, as its users write them: the action in the
// scope, groups of actions as parents, attributes of entities and the context.
const deployCedar = `
@id("Look") permit (principal == Role::"deploy", action in [Action::"ecs:Describe", Action::"ecs:List"], resource)
when { ["eu-west-1", "eu-central-1"].contains(context.region) };
@id("Logs") permit (principal == Role::"deploy", action in [Action::"logs:GetLogEvents", Action::"logs:FilterLogEvents"], resource)
when { resource.arn like "arn:aws:logs:eu-west-1:111122223333:log-group:/ecs/*" };
@id("Run") permit (principal == Role::"deploy", action in [Action::"ecs:RunTask", Action::"ecs:StartTask"], resource)
when { resource.arn like "arn:aws:ecs:eu-west-1:111122223333:task-definition/web:*" &&
  context has requestTeam && context.requestTeam == principal.team &&
  context has cluster && context.cluster like "arn:aws:ecs:eu-west-1:111122223333:cluster/prod-*" &&
  context.secureTransport };
@id("Pass") permit (principal == Role::"deploy", action == Action::"iam:PassRole", resource)
when { resource.arn like "arn:aws:iam::111122223333:role/app-*" &&
  context has passedToService && context.passedToService == "ecs-tasks.amazonaws.com" };
@id("Objects") permit (principal == Role::"deploy", action in [Action::"s3:GetObject", Action::"s3:PutObject"], resource)
when { resource.arn like "arn:aws:s3:::data/*" && resource.team == principal.team };
@id("Bucket") permit (principal == Role::"deploy", action == Action::"s3:ListBucket", resource)
when { resource.arn == "arn:aws:s3:::data" && context has prefixTeam && context.prefixTeam == principal.team };
@id("Inside") forbid (principal, action in Action::"ecs", resource)
unless { context.sourceIp.isInRange(ip("10.0.0.0/8")) || context.sourceIp.isInRange(ip("192.168.0.0/16")) };
@id("Region") forbid (principal, action == Action::"ecs:RunTask", resource)
unless { ["eu-west-1", "eu-central-1"].contains(context.region) };
@id("Secrets") permit (principal == Role::"deploy", action == Action::"secretsmanager:GetSecretValue", resource)
when { resource.arn like "arn:aws:secretsmanager:eu-west-1:111122223333:secret:*" && resource.team == principal.team &&
  context has versionStage && context.versionStage == "AWSCURRENT" };
@id("Until") forbid (principal, action in [Action::"ecs:RunTask", Action::"secretsmanager:GetSecretValue"], resource)
when { context.currentTime > datetime("2030-01-01T00:00:00Z") };
`

func parsed(t testing.TB, text string) *policy.Document {
	t.Helper()
	d, err := policy.Parse(policy.KindIdentity, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// deploySet is the role's policies, and deployRequest a request to run a task
// for a team from an address.
func deploySet(t testing.TB) *policy.Set {
	t.Helper()
	s := &policy.Set{}
	for i, text := range deployPolicies {
		s.Identity = append(s.Identity, policy.Attached{Name: fmt.Sprintf("policy%d", i), Document: parsed(t, text)})
	}
	return s
}

func deployRequest(team, address string) *policy.Request {
	r := &policy.Request{
		Principal: policy.Principal{Type: policy.AssumedRole, Account: "111122223333", UserID: "AROAEXAMPLE:ci",
			ARN: "arn:aws:sts::111122223333:assumed-role/deploy/ci", RoleARN: "arn:aws:iam::111122223333:role/deploy"},
		Action:   "ecs:RunTask",
		Resource: "arn:aws:ecs:eu-west-1:111122223333:task-definition/web:7",
		Context: map[string][]string{
			"aws:requesttag/team": {team}, "aws:principaltag/team": {"blue"}, "aws:requestedregion": {"eu-west-1"},
			"ecs:cluster": {"arn:aws:ecs:eu-west-1:111122223333:cluster/prod-1"}, "aws:sourceip": {address},
			"aws:securetransport": {"true"}, "aws:currenttime": {"2026-11-22T10:00:00Z"}, "aws:useragent": {"bench"},
		},
	}
	r.Principal.FillContext(r.Context)
	return r
}

// cedarDeploy is the same for cedar-go.
func cedarDeploy(t testing.TB, team, address string) (*cedar.PolicySet, cedar.EntityMap, cedar.Request) {
	t.Helper()
	ps, err := cedar.NewPolicySetFromBytes("deploy.cedar", []byte(deployCedar))
	if err != nil {
		t.Fatal(err)
	}
	if n := len(slices.Collect(func(yield func(int) bool) {
		for range ps.All() {
			if !yield(0) {
				return
			}
		}
	})); n != 10 {
		t.Fatalf("%d policies of cedar", n)
	}
	uid := func(kind, id string) cedar.EntityUID {
		return cedar.NewEntityUID(cedar.EntityType(kind), types.String(id))
	}
	const definition = "arn:aws:ecs:eu-west-1:111122223333:task-definition/web:7"
	role, action, resource := uid("Role", "deploy"), uid("Action", "ecs:RunTask"), uid("TaskDefinition", definition)
	entities := cedar.EntityMap{
		role:     {UID: role, Attributes: cedar.NewRecord(cedar.RecordMap{"team": types.String("blue")})},
		action:   {UID: action, Parents: cedar.NewEntityUIDSet(uid("Action", "ecs"))},
		resource: {UID: resource, Attributes: cedar.NewRecord(cedar.RecordMap{"arn": types.String(definition), "team": types.String("blue")})},
	}
	ip, err := types.ParseIPAddr(address)
	if err != nil {
		t.Fatal(err)
	}
	return ps, entities, cedar.Request{Principal: role, Action: action, Resource: resource, Context: cedar.NewRecord(cedar.RecordMap{
		"requestTeam": types.String(team), "region": types.String("eu-west-1"), "sourceIp": ip, "secureTransport": types.True,
		"cluster":     types.String("arn:aws:ecs:eu-west-1:111122223333:cluster/prod-1"),
		"currentTime": types.NewDatetime(time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)),
	})}
}

// loop measures the processor time that one call of f takes.
func loop(t *testing.T, n int, f func()) time.Duration {
	t.Helper()
	runtime.GC() // what was left behind before is not f's
	before := processorTime(t)
	for range n {
		f()
	}
	return (processorTime(t) - before) / time.Duration(n)
}

// ratio is how many times as long slow takes as fast: the median of interleaved
// rounds, and of several attempts the best, since other work on the machine only
// disturbs. It stops at the first attempt that reaches bound.
func ratio(t *testing.T, bound float64, fast, slow func()) (times float64, fastest, slowest time.Duration) {
	t.Helper()
	const n = 4000
	for range attempts {
		var ratios []float64
		var fasts, slows []time.Duration
		for range rounds {
			f, s := loop(t, 4*n, fast), loop(t, n, slow)
			ratios, fasts, slows = append(ratios, float64(s)/float64(f)), append(fasts, f), append(slows, s)
		}
		if m := median(ratios); m > times {
			times, fastest, slowest = m, median(fasts), median(slows)
		}
		if times >= bound {
			break
		}
	}
	return times, fastest, slowest
}

// TestRatioAuthorize holds that a decision takes no memory, and at most a
// quarter of what cedar-go takes over equal rules in the same run.
func TestRatioAuthorize(t *testing.T) {
	const bound = 4
	for _, tc := range []struct {
		name, team, address string
		effect              policy.Effect
	}{
		{"allowed", "blue", "10.1.2.3", policy.Allowed},
		{"implicit deny", "red", "10.1.2.3", policy.ImplicitDeny},
		{"explicit deny", "blue", "203.0.113.9", policy.ExplicitDeny},
	} {
		t.Run(tc.name, func(t *testing.T) {
			set, request := deploySet(t), deployRequest(tc.team, tc.address)
			if d := policy.Authorize(request, set); d.Effect != tc.effect {
				t.Fatalf("%s\n%s", d.Effect, policy.Explain(request, set))
			}
			ps, entities, req := cedarDeploy(t, tc.team, tc.address)
			decision, diagnostic := cedar.Authorize(ps, entities, req)
			if bool(decision) != (tc.effect == policy.Allowed) || len(diagnostic.Errors) > 0 {
				t.Fatalf("cedar-go decides %v, %v", decision, diagnostic)
			}
			if tc.effect == policy.ExplicitDeny && len(diagnostic.Reasons) == 0 {
				t.Fatal("cedar-go denies for another reason")
			}
			if n := testing.AllocsPerRun(1000, func() { policy.Authorize(request, set) }); n != 0 {
				t.Errorf("a decision takes %v allocations, must be 0", n)
			}
			times, ours, theirs := ratio(t, bound,
				func() { policy.Authorize(request, set) },
				func() { cedar.Authorize(ps, entities, req) })
			t.Logf("policy.Authorize %v (target 1µs), cedar-go %v: %.1f times as fast", ours, theirs, times)
			if times < bound {
				t.Errorf("%.2f times as fast as cedar-go, must be at least %d", times, bound)
			}
		})
	}
}

// curve is a document with one statement about the request among n. The others
// are about other actions, most of the same service.
func curve(t testing.TB, n int, pattern func(i int) string) *policy.Set {
	t.Helper()
	var b strings.Builder
	b.WriteString(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"ecs:RunTask","Resource":"arn:aws:ecs:eu-west-1:111122223333:task-definition/web:*"}`)
	for i := 1; i < n; i++ {
		fmt.Fprintf(&b, `,{"Effect":"Allow","Action":[%q],"Resource":"arn:aws:ecs:eu-west-1:111122223333:cluster/c%d","Condition":{"StringEquals":{"aws:RequestedRegion":"eu-west-1"}}}`, pattern(i), i)
	}
	b.WriteString("]}")
	return &policy.Set{Identity: []policy.Attached{{Name: "curve", Document: parsed(t, b.String())}}}
}

// TestRatioStatements holds that statements about other actions cost next to
// nothing: a thousand may take no more than twice as long as one.
func TestRatioStatements(t *testing.T) {
	request := deployRequest("blue", "10.1.2.3")
	services := []string{"ecs", "s3", "iam", "logs", "ecr"}
	for _, tc := range []struct {
		name    string
		pattern func(i int) string
	}{
		{"other actions", func(i int) string { return fmt.Sprintf("%s:Action%d", services[i%len(services)], i) }},
		{"other services, whole", func(i int) string { return fmt.Sprintf("service%d:*", i) }},
		{"patterns of the same service", func(i int) string { return fmt.Sprintf("ecs:Action%d*", i) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			const bound = 2
			one := curve(t, 1, tc.pattern)
			best := 0.0
			for range attempts {
				var line strings.Builder
				for _, n := range []int{1, 10, 100, 1000} {
					set := curve(t, n, tc.pattern)
					if !policy.Authorize(request, set).Allowed {
						t.Fatal("not allowed")
					}
					var ratios []float64
					var times []time.Duration
					for range rounds {
						base, d := loop(t, 4000, func() { policy.Authorize(request, one) }), loop(t, 4000, func() { policy.Authorize(request, set) })
						ratios, times = append(ratios, float64(d)/float64(base)), append(times, d)
					}
					fmt.Fprintf(&line, "  %d: %v (%.2f)", n, median(times), median(ratios))
					if m := median(ratios); n == 1000 && (best == 0 || m < best) {
						best = m
					}
				}
				t.Logf("statements: time (times that of one)%s", line.String())
				if best <= bound {
					return
				}
			}
			t.Errorf("a thousand statements take %.2f times as long as one, may take %d", best, bound)
		})
	}
}

// TestRatioCompile prints what compiling AWS's managed policies takes. It is
// held against encoding/json reading the same text into maps: compiling may not
// take more than five times as long.
func TestRatioCompile(t *testing.T) {
	packed, err := os.ReadFile("../service/iam/awsmanaged.json.gz")
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	var list []struct{ Name, Document string }
	if err := json.NewDecoder(z).Decode(&list); err != nil {
		t.Fatal(err)
	}
	size, statements := 0, 0
	var texts [][]byte
	for _, p := range list {
		d, err := policy.Parse(policy.KindIdentity, []byte(p.Document))
		if err != nil {
			t.Fatalf("%s: %v", p.Name, err)
		}
		size, statements, texts = size+len(p.Document), statements+len(d.Statements), append(texts, []byte(p.Document))
	}
	const bound = 5
	compile := func() {
		for _, text := range texts {
			_, _ = policy.Parse(policy.KindIdentity, text)
		}
	}
	read := func() {
		for _, text := range texts {
			var v any
			_ = json.Unmarshal(text, &v)
		}
	}
	best, took := 0.0, time.Duration(0)
	for range attempts {
		var ratios []float64
		var times []time.Duration
		for range rounds {
			c, r := loop(t, 4, compile), loop(t, 4, read)
			ratios, times = append(ratios, float64(c)/float64(r)), append(times, c)
		}
		if m := median(ratios); best == 0 || m < best {
			best, took = m, median(times)
		}
		if best <= bound {
			break
		}
	}
	t.Logf("%d managed policies, %d statements, %d bytes: compiled in %v, %v each; %.1f times as long as encoding/json takes to read them",
		len(list), statements, size, took, took/time.Duration(len(list)), best)
	if best > bound {
		t.Errorf("compiling takes %.2f times as long as encoding/json takes to read, may take %d", best, bound)
	}
}
