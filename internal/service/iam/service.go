// Package iam serves AWS Identity and Access Management: roles, users with
// their access keys, inline and managed policies, permissions boundaries and
// instance profiles.
//
// It is also where everybody's permissions come from: the authorizer reads the
// policies of principals and the trust policies of roles through Identity and
// Trust, the gateway access keys through Key, and package sts roles through
// Assumable. All read the same documents, in the snapshot that they are given,
// so a change binds from the next request on.
//
//	role, user ──┬─ inline policies          in the document itself
//	             ├─ attached ──► managed policies: customer's (versions), AWS's (embedded)
//	             └─ boundary ──► managed policy
//	role ── trust policy: principals of IAM are bound to unique ids when it is saved
//	instance profile ──► role
//	access key ──► user, by unique id
//
// The package decides nothing: policy does. Groups and service-linked roles are
// not served yet, and last use is not recorded.
package iam

import (
	"github.com/remit-ecs/remit/internal/api/iamapi"
	"github.com/remit-ecs/remit/internal/gateway"
	"github.com/remit-ecs/remit/internal/seal"
)

// Deps is what a Service is built from.
type Deps struct {
	Seal *seal.Keyring // keeps the secrets of access keys
}

// Service serves IAM. It implements authz.Sources and gateway.Keys.
type Service struct {
	Deps
	sessions sessionPolicies
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

	gateway.Handle(m, iamapi.CreateAccessKey, s.mayCreateAccessKey, s.createAccessKey)
	gateway.Handle(m, iamapi.ListAccessKeys, s.mayListAccessKeys, s.listAccessKeys)
	gateway.Handle(m, iamapi.UpdateAccessKey, s.mayUpdateAccessKey, s.updateAccessKey)
	gateway.Handle(m, iamapi.DeleteAccessKey, s.mayDeleteAccessKey, s.deleteAccessKey)
	gateway.Handle(m, iamapi.GetAccessKeyLastUsed, s.mayGetAccessKeyLastUsed, s.getAccessKeyLastUsed)
}
