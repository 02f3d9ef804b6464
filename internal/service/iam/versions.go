package iam

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/iamapi"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/gateway"
)

func versionID(number int) *string {
	s := "v" + strconv.Itoa(number)
	return &s
}

// versionNumber reads v2; 0 is no version's number.
func versionNumber(id *string) int {
	n, err := strconv.Atoi(strings.TrimPrefix(api.Value(id), "v"))
	if err != nil {
		return 0
	}
	return n
}

func missingVersion(policyARN, id *string) *api.Error {
	return iamapi.NoSuchEntityException("Policy %s version %s does not exist or is not attachable.", api.Value(policyARN), api.Value(id))
}

// listVersion is a version in a list, which leaves out the document.
func listVersion(p *Policy, v *Version) iamapi.PolicyVersion {
	return iamapi.PolicyVersion{VersionId: versionID(v.Number), IsDefaultVersion: api.Ptr(v.Number == p.Default), CreateDate: &api.Time{Time: v.Created}}
}

func (s *Service) mayCreatePolicyVersion(c *gateway.Call, in *iamapi.CreatePolicyVersionInput) ([]authz.Ask, error) {
	return aboutPolicy(c, in.PolicyArn)
}

// https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreatePolicyVersion.html
func (s *Service) createPolicyVersion(c *gateway.Call, in *iamapi.CreatePolicyVersionInput) (*iamapi.CreatePolicyVersionOutput, error) {
	var out iamapi.PolicyVersion
	err := changePolicy(c, in.PolicyArn, func(p *Policy) error {
		if err := checkManaged(api.Value(in.PolicyDocument)); err != nil {
			return err
		}
		if len(p.Versions) >= maxVersions {
			return iamapi.LimitExceededException("A managed policy can have up to %d versions. Before you create a new version, you must delete an existing version.", maxVersions)
		}
		p.Last++ // numbers are never used again
		v := Version{Number: p.Last, Document: api.Value(in.PolicyDocument), Created: c.Time}
		p.Versions, p.Updated = append(p.Versions, v), c.Time
		if api.Value(in.SetAsDefault) {
			p.Default = v.Number
		}
		out = listVersion(p, &v)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &iamapi.CreatePolicyVersionOutput{PolicyVersion: &out}, nil
}

func (s *Service) mayGetPolicyVersion(c *gateway.Call, in *iamapi.GetPolicyVersionInput) ([]authz.Ask, error) {
	return aboutPolicy(c, in.PolicyArn)
}

func (s *Service) getPolicyVersion(c *gateway.Call, in *iamapi.GetPolicyVersionInput) (*iamapi.GetPolicyVersionOutput, error) {
	p, err := readPolicy(c, in.PolicyArn)
	if err != nil {
		return nil, err
	}
	v := p.version(versionNumber(in.VersionId))
	if v == nil {
		return nil, missingVersion(in.PolicyArn, in.VersionId)
	}
	out := listVersion(p, v)
	out.Document = encoded(v.Document)
	return &iamapi.GetPolicyVersionOutput{PolicyVersion: &out}, nil
}

func (s *Service) mayListPolicyVersions(c *gateway.Call, in *iamapi.ListPolicyVersionsInput) ([]authz.Ask, error) {
	return aboutPolicy(c, in.PolicyArn)
}

// listPolicyVersions lists the newest first.
func (s *Service) listPolicyVersions(c *gateway.Call, in *iamapi.ListPolicyVersionsInput) (*iamapi.ListPolicyVersionsOutput, error) {
	p, err := readPolicy(c, in.PolicyArn)
	if err != nil {
		return nil, err
	}
	found := func(yield func(string, iamapi.PolicyVersion) bool) {
		for i := range slices.Backward(p.Versions) {
			v := &p.Versions[i]
			if !yield(fmt.Sprintf("%09d", 999_999_999-v.Number), listVersion(p, v)) {
				return
			}
		}
	}
	items, truncated, next, err := pageOf(c, in.Marker, in.MaxItems, found)
	if err != nil {
		return nil, err
	}
	return &iamapi.ListPolicyVersionsOutput{Versions: items, IsTruncated: truncated, Marker: next}, nil
}

func (s *Service) mayDeletePolicyVersion(c *gateway.Call, in *iamapi.DeletePolicyVersionInput) ([]authz.Ask, error) {
	return aboutPolicy(c, in.PolicyArn)
}

func (s *Service) deletePolicyVersion(c *gateway.Call, in *iamapi.DeletePolicyVersionInput) (*iamapi.DeletePolicyVersionOutput, error) {
	err := changePolicy(c, in.PolicyArn, func(p *Policy) error {
		n := versionNumber(in.VersionId)
		i := slices.IndexFunc(p.Versions, func(v Version) bool { return v.Number == n })
		switch {
		case i < 0:
			return missingVersion(in.PolicyArn, in.VersionId)
		case n == p.Default:
			return iamapi.DeleteConflictException("Cannot delete the default version of a policy.")
		}
		p.Versions = slices.Delete(p.Versions, i, i+1)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &iamapi.DeletePolicyVersionOutput{}, nil
}

func (s *Service) maySetDefaultPolicyVersion(c *gateway.Call, in *iamapi.SetDefaultPolicyVersionInput) ([]authz.Ask, error) {
	return aboutPolicy(c, in.PolicyArn)
}

func (s *Service) setDefaultPolicyVersion(c *gateway.Call, in *iamapi.SetDefaultPolicyVersionInput) (*iamapi.SetDefaultPolicyVersionOutput, error) {
	err := changePolicy(c, in.PolicyArn, func(p *Policy) error {
		v := p.version(versionNumber(in.VersionId))
		if v == nil {
			return missingVersion(in.PolicyArn, in.VersionId)
		}
		p.Default, p.Updated = v.Number, c.Time
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &iamapi.SetDefaultPolicyVersionOutput{}, nil
}
