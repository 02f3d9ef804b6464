package authz

import (
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
		got, err := RewritePrincipals(c.in, func(s string) string {
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
		if got, err := RewritePrincipals(in, strings.ToUpper); err == nil {
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
		if same, err := RewritePrincipals(text, func(s string) string { return s }); err == nil && same != text {
			t.Fatalf("%q became %q", text, same)
		}
		doc, err := policy.Parse(policy.KindTrust, []byte(text))
		if err != nil || policy.Validate(policy.KindTrust, []byte(text)) != nil {
			return
		}
		out, err := RewritePrincipals(text, func(s string) string {
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
