package iam

import (
	"github.com/remit-ecs/remit/internal/api/iamapi"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/gateway"
	"github.com/remit-ecs/remit/internal/simulation"
)

func (s *Service) mayGetContextKeysForCustomPolicy(c *gateway.Call, _ *iamapi.GetContextKeysForCustomPolicyInput) ([]authz.Ask, error) {
	return all(c)
}

// https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetContextKeysForCustomPolicy.html
func (s *Service) getContextKeysForCustomPolicy(_ *gateway.Call, in *iamapi.GetContextKeysForCustomPolicyInput) (*iamapi.GetContextKeysForCustomPolicyOutput, error) {
	names, err := simulation.ContextKeys(in.PolicyInputList, nil)
	if err != nil {
		return nil, err
	}
	return &iamapi.GetContextKeysForCustomPolicyOutput{ContextKeyNames: names}, nil
}

func (s *Service) mayGetContextKeysForPrincipalPolicy(c *gateway.Call, in *iamapi.GetContextKeysForPrincipalPolicyInput) ([]authz.Ask, error) {
	return aboutSource(c, in.PolicySourceArn)
}

// getContextKeysForPrincipalPolicy lists the keys of everything that is attached
// to a principal, its boundary included, and of the policies that are sent.
//
// https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetContextKeysForPrincipalPolicy.html
func (s *Service) getContextKeysForPrincipalPolicy(c *gateway.Call, in *iamapi.GetContextKeysForPrincipalPolicyInput) (*iamapi.GetContextKeysForPrincipalPolicyOutput, error) {
	src, err := s.readSource(c, in.PolicySourceArn)
	if err != nil {
		return nil, err
	}
	attached := src.Identity
	if src.Boundary != nil {
		attached = append(attached, *src.Boundary)
	}
	names, err := simulation.ContextKeys(in.PolicyInputList, attached)
	if err != nil {
		return nil, err
	}
	return &iamapi.GetContextKeysForPrincipalPolicyOutput{ContextKeyNames: names}, nil
}
