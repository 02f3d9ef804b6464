package testkit

import (
	"testing/fstest"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/remit-ecs/remit/internal/gateway"
	"github.com/remit-ecs/remit/internal/organization"
)

// More accounts than the one where tests happen. Every kit has root keys and
// takes sessions of all of them; WithAccounts puts them into an organization.
const (
	Other      = "444455556666" // in TwoAccounts another member of the organization
	Management = "100000000001" // its management account
	Outside    = "777788889999" // in no organization

	// OrganizationID is the organization of TwoAccounts, AccountPath and
	// OtherPath are where its members stand, as aws:PrincipalOrgPaths says it.
	OrganizationID = "o-testtest01"
	AccountPath    = OrganizationID + "/r-test/ou-test-workload/"
	OtherPath      = OrganizationID + "/r-test/ou-test-security/"
)

// TwoAccounts is an accounts file (remit serve --accounts): an organization with
// Account and Other as members, whose control policies forbid nothing, and
// Outside beside it. Tests with policies of their own write their own file.
const TwoAccounts = `{
	"organization": {
		"id": "` + OrganizationID + `", "managementAccount": "` + Management + `",
		"root": {
			"id": "r-test",
			"accounts": [{"id": "` + Management + `", "name": "management"}],
			"organizationalUnits": [
				{"id": "ou-test-workload", "name": "workload", "accounts": [{"id": "` + Account + `", "name": "first"}]},
				{"id": "ou-test-security", "name": "security", "accounts": [{"id": "` + Other + `", "name": "other"}]}
			]
		}
	},
	"accounts": [{"id": "` + Outside + `", "name": "outside"}]
}`

// WithAccounts puts the kit's accounts into the organization of a file's text.
func WithAccounts(text string) Option {
	return func(k *Kit) {
		k.t.Helper()
		d, err := organization.Parse([]byte(text), fstest.MapFS{})
		if err != nil {
			k.t.Fatal(err)
		}
		k.organization = d
	}
}

// RootOf is the configuration of an account's root user.
func (k *Kit) RootOf(account string) aws.Config {
	k.t.Helper()
	for id, key := range rootKeys() {
		if key.Account == account {
			return k.config(id, key.Secret, "")
		}
	}
	k.t.Fatalf("the kit has no account %s", account)
	return aws.Config{}
}

func rootKeys() map[string]gateway.RootKey {
	return map[string]gateway.RootKey{
		rootKey:                {Account: Account, Secret: rootSecret},
		"AKIAROOTOTHERROOTOTH": {Account: Other, Secret: "root/secret/of/the/other/account/of/tests"},
		"AKIAROOTMANAGEROOTMA": {Account: Management, Secret: "root/secret/of/the/management/account/tt"},
		"AKIAROOTOUTSIDEROOTO": {Account: Outside, Secret: "root/secret/of/the/account/outside/tests"},
	}
}
