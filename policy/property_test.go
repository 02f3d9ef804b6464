package policy_test

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strconv"
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

// attached keeps the statements as the Id of the document, for apply.
func (w world) attached(t *testing.T, kind policy.Kind, statements []map[string]any) policy.Attached {
	id, _ := json.Marshal(statements)
	text, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Id": string(id), "Statement": statements})
	if err != nil {
		t.Fatal(err)
	}
	doc, err := policy.Parse(kind, text)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return policy.Attached{Name: "p" + strconv.Itoa(w.IntN(1e9)), Document: doc}
}

// apply does to a set what changes say, from the text of its documents.
func (w world) apply(t *testing.T, s policy.Set, changes []policy.Change) policy.Set {
	t.Helper()
	edit := func(a policy.Attached, kind policy.Kind, c policy.Change) policy.Attached {
		var statements []map[string]any
		if a.Document != nil {
			if err := json.Unmarshal([]byte(a.Document.ID), &statements); err != nil {
				t.Fatal(err)
			}
		}
		if c.Kind == policy.AddStatement {
			var st map[string]any
			if err := json.Unmarshal([]byte(c.Statement), &st); err != nil {
				t.Fatal(err)
			}
			return w.attached(t, kind, append(statements, st))
		}
		harmless := map[string]any{"Effect": "Deny", "Action": "none:None"}
		for k, v := range statements[c.Ref.Index] {
			if strings.HasSuffix(k, "Principal") || strings.HasSuffix(k, "Resource") {
				harmless[k] = v
			}
		}
		statements[c.Ref.Index] = harmless
		return w.attached(t, kind, statements)
	}
	in := func(list []policy.Attached, kind policy.Kind, c policy.Change) []policy.Attached {
		list = slices.Clone(list)
		for i := range list {
			if c.Policy != nil && list[i].Name == c.Policy.Name {
				name := list[i].Name
				list[i] = edit(list[i], kind, c)
				list[i].Name = name
			}
		}
		if c.Policy == nil {
			list = append(list, edit(policy.Attached{}, kind, c))
		}
		return list
	}
	one := func(a *policy.Attached, kind policy.Kind, c policy.Change) *policy.Attached {
		if a == nil {
			a = &policy.Attached{}
		}
		b := edit(*a, kind, c)
		return &b
	}
	for _, c := range changes {
		switch c.Layer {
		case policy.LayerIdentity:
			s.Identity = in(s.Identity, policy.KindIdentity, c)
		case policy.LayerSession:
			s.Session, s.HasSession = in(s.Session, policy.KindSession, c), true
		case policy.LayerBoundary:
			s.Boundary = one(s.Boundary, policy.KindIdentity, c)
		case policy.LayerVPCEndpoint:
			s.VPCEndpoint = one(s.VPCEndpoint, policy.KindVPCEndpoint, c)
		case policy.LayerResource:
			s.Resource = one(s.Resource, policy.KindResource, c)
		case policy.LayerTrust:
			s.Trust = one(s.Trust, policy.KindTrust, c)
		case policy.LayerSCP, policy.LayerRCP:
			levels, kind := &s.SCP, policy.KindSCP
			if c.Layer == policy.LayerRCP {
				levels, kind = &s.RCP, policy.KindRCP
			}
			*levels = slices.Clone(*levels)
			if c.Kind == policy.AddStatement {
				(*levels)[c.Level-1] = in((*levels)[c.Level-1], kind, c)
				continue
			}
			for i := range *levels {
				(*levels)[i] = in((*levels)[i], kind, c)
			}
		}
	}
	return s
}

// checkReport reads the JSON form back: it must draw the same tree.
func checkReport(t *testing.T, why *policy.Reasons) {
	t.Helper()
	text, err := json.Marshal(why)
	if err != nil {
		t.Fatal(err)
	}
	var back policy.Report
	if err := json.Unmarshal(text, &back); err != nil {
		t.Fatal(err)
	}
	if back.Tree() != why.Tree() {
		t.Fatalf("the tree of the record differs:\n%s\n%s", back.Tree(), why)
	}
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
		got := policy.Explain(r, &s)
		if outcome(got.Decision) != outcome(before) {
			t.Fatalf("Explain decides %s, Authorize %s", outcome(got.Decision), outcome(before))
		} else if !before.Allowed {
			changed := w.apply(t, s, got.Changes())
			if after := policy.Authorize(r, &changed); !after.Allowed {
				t.Fatalf("the changes %s do not help:\n%s", got.Suggest(), policy.Explain(r, &changed))
			}
		}
		checkReport(t, got)

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
