package ecs

import (
	"slices"
	"strings"

	"github.com/remit-ecs/remit/arn"
	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/ecsapi"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/gateway"
)

// checkTags holds tags to the rules of
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_Tag.html
func checkTags(tags []ecsapi.Tag) error {
	if len(tags) > 50 {
		return ecsapi.InvalidParameterException("The number of tags exceeds the limit of 50.")
	}
	seen := map[string]bool{}
	for _, t := range tags {
		k, v := api.Value(t.Key), api.Value(t.Value)
		switch {
		case k == "" || len(k) > 128:
			return ecsapi.InvalidParameterException("Tag keys must have between 1 and 128 characters.")
		case len(v) > 256:
			return ecsapi.InvalidParameterException("Tag values must have at most 256 characters.")
		case strings.HasPrefix(strings.ToLower(k), "aws:"):
			return ecsapi.InvalidParameterException("Tag keys must not begin with aws:, which is reserved.")
		case seen[strings.ToLower(k)]:
			return ecsapi.InvalidParameterException("Duplicate tag keys found. Please note that Tag keys are case insensitive.")
		}
		seen[strings.ToLower(k)] = true
	}
	return nil
}

// taggable is a resource with tags: where they are, and how to put them back.
type taggable struct {
	tags []ecsapi.Tag
	save func([]ecsapi.Tag)
}

// findTaggable finds the resource of an ARN in the caller's shard. It does not
// say whether the caller may know.
func (s *Service) findTaggable(c *gateway.Call, resource string) (*taggable, error) {
	a, err := arn.Parse(resource)
	if err != nil || a.Service != "ecs" || a.Partition != "aws" {
		return nil, ecsapi.InvalidParameterException("Invalid identifier: Unexpected ARN %s", resource)
	}
	typ, rest := a.Type()
	if (typ == "task" || typ == "container-instance" || typ == "service") && !strings.Contains(rest, "/") {
		return nil, ecsapi.InvalidParameterException("Long arn format must be used for tagging operations")
	}
	notFound := ecsapi.InvalidParameterException("The specified %s is inactive or does not exist. Specify an active %s and try again.", typ, typ)
	if a.Account != c.Account || a.Region != c.Region {
		return nil, notFound
	}
	switch typ {
	case "cluster":
		ref := clusterRef{a.Account, a.Region, rest}
		cl, err := s.findCluster(c.Tx, ref)
		if err != nil {
			return nil, err
		}
		return &taggable{tags: cl.Tags, save: func(tags []ecsapi.Tag) {
			e := *cl
			e.Tags, e.unsaved = tags, false
			clusters.Put(c.Tx, rest, &e)
		}}, nil
	case "task":
		if t, ok := tasks.Get(c.Tx, c.Home, rest); ok {
			return &taggable{tags: t.Tags, save: func(tags []ecsapi.Tag) {
				e := *t
				e.Tags = tags
				tasks.Put(c.Tx, rest, &e)
			}}, nil
		}
	case "container-instance":
		if i, ok := instances.Get(c.Tx, c.Home, rest); ok && i.Status != "INACTIVE" {
			return &taggable{tags: i.Tags, save: func(tags []ecsapi.Tag) {
				e := *i
				e.Tags = tags
				instances.Put(c.Tx, rest, &e)
			}}, nil
		}
	case "task-definition":
		ref, err := parseDefinition(c, resource)
		if err != nil {
			return nil, err
		}
		if ref.revision == 0 {
			return nil, ecsapi.ClientException("Revision is missing.")
		}
		if d, key, ok := ref.resolve(c); ok {
			return &taggable{tags: d.Tags, save: func(tags []ecsapi.Tag) {
				e := *d
				e.Tags = tags
				definitions.Put(c.Tx, key, &e)
			}}, nil
		}
	default:
		return nil, ecsapi.InvalidParameterException("Invalid identifier: Unexpected resource type %s", typ)
	}
	return nil, notFound
}

func (s *Service) tagKeys(c *gateway.Call, resource string) keys {
	if t, err := s.findTaggable(c, resource); err == nil {
		return keys{}.resourceTags(t.tags)
	}
	return keys{}
}

// within adds the cluster that a task or container instance is in.
func (k keys) within(resource string) keys {
	if a, err := arn.Parse(resource); err == nil {
		typ, rest := a.Type()
		if name, _, ok := strings.Cut(rest, "/"); ok && (typ == "task" || typ == "container-instance") {
			k.set("ecs:cluster", clusterRef{a.Account, a.Region, name}.arn())
		}
	}
	return k
}

// askTags checks only that there is an ARN to ask about.
func askTags(resource *string) (string, error) {
	r := api.Value(resource)
	if a, err := arn.Parse(r); err != nil || a.Service != "ecs" || a.Partition != "aws" {
		return "", ecsapi.InvalidParameterException("Invalid identifier: Unexpected ARN %s", r)
	}
	return r, nil
}

func (s *Service) mayTagResource(c *gateway.Call, in *ecsapi.TagResourceInput) ([]authz.Ask, error) {
	r, err := askTags(in.ResourceArn)
	if err != nil {
		return nil, err
	}
	return one("ecs:TagResource", r, s.tagKeys(c, r).within(r).requestTags(in.Tags)), nil
}

func (s *Service) tagResource(c *gateway.Call, in *ecsapi.TagResourceInput) (*ecsapi.TagResourceOutput, error) {
	if err := checkTags(in.Tags); err != nil {
		return nil, err
	}
	t, err := s.findTaggable(c, api.Value(in.ResourceArn))
	if err != nil {
		return nil, err
	}
	tags := mergeTags(t.tags, in.Tags)
	if len(tags) > 50 {
		return nil, ecsapi.InvalidParameterException("The number of tags exceeds the limit of 50.")
	}
	t.save(tags)
	return &ecsapi.TagResourceOutput{}, nil
}

// mergeTags adds tags, replacing those that are there. Condition keys have no
// case: of two tags that differ in it alone a policy would see one and its
// reader mean the other, so no resource has both.
func mergeTags(old, add []ecsapi.Tag) []ecsapi.Tag {
	out := slices.Clone(old)
	for _, t := range add {
		i := slices.IndexFunc(out, func(o ecsapi.Tag) bool { return strings.EqualFold(api.Value(o.Key), api.Value(t.Key)) })
		if i < 0 {
			out = append(out, t)
		} else {
			out[i] = t
		}
	}
	return out
}

func (s *Service) mayUntagResource(c *gateway.Call, in *ecsapi.UntagResourceInput) ([]authz.Ask, error) {
	r, err := askTags(in.ResourceArn)
	if err != nil {
		return nil, err
	}
	return one("ecs:UntagResource", r, s.tagKeys(c, r).within(r).set("aws:tagkeys", in.TagKeys...)), nil
}

func (s *Service) untagResource(c *gateway.Call, in *ecsapi.UntagResourceInput) (*ecsapi.UntagResourceOutput, error) {
	t, err := s.findTaggable(c, api.Value(in.ResourceArn))
	if err != nil {
		return nil, err
	}
	t.save(slices.DeleteFunc(slices.Clone(t.tags), func(o ecsapi.Tag) bool { return slices.Contains(in.TagKeys, api.Value(o.Key)) }))
	return &ecsapi.UntagResourceOutput{}, nil
}

func (s *Service) mayListTagsForResource(c *gateway.Call, in *ecsapi.ListTagsForResourceInput) ([]authz.Ask, error) {
	r, err := askTags(in.ResourceArn)
	if err != nil {
		return nil, err
	}
	return one("ecs:ListTagsForResource", r, s.tagKeys(c, r)), nil
}

func (s *Service) listTagsForResource(c *gateway.Call, in *ecsapi.ListTagsForResourceInput) (*ecsapi.ListTagsForResourceOutput, error) {
	t, err := s.findTaggable(c, api.Value(in.ResourceArn))
	if err != nil {
		return nil, err
	}
	return &ecsapi.ListTagsForResourceOutput{Tags: orEmpty(t.tags)}, nil
}
