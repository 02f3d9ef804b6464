package scenario

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
)

// removeRole removes a role with whatever of it was created. Roles made here
// have fewer policies and profiles than one page of a list holds.
func (l *loader) removeRole(ctx context.Context, r *Role) error {
	profiles, err := l.c.ListInstanceProfilesForRole(ctx, &iam.ListInstanceProfilesForRoleInput{RoleName: &r.RoleName})
	if err != nil {
		return err
	}
	for _, p := range profiles.InstanceProfiles {
		if _, err := l.c.RemoveRoleFromInstanceProfile(ctx, &iam.RemoveRoleFromInstanceProfileInput{InstanceProfileName: p.InstanceProfileName, RoleName: &r.RoleName}); err != nil {
			return err
		}
		if _, err := l.c.DeleteInstanceProfile(ctx, &iam.DeleteInstanceProfileInput{InstanceProfileName: p.InstanceProfileName}); err != nil {
			return err
		}
	}
	inline, err := l.c.ListRolePolicies(ctx, &iam.ListRolePoliciesInput{RoleName: &r.RoleName})
	if err != nil {
		return err
	}
	for _, name := range inline.PolicyNames {
		if _, err := l.c.DeleteRolePolicy(ctx, &iam.DeleteRolePolicyInput{RoleName: &r.RoleName, PolicyName: aws.String(name)}); err != nil {
			return err
		}
	}
	attached, err := l.c.ListAttachedRolePolicies(ctx, &iam.ListAttachedRolePoliciesInput{RoleName: &r.RoleName})
	if err != nil {
		return err
	}
	for _, p := range attached.AttachedPolicies {
		if _, err := l.c.DetachRolePolicy(ctx, &iam.DetachRolePolicyInput{RoleName: &r.RoleName, PolicyArn: p.PolicyArn}); err != nil {
			return err
		}
	}
	_, err = l.c.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: &r.RoleName})
	return err
}

// removeGroup removes a group with whatever of it was created. Nobody is in it
// yet.
func (l *loader) removeGroup(ctx context.Context, g *Group) error {
	inline, err := l.c.ListGroupPolicies(ctx, &iam.ListGroupPoliciesInput{GroupName: &g.GroupName})
	if err != nil {
		return err
	}
	for _, name := range inline.PolicyNames {
		if _, err := l.c.DeleteGroupPolicy(ctx, &iam.DeleteGroupPolicyInput{GroupName: &g.GroupName, PolicyName: aws.String(name)}); err != nil {
			return err
		}
	}
	attached, err := l.c.ListAttachedGroupPolicies(ctx, &iam.ListAttachedGroupPoliciesInput{GroupName: &g.GroupName})
	if err != nil {
		return err
	}
	for _, p := range attached.AttachedPolicies {
		if _, err := l.c.DetachGroupPolicy(ctx, &iam.DetachGroupPolicyInput{GroupName: &g.GroupName, PolicyArn: p.PolicyArn}); err != nil {
			return err
		}
	}
	_, err = l.c.DeleteGroup(ctx, &iam.DeleteGroupInput{GroupName: &g.GroupName})
	return err
}

// removeUser removes a user with whatever of it was created.
func (l *loader) removeUser(ctx context.Context, u *User) error {
	in, err := l.c.ListGroupsForUser(ctx, &iam.ListGroupsForUserInput{UserName: &u.UserName})
	if err != nil {
		return err
	}
	for _, g := range in.Groups {
		if _, err := l.c.RemoveUserFromGroup(ctx, &iam.RemoveUserFromGroupInput{UserName: &u.UserName, GroupName: g.GroupName}); err != nil {
			return err
		}
	}
	inline, err := l.c.ListUserPolicies(ctx, &iam.ListUserPoliciesInput{UserName: &u.UserName})
	if err != nil {
		return err
	}
	for _, name := range inline.PolicyNames {
		if _, err := l.c.DeleteUserPolicy(ctx, &iam.DeleteUserPolicyInput{UserName: &u.UserName, PolicyName: aws.String(name)}); err != nil {
			return err
		}
	}
	attached, err := l.c.ListAttachedUserPolicies(ctx, &iam.ListAttachedUserPoliciesInput{UserName: &u.UserName})
	if err != nil {
		return err
	}
	for _, p := range attached.AttachedPolicies {
		if _, err := l.c.DetachUserPolicy(ctx, &iam.DetachUserPolicyInput{UserName: &u.UserName, PolicyArn: p.PolicyArn}); err != nil {
			return err
		}
	}
	_, err = l.c.DeleteUser(ctx, &iam.DeleteUserInput{UserName: &u.UserName})
	return err
}
