package iam

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/remit-ecs/remit/policy"
)

func TestRewritePrincipals(t *testing.T) {
	const who = "arn:aws:iam::111122223333:role/app"
	for _, c := range []struct{ in, want string }{
		{`{"Statement":{"Principal":{"AWS":"` + who + `"}}}`, `{"Statement":{"Principal":{"AWS":"X"}}}`},
		{"{ \"Statement\" : [ { \"Sid\":\"AWS\", \"Principal\" :\n{\"AWS\" : [ \"a\" , \"" + who + "\",\"b\" ], \"Service\":\"" + who + "\"}}]}",
			"{ \"Statement\" : [ { \"Sid\":\"AWS\", \"Principal\" :\n{\"AWS\" : [ \"a\" , \"X\",\"b\" ], \"Service\":\"" + who + "\"}}]}"},
		{`{"Statement":[{"NotPrincipal":{"AWS":["` + who + `"]},"Condition":{"ArnEquals":{"aws:PrincipalArn":"` + who + `","AWS":"` + who + `"}}}]}`,
			`{"Statement":[{"NotPrincipal":{"AWS":["X"]},"Condition":{"ArnEquals":{"aws:PrincipalArn":"` + who + `","AWS":"` + who + `"}}}]}`},
		// Escaped, it is the same principal.
		{`{"Statement":[{"Principal":{"A\u0057S":"arn:aws:iam::111122223333:role\/app"}}]}`, `{"Statement":[{"Principal":{"A\u0057S":"X"}}]}`},
		{`{"Principal":{"AWS":"` + who + `"},"Statement":[]}`, `{"Principal":{"AWS":"` + who + `"},"Statement":[]}`},
	} {
		got, err := rewritePrincipals(c.in, func(s string) string {
			if s == who {
				return "X"
			}
			return s
		})
		if err != nil || got != c.want {
			t.Errorf("%s\ngot  %s %v\nwant %s", c.in, got, err, c.want)
		}
	}
	for _, in := range []string{"{", `{"Statement":[}`, `{"Statement"`} {
		if got, err := rewritePrincipals(in, strings.ToUpper); err == nil {
			t.Errorf("%s: read as %s", in, got)
		}
	}
}

// What is replaced is what the policy engine takes for AWS principals: if a
// spelling escaped the rewriting, it would be trusted by name alone.
func FuzzRewritePrincipals(f *testing.F) {
	for _, s := range []string{
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":["arn:aws:iam::111122223333:role/a","AROAX"]},"Action":"sts:AssumeRole"}]}`,
		`{"Statement":{"Effect":"Deny","NotPrincipal":{"AWS":"arn:aws:iam::111122223333:user\/b"},"Action":"sts:AssumeRole"}}`,
		`{"Statement":[{"Principal":"*"},{"Principal":{"Service":"x"}}]}`,
		"\uFEFF{}", `{"statement":{}}`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if same, err := rewritePrincipals(text, func(s string) string { return s }); err == nil && same != text {
			t.Fatalf("%q became %q", text, same)
		}
		doc, err := policy.Parse(policy.KindTrust, []byte(text))
		if err != nil || policy.Validate(policy.KindTrust, []byte(text)) != nil {
			return
		}
		out, err := rewritePrincipals(text, func(s string) string {
			if strings.HasPrefix(s, "arn:") {
				return "AROABOUND"
			}
			return s
		})
		if err != nil {
			return // cannot be saved
		}
		again, err := policy.Parse(policy.KindTrust, []byte(out))
		if err != nil {
			t.Fatalf("%q became %q: %v", text, out, err)
		}
		if got, want := len(again.Principals()), len(doc.Principals()); got != want {
			t.Fatalf("%d principals became %d", want, got)
		}
		for _, p := range again.Principals() {
			if p.Kind == "AWS" && strings.HasPrefix(p.Text, "arn:") {
				t.Fatalf("%s is still named in %q", p.Text, out)
			}
		}
	})
}

func TestAWSManaged(t *testing.T) {
	all, err := readAWSManaged(awsManagedData)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range all.byName {
		if i > 0 && all.byName[i-1].Name >= p.Name {
			t.Errorf("%s is out of order", p.Name)
		}
		if p.compile() == nil || len(p.compile().Diagnostics) > 0 || len(p.compile().Statements) == 0 {
			t.Errorf("%s: %v", p.ARN, p.compile())
		}
		if p.ID[:4] != "ANPA" || p.Created.IsZero() || p.Updated.Before(p.Created) {
			t.Errorf("%s: id %s, created %v, updated %v", p.ARN, p.ID, p.Created, p.Updated)
		}
	}
	if len(all.byName) != 71 {
		t.Errorf("%d policies", len(all.byName))
	}
}

// What is derived from a document must not be stored with it.
func TestDocumentsHoldNoDerived(t *testing.T) {
	d := &Role{Trust: `{"Statement":[]}`}
	d.ARN = "arn:aws:iam::111122223333:role/app"
	before, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	d.compileTrust()
	after, err := json.Marshal(d)
	if err != nil || !reflect.DeepEqual(before, after) {
		t.Errorf("%s became %s (%v)", before, after, err)
	}
}
