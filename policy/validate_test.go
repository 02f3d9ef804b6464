package policy_test

import (
	"errors"
	"testing"

	"github.com/remit-ecs/remit/policy"
)

func TestValidate(t *testing.T) {
	// doc wraps the elements of a statement.
	doc := func(elements string) string { return `{"Version":"2012-10-17","Statement":[{` + elements + `}]}` }
	const (
		identity = policy.KindIdentity
		trust    = policy.KindTrust
		syntax   = "Syntax errors in policy."
		legacy   = "The policy failed legacy parsing"
		service  = `"Effect":"Allow","Principal":{"Service":"ecs-tasks.amazonaws.com"}`
	)
	for _, tc := range []struct {
		name string
		kind policy.Kind
		text string
		want string // the message; empty if valid
	}{
		{"valid", identity, doc(`"Sid":"A1","Effect":"Allow","Action":"s3:Get*","Resource":["arn:aws:s3:::b/*","*"],"Condition":{"Bool":{"aws:SecureTransport":true}}`), ""},
		{"valid session policy", policy.KindSession, doc(`"Effect":"Deny","NotAction":"s3:*","NotResource":"arn:aws:s3:::b"`), ""},
		{"one statement without array", identity, `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`, ""},
		{"not JSON", identity, `{`, syntax},
		{"an array", identity, `[]`, syntax},
		{"unknown element", identity, `{"Version":"2012-10-17","Statements":[]}`, syntax},
		{"bad version", identity, `{"Version":"2015-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`, syntax},
		{"no version", identity, `{"Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`, "Policy document must be version 2012-10-17 or greater."},
		{"old version", identity, `{"Version":"2008-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`, "Policy document must be version 2012-10-17 or greater."},
		{"no statement", identity, `{"Version":"2012-10-17"}`, syntax},
		{"empty statement", identity, `{"Version":"2012-10-17","Statement":[]}`, syntax},
		{"unknown statement element", identity, doc(`"Effect":"Allow","Action":"*","Resource":"*","Extra":"x"`), syntax},
		{"Action and NotAction", identity, doc(`"Effect":"Allow","Action":"*","NotAction":"*","Resource":"*"`), syntax},
		{"Resource and NotResource", identity, doc(`"Effect":"Allow","Action":"*","Resource":"*","NotResource":"*"`), syntax},
		{"no effect", identity, doc(`"Action":"*","Resource":"*"`), syntax},
		{"unknown effect", identity, doc(`"Effect":"Permit","Action":"*","Resource":"*"`), syntax},
		{"number as action", identity, doc(`"Effect":"Allow","Action":[1],"Resource":"*"`), syntax},
		{"unknown operator", identity, doc(`"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringIs":{"a":"b"}}`), syntax},
		{"effect in lower case", identity, doc(`"Effect":"allow","Action":"*","Resource":"*"`), legacy},
		{"bad date", identity, doc(`"Effect":"Allow","Action":"*","Resource":"*","Condition":{"DateLessThan":{"aws:CurrentTime":"tomorrow"}}`), legacy},
		{"too few colons", identity, doc(`"Effect":"Allow","Action":"*","Resource":"arn:aws:s3::b"`), legacy},
		{"empty service", identity, doc(`"Effect":"Allow","Action":"*","Resource":"arn:aws::::b"`), legacy},
		{"repeated Sid", identity, `{"Version":"2012-10-17","Statement":[{"Sid":"A","Effect":"Allow","Action":"*","Resource":"*"},{"Sid":"A","Effect":"Allow","Action":"*","Resource":"*"}]}`, "Statement IDs (SID) in a single policy must be unique."},
		{"no actions", identity, doc(`"Effect":"Allow","Resource":"*"`), "Policy statement must contain actions."},
		{"empty actions", identity, doc(`"Effect":"Allow","Action":[],"Resource":"*"`), "Policy statement must contain actions."},
		{"no resources", identity, doc(`"Effect":"Allow","Action":"*"`), "Policy statement must contain resources."},
		{"not an ARN", identity, doc(`"Effect":"Allow","Action":"*","Resource":"bucket"`), `Resource bucket must be in ARN format or "*".`},
		{"not an ARN, with colons", identity, doc(`"Effect":"Allow","Action":"*","Resource":"aws:s3:eu:1:b"`), `Resource aws:s3:eu:1:b must be in ARN format or "*".`},
		{"partition", identity, doc(`"Effect":"Allow","Action":"*","Resource":"arn:azure:s3:::b"`), `Partition "azure" is not valid for resource "arn:azure:s3:::b".`},
		{"partition, parts missing", identity, doc(`"Effect":"Allow","Action":"*","Resource":"arn:azure"`), `Partition "azure" is not valid for resource "arn:azure:*:*:*:*".`},
		{"no vendor", identity, doc(`"Effect":"Allow","Action":"*","Resource":"arn:aws"`), "Resource vendor must be fully qualified and cannot contain regexes."},
		{"wildcard vendor", identity, doc(`"Effect":"Allow","Action":"*","Resource":"arn:aws:s*:::b"`), "Resource vendor must be fully qualified and cannot contain regexes."},
		{"iam region", identity, doc(`"Effect":"Allow","Action":"*","Resource":"arn:aws:iam:eu-west-1:111122223333:role/x"`), "IAM resource arn:aws:iam:eu-west-1:111122223333:role/x cannot contain region information."},
		{"s3 region", identity, doc(`"Effect":"Allow","Action":"*","Resource":"arn:aws:s3:eu-west-1::b"`), "Resource arn:aws:s3:eu-west-1::b can not contain region information."},
		{"s3 access point", identity, doc(`"Effect":"Allow","Action":"*","Resource":"arn:aws:s3:eu-west-1:111122223333:accesspoint/x"`), ""},
		{"iam path", identity, doc(`"Effect":"Allow","Action":"*","Resource":"arn:aws:iam::111122223333:thing/x"`), `IAM resource path must either be "*" or start with user/, federated-user/, role/, group/, instance-profile/, mfa/, server-certificate/, policy/, sms-mfa/, saml-provider/, oidc-provider/, report/, access-report/.`},
		{"action without vendor", identity, doc(`"Effect":"Allow","Action":"RunTask","Resource":"*"`), "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc."},
		{"two colons", identity, doc(`"Effect":"Allow","Action":"ecs:Run:Task","Resource":"*"`), "Actions/Condition can contain only one colon."},
		{"bad vendor", identity, doc(`"Effect":"Allow","Action":"e_s:RunTask","Resource":"*"`), "Vendor e_s is not valid"},
		{"principal", identity, doc(`"Effect":"Allow","Action":"*","Resource":"*","Principal":"*"`), "Policy document should not specify a principal."},
		{"actions before resources", identity, doc(`"Effect":"Allow"`), "Policy statement must contain actions."},
		{"resource format before action prefix", identity, doc(`"Effect":"Allow","Action":"x","Resource":"y"`), `Resource y must be in ARN format or "*".`},

		{"valid trust", trust, doc(service + `,"Action":"sts:AssumeRole"`), ""},
		{"old trust", trust, `{"Version":"2008-10-17","Statement":[{` + service + `,"Action":["sts:AssumeRole","sts:TagSession"]}]}`, ""},
		{"trust, not JSON", trust, `{"Version"`, "This policy contains invalid Json"},
		{"trust, no principal", trust, doc(`"Effect":"Allow","Action":"sts:AssumeRole"`), "Missing required field Principal"},
		{"trust, empty principal", trust, doc(`"Effect":"Allow","Principal":{},"Action":"sts:AssumeRole"`), "Missing required field Principal cannot be empty!"},
		{"trust, resource", trust, doc(service + `,"Action":"sts:AssumeRole","Resource":"*"`), "Has prohibited field Resource"},
		{"trust, not resource", trust, doc(service + `,"Action":"sts:AssumeRole","NotResource":"*"`), "AssumeRole policy must not contain resources."},
		{"trust, other action", trust, doc(service + `,"Action":"s3:GetObject"`), "AssumeRole policy may only specify STS AssumeRole actions."},
		{"trust, every action", trust, doc(service + `,"Action":"*"`), "AssumeRole policy may only specify STS AssumeRole actions."},
		{"trust, other sts action", trust, doc(service + `,"Action":"sts:GetCallerIdentity"`), "AssumeRole policy may only specify STS AssumeRole actions."},
		{"trust, allow with NotPrincipal", trust, doc(`"Effect":"Allow","NotPrincipal":{"AWS":"*"},"Action":"sts:AssumeRole"`), "Allow with NotPrincipal is not allowed."},
		{"trust, no statements", trust, `{"Version":"2012-10-17","Statement":[]}`, "Could not parse the policy: Statement is empty!"},
		{"trust, no action", trust, doc(service), "Missing required field Action"},
		{"trust, bad principal", trust, doc(`"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111122223333:user/*"},"Action":"sts:AssumeRole"`), `Invalid principal in policy: "AWS":"arn:aws:iam::111122223333:user/*"`},
		{"trust, bad service", trust, doc(`"Effect":"Allow","Principal":{"Service":"ecs"},"Action":"sts:AssumeRole"`), `Invalid principal in policy: "SERVICE":"ecs"`},

		{"valid resource policy", policy.KindResource, doc(`"Effect":"Allow","Principal":"*","Action":"ecr:BatchGetImage"`), ""},
		{"valid scp", policy.KindSCP, doc(`"Effect":"Allow","NotAction":"iam:*","NotResource":"arn:aws:s3:::b","Condition":{"StringEquals":{"aws:RequestedRegion":"eu-west-1"}}`), ""},
		{"scp with a principal", policy.KindSCP, doc(`"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":"*"`), "Policy document should not specify a principal."},
		{"scp, action without service", policy.KindSCP, doc(`"Effect":"Deny","Action":"GetObject","Resource":"*"`), "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc."},
		{"valid rcp", policy.KindRCP, doc(`"Effect":"Deny","Principal":"*","Action":["s3:*","sts:AssumeRole"],"Resource":"*"`), ""},
		{"valid rcp, AWS and NotResource", policy.KindRCP, doc(`"Effect":"Deny","Principal":{"AWS":["*"]},"Action":"s3:*","NotResource":"arn:aws:s3:::b"`), ""},
		{"rcp that allows", policy.KindRCP, doc(`"Effect":"Allow","Principal":"*","Action":"s3:*","Resource":"*"`), "Statement 1 of the resource control policy allows: only RCPFullAWSAccess does."},
		{"rcp with NotAction", policy.KindRCP, doc(`"Effect":"Deny","Principal":"*","NotAction":"s3:*","Resource":"*"`), "Statement 1 of the resource control policy has NotAction, which is not supported."},
		{"rcp about every service", policy.KindRCP, doc(`"Effect":"Deny","Principal":"*","Action":["s3:*","*"],"Resource":"*"`), `Statement 1 of the resource control policy has the action "*": it has to name services.`},
		{"rcp about one account", policy.KindRCP, doc(`"Effect":"Deny","Principal":{"AWS":"111122223333"},"Action":"s3:*","Resource":"*"`), `Statement 1 of the resource control policy does not have the Principal "*".`},
		{"rcp about services", policy.KindRCP, doc(`"Effect":"Deny","Principal":{"Service":"*"},"Action":"s3:*","Resource":"*"`), `Statement 1 of the resource control policy does not have the Principal "*".`},
		{"rcp with NotPrincipal", policy.KindRCP, doc(`"Effect":"Deny","NotPrincipal":"*","Action":"s3:*","Resource":"*"`), `Statement 1 of the resource control policy does not have the Principal "*".`},
		{"rcp without principal", policy.KindRCP, doc(`"Effect":"Deny","Action":"s3:*","Resource":"*"`), `Statement 1 of the resource control policy does not have the Principal "*".`},
		{"rcp without resource", policy.KindRCP, doc(`"Effect":"Deny","Principal":"*","Action":"s3:*"`), "Policy statement must contain resources."},
		{"rcp of old", policy.KindRCP, `{"Version":"2008-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":"*"}]}`, "Policy document must be version 2012-10-17 or greater."},
		{"empty rcp", policy.KindRCP, `{"Version":"2012-10-17","Statement":[]}`, syntax},
		{"empty scp", policy.KindSCP, `{"Version":"2012-10-17","Statement":[]}`, syntax},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := policy.Validate(tc.kind, []byte(tc.text))
			if tc.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			var refused *policy.ValidationError
			if !errors.As(err, &refused) || refused.Code != "MalformedPolicyDocument" || refused.Message != tc.want {
				t.Fatalf("got  %v\nwant %s", err, tc.want)
			}
		})
	}
}

func TestPrincipals(t *testing.T) {
	d, err := policy.Parse(policy.KindTrust, []byte(`{"Statement":[{"Effect":"Allow","Action":"sts:AssumeRole",
		"Principal":{"AWS":["111122223333","arn:aws:iam::111122223333:role/a","AROAX"],"Service":"ecs.amazonaws.com"}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	want := []policy.NamedPrincipal{{Kind: "AWS", Text: "111122223333"}, {Kind: "AWS", Text: "arn:aws:iam::111122223333:role/a"},
		{Kind: "AWS", Text: "AROAX"}, {Kind: "Service", Text: "ecs.amazonaws.com"}}
	got := d.Principals()
	if len(got) != len(want) {
		t.Fatal(got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%v, want %v", got[i], want[i])
		}
	}
}

// Of several faults the one is reported that AWS checks first, whichever
// statement has it: each document has a fault and all that are checked after it.
func TestValidateOrder(t *testing.T) {
	const ok = `"Effect":"Allow","Action":"s3:*","Resource":"*"`
	faults := []struct {
		statement string // a statement with this fault only, without braces
		version   string
		want      string
	}{
		{`"Effect":"Allow","Action":"s3:*","Resource":"*","Extra":1`, "2012-10-17", "Syntax errors in policy."},
		{ok, "2008-10-17", "Policy document must be version 2012-10-17 or greater."},
		{`"Effect":"allow","Action":"s3:*","Resource":"*"`, "2012-10-17", "The policy failed legacy parsing"},
		{ok + `,"Sid":"twice"`, "2012-10-17", "Statement IDs (SID) in a single policy must be unique."},
		{`"Effect":"Allow","Resource":"*"`, "2012-10-17", "Policy statement must contain actions."},
		{`"Effect":"Allow","Action":"s3:*","Resource":"bucket"`, "2012-10-17", `Resource bucket must be in ARN format or "*".`},
		{`"Effect":"Allow","Action":"GetObject","Resource":"*"`, "2012-10-17", "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc."},
		{`"Effect":"Allow","Action":"s3:*"`, "2012-10-17", "Policy statement must contain resources."},
	}
	for i := range faults {
		// The later faults come first in the text.
		version, statements := "2012-10-17", `{`+ok+`,"Sid":"once"}`
		for _, f := range faults[i:] {
			version = min(version, f.version)
			statements = `{` + f.statement + `},` + `{` + f.statement + `},` + statements
		}
		for j := len(faults) - 1; j >= i; j-- {
			statements += `,{` + faults[j].statement + `}`
		}
		text := `{"Version":"` + version + `","Statement":[` + statements + `]}`
		err := policy.Validate(policy.KindIdentity, []byte(text))
		var refused *policy.ValidationError
		if !errors.As(err, &refused) || refused.Message != faults[i].want {
			t.Errorf("fault %d: got %v, want %s", i, err, faults[i].want)
		}
	}
}
