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

// removeUser removes a user with whatever of it was created.
func (l *loader) removeUser(ctx context.Context, u *User) error {
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
