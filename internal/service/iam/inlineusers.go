package iam

import (
	"github.com/remit-ecs/remit/internal/api/iamapi"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/gateway"
)

func (s *Service) mayPutUserPolicy(c *gateway.Call, in *iamapi.PutUserPolicyInput) ([]authz.Ask, error) {
	return aboutUser(c, in.UserName)
}

func (s *Service) putUserPolicy(c *gateway.Call, in *iamapi.PutUserPolicyInput) (*iamapi.PutUserPolicyOutput, error) {
	if err := putInline(c, userNoun, in.UserName, in.PolicyName, in.PolicyDocument); err != nil {
		return nil, err
	}
	return &iamapi.PutUserPolicyOutput{}, nil
}

func (s *Service) mayGetUserPolicy(c *gateway.Call, in *iamapi.GetUserPolicyInput) ([]authz.Ask, error) {
	return aboutUser(c, in.UserName)
}

func (s *Service) getUserPolicy(c *gateway.Call, in *iamapi.GetUserPolicyInput) (*iamapi.GetUserPolicyOutput, error) {
	p, err := getInline(c, userNoun, in.UserName, in.PolicyName)
	if err != nil {
		return nil, err
	}
	return &iamapi.GetUserPolicyOutput{UserName: in.UserName, PolicyName: &p.Name, PolicyDocument: encoded(p.Document)}, nil
}

func (s *Service) mayListUserPolicies(c *gateway.Call, in *iamapi.ListUserPoliciesInput) ([]authz.Ask, error) {
	return aboutUser(c, in.UserName)
}

func (s *Service) listUserPolicies(c *gateway.Call, in *iamapi.ListUserPoliciesInput) (*iamapi.ListUserPoliciesOutput, error) {
	names, truncated, next, err := listInline(c, userNoun, in.UserName, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	return &iamapi.ListUserPoliciesOutput{PolicyNames: names, IsTruncated: truncated, Marker: next}, nil
}

func (s *Service) mayDeleteUserPolicy(c *gateway.Call, in *iamapi.DeleteUserPolicyInput) ([]authz.Ask, error) {
	return aboutUser(c, in.UserName)
}

func (s *Service) deleteUserPolicy(c *gateway.Call, in *iamapi.DeleteUserPolicyInput) (*iamapi.DeleteUserPolicyOutput, error) {
	if err := deleteInline(c, userNoun, in.UserName, in.PolicyName); err != nil {
		return nil, err
	}
	return &iamapi.DeleteUserPolicyOutput{}, nil
}
