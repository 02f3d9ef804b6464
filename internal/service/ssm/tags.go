package ssm

import (
	"cmp"
	"slices"
	"strings"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/ssmapi"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/gateway"
)

const maxTags = 50

// onParameter refuses the other things of Systems Manager that can have tags.
func onParameter(t ssmapi.ResourceTypeForTagging) error {
	if t != ssmapi.ResourceTypeForTaggingParameter {
		return ssmapi.InvalidResourceType("The resource type isn't valid. Remit tags parameters only: ResourceType has to be Parameter.")
	}
	return nil
}

func (s *Service) mayTag(c *gateway.Call, t ssmapi.ResourceTypeForTagging, resourceID *string, k keys) ([]authz.Ask, error) {
	if err := onParameter(t); err != nil {
		return nil, err
	}
	return one(c, resourceID, k)
}

func tagged(c *gateway.Call, resourceID *string) (*Parameter, error) {
	p, err := find(c, resourceID)
	if err != nil {
		return nil, ssmapi.InvalidResourceId("The resource ID isn't valid. Verify that you entered the correct ID and try again.")
	}
	return p, nil
}

func (s *Service) mayAddTagsToResource(c *gateway.Call, in *ssmapi.AddTagsToResourceInput) ([]authz.Ask, error) {
	return s.mayTag(c, in.ResourceType, in.ResourceId, keys{}.requestTags(in.Tags))
}

// https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_AddTagsToResource.html
func (s *Service) addTagsToResource(c *gateway.Call, in *ssmapi.AddTagsToResourceInput) (*ssmapi.AddTagsToResourceOutput, error) {
	was, err := tagged(c, in.ResourceId)
	if err != nil {
		return nil, err
	}
	p := was.edit()
	if p.Tags, err = withTags(p.Tags, in.Tags); err != nil {
		return nil, err
	}
	parameters.Put(c.Tx, p.Name, p)
	return &ssmapi.AddTagsToResourceOutput{}, nil
}

func (s *Service) mayRemoveTagsFromResource(c *gateway.Call, in *ssmapi.RemoveTagsFromResourceInput) ([]authz.Ask, error) {
	return s.mayTag(c, in.ResourceType, in.ResourceId, keys{"aws:tagkeys": in.TagKeys})
}

// https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_RemoveTagsFromResource.html
func (s *Service) removeTagsFromResource(c *gateway.Call, in *ssmapi.RemoveTagsFromResourceInput) (*ssmapi.RemoveTagsFromResourceOutput, error) {
	was, err := tagged(c, in.ResourceId)
	if err != nil {
		return nil, err
	}
	p := was.edit()
	p.Tags = slices.DeleteFunc(p.Tags, func(t ssmapi.Tag) bool { return slices.Contains(in.TagKeys, api.Value(t.Key)) })
	parameters.Put(c.Tx, p.Name, p)
	return &ssmapi.RemoveTagsFromResourceOutput{}, nil
}

func (s *Service) mayListTagsForResource(c *gateway.Call, in *ssmapi.ListTagsForResourceInput) ([]authz.Ask, error) {
	return s.mayTag(c, in.ResourceType, in.ResourceId, nil)
}

// https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_ListTagsForResource.html
func (s *Service) listTagsForResource(c *gateway.Call, in *ssmapi.ListTagsForResourceInput) (*ssmapi.ListTagsForResourceOutput, error) {
	p, err := tagged(c, in.ResourceId)
	if err != nil {
		return nil, err
	}
	return &ssmapi.ListTagsForResourceOutput{TagList: append([]ssmapi.Tag{}, p.Tags...)}, nil
}

// withTags is a list of tags after others were set. Keys differ by case.
func withTags(have, set []ssmapi.Tag) ([]ssmapi.Tag, error) {
	out := slices.Clone(have)
	for i, t := range set {
		same := func(o ssmapi.Tag) bool { return api.Value(o.Key) == api.Value(t.Key) }
		switch {
		case strings.HasPrefix(strings.ToLower(api.Value(t.Key)), "aws:"):
			return nil, api.Validation("Tag keys that begin with aws: are reserved for AWS.")
		case slices.ContainsFunc(set[:i], same):
			return nil, api.Validation("Duplicate tag key found: " + api.Value(t.Key))
		}
		if j := slices.IndexFunc(out, same); j >= 0 {
			out[j] = t
			continue
		}
		out = append(out, t)
	}
	names := make([]string, len(out))
	for i, t := range out {
		names[i] = api.Value(t.Key)
	}
	if err := gateway.AmbiguousTags(names); err != nil {
		return nil, err
	}
	if len(out) > maxTags {
		return nil, ssmapi.TooManyTagsError("A parameter can have at most %d tags.", maxTags)
	}
	slices.SortFunc(out, func(a, b ssmapi.Tag) int { return cmp.Compare(api.Value(a.Key), api.Value(b.Key)) })
	return out, nil
}
