package iam

import (
	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/iamapi"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/gateway"
	"github.com/remit-ecs/remit/internal/id"
	"github.com/remit-ecs/remit/internal/session"
)

// https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateUser.html
func (s *Service) mayCreateUser(c *gateway.Call, in *iamapi.CreateUserInput) ([]authz.Ask, error) {
	p, err := path(in.Path)
	if err != nil {
		return nil, err
	}
	return mayCreate(c, userNoun, "iam:TagUser", p, in.UserName, in.PermissionsBoundary, in.Tags), nil
}

func (s *Service) createUser(c *gateway.Call, in *iamapi.CreateUserInput) (*iamapi.CreateUserOutput, error) {
	p, err := path(in.Path)
	if err != nil {
		return nil, err
	}
	name := api.Value(in.UserName)
	if _, taken := users.Get(c.Tx, c.Home, fold(name)); taken {
		return nil, userTaken(name)
	}
	if err := quota(c, users, "UsersPerAccount", maxUsers); err != nil {
		return nil, err
	}
	d := &User{}
	d.Name, d.Path, d.ARN = name, p, userNoun.arn(c.Account, p, name)
	d.ID, d.Created = id.Unique(c.IDs, "AIDA"), c.Time
	if d.Tags, err = withTags(nil, in.Tags); err != nil {
		return nil, err
	}
	if d.Boundary, err = checkBoundary(c, in.PermissionsBoundary); err != nil {
		return nil, err
	}
	users.Put(c.Tx, fold(name), d)
	return &iamapi.CreateUserOutput{User: showUser(d)}, nil
}

func userTaken(name string) *api.Error {
	return iamapi.EntityAlreadyExistsException("User with name %s already exists.", name)
}

// showUser is a user as GetUser answers it.
func showUser(d *User) *iamapi.User {
	out := listUser(d)
	out.Tags, out.PermissionsBoundary = d.Tags, showBoundary(d.Boundary)
	return &out
}

// listUser is a user in a list, which leaves out boundary and tags.
func listUser(d *User) iamapi.User {
	return iamapi.User{Path: &d.Path, UserName: &d.Name, UserId: &d.ID, Arn: &d.ARN, CreateDate: &api.Time{Time: d.Created}}
}

// callersName is the user that an operation is about where it does not name
// one: the caller.
func callersName(c *gateway.Call, name *string) (*string, error) {
	if name != nil {
		return name, nil
	}
	if c.Principal.Type != session.User {
		return nil, api.Validation("Must specify userName when calling with non-User credentials")
	}
	return &c.Principal.UserName, nil
}

// aboutUser is the whole rule of most operations on a user.
func aboutUser(c *gateway.Call, name *string) ([]authz.Ask, error) {
	name, err := callersName(c, name)
	if err != nil {
		return nil, err
	}
	return []authz.Ask{about(c, userNoun, *name)}, nil
}

func (s *Service) mayGetUser(c *gateway.Call, in *iamapi.GetUserInput) ([]authz.Ask, error) {
	if in.UserName == nil && c.Principal.Type == session.Root {
		return one(c.Op.Action(), c.Principal.ARN, nil), nil
	}
	return aboutUser(c, in.UserName)
}

// getUser answers the caller where no name is given. Of the root user AWS tells
// no name; the model wants one, and so do typed clients.
func (s *Service) getUser(c *gateway.Call, in *iamapi.GetUserInput) (*iamapi.GetUserOutput, error) {
	if in.UserName == nil && c.Principal.Type == session.Root {
		return &iamapi.GetUserOutput{User: &iamapi.User{
			Path: api.Ptr("/"), UserName: api.Ptr("root"), UserId: &c.Principal.UserID, Arn: &c.Principal.ARN, CreateDate: &api.Time{},
		}}, nil
	}
	name, err := callersName(c, in.UserName)
	if err != nil {
		return nil, err
	}
	d, ok := getUser(c.Tx, c.Home, *name)
	if !ok {
		return nil, userNoun.missing(*name)
	}
	return &iamapi.GetUserOutput{User: showUser(d)}, nil
}

func (s *Service) mayListUsers(c *gateway.Call, _ *iamapi.ListUsersInput) ([]authz.Ask, error) {
	return all(c)
}

func (s *Service) listUsers(c *gateway.Call, in *iamapi.ListUsersInput) (*iamapi.ListUsersOutput, error) {
	found := under(users.Prefix(c.Tx, c.Home, ""), func(d *User) string { return d.Path }, in.PathPrefix, listUser)
	items, truncated, next, err := pageOf(c, in.Marker, in.MaxItems, found)
	if err != nil {
		return nil, err
	}
	return &iamapi.ListUsersOutput{Users: items, IsTruncated: truncated, Marker: next}, nil
}

// mayUpdateUser asks for the user under its old and under its new name and path.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/id_users_rename.html
func (s *Service) mayUpdateUser(c *gateway.Call, in *iamapi.UpdateUserInput) ([]authz.Ask, error) {
	ask := about(c, userNoun, api.Value(in.UserName))
	asks := []authz.Ask{ask}
	d, ok := getUser(c.Tx, c.Home, api.Value(in.UserName))
	if !ok {
		return asks, nil
	}
	name, path, err := renamed(&d.Entity, in.NewUserName, in.NewPath)
	if err != nil {
		return nil, err
	}
	if now := userNoun.arn(c.Account, path, name); now != ask.Resource {
		ask.Resource, ask.Refuse = now, named(userNoun.word, name)
		asks = append(asks, ask)
	}
	return asks, nil
}

// renamed is the name and path of a user or group after a change of either.
func renamed(e *Entity, newName, newPath *string) (name, at string, err error) {
	name, at = e.Name, e.Path
	if newName != nil {
		name = *newName
	}
	if newPath != nil {
		at, err = path(newPath)
	}
	return name, at, err
}

// updateUser renames: policies, access keys and the trust of roles stay with
// the user, whose unique id does not change.
func (s *Service) updateUser(c *gateway.Call, in *iamapi.UpdateUserInput) (*iamapi.UpdateUserOutput, error) {
	old := fold(api.Value(in.UserName))
	d, ok := users.Edit(c.Tx, old)
	if !ok || d.Name != api.Value(in.UserName) {
		return nil, userNoun.missing(api.Value(in.UserName))
	}
	name, path, err := renamed(&d.Entity, in.NewUserName, in.NewPath)
	if err != nil {
		return nil, err
	}
	if fold(name) != old {
		if _, taken := users.Get(c.Tx, c.Home, fold(name)); taken {
			return nil, userTaken(name)
		}
		users.Delete(c.Tx, old)
	}
	d.Name, d.Path, d.ARN = name, path, userNoun.arn(c.Account, path, name)
	users.Put(c.Tx, fold(name), d)
	return &iamapi.UpdateUserOutput{}, nil
}

func (s *Service) mayDeleteUser(c *gateway.Call, in *iamapi.DeleteUserInput) ([]authz.Ask, error) {
	return aboutUser(c, in.UserName)
}

func (s *Service) deleteUser(c *gateway.Call, in *iamapi.DeleteUserInput) (*iamapi.DeleteUserOutput, error) {
	d, ok := getUser(c.Tx, c.Home, api.Value(in.UserName))
	if !ok {
		return nil, userNoun.missing(api.Value(in.UserName))
	}
	if err := bare(&d.Entity); err != nil {
		return nil, err
	}
	if len(d.Groups) > 0 {
		return nil, usersInGroup()
	}
	for range accessKeys.By(c.Tx, c.Home, "user", d.ID) {
		return nil, iamapi.DeleteConflictException("Cannot delete entity, must delete access keys first.")
	}
	users.Delete(c.Tx, fold(d.Name))
	return &iamapi.DeleteUserOutput{}, nil
}
