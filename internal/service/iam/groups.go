package iam

import (
	"slices"
	"strings"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/iamapi"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/gateway"
	"github.com/remit-ecs/remit/internal/id"
	"github.com/remit-ecs/remit/internal/store"
)

// showGroup is a group as answers show it, in lists, too.
func showGroup(d *Group) iamapi.Group {
	return iamapi.Group{Path: &d.Path, GroupName: &d.Name, GroupId: &d.ID, Arn: &d.ARN, CreateDate: &api.Time{Time: d.Created}}
}

// aboutGroup is the whole rule of most operations on a group.
func aboutGroup(c *gateway.Call, name *string) ([]authz.Ask, error) {
	return []authz.Ask{about(c, groupNoun, api.Value(name))}, nil
}

func groupTaken(name string) *api.Error {
	return iamapi.EntityAlreadyExistsException("Group with name %s already exists.", name)
}

// https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateGroup.html
func (s *Service) mayCreateGroup(c *gateway.Call, in *iamapi.CreateGroupInput) ([]authz.Ask, error) {
	p, err := path(in.Path)
	if err != nil {
		return nil, err
	}
	return one(c.Op.Action(), groupNoun.arn(c.Account, p, api.Value(in.GroupName)), nil), nil
}

func (s *Service) createGroup(c *gateway.Call, in *iamapi.CreateGroupInput) (*iamapi.CreateGroupOutput, error) {
	p, err := path(in.Path)
	if err != nil {
		return nil, err
	}
	name := api.Value(in.GroupName)
	if _, taken := groups.Get(c.Tx, c.Home, fold(name)); taken {
		return nil, groupTaken(name)
	}
	if err := quota(c, groups, "GroupsPerAccount", maxGroups); err != nil {
		return nil, err
	}
	d := &Group{}
	d.Name, d.Path, d.ARN = name, p, groupNoun.arn(c.Account, p, name)
	d.ID, d.Created = id.Unique(c.IDs, "AGPA"), c.Time
	groups.Put(c.Tx, fold(name), d)
	out := showGroup(d)
	return &iamapi.CreateGroupOutput{Group: &out}, nil
}

func (s *Service) mayGetGroup(c *gateway.Call, in *iamapi.GetGroupInput) ([]authz.Ask, error) {
	return aboutGroup(c, in.GroupName)
}

// getGroup answers the group with a page of its members.
// https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetGroup.html
func (s *Service) getGroup(c *gateway.Call, in *iamapi.GetGroupInput) (*iamapi.GetGroupOutput, error) {
	d, ok := getGroup(c.Tx, c.Home, api.Value(in.GroupName))
	if !ok {
		return nil, groupNoun.missing(api.Value(in.GroupName))
	}
	members := under(users.By(c.Tx, c.Home, "group", d.ID), func(*User) string { return "" }, nil, listUser)
	items, truncated, next, err := pageOf(c, in.Marker, in.MaxItems, members)
	if err != nil {
		return nil, err
	}
	out := showGroup(d)
	return &iamapi.GetGroupOutput{Group: &out, Users: items, IsTruncated: truncated, Marker: next}, nil
}

func (s *Service) mayListGroups(c *gateway.Call, _ *iamapi.ListGroupsInput) ([]authz.Ask, error) {
	return all(c)
}

func (s *Service) listGroups(c *gateway.Call, in *iamapi.ListGroupsInput) (*iamapi.ListGroupsOutput, error) {
	found := under(groups.Prefix(c.Tx, c.Home, ""), func(d *Group) string { return d.Path }, in.PathPrefix, showGroup)
	items, truncated, next, err := pageOf(c, in.Marker, in.MaxItems, found)
	if err != nil {
		return nil, err
	}
	return &iamapi.ListGroupsOutput{Groups: items, IsTruncated: truncated, Marker: next}, nil
}

func (s *Service) mayListGroupsForUser(c *gateway.Call, in *iamapi.ListGroupsForUserInput) ([]authz.Ask, error) {
	return aboutUser(c, in.UserName)
}

func (s *Service) listGroupsForUser(c *gateway.Call, in *iamapi.ListGroupsForUserInput) (*iamapi.ListGroupsForUserOutput, error) {
	d, ok := getUser(c.Tx, c.Home, api.Value(in.UserName))
	if !ok {
		return nil, userNoun.missing(api.Value(in.UserName))
	}
	found := func(yield func(string, iamapi.Group) bool) {
		for _, g := range groupsOf(c.Tx, c.Home, d) {
			if !yield(fold(g.Name), showGroup(g)) {
				return
			}
		}
	}
	items, truncated, next, err := pageOf(c, in.Marker, in.MaxItems, found)
	if err != nil {
		return nil, err
	}
	return &iamapi.ListGroupsForUserOutput{Groups: items, IsTruncated: truncated, Marker: next}, nil
}

// groupsOf gives the groups that a user is in, in the order of their names.
func groupsOf(r store.Reader, shard string, d *User) []*Group {
	var out []*Group
	for _, id := range d.Groups {
		if g, ok := groupByID(r, shard, id); ok {
			out = append(out, g)
		}
	}
	slices.SortFunc(out, func(a, b *Group) int { return strings.Compare(fold(a.Name), fold(b.Name)) })
	return out
}

// mayUpdateGroup asks for the group under its old and under its new name and
// path, as for a user.
func (s *Service) mayUpdateGroup(c *gateway.Call, in *iamapi.UpdateGroupInput) ([]authz.Ask, error) {
	ask := about(c, groupNoun, api.Value(in.GroupName))
	asks := []authz.Ask{ask}
	d, ok := getGroup(c.Tx, c.Home, api.Value(in.GroupName))
	if !ok {
		return asks, nil
	}
	name, path, err := renamed(&d.Entity, in.NewGroupName, in.NewPath)
	if err != nil {
		return nil, err
	}
	if now := groupNoun.arn(c.Account, path, name); now != ask.Resource {
		ask.Resource, ask.Refuse = now, named(groupNoun.word, name)
		asks = append(asks, ask)
	}
	return asks, nil
}

// updateGroup renames: members and policies stay with the group, whose unique
// id does not change.
// https://docs.aws.amazon.com/IAM/latest/APIReference/API_UpdateGroup.html
func (s *Service) updateGroup(c *gateway.Call, in *iamapi.UpdateGroupInput) (*iamapi.UpdateGroupOutput, error) {
	old := fold(api.Value(in.GroupName))
	d, ok := groups.Edit(c.Tx, old)
	if !ok || d.Name != api.Value(in.GroupName) {
		return nil, groupNoun.missing(api.Value(in.GroupName))
	}
	name, path, err := renamed(&d.Entity, in.NewGroupName, in.NewPath)
	if err != nil {
		return nil, err
	}
	if fold(name) != old {
		if _, taken := groups.Get(c.Tx, c.Home, fold(name)); taken {
			return nil, groupTaken(name)
		}
		groups.Delete(c.Tx, old)
	}
	d.Name, d.Path, d.ARN = name, path, groupNoun.arn(c.Account, path, name)
	groups.Put(c.Tx, fold(name), d)
	return &iamapi.UpdateGroupOutput{}, nil
}

func (s *Service) mayDeleteGroup(c *gateway.Call, in *iamapi.DeleteGroupInput) ([]authz.Ask, error) {
	return aboutGroup(c, in.GroupName)
}

func (s *Service) deleteGroup(c *gateway.Call, in *iamapi.DeleteGroupInput) (*iamapi.DeleteGroupOutput, error) {
	e, err := groupNoun.read(c, in.GroupName)
	if err != nil {
		return nil, err
	}
	for range users.By(c.Tx, c.Home, "group", e.ID) {
		return nil, usersInGroup()
	}
	if err := bare(e); err != nil {
		return nil, err
	}
	groups.Delete(c.Tx, fold(e.Name))
	return &iamapi.DeleteGroupOutput{}, nil
}

// usersInGroup refuses to delete a group with members, and a user who is one.
// AWS says the same of both: https://github.com/go-to-k/delstack/issues/40,
// https://github.com/mozilla-services/userplex/issues/17.
func usersInGroup() *api.Error {
	return iamapi.DeleteConflictException("Cannot delete entity, must remove users from group first.")
}

func (s *Service) mayAddUserToGroup(c *gateway.Call, in *iamapi.AddUserToGroupInput) ([]authz.Ask, error) {
	return aboutGroup(c, in.GroupName)
}

// addUserToGroup changes the user, who knows the groups.
// https://docs.aws.amazon.com/IAM/latest/APIReference/API_AddUserToGroup.html
func (s *Service) addUserToGroup(c *gateway.Call, in *iamapi.AddUserToGroupInput) (*iamapi.AddUserToGroupOutput, error) {
	err := changeMembership(c, in.GroupName, in.UserName, func(d *User, group string) error {
		if slices.Contains(d.Groups, group) {
			return nil // a member it is
		}
		if len(d.Groups) >= maxGroupsPerUser {
			return iamapi.LimitExceededException("Cannot exceed quota for GroupsPerUser: %d", maxGroupsPerUser)
		}
		d.Groups = append(d.Groups, group)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &iamapi.AddUserToGroupOutput{}, nil
}

func (s *Service) mayRemoveUserFromGroup(c *gateway.Call, in *iamapi.RemoveUserFromGroupInput) ([]authz.Ask, error) {
	return aboutGroup(c, in.GroupName)
}

// removeUserFromGroup refuses a user who is no member; AWS's code for that is
// seen, its text is not.
// https://docs.aws.amazon.com/IAM/latest/APIReference/API_RemoveUserFromGroup.html
func (s *Service) removeUserFromGroup(c *gateway.Call, in *iamapi.RemoveUserFromGroupInput) (*iamapi.RemoveUserFromGroupOutput, error) {
	err := changeMembership(c, in.GroupName, in.UserName, func(d *User, group string) error {
		i := slices.Index(d.Groups, group)
		if i < 0 {
			return iamapi.NoSuchEntityException("The user with name %s is not in the group.", d.Name)
		}
		d.Groups = slices.Delete(d.Groups, i, i+1)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &iamapi.RemoveUserFromGroupOutput{}, nil
}

// changeMembership finds a group and a user: f changes what the user is in,
// given the group's unique id.
func changeMembership(c *gateway.Call, group, user *string, f func(d *User, group string) error) error {
	g, err := groupNoun.read(c, group)
	if err != nil {
		return err
	}
	d, ok := users.Edit(c.Tx, fold(api.Value(user)))
	if !ok || d.Name != api.Value(user) {
		return userNoun.missing(api.Value(user))
	}
	if err := f(d, g.ID); err != nil {
		return err
	}
	users.Put(c.Tx, fold(d.Name), d)
	return nil
}
