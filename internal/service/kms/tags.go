package kms

import (
	"cmp"
	"slices"
	"strings"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/kmsapi"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/gateway"
)

const maxTags = 50 // https://docs.aws.amazon.com/kms/latest/developerguide/tagging-keys.html

// addTags puts tags on the key, over those of the same names.
func (d *Key) addTags(tags []kmsapi.Tag) error {
	seen := map[string]bool{}
	for _, t := range tags {
		name := api.Value(t.TagKey)
		switch {
		case strings.HasPrefix(strings.ToLower(name), "aws:"):
			return kmsapi.TagException("Tags beginning with aws: are reserved")
		case seen[name]:
			return kmsapi.TagException("Duplicate tag keys")
		}
		seen[name] = true
		d.Tags = append(slices.DeleteFunc(d.Tags, func(old kmsapi.Tag) bool { return api.Value(old.TagKey) == name }), t)
	}
	if len(d.Tags) > maxTags {
		return kmsapi.TagException("Too many tags")
	}
	slices.SortFunc(d.Tags, func(a, b kmsapi.Tag) int { return cmp.Compare(api.Value(a.TagKey), api.Value(b.TagKey)) })
	return nil
}

func (s *Service) mayTagResource(c *gateway.Call, in *kmsapi.TagResourceInput) ([]authz.Ask, error) {
	return s.aboutWith(c, in.KeyId, called(c).requestTags(in.Tags))
}

// https://docs.aws.amazon.com/kms/latest/APIReference/API_TagResource.html
func (s *Service) tagResource(c *gateway.Call, in *kmsapi.TagResourceInput) (*kmsapi.TagResourceOutput, error) {
	err := s.change(c, in.KeyId, func(d *Key) error {
		if err := d.notPending(); err != nil {
			return err
		}
		return d.addTags(in.Tags)
	})
	return &kmsapi.TagResourceOutput{}, err
}

func (s *Service) mayUntagResource(c *gateway.Call, in *kmsapi.UntagResourceInput) ([]authz.Ask, error) {
	k := called(c)
	k["aws:tagkeys"] = in.TagKeys
	return s.aboutWith(c, in.KeyId, k)
}

// https://docs.aws.amazon.com/kms/latest/APIReference/API_UntagResource.html
func (s *Service) untagResource(c *gateway.Call, in *kmsapi.UntagResourceInput) (*kmsapi.UntagResourceOutput, error) {
	err := s.change(c, in.KeyId, func(d *Key) error {
		d.Tags = slices.DeleteFunc(d.Tags, func(t kmsapi.Tag) bool { return slices.Contains(in.TagKeys, api.Value(t.TagKey)) })
		return d.notPending()
	})
	return &kmsapi.UntagResourceOutput{}, err
}

func (s *Service) mayListResourceTags(c *gateway.Call, in *kmsapi.ListResourceTagsInput) ([]authz.Ask, error) {
	return s.about(c, in.KeyId)
}

// https://docs.aws.amazon.com/kms/latest/APIReference/API_ListResourceTags.html
func (s *Service) listResourceTags(c *gateway.Call, in *kmsapi.ListResourceTagsInput) (*kmsapi.ListResourceTagsOutput, error) {
	d, err := s.look(c, in.KeyId)
	if err != nil {
		return nil, err
	}
	p, err := page(c, in.Limit, in.Marker, 50, 50)
	if err != nil {
		return nil, err
	}
	out := &kmsapi.ListResourceTagsOutput{Tags: []kmsapi.Tag{}}
	for _, t := range d.Tags {
		if name := api.Value(t.TagKey); name <= p.after && p.after != "" {
			continue
		} else if p.full(name) {
			break
		}
		out.Tags = append(out.Tags, t)
	}
	out.NextMarker, out.Truncated = p.end(c)
	return out, nil
}
