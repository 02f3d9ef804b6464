package iam

import (
	"slices"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/iamapi"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/gateway"
	"github.com/remit-ecs/remit/internal/store"
	"github.com/remit-ecs/remit/policy"
)

func (s *Service) mayGetAccountAuthorizationDetails(c *gateway.Call, _ *iamapi.GetAccountAuthorizationDetailsInput) ([]authz.Ask, error) {
	return all(c)
}

// getAccountAuthorizationDetails exports the account's IAM: users, groups, roles,
// the customer's managed policies, then those of AWS that are in use.
// https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetAccountAuthorizationDetails.html
func (s *Service) getAccountAuthorizationDetails(c *gateway.Call, in *iamapi.GetAccountAuthorizationDetailsInput) (*iamapi.GetAccountAuthorizationDetailsOutput, error) {
	out := &iamapi.GetAccountAuthorizationDetailsOutput{
		UserDetailList: []iamapi.UserDetail{}, GroupDetailList: []iamapi.GroupDetail{},
		RoleDetailList: []iamapi.RoleDetail{}, Policies: []iamapi.ManagedPolicyDetail{},
	}
	wanted := func(t iamapi.EntityType) bool { return len(in.Filter) == 0 || slices.Contains(in.Filter, t) }
	// What is found is turned into its answer only if it is on the page.
	found := func(yield func(string, func()) bool) {
		if wanted(iamapi.EntityTypeUser) {
			for key, d := range users.Prefix(c.Tx, c.Home, "") {
				if !yield("1/"+key, func() { out.UserDetailList = append(out.UserDetailList, userDetail(c.Tx, c.Home, d)) }) {
					return
				}
			}
		}
		if wanted(iamapi.EntityTypeGroup) {
			for key, d := range groups.Prefix(c.Tx, c.Home, "") {
				if !yield("2/"+key, func() { out.GroupDetailList = append(out.GroupDetailList, groupDetail(d)) }) {
					return
				}
			}
		}
		if wanted(iamapi.EntityTypeRole) {
			for key, d := range roles.Prefix(c.Tx, c.Home, "") {
				if !yield("3/"+key, func() { out.RoleDetailList = append(out.RoleDetailList, s.roleDetail(c, d)) }) {
					return
				}
			}
		}
		if wanted(iamapi.EntityTypeLocalManagedPolicy) {
			for key, p := range policies.Prefix(c.Tx, c.Home, "") {
				if !yield("4/"+key, func() { out.Policies = append(out.Policies, policyDetail(c.Tx, c.Home, p)) }) {
					return
				}
			}
		}
		if wanted(iamapi.EntityTypeAWSManagedPolicy) {
			for _, p := range awsManaged().byName {
				attachments, boundaries := usage(c.Tx, c.Home, p.ARN)
				if attachments+boundaries > 0 && !yield("5/"+p.Name, func() { out.Policies = append(out.Policies, policyDetail(c.Tx, c.Home, p)) }) {
					return
				}
			}
		}
	}
	items, truncated, next, err := pageOf(c, in.Marker, in.MaxItems, found)
	if err != nil {
		return nil, err
	}
	for _, show := range items {
		show()
	}
	out.IsTruncated, out.Marker = truncated, next
	return out, nil
}

func userDetail(r store.Reader, shard string, d *User) iamapi.UserDetail {
	out := iamapi.UserDetail{
		Path: &d.Path, UserName: &d.Name, UserId: &d.ID, Arn: &d.ARN, CreateDate: &api.Time{Time: d.Created},
		UserPolicyList: inlineDetails(&d.Entity), GroupList: []string{}, AttachedManagedPolicies: attachedDetails(&d.Entity),
		PermissionsBoundary: showBoundary(d.Boundary), Tags: append([]iamapi.Tag{}, d.Tags...),
	}
	for _, g := range groupsOf(r, shard, d) {
		out.GroupList = append(out.GroupList, g.Name)
	}
	return out
}

func groupDetail(d *Group) iamapi.GroupDetail {
	return iamapi.GroupDetail{
		Path: &d.Path, GroupName: &d.Name, GroupId: &d.ID, Arn: &d.ARN, CreateDate: &api.Time{Time: d.Created},
		GroupPolicyList: inlineDetails(&d.Entity), AttachedManagedPolicies: attachedDetails(&d.Entity),
	}
}

func (s *Service) roleDetail(c *gateway.Call, d *Role) iamapi.RoleDetail {
	r, shard := c.Tx, c.Home
	out := iamapi.RoleDetail{
		Path: &d.Path, RoleName: &d.Name, RoleId: &d.ID, Arn: &d.ARN, CreateDate: &api.Time{Time: d.Created},
		AssumeRolePolicyDocument: encoded(shownTrust(r, d)), InstanceProfileList: []iamapi.InstanceProfile{},
		RolePolicyList: inlineDetails(&d.Entity), AttachedManagedPolicies: attachedDetails(&d.Entity),
		PermissionsBoundary: showBoundary(d.Boundary), Tags: append([]iamapi.Tag{}, d.Tags...),
		RoleLastUsed: s.roleLastUsed(c, d),
	}
	for _, p := range instanceProfiles.By(r, shard, "role", fold(d.Name)) {
		out.InstanceProfileList = append(out.InstanceProfileList, listProfile(r, shard, p))
	}
	return out
}

func inlineDetails(e *Entity) []iamapi.PolicyDetail {
	out := make([]iamapi.PolicyDetail, len(e.Inline))
	for i := range e.Inline {
		out[i] = iamapi.PolicyDetail{PolicyName: &e.Inline[i].Name, PolicyDocument: encoded(e.Inline[i].Document)}
	}
	return out
}

func attachedDetails(e *Entity) []iamapi.AttachedPolicy {
	out := []iamapi.AttachedPolicy{}
	for _, p := range attachedTo(e, nil) {
		out = append(out, p)
	}
	return out
}

func policyDetail(r store.Reader, shard string, p *Policy) iamapi.ManagedPolicyDetail {
	l := listPolicy(r, shard, p)
	out := iamapi.ManagedPolicyDetail{
		PolicyName: l.PolicyName, PolicyId: l.PolicyId, Arn: l.Arn, Path: l.Path, DefaultVersionId: l.DefaultVersionId,
		AttachmentCount: l.AttachmentCount, PermissionsBoundaryUsageCount: l.PermissionsBoundaryUsageCount,
		IsAttachable: l.IsAttachable, Description: p.Description, CreateDate: l.CreateDate, UpdateDate: l.UpdateDate,
	}
	for i := range slices.Backward(p.Versions) {
		v := listVersion(p, &p.Versions[i])
		v.Document = encoded(p.Versions[i].Document)
		out.PolicyVersionList = append(out.PolicyVersionList, v)
	}
	return out
}

func (s *Service) mayGetAccountSummary(c *gateway.Call, _ *iamapi.GetAccountSummaryInput) ([]authz.Ask, error) {
	return all(c)
}

// getAccountSummary counts what there is; what is not served counts zero.
func (s *Service) getAccountSummary(c *gateway.Call, _ *iamapi.GetAccountSummaryInput) (*iamapi.GetAccountSummaryOutput, error) {
	versions := 0
	for _, p := range policies.Prefix(c.Tx, c.Home, "") {
		versions += len(p.Versions)
	}
	m := map[iamapi.SummaryKeyType]int{
		iamapi.SummaryKeyTypeUsers: count(c, users), iamapi.SummaryKeyTypeUsersQuota: maxUsers,
		iamapi.SummaryKeyTypeRoles: count(c, roles), iamapi.SummaryKeyTypeRolesQuota: maxRoles,
		iamapi.SummaryKeyTypePolicies: count(c, policies), iamapi.SummaryKeyTypePoliciesQuota: maxPolicies,
		iamapi.SummaryKeyTypeInstanceProfiles: count(c, instanceProfiles), iamapi.SummaryKeyTypeInstanceProfilesQuota: maxInstanceProfiles,
		iamapi.SummaryKeyTypePolicyVersionsInUse:          versions,
		iamapi.SummaryKeyTypeVersionsPerPolicyQuota:       maxVersions,
		iamapi.SummaryKeyTypeAccessKeysPerUserQuota:       maxAccessKeys,
		iamapi.SummaryKeyTypeAttachedPoliciesPerRoleQuota: maxAttached,
		iamapi.SummaryKeyTypeAttachedPoliciesPerUserQuota: maxAttached,
		iamapi.SummaryKeyTypePolicySizeQuota:              policy.MaxManagedPolicySize,
		iamapi.SummaryKeyTypeRolePolicySizeQuota:          policy.MaxRoleInlinePolicySize,
		iamapi.SummaryKeyTypeUserPolicySizeQuota:          policy.MaxUserInlinePolicySize,
		iamapi.SummaryKeyTypeAssumeRolePolicySizeQuota:    policy.MaxTrustPolicySize,
		iamapi.SummaryKeyTypeGroups:                       count(c, groups), iamapi.SummaryKeyTypeGroupsQuota: maxGroups,
		iamapi.SummaryKeyTypeGroupsPerUserQuota:            maxGroupsPerUser,
		iamapi.SummaryKeyTypeAttachedPoliciesPerGroupQuota: maxAttached,
		iamapi.SummaryKeyTypeGroupPolicySizeQuota:          policy.MaxGroupInlinePolicySize,
		iamapi.SummaryKeyTypeMFADevices:                    0,
		iamapi.SummaryKeyTypeMFADevicesInUse:               0,
		iamapi.SummaryKeyTypeAccountMFAEnabled:             0,
		iamapi.SummaryKeyTypeProviders:                     0,
		iamapi.SummaryKeyTypeServerCertificates:            0,
		iamapi.SummaryKeyTypeGlobalEndpointTokenVersion:    2,
	}
	out := &iamapi.GetAccountSummaryOutput{SummaryMap: make(map[string]int32, len(m))}
	for k, n := range m {
		out.SummaryMap[string(k)] = int32(n)
	}
	return out, nil
}
