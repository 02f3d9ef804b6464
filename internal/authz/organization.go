package authz

import (
	"strings"

	"github.com/remit-ecs/remit/internal/session"
)

// controlPolicies adds to a question the service control policies of the
// principal's account and the resource control policies of the resource's. Whom
// and what they do not bind (service-linked roles, services acting by
// themselves, actions of services without RCPs) is the engine's to know.
func (a *Authorizer) controlPolicies(v *Verdict, p *session.Principal) {
	if p.Account != "" {
		v.set.SCP = a.Organizations.SCP(p.Account)
	}
	// Retiring a grant is left to its grantee whatever the RCPs say:
	// https://docs.aws.amazon.com/organizations/latest/userguide/orgs_manage_policies_rcps.html
	if !strings.EqualFold(v.req.Action, "kms:RetireGrant") {
		v.set.RCP = a.Organizations.RCP(v.req.ResourceAccount)
	}
}

// organizationKeys adds to the other keys those about organizations: of the
// principal, of the resource, and, where a service acts, of what it acts for.
// Outside an organization the keys are absent.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html#condition-keys-principalorgid
func (a *Authorizer) organizationKeys(m map[string][]string, p *session.Principal, owner string) {
	set := func(prefix, account string) {
		if account == "" {
			return
		}
		id, paths := a.Organizations.Organization(account)
		if id == "" {
			return
		}
		m[prefix+"orgid"], m[prefix+"orgpaths"] = []string{id}, paths
	}
	if p.Type == session.Service {
		// RunTask asks for the trust of a role as ECS, and says itself for what.
		if source := m["aws:sourceaccount"]; len(source) == 1 {
			set("aws:source", source[0])
		}
	} else {
		set("aws:principal", p.Account)
	}
	set("aws:resource", owner)
}
