package iam

import (
	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/iamapi"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/gateway"
)

// checkBoundary checks the managed policy that is to bound a role or user.
func checkBoundary(c *gateway.Call, policyARN *string) (string, error) {
	a := api.Value(policyARN)
	if a == "" {
		return "", nil
	}
	if _, ok := managed(c.Tx, c.Home, a); !ok {
		return "", iamapi.NoSuchEntityException("Scope ARN: %s does not exist or is not attachable.", a)
	}
	return a, nil
}

// mayPutBoundary asks with the boundary that is to be: a policy can demand that
// whatever somebody creates is bounded by it.
func mayPutBoundary(c *gateway.Call, n noun, name, boundary *string) ([]authz.Ask, error) {
	ask := about(c, n, api.Value(name))
	keys(ask.Keys).set("iam:permissionsboundary", api.Value(boundary))
	return []authz.Ask{ask}, nil
}

func putBoundary(c *gateway.Call, n noun, name, boundary *string) error {
	return n.change(c, name, func(e *Entity) (err error) {
		e.Boundary, err = checkBoundary(c, boundary)
		return err
	})
}

func deleteBoundary(c *gateway.Call, n noun, name *string) error {
	return n.change(c, name, func(e *Entity) error {
		if e.Boundary == "" {
			return iamapi.NoSuchEntityException("The %s %s does not have a permissions boundary attached.", n.word, e.Name)
		}
		e.Boundary = ""
		return nil
	})
}

func (s *Service) mayPutRolePermissionsBoundary(c *gateway.Call, in *iamapi.PutRolePermissionsBoundaryInput) ([]authz.Ask, error) {
	return mayPutBoundary(c, roleNoun, in.RoleName, in.PermissionsBoundary)
}

func (s *Service) putRolePermissionsBoundary(c *gateway.Call, in *iamapi.PutRolePermissionsBoundaryInput) (*iamapi.PutRolePermissionsBoundaryOutput, error) {
	if err := putBoundary(c, roleNoun, in.RoleName, in.PermissionsBoundary); err != nil {
		return nil, err
	}
	return &iamapi.PutRolePermissionsBoundaryOutput{}, nil
}

func (s *Service) mayDeleteRolePermissionsBoundary(c *gateway.Call, in *iamapi.DeleteRolePermissionsBoundaryInput) ([]authz.Ask, error) {
	return aboutRole(c, in.RoleName)
}

func (s *Service) deleteRolePermissionsBoundary(c *gateway.Call, in *iamapi.DeleteRolePermissionsBoundaryInput) (*iamapi.DeleteRolePermissionsBoundaryOutput, error) {
	if err := deleteBoundary(c, roleNoun, in.RoleName); err != nil {
		return nil, err
	}
	return &iamapi.DeleteRolePermissionsBoundaryOutput{}, nil
}

func (s *Service) mayPutUserPermissionsBoundary(c *gateway.Call, in *iamapi.PutUserPermissionsBoundaryInput) ([]authz.Ask, error) {
	return mayPutBoundary(c, userNoun, in.UserName, in.PermissionsBoundary)
}

func (s *Service) putUserPermissionsBoundary(c *gateway.Call, in *iamapi.PutUserPermissionsBoundaryInput) (*iamapi.PutUserPermissionsBoundaryOutput, error) {
	if err := putBoundary(c, userNoun, in.UserName, in.PermissionsBoundary); err != nil {
		return nil, err
	}
	return &iamapi.PutUserPermissionsBoundaryOutput{}, nil
}

func (s *Service) mayDeleteUserPermissionsBoundary(c *gateway.Call, in *iamapi.DeleteUserPermissionsBoundaryInput) ([]authz.Ask, error) {
	return aboutUser(c, in.UserName)
}

func (s *Service) deleteUserPermissionsBoundary(c *gateway.Call, in *iamapi.DeleteUserPermissionsBoundaryInput) (*iamapi.DeleteUserPermissionsBoundaryOutput, error) {
	if err := deleteBoundary(c, userNoun, in.UserName); err != nil {
		return nil, err
	}
	return &iamapi.DeleteUserPermissionsBoundaryOutput{}, nil
}
