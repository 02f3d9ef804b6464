package refusal

import (
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/remit-ecs/remit/internal/testkit/whole"
)

var otherFixtures = map[string]fixture{
	"cloudtrail:LookupEvents": func(f *subject) any { return &cloudtrail.LookupEventsInput{} },
	"sts:GetCallerIdentity":   func(f *subject) any { return &sts.GetCallerIdentityInput{} },
	"sts:GetAccessKeyInfo":    func(f *subject) any { return &sts.GetAccessKeyInfoInput{AccessKeyId: f.accessKey(f.user())} },
	"sts:AssumeRole": func(f *subject) any {
		// A role that leaves to the account who of it may.
		role := must(f.iam.CreateRole(f.ctx, &iam.CreateRoleInput{RoleName: &f.name, Tags: f.iamTags(), AssumeRolePolicyDocument: ptr(
			`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + whole.Account + `"},"Action":["sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity"]}]}`)})).Role
		return &sts.AssumeRoleInput{RoleArn: role.Arn, RoleSessionName: ptr("session"), SourceIdentity: ptr("someone"), Tags: f.stsTags()}
	},
}

func (f *subject) iamTags() []types.Tag { return []types.Tag{{Key: ptr(tagKey), Value: ptr("a")}} }

func (f *subject) role() *types.Role {
	return must(f.iam.CreateRole(f.ctx, &iam.CreateRoleInput{RoleName: &f.name, Path: ptr("/p/"), AssumeRolePolicyDocument: trusting("ecs-tasks.amazonaws.com"), Tags: f.iamTags()})).Role
}

func (f *subject) user() *string {
	return must(f.iam.CreateUser(f.ctx, &iam.CreateUserInput{UserName: &f.name, Path: ptr("/p/"), Tags: f.iamTags()})).User.UserName
}

func (f *subject) accessKey(user *string) *string {
	return must(f.iam.CreateAccessKey(f.ctx, &iam.CreateAccessKeyInput{UserName: user})).AccessKey.AccessKeyId
}

func (f *subject) policy() *string {
	return must(f.iam.CreatePolicy(f.ctx, &iam.CreatePolicyInput{PolicyName: &f.name, Path: ptr("/p/"), PolicyDocument: ptr(someDocument), Tags: f.iamTags()})).Policy.Arn
}

// version2 adds a version to a policy, which is not the default.
func (f *subject) version2(policy *string) *string {
	return must(f.iam.CreatePolicyVersion(f.ctx, &iam.CreatePolicyVersionInput{PolicyArn: policy, PolicyDocument: ptr(someDocument)})).PolicyVersion.VersionId
}

func (f *subject) profile() *string {
	return must(f.iam.CreateInstanceProfile(f.ctx, &iam.CreateInstanceProfileInput{InstanceProfileName: &f.name, Path: ptr("/p/"), Tags: f.iamTags()})).InstanceProfile.InstanceProfileName
}

func (f *subject) profileWithRole() (profile, role *string) {
	profile, role = f.profile(), f.role().RoleName
	must(f.iam.AddRoleToInstanceProfile(f.ctx, &iam.AddRoleToInstanceProfileInput{InstanceProfileName: profile, RoleName: role}))
	return profile, role
}

func (f *subject) rolePolicy() (role *string) {
	role = f.role().RoleName
	must(f.iam.PutRolePolicy(f.ctx, &iam.PutRolePolicyInput{RoleName: role, PolicyName: ptr("inline"), PolicyDocument: ptr(someDocument)}))
	return role
}

func (f *subject) userPolicy() (user *string) {
	user = f.user()
	must(f.iam.PutUserPolicy(f.ctx, &iam.PutUserPolicyInput{UserName: user, PolicyName: ptr("inline"), PolicyDocument: ptr(someDocument)}))
	return user
}

func (f *subject) roleAttached() (role, policy *string) {
	role, policy = f.role().RoleName, f.policy()
	must(f.iam.AttachRolePolicy(f.ctx, &iam.AttachRolePolicyInput{RoleName: role, PolicyArn: policy}))
	return role, policy
}

func (f *subject) userAttached() (user, policy *string) {
	user, policy = f.user(), f.policy()
	must(f.iam.AttachUserPolicy(f.ctx, &iam.AttachUserPolicyInput{UserName: user, PolicyArn: policy}))
	return user, policy
}

func (f *subject) passwordPolicy() {
	must(f.iam.UpdateAccountPasswordPolicy(f.ctx, &iam.UpdateAccountPasswordPolicyInput{MinimumPasswordLength: ptr(int32(12))}))
}

// suffix is the subject's name, short enough for the name of a role.
func (f *subject) suffix() string { return strings.TrimPrefix(f.name, "subject-") }

func (f *subject) linkedRole() *string {
	return must(f.iam.CreateServiceLinkedRole(f.ctx, &iam.CreateServiceLinkedRoleInput{AWSServiceName: ptr("autoscaling.amazonaws.com"), CustomSuffix: ptr(f.suffix())})).Role.RoleName
}

func (f *subject) iamGroup() *string {
	return must(f.iam.CreateGroup(f.ctx, &iam.CreateGroupInput{GroupName: &f.name, Path: ptr("/p/")})).Group.GroupName
}

func (f *subject) groupWithUser() (group, user *string) {
	group, user = f.iamGroup(), f.user()
	must(f.iam.AddUserToGroup(f.ctx, &iam.AddUserToGroupInput{GroupName: group, UserName: user}))
	return group, user
}

func (f *subject) groupPolicy() (group *string) {
	group = f.iamGroup()
	must(f.iam.PutGroupPolicy(f.ctx, &iam.PutGroupPolicyInput{GroupName: group, PolicyName: ptr("inline"), PolicyDocument: ptr(someDocument)}))
	return group
}

func (f *subject) groupAttached() (group, policy *string) {
	group, policy = f.iamGroup(), f.policy()
	must(f.iam.AttachGroupPolicy(f.ctx, &iam.AttachGroupPolicyInput{GroupName: group, PolicyArn: policy}))
	return group, policy
}

var iamFixtures = map[string]fixture{
	// Roles.
	"iam:CreateRole": func(f *subject) any {
		return &iam.CreateRoleInput{RoleName: &f.name, Path: ptr("/p/"), AssumeRolePolicyDocument: trusting("ec2.amazonaws.com"), Tags: f.iamTags(), PermissionsBoundary: f.policy()}
	},
	"iam:GetRole":    func(f *subject) any { return &iam.GetRoleInput{RoleName: f.role().RoleName} },
	"iam:DeleteRole": func(f *subject) any { return &iam.DeleteRoleInput{RoleName: f.role().RoleName} },
	"iam:ListRoles":  func(f *subject) any { return &iam.ListRolesInput{} },
	"iam:UpdateRole": func(f *subject) any { return &iam.UpdateRoleInput{RoleName: f.role().RoleName, Description: ptr("d")} },
	"iam:UpdateRoleDescription": func(f *subject) any {
		return &iam.UpdateRoleDescriptionInput{RoleName: f.role().RoleName, Description: ptr("d")}
	},
	"iam:UpdateAssumeRolePolicy": func(f *subject) any {
		return &iam.UpdateAssumeRolePolicyInput{RoleName: f.role().RoleName, PolicyDocument: trusting("ec2.amazonaws.com")}
	},
	"iam:CreateServiceLinkedRole": func(f *subject) any {
		return &iam.CreateServiceLinkedRoleInput{AWSServiceName: ptr("autoscaling.amazonaws.com"), CustomSuffix: ptr(f.suffix())}
	},
	"iam:DeleteServiceLinkedRole": func(f *subject) any {
		return &iam.DeleteServiceLinkedRoleInput{RoleName: f.linkedRole()}
	},
	"iam:GetServiceLinkedRoleDeletionStatus": func(f *subject) any {
		return &iam.GetServiceLinkedRoleDeletionStatusInput{DeletionTaskId: must(f.iam.DeleteServiceLinkedRole(f.ctx, &iam.DeleteServiceLinkedRoleInput{RoleName: f.linkedRole()})).DeletionTaskId}
	},
	"iam:TagRole": func(f *subject) any { return &iam.TagRoleInput{RoleName: f.role().RoleName, Tags: f.iamTags()} },
	"iam:UntagRole": func(f *subject) any {
		return &iam.UntagRoleInput{RoleName: f.role().RoleName, TagKeys: []string{tagKey}}
	},
	"iam:ListRoleTags": func(f *subject) any { return &iam.ListRoleTagsInput{RoleName: f.role().RoleName} },
	"iam:PutRolePolicy": func(f *subject) any {
		return &iam.PutRolePolicyInput{RoleName: f.role().RoleName, PolicyName: ptr("inline"), PolicyDocument: ptr(someDocument)}
	},
	"iam:GetRolePolicy": func(f *subject) any {
		return &iam.GetRolePolicyInput{RoleName: f.rolePolicy(), PolicyName: ptr("inline")}
	},
	"iam:DeleteRolePolicy": func(f *subject) any {
		return &iam.DeleteRolePolicyInput{RoleName: f.rolePolicy(), PolicyName: ptr("inline")}
	},
	"iam:ListRolePolicies": func(f *subject) any { return &iam.ListRolePoliciesInput{RoleName: f.rolePolicy()} },
	"iam:AttachRolePolicy": func(f *subject) any {
		return &iam.AttachRolePolicyInput{RoleName: f.role().RoleName, PolicyArn: f.policy()}
	},
	"iam:DetachRolePolicy": func(f *subject) any {
		role, policy := f.roleAttached()
		return &iam.DetachRolePolicyInput{RoleName: role, PolicyArn: policy}
	},
	"iam:ListAttachedRolePolicies": func(f *subject) any {
		role, _ := f.roleAttached()
		return &iam.ListAttachedRolePoliciesInput{RoleName: role}
	},
	"iam:PutRolePermissionsBoundary": func(f *subject) any {
		return &iam.PutRolePermissionsBoundaryInput{RoleName: f.role().RoleName, PermissionsBoundary: f.policy()}
	},
	"iam:DeleteRolePermissionsBoundary": func(f *subject) any {
		role := f.role().RoleName
		must(f.iam.PutRolePermissionsBoundary(f.ctx, &iam.PutRolePermissionsBoundaryInput{RoleName: role, PermissionsBoundary: f.policy()}))
		return &iam.DeleteRolePermissionsBoundaryInput{RoleName: role}
	},

	// Users.
	"iam:CreateUser": func(f *subject) any {
		return &iam.CreateUserInput{UserName: &f.name, Path: ptr("/p/"), Tags: f.iamTags(), PermissionsBoundary: f.policy()}
	},
	"iam:GetUser":    func(f *subject) any { return &iam.GetUserInput{UserName: f.user()} },
	"iam:DeleteUser": func(f *subject) any { return &iam.DeleteUserInput{UserName: f.user()} },
	"iam:ListUsers":  func(f *subject) any { return &iam.ListUsersInput{} },
	"iam:UpdateUser": func(f *subject) any {
		return &iam.UpdateUserInput{UserName: f.user(), NewUserName: ptr(f.name + "-new")}
	},
	"iam:TagUser":      func(f *subject) any { return &iam.TagUserInput{UserName: f.user(), Tags: f.iamTags()} },
	"iam:UntagUser":    func(f *subject) any { return &iam.UntagUserInput{UserName: f.user(), TagKeys: []string{tagKey}} },
	"iam:ListUserTags": func(f *subject) any { return &iam.ListUserTagsInput{UserName: f.user()} },
	"iam:PutUserPolicy": func(f *subject) any {
		return &iam.PutUserPolicyInput{UserName: f.user(), PolicyName: ptr("inline"), PolicyDocument: ptr(someDocument)}
	},
	"iam:GetUserPolicy": func(f *subject) any {
		return &iam.GetUserPolicyInput{UserName: f.userPolicy(), PolicyName: ptr("inline")}
	},
	"iam:DeleteUserPolicy": func(f *subject) any {
		return &iam.DeleteUserPolicyInput{UserName: f.userPolicy(), PolicyName: ptr("inline")}
	},
	"iam:ListUserPolicies": func(f *subject) any { return &iam.ListUserPoliciesInput{UserName: f.userPolicy()} },
	"iam:AttachUserPolicy": func(f *subject) any { return &iam.AttachUserPolicyInput{UserName: f.user(), PolicyArn: f.policy()} },
	"iam:DetachUserPolicy": func(f *subject) any {
		user, policy := f.userAttached()
		return &iam.DetachUserPolicyInput{UserName: user, PolicyArn: policy}
	},
	"iam:ListAttachedUserPolicies": func(f *subject) any {
		user, _ := f.userAttached()
		return &iam.ListAttachedUserPoliciesInput{UserName: user}
	},
	"iam:PutUserPermissionsBoundary": func(f *subject) any {
		return &iam.PutUserPermissionsBoundaryInput{UserName: f.user(), PermissionsBoundary: f.policy()}
	},
	"iam:DeleteUserPermissionsBoundary": func(f *subject) any {
		user := f.user()
		must(f.iam.PutUserPermissionsBoundary(f.ctx, &iam.PutUserPermissionsBoundaryInput{UserName: user, PermissionsBoundary: f.policy()}))
		return &iam.DeleteUserPermissionsBoundaryInput{UserName: user}
	},
	"iam:CreateAccessKey": func(f *subject) any { return &iam.CreateAccessKeyInput{UserName: f.user()} },
	"iam:ListAccessKeys":  func(f *subject) any { return &iam.ListAccessKeysInput{UserName: f.user()} },
	"iam:UpdateAccessKey": func(f *subject) any {
		user := f.user()
		return &iam.UpdateAccessKeyInput{UserName: user, AccessKeyId: f.accessKey(user), Status: types.StatusTypeInactive}
	},
	"iam:DeleteAccessKey": func(f *subject) any {
		user := f.user()
		return &iam.DeleteAccessKeyInput{UserName: user, AccessKeyId: f.accessKey(user)}
	},
	"iam:GetAccessKeyLastUsed": func(f *subject) any {
		return &iam.GetAccessKeyLastUsedInput{AccessKeyId: f.accessKey(f.user())}
	},

	// Groups.
	"iam:CreateGroup": func(f *subject) any { return &iam.CreateGroupInput{GroupName: &f.name, Path: ptr("/p/")} },
	"iam:GetGroup":    func(f *subject) any { return &iam.GetGroupInput{GroupName: f.iamGroup()} },
	"iam:DeleteGroup": func(f *subject) any { return &iam.DeleteGroupInput{GroupName: f.iamGroup()} },
	"iam:ListGroups":  func(f *subject) any { return &iam.ListGroupsInput{} },
	"iam:UpdateGroup": func(f *subject) any {
		return &iam.UpdateGroupInput{GroupName: f.iamGroup(), NewGroupName: ptr(f.name + "-new")}
	},
	"iam:ListGroupsForUser": func(f *subject) any {
		_, user := f.groupWithUser()
		return &iam.ListGroupsForUserInput{UserName: user}
	},
	"iam:AddUserToGroup": func(f *subject) any {
		return &iam.AddUserToGroupInput{GroupName: f.iamGroup(), UserName: f.user()}
	},
	"iam:RemoveUserFromGroup": func(f *subject) any {
		group, user := f.groupWithUser()
		return &iam.RemoveUserFromGroupInput{GroupName: group, UserName: user}
	},
	"iam:PutGroupPolicy": func(f *subject) any {
		return &iam.PutGroupPolicyInput{GroupName: f.iamGroup(), PolicyName: ptr("inline"), PolicyDocument: ptr(someDocument)}
	},
	"iam:GetGroupPolicy": func(f *subject) any {
		return &iam.GetGroupPolicyInput{GroupName: f.groupPolicy(), PolicyName: ptr("inline")}
	},
	"iam:DeleteGroupPolicy": func(f *subject) any {
		return &iam.DeleteGroupPolicyInput{GroupName: f.groupPolicy(), PolicyName: ptr("inline")}
	},
	"iam:ListGroupPolicies": func(f *subject) any { return &iam.ListGroupPoliciesInput{GroupName: f.groupPolicy()} },
	"iam:AttachGroupPolicy": func(f *subject) any {
		return &iam.AttachGroupPolicyInput{GroupName: f.iamGroup(), PolicyArn: f.policy()}
	},
	"iam:DetachGroupPolicy": func(f *subject) any {
		group, policy := f.groupAttached()
		return &iam.DetachGroupPolicyInput{GroupName: group, PolicyArn: policy}
	},
	"iam:ListAttachedGroupPolicies": func(f *subject) any {
		group, _ := f.groupAttached()
		return &iam.ListAttachedGroupPoliciesInput{GroupName: group}
	},

	// Managed policies.
	"iam:CreatePolicy": func(f *subject) any {
		return &iam.CreatePolicyInput{PolicyName: &f.name, Path: ptr("/p/"), PolicyDocument: ptr(someDocument), Tags: f.iamTags()}
	},
	"iam:GetPolicy":    func(f *subject) any { return &iam.GetPolicyInput{PolicyArn: f.policy()} },
	"iam:DeletePolicy": func(f *subject) any { return &iam.DeletePolicyInput{PolicyArn: f.policy()} },
	"iam:ListPolicies": func(f *subject) any { return &iam.ListPoliciesInput{Scope: types.PolicyScopeTypeLocal} },
	"iam:ListEntitiesForPolicy": func(f *subject) any {
		return &iam.ListEntitiesForPolicyInput{PolicyArn: f.policy()}
	},
	"iam:CreatePolicyVersion": func(f *subject) any {
		return &iam.CreatePolicyVersionInput{PolicyArn: f.policy(), PolicyDocument: ptr(someDocument), SetAsDefault: true}
	},
	"iam:GetPolicyVersion": func(f *subject) any {
		return &iam.GetPolicyVersionInput{PolicyArn: f.policy(), VersionId: ptr("v1")}
	},
	"iam:ListPolicyVersions": func(f *subject) any { return &iam.ListPolicyVersionsInput{PolicyArn: f.policy()} },
	"iam:DeletePolicyVersion": func(f *subject) any {
		policy := f.policy()
		return &iam.DeletePolicyVersionInput{PolicyArn: policy, VersionId: f.version2(policy)}
	},
	"iam:SetDefaultPolicyVersion": func(f *subject) any {
		policy := f.policy()
		return &iam.SetDefaultPolicyVersionInput{PolicyArn: policy, VersionId: f.version2(policy)}
	},
	"iam:TagPolicy":   func(f *subject) any { return &iam.TagPolicyInput{PolicyArn: f.policy(), Tags: f.iamTags()} },
	"iam:UntagPolicy": func(f *subject) any { return &iam.UntagPolicyInput{PolicyArn: f.policy(), TagKeys: []string{tagKey}} },
	"iam:ListPolicyTags": func(f *subject) any {
		return &iam.ListPolicyTagsInput{PolicyArn: f.policy()}
	},

	// Instance profiles.
	"iam:CreateInstanceProfile": func(f *subject) any {
		return &iam.CreateInstanceProfileInput{InstanceProfileName: &f.name, Path: ptr("/p/"), Tags: f.iamTags()}
	},
	"iam:GetInstanceProfile":    func(f *subject) any { return &iam.GetInstanceProfileInput{InstanceProfileName: f.profile()} },
	"iam:DeleteInstanceProfile": func(f *subject) any { return &iam.DeleteInstanceProfileInput{InstanceProfileName: f.profile()} },
	"iam:ListInstanceProfiles":  func(f *subject) any { return &iam.ListInstanceProfilesInput{} },
	"iam:ListInstanceProfilesForRole": func(f *subject) any {
		_, role := f.profileWithRole()
		return &iam.ListInstanceProfilesForRoleInput{RoleName: role}
	},
	"iam:AddRoleToInstanceProfile": func(f *subject) any {
		return &iam.AddRoleToInstanceProfileInput{InstanceProfileName: f.profile(), RoleName: f.role().RoleName}
	},
	"iam:RemoveRoleFromInstanceProfile": func(f *subject) any {
		profile, role := f.profileWithRole()
		return &iam.RemoveRoleFromInstanceProfileInput{InstanceProfileName: profile, RoleName: role}
	},
	"iam:TagInstanceProfile": func(f *subject) any {
		return &iam.TagInstanceProfileInput{InstanceProfileName: f.profile(), Tags: f.iamTags()}
	},
	"iam:UntagInstanceProfile": func(f *subject) any {
		return &iam.UntagInstanceProfileInput{InstanceProfileName: f.profile(), TagKeys: []string{tagKey}}
	},
	"iam:ListInstanceProfileTags": func(f *subject) any {
		return &iam.ListInstanceProfileTagsInput{InstanceProfileName: f.profile()}
	},

	// The account.
	"iam:GetAccountSummary":  func(f *subject) any { return &iam.GetAccountSummaryInput{} },
	"iam:ListAccountAliases": func(f *subject) any { return &iam.ListAccountAliasesInput{} },
	"iam:CreateAccountAlias": func(f *subject) any { return &iam.CreateAccountAliasInput{AccountAlias: &f.name} },
	"iam:DeleteAccountAlias": func(f *subject) any {
		must(f.iam.CreateAccountAlias(f.ctx, &iam.CreateAccountAliasInput{AccountAlias: &f.name}))
		return &iam.DeleteAccountAliasInput{AccountAlias: &f.name}
	},
	"iam:UpdateAccountPasswordPolicy": func(f *subject) any {
		return &iam.UpdateAccountPasswordPolicyInput{MinimumPasswordLength: ptr(int32(12))}
	},
	"iam:GetAccountPasswordPolicy": func(f *subject) any {
		f.passwordPolicy()
		return &iam.GetAccountPasswordPolicyInput{}
	},
	"iam:DeleteAccountPasswordPolicy": func(f *subject) any {
		f.passwordPolicy()
		return &iam.DeleteAccountPasswordPolicyInput{}
	},

	// What nobody has.
	"iam:ListMFADevices":                 func(f *subject) any { return &iam.ListMFADevicesInput{UserName: f.user()} },
	"iam:ListVirtualMFADevices":          func(f *subject) any { return &iam.ListVirtualMFADevicesInput{} },
	"iam:ListSSHPublicKeys":              func(f *subject) any { return &iam.ListSSHPublicKeysInput{UserName: f.user()} },
	"iam:ListSigningCertificates":        func(f *subject) any { return &iam.ListSigningCertificatesInput{UserName: f.user()} },
	"iam:ListServiceSpecificCredentials": func(f *subject) any { return &iam.ListServiceSpecificCredentialsInput{UserName: f.user()} },
	"iam:GetLoginProfile":                func(f *subject) any { return &iam.GetLoginProfileInput{UserName: f.user()} },
	"iam:DeleteLoginProfile":             func(f *subject) any { return &iam.DeleteLoginProfileInput{UserName: f.user()} },
	"iam:GetAccountAuthorizationDetails": func(f *subject) any {
		return &iam.GetAccountAuthorizationDetailsInput{}
	},
}
