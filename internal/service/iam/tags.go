package iam

import (
	"slices"
	"strings"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/iamapi"
)

// withTags is a list of tags after others were set. Keys are the same
// regardless of case; the case that was given last is kept.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/id_tags.html
func withTags(have, set []iamapi.Tag) ([]iamapi.Tag, error) {
	for i, t := range set {
		if strings.HasPrefix(strings.ToLower(api.Value(t.Key)), "aws:") {
			return nil, iamapi.InvalidInputException("Tag keys that begin with aws: are reserved for AWS.")
		}
		if slices.ContainsFunc(set[:i], sameKey(api.Value(t.Key))) {
			return nil, iamapi.InvalidInputException("Duplicate tag keys found. Please note that Tag keys are case insensitive.")
		}
	}
	out := slices.Clone(have)
	for _, t := range set {
		if i := slices.IndexFunc(out, sameKey(api.Value(t.Key))); i >= 0 {
			out[i] = t
			continue
		}
		out = append(out, t)
	}
	if len(out) > maxTags {
		return nil, iamapi.LimitExceededException("Cannot exceed quota for TagsPerResource: %d", maxTags)
	}
	slices.SortFunc(out, func(a, b iamapi.Tag) int { return strings.Compare(api.Value(a.Key), api.Value(b.Key)) })
	return out, nil
}

// withoutTags is a list of tags after some were removed; those that are not
// there do not matter.
func withoutTags(have []iamapi.Tag, names []string) []iamapi.Tag {
	return slices.DeleteFunc(slices.Clone(have), func(t iamapi.Tag) bool {
		return slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, api.Value(t.Key)) })
	})
}

func sameKey(name string) func(iamapi.Tag) bool {
	return func(t iamapi.Tag) bool { return strings.EqualFold(api.Value(t.Key), name) }
}
