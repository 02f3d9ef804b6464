package refusal

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/audit"
)

var update = flag.Bool("update", false, "write testdata/asks.txt anew, and drop from testdata/unfixtured.txt what has a fixture")

// always are the operations that no policy is asked for.
var always = map[string]string{
	"sts:GetCallerIdentity": "no permissions are required, and even an explicit deny does not apply: https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html",
	"sts:GetSessionToken":   "the user is asked for a second factor at most, and policies cannot forbid it: https://docs.aws.amazon.com/STS/latest/APIReference/API_GetSessionToken.html",
}

// usersOnly are the operations that take the long-term credentials of a user
// alone: https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_sts-comparison.html
var usersOnly = map[string]bool{"sts:GetSessionToken": true, "sts:GetFederationToken": true}

// maxGrants bounds the discovery: no operation asks its caller for more.
const maxGrants = 12

// TestRefusals judges every registered operation that has a fixture.
func TestRefusals(t *testing.T) {
	s := newSuite(t)
	ops := s.Gateway().Mux().Operations()
	checkFixtures(t, ops)
	ref := readReference(t)
	scanned := scanKeys(t)
	var table []string
	judged := 0
	for _, op := range ops {
		fixture := fixtures[key(op)]
		if fixture == nil {
			continue
		}
		t.Run(strings.ReplaceAll(key(op), ":", "/"), func(t *testing.T) {
			defer guard(t)
			j := &judge{suite: s, op: op, fixture: fixture, ref: ref, scanned: scanned[op.Service.Name]}
			j.judge(t)
			table = append(table, j.lines...)
			judged++
		})
	}
	if judged == len(fixtures) && !t.Failed() { // -run may pick some
		checkTable(t, table)
	}
}

func key(op *api.OpInfo) string { return op.Service.Name + ":" + op.Name }

// partial are the operations that answer about several things, and refuse each
// for itself.
var partial = map[string]bool{"s3:DeleteObjects": true, "secretsmanager:BatchGetSecretValue": true}

// grant is a permission that turned out to be needed, and the condition keys
// that the question carried.
type grant struct{ action, resource, keys string }

func (g grant) String() string { return g.action + " on " + g.resource }

// judge is the examination of one operation.
type judge struct {
	*suite
	op      *api.OpInfo
	fixture fixture
	ref     reference
	scanned []string
	caller  *role
	lines   []string // of the table
}

// newRole is a caller who may call the operation at all.
func (j *judge) newRole(ctx context.Context) *role {
	if usersOnly[key(j.op)] {
		return j.newUser(ctx)
	}
	return j.suite.newRole(ctx)
}

// nobody is such a caller without policies.
func (j *judge) nobody(ctx context.Context) *role {
	if usersOnly[key(j.op)] {
		return j.newUser(ctx)
	}
	return j.suite.nobody
}

func (j *judge) judge(t *testing.T) {
	f := j.subject(t)
	in := j.fixture(f)
	j.unauthenticated(t, in)
	if why := always[key(j.op)]; why != "" {
		j.alwaysAllowed(t, in)
		j.lines = append(j.lines, fmt.Sprintf("%s\talways allowed", key(j.op)))
		return
	}
	nobody := j.nobody(t.Context())
	first := j.unchanged(t, "a role without policies", func() answer { return j.call(t, nobody.cfg, j.op, in) })
	asked, ok := j.denied(t, first, nobody)
	if !ok {
		return
	}
	j.absent(t, f, in, asked)
	j.caller = j.newRole(t.Context())
	grants, last := j.discover(t, in, maxGrants)
	if t.Failed() {
		return
	}
	j.sameAsked(t, grants, last)
	j.describe(f, grants, last)
	for _, g := range grants {
		j.ref.check(t, g)
	}
	if len(grants) > 1 {
		j.removals(t, len(grants))
	}
	j.spelledOtherwise(t)
}

// unauthenticated tries without a signature and with a wrong one.
func (j *judge) unauthenticated(t *testing.T, in any) {
	want := map[string]string{"unsigned": "MissingAuthenticationTokenException", "wrong secret": "InvalidSignatureException"}
	switch p := j.op.Service.Protocol; {
	case p.IsJSON():
	case p == api.Query:
		want = map[string]string{"unsigned": "MissingAuthenticationToken", "wrong secret": "SignatureDoesNotMatch"}
	default:
		want = map[string]string{"unsigned": "AccessDenied", "wrong secret": "SignatureDoesNotMatch"}
	}
	wrong := must(j.nobody(t.Context()).cfg.Credentials.Retrieve(t.Context()))
	for what, cfg := range map[string]aws.Config{
		"unsigned":     j.as(aws.AnonymousCredentials{}),
		"wrong secret": j.as(credentials.NewStaticCredentialsProvider(wrong.AccessKeyID, wrong.SecretAccessKey+"x", wrong.SessionToken)),
	} {
		a := j.unchanged(t, what, func() answer { return j.call(t, cfg, j.op, in) })
		nobody := what == "unsigned" && j.op.Service.Name == "s3" // one who can be allowed
		switch {
		case a.err == nil && nobody && partial[key(j.op)]:
			if text := string(must(json.Marshal(a.out))); !strings.Contains(text, "AccessDenied") {
				t.Errorf("%s: the answer does not say that it was refused: %s", what, text)
			}
		case a.err == nil:
			t.Errorf("%s: allowed", what)
			continue
		// The answer to a HEAD has no body to name the error in.
		case a.code != want[what] && !(j.op.Method == "HEAD" && a.status == 403):
			t.Errorf("%s: %v, want %s", what, a, want[what])
		case a.record.ErrorCode != want[what]:
			t.Errorf("%s: the trail says %s, want %s", what, a.record.ErrorCode, want[what])
		}
		var asks []audit.Ask
		if x := a.record.AdditionalEventData; x != nil {
			asks = x.Asks
		}
		if nobody {
			if !slices.ContainsFunc(asks, func(k audit.Ask) bool { return k.Principal == "" && !k.Allowed }) {
				t.Errorf("%s: the policy engine did not refuse it: %v", what, asks)
			}
			continue
		}
		if len(asks) > 0 {
			t.Errorf("%s: the policy engine was asked: %v", what, asks)
		}
	}
}

func (j *judge) alwaysAllowed(t *testing.T, in any) {
	r := j.newRole(t.Context())
	if a := j.call(t, r.cfg, j.op, in); a.err != nil {
		t.Errorf("without policies: %v", a)
	}
	r.may(t.Context(), nil, statement{Effect: "Deny", Action: "*", Resource: "*"})
	if a := j.call(t, r.cfg, j.op, in); a.err != nil {
		t.Errorf("with a policy that denies everything: %v", a)
	}
}

var deniedText = regexp.MustCompile(`^User: (\S+) is not authorized to perform: (\S+?)(?: on resource: "?([^"]*?)"?)? because no (identity-based|role trust) policy allows the (\S+) action$`)

// denied checks that an answer is a refusal for want of a permission, in words
// and in the trail, and returns what it wants.
func (j *judge) denied(t *testing.T, a answer, who *role) (grant, bool) {
	t.Helper()
	i := slices.IndexFunc(asksOf(a.record, who), func(k audit.Ask) bool { return !k.Allowed })
	if i < 0 {
		t.Errorf("not a refusal that the trail knows: %v", a)
		return grant{}, false
	}
	ask := asksOf(a.record, who)[i]
	g := grant{action: ask.Action, resource: ask.Resource}
	message := a.message
	switch {
	case a.err == nil && !partial[key(j.op)]:
		t.Errorf("%v was refused, but the request was not", g)
		return g, false
	case a.err == nil:
		text := string(must(json.Marshal(a.out)))
		if !strings.Contains(text, "AccessDenied") {
			t.Errorf("%v was refused, but the answer does not say so: %s", g, text)
		}
		return g, true
	case j.op.Method == "HEAD":
		if a.status != 403 {
			t.Errorf("%v: %v", g, a)
		}
		message = a.record.ErrorMessage
	case j.op.Service.Protocol.IsJSON() && a.code != "AccessDeniedException", !j.op.Service.Protocol.IsJSON() && a.code != "AccessDenied":
		t.Errorf("%v: the code is %s", g, a.code)
	}
	m := deniedText.FindStringSubmatch(message)
	if m == nil || m[1] != who.session || m[2] != ask.Action || m[5] != ask.Action || !names(m[3], ask.Resource) && m[3] != "" {
		t.Errorf("%v was refused with the words\n%s", g, message)
	}
	if m != nil && m[4] == "role trust" && ask.Action != "sts:AssumeRole" { // a role that does not exist trusts nobody
		t.Errorf("%v was refused for a trust policy:\n%s", g, message)
	}
	if m != nil && m[3] == "" && ask.Action != "s3:ListAllMyBuckets" {
		t.Errorf("%v was refused without naming the resource:\n%s", g, message)
	}
	return g, true
}

// asksOf are the questions of a record that its caller had to answer for.
func asksOf(r *audit.Record, who *role) []audit.Ask {
	var out []audit.Ask
	if r.AdditionalEventData != nil {
		for _, k := range r.AdditionalEventData.Asks {
			if k.Principal == who.session {
				out = append(out, k)
			}
		}
	}
	return out
}

// discover grants what is refused until nothing is, or most were granted.
func (j *judge) discover(t *testing.T, in any, most int) (grants []grant, last answer) {
	t.Helper()
	var wrong []string
	for {
		j.caller.may(t.Context(), grants, j.noOther(grants, &wrong)...)
		if len(grants) == most {
			return grants, last
		}
		before := j.snapshot(t)
		a := j.call(t, j.caller.cfg, j.op, in)
		if a.err != nil && !maps.Equal(before, j.snapshot(t)) {
			a = j.unchanged(t, "a refusal", func() answer { return j.call(t, j.caller.cfg, j.op, in) })
		}
		last = a
		if explicit(a, j.caller) {
			more := j.wrongKeys(t, in, grants)
			t.Errorf("condition keys that AWS does not have for the action: %s", strings.Join(more, ", "))
			wrong = append(wrong, more...)
			continue
		}
		i := slices.IndexFunc(asksOf(a.record, j.caller), func(k audit.Ask) bool { return !k.Allowed })
		if i < 0 {
			if a.err != nil {
				t.Fatalf("with %v: %v", grants, a)
			}
			return grants, a
		}
		g, ok := j.denied(t, a, j.caller)
		if !ok {
			return grants, a
		}
		if len(grants) == maxGrants-1 {
			t.Fatalf("still refused with %v: %v", grants, a)
		}
		g.keys = strings.Join(j.keysOf(t, in, grants, g), " ")
		grants = j.with(t, grants, g, a)
	}
}

// with adds a grant. A resource whose ARN is made by the very request (the id
// of a new task) is another one each time; then the grant becomes a pattern.
func (j *judge) with(t *testing.T, grants []grant, g grant, a answer) []grant {
	for i, had := range grants {
		if had.action != g.action {
			continue
		}
		asked := slices.ContainsFunc(asksOf(a.record, j.caller), func(k audit.Ask) bool { return k.Action == had.action && k.Allowed })
		if had.resource == g.resource {
			t.Fatalf("%v is granted and still refused", g)
		}
		if !asked {
			grants[i].resource = common(had.resource, g.resource)
			return grants
		}
	}
	return append(grants, g)
}

// common is a pattern for two ARNs that differ in one place.
func common(a, b string) string {
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	// Chance makes neighbours of ids begin alike.
	i = strings.LastIndexAny(a[:i], "/-:") + 1
	n := 0
	for n < len(a)-i && n < len(b)-i && a[len(a)-1-n] == b[len(b)-1-n] {
		n++
	}
	tail := a[len(a)-n:]
	if k := strings.IndexAny(tail, "/:"); k >= 0 {
		tail = tail[k:]
	} else {
		tail = ""
	}
	return a[:i] + "*" + tail
}

// noOther are statements that refuse the request where a question carries a
// condition key that AWS does not know for the action. The keys are those that
// the service's source spells.
func (j *judge) noOther(grants []grant, known *[]string) []statement {
	var out []statement
	for _, k := range j.scanned {
		var actions []string
		for _, g := range grants {
			if !slices.Contains(actions, g.action) && !j.ref.hasKey(g.action, k) && !slices.Contains(*known, g.action+" "+k) {
				actions = append(actions, g.action)
			}
		}
		if len(actions) > 0 { // one statement a key: policies have a size
			out = append(out, deny(actions, k))
		}
	}
	return out
}

func deny(action any, key string) statement {
	return statement{Effect: "Deny", Action: action, Resource: "*", Condition: map[string]map[string]string{"Null": {key: "false"}}}
}

// wrongKeys finds which keys made noOther refuse. Each is tried where the
// request is refused in any case, so that nothing happens yet: what tells is
// how.
func (j *judge) wrongKeys(t *testing.T, in any, grants []grant) []string {
	t.Helper()
	var wrong []string
	for i, g := range grants {
		for _, st := range j.noOther(grants[i:i+1], &wrong) {
			j.caller.may(t.Context(), grants[:i], st)
			if explicit(j.call(t, j.caller.cfg, j.op, in), j.caller) {
				for k := range st.Condition["Null"] {
					wrong = append(wrong, g.action+" "+k)
				}
			}
		}
	}
	if len(wrong) == 0 {
		t.Fatal("an explicit deny from nowhere")
	}
	return wrong
}

// keysOf finds out which condition keys a question carries, of those that the
// service's source spells and that the reference has for the action. The
// request is refused in any case: the grants before do not allow it.
func (j *judge) keysOf(t *testing.T, in any, before []grant, g grant) []string {
	t.Helper()
	var found []string
	for _, k := range append([]string{"aws:requesttag/" + tagKey, "aws:resourcetag/" + tagKey, "aws:tagkeys"}, j.scanned...) {
		if !j.ref.hasKey(g.action, k) {
			continue
		}
		j.caller.may(t.Context(), before, deny(g.action, k))
		if explicit(j.call(t, j.caller.cfg, j.op, in), j.caller) {
			found = append(found, k)
		}
	}
	slices.Sort(found)
	return found
}

// explicit tells whether a statement that denies refused the request.
func explicit(a answer, who *role) bool {
	return slices.ContainsFunc(asksOf(a.record, who), func(k audit.Ask) bool { return !k.Allowed && strings.Contains(k.Why, "explicit deny") })
}

// sameAsked checks the trail of the allowed call: it asked for what was
// granted, all of it, and for nothing else.
func (j *judge) sameAsked(t *testing.T, grants []grant, a answer) {
	t.Helper()
	used := map[grant]bool{}
	for _, k := range asksOf(a.record, j.caller) {
		i := slices.IndexFunc(grants, func(g grant) bool { return g.action == k.Action && covers(g.resource, k.Resource) })
		switch {
		case !k.Allowed:
			t.Errorf("the allowed call's record has a refusal: %v", k)
		case i < 0 && always[k.Action] != "":
		case i < 0:
			t.Errorf("the allowed call asked for %s on %s, which was not granted", k.Action, k.Resource)
		default:
			used[grants[i]] = true
		}
	}
	for _, g := range grants {
		if !used[g] {
			t.Errorf("the allowed call's record does not have %v", g)
		}
	}
}

func covers(pattern, resource string) bool {
	if pattern == resource {
		return true
	}
	head, tail, star := strings.Cut(pattern, "*")
	return star && strings.HasPrefix(resource, head) && strings.HasSuffix(resource, tail)
}

// removals takes each permission away in turn, on a subject that was not
// touched yet, and in the end gives them all.
func (j *judge) removals(t *testing.T, n int) {
	f := j.subject(t)
	in := j.fixture(f)
	// All but the last, which the refusal that follows names.
	grants, last := j.discover(t, in, n-1)
	if t.Failed() || len(grants) != n-1 {
		t.Fatalf("another subject needs other permissions: %v, then %v", grants, last)
	}
	a := j.unchanged(t, "without the last", func() answer { return j.call(t, j.caller.cfg, j.op, in) })
	g, ok := j.denied(t, a, j.caller)
	if !ok {
		return
	}
	grants = j.with(t, grants, g, a)
	// Its resource may be one that the request itself makes.
	a = j.call(t, j.caller.cfg, j.op, in)
	if again, ok := j.denied(t, a, j.caller); ok && again.action == g.action && again.resource != g.resource {
		grants = j.with(t, grants, again, a)
	}
	if len(grants) != n {
		t.Fatalf("another subject needs other permissions: %v", grants)
	}
	for i, g := range grants {
		j.caller.may(t.Context(), slices.Delete(slices.Clone(grants), i, i+1))
		a := j.unchanged(t, "without "+g.String(), func() answer { return j.call(t, j.caller.cfg, j.op, in) })
		got, ok := j.denied(t, a, j.caller)
		if ok && (got.action != g.action || !covers(g.resource, got.resource)) {
			t.Errorf("without %v the refusal names %v", g, got)
		}
	}
	j.caller.may(t.Context(), grants)
	if a := j.call(t, j.caller.cfg, j.op, in); a.err != nil {
		t.Errorf("with all of %v: %v", grants, a)
	}
}

// names says whether a refusal's words name a resource: by its ARN, or as IAM
// does, by kind and name ("role app"), a policy by kind and ARN.
func names(words, resource string) bool {
	if words == resource || words == "policy "+resource {
		return true
	}
	kind, name, ok := strings.Cut(words, " ")
	return ok && strings.HasPrefix(resource, "arn:aws:iam:") && strings.Contains(resource, ":"+kind+"/") && strings.HasSuffix(resource, "/"+name)
}
