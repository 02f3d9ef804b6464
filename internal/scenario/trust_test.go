package scenario

import (
	"encoding/json"
	"reflect"
	"slices"
	"testing"
)

func TestWithout(t *testing.T) {
	const (
		here  = `"arn:aws:iam::111122223333:role/here"`
		lost  = `"arn:aws:iam::111122223333:role/lost"`
		ghost = `"AROATDNXQ5ZJ4DELETEDC"`
		run   = `"arn:aws:sts::111122223333:assumed-role/here/run"`
		stray = `"arn:aws:sts::111122223333:assumed-role/lost/run"`
	)
	statement := func(effect, element, rest string) string {
		return `{"Effect":"` + effect + `","` + element + `":` + rest + `,"Action":"sts:AssumeRole"}`
	}
	policy := func(statements string) string { return `{"Version":"2012-10-17","Statement":` + statements + `}` }
	for name, tc := range map[string]struct {
		in, want string // want is "" where nothing changes
		gone     []string
	}{
		"who exists":        {in: policy(statement("Allow", "Principal", `{"AWS":`+here+`}`))},
		"everybody":         {in: policy(statement("Allow", "Principal", `"*"`))},
		"other accounts":    {in: policy("[" + statement("Allow", "Principal", `{"AWS":["*","444455556666","arn:aws:iam::444455556666:role/x","arn:aws:iam::111122223333:root","arn:aws:sts::444455556666:assumed-role/x/s"]}`) + "]")},
		"a session":         {in: policy(statement("Allow", "Principal", `{"AWS":`+run+`}`))},
		"no session":        {policy("[" + statement("Allow", "Principal", `{"AWS":[`+stray+`,`+run+`]}`) + "]"), policy("[" + statement("Allow", "Principal", `{"AWS":[`+run+`]}`) + "]"), []string{stray}},
		"services and more": {in: policy(statement("Allow", "Principal", `{"Service":["ec2.amazonaws.com"],"Federated":"accounts.google.com"}`))},
		"one of two":        {policy(statement("Allow", "Principal", `{"AWS":[`+lost+`,`+here+`]}`)), policy("[" + statement("Allow", "Principal", `{"AWS":[`+here+`]}`) + "]"), []string{lost}},
		"but a service":     {policy(statement("Allow", "Principal", `{"AWS":`+ghost+`,"Service":"ec2.amazonaws.com"}`)), policy("[" + statement("Allow", "Principal", `{"Service":"ec2.amazonaws.com"}`) + "]"), []string{ghost}},
		"a whole statement": {policy("[" + statement("Allow", "Principal", `{"AWS":[`+ghost+`]}`) + "," + statement("Deny", "Principal", `"*"`) + "]"), policy("[" + statement("Deny", "Principal", `"*"`) + "]"), []string{ghost}},
		"everything":        {policy(statement("Allow", "Principal", `{"AWS":`+lost+`}`)), closedTrust, []string{lost}},
		"denied":            {policy("[" + statement("Deny", "Principal", `{"AWS":`+lost+`}`) + "," + statement("Allow", "Principal", `{"AWS":`+here+`}`) + "]"), policy("[" + statement("Allow", "Principal", `{"AWS":`+here+`}`) + "]"), []string{lost}},
		"all but one":       {policy("[" + statement("Deny", "NotPrincipal", `{"AWS":`+lost+`}`) + "]"), policy("[" + statement("Deny", "Principal", `"*"`) + "]"), []string{lost}},
		"all but two":       {policy("[" + statement("Deny", "NotPrincipal", `{"AWS":[`+lost+`,`+here+`]}`) + "]"), policy("[" + statement("Deny", "NotPrincipal", `{"AWS":[`+here+`]}`) + "]"), []string{lost}},
	} {
		got, gone, err := without(tc.in, "111122223333", func(arn string) bool { return `"`+arn+`"` == here || `"`+arn+`"` == run })
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for i := range gone {
			gone[i] = `"` + gone[i] + `"`
		}
		if !slices.Equal(gone, tc.gone) {
			t.Errorf("%s: gone %v, want %v", name, gone, tc.gone)
		}
		if tc.want == "" {
			if got != tc.in {
				t.Errorf("%s: changed to %s", name, got)
			}
			continue
		}
		var x, y any
		if json.Unmarshal([]byte(got), &x) != nil || json.Unmarshal([]byte(tc.want), &y) != nil || !reflect.DeepEqual(x, y) {
			t.Errorf("%s: got\n%s\nwant\n%s", name, got, tc.want)
		}
	}
	for name, in := range map[string]string{
		"no JSON":        `{`,
		"no object":      `[]`,
		"a member twice": policy(`{"Effect":"Deny","Effect":"Allow","Principal":{"AWS":[` + here + `,` + ghost + `]},"Action":"sts:AssumeRole"}`),
	} {
		if got, _, err := without(in, "111122223333", func(string) bool { return true }); err == nil {
			t.Errorf("%s: %s", name, got)
		}
	}
}
