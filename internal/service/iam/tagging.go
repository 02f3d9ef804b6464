package iam

import (
	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/iamapi"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/gateway"
)

// tagging adds to an operation's questions the tags that are sent, or the keys
// that are to go.
func tagging(asks []authz.Ask, err error, tags []iamapi.Tag, names []string) ([]authz.Ask, error) {
	if err != nil {
		return nil, err
	}
	for i := range asks {
		keys(asks[i].Keys).requestTags(tags).set("aws:tagkeys", names...)
	}
	return asks, nil
}

// tagPage is a page of tags, which are kept in the order of their keys.
func tagPage(c *gateway.Call, tags []iamapi.Tag, marker *string, maxItems *int32) (items []iamapi.Tag, truncated *bool, next *string, err error) {
	return pageOf(c, marker, maxItems, listed(tags, func(t iamapi.Tag) string { return api.Value(t.Key) }))
}

func (s *Service) mayTagRole(c *gateway.Call, in *iamapi.TagRoleInput) ([]authz.Ask, error) {
	asks, err := aboutRole(c, in.RoleName)
	return tagging(asks, err, in.Tags, nil)
}

func (s *Service) tagRole(c *gateway.Call, in *iamapi.TagRoleInput) (*iamapi.TagRoleOutput, error) {
	err := roleNoun.changeTags(c, in.RoleName, func(e *Entity) (err error) {
		e.Tags, err = withTags(e.Tags, in.Tags)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &iamapi.TagRoleOutput{}, nil
}

func (s *Service) mayUntagRole(c *gateway.Call, in *iamapi.UntagRoleInput) ([]authz.Ask, error) {
	asks, err := aboutRole(c, in.RoleName)
	return tagging(asks, err, nil, in.TagKeys)
}

func (s *Service) untagRole(c *gateway.Call, in *iamapi.UntagRoleInput) (*iamapi.UntagRoleOutput, error) {
	err := roleNoun.changeTags(c, in.RoleName, func(e *Entity) error {
		e.Tags = withoutTags(e.Tags, in.TagKeys)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &iamapi.UntagRoleOutput{}, nil
}

func (s *Service) mayListRoleTags(c *gateway.Call, in *iamapi.ListRoleTagsInput) ([]authz.Ask, error) {
	return aboutRole(c, in.RoleName)
}

func (s *Service) listRoleTags(c *gateway.Call, in *iamapi.ListRoleTagsInput) (*iamapi.ListRoleTagsOutput, error) {
	e, err := roleNoun.read(c, in.RoleName)
	if err != nil {
		return nil, err
	}
	items, truncated, next, err := tagPage(c, e.Tags, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	return &iamapi.ListRoleTagsOutput{Tags: items, IsTruncated: truncated, Marker: next}, nil
}

func (s *Service) mayTagUser(c *gateway.Call, in *iamapi.TagUserInput) ([]authz.Ask, error) {
	asks, err := aboutUser(c, in.UserName)
	return tagging(asks, err, in.Tags, nil)
}

func (s *Service) tagUser(c *gateway.Call, in *iamapi.TagUserInput) (*iamapi.TagUserOutput, error) {
	err := userNoun.change(c, in.UserName, func(e *Entity) (err error) {
		e.Tags, err = withTags(e.Tags, in.Tags)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &iamapi.TagUserOutput{}, nil
}

func (s *Service) mayUntagUser(c *gateway.Call, in *iamapi.UntagUserInput) ([]authz.Ask, error) {
	asks, err := aboutUser(c, in.UserName)
	return tagging(asks, err, nil, in.TagKeys)
}

func (s *Service) untagUser(c *gateway.Call, in *iamapi.UntagUserInput) (*iamapi.UntagUserOutput, error) {
	err := userNoun.change(c, in.UserName, func(e *Entity) error {
		e.Tags = withoutTags(e.Tags, in.TagKeys)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &iamapi.UntagUserOutput{}, nil
}

func (s *Service) mayListUserTags(c *gateway.Call, in *iamapi.ListUserTagsInput) ([]authz.Ask, error) {
	return aboutUser(c, in.UserName)
}

func (s *Service) listUserTags(c *gateway.Call, in *iamapi.ListUserTagsInput) (*iamapi.ListUserTagsOutput, error) {
	e, err := userNoun.read(c, in.UserName)
	if err != nil {
		return nil, err
	}
	items, truncated, next, err := tagPage(c, e.Tags, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	return &iamapi.ListUserTagsOutput{Tags: items, IsTruncated: truncated, Marker: next}, nil
}

func (s *Service) mayTagPolicy(c *gateway.Call, in *iamapi.TagPolicyInput) ([]authz.Ask, error) {
	asks, err := aboutPolicy(c, in.PolicyArn)
	return tagging(asks, err, in.Tags, nil)
}

func (s *Service) tagPolicy(c *gateway.Call, in *iamapi.TagPolicyInput) (*iamapi.TagPolicyOutput, error) {
	err := changePolicy(c, in.PolicyArn, func(e *Policy) (err error) {
		e.Tags, err = withTags(e.Tags, in.Tags)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &iamapi.TagPolicyOutput{}, nil
}

func (s *Service) mayUntagPolicy(c *gateway.Call, in *iamapi.UntagPolicyInput) ([]authz.Ask, error) {
	asks, err := aboutPolicy(c, in.PolicyArn)
	return tagging(asks, err, nil, in.TagKeys)
}

func (s *Service) untagPolicy(c *gateway.Call, in *iamapi.UntagPolicyInput) (*iamapi.UntagPolicyOutput, error) {
	err := changePolicy(c, in.PolicyArn, func(e *Policy) error {
		e.Tags = withoutTags(e.Tags, in.TagKeys)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &iamapi.UntagPolicyOutput{}, nil
}

func (s *Service) mayListPolicyTags(c *gateway.Call, in *iamapi.ListPolicyTagsInput) ([]authz.Ask, error) {
	return aboutPolicy(c, in.PolicyArn)
}

func (s *Service) listPolicyTags(c *gateway.Call, in *iamapi.ListPolicyTagsInput) (*iamapi.ListPolicyTagsOutput, error) {
	e, err := readPolicy(c, in.PolicyArn)
	if err != nil {
		return nil, err
	}
	items, truncated, next, err := tagPage(c, e.Tags, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	return &iamapi.ListPolicyTagsOutput{Tags: items, IsTruncated: truncated, Marker: next}, nil
}

func (s *Service) mayTagInstanceProfile(c *gateway.Call, in *iamapi.TagInstanceProfileInput) ([]authz.Ask, error) {
	asks, err := aboutProfile(c, in.InstanceProfileName)
	return tagging(asks, err, in.Tags, nil)
}

func (s *Service) tagInstanceProfile(c *gateway.Call, in *iamapi.TagInstanceProfileInput) (*iamapi.TagInstanceProfileOutput, error) {
	err := changeProfile(c, in.InstanceProfileName, func(e *InstanceProfile) (err error) {
		e.Tags, err = withTags(e.Tags, in.Tags)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &iamapi.TagInstanceProfileOutput{}, nil
}

func (s *Service) mayUntagInstanceProfile(c *gateway.Call, in *iamapi.UntagInstanceProfileInput) ([]authz.Ask, error) {
	asks, err := aboutProfile(c, in.InstanceProfileName)
	return tagging(asks, err, nil, in.TagKeys)
}

func (s *Service) untagInstanceProfile(c *gateway.Call, in *iamapi.UntagInstanceProfileInput) (*iamapi.UntagInstanceProfileOutput, error) {
	err := changeProfile(c, in.InstanceProfileName, func(e *InstanceProfile) error {
		e.Tags = withoutTags(e.Tags, in.TagKeys)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &iamapi.UntagInstanceProfileOutput{}, nil
}

func (s *Service) mayListInstanceProfileTags(c *gateway.Call, in *iamapi.ListInstanceProfileTagsInput) ([]authz.Ask, error) {
	return aboutProfile(c, in.InstanceProfileName)
}

func (s *Service) listInstanceProfileTags(c *gateway.Call, in *iamapi.ListInstanceProfileTagsInput) (*iamapi.ListInstanceProfileTagsOutput, error) {
	e, ok := getProfile(c.Tx, c.Home, in.InstanceProfileName)
	if !ok {
		return nil, missingProfile(in.InstanceProfileName)
	}
	items, truncated, next, err := tagPage(c, e.Tags, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	return &iamapi.ListInstanceProfileTagsOutput{Tags: items, IsTruncated: truncated, Marker: next}, nil
}
