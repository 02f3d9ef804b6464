package policy_test

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/remit-ecs/remit/policy"
)

// checkOrder evaluates with all lists turned round: order must never matter.
func checkOrder(t *testing.T, r *policy.Request, s *policy.Set, want policy.Decision) {
	t.Helper()
	turned := *s
	turned.Identity = reversed(s.Identity)
	turned.Session = reversed(s.Session)
	turned.SCP = reversed(s.SCP)
	turned.RCP = reversed(s.RCP)
	if got := policy.Authorize(r, &turned); outcome(got) != outcome(want) {
		t.Errorf("order matters: %s, reversed %s", outcome(want), outcome(got))
	}
}

func reversed[T any](list []T) []T {
	out := slices.Clone(list)
	slices.Reverse(out)
	return out
}

// world makes random policies and requests over a vocabulary so small that they
// often meet.
type world struct{ *rand.Rand }

func (w world) pick(list ...string) string { return list[w.IntN(len(list))] }

func (w world) statement(kind policy.Kind) map[string]any {
	st := map[string]any{"Effect": w.pick("Allow", "Allow", "Allow", "Deny")}
	st[w.pick("Action", "Action", "Action", "NotAction")] = []string{
		w.pick("*", "ecs:*", "ecs:Run*", "ecs:RunTask", "s3:GetObject", "sts:AssumeRole", "kms:Decrypt"),
		w.pick("ecs:StopTask", "s3:*", "sts:Assume*"),
	}
	if kind != policy.KindTrust {
		st[w.pick("Resource", "Resource", "Resource", "NotResource")] = w.pick("*", "arn:aws:ecs:*:111122223333:*",
			"arn:aws:s3:::b/${aws:username}/*", "arn:aws:iam::111122223333:role/app", "arn:aws:kms:*:*:key/*")
	}
	if kind == policy.KindTrust || kind == policy.KindResource || kind == policy.KindRCP || kind == policy.KindVPCEndpoint {
		var p any = "*"
		switch w.IntN(5) {
		case 0:
			p = map[string]any{"AWS": "111122223333"}
		case 1:
			p = map[string]any{"AWS": []string{"arn:aws:iam::111122223333:user/alice", "arn:aws:iam::111122223333:role/app"}}
		case 2:
			p = map[string]any{"Service": "ecs-tasks.amazonaws.com"}
		case 3:
			p = map[string]any{"AWS": "arn:aws:sts::111122223333:assumed-role/app/one"}
		}
		st[w.pick("Principal", "Principal", "Principal", "NotPrincipal")] = p
	}
	if w.IntN(3) == 0 {
		st["Condition"] = map[string]any{
			w.pick("StringEquals", "StringNotLike", "StringLikeIfExists", "Null", "ForAllValues:StringEquals", "ForAnyValue:StringLike"): map[string]any{
				w.pick("aws:TagKeys", "aws:username", "aws:RequestTag/team"): w.pick("blue", "alice", "true", "b*"),
			},
		}
	}
	return st
}

func (w world) attached(t *testing.T, kind policy.Kind, statements []map[string]any) policy.Attached {
	text, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": statements})
	if err != nil {
		t.Fatal(err)
	}
	doc, err := policy.Parse(kind, text)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return policy.Attached{Name: "p", Document: doc}
}

func (w world) some(t *testing.T, kind policy.Kind) policy.Attached {
	var list []map[string]any
	for range 1 + w.IntN(3) {
		list = append(list, w.statement(kind))
	}
	return w.attached(t, kind, list)
}

func (w world) list(t *testing.T, kind policy.Kind) []policy.Attached {
	var list []policy.Attached
	for range w.IntN(4) {
		list = append(list, w.some(t, kind))
	}
	return list
}

func (w world) set(t *testing.T) policy.Set {
	maybe := func(kind policy.Kind) *policy.Attached {
		if w.IntN(2) == 0 {
			return nil
		}
		a := w.some(t, kind)
		return &a
	}
	s := policy.Set{Identity: w.list(t, policy.KindIdentity), Resource: maybe(policy.KindResource), Trust: maybe(policy.KindTrust)}
	if w.IntN(3) == 0 {
		s.Boundary = maybe(policy.KindIdentity)
	}
	if w.IntN(3) == 0 {
		s.HasSession, s.Session = true, w.list(t, policy.KindSession)
	}
	if w.IntN(4) == 0 {
		s.SCP = [][]policy.Attached{w.list(t, policy.KindSCP)}
	}
	if w.IntN(4) == 0 {
		s.RCP = [][]policy.Attached{w.list(t, policy.KindRCP)}
	}
	return s
}

func (w world) request() *policy.Request {
	r := &policy.Request{
		Action: w.pick("ecs:RunTask", "ecs:StopTask", "s3:GetObject", "sts:AssumeRole", "kms:Decrypt"),
		Resource: w.pick("*", "arn:aws:ecs:eu-west-1:111122223333:task/a", "arn:aws:s3:::b/alice/x",
			"arn:aws:iam::111122223333:role/app", "arn:aws:kms:eu-west-1:444455556666:key/k"),
		ResourceAccount: w.pick("", "111122223333", "444455556666"),
		Context:         map[string][]string{},
	}
	switch w.IntN(6) {
	case 0:
		r.Principal = policy.Principal{Type: policy.Service, Service: "ecs-tasks.amazonaws.com"}
	case 1:
		r.Principal = policy.Principal{Type: policy.AssumedRole, Account: "111122223333", UserID: "AROAEXAMPLE:one",
			ARN: "arn:aws:sts::111122223333:assumed-role/app/one", RoleARN: "arn:aws:iam::111122223333:role/app"}
	case 2:
		r.Principal = policy.Principal{Type: policy.Root, Account: "111122223333", ARN: "arn:aws:iam::111122223333:root"}
	case 3:
		r.Principal = policy.Principal{}
	default:
		r.Principal = policy.Principal{Type: policy.User, Account: "111122223333", UserID: "AIDAEXAMPLE", ARN: "arn:aws:iam::111122223333:user/alice"}
	}
	r.Principal.FillContext(r.Context)
	if w.IntN(2) == 0 {
		r.Context["aws:tagkeys"] = []string{"team", "blue"}[:1+w.IntN(2)]
		r.Context["aws:requesttag/team"] = []string{w.pick("blue", "red")}
	}
	return r
}

func TestProperties(t *testing.T) {
	w := world{rand.New(rand.NewPCG(1, 2))}
	allowed := 0
	for range 4000 {
		s, r := w.set(t), w.request()
		before := policy.Authorize(r, &s)
		if before.Allowed {
			allowed++
		}
		checkOrder(t, r, &s, before)
		if got := policy.Explain(r, &s); outcome(got.Decision) != outcome(before) {
			t.Fatalf("Explain decides %s, Authorize %s", outcome(got.Decision), outcome(before))
		} else if strings.HasPrefix(got.Suggest(), "{") {
			added := s
			doc, err := policy.Parse(policy.KindIdentity, []byte(`{"Version":"2012-10-17","Statement":`+got.Suggest()+`}`))
			if err != nil {
				t.Fatal(err)
			}
			added.Identity = append(slices.Clone(s.Identity), policy.Attached{Document: doc})
			if !policy.Authorize(r, &added).Allowed {
				t.Fatalf("the suggestion %s does not help", got.Suggest())
			}
		}

		// An added Deny never allows, wherever it is added.
		deny := w.statement(policy.KindIdentity)
		deny["Effect"] = "Deny"
		added := s
		added.Identity = append(slices.Clone(s.Identity), w.attached(t, policy.KindIdentity, []map[string]any{deny}))
		if !before.Allowed && policy.Authorize(r, &added).Allowed {
			t.Fatalf("an added Deny allowed %+v: %v", r, deny)
		}

		// An added boundary, or session policy, or SCP never widens.
		for _, narrow := range []func(*policy.Set){
			func(s *policy.Set) { a := w.some(t, policy.KindIdentity); s.Boundary = &a },
			func(s *policy.Set) { s.HasSession, s.Session = true, w.list(t, policy.KindSession) },
			func(s *policy.Set) { s.SCP = [][]policy.Attached{w.list(t, policy.KindSCP)} },
			func(s *policy.Set) { a := w.some(t, policy.KindVPCEndpoint); s.VPCEndpoint = &a },
		} {
			narrower := s
			if s.Boundary != nil || s.HasSession || s.SCP != nil {
				continue // replacing one may well widen
			}
			narrow(&narrower)
			if !before.Allowed && policy.Authorize(r, &narrower).Allowed {
				t.Fatalf("a narrower set allowed %+v", r)
			}
		}

		// What cannot be read denies.
		broken := s
		broken.Identity = append(slices.Clone(s.Identity), policy.Attached{})
		if r.Principal.Type != policy.Service && r.Principal.Type != policy.Anonymous && policy.Authorize(r, &broken).Allowed {
			t.Fatalf("allowed beside an unreadable policy: %+v", r)
		}
	}
	if allowed < 200 || allowed > 3600 {
		t.Errorf("%d of 4000 requests were allowed: the world is too one-sided to show much", allowed)
	}
}
