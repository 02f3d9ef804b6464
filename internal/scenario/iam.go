package scenario

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
)

// loader creates what roles.json holds. The order is that of what must exist
// first: managed policies, groups, then users and roles that nobody can assume
// yet, then the trust policies that name other users and roles. Within each kind,
// what the task needs comes first, so that quotas leave out something else.
type loader struct {
	s      *Scenario
	c      *iam.Client
	notes  []string
	exists map[string]error // by the ARN of policies, groups, users, roles: nil, or why it is not loaded
	trusts []*Role          // whose trust policy is still to be set
}

func (l *loader) load(ctx context.Context) error {
	l.exists = map[string]error{}
	a := l.s.Roles
	for _, p := range first(a.Policies, func(p *ManagedPolicy) bool { return l.s.attached(p.Arn) }) {
		if p.ofAWS() {
			continue // looked up where it is attached
		}
		if err := l.settle(p.Arn, l.createPolicy(ctx, p)); err != nil {
			return err
		}
	}
	for _, g := range first(a.Groups, func(g *Group) bool { return l.s.callersGroup(g.GroupName) }) {
		if err := l.settle(g.Arn, l.loadGroup(ctx, g)); err != nil {
			return err
		}
	}
	for _, u := range first(a.Users, func(u *User) bool { return l.s.needs(u.Arn) }) {
		if err := l.settle(u.Arn, l.loadUser(ctx, u)); err != nil {
			return err
		}
	}
	for _, r := range first(a.Roles, func(r *Role) bool { return l.s.needs(r.Arn) }) {
		if err := l.settle(r.Arn, l.loadRole(ctx, r)); err != nil {
			return err
		}
	}
	for _, r := range l.trusts {
		if err := l.settle(r.Arn, l.setTrust(ctx, r)); err != nil {
			return err
		}
	}
	return nil
}

// first is a list with what is needed before all else, otherwise in its order.
func first[T any](list []T, needed func(*T) bool) []*T {
	var out, rest []*T
	for i := range list {
		if needed(&list[i]) {
			out = append(out, &list[i])
		} else {
			rest = append(rest, &list[i])
		}
	}
	return append(out, rest...)
}

// needs says that the scenario cannot do without a role or user.
func (s *Scenario) needs(arn string) bool {
	return arn == s.taskRole() || arn == s.executionRole() || arn == s.Caller
}

// callersGroup says that the scenario's caller is in a group.
func (s *Scenario) callersGroup(name string) bool {
	for i := range s.Roles.Users {
		if u := &s.Roles.Users[i]; u.Arn == s.Caller {
			return slices.Contains(u.GroupList, name)
		}
	}
	return false
}

// attached says that a policy is attached to, or bounds, what the scenario needs.
func (s *Scenario) attached(policy string) bool {
	is := func(list []AttachedPolicy, b *Boundary) bool {
		return b != nil && b.PermissionsBoundaryArn == policy ||
			slices.ContainsFunc(list, func(p AttachedPolicy) bool { return p.PolicyArn == policy })
	}
	for i := range s.Roles.Roles {
		if r := &s.Roles.Roles[i]; s.needs(r.Arn) && is(r.AttachedManagedPolicies, r.PermissionsBoundary) {
			return true
		}
	}
	for i := range s.Roles.Users {
		if u := &s.Roles.Users[i]; s.needs(u.Arn) && is(u.AttachedManagedPolicies, u.PermissionsBoundary) {
			return true
		}
	}
	for i := range s.Roles.Groups {
		if g := &s.Roles.Groups[i]; s.callersGroup(g.GroupName) && is(g.AttachedManagedPolicies, nil) {
			return true
		}
	}
	return false
}

// settle decides about what could not be loaded. It stops the load where the
// scenario needs it, or where the fault is not in roles.json; else it is left
// out, with a note.
func (l *loader) settle(arn string, err error) error {
	l.exists[arn] = err
	switch {
	case err == nil:
		return nil
	case !isRefusal(err):
		return fmt.Errorf("load %s: %w", arn, err)
	case l.s.needs(arn):
		return fmt.Errorf("roles.json: %s cannot be loaded: %s (nothing that is not enforced is loaded)", arn, reasonOf(err))
	}
	l.note(arn, err)
	return nil
}

func (l *loader) note(arn string, err error) {
	l.notes = append(l.notes, "not loaded: "+arn+" ("+reasonOf(err)+")")
}

// unloadable is a reason of this package not to load something.
type unloadable string

func (e unloadable) Error() string { return string(e) }

// answered is the error of a call that was answered.
type answered interface {
	error
	ErrorCode() string
	ErrorMessage() string
}

// isRefusal says that what was to be loaded is at fault, and not the way to it.
func isRefusal(err error) bool {
	if _, ok := errors.AsType[unloadable](err); ok {
		return true
	}
	status, ok := errors.AsType[interface {
		error
		HTTPStatusCode() int
	}](err)
	_, isAnswer := errors.AsType[answered](err)
	return isAnswer && ok && status.HTTPStatusCode() < 500
}

// reasonOf is an error without the SDK's words about the call.
func reasonOf(err error) string {
	if e, ok := errors.AsType[answered](err); ok {
		return e.ErrorCode() + ": " + e.ErrorMessage()
	}
	return err.Error()
}

// set is a pointer to a string, nil for an empty one.
func set(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// managed checks that every managed policy of a user, group or role is here. Those of
// AWS are the control plane's own; notes tell where its version is another than
// the export's.
func (l *loader) managed(ctx context.Context, list []AttachedPolicy, b *Boundary) error {
	arns := make([]string, 0, len(list)+1)
	for _, p := range list {
		arns = append(arns, p.PolicyArn)
	}
	if b != nil {
		arns = append(arns, b.PermissionsBoundaryArn)
	}
	for _, a := range arns {
		err, known := l.exists[a]
		if !known && strings.HasPrefix(a, awsManagedPrefix) {
			err = l.findManaged(ctx, a)
			if err != nil && !isRefusal(err) {
				return err
			}
			l.exists[a], known = err, true
		}
		switch {
		case !known:
			return unloadable("its policy " + a + " is not in roles.json")
		case err != nil:
			return unloadable("its policy " + a + " is not loaded: " + reasonOf(err))
		}
	}
	return nil
}

func (l *loader) findManaged(ctx context.Context, arn string) error {
	have, err := l.c.GetPolicy(ctx, &iam.GetPolicyInput{PolicyArn: &arn})
	if _, missing := errors.AsType[*iamtypes.NoSuchEntityException](err); missing {
		return unloadable("this AWS managed policy is not served yet")
	}
	if err != nil {
		return err
	}
	for i := range l.s.Roles.Policies {
		p := &l.s.Roles.Policies[i]
		if v := aws.ToString(have.Policy.DefaultVersionId); p.Arn == arn && p.DefaultVersionId != "" && p.DefaultVersionId != v {
			l.notes = append(l.notes, fmt.Sprintf("other version: %s is %s here and %s in roles.json", arn, v, p.DefaultVersionId))
		}
	}
	return nil
}

// tags are the tags of a new entity. AWS puts some of its own on resources, and
// lets nobody else do that; they are left out where no policy asks about them.
func (l *loader) tags(arn string, in []Tag) ([]iamtypes.Tag, error) {
	var out []iamtypes.Tag
	for _, t := range in {
		key := strings.ToLower(t.Key)
		if !strings.HasPrefix(key, "aws:") {
			out = append(out, iamtypes.Tag{Key: aws.String(t.Key), Value: aws.String(t.Value)})
			continue
		}
		for d := range l.s.Roles.documents {
			if strings.Contains(strings.ToLower(string(d)), "tag/"+key) {
				return nil, unloadable("its tag " + t.Key + " belongs to AWS, and a policy asks about it")
			}
		}
		l.notes = append(l.notes, "not loaded: tag "+t.Key+" of "+arn+" (it belongs to AWS; no policy asks about it)")
	}
	return out, nil
}

func (l *loader) loadGroup(ctx context.Context, g *Group) error {
	if err := l.managed(ctx, g.AttachedManagedPolicies, nil); err != nil {
		return err
	}
	if _, err := l.c.CreateGroup(ctx, &iam.CreateGroupInput{GroupName: &g.GroupName, Path: &g.Path}); err != nil {
		return err
	}
	return l.undo(l.addGroupPolicies(ctx, g), func() error { return l.removeGroup(ctx, g) })
}

func (l *loader) addGroupPolicies(ctx context.Context, g *Group) error {
	for _, p := range g.GroupPolicyList {
		if _, err := l.c.PutGroupPolicy(ctx, &iam.PutGroupPolicyInput{GroupName: &g.GroupName, PolicyName: &p.PolicyName, PolicyDocument: aws.String(string(p.PolicyDocument))}); err != nil {
			return fmt.Errorf("inline policy %s: %w", p.PolicyName, err)
		}
	}
	for _, p := range g.AttachedManagedPolicies {
		if _, err := l.c.AttachGroupPolicy(ctx, &iam.AttachGroupPolicyInput{GroupName: &g.GroupName, PolicyArn: &p.PolicyArn}); err != nil {
			return fmt.Errorf("attach %s: %w", p.PolicyArn, err)
		}
	}
	return nil
}

// groups checks that every group of a user is here: one that is not could deny.
func (l *loader) groups(names []string) error {
	for _, name := range names {
		i := slices.IndexFunc(l.s.Roles.Groups, func(g Group) bool { return g.GroupName == name })
		if i < 0 {
			return unloadable("its group " + name + " is not in roles.json")
		}
		if err := l.exists[l.s.Roles.Groups[i].Arn]; err != nil {
			return unloadable("its group " + name + " is not loaded: " + reasonOf(err))
		}
	}
	return nil
}

func (l *loader) loadUser(ctx context.Context, u *User) error {
	if err := l.groups(u.GroupList); err != nil {
		return err
	}
	if err := l.managed(ctx, u.AttachedManagedPolicies, u.PermissionsBoundary); err != nil {
		return err
	}
	tags, err := l.tags(u.Arn, u.Tags)
	if err != nil {
		return err
	}
	in := &iam.CreateUserInput{UserName: &u.UserName, Path: &u.Path, Tags: tags}
	if u.PermissionsBoundary != nil {
		in.PermissionsBoundary = &u.PermissionsBoundary.PermissionsBoundaryArn
	}
	if _, err := l.c.CreateUser(ctx, in); err != nil {
		return err
	}
	return l.undo(l.addUserPolicies(ctx, u), func() error { return l.removeUser(ctx, u) })
}

// undo removes what was created of something that cannot be loaded whole: half
// of it could lack just what denies.
func (l *loader) undo(err error, remove func() error) error {
	if err == nil {
		return nil
	}
	if rerr := remove(); rerr != nil {
		return fmt.Errorf("%s; and it could not be removed again: %v", reasonOf(err), rerr)
	}
	return err
}

func (l *loader) addUserPolicies(ctx context.Context, u *User) error {
	for _, p := range u.UserPolicyList {
		if _, err := l.c.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: &u.UserName, PolicyName: &p.PolicyName, PolicyDocument: aws.String(string(p.PolicyDocument))}); err != nil {
			return fmt.Errorf("inline policy %s: %w", p.PolicyName, err)
		}
	}
	for _, p := range u.AttachedManagedPolicies {
		if _, err := l.c.AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: &u.UserName, PolicyArn: &p.PolicyArn}); err != nil {
			return fmt.Errorf("attach %s: %w", p.PolicyArn, err)
		}
	}
	for _, g := range u.GroupList {
		if _, err := l.c.AddUserToGroup(ctx, &iam.AddUserToGroupInput{UserName: &u.UserName, GroupName: &g}); err != nil {
			return fmt.Errorf("group %s: %w", g, err)
		}
	}
	return nil
}

func (l *loader) loadRole(ctx context.Context, r *Role) error {
	if r.serviceLinked() {
		return l.loadServiceLinked(ctx, r)
	}
	if r.reserved() {
		return unloadable("AWS owns it; no task can be given it")
	}
	if err := l.managed(ctx, r.AttachedManagedPolicies, r.PermissionsBoundary); err != nil {
		return err
	}
	tags, err := l.tags(r.Arn, r.Tags)
	if err != nil {
		return err
	}
	// A policy that names no user or role of the account can be set at once.
	trust, named, err := without(string(r.AssumeRolePolicyDocument), l.s.Account, func(string) bool { return false })
	if err != nil {
		return unloadable(err.Error())
	}
	if len(named) > 0 {
		trust = closedTrust
	}
	in := &iam.CreateRoleInput{
		RoleName: &r.RoleName, Path: &r.Path, AssumeRolePolicyDocument: &trust, Tags: tags, Description: set(r.Description),
	}
	if r.MaxSessionDuration != 0 {
		in.MaxSessionDuration = &r.MaxSessionDuration
	}
	if r.PermissionsBoundary != nil {
		in.PermissionsBoundary = &r.PermissionsBoundary.PermissionsBoundaryArn
	}
	if _, err := l.c.CreateRole(ctx, in); err != nil {
		return err
	}
	if err := l.undo(l.addRolePolicies(ctx, r), func() error { return l.removeRole(ctx, r) }); err != nil {
		return err
	}
	if len(named) > 0 {
		l.trusts = append(l.trusts, r)
	}
	return nil
}

func (l *loader) addRolePolicies(ctx context.Context, r *Role) error {
	for _, p := range r.RolePolicyList {
		if _, err := l.c.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: &r.RoleName, PolicyName: &p.PolicyName, PolicyDocument: aws.String(string(p.PolicyDocument))}); err != nil {
			return fmt.Errorf("inline policy %s: %w", p.PolicyName, err)
		}
	}
	for _, p := range r.AttachedManagedPolicies {
		if _, err := l.c.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: &r.RoleName, PolicyArn: &p.PolicyArn}); err != nil {
			return fmt.Errorf("attach %s: %w", p.PolicyArn, err)
		}
	}
	for _, ip := range r.InstanceProfileList {
		tags, err := l.tags(ip.Arn, ip.Tags)
		if err != nil {
			return err
		}
		if _, err := l.c.CreateInstanceProfile(ctx, &iam.CreateInstanceProfileInput{InstanceProfileName: &ip.InstanceProfileName, Path: set(ip.Path), Tags: tags}); err != nil {
			return fmt.Errorf("instance profile %s: %w", ip.InstanceProfileName, err)
		}
		if _, err := l.c.AddRoleToInstanceProfile(ctx, &iam.AddRoleToInstanceProfileInput{InstanceProfileName: &ip.InstanceProfileName, RoleName: &r.RoleName}); err != nil {
			return fmt.Errorf("instance profile %s: %w", ip.InstanceProfileName, err)
		}
	}
	return nil
}

// loaded says that a user, a role, or the role of a session is here. The ARN of
// a session has the role's name and not its path.
func (l *loader) loaded(principal string) bool {
	if role, session := strings.CutPrefix(principal, "arn:aws:sts::"+l.s.Account+":assumed-role/"); session {
		name, _, _ := strings.Cut(role, "/")
		i := slices.IndexFunc(l.s.Roles.Roles, func(r Role) bool { return r.RoleName == name })
		if i < 0 {
			return false
		}
		principal = l.s.Roles.Roles[i].Arn
	}
	err, known := l.exists[principal]
	return known && err == nil
}

// setTrust opens a role to those of its trust policy who exist.
func (l *loader) setTrust(ctx context.Context, r *Role) error {
	trust, gone, err := without(string(r.AssumeRolePolicyDocument), l.s.Account, l.loaded)
	if err != nil {
		return l.undo(unloadable(err.Error()), func() error { return l.removeRole(ctx, r) })
	}
	if _, err := l.c.UpdateAssumeRolePolicy(ctx, &iam.UpdateAssumeRolePolicyInput{RoleName: &r.RoleName, PolicyDocument: &trust}); err != nil {
		return l.undo(fmt.Errorf("its trust policy: %w", err), func() error { return l.removeRole(ctx, r) })
	}
	for _, p := range gone {
		l.notes = append(l.notes, "not loaded: principal "+p+" in the trust policy of "+r.Arn+" (nobody here can be it)")
	}
	return nil
}
