package ecr

import (
	"slices"
	"strings"

	"github.com/remit-ecs/remit/arn"
	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/ecrapi"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/gateway"
	"github.com/remit-ecs/remit/internal/resourcepolicy"
	"github.com/remit-ecs/remit/internal/store"
	"github.com/remit-ecs/remit/policy"
)

const (
	repositoryPolicy = "repository policy"
	registryPolicy   = "registry policy"
)

// ResourcePolicy is an authz.ResourcePolicy. What a repository's policy says is
// about the repository; who may create one that is not there yet, the policy of
// the registry says.
// https://docs.aws.amazon.com/AmazonECR/latest/userguide/registry-permissions.html
func (s *Service) ResourcePolicy(r store.Reader, resource string) *policy.Attached {
	ref, err := repositoryOf(&resource)
	if err != nil {
		return nil
	}
	if doc, ok := repositories.Get(r, ref.shard(), ref.name); ok {
		return doc.Policy.Attached(repositoryPolicy)
	}
	if doc, ok := registries.Get(r, ref.shard(), registrySettings); ok {
		return doc.Policy.Attached(registryPolicy)
	}
	return nil
}

// invalidPolicy is ECR's answer to every policy that it does not take.
func invalidPolicy(why string) *api.Error {
	return ecrapi.InvalidParameterException("Invalid parameter at 'PolicyText' failed to satisfy constraint: '%s'", why)
}

// draft reads a policy, refusing it in ECR's words. ECR does not say what is
// wrong.
func (s *Service) draft(c *gateway.Call, account string, text *string, invalid string) (*resourcepolicy.Draft, error) {
	d, err := resourcepolicy.New(c.Tx, s.Principals, account, api.Value(text))
	switch {
	case err != nil:
		return nil, invalidPolicy(invalid).Because(err)
	case len(d.Missing) > 0:
		return nil, invalidPolicy("Principal not found")
	}
	for _, st := range d.Outline.Statements {
		for _, a := range slices.Concat(st.Actions, st.NotActions) {
			if a != "*" && !strings.HasPrefix(strings.ToLower(a), "ecr:") {
				return nil, invalidPolicy(invalid)
			}
		}
	}
	return d, nil
}

func (s *Service) maySetRepositoryPolicy(c *gateway.Call, in *ecrapi.SetRepositoryPolicyInput) ([]authz.Ask, error) {
	return at(c, in.RegistryId, in.RepositoryName).ask(c, "ecr:SetRepositoryPolicy")
}

// setRepositoryPolicy replaces the policy of a repository. One after which the
// caller could not set another is taken by force only.
// https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_SetRepositoryPolicy.html
func (s *Service) setRepositoryPolicy(c *gateway.Call, in *ecrapi.SetRepositoryPolicyInput) (*ecrapi.SetRepositoryPolicyOutput, error) {
	const invalid = "Invalid repository policy provided"
	r := at(c, in.RegistryId, in.RepositoryName)
	if _, err := r.find(c.Tx); err != nil {
		return nil, err
	}
	d, err := s.draft(c, r.registry, in.PolicyText, invalid)
	if err != nil {
		return nil, err
	}
	for _, st := range d.Outline.Statements {
		// A policy is about the repository that it is attached to. Observed:
		// https://github.com/awsdocs/amazon-ecr-user-guide/pull/20
		if st.Resources != nil || st.NotResources != nil {
			return nil, invalidPolicy(invalid)
		}
	}
	if c.Enforced() && !api.Value(in.Force) {
		asks, err := r.ask(c, "ecr:SetRepositoryPolicy")
		if err != nil {
			return nil, err
		}
		for _, a := range asks {
			if a.Proposed = d.Attached(repositoryPolicy); !c.Would(a) {
				return nil, invalidPolicy("The policy would prevent future calls of SetRepositoryPolicy. Set force to apply it all the same.")
			}
		}
	}
	doc, _ := repositories.Edit(c.Tx, r.name)
	doc.Policy = d.Policy
	repositories.Put(c.Tx, r.name, doc)
	return &ecrapi.SetRepositoryPolicyOutput{RegistryId: &r.registry, RepositoryName: &r.name, PolicyText: &d.Text}, nil
}

// findPolicy is find for what needs a policy to be there.
func (r ref) findPolicy(rd store.Reader) (*repository, error) {
	doc, err := r.find(rd)
	if err == nil && doc.Policy == nil {
		err = ecrapi.RepositoryPolicyNotFoundException("Repository policy does not exist for the repository with name '%s' in the registry with id '%s'", r.name, r.registry)
	}
	return doc, err
}

func (s *Service) mayGetRepositoryPolicy(c *gateway.Call, in *ecrapi.GetRepositoryPolicyInput) ([]authz.Ask, error) {
	return at(c, in.RegistryId, in.RepositoryName).ask(c, "ecr:GetRepositoryPolicy")
}

// https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_GetRepositoryPolicy.html
func (s *Service) getRepositoryPolicy(c *gateway.Call, in *ecrapi.GetRepositoryPolicyInput) (*ecrapi.GetRepositoryPolicyOutput, error) {
	r := at(c, in.RegistryId, in.RepositoryName)
	doc, err := r.findPolicy(c.Tx)
	if err != nil {
		return nil, err
	}
	text := doc.Policy.Show(c.Tx, s.Principals, r.registry)
	return &ecrapi.GetRepositoryPolicyOutput{RegistryId: &r.registry, RepositoryName: &r.name, PolicyText: &text}, nil
}

func (s *Service) mayDeleteRepositoryPolicy(c *gateway.Call, in *ecrapi.DeleteRepositoryPolicyInput) ([]authz.Ask, error) {
	return at(c, in.RegistryId, in.RepositoryName).ask(c, "ecr:DeleteRepositoryPolicy")
}

// https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_DeleteRepositoryPolicy.html
func (s *Service) deleteRepositoryPolicy(c *gateway.Call, in *ecrapi.DeleteRepositoryPolicyInput) (*ecrapi.DeleteRepositoryPolicyOutput, error) {
	r := at(c, in.RegistryId, in.RepositoryName)
	was, err := r.findPolicy(c.Tx)
	if err != nil {
		return nil, err
	}
	text := was.Policy.Show(c.Tx, s.Principals, r.registry)
	doc, _ := repositories.Edit(c.Tx, r.name)
	doc.Policy = nil
	repositories.Put(c.Tx, r.name, doc)
	return &ecrapi.DeleteRepositoryPolicyOutput{RegistryId: &r.registry, RepositoryName: &r.name, PolicyText: &text}, nil
}

// registrySettings is the key of the one document that a registry has.
const registrySettings = "settings"

// onRegistry asks for an action that has no resource type.
func onRegistry(c *gateway.Call) ([]authz.Ask, error) {
	return []authz.Ask{{Action: c.Op.Action(), Resource: "*"}}, nil
}

func (s *Service) mayPutRegistryPolicy(c *gateway.Call, _ *ecrapi.PutRegistryPolicyInput) ([]authz.Ask, error) {
	return onRegistry(c)
}

// registryActions are what a registry's policy can be about.
// https://docs.aws.amazon.com/AmazonECR/latest/userguide/registry-permissions.html
var registryActions = []string{"batchimportupstreamimage", "createrepository", "replicateimage"}

// https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_PutRegistryPolicy.html
func (s *Service) putRegistryPolicy(c *gateway.Call, in *ecrapi.PutRegistryPolicyInput) (*ecrapi.PutRegistryPolicyOutput, error) {
	const invalid = "Invalid registry policy provided"
	d, err := s.draft(c, c.Account, in.PolicyText, invalid)
	if err != nil {
		return nil, err
	}
	own := ref{registry: c.Account, region: c.Region}.arn()
	for _, st := range d.Outline.Statements {
		for _, a := range st.Actions {
			// Observed: https://github.com/pulumi/pulumi-aws/issues/2326
			if !slices.Contains(registryActions, strings.TrimPrefix(strings.ToLower(a), "ecr:")) {
				return nil, invalidPolicy(invalid)
			}
		}
		if len(st.Actions) == 0 || len(st.Resources) == 0 {
			return nil, invalidPolicy(invalid)
		}
		for _, res := range st.Resources {
			if a, err := arn.Parse(res); err != nil || a.Account != c.Account || !strings.HasPrefix(res, own) {
				return nil, invalidPolicy(invalid)
			}
		}
	}
	registries.Put(c.Tx, registrySettings, &registry{Policy: d.Policy})
	return &ecrapi.PutRegistryPolicyOutput{RegistryId: &c.Account, PolicyText: &d.Text}, nil
}

// registryPolicyOf is the policy of the caller's registry, or AWS's error.
func registryPolicyOf(c *gateway.Call) (*resourcepolicy.Policy, error) {
	if doc, ok := registries.Get(c.Tx, c.Home, registrySettings); ok && doc.Policy != nil {
		return doc.Policy, nil
	}
	return nil, ecrapi.RegistryPolicyNotFoundException("Registry policy does not exist in the registry with id '%s'", c.Account)
}

func (s *Service) mayGetRegistryPolicy(c *gateway.Call, _ *ecrapi.GetRegistryPolicyInput) ([]authz.Ask, error) {
	return onRegistry(c)
}

// https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_GetRegistryPolicy.html
func (s *Service) getRegistryPolicy(c *gateway.Call, _ *ecrapi.GetRegistryPolicyInput) (*ecrapi.GetRegistryPolicyOutput, error) {
	p, err := registryPolicyOf(c)
	if err != nil {
		return nil, err
	}
	text := p.Show(c.Tx, s.Principals, c.Account)
	return &ecrapi.GetRegistryPolicyOutput{RegistryId: &c.Account, PolicyText: &text}, nil
}

func (s *Service) mayDeleteRegistryPolicy(c *gateway.Call, _ *ecrapi.DeleteRegistryPolicyInput) ([]authz.Ask, error) {
	return onRegistry(c)
}

// https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_DeleteRegistryPolicy.html
func (s *Service) deleteRegistryPolicy(c *gateway.Call, _ *ecrapi.DeleteRegistryPolicyInput) (*ecrapi.DeleteRegistryPolicyOutput, error) {
	p, err := registryPolicyOf(c)
	if err != nil {
		return nil, err
	}
	text := p.Show(c.Tx, s.Principals, c.Account)
	registries.Delete(c.Tx, registrySettings)
	return &ecrapi.DeleteRegistryPolicyOutput{RegistryId: &c.Account, PolicyText: &text}, nil
}
