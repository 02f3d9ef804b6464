package iam

import (
	"strings"

	"github.com/remit-ecs/remit/arn"
	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/iamapi"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/gateway"
	"github.com/remit-ecs/remit/internal/id"
	"github.com/remit-ecs/remit/internal/store"
	"github.com/remit-ecs/remit/policy"
)

// checkPolicyARN refuses what is not the ARN of a managed policy at all.
func checkPolicyARN(policyARN *string) error {
	a, err := arn.Parse(api.Value(policyARN))
	if err != nil || a.Service != "iam" || !strings.HasPrefix(a.Resource, "policy/") {
		return api.Validation("ARN " + api.Value(policyARN) + " is not valid.")
	}
	return nil
}

// splitPolicyARN gives path and name of the policy that an ARN names.
func splitPolicyARN(policyARN string) (at, name string) {
	_, resource, _ := strings.Cut(policyARN, ":policy")
	i := strings.LastIndexByte(resource, '/') + 1
	return resource[:i], resource[i:]
}

// aboutPolicy is the whole rule of operations on a managed policy. AWS's own
// are asked about as the caller's: everybody owns what everybody may read. That
// nobody changes them, the policy engine sees to.
func aboutPolicy(c *gateway.Call, policyARN *string) ([]authz.Ask, error) {
	if err := checkPolicyARN(policyARN); err != nil {
		return nil, err
	}
	ask := authz.Ask{Action: c.Op.Action(), Resource: api.Value(policyARN), Keys: keys{}, Refuse: named("policy", api.Value(policyARN))}
	if isAWSManaged(ask.Resource) {
		ask.Account = c.Account
	}
	if p, ok := managed(c.Tx, c.Home, ask.Resource); ok {
		keys(ask.Keys).resourceTags(p.Tags, awsResourceTag)
	}
	return []authz.Ask{ask}, nil
}

func missingPolicy(policyARN *string) *api.Error {
	return iamapi.NoSuchEntityException("Policy %s was not found.", api.Value(policyARN))
}

func readPolicy(c *gateway.Call, policyARN *string) (*Policy, error) {
	p, ok := managed(c.Tx, c.Home, api.Value(policyARN))
	if !ok {
		return nil, missingPolicy(policyARN)
	}
	return p, nil
}

// changePolicy finds a customer managed policy that is to be changed.
func changePolicy(c *gateway.Call, policyARN *string, f func(p *Policy) error) error {
	_, name := splitPolicyARN(api.Value(policyARN))
	p, ok := policies.Edit(c.Tx, fold(name))
	if !ok || p.ARN != api.Value(policyARN) {
		return missingPolicy(policyARN)
	}
	if err := f(p); err != nil {
		return err
	}
	policies.Put(c.Tx, fold(p.Name), p)
	return nil
}

// usage counts the roles, users and groups that a managed policy is attached to, and
// those that it bounds.
func usage(r store.Reader, shard, policyARN string) (attachments, boundaries int32) {
	for range roles.By(r, shard, "policy", policyARN) {
		attachments++
	}
	for range users.By(r, shard, "policy", policyARN) {
		attachments++
	}
	for range groups.By(r, shard, "policy", policyARN) {
		attachments++
	}
	for range roles.By(r, shard, "boundary", policyARN) {
		boundaries++
	}
	for range users.By(r, shard, "boundary", policyARN) {
		boundaries++
	}
	return attachments, boundaries
}

// listPolicy is a managed policy in a list, which leaves out description and
// tags.
func listPolicy(r store.Reader, shard string, p *Policy) iamapi.Policy {
	attachments, boundaries := usage(r, shard, p.ARN)
	return iamapi.Policy{
		PolicyName: &p.Name, PolicyId: &p.ID, Arn: &p.ARN, Path: &p.Path, DefaultVersionId: versionID(p.Default),
		AttachmentCount: &attachments, PermissionsBoundaryUsageCount: &boundaries, IsAttachable: api.Ptr(true),
		CreateDate: &api.Time{Time: p.Created}, UpdateDate: &api.Time{Time: p.Updated},
	}
}

func showPolicy(r store.Reader, shard string, p *Policy) *iamapi.Policy {
	out := listPolicy(r, shard, p)
	out.Description, out.Tags = p.Description, p.Tags
	if out.Tags == nil {
		out.Tags = []iamapi.Tag{}
	}
	return &out
}

func policyARN(c *gateway.Call, in *iamapi.CreatePolicyInput) (at, resource string, err error) {
	if at, err = path(in.Path); err != nil {
		return "", "", err
	}
	return at, entityARN(c.Account, "policy", at, api.Value(in.PolicyName)), nil
}

// https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreatePolicy.html
func (s *Service) mayCreatePolicy(c *gateway.Call, in *iamapi.CreatePolicyInput) ([]authz.Ask, error) {
	_, resource, err := policyARN(c, in)
	if err != nil {
		return nil, err
	}
	return mayCreateTagged(c, resource, "iam:TagPolicy", in.Tags), nil
}

// mayCreateTagged asks for something new; tags need the permission to tag, too.
func mayCreateTagged(c *gateway.Call, resource, tagging string, tags []iamapi.Tag) []authz.Ask {
	asks := one(c.Op.Action(), resource, keys{}.requestTags(tags))
	if len(tags) > 0 {
		asks = append(asks, one(tagging, resource, keys{}.requestTags(tags))...)
	}
	return asks
}

func (s *Service) createPolicy(c *gateway.Call, in *iamapi.CreatePolicyInput) (*iamapi.CreatePolicyOutput, error) {
	at, resource, err := policyARN(c, in)
	if err != nil {
		return nil, err
	}
	name, text := api.Value(in.PolicyName), api.Value(in.PolicyDocument)
	if _, taken := policies.Get(c.Tx, c.Home, fold(name)); taken {
		return nil, iamapi.EntityAlreadyExistsException("A policy called %s already exists. Duplicate names are not allowed.", name)
	}
	if err := quota(c, policies, "PoliciesPerAccount", maxPolicies); err != nil {
		return nil, err
	}
	if err := checkManaged(text); err != nil {
		return nil, err
	}
	p := &Policy{
		Name: name, Path: at, ARN: resource, ID: id.Unique(c.IDs, "ANPA"), Description: in.Description,
		Created: c.Time, Updated: c.Time, Default: 1, Last: 1,
		Versions: []Version{{Number: 1, Document: text, Created: c.Time}},
	}
	if p.Tags, err = withTags(nil, in.Tags); err != nil {
		return nil, err
	}
	policies.Put(c.Tx, fold(name), p)
	return &iamapi.CreatePolicyOutput{Policy: showPolicy(c.Tx, c.Home, p)}, nil
}

// checkManaged checks the document of a managed policy.
func checkManaged(text string) error {
	if err := checkDocument(policy.KindIdentity, text); err != nil {
		return err
	}
	if policy.Size([]byte(text)) > policy.MaxManagedPolicySize {
		return iamapi.LimitExceededException("Cannot exceed quota for PolicySize: %d", policy.MaxManagedPolicySize)
	}
	return nil
}

func (s *Service) mayGetPolicy(c *gateway.Call, in *iamapi.GetPolicyInput) ([]authz.Ask, error) {
	return aboutPolicy(c, in.PolicyArn)
}

func (s *Service) getPolicy(c *gateway.Call, in *iamapi.GetPolicyInput) (*iamapi.GetPolicyOutput, error) {
	p, err := readPolicy(c, in.PolicyArn)
	if err != nil {
		return nil, err
	}
	return &iamapi.GetPolicyOutput{Policy: showPolicy(c.Tx, c.Home, p)}, nil
}

func (s *Service) mayListPolicies(c *gateway.Call, _ *iamapi.ListPoliciesInput) ([]authz.Ask, error) {
	return all(c)
}

// https://docs.aws.amazon.com/IAM/latest/APIReference/API_ListPolicies.html
func (s *Service) listPolicies(c *gateway.Call, in *iamapi.ListPoliciesInput) (*iamapi.ListPoliciesOutput, error) {
	wanted := func(p *Policy) (iamapi.Policy, bool) {
		out := listPolicy(c.Tx, c.Home, p)
		attached, bounds := *out.AttachmentCount > 0, *out.PermissionsBoundaryUsageCount > 0
		switch in.PolicyUsageFilter {
		case iamapi.PolicyUsageTypePermissionsPolicy:
			bounds = false
		case iamapi.PolicyUsageTypePermissionsBoundary:
			attached = false
		}
		if (api.Value(in.OnlyAttached) || in.PolicyUsageFilter != "") && !attached && !bounds {
			return out, false
		}
		return out, strings.HasPrefix(p.Path, api.Value(in.PathPrefix))
	}
	found := func(yield func(string, iamapi.Policy) bool) {
		if in.Scope != iamapi.PolicyScopeTypeAws {
			for key, p := range policies.Prefix(c.Tx, c.Home, "") {
				if out, ok := wanted(p); ok && !yield("1/"+key, out) {
					return
				}
			}
		}
		if in.Scope != iamapi.PolicyScopeTypeLocal {
			for _, p := range awsManaged().byName {
				if out, ok := wanted(p); ok && !yield("2/"+p.Name, out) {
					return
				}
			}
		}
	}
	items, truncated, next, err := pageOf(c, in.Marker, in.MaxItems, found)
	if err != nil {
		return nil, err
	}
	return &iamapi.ListPoliciesOutput{Policies: items, IsTruncated: truncated, Marker: next}, nil
}

func (s *Service) mayDeletePolicy(c *gateway.Call, in *iamapi.DeletePolicyInput) ([]authz.Ask, error) {
	return aboutPolicy(c, in.PolicyArn)
}

func (s *Service) deletePolicy(c *gateway.Call, in *iamapi.DeletePolicyInput) (*iamapi.DeletePolicyOutput, error) {
	_, name := splitPolicyARN(api.Value(in.PolicyArn))
	p, ok := policies.Get(c.Tx, c.Home, fold(name))
	if !ok || p.ARN != api.Value(in.PolicyArn) {
		return nil, missingPolicy(in.PolicyArn)
	}
	if attachments, boundaries := usage(c.Tx, c.Home, p.ARN); attachments+boundaries > 0 {
		return nil, iamapi.DeleteConflictException("Cannot delete a policy attached to entities.")
	}
	if len(p.Versions) > 1 {
		return nil, iamapi.DeleteConflictException("This policy has more than one version. Before you delete a policy, you must delete the policy's versions. The default version is deleted with the policy.")
	}
	policies.Delete(c.Tx, fold(name))
	return &iamapi.DeletePolicyOutput{}, nil
}
