package ecr

import (
	"slices"

	"github.com/remit-ecs/remit/arn"
	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/ecrapi"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/gateway"
)

func (s *Service) mayCreateRepository(c *gateway.Call, in *ecrapi.CreateRepositoryInput) ([]authz.Ask, error) {
	r := at(c, in.RegistryId, in.RepositoryName)
	keys := requestTags(in.Tags)
	asks := []authz.Ask{{Action: "ecr:CreateRepository", Resource: r.arn(), Account: r.registry, Keys: keys}}
	if len(in.Tags) > 0 {
		asks = append(asks, authz.Ask{Action: "ecr:TagResource", Resource: r.arn(), Account: r.registry, Keys: keys})
	}
	return asks, nil
}

// https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_CreateRepository.html
func (s *Service) createRepository(c *gateway.Call, in *ecrapi.CreateRepositoryInput) (*ecrapi.CreateRepositoryOutput, error) {
	r := at(c, in.RegistryId, in.RepositoryName)
	if _, ok := repositories.Get(c.Tx, r.shard(), r.name); ok {
		return nil, ecrapi.RepositoryAlreadyExistsException("The repository with name '%s' already exists in the registry with id '%s'", r.name, r.registry)
	}
	if e := in.EncryptionConfiguration; e != nil && e.EncryptionType != ecrapi.EncryptionTypeAes256 {
		return nil, api.NotImplemented("Remit does not encrypt repositories with KMS keys.")
	}
	doc := &repository{Created: c.Time.UTC()}
	if err := doc.setMutability(in.ImageTagMutability, in.ImageTagMutabilityExclusionFilters); err != nil {
		return nil, err
	}
	if in.ImageScanningConfiguration != nil {
		doc.ScanOnPush = api.Value(in.ImageScanningConfiguration.ScanOnPush)
	}
	if err := doc.addTags(in.Tags); err != nil {
		return nil, err
	}
	repositories.Put(c.Tx, r.name, doc)
	return &ecrapi.CreateRepositoryOutput{Repository: describe(c, r, doc)}, nil
}

func describe(c *gateway.Call, r ref, doc *repository) *ecrapi.Repository {
	return &ecrapi.Repository{
		RepositoryArn:                      api.Ptr(r.arn()),
		RegistryId:                         &r.registry,
		RepositoryName:                     &r.name,
		RepositoryUri:                      api.Ptr(repositoryURI(c, r)),
		CreatedAt:                          &api.Time{Time: doc.Created},
		ImageTagMutability:                 doc.Mutability,
		ImageTagMutabilityExclusionFilters: doc.filters(),
		ImageScanningConfiguration:         &ecrapi.ImageScanningConfiguration{ScanOnPush: &doc.ScanOnPush},
		EncryptionConfiguration:            &ecrapi.EncryptionConfiguration{EncryptionType: ecrapi.EncryptionTypeAes256},
	}
}

func (s *Service) mayDescribeRepositories(c *gateway.Call, in *ecrapi.DescribeRepositoriesInput) ([]authz.Ask, error) {
	if len(in.RepositoryNames) == 0 {
		return at(c, in.RegistryId, api.Ptr("*")).ask(c, "ecr:DescribeRepositories")
	}
	var asks []authz.Ask
	for _, name := range in.RepositoryNames {
		a, err := at(c, in.RegistryId, &name).ask(c, "ecr:DescribeRepositories")
		if err != nil {
			return nil, err
		}
		asks = append(asks, a...)
	}
	return asks, nil
}

const defaultPage = 100

// pageSize is what a listing answers at once.
func pageSize(max *int32) int {
	if max == nil {
		return defaultPage
	}
	return int(*max)
}

var errBadToken = ecrapi.InvalidParameterException("Invalid parameter at 'NextToken' failed to satisfy constraint: 'Invalid token'")

// https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_DescribeRepositories.html
func (s *Service) describeRepositories(c *gateway.Call, in *ecrapi.DescribeRepositoriesInput) (*ecrapi.DescribeRepositoriesOutput, error) {
	out := &ecrapi.DescribeRepositoriesOutput{Repositories: []ecrapi.Repository{}}
	if len(in.RepositoryNames) > 0 {
		for _, name := range in.RepositoryNames {
			r := at(c, in.RegistryId, &name)
			doc, err := r.find(c.Tx)
			if err != nil {
				return nil, err
			}
			out.Repositories = append(out.Repositories, *describe(c, r, doc))
		}
		return out, nil
	}
	after, ok := c.After(in.NextToken)
	if !ok {
		return nil, errBadToken
	}
	last := ""
	for name, doc := range repositories.From(c.Tx, c.Home, after) {
		if len(out.Repositories) == pageSize(in.MaxResults) {
			out.NextToken = c.NextToken(last)
			break
		}
		out.Repositories = append(out.Repositories, *describe(c, at(c, in.RegistryId, &name), doc))
		last = name
	}
	return out, nil
}

func (s *Service) mayDeleteRepository(c *gateway.Call, in *ecrapi.DeleteRepositoryInput) ([]authz.Ask, error) {
	return at(c, in.RegistryId, in.RepositoryName).ask(c, "ecr:DeleteRepository")
}

// https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_DeleteRepository.html
func (s *Service) deleteRepository(c *gateway.Call, in *ecrapi.DeleteRepositoryInput) (*ecrapi.DeleteRepositoryOutput, error) {
	r := at(c, in.RegistryId, in.RepositoryName)
	doc, err := r.find(c.Tx)
	if err != nil {
		return nil, err
	}
	for key := range images.Prefix(c.Tx, c.Home, r.content("")) {
		if !api.Value(in.Force) {
			return nil, ecrapi.RepositoryNotEmptyException("The repository with name '%s' in registry with id '%s' cannot be deleted because it still contains images", r.name, r.registry)
		}
		images.Delete(c.Tx, key)
	}
	for key := range imageTags.Prefix(c.Tx, c.Home, r.tag("")) {
		imageTags.Delete(c.Tx, key)
	}
	for key := range layers.Prefix(c.Tx, c.Home, r.content("")) {
		layers.Delete(c.Tx, key)
	}
	for key := range uploads.Prefix(c.Tx, c.Home, r.upload("")) {
		uploads.Delete(c.Tx, key)
	}
	repositories.Delete(c.Tx, r.name)
	return &ecrapi.DeleteRepositoryOutput{Repository: describe(c, r, doc)}, nil
}

func (s *Service) mayPutImageTagMutability(c *gateway.Call, in *ecrapi.PutImageTagMutabilityInput) ([]authz.Ask, error) {
	return at(c, in.RegistryId, in.RepositoryName).ask(c, "ecr:PutImageTagMutability")
}

// https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_PutImageTagMutability.html
func (s *Service) putImageTagMutability(c *gateway.Call, in *ecrapi.PutImageTagMutabilityInput) (*ecrapi.PutImageTagMutabilityOutput, error) {
	r := at(c, in.RegistryId, in.RepositoryName)
	if _, err := r.find(c.Tx); err != nil {
		return nil, err
	}
	doc, _ := repositories.Edit(c.Tx, r.name)
	if err := doc.setMutability(in.ImageTagMutability, in.ImageTagMutabilityExclusionFilters); err != nil {
		return nil, err
	}
	repositories.Put(c.Tx, r.name, doc)
	return &ecrapi.PutImageTagMutabilityOutput{
		RegistryId: &r.registry, RepositoryName: &r.name,
		ImageTagMutability: doc.Mutability, ImageTagMutabilityExclusionFilters: doc.filters(),
	}, nil
}

// maxExclusions is AWS's limit.
// https://docs.aws.amazon.com/AmazonECR/latest/userguide/image-tag-mutability.html
const maxExclusions = 5

func (doc *repository) setMutability(m ecrapi.ImageTagMutability, filters []ecrapi.ImageTagMutabilityExclusionFilter) error {
	if m == "" {
		m = ecrapi.ImageTagMutabilityMutable
	}
	excludes := m == ecrapi.ImageTagMutabilityImmutableWithExclusion || m == ecrapi.ImageTagMutabilityMutableWithExclusion
	switch {
	case excludes && len(filters) == 0:
		return ecrapi.InvalidParameterException("Invalid parameter at 'imageTagMutabilityExclusionFilters' failed to satisfy constraint: 'Exclusion filters are required for %s'", m)
	case !excludes && len(filters) > 0:
		return ecrapi.InvalidParameterException("Invalid parameter at 'imageTagMutabilityExclusionFilters' failed to satisfy constraint: 'Exclusion filters are not allowed for %s'", m)
	case len(filters) > maxExclusions:
		return ecrapi.InvalidParameterException("Invalid parameter at 'imageTagMutabilityExclusionFilters' failed to satisfy constraint: 'At most %d exclusion filters are allowed'", maxExclusions)
	}
	doc.Mutability, doc.Exclusions = m, nil
	for _, f := range filters {
		doc.Exclusions = append(doc.Exclusions, api.Value(f.Filter))
	}
	return nil
}

func (doc *repository) filters() []ecrapi.ImageTagMutabilityExclusionFilter {
	var out []ecrapi.ImageTagMutabilityExclusionFilter
	for _, f := range doc.Exclusions {
		out = append(out, ecrapi.ImageTagMutabilityExclusionFilter{FilterType: ecrapi.ImageTagMutabilityExclusionFilterTypeWildcard, Filter: &f})
	}
	return out
}

// immutable tells whether a tag of the repository may not move.
func (doc *repository) immutable(tag string) bool {
	excluded := slices.ContainsFunc(doc.Exclusions, func(pattern string) bool { return arn.Glob(pattern, tag) })
	switch doc.Mutability {
	case ecrapi.ImageTagMutabilityImmutable:
		return true
	case ecrapi.ImageTagMutabilityImmutableWithExclusion:
		return !excluded
	case ecrapi.ImageTagMutabilityMutableWithExclusion:
		return excluded
	}
	return false
}

func (s *Service) mayPutImageScanningConfiguration(c *gateway.Call, in *ecrapi.PutImageScanningConfigurationInput) ([]authz.Ask, error) {
	return at(c, in.RegistryId, in.RepositoryName).ask(c, "ecr:PutImageScanningConfiguration")
}

// putImageScanningConfiguration keeps the setting; nothing is scanned
// (DIVERGENCES.md).
// https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_PutImageScanningConfiguration.html
func (s *Service) putImageScanningConfiguration(c *gateway.Call, in *ecrapi.PutImageScanningConfigurationInput) (*ecrapi.PutImageScanningConfigurationOutput, error) {
	r := at(c, in.RegistryId, in.RepositoryName)
	if _, err := r.find(c.Tx); err != nil {
		return nil, err
	}
	doc, _ := repositories.Edit(c.Tx, r.name)
	doc.ScanOnPush = api.Value(in.ImageScanningConfiguration.ScanOnPush)
	repositories.Put(c.Tx, r.name, doc)
	return &ecrapi.PutImageScanningConfigurationOutput{
		RegistryId: &r.registry, RepositoryName: &r.name,
		ImageScanningConfiguration: &ecrapi.ImageScanningConfiguration{ScanOnPush: &doc.ScanOnPush},
	}, nil
}
