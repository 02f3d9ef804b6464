// Package organization knows the accounts that Remit serves, and where each of
// them stands in an organization of AWS Organizations: its organizational
// units, and the service control policies (SCPs) and resource control policies
// (RCPs) that are attached on the way from the root down to the account.
//
// All of it comes from one file, which remit serve --accounts names and
// package controlplane reads once, at the start: Parse is strict, because a
// control policy that is silently left out allows what it should deny. Package
// authz asks a Directory for the policies of every question. The package
// evaluates nothing, holds no keys, and never changes what it has read;
// Organizations' own API is not served.
//
// The file is documented in docs/howto/several-accounts.md.
package organization

import (
	"slices"

	"github.com/remit-ecs/remit/policy"
)

// Directory is every account that is served. It does not change and may be used
// by many goroutines at once.
type Directory struct {
	organizationID string // o-..., empty where there is no organization
	management     string
	accounts       []Account // in the order of the file
	byID           map[string]*Account
}

// Account is an account of a Directory.
type Account struct {
	ID    string // twelve digits
	Name  string // empty where the file gives none
	Email string

	member    bool     // of the organization
	path      []string // one value: that of aws:PrincipalOrgPaths
	serviceCP [][]policy.Attached
	resource  [][]policy.Attached
}

// OrganizationID is the id of the organization (o-...), empty without one.
func (d *Directory) OrganizationID() string { return d.organizationID }

// ManagementAccount is the account that manages the organization, which no SCP
// and no RCP binds; empty without an organization.
func (d *Directory) ManagementAccount() string { return d.management }

// Accounts are all accounts, in the order of the file. They are shared: do not
// modify them.
func (d *Directory) Accounts() []Account { return d.accounts }

// Has reports whether the file names an account.
func (d *Directory) Has(account string) bool { return d.byID[account] != nil }

// Default is the account that has no better claim than being first: the
// management account, and without an organization the first of the file.
func (d *Directory) Default() string {
	if d.management != "" {
		return d.management
	}
	return d.accounts[0].ID
}

// SCP gives the service control policies that bind the principals of an
// account: for each level from the organization's root down to the account,
// those attached there. It is nil for the management account, for an account
// outside the organization, and for one that is not in the file.
//
// https://docs.aws.amazon.com/organizations/latest/userguide/orgs_manage_policies_scps_evaluation.html
func (d *Directory) SCP(account string) [][]policy.Attached {
	if a := d.byID[account]; a != nil && account != d.management {
		return a.serviceCP
	}
	return nil
}

// RCP gives the resource control policies that bind what is done to the
// resources of an account, in the form and with the exceptions of SCP. The
// levels on which only RCPFullAWSAccess is attached are there as well.
//
// https://docs.aws.amazon.com/organizations/latest/userguide/orgs_manage_policies_rcps.html
func (d *Directory) RCP(account string) [][]policy.Attached {
	if a := d.byID[account]; a != nil && account != d.management {
		return a.resource
	}
	return nil
}

// Organization gives the values of the condition keys aws:PrincipalOrgID and
// aws:PrincipalOrgPaths for principals of an account, and those of
// aws:ResourceOrgID and aws:ResourceOrgPaths for its resources. Both are empty
// for an account outside the organization. The management account is a member
// as any other.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html#condition-keys-principalorgpaths
func (d *Directory) Organization(account string) (id string, paths []string) {
	if a := d.byID[account]; a != nil && a.member {
		return d.organizationID, a.path
	}
	return "", nil
}

// Path is where an account stands, as aws:PrincipalOrgPaths writes it:
// o-ID/r-ID/ou-ID/, empty outside the organization.
func (a *Account) Path() string {
	if len(a.path) == 0 {
		return ""
	}
	return a.path[0]
}

// Single is the Directory of a server without --accounts: these accounts, in no
// organization.
func Single(accounts ...string) *Directory {
	d := &Directory{byID: map[string]*Account{}}
	for _, id := range accounts {
		d.accounts = append(d.accounts, Account{ID: id})
	}
	d.index()
	return d
}

// index fills byID once accounts no longer grows.
func (d *Directory) index() {
	d.byID = make(map[string]*Account, len(d.accounts))
	for i := range d.accounts {
		d.byID[d.accounts[i].ID] = &d.accounts[i]
	}
}

// below is a level's policies appended to those above it.
func below(above [][]policy.Attached, level []policy.Attached) [][]policy.Attached {
	return append(slices.Clip(above), level)
}
