package iam

import (
	"strings"

	"github.com/remit-ecs/remit/arn"
	"github.com/remit-ecs/remit/internal/api/iamapi"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/gateway"
	"github.com/remit-ecs/remit/internal/store"
	"github.com/remit-ecs/remit/policy"
)

// checkTrust checks a trust policy that is to be saved and binds the roles and
// users that it names to their unique ids. Whoever is deleted and created again
// under the same name is not trusted.
//
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html
func checkTrust(c *gateway.Call, text string) (authz.Bound, error) {
	if err := checkDocument(policy.KindTrust, text); err != nil {
		return nil, err
	}
	if policy.Size([]byte(text)) > policy.MaxTrustPolicySize {
		return nil, iamapi.LimitExceededException("Cannot exceed quota for ACLSizePerRole: %d", policy.MaxTrustPolicySize)
	}
	bound, missing, err := authz.BindPrincipals(c.Tx, Principals{}, c.Account, policy.KindTrust, text)
	if err != nil {
		return nil, iamapi.MalformedPolicyDocumentException("This policy contains invalid Json").Because(err)
	}
	if len(missing) > 0 {
		return nil, iamapi.MalformedPolicyDocumentException("Invalid principal in policy: %s", authz.PrincipalText(missing[0]))
	}
	return bound, nil
}

// shownTrust is the trust policy as answers show it.
func shownTrust(r store.Reader, d *Role) string {
	a, err := arn.Parse(d.ARN)
	if err != nil {
		return d.Trust
	}
	return d.Bound.Show(r, Principals{}, a.Account, d.Trust)
}

// Principals tells which users and roles there are, for what binds its
// principals to them: trust policies here, resource-based policies elsewhere.
type Principals struct{}

var _ authz.Principals = Principals{}

// PrincipalID implements authz.Principals.
func (Principals) PrincipalID(r store.Reader, principalARN string) (string, bool) {
	if d, ok := roleByARN(r, principalARN); ok {
		return d.ID, true
	}
	if d, ok := userByARN(r, principalARN); ok {
		return d.ID, true
	}
	// The ARN of a session has its role's name, not its path.
	a, err := arn.Parse(principalARN)
	if err != nil || a.Service != "sts" {
		return "", false
	}
	kind, rest := a.Type()
	name, sessionName, ok := strings.Cut(rest, "/")
	if kind != "assumed-role" || !ok || sessionName == "" || strings.Contains(sessionName, "/") {
		return "", false
	}
	d, ok := getRole(r, gateway.Global(a.Account), name)
	if !ok {
		return "", false
	}
	return d.ID + ":" + sessionName, true
}

// PrincipalARN implements authz.Principals.
func (Principals) PrincipalARN(r store.Reader, account, id string) (string, bool) {
	shard := gateway.Global(account)
	id, sessionName, isSession := strings.Cut(id, ":")
	if d, ok := roleByID(r, shard, id); ok {
		if isSession {
			return "arn:aws:sts::" + account + ":assumed-role/" + d.Name + "/" + sessionName, true
		}
		return d.ARN, true
	}
	if d, ok := userByID(r, shard, id); ok && !isSession {
		return d.ARN, true
	}
	return "", false
}
