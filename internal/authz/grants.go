package authz

import (
	"slices"

	"github.com/remit-ecs/remit/policy"
)

// Grant is a permission that the owner of a resource gave beside its policy: a
// KMS grant. The rule that asks says which grants are for this principal and
// this very request; what the policies deny, a grant does not allow.
//
// https://docs.aws.amazon.com/kms/latest/developerguide/grants.html
type Grant struct {
	// Resource states the grant as a resource-based policy that names its
	// grantee.
	Resource policy.Attached
	// Identity states it as an identity-based policy of the grantee; nil where
	// the grantee is an account, which leaves it to the policies of its
	// identities. A grant to an identity needs none of those, not even in
	// another account.
	Identity *policy.Attached
}

// byGrant decides again, with each grant in the place of the resource's policy,
// until one allows. Who was denied by a statement stays denied, and so does
// everyone where a policy could not be read.
func (v *Verdict) byGrant() {
	if v.Decision.Allowed || v.Decision.Effect == policy.ExplicitDeny || len(v.Decision.Diagnostics) > 0 {
		return
	}
	for i := range v.Ask.Grants {
		g, set := &v.Ask.Grants[i], v.set
		set.Resource = &g.Resource
		if g.Identity != nil {
			set.Identity = append(slices.Clone(set.Identity), *g.Identity)
		}
		if d := policy.Authorize(&v.req, &set); d.Allowed {
			v.set, v.Decision = set, d
			return
		}
	}
}
