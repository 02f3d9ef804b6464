package iam

import (
	"strings"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/iamapi"
	"github.com/remit-ecs/remit/internal/gateway"
	"github.com/remit-ecs/remit/internal/store"
	"github.com/remit-ecs/remit/policy"
)

// noun is what operations that exist for roles, for users and for groups need to
// know of each.
type noun struct {
	word       string // in texts and ARNs
	title      string // in the names of quotas
	inlineSize int    // characters of all inline policies together
	get        func(r store.Reader, shard, name string) (*Entity, bool)
	edit       func(tx *store.Tx, name string) (e *Entity, put func(), ok bool)
}

var (
	roleNoun = noun{
		word: "role", title: "Role", inlineSize: policy.MaxRoleInlinePolicySize,
		get: func(r store.Reader, shard, name string) (*Entity, bool) {
			if d, ok := getRole(r, shard, name); ok {
				return &d.Entity, true
			}
			return nil, false
		},
		edit: func(tx *store.Tx, name string) (*Entity, func(), bool) {
			d, ok := roles.Edit(tx, fold(name))
			if !ok || d.Name != name {
				return nil, nil, false
			}
			return &d.Entity, func() { roles.Put(tx, fold(d.Name), d) }, true
		},
	}
	userNoun = noun{
		word: "user", title: "User", inlineSize: policy.MaxUserInlinePolicySize,
		get: func(r store.Reader, shard, name string) (*Entity, bool) {
			if d, ok := getUser(r, shard, name); ok {
				return &d.Entity, true
			}
			return nil, false
		},
		edit: func(tx *store.Tx, name string) (*Entity, func(), bool) {
			d, ok := users.Edit(tx, fold(name))
			if !ok || d.Name != name {
				return nil, nil, false
			}
			return &d.Entity, func() { users.Put(tx, fold(d.Name), d) }, true
		},
	}
	groupNoun = noun{
		word: "group", title: "Group", inlineSize: policy.MaxGroupInlinePolicySize,
		get: func(r store.Reader, shard, name string) (*Entity, bool) {
			if d, ok := getGroup(r, shard, name); ok {
				return &d.Entity, true
			}
			return nil, false
		},
		edit: func(tx *store.Tx, name string) (*Entity, func(), bool) {
			d, ok := groups.Edit(tx, fold(name))
			if !ok || d.Name != name {
				return nil, nil, false
			}
			return &d.Entity, func() { groups.Put(tx, fold(d.Name), d) }, true
		},
	}
)

func getRole(r store.Reader, shard, name string) (*Role, bool) {
	d, ok := roles.Get(r, shard, fold(name))
	return d, ok && d.Name == name
}

func getUser(r store.Reader, shard, name string) (*User, bool) {
	d, ok := users.Get(r, shard, fold(name))
	return d, ok && d.Name == name
}

func getGroup(r store.Reader, shard, name string) (*Group, bool) {
	d, ok := groups.Get(r, shard, fold(name))
	return d, ok && d.Name == name
}

func (n noun) arn(account, path, name string) string { return entityARN(account, n.word, path, name) }

func entityARN(account, kind, path, name string) string {
	return "arn:aws:iam::" + account + ":" + kind + path + name
}

func (n noun) missing(name string) *api.Error {
	return iamapi.NoSuchEntityException("The %s with name %s cannot be found.", n.word, name)
}

// read finds a role, user or group by name.
func (n noun) read(c *gateway.Call, name *string) (*Entity, error) {
	e, ok := n.get(c.Tx, c.Home, api.Value(name))
	if !ok {
		return nil, n.missing(api.Value(name))
	}
	return e, nil
}

// change finds a role, user or group that is to be changed: f changes it.
func (n noun) change(c *gateway.Call, name *string, f func(e *Entity) error) error {
	return n.changeTags(c, name, func(e *Entity) error {
		if err := modifiable(e); err != nil {
			return err
		}
		return f(e)
	})
}

// changeTags is change for what may be changed of a service-linked role, too:
// Terraform tags them.
func (n noun) changeTags(c *gateway.Call, name *string, f func(e *Entity) error) error {
	e, put, ok := n.edit(c.Tx, api.Value(name))
	if !ok {
		return n.missing(api.Value(name))
	}
	if err := f(e); err != nil {
		return err
	}
	put()
	return nil
}

// Paths that belong to AWS. The policy engine trusts that nobody else makes a
// role there.
const (
	serviceLinkedPath = "/aws-service-role/"
	reservedPath      = "/aws-reserved/"
)

func isReserved(path string) bool {
	return strings.HasPrefix(path, serviceLinkedPath) || strings.HasPrefix(path, reservedPath)
}

func modifiable(e *Entity) error {
	if isReserved(e.Path) {
		return iamapi.UnmodifiableEntityException("Cannot perform the operation on the protected role '%s' - this role is only modifiable by AWS", e.Name)
	}
	return nil
}

// path is the path of a new entity.
func path(p *string) (string, error) {
	v := api.Value(p)
	if v == "" {
		v = "/"
	}
	if isReserved(v) {
		return "", api.Validation("The specified value for path is invalid. Paths that begin with " + serviceLinkedPath + " or " + reservedPath + " are reserved for AWS.")
	}
	return v, nil
}
