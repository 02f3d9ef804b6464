package resourcepolicy

import (
	"strings"
	"testing"

	"github.com/remit-ecs/remit/internal/store"
	"github.com/remit-ecs/remit/policy"
)

const account = "111122223333"

// nobody is an account without users and roles.
type nobody struct{}

func (nobody) PrincipalID(store.Reader, string) (string, bool)          { return "", false }
func (nobody) PrincipalARN(store.Reader, string, string) (string, bool) { return "", false }

// statement is a policy with one statement that allows s3:GetObject.
func statement(rest string) string {
	return `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:GetObject","Resource":"*",` + rest + `}}`
}

// TestPublic holds the meaning of "public" against AWS's description:
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-control-block-public-access.html#access-control-block-public-access-policy-status
func TestPublic(t *testing.T) {
	const star = `"Principal":"*"`
	for _, tc := range []struct {
		text string
		want bool
	}{
		{statement(star), true},
		{statement(`"Principal":{"AWS":"*"}`), true},
		{statement(`"Principal":{"AWS":["444455556666","*"]}`), true},
		{statement(`"NotPrincipal":{"AWS":"444455556666"}`), true},
		{statement(`"Principal":{"AWS":"444455556666"}`), false},
		{statement(`"Principal":{"Service":"cloudtrail.amazonaws.com"}`), false},
		{strings.Replace(statement(star), "Allow", "Deny", 1), false},
		{statement(star + `,"Condition":{"StringEquals":{"aws:SourceVpc":"vpc-1"}}`), false},
		{statement(star + `,"Condition":{"StringLike":{"aws:SourceVpc":"vpc-*"}}`), true},
		{statement(star + `,"Condition":{"StringEquals":{"aws:PrincipalOrgID":["o-1","o-2"]}}`), false},
		{statement(star + `,"Condition":{"StringEquals":{"aws:PrincipalOrgID":["o-1","${aws:username}"]}}`), true},
		{statement(star + `,"Condition":{"StringEqualsIfExists":{"aws:PrincipalOrgID":"o-1"}}`), true},
		{statement(star + `,"Condition":{"StringNotEquals":{"aws:PrincipalOrgID":"o-1"}}`), true},
		{statement(star + `,"Condition":{"ForAllValues:StringEquals":{"aws:PrincipalOrgID":"o-1"}}`), true},
		{statement(star + `,"Condition":{"ForAnyValue:StringEquals":{"AWS:principalorgid":"o-1"}}`), false},
		{statement(star + `,"Condition":{"StringEquals":{"s3:prefix":"public"}}`), true},
		{statement(star + `,"Condition":{"Bool":{"aws:SecureTransport":true}}`), true},
		{statement(star + `,"Condition":{"IpAddress":{"aws:SourceIp":"192.0.2.0/24"}}`), false},
		{statement(star + `,"Condition":{"IpAddress":{"aws:SourceIp":"192.0.2.1"}}`), false},
		{statement(star + `,"Condition":{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}`), false},
		{statement(star + `,"Condition":{"IpAddress":{"aws:SourceIp":["192.0.2.1","0.0.0.0/1"]}}`), true},
		{statement(star + `,"Condition":{"IpAddress":{"aws:SourceIp":"2001:db8::/32"}}`), false},
		{statement(star + `,"Condition":{"IpAddress":{"aws:SourceIp":"2000::/3"}}`), true},
		{statement(star + `,"Condition":{"NotIpAddress":{"aws:SourceIp":"192.0.2.1"}}`), true},
		{statement(star + `,"Condition":{"ArnLike":{"aws:SourceArn":"arn:aws:sns:us-east-1:444455556666:t"},"StringEquals":{"s3:prefix":"x"}}`), false},
	} {
		d, err := New(nil, nobody{}, account, tc.text)
		if err != nil {
			t.Errorf("%s: %v", tc.text, err)
			continue
		}
		if got := d.Outline.Public(); got != tc.want || d.Public() != tc.want {
			t.Errorf("%s: public %v, want %v", tc.text, got, tc.want)
		}
	}
}

// TestUnreadable has stored policies that cannot be read any more: they deny
// what another policy allows, and count as public.
func TestUnreadable(t *testing.T) {
	allow, err := policy.Parse(policy.KindIdentity, []byte(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`))
	if err != nil {
		t.Fatal(err)
	}
	r := &policy.Request{Principal: policy.Principal{Type: policy.User, Account: account, ARN: "arn:aws:iam::" + account + ":user/u"}, Action: "s3:GetObject", Resource: "arn:aws:s3:::b/k", ResourceAccount: account}
	set := &policy.Set{Identity: []policy.Attached{{Document: allow}}}
	if d := policy.Authorize(r, set); !d.Allowed {
		t.Fatal("denied without a resource policy")
	}
	for _, text := range []string{"", "{", "[]", `{"Statement":{"Effect":"Allow"}}`, `{"Version":"2012-10-17","Statement":[{"Effect":"Perhaps","Principal":"*","Action":"s3:*","Resource":"*"}]}`} {
		p := &Policy{Text: text}
		for _, a := range []*policy.Attached{p.Attached("policy"), p.With("policy", `{"Effect":"Deny","Principal":"*","Action":"s3:PutObject"}`)} {
			set.Resource = a
			if d := policy.Authorize(r, set); d.Allowed {
				t.Errorf("%q allows", text)
			}
		}
		if _, err := New(nil, nobody{}, account, text); err == nil {
			t.Errorf("%q can be stored", text)
		}
	}
	if !(&Policy{Text: "{"}).Public() {
		t.Error("what cannot be read is not public")
	}
}

// TestWith adds a statement that denies.
func TestWith(t *testing.T) {
	for _, text := range []string{statement(`"Principal":"*"`), strings.Replace(strings.Replace(statement(`"Principal":"*"`), `"Statement":{`, `"Statement":[{`, 1), "}}", "}]}", 1)} {
		p := &Policy{Text: text}
		r := &policy.Request{Principal: policy.Principal{Type: policy.Anonymous}, Action: "s3:GetObject", Resource: "arn:aws:s3:::b/k", ResourceAccount: account}
		if d := policy.Authorize(r, &policy.Set{Resource: p.Attached("p")}); !d.Allowed {
			t.Fatal("not allowed")
		}
		with := p.With("p", `{"Sid":"no","Effect":"Deny","Principal":"*","Action":"s3:*","Resource":"*"}`)
		d := policy.Authorize(r, &policy.Set{Resource: with})
		if d.Allowed || d.Statement.Get().Sid != "no" {
			t.Errorf("with a Deny: %+v", d)
		}
		if p.Text != text {
			t.Error("the text was changed")
		}
	}
	if a := (*Policy)(nil).Attached("none"); a != nil {
		t.Errorf("no policy is %+v", a)
	}
}

// FuzzNew: whatever can be stored is read the same way by the outline and by
// the engine, and never panics.
func FuzzNew(f *testing.F) {
	for _, s := range []string{
		statement(`"Principal":"*"`), statement(`"Principal":{"AWS":["444455556666","*"],"Service":"s3.amazonaws.com"}`),
		statement(`"NotPrincipal":{"AWS":"*"},"Condition":{"IpAddress":{"aws:SourceIp":["::/0",1,true]}}`),
		`{"Statement":[{"Effect":"Deny","Principal":"*","NotAction":["a:b"],"NotResource":"*"}]}`, `{"Id":"x","Statement":[]}`, "", "{}",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, err := New(nil, nobody{}, account, text)
		if err != nil {
			return
		}
		doc := d.Attached("p").Document
		if doc == nil || len(doc.Diagnostics) > 0 || len(doc.Statements) != len(d.Outline.Statements) {
			t.Fatalf("%q: %+v", text, doc)
		}
		for i, st := range d.Outline.Statements {
			if st.Allow != (doc.Statements[i].Effect == "Allow") {
				t.Errorf("%q: statement %d", text, i)
			}
		}
		anyone := policy.Authorize(&policy.Request{Principal: policy.Principal{Type: policy.Anonymous}, Action: "s3:GetObject", Resource: "arn:aws:s3:::b/k", ResourceAccount: account}, &policy.Set{Resource: d.Attached("p")})
		if anyone.Allowed && !d.Public() {
			t.Errorf("%q lets anyone in and is not public", text)
		}
	})
}
