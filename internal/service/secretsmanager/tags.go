package secretsmanager

import (
	"cmp"
	"slices"
	"strings"

	"github.com/remit-ecs/remit/internal/api"
	sm "github.com/remit-ecs/remit/internal/api/secretsmanagerapi"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/gateway"
)

const maxTags = 50

func (s *Service) mayTagResource(c *gateway.Call, in *sm.TagResourceInput) ([]authz.Ask, error) {
	return about(c, in.SecretId, keys{}.requestTags(in.Tags))
}

// https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_TagResource.html
func (s *Service) tagResource(c *gateway.Call, in *sm.TagResourceInput) (*sm.TagResourceOutput, error) {
	was, err := findLive(c, in.SecretId)
	if err != nil {
		return nil, err
	}
	d := was.edit()
	if d.Tags, err = withTags(d.Tags, in.Tags); err != nil {
		return nil, err
	}
	secrets.Put(c.Tx, d.Name, d)
	return &sm.TagResourceOutput{}, nil
}

func (s *Service) mayUntagResource(c *gateway.Call, in *sm.UntagResourceInput) ([]authz.Ask, error) {
	return about(c, in.SecretId, keys{"aws:tagkeys": in.TagKeys})
}

// https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_UntagResource.html
func (s *Service) untagResource(c *gateway.Call, in *sm.UntagResourceInput) (*sm.UntagResourceOutput, error) {
	was, err := findLive(c, in.SecretId)
	if err != nil {
		return nil, err
	}
	d := was.edit()
	d.Tags = slices.DeleteFunc(d.Tags, func(t sm.Tag) bool { return slices.Contains(in.TagKeys, api.Value(t.Key)) })
	secrets.Put(c.Tx, d.Name, d)
	return &sm.UntagResourceOutput{}, nil
}

// withTags is a list of tags after others were set. Keys differ by case.
func withTags(have, set []sm.Tag) ([]sm.Tag, error) {
	out := slices.Clone(have)
	for i, t := range set {
		same := func(o sm.Tag) bool { return api.Value(o.Key) == api.Value(t.Key) }
		switch {
		case api.Value(t.Key) == "":
			return nil, sm.InvalidParameterException("A tag has to have a key.")
		case strings.HasPrefix(strings.ToLower(*t.Key), "aws:"):
			return nil, sm.InvalidParameterException("Tag keys that begin with aws: are reserved for AWS.")
		case slices.ContainsFunc(set[:i], same):
			return nil, sm.InvalidParameterException("Duplicate tag key found: %s", *t.Key)
		}
		if t.Value == nil {
			t.Value = api.Ptr("")
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
		return nil, sm.InvalidParameterException("A secret can have at most %d tags.", maxTags)
	}
	slices.SortFunc(out, func(a, b sm.Tag) int { return cmp.Compare(api.Value(a.Key), api.Value(b.Key)) })
	return out, nil
}
