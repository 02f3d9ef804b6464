package ecr

import (
	"maps"
	"slices"
	"strings"

	"github.com/remit-ecs/remit/arn"
	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/ecrapi"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/gateway"
)

// requestTags are the condition keys of tags in a request.
func requestTags(tags []ecrapi.Tag) map[string][]string {
	keys := map[string][]string{}
	var names []string
	for _, t := range tags {
		keys["aws:requesttag/"+strings.ToLower(api.Value(t.Key))] = []string{api.Value(t.Value)}
		names = append(names, api.Value(t.Key))
	}
	if len(names) > 0 {
		keys["aws:tagkeys"] = names
	}
	return keys
}

// addResourceTags adds the condition keys of a repository's tags.
func addResourceTags(keys map[string][]string, tags map[string]string) {
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		name := strings.ToLower(k)
		keys["aws:resourcetag/"+name] = []string{tags[k]}
		keys["ecr:resourcetag/"+name] = []string{tags[k]}
	}
}

const maxTags = 50 // https://docs.aws.amazon.com/AmazonECR/latest/userguide/ecr-using-tags.html

// addTags puts tags on the repository, over those of the same names.
func (doc *repository) addTags(tags []ecrapi.Tag) error {
	if len(tags) == 0 {
		return nil
	}
	if doc.Tags == nil {
		doc.Tags = map[string]string{}
	}
	seen := map[string]bool{}
	for _, t := range tags {
		k, v := api.Value(t.Key), api.Value(t.Value)
		switch {
		case k == "" || len(k) > 128 || len(v) > 256:
			return ecrapi.InvalidTagParameterException("Invalid parameter at 'tags' failed to satisfy constraint: 'Tag keys have 1 to 128 characters and values at most 256'")
		case strings.HasPrefix(strings.ToLower(k), "aws:"):
			return ecrapi.InvalidTagParameterException("Invalid parameter at 'tags' failed to satisfy constraint: 'Tag keys must not begin with aws:'")
		case seen[k]:
			return ecrapi.InvalidTagParameterException("Invalid parameter at 'tags' failed to satisfy constraint: 'Duplicate tag key %s'", k)
		}
		seen[k] = true
		doc.Tags[k] = v
	}
	if len(doc.Tags) > maxTags {
		return ecrapi.TooManyTagsException("The list of tags on the repository is over the limit. The maximum number of tags that can be applied to a repository is %d", maxTags)
	}
	return gateway.AmbiguousTags(slices.Sorted(maps.Keys(doc.Tags)))
}

// repositoryOf reads the ARN of a repository.
func repositoryOf(resource *string) (ref, error) {
	a, err := arn.Parse(api.Value(resource))
	typ, name := a.Type()
	if err != nil || a.Service != "ecr" || typ != "repository" || name == "" {
		return ref{}, ecrapi.InvalidParameterException("Invalid parameter at 'resourceArn' failed to satisfy constraint: 'Invalid ARN'")
	}
	return ref{a.Account, a.Region, name}, nil
}

// findTaggable is find for what TagResource and its like may touch: a
// repository of the caller's own registry and region.
func findTaggable(c *gateway.Call, resource *string) (ref, *repository, error) {
	r, err := repositoryOf(resource)
	if err != nil {
		return r, nil, err
	}
	if r.shard() != c.Home {
		return r, nil, ecrapi.RepositoryNotFoundException("The repository with name '%s' does not exist in the registry with id '%s'", r.name, r.registry)
	}
	doc, err := r.find(c.Tx)
	return r, doc, err
}

func (s *Service) mayTagResource(c *gateway.Call, in *ecrapi.TagResourceInput) ([]authz.Ask, error) {
	r, err := repositoryOf(in.ResourceArn)
	if err != nil {
		return nil, err
	}
	asks, err := r.ask(c, "ecr:TagResource")
	for i := range asks {
		maps.Copy(asks[i].Keys, requestTags(in.Tags))
	}
	return asks, err
}

// https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_TagResource.html
func (s *Service) tagResource(c *gateway.Call, in *ecrapi.TagResourceInput) (*ecrapi.TagResourceOutput, error) {
	r, _, err := findTaggable(c, in.ResourceArn)
	if err != nil {
		return nil, err
	}
	doc, _ := repositories.Edit(c.Tx, r.name)
	if err := doc.addTags(in.Tags); err != nil {
		return nil, err
	}
	repositories.Put(c.Tx, r.name, doc)
	return &ecrapi.TagResourceOutput{}, nil
}

func (s *Service) mayUntagResource(c *gateway.Call, in *ecrapi.UntagResourceInput) ([]authz.Ask, error) {
	r, err := repositoryOf(in.ResourceArn)
	if err != nil {
		return nil, err
	}
	asks, err := r.ask(c, "ecr:UntagResource")
	for i := range asks {
		asks[i].Keys["aws:tagkeys"] = in.TagKeys
	}
	return asks, err
}

// https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_UntagResource.html
func (s *Service) untagResource(c *gateway.Call, in *ecrapi.UntagResourceInput) (*ecrapi.UntagResourceOutput, error) {
	r, _, err := findTaggable(c, in.ResourceArn)
	if err != nil {
		return nil, err
	}
	doc, _ := repositories.Edit(c.Tx, r.name)
	for _, k := range in.TagKeys {
		delete(doc.Tags, k)
	}
	repositories.Put(c.Tx, r.name, doc)
	return &ecrapi.UntagResourceOutput{}, nil
}

func (s *Service) mayListTagsForResource(c *gateway.Call, in *ecrapi.ListTagsForResourceInput) ([]authz.Ask, error) {
	r, err := repositoryOf(in.ResourceArn)
	if err != nil {
		return nil, err
	}
	return r.ask(c, "ecr:ListTagsForResource")
}

// https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_ListTagsForResource.html
func (s *Service) listTagsForResource(c *gateway.Call, in *ecrapi.ListTagsForResourceInput) (*ecrapi.ListTagsForResourceOutput, error) {
	_, doc, err := findTaggable(c, in.ResourceArn)
	if err != nil {
		return nil, err
	}
	out := &ecrapi.ListTagsForResourceOutput{Tags: []ecrapi.Tag{}}
	for _, k := range slices.Sorted(maps.Keys(doc.Tags)) {
		out.Tags = append(out.Tags, ecrapi.Tag{Key: &k, Value: api.Ptr(doc.Tags[k])})
	}
	return out, nil
}
