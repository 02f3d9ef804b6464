package iam

import (
	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/iamapi"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/gateway"
	"github.com/remit-ecs/remit/internal/id"
	"github.com/remit-ecs/remit/internal/store"
)

// Seconds that a session of a role may last where the role does not say.
const defaultMaxSession = 3600

// https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateRole.html
func (s *Service) mayCreateRole(c *gateway.Call, in *iamapi.CreateRoleInput) ([]authz.Ask, error) {
	p, err := path(in.Path)
	if err != nil {
		return nil, err
	}
	return mayCreate(c, roleNoun, "iam:TagRole", p, in.RoleName, in.PermissionsBoundary, in.Tags), nil
}

// mayCreate asks for a new role or user.
func mayCreate(c *gateway.Call, n noun, tagging, path string, name, boundary *string, tags []iamapi.Tag) []authz.Ask {
	asks := mayCreateTagged(c, n.arn(c.Account, path, api.Value(name)), tagging, tags)
	keys(asks[0].Keys).set("iam:permissionsboundary", api.Value(boundary))
	return asks
}

func (s *Service) createRole(c *gateway.Call, in *iamapi.CreateRoleInput) (*iamapi.CreateRoleOutput, error) {
	p, err := path(in.Path)
	if err != nil {
		return nil, err
	}
	name := api.Value(in.RoleName)
	if _, taken := roles.Get(c.Tx, c.Home, fold(name)); taken {
		return nil, iamapi.EntityAlreadyExistsException("Role with name %s already exists.", name)
	}
	if err := quota(c, roles, "RolesPerAccount", maxRoles); err != nil {
		return nil, err
	}
	d := &Role{MaxSession: defaultMaxSession, Description: in.Description, Trust: api.Value(in.AssumeRolePolicyDocument)}
	d.Entity.Name, d.Entity.Path = name, p
	d.ARN = roleNoun.arn(c.Account, p, name)
	d.ID, d.Created = id.Unique(c.IDs, "AROA"), c.Time
	if in.MaxSessionDuration != nil {
		d.MaxSession = *in.MaxSessionDuration
	}
	if d.Bound, err = checkTrust(c, d.Trust); err != nil {
		return nil, err
	}
	if d.Tags, err = withTags(nil, in.Tags); err != nil {
		return nil, err
	}
	if d.Boundary, err = checkBoundary(c, in.PermissionsBoundary); err != nil {
		return nil, err
	}
	roles.Put(c.Tx, fold(name), d)
	return &iamapi.CreateRoleOutput{Role: showRole(c.Tx, d)}, nil
}

// showRole is a role as GetRole answers it.
func showRole(r store.Reader, d *Role) *iamapi.Role {
	out := listRole(r, d)
	out.Tags, out.PermissionsBoundary = d.Tags, showBoundary(d.Boundary)
	return &out
}

// listRole is a role in a list, which leaves out boundary and tags.
func listRole(r store.Reader, d *Role) iamapi.Role {
	return iamapi.Role{
		Path: &d.Path, RoleName: &d.Name, RoleId: &d.ID, Arn: &d.ARN, CreateDate: &api.Time{Time: d.Created},
		AssumeRolePolicyDocument: encoded(shownTrust(r, d)), Description: d.Description, MaxSessionDuration: &d.MaxSession,
	}
}

func showBoundary(policyARN string) *iamapi.AttachedPermissionsBoundary {
	if policyARN == "" {
		return nil
	}
	return &iamapi.AttachedPermissionsBoundary{PermissionsBoundaryType: boundaryType, PermissionsBoundaryArn: &policyARN}
}

// boundaryType is what AWS answers. Its model knows only
// PermissionsBoundaryPolicy, its documentation only Policy; clients take either.
const boundaryType = iamapi.PermissionsBoundaryAttachmentTypePermissionsBoundaryPolicy

func (s *Service) mayGetRole(c *gateway.Call, in *iamapi.GetRoleInput) ([]authz.Ask, error) {
	return aboutRole(c, in.RoleName)
}

func (s *Service) getRole(c *gateway.Call, in *iamapi.GetRoleInput) (*iamapi.GetRoleOutput, error) {
	d, ok := getRole(c.Tx, c.Home, api.Value(in.RoleName))
	if !ok {
		return nil, roleNoun.missing(api.Value(in.RoleName))
	}
	out := showRole(c.Tx, d)
	out.RoleLastUsed = s.roleLastUsed(c, d)
	return &iamapi.GetRoleOutput{Role: out}, nil
}

// roleLastUsed is empty for a role that was not used in the last 400 days.
func (s *Service) roleLastUsed(c *gateway.Call, d *Role) *iamapi.RoleLastUsed {
	u, ok := s.lastUseOf(c.Tx, c.Account, d.ID)
	if !ok || c.Time.Sub(u.At) > lastUseKept {
		return &iamapi.RoleLastUsed{}
	}
	return &iamapi.RoleLastUsed{LastUsedDate: &api.Time{Time: u.At}, Region: &u.Region}
}

func (s *Service) mayListRoles(c *gateway.Call, _ *iamapi.ListRolesInput) ([]authz.Ask, error) {
	return all(c)
}

func (s *Service) listRoles(c *gateway.Call, in *iamapi.ListRolesInput) (*iamapi.ListRolesOutput, error) {
	found := under(roles.Prefix(c.Tx, c.Home, ""), func(d *Role) string { return d.Path }, in.PathPrefix,
		func(d *Role) iamapi.Role { return listRole(c.Tx, d) })
	items, truncated, next, err := pageOf(c, in.Marker, in.MaxItems, found)
	if err != nil {
		return nil, err
	}
	return &iamapi.ListRolesOutput{Roles: items, IsTruncated: truncated, Marker: next}, nil
}

// changeRole finds a role that is to be changed: f changes it.
func changeRole(c *gateway.Call, name *string, f func(d *Role) error) (*Role, error) {
	d, ok := roles.Edit(c.Tx, fold(api.Value(name)))
	if !ok || d.Name != api.Value(name) {
		return nil, roleNoun.missing(api.Value(name))
	}
	if err := f(d); err != nil {
		return nil, err
	}
	roles.Put(c.Tx, fold(d.Name), d)
	return d, nil
}

func (s *Service) mayUpdateRole(c *gateway.Call, in *iamapi.UpdateRoleInput) ([]authz.Ask, error) {
	return aboutRole(c, in.RoleName)
}

func (s *Service) updateRole(c *gateway.Call, in *iamapi.UpdateRoleInput) (*iamapi.UpdateRoleOutput, error) {
	_, err := changeRole(c, in.RoleName, func(d *Role) error {
		if in.MaxSessionDuration != nil {
			if err := modifiable(&d.Entity); err != nil {
				return err
			}
			d.MaxSession = *in.MaxSessionDuration
		}
		if in.Description != nil {
			d.Description = in.Description
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &iamapi.UpdateRoleOutput{}, nil
}

func (s *Service) mayUpdateRoleDescription(c *gateway.Call, in *iamapi.UpdateRoleDescriptionInput) ([]authz.Ask, error) {
	return aboutRole(c, in.RoleName)
}

func (s *Service) updateRoleDescription(c *gateway.Call, in *iamapi.UpdateRoleDescriptionInput) (*iamapi.UpdateRoleDescriptionOutput, error) {
	d, err := changeRole(c, in.RoleName, func(d *Role) error {
		d.Description = in.Description
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &iamapi.UpdateRoleDescriptionOutput{Role: showRole(c.Tx, d)}, nil
}

func (s *Service) mayUpdateAssumeRolePolicy(c *gateway.Call, in *iamapi.UpdateAssumeRolePolicyInput) ([]authz.Ask, error) {
	return aboutRole(c, in.RoleName)
}

func (s *Service) updateAssumeRolePolicy(c *gateway.Call, in *iamapi.UpdateAssumeRolePolicyInput) (*iamapi.UpdateAssumeRolePolicyOutput, error) {
	_, err := changeRole(c, in.RoleName, func(d *Role) (err error) {
		if err := modifiable(&d.Entity); err != nil {
			return err
		}
		d.Trust = api.Value(in.PolicyDocument)
		d.Bound, err = checkTrust(c, d.Trust)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &iamapi.UpdateAssumeRolePolicyOutput{}, nil
}

func (s *Service) mayDeleteRole(c *gateway.Call, in *iamapi.DeleteRoleInput) ([]authz.Ask, error) {
	return aboutRole(c, in.RoleName)
}

// deleteRole ends the role and with it, from the next request on, its sessions.
func (s *Service) deleteRole(c *gateway.Call, in *iamapi.DeleteRoleInput) (*iamapi.DeleteRoleOutput, error) {
	e, err := roleNoun.read(c, in.RoleName)
	if err != nil {
		return nil, err
	}
	if err := modifiable(e); err != nil {
		return nil, err
	}
	for range instanceProfiles.By(c.Tx, c.Home, "role", fold(e.Name)) {
		return nil, iamapi.DeleteConflictException("Cannot delete entity, must remove roles from instance profile first.")
	}
	if err := bare(e); err != nil {
		return nil, err
	}
	roles.Delete(c.Tx, fold(e.Name))
	lastUses.Delete(c.Tx, e.ID)
	return &iamapi.DeleteRoleOutput{}, nil
}

// bare refuses to delete what still has policies.
func bare(e *Entity) error {
	switch {
	case len(e.Attached) > 0:
		return iamapi.DeleteConflictException("Cannot delete entity, must detach all policies first.")
	case len(e.Inline) > 0:
		return iamapi.DeleteConflictException("Cannot delete entity, must delete policies first.")
	}
	return nil
}
