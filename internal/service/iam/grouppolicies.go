package iam

import (
	"github.com/remit-ecs/remit/internal/api/iamapi"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/gateway"
)

func (s *Service) mayPutGroupPolicy(c *gateway.Call, in *iamapi.PutGroupPolicyInput) ([]authz.Ask, error) {
	return aboutGroup(c, in.GroupName)
}

func (s *Service) putGroupPolicy(c *gateway.Call, in *iamapi.PutGroupPolicyInput) (*iamapi.PutGroupPolicyOutput, error) {
	if err := putInline(c, groupNoun, in.GroupName, in.PolicyName, in.PolicyDocument); err != nil {
		return nil, err
	}
	return &iamapi.PutGroupPolicyOutput{}, nil
}

func (s *Service) mayGetGroupPolicy(c *gateway.Call, in *iamapi.GetGroupPolicyInput) ([]authz.Ask, error) {
	return aboutGroup(c, in.GroupName)
}

func (s *Service) getGroupPolicy(c *gateway.Call, in *iamapi.GetGroupPolicyInput) (*iamapi.GetGroupPolicyOutput, error) {
	p, err := getInline(c, groupNoun, in.GroupName, in.PolicyName)
	if err != nil {
		return nil, err
	}
	return &iamapi.GetGroupPolicyOutput{GroupName: in.GroupName, PolicyName: &p.Name, PolicyDocument: encoded(p.Document)}, nil
}

func (s *Service) mayListGroupPolicies(c *gateway.Call, in *iamapi.ListGroupPoliciesInput) ([]authz.Ask, error) {
	return aboutGroup(c, in.GroupName)
}

func (s *Service) listGroupPolicies(c *gateway.Call, in *iamapi.ListGroupPoliciesInput) (*iamapi.ListGroupPoliciesOutput, error) {
	names, truncated, next, err := listInline(c, groupNoun, in.GroupName, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	return &iamapi.ListGroupPoliciesOutput{PolicyNames: names, IsTruncated: truncated, Marker: next}, nil
}

func (s *Service) mayDeleteGroupPolicy(c *gateway.Call, in *iamapi.DeleteGroupPolicyInput) ([]authz.Ask, error) {
	return aboutGroup(c, in.GroupName)
}

func (s *Service) deleteGroupPolicy(c *gateway.Call, in *iamapi.DeleteGroupPolicyInput) (*iamapi.DeleteGroupPolicyOutput, error) {
	if err := deleteInline(c, groupNoun, in.GroupName, in.PolicyName); err != nil {
		return nil, err
	}
	return &iamapi.DeleteGroupPolicyOutput{}, nil
}

func (s *Service) mayAttachGroupPolicy(c *gateway.Call, in *iamapi.AttachGroupPolicyInput) ([]authz.Ask, error) {
	return mayAttach(c, groupNoun, in.GroupName, in.PolicyArn)
}

func (s *Service) attachGroupPolicy(c *gateway.Call, in *iamapi.AttachGroupPolicyInput) (*iamapi.AttachGroupPolicyOutput, error) {
	if err := attach(c, groupNoun, in.GroupName, in.PolicyArn); err != nil {
		return nil, err
	}
	return &iamapi.AttachGroupPolicyOutput{}, nil
}

func (s *Service) mayDetachGroupPolicy(c *gateway.Call, in *iamapi.DetachGroupPolicyInput) ([]authz.Ask, error) {
	return mayAttach(c, groupNoun, in.GroupName, in.PolicyArn)
}

func (s *Service) detachGroupPolicy(c *gateway.Call, in *iamapi.DetachGroupPolicyInput) (*iamapi.DetachGroupPolicyOutput, error) {
	if err := detach(c, groupNoun, in.GroupName, in.PolicyArn); err != nil {
		return nil, err
	}
	return &iamapi.DetachGroupPolicyOutput{}, nil
}

func (s *Service) mayListAttachedGroupPolicies(c *gateway.Call, in *iamapi.ListAttachedGroupPoliciesInput) ([]authz.Ask, error) {
	return aboutGroup(c, in.GroupName)
}

func (s *Service) listAttachedGroupPolicies(c *gateway.Call, in *iamapi.ListAttachedGroupPoliciesInput) (*iamapi.ListAttachedGroupPoliciesOutput, error) {
	items, truncated, next, err := listAttached(c, groupNoun, in.GroupName, in.PathPrefix, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	return &iamapi.ListAttachedGroupPoliciesOutput{AttachedPolicies: items, IsTruncated: truncated, Marker: next}, nil
}
