package authz_test

import (
	"strings"
	"testing"

	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/store"
	"github.com/remit-ecs/remit/policy"
)

// directory is who exists: from ARN to unique id.
type directory map[string]string

func (d directory) PrincipalID(_ store.Reader, principalARN string) (string, bool) {
	id, ok := d[principalARN]
	return id, ok
}

func (d directory) PrincipalARN(_ store.Reader, account, id string) (string, bool) {
	for arn, has := range d {
		if has == id && strings.Contains(arn, "::"+account+":") {
			return arn, true
		}
	}
	return "", false
}

const (
	here    = "111122223333"
	app     = "arn:aws:iam::" + here + ":role/team/app"
	run     = "arn:aws:sts::" + here + ":assumed-role/app/run"
	alice   = "arn:aws:iam::" + here + ":user/alice"
	partner = "arn:aws:iam::444455556666:role/partner"
)

func everybody() directory {
	return directory{app: "AROAAPP", run: "AROAAPP:run", alice: "AIDAALICE", partner: "AROAPARTNER"}
}

func granting(principals ...string) string {
	return `{ "Version": "2012-10-17", "Statement": [{"Effect":"Allow","Principal":{"AWS":["` + strings.Join(principals, `", "`) + `"]},"Action":"s3:GetObject","Resource":"*"}] }`
}

func TestBindPrincipals(t *testing.T) {
	for principal, c := range map[string]struct {
		id      string
		missing bool
	}{
		app: {id: "AROAAPP"}, run: {id: "AROAAPP:run"}, alice: {id: "AIDAALICE"}, partner: {id: "AROAPARTNER"},
		"AROAAPP": {id: "AROAAPP"}, "AROAAPP:run": {id: "AROAAPP:run"},
		"*": {}, here: {}, "arn:aws:iam::" + here + ":root": {}, "444455556666": {},
		"arn:aws:sts::" + here + ":federated-user/dev": {},
		// Elsewhere: nobody here knows.
		"arn:aws:iam::999988887777:role/r": {}, "arn:aws:iam::999988887777:user/u": {}, "arn:aws:sts::999988887777:assumed-role/r/s": {},
		"arn:aws:iam::999988887777:group/g": {missing: true},
		// Here: they are not.
		"arn:aws:iam::" + here + ":role/app": {missing: true}, "arn:aws:iam::" + here + ":user/bob": {missing: true},
		"arn:aws:iam::" + here + ":group/g": {missing: true}, "arn:aws:sts::" + here + ":assumed-role/gone/s": {missing: true},
		"arn:aws:s3:::bucket": {missing: true}, "AROAGONE": {missing: true}, "AROAGONE:run": {missing: true}, "nonsense": {missing: true},
	} {
		bound, missing, err := authz.BindPrincipals(nil, everybody(), here, policy.KindResource, granting(principal))
		if err != nil || bound[principal] != c.id || (len(missing) > 0) != c.missing {
			t.Errorf("%s: bound %v, missing %v, %v", principal, bound, missing, err)
		}
	}
	_, missing, err := authz.BindPrincipals(nil, everybody(), here, policy.KindResource,
		`{"Statement":{"Effect":"Allow","Principal":{"Service":["ecs.amazonaws.com","ecs.example.com"]},"Action":"*","Resource":"*"}}`)
	if err != nil || len(missing) != 1 || authz.PrincipalText(missing[0]) != `"SERVICE":"ecs.example.com"` {
		t.Errorf("missing %v, %v", missing, err)
	}
	for _, text := range []string{"", "{", "[]", `{"Statement":[]}x`} {
		if _, _, err := authz.BindPrincipals(nil, everybody(), here, policy.KindResource, text); err == nil {
			t.Errorf("%q was read", text)
		}
	}
}

// A policy means those whom it named when it was saved.
func TestBoundMeansWhoItMeant(t *testing.T) {
	who := everybody()
	text := granting(app, run, alice, partner, "*")
	text = strings.Replace(text, `, "*"`, "", 1)
	bound, missing, err := authz.BindPrincipals(nil, who, here, policy.KindResource, text)
	if err != nil || len(missing) > 0 {
		t.Fatal(missing, err)
	}
	if got := bound.Show(nil, who, here, text); got != text {
		t.Errorf("shown as %s", got)
	}
	session := policy.Principal{Type: policy.AssumedRole, Account: here, ARN: "arn:aws:sts::" + here + ":assumed-role/app/other", RoleARN: app, UserID: "AROAAPP:other"}
	allowed := func(p policy.Principal, text string) bool {
		doc := bound.Parse(policy.KindResource, text)
		set := policy.Set{Resource: &policy.Attached{Layer: policy.LayerResource, Document: doc}}
		return policy.Authorize(&policy.Request{Principal: p, Action: "s3:GetObject", Resource: "arn:aws:s3:::b/k", ResourceAccount: here}, &set).Allowed
	}
	again := session
	again.UserID = "AROANEW:other"
	if !allowed(session, text) || allowed(again, text) {
		t.Error("a session of the role is not let in, or one of the next role of its name is")
	}
	named := session
	named.ARN, named.UserID = run, "AROAAPP:run"
	next := named
	next.UserID = "AROANEW:run"
	if only := granting(run); !allowed(named, only) || allowed(session, only) || allowed(next, only) {
		t.Error("a named session: not let in, or another one is")
	}

	// Renamed, deleted, and back under the old name.
	delete(who, alice)
	who["arn:aws:iam::"+here+":user/staff/alicia"] = "AIDAALICE"
	delete(who, app)
	delete(who, run)
	who[app], who[run] = "AROANEW", "AROANEW:run"
	if got, want := bound.Show(nil, who, here, text), granting("AROAAPP", "AROAAPP:run", "arn:aws:iam::"+here+":user/staff/alicia", partner); got != want {
		t.Errorf("shown as %s\nwant     %s", got, want)
	}
	// An id that was given is shown as who it belongs to.
	byID := granting("AIDAALICE")
	b, _, err := authz.BindPrincipals(nil, who, here, policy.KindResource, byID)
	if err != nil || b.Show(nil, who, here, byID) != granting("arn:aws:iam::"+here+":user/staff/alicia") {
		t.Errorf("%v shown as %s, %v", b, b.Show(nil, who, here, byID), err)
	}
	if authz.Bound(nil).Parse(policy.KindResource, "{") != nil {
		t.Error("what cannot be read was compiled")
	}
}
