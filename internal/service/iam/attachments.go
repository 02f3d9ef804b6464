package iam

import (
	"iter"
	"slices"
	"strings"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/iamapi"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/gateway"
)

// mayAttach asks with the managed policy that is to be attached or detached.
func mayAttach(c *gateway.Call, n noun, name, policyARN *string) ([]authz.Ask, error) {
	if err := checkPolicyARN(policyARN); err != nil {
		return nil, err
	}
	ask := about(c, n, api.Value(name))
	keys(ask.Keys).set("iam:policyarn", api.Value(policyARN))
	return []authz.Ask{ask}, nil
}

func attach(c *gateway.Call, n noun, name, policyARN *string) error {
	return n.change(c, name, func(e *Entity) error {
		a := api.Value(policyARN)
		p, ok := managed(c.Tx, c.Home, a)
		switch {
		case !ok:
			return iamapi.NoSuchEntityException("Policy %s does not exist or is not attachable.", a)
		case strings.HasPrefix(p.ARN, awsManagedPrefix) && strings.HasPrefix(p.Path, serviceLinkedPath):
			return iamapi.PolicyNotAttachableException("Cannot attach a Service Role Policy to a Customer Role.")
		case slices.Contains(e.Attached, a):
			return nil // it is attached
		case len(e.Attached) >= maxAttached:
			return iamapi.LimitExceededException("Cannot exceed quota for PoliciesPer%s: %d", n.title, maxAttached)
		}
		e.Attached = append(e.Attached, a)
		return nil
	})
}

func detach(c *gateway.Call, n noun, name, policyARN *string) error {
	return n.change(c, name, func(e *Entity) error {
		i := slices.Index(e.Attached, api.Value(policyARN))
		if i < 0 {
			return iamapi.NoSuchEntityException("Policy %s was not found.", api.Value(policyARN))
		}
		e.Attached = slices.Delete(e.Attached, i, i+1)
		return nil
	})
}

func listAttached(c *gateway.Call, n noun, name, prefix, marker *string, maxItems *int32) (items []iamapi.AttachedPolicy, truncated *bool, next *string, err error) {
	e, err := n.read(c, name)
	if err != nil {
		return nil, nil, nil, err
	}
	return pageOf(c, marker, maxItems, attachedTo(e, prefix))
}

// attachedTo yields the managed policies of a role, user or group, ordered by ARN.
func attachedTo(e *Entity, prefix *string) iter.Seq2[string, iamapi.AttachedPolicy] {
	return func(yield func(string, iamapi.AttachedPolicy) bool) {
		for _, a := range slices.Sorted(slices.Values(e.Attached)) {
			at, name := splitPolicyARN(a)
			if strings.HasPrefix(at, api.Value(prefix)) && !yield(a, iamapi.AttachedPolicy{PolicyName: &name, PolicyArn: &a}) {
				return
			}
		}
	}
}

func (s *Service) mayAttachRolePolicy(c *gateway.Call, in *iamapi.AttachRolePolicyInput) ([]authz.Ask, error) {
	return mayAttach(c, roleNoun, in.RoleName, in.PolicyArn)
}

func (s *Service) attachRolePolicy(c *gateway.Call, in *iamapi.AttachRolePolicyInput) (*iamapi.AttachRolePolicyOutput, error) {
	if err := attach(c, roleNoun, in.RoleName, in.PolicyArn); err != nil {
		return nil, err
	}
	return &iamapi.AttachRolePolicyOutput{}, nil
}

func (s *Service) mayDetachRolePolicy(c *gateway.Call, in *iamapi.DetachRolePolicyInput) ([]authz.Ask, error) {
	return mayAttach(c, roleNoun, in.RoleName, in.PolicyArn)
}

func (s *Service) detachRolePolicy(c *gateway.Call, in *iamapi.DetachRolePolicyInput) (*iamapi.DetachRolePolicyOutput, error) {
	if err := detach(c, roleNoun, in.RoleName, in.PolicyArn); err != nil {
		return nil, err
	}
	return &iamapi.DetachRolePolicyOutput{}, nil
}

func (s *Service) mayListAttachedRolePolicies(c *gateway.Call, in *iamapi.ListAttachedRolePoliciesInput) ([]authz.Ask, error) {
	return aboutRole(c, in.RoleName)
}

func (s *Service) listAttachedRolePolicies(c *gateway.Call, in *iamapi.ListAttachedRolePoliciesInput) (*iamapi.ListAttachedRolePoliciesOutput, error) {
	items, truncated, next, err := listAttached(c, roleNoun, in.RoleName, in.PathPrefix, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	return &iamapi.ListAttachedRolePoliciesOutput{AttachedPolicies: items, IsTruncated: truncated, Marker: next}, nil
}

func (s *Service) mayAttachUserPolicy(c *gateway.Call, in *iamapi.AttachUserPolicyInput) ([]authz.Ask, error) {
	return mayAttach(c, userNoun, in.UserName, in.PolicyArn)
}

func (s *Service) attachUserPolicy(c *gateway.Call, in *iamapi.AttachUserPolicyInput) (*iamapi.AttachUserPolicyOutput, error) {
	if err := attach(c, userNoun, in.UserName, in.PolicyArn); err != nil {
		return nil, err
	}
	return &iamapi.AttachUserPolicyOutput{}, nil
}

func (s *Service) mayDetachUserPolicy(c *gateway.Call, in *iamapi.DetachUserPolicyInput) ([]authz.Ask, error) {
	return mayAttach(c, userNoun, in.UserName, in.PolicyArn)
}

func (s *Service) detachUserPolicy(c *gateway.Call, in *iamapi.DetachUserPolicyInput) (*iamapi.DetachUserPolicyOutput, error) {
	if err := detach(c, userNoun, in.UserName, in.PolicyArn); err != nil {
		return nil, err
	}
	return &iamapi.DetachUserPolicyOutput{}, nil
}

func (s *Service) mayListAttachedUserPolicies(c *gateway.Call, in *iamapi.ListAttachedUserPoliciesInput) ([]authz.Ask, error) {
	return aboutUser(c, in.UserName)
}

func (s *Service) listAttachedUserPolicies(c *gateway.Call, in *iamapi.ListAttachedUserPoliciesInput) (*iamapi.ListAttachedUserPoliciesOutput, error) {
	items, truncated, next, err := listAttached(c, userNoun, in.UserName, in.PathPrefix, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	return &iamapi.ListAttachedUserPoliciesOutput{AttachedPolicies: items, IsTruncated: truncated, Marker: next}, nil
}

// entityOf is a role, user or group that a managed policy is attached to or
// bounds.
type entityOf struct {
	role  *iamapi.PolicyRole
	user  *iamapi.PolicyUser
	group *iamapi.PolicyGroup
}

func (s *Service) mayListEntitiesForPolicy(c *gateway.Call, in *iamapi.ListEntitiesForPolicyInput) ([]authz.Ask, error) {
	return aboutPolicy(c, in.PolicyArn)
}

// https://docs.aws.amazon.com/IAM/latest/APIReference/API_ListEntitiesForPolicy.html
func (s *Service) listEntitiesForPolicy(c *gateway.Call, in *iamapi.ListEntitiesForPolicyInput) (*iamapi.ListEntitiesForPolicyOutput, error) {
	a := api.Value(in.PolicyArn)
	if _, err := readPolicy(c, in.PolicyArn); err != nil {
		return nil, err
	}
	wanted := func(e *Entity) bool {
		uses := in.PolicyUsageFilter != iamapi.PolicyUsageTypePermissionsBoundary && slices.Contains(e.Attached, a) ||
			in.PolicyUsageFilter != iamapi.PolicyUsageTypePermissionsPolicy && e.Boundary == a
		return uses && strings.HasPrefix(e.Path, api.Value(in.PathPrefix))
	}
	found := func(yield func(string, entityOf) bool) {
		if in.EntityFilter == "" || in.EntityFilter == iamapi.EntityTypeGroup {
			for key, d := range groups.Prefix(c.Tx, c.Home, "") {
				if wanted(&d.Entity) && !yield("group/"+key, entityOf{group: &iamapi.PolicyGroup{GroupName: &d.Name, GroupId: &d.ID}}) {
					return
				}
			}
		}
		if in.EntityFilter == "" || in.EntityFilter == iamapi.EntityTypeRole {
			for key, d := range roles.Prefix(c.Tx, c.Home, "") {
				if wanted(&d.Entity) && !yield("role/"+key, entityOf{role: &iamapi.PolicyRole{RoleName: &d.Name, RoleId: &d.ID}}) {
					return
				}
			}
		}
		if in.EntityFilter == "" || in.EntityFilter == iamapi.EntityTypeUser {
			for key, d := range users.Prefix(c.Tx, c.Home, "") {
				if wanted(&d.Entity) && !yield("user/"+key, entityOf{user: &iamapi.PolicyUser{UserName: &d.Name, UserId: &d.ID}}) {
					return
				}
			}
		}
	}
	items, truncated, next, err := pageOf(c, in.Marker, in.MaxItems, found)
	if err != nil {
		return nil, err
	}
	out := &iamapi.ListEntitiesForPolicyOutput{
		PolicyGroups: []iamapi.PolicyGroup{}, PolicyUsers: []iamapi.PolicyUser{}, PolicyRoles: []iamapi.PolicyRole{},
		IsTruncated: truncated, Marker: next,
	}
	for _, it := range items {
		switch {
		case it.role != nil:
			out.PolicyRoles = append(out.PolicyRoles, *it.role)
		case it.user != nil:
			out.PolicyUsers = append(out.PolicyUsers, *it.user)
		default:
			out.PolicyGroups = append(out.PolicyGroups, *it.group)
		}
	}
	return out, nil
}
