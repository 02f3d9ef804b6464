// Package iam serves AWS Identity and Access Management: roles, users with
// their access keys, groups, inline and managed policies, permissions
// boundaries and instance profiles.
//
// It is also where everybody's permissions come from: the authorizer reads the
// policies of principals and the trust policies of roles through Identity and
// Trust, the gateway access keys through Key, and package sts roles through
// Assumable. All read the same documents, in the snapshot that they are given,
// so a change binds from the next request on.
//
//	role, user, group ──┬─ inline policies   in the document itself
//	                    ├─ attached ──► managed policies: customer's (versions), AWS's (embedded)
//	                    └─ boundary ──► managed policy (not of groups)
//	user ──► groups, by unique id: their policies are the user's, too
//	role under /aws-service-role/SERVICE/ ── changed by nobody but its service
//	role ── trust policy: principals of IAM are bound to unique ids when it is saved
//	instance profile ──► role
//	access key ──► user, by unique id
//
// The package decides nothing: policy does.
package iam

import (
	"github.com/remit-ecs/remit/internal/api/iamapi"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/gateway"
	"github.com/remit-ecs/remit/internal/seal"
	"github.com/remit-ecs/remit/internal/store"
)

// Deps is what a Service is built from.
type Deps struct {
	Seal *seal.Keyring // keeps the secrets of access keys
	// LinkedRoleUsage tells, by service principal, which resources in an account
	// a service needs its service-linked role for: ARNs by region. Such a role is
	// not deleted. A service that is not here needs none.
	LinkedRoleUsage map[string]func(r store.Reader, account string) map[string][]string
	// Organizations has the service control policies that simulations of
	// principals include; nil where no account is in an organization.
	Organizations authz.Organizations
}

// Service serves IAM. It implements authz.Sources and gateway.Keys.
type Service struct {
	Deps
	sessions sessionPolicies
	last     lastUse
}

// New returns a Service; Register makes it reachable.
func New(d Deps) *Service { return &Service{Deps: d} }

// Register adds the operations to m.
func (s *Service) Register(m *gateway.Mux) {
	gateway.Handle(m, iamapi.CreateRole, s.mayCreateRole, s.createRole)
	gateway.Handle(m, iamapi.GetRole, s.mayGetRole, s.getRole)
	gateway.Handle(m, iamapi.ListRoles, s.mayListRoles, s.listRoles)
	gateway.Handle(m, iamapi.UpdateRole, s.mayUpdateRole, s.updateRole)
	gateway.Handle(m, iamapi.UpdateRoleDescription, s.mayUpdateRoleDescription, s.updateRoleDescription)
	gateway.Handle(m, iamapi.DeleteRole, s.mayDeleteRole, s.deleteRole)
	gateway.Handle(m, iamapi.UpdateAssumeRolePolicy, s.mayUpdateAssumeRolePolicy, s.updateAssumeRolePolicy)

	gateway.Handle(m, iamapi.CreateServiceLinkedRole, s.mayCreateServiceLinkedRole, s.createServiceLinkedRole)
	gateway.Handle(m, iamapi.DeleteServiceLinkedRole, s.mayDeleteServiceLinkedRole, s.deleteServiceLinkedRole)
	gateway.Handle(m, iamapi.GetServiceLinkedRoleDeletionStatus, s.mayGetServiceLinkedRoleDeletionStatus, s.getServiceLinkedRoleDeletionStatus)

	gateway.Handle(m, iamapi.PutRolePolicy, s.mayPutRolePolicy, s.putRolePolicy)
	gateway.Handle(m, iamapi.GetRolePolicy, s.mayGetRolePolicy, s.getRolePolicy)
	gateway.Handle(m, iamapi.ListRolePolicies, s.mayListRolePolicies, s.listRolePolicies)
	gateway.Handle(m, iamapi.DeleteRolePolicy, s.mayDeleteRolePolicy, s.deleteRolePolicy)

	gateway.Handle(m, iamapi.CreateUser, s.mayCreateUser, s.createUser)
	gateway.Handle(m, iamapi.GetUser, s.mayGetUser, s.getUser)
	gateway.Handle(m, iamapi.ListUsers, s.mayListUsers, s.listUsers)
	gateway.Handle(m, iamapi.UpdateUser, s.mayUpdateUser, s.updateUser)
	gateway.Handle(m, iamapi.DeleteUser, s.mayDeleteUser, s.deleteUser)

	gateway.Handle(m, iamapi.PutUserPolicy, s.mayPutUserPolicy, s.putUserPolicy)
	gateway.Handle(m, iamapi.GetUserPolicy, s.mayGetUserPolicy, s.getUserPolicy)
	gateway.Handle(m, iamapi.ListUserPolicies, s.mayListUserPolicies, s.listUserPolicies)
	gateway.Handle(m, iamapi.DeleteUserPolicy, s.mayDeleteUserPolicy, s.deleteUserPolicy)

	gateway.Handle(m, iamapi.CreateGroup, s.mayCreateGroup, s.createGroup)
	gateway.Handle(m, iamapi.GetGroup, s.mayGetGroup, s.getGroup)
	gateway.Handle(m, iamapi.ListGroups, s.mayListGroups, s.listGroups)
	gateway.Handle(m, iamapi.ListGroupsForUser, s.mayListGroupsForUser, s.listGroupsForUser)
	gateway.Handle(m, iamapi.UpdateGroup, s.mayUpdateGroup, s.updateGroup)
	gateway.Handle(m, iamapi.DeleteGroup, s.mayDeleteGroup, s.deleteGroup)
	gateway.Handle(m, iamapi.AddUserToGroup, s.mayAddUserToGroup, s.addUserToGroup)
	gateway.Handle(m, iamapi.RemoveUserFromGroup, s.mayRemoveUserFromGroup, s.removeUserFromGroup)

	gateway.Handle(m, iamapi.PutGroupPolicy, s.mayPutGroupPolicy, s.putGroupPolicy)
	gateway.Handle(m, iamapi.GetGroupPolicy, s.mayGetGroupPolicy, s.getGroupPolicy)
	gateway.Handle(m, iamapi.ListGroupPolicies, s.mayListGroupPolicies, s.listGroupPolicies)
	gateway.Handle(m, iamapi.DeleteGroupPolicy, s.mayDeleteGroupPolicy, s.deleteGroupPolicy)

	gateway.Handle(m, iamapi.CreateAccessKey, s.mayCreateAccessKey, s.createAccessKey)
	gateway.Handle(m, iamapi.ListAccessKeys, s.mayListAccessKeys, s.listAccessKeys)
	gateway.Handle(m, iamapi.UpdateAccessKey, s.mayUpdateAccessKey, s.updateAccessKey)
	gateway.Handle(m, iamapi.DeleteAccessKey, s.mayDeleteAccessKey, s.deleteAccessKey)
	gateway.Handle(m, iamapi.GetAccessKeyLastUsed, s.mayGetAccessKeyLastUsed, s.getAccessKeyLastUsed)

	gateway.Handle(m, iamapi.PutRolePermissionsBoundary, s.mayPutRolePermissionsBoundary, s.putRolePermissionsBoundary)
	gateway.Handle(m, iamapi.DeleteRolePermissionsBoundary, s.mayDeleteRolePermissionsBoundary, s.deleteRolePermissionsBoundary)
	gateway.Handle(m, iamapi.PutUserPermissionsBoundary, s.mayPutUserPermissionsBoundary, s.putUserPermissionsBoundary)
	gateway.Handle(m, iamapi.DeleteUserPermissionsBoundary, s.mayDeleteUserPermissionsBoundary, s.deleteUserPermissionsBoundary)

	gateway.Handle(m, iamapi.AttachRolePolicy, s.mayAttachRolePolicy, s.attachRolePolicy)
	gateway.Handle(m, iamapi.DetachRolePolicy, s.mayDetachRolePolicy, s.detachRolePolicy)
	gateway.Handle(m, iamapi.ListAttachedRolePolicies, s.mayListAttachedRolePolicies, s.listAttachedRolePolicies)
	gateway.Handle(m, iamapi.AttachUserPolicy, s.mayAttachUserPolicy, s.attachUserPolicy)
	gateway.Handle(m, iamapi.DetachUserPolicy, s.mayDetachUserPolicy, s.detachUserPolicy)
	gateway.Handle(m, iamapi.ListAttachedUserPolicies, s.mayListAttachedUserPolicies, s.listAttachedUserPolicies)
	gateway.Handle(m, iamapi.AttachGroupPolicy, s.mayAttachGroupPolicy, s.attachGroupPolicy)
	gateway.Handle(m, iamapi.DetachGroupPolicy, s.mayDetachGroupPolicy, s.detachGroupPolicy)
	gateway.Handle(m, iamapi.ListAttachedGroupPolicies, s.mayListAttachedGroupPolicies, s.listAttachedGroupPolicies)
	gateway.Handle(m, iamapi.ListEntitiesForPolicy, s.mayListEntitiesForPolicy, s.listEntitiesForPolicy)

	gateway.Handle(m, iamapi.CreatePolicy, s.mayCreatePolicy, s.createPolicy)
	gateway.Handle(m, iamapi.GetPolicy, s.mayGetPolicy, s.getPolicy)
	gateway.Handle(m, iamapi.ListPolicies, s.mayListPolicies, s.listPolicies)
	gateway.Handle(m, iamapi.DeletePolicy, s.mayDeletePolicy, s.deletePolicy)
	gateway.Handle(m, iamapi.CreatePolicyVersion, s.mayCreatePolicyVersion, s.createPolicyVersion)
	gateway.Handle(m, iamapi.GetPolicyVersion, s.mayGetPolicyVersion, s.getPolicyVersion)
	gateway.Handle(m, iamapi.ListPolicyVersions, s.mayListPolicyVersions, s.listPolicyVersions)
	gateway.Handle(m, iamapi.DeletePolicyVersion, s.mayDeletePolicyVersion, s.deletePolicyVersion)
	gateway.Handle(m, iamapi.SetDefaultPolicyVersion, s.maySetDefaultPolicyVersion, s.setDefaultPolicyVersion)

	gateway.Handle(m, iamapi.CreateInstanceProfile, s.mayCreateInstanceProfile, s.createInstanceProfile)
	gateway.Handle(m, iamapi.GetInstanceProfile, s.mayGetInstanceProfile, s.getInstanceProfile)
	gateway.Handle(m, iamapi.ListInstanceProfiles, s.mayListInstanceProfiles, s.listInstanceProfiles)
	gateway.Handle(m, iamapi.ListInstanceProfilesForRole, s.mayListInstanceProfilesForRole, s.listInstanceProfilesForRole)
	gateway.Handle(m, iamapi.AddRoleToInstanceProfile, s.mayAddRoleToInstanceProfile, s.addRoleToInstanceProfile)
	gateway.Handle(m, iamapi.RemoveRoleFromInstanceProfile, s.mayRemoveRoleFromInstanceProfile, s.removeRoleFromInstanceProfile)
	gateway.Handle(m, iamapi.DeleteInstanceProfile, s.mayDeleteInstanceProfile, s.deleteInstanceProfile)

	gateway.Handle(m, iamapi.TagRole, s.mayTagRole, s.tagRole)
	gateway.Handle(m, iamapi.UntagRole, s.mayUntagRole, s.untagRole)
	gateway.Handle(m, iamapi.ListRoleTags, s.mayListRoleTags, s.listRoleTags)
	gateway.Handle(m, iamapi.TagUser, s.mayTagUser, s.tagUser)
	gateway.Handle(m, iamapi.UntagUser, s.mayUntagUser, s.untagUser)
	gateway.Handle(m, iamapi.ListUserTags, s.mayListUserTags, s.listUserTags)
	gateway.Handle(m, iamapi.TagPolicy, s.mayTagPolicy, s.tagPolicy)
	gateway.Handle(m, iamapi.UntagPolicy, s.mayUntagPolicy, s.untagPolicy)
	gateway.Handle(m, iamapi.ListPolicyTags, s.mayListPolicyTags, s.listPolicyTags)
	gateway.Handle(m, iamapi.TagInstanceProfile, s.mayTagInstanceProfile, s.tagInstanceProfile)
	gateway.Handle(m, iamapi.UntagInstanceProfile, s.mayUntagInstanceProfile, s.untagInstanceProfile)
	gateway.Handle(m, iamapi.ListInstanceProfileTags, s.mayListInstanceProfileTags, s.listInstanceProfileTags)

	gateway.Handle(m, iamapi.GetAccountAuthorizationDetails, s.mayGetAccountAuthorizationDetails, s.getAccountAuthorizationDetails)
	gateway.Handle(m, iamapi.GetAccountSummary, s.mayGetAccountSummary, s.getAccountSummary)
	gateway.Handle(m, iamapi.ListAccountAliases, s.mayListAccountAliases, s.listAccountAliases)
	gateway.Handle(m, iamapi.CreateAccountAlias, s.mayCreateAccountAlias, s.createAccountAlias)
	gateway.Handle(m, iamapi.DeleteAccountAlias, s.mayDeleteAccountAlias, s.deleteAccountAlias)
	gateway.Handle(m, iamapi.GetAccountPasswordPolicy, s.mayGetAccountPasswordPolicy, s.getAccountPasswordPolicy)
	gateway.Handle(m, iamapi.UpdateAccountPasswordPolicy, s.mayUpdateAccountPasswordPolicy, s.updateAccountPasswordPolicy)
	gateway.Handle(m, iamapi.DeleteAccountPasswordPolicy, s.mayDeleteAccountPasswordPolicy, s.deleteAccountPasswordPolicy)

	gateway.Handle(m, iamapi.ListMFADevices, s.mayListMFADevices, s.listMFADevices)
	gateway.Handle(m, iamapi.ListVirtualMFADevices, s.mayListVirtualMFADevices, s.listVirtualMFADevices)
	gateway.Handle(m, iamapi.ListSSHPublicKeys, s.mayListSSHPublicKeys, s.listSSHPublicKeys)
	gateway.Handle(m, iamapi.ListSigningCertificates, s.mayListSigningCertificates, s.listSigningCertificates)
	gateway.Handle(m, iamapi.ListServiceSpecificCredentials, s.mayListServiceSpecificCredentials, s.listServiceSpecificCredentials)
	gateway.Handle(m, iamapi.GetLoginProfile, s.mayGetLoginProfile, s.getLoginProfile)
	gateway.Handle(m, iamapi.DeleteLoginProfile, s.mayDeleteLoginProfile, s.deleteLoginProfile)
	s.registerSimulation(m)
}
