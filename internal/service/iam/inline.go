package iam

import (
	"slices"
	"strings"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/iamapi"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/gateway"
	"github.com/remit-ecs/remit/policy"
)

// putInline stores an inline policy of a role, user or group.
func putInline(c *gateway.Call, n noun, name, policyName, document *string) error {
	return n.change(c, name, func(e *Entity) error {
		text := api.Value(document)
		if err := checkDocument(policy.KindIdentity, text); err != nil {
			return err
		}
		p := Inline{Name: api.Value(policyName), Document: text}
		if i, found := e.inline(p.Name); found {
			e.Inline[i] = p
		} else {
			e.Inline = slices.Insert(e.Inline, i, p)
		}
		size := 0
		for _, p := range e.Inline {
			size += policy.Size([]byte(p.Document))
		}
		if size > n.inlineSize {
			return iamapi.LimitExceededException("Maximum policy size of %d bytes exceeded for %s %s", n.inlineSize, n.word, e.Name)
		}
		return nil
	})
}

// inline finds an inline policy, or where it would stand.
func (e *Entity) inline(name string) (int, bool) {
	return slices.BinarySearchFunc(e.Inline, name, func(p Inline, name string) int { return strings.Compare(p.Name, name) })
}

func (n noun) missingPolicy(name *string) *api.Error {
	return iamapi.NoSuchEntityException("The %s policy with name %s cannot be found.", n.word, api.Value(name))
}

func getInline(c *gateway.Call, n noun, name, policyName *string) (*Inline, error) {
	e, err := n.read(c, name)
	if err != nil {
		return nil, err
	}
	i, found := e.inline(api.Value(policyName))
	if !found {
		return nil, n.missingPolicy(policyName)
	}
	return &e.Inline[i], nil
}

func deleteInline(c *gateway.Call, n noun, name, policyName *string) error {
	return n.change(c, name, func(e *Entity) error {
		i, found := e.inline(api.Value(policyName))
		if !found {
			return n.missingPolicy(policyName)
		}
		e.Inline = slices.Delete(e.Inline, i, i+1)
		return nil
	})
}

func listInline(c *gateway.Call, n noun, name, marker *string, maxItems *int32) (names []string, truncated *bool, next *string, err error) {
	e, err := n.read(c, name)
	if err != nil {
		return nil, nil, nil, err
	}
	all := make([]string, len(e.Inline))
	for i := range e.Inline {
		all[i] = e.Inline[i].Name
	}
	return pageOf(c, marker, maxItems, listed(all, func(s string) string { return s }))
}

func (s *Service) mayPutRolePolicy(c *gateway.Call, in *iamapi.PutRolePolicyInput) ([]authz.Ask, error) {
	return aboutRole(c, in.RoleName)
}

func (s *Service) putRolePolicy(c *gateway.Call, in *iamapi.PutRolePolicyInput) (*iamapi.PutRolePolicyOutput, error) {
	if err := putInline(c, roleNoun, in.RoleName, in.PolicyName, in.PolicyDocument); err != nil {
		return nil, err
	}
	return &iamapi.PutRolePolicyOutput{}, nil
}

func (s *Service) mayGetRolePolicy(c *gateway.Call, in *iamapi.GetRolePolicyInput) ([]authz.Ask, error) {
	return aboutRole(c, in.RoleName)
}

func (s *Service) getRolePolicy(c *gateway.Call, in *iamapi.GetRolePolicyInput) (*iamapi.GetRolePolicyOutput, error) {
	p, err := getInline(c, roleNoun, in.RoleName, in.PolicyName)
	if err != nil {
		return nil, err
	}
	return &iamapi.GetRolePolicyOutput{RoleName: in.RoleName, PolicyName: &p.Name, PolicyDocument: encoded(p.Document)}, nil
}

func (s *Service) mayListRolePolicies(c *gateway.Call, in *iamapi.ListRolePoliciesInput) ([]authz.Ask, error) {
	return aboutRole(c, in.RoleName)
}

func (s *Service) listRolePolicies(c *gateway.Call, in *iamapi.ListRolePoliciesInput) (*iamapi.ListRolePoliciesOutput, error) {
	names, truncated, next, err := listInline(c, roleNoun, in.RoleName, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	return &iamapi.ListRolePoliciesOutput{PolicyNames: names, IsTruncated: truncated, Marker: next}, nil
}

func (s *Service) mayDeleteRolePolicy(c *gateway.Call, in *iamapi.DeleteRolePolicyInput) ([]authz.Ask, error) {
	return aboutRole(c, in.RoleName)
}

func (s *Service) deleteRolePolicy(c *gateway.Call, in *iamapi.DeleteRolePolicyInput) (*iamapi.DeleteRolePolicyOutput, error) {
	if err := deleteInline(c, roleNoun, in.RoleName, in.PolicyName); err != nil {
		return nil, err
	}
	return &iamapi.DeleteRolePolicyOutput{}, nil
}
