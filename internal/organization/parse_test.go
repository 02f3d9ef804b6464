package organization_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/remit-ecs/remit/internal/organization"
	"github.com/remit-ecs/remit/policy"
)

const (
	denySCP = `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"s3:DeleteBucket","Resource":"*"}]}`
	denyRCP = `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":"*"}]}`
)

// example has a policy in each of the ways to write one, at every level.
const example = `{
  "organization": {
    "id": "o-exampleorgid",
    "managementAccount": "111111111111",
    "root": {
      "id": "r-ab12",
      "serviceControlPolicies": ["FullAWSAccess", "scp/deny.json"],
      "resourceControlPolicies": [{"name": "OnlyUs", "id": "p-0123456789", "document": ` + denyRCP + `}],
      "accounts": [{"id": "111111111111", "name": "Management", "email": "root@example.com"}],
      "organizationalUnits": [
        {
          "name": "Workloads", "id": "ou-ab12-11111111",
          "accounts": [{"id": "222222222222"}],
          "organizationalUnits": [
            {"name": "Prod",
             "serviceControlPolicies": [{"name": "Prod", "file": "prod.json"}],
             "accounts": [{"id": "333333333333", "serviceControlPolicies": ["scp/deny.json", "FullAWSAccess"]}]}
          ]
        }
      ]
    }
  },
  "accounts": [{"id": "999900001111"}]
}`

var exampleFiles = fstest.MapFS{
	"scp/deny.json": {Data: []byte(denySCP)},
	"prod.json":     {Data: []byte(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}`)},
}

// names are the policies of each level.
func names(levels [][]policy.Attached) []string {
	var out []string
	for _, l := range levels {
		var s []string
		for _, a := range l {
			s = append(s, a.Name)
		}
		out = append(out, strings.Join(s, " "))
	}
	return out
}

func TestExample(t *testing.T) {
	d, err := organization.Parse([]byte(example), exampleFiles)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		account, path string
		scp, rcp      []string
	}{
		{"111111111111", "o-exampleorgid/r-ab12/", nil, nil}, // the management account is bound by none
		{"222222222222", "o-exampleorgid/r-ab12/ou-ab12-11111111/",
			[]string{"FullAWSAccess deny", "FullAWSAccess", "FullAWSAccess"},
			[]string{"RCPFullAWSAccess OnlyUs", "RCPFullAWSAccess", "RCPFullAWSAccess"}},
		{"333333333333", "",
			[]string{"FullAWSAccess deny", "FullAWSAccess", "Prod", "FullAWSAccess deny"},
			[]string{"RCPFullAWSAccess OnlyUs", "RCPFullAWSAccess", "RCPFullAWSAccess", "RCPFullAWSAccess"}},
		{"999900001111", "", nil, nil},
		{"123412341234", "", nil, nil},
	} {
		if got := names(d.SCP(c.account)); !slices.Equal(got, c.scp) {
			t.Errorf("%s: SCPs %q, want %q", c.account, got, c.scp)
		}
		if got := names(d.RCP(c.account)); !slices.Equal(got, c.rcp) {
			t.Errorf("%s: RCPs %q, want %q", c.account, got, c.rcp)
		}
		if id, paths := d.Organization(c.account); c.path != "" && (id != "o-exampleorgid" || !slices.Equal(paths, []string{c.path})) {
			t.Errorf("%s: organization %s, paths %q", c.account, id, paths)
		}
	}
	if id, paths := d.Organization("999900001111"); id != "" || paths != nil {
		t.Errorf("an account outside is in %s %q", id, paths)
	}
	// The unit without an id has one in AWS's form, below its parents.
	_, paths := d.Organization("333333333333")
	if rest, ok := strings.CutPrefix(paths[0], "o-exampleorgid/r-ab12/ou-ab12-11111111/ou-ab12-"); !ok || len(rest) != 9 {
		t.Errorf("path %s", paths[0])
	}
	if d.Default() != "111111111111" || !d.Has("999900001111") || d.Has("123412341234") {
		t.Error("default account, or who is there")
	}
	var ids []string
	for _, a := range d.Accounts() {
		ids = append(ids, a.ID)
	}
	if !slices.Equal(ids, []string{"111111111111", "222222222222", "333333333333", "999900001111"}) || d.Accounts()[0].Email != "root@example.com" {
		t.Errorf("%q", ids)
	}
}

func TestPolicyARNs(t *testing.T) {
	d, err := organization.Parse([]byte(example), exampleFiles)
	if err != nil {
		t.Fatal(err)
	}
	scp, rcp := d.SCP("333333333333"), d.RCP("333333333333")
	for _, c := range []struct{ got, want string }{
		{scp[0][0].ARN, "arn:aws:organizations::aws:policy/service_control_policy/p-FullAWSAccess"},
		{rcp[0][0].ARN, "arn:aws:organizations::aws:policy/resource_control_policy/p-RCPFullAWSAccess"},
		{rcp[0][1].ARN, "arn:aws:organizations::111111111111:policy/o-exampleorgid/resource_control_policy/p-0123456789"},
	} {
		if c.got != c.want {
			t.Errorf("%s, want %s", c.got, c.want)
		}
	}
	const prefix = "arn:aws:organizations::111111111111:policy/o-exampleorgid/service_control_policy/p-"
	if id, ok := strings.CutPrefix(scp[0][1].ARN, prefix); !ok || len(id) != 8 {
		t.Errorf("%s", scp[0][1].ARN)
	}
	if scp[0][1].ARN != scp[3][1].ARN || scp[0][1].Document != scp[3][1].Document {
		t.Error("one policy in two places is two")
	}
	again, err := organization.Parse([]byte(example), exampleFiles)
	if err != nil || again.SCP("333333333333")[0][1].ARN != scp[0][1].ARN {
		t.Error("another start, another ARN")
	}
}

// TestRefused is what keeps the server from starting: the place and the reason.
func TestRefused(t *testing.T) {
	// org is an organization whose root has these further members.
	org := func(root string) string {
		return `{"organization":{"id":"o-exampleorgid","managementAccount":"111111111111","root":{"accounts":[{"id":"111111111111"}]` + root + `}}}`
	}
	scp := func(list string) string { return org(`,"serviceControlPolicies":` + list) }
	rcp := func(list string) string { return org(`,"resourceControlPolicies":` + list) }
	inline := func(name, doc string) string { return `{"name":"` + name + `","document":` + doc + `}` }
	long := `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"s3:*","Resource":"arn:aws:s3:::` + strings.Repeat("a", 5120) + `"}]}`
	deep := ""
	for range 6 {
		deep += `,"organizationalUnits":[{"name":"u"`
	}
	deep += strings.Repeat("}]", 6)
	files := fstest.MapFS{
		"deny.json":        {Data: []byte(denySCP)},
		"other/deny.json":  {Data: []byte(strings.Replace(denySCP, "s3:DeleteBucket", "s3:*", 1))},
		"broken.json":      {Data: []byte("{\n  \"Version\": \"2012-10-17\",\n  \"Statement\": [{\"Effect\": \"Maybe\"}]\n}")},
		"notjson.json":     {Data: []byte("{")},
		"principal.json":   {Data: []byte(denyRCP)},
		"long.json":        {Data: []byte(long)},
		"whitespace.json":  {Data: []byte(strings.Repeat(" ", 6000) + denySCP)},
		"directory/x.json": {Data: []byte("{}")},
	}
	for _, c := range []struct{ name, text, want string }{
		{"empty", ``, `1:1: not JSON: the text ends too early`},
		{"not JSON", "{\n  \"accounts\": [}\n", `2:16: not JSON: `},
		{"two values", `{"accounts":[{"id":"111111111111"}]} {}`, `1:39: something follows the JSON object`},
		{"array", `[]`, `1:1: is an array and not an object`},
		{"no account", `{}`, `1:1: no account is named`},
		{"unknown member", `{"account":[]}`, `1:2: account: is unknown; known here: accounts, organization`},
		{"unknown member of an account", `{"accounts":[{"id":"111111111111","nam":"x"}]}`, `1:35: accounts[0].nam: is unknown`},
		{"repeated member", `{"accounts":[],"accounts":[]}`, `1:16: the member "accounts" is repeated`},
		{"account is a number", `{"accounts":[{"id":111111111111}]}`, `1:20: accounts[0].id: is a number, true, false or null and not a string`},
		{"account of eleven digits", `{"accounts":[{"id":"11111111111"}]}`, `1:20: accounts[0].id: "11111111111" does not have the form [0-9]{12}`},
		{"account without id", `{"accounts":[{"name":"x"}]}`, `1:14: accounts[0].id: is missing`},
		{"account twice", `{"accounts":[{"id":"111111111111"},{"id":"111111111111"}]}`, `1:42: accounts[1].id: account 111111111111 is named twice: also accounts[0]`},
		{"account inside and outside", strings.TrimSuffix(org(""), "}") + `,"accounts":[{"id":"111111111111"}]}`, `accounts[0].id: account 111111111111 is named twice: also organization.root.accounts[0]`},
		{"account in two units", org(`,"organizationalUnits":[{"name":"a","accounts":[{"id":"222222222222"}]},{"name":"b","accounts":[{"id":"222222222222"}]}]`), `organization.root.organizationalUnits[1].accounts[0].id: account 222222222222 is named twice: also organization.root.organizationalUnits[0].accounts[0]`},
		{"email", `{"accounts":[{"id":"111111111111","email":"x"}]}`, `accounts[0].email: "x" is not an address`},
		{"SCP outside", `{"accounts":[{"id":"111111111111","serviceControlPolicies":["FullAWSAccess"]}]}`, `accounts[0].serviceControlPolicies: is unknown; known here: id, name, email`},
		{"no root", `{"organization":{"id":"o-exampleorgid","managementAccount":"111111111111"}}`, `organization.root: is missing`},
		{"organization id", `{"organization":{"id":"example","managementAccount":"111111111111"}}`, `organization.id: "example" does not have the form o-`},
		{"management account elsewhere", `{"organization":{"id":"o-exampleorgid","managementAccount":"222222222222","root":{"accounts":[{"id":"111111111111"}]}}}`, `organization.managementAccount: 222222222222 stands nowhere below root`},
		{"unit without name", org(`,"organizationalUnits":[{}]`), `organization.root.organizationalUnits[0].name: an organizational unit has a name`},
		{"units of one name", org(`,"organizationalUnits":[{"name":"a"},{"name":"a"}]`), `organization.root.organizationalUnits[1]: the organizational unit ou-`},
		{"a unit below itself", org(`,"organizationalUnits":[{"name":"a","id":"ou-tjke-11111111","organizationalUnits":[{"name":"b","id":"ou-tjke-11111111"}]}]`), `does not begin with ou-`},
		{"a unit below itself, root named", `{"organization":{"id":"o-exampleorgid","managementAccount":"111111111111","root":{"id":"r-ab12","accounts":[{"id":"111111111111"}],"organizationalUnits":[{"name":"a","id":"ou-ab12-11111111","organizationalUnits":[{"name":"b","id":"ou-ab12-11111111"}]}]}}}`, `organization.root.organizationalUnits[0].organizationalUnits[0]: the organizational unit ou-ab12-11111111 is there twice`},
		{"six levels", org(deep), `organizational units nest at most 5 deep`},
		{"empty list", scp(`[]`), `organization.root.serviceControlPolicies: is empty: without a policy nothing is allowed`},
		{"not a list", scp(`"FullAWSAccess"`), `organization.root.serviceControlPolicies: is a string and not an array`},
		{"six policies", scp(`["FullAWSAccess","deny.json",` + inline("a", denySCP) + `,` + inline("b", denySCP) + `,` + inline("c", denySCP) + `,` + inline("d", denySCP) + `]`), `names 6 policies; at most 5`},
		{"five RCPs and AWS's", rcp(`[` + inline("a", denyRCP) + `,` + inline("b", denyRCP) + `,` + inline("c", denyRCP) + `,` + inline("d", denyRCP) + `,` + inline("e", denyRCP) + `]`), `names more than 4 policies besides RCPFullAWSAccess`},
		{"twice", scp(`["deny.json","deny.json"]`), `organization.root.serviceControlPolicies[1]: deny is attached twice`},
		{"one name, two documents", scp(`["deny.json","other/deny.json"]`), `organization.root.serviceControlPolicies[1]: the policy deny (p-`},
		{"FullAWSAccess of one's own", scp(`[` + inline("FullAWSAccess", denySCP) + `]`), `FullAWSAccess is AWS's own policy`},
		{"no such file", scp(`["missing.json"]`), `1:144: organization.root.serviceControlPolicies[0]: "missing.json" cannot be read: file does not exist`},
		{"a directory", scp(`["directory"]`), `"directory" cannot be read: `},
		{"outside", scp(`["../deny.json"]`), `"../deny.json" is not the name of a file below the directory of this one`},
		{"absolute", scp(`["/etc/passwd"]`), `"/etc/passwd" is not the name of a file`},
		{"file and document", scp(`[{"name":"x","file":"deny.json","document":{}}]`), `needs either file or document`},
		{"neither", scp(`[{"name":"x"}]`), `needs either file or document`},
		{"no name", scp(`[{"file":"deny.json"}]`), `organization.root.serviceControlPolicies[0].name: a policy has a name`},
		{"policy id", scp(`[{"name":"x","id":"x","file":"deny.json"}]`), `"x" does not have the form p-`},
		{"broken policy", scp(`["broken.json"]`), `broken.json:3:18: Effect is neither Allow nor Deny`},
		{"policy is not JSON", scp(`["notjson.json"]`), `notjson.json:1:2: not JSON`},
		{"principal in an SCP", scp(`["principal.json"]`), `principal.json:1:55: Principal does not belong in this kind of policy`},
		{"broken inline", strings.ReplaceAll(scp("[\n"+inline("x", `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"s3:*"}]}`)+"]"), "\t", ""), `2:61: organization.root.serviceControlPolicies[0].document: a statement without Resource`},
		{"no statement", scp(`[` + inline("x", `{"Version":"2012-10-17","Statement":[]}`) + `]`), `Syntax errors in policy.`},
		{"an RCP that allows", rcp(`[` + inline("x", strings.Replace(denyRCP, "Deny", "Allow", 1)) + `]`), `organization.root.resourceControlPolicies[0].document: Statement 1 of the resource control policy allows`},
		{"too long", scp(`["long.json"]`), `long.json:1:1: the policy has 5219 characters without white space, more than 5120`},
		{"nested too deep", strings.Repeat(`{"accounts":`, 100), `nested more than 64 deep`},
	} {
		_, err := organization.Parse([]byte(c.text), files)
		var e *organization.Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v\n\twant %s", c.name, err, c.want)
		}
	}
	if _, err := organization.Parse([]byte(scp(`["whitespace.json"]`)), files); err != nil {
		t.Errorf("white space counts: %v", err)
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "accounts.json")
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := organization.Load(name); err == nil || err.Error() != name+": no such file or directory" {
		t.Errorf("%v", err)
	}
	write(name, `{"accounts": [], "x": 1}`)
	if _, err := organization.Load(name); err == nil || err.Error() != name+":1:18: x: is unknown; known here: accounts, organization" {
		t.Errorf("%v", err)
	}
	write(name, strings.ReplaceAll(example, "scp/deny.json", "deny.json"))
	write(filepath.Join(dir, "deny.json"), "{}")
	if _, err := organization.Load(name); err == nil || err.Error() != filepath.Join(dir, "deny.json")+":1:1: no Statement" {
		t.Errorf("%v", err)
	}
	write(filepath.Join(dir, "deny.json"), denySCP)
	write(filepath.Join(dir, "prod.json"), denySCP)
	if d, err := organization.Load(name); err != nil || d.OrganizationID() != "o-exampleorgid" {
		t.Errorf("%v", err)
	}
}

// FuzzParse: no text makes the parser panic, and what it takes is whole: every
// account is there once, and every level that binds it has a policy that can be
// read.
func FuzzParse(f *testing.F) {
	f.Add([]byte(example))
	f.Add([]byte(`{"accounts":[{"id":"111111111111","name":"a","email":"a@b"}]}`))
	f.Add([]byte(`{"organization":{"id":"o-exampleorgid","managementAccount":"111111111111","root":{"accounts":[{"id":"111111111111"},{"id":"222222222222","serviceControlPolicies":[{"name":"x","document":` + denySCP + `}],"resourceControlPolicies":["RCPFullAWSAccess"]}]}}}`))
	f.Add([]byte("{\"accounts\":[{\"id\":\"\\u0031\"}]}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		d, err := organization.Parse(text, exampleFiles)
		if err != nil {
			var e *organization.Error
			if !errors.As(err, &e) || e.Line < 1 || e.Column < 1 || e.Reason == "" {
				t.Fatalf("%#v", err)
			}
			return
		}
		seen := map[string]bool{}
		for _, a := range d.Accounts() {
			if seen[a.ID] || len(a.ID) != 12 || !d.Has(a.ID) {
				t.Fatalf("account %q", a.ID)
			}
			seen[a.ID] = true
			id, paths := d.Organization(a.ID)
			if (id == "") != (len(paths) == 0) || len(paths) > 0 && !strings.HasPrefix(paths[0], id+"/r-") {
				t.Fatalf("%s: %s %q", a.ID, id, paths)
			}
			scp, rcp := d.SCP(a.ID), d.RCP(a.ID)
			if bound := id != "" && a.ID != d.ManagementAccount(); bound != (scp != nil) || bound != (rcp != nil) || len(scp) != len(rcp) {
				t.Fatalf("%s: %d levels of SCPs, %d of RCPs", a.ID, len(scp), len(rcp))
			}
			for _, l := range append(slices.Clone(scp), rcp...) {
				if len(l) == 0 || len(l) > 5 {
					t.Fatalf("%s: a level of %d policies", a.ID, len(l))
				}
				for _, p := range l {
					if p.Document == nil || len(p.Document.Diagnostics) > 0 || !strings.HasPrefix(p.ARN, "arn:aws:organizations::") {
						t.Fatalf("%s: %+v", a.ID, p)
					}
				}
			}
		}
		if !seen[d.Default()] {
			t.Fatalf("default %q", d.Default())
		}
	})
}
