package iam

import (
	"strings"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/iamapi"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/gateway"
)

// keys are the condition keys of one question, by lower-case name.
type keys map[string][]string

func (k keys) set(name string, values ...string) keys {
	if len(values) > 0 && values[0] != "" {
		k[name] = values
	}
	return k
}

// resourceTags adds the tags that the resource has now. Roles and users are
// known under IAM's own key, too.
func (k keys) resourceTags(tags []iamapi.Tag, prefixes ...string) keys {
	for _, t := range tags {
		for _, p := range prefixes {
			k[p+strings.ToLower(api.Value(t.Key))] = []string{api.Value(t.Value)}
		}
	}
	return k
}

// requestTags adds the tags that are sent.
func (k keys) requestTags(tags []iamapi.Tag) keys {
	var names []string
	for _, t := range tags {
		k["aws:requesttag/"+strings.ToLower(api.Value(t.Key))] = []string{api.Value(t.Value)}
		names = append(names, api.Value(t.Key))
	}
	return k.set("aws:tagkeys", names...)
}

const (
	awsResourceTag = "aws:resourcetag/"
	iamResourceTag = "iam:resourcetag/"
)

// named words a refusal as IAM does where a name or an ARN in the request says
// which entity is meant: by what was given, not by an ARN with the path.
//
// Observed: "iam:GetRole on resource: role NAME"
// (https://github.com/aws/aws-cdk/issues/27067), "iam:GetUser on resource: user
// NAME" (https://github.com/aws-samples/rancher-on-aws-workshop/issues/28),
// "iam:GetPolicy on resource: policy ARN"
// (https://github.com/kubernetes-sigs/cluster-api-provider-aws/issues/5254).
func named(kind, as string) func(*authz.Verdict) *api.Error {
	return func(v *authz.Verdict) *api.Error {
		return api.AccessDenied(v.Decision.Message(v.Principal.ARN, v.Ask.Action, kind+" "+as))
	}
}

func one(action, resource string, k keys) []authz.Ask {
	return []authz.Ask{{Action: action, Resource: resource, Keys: k}}
}

// all asks about an action that has no resource type.
func all(c *gateway.Call) ([]authz.Ask, error) { return one(c.Op.Action(), "*", nil), nil }

// bounded are the actions whose questions tell the permissions boundary.
var bounded = map[string]bool{
	"AttachRolePolicy": true, "AttachUserPolicy": true, "CreateRole": true, "CreateUser": true, "DeleteRole": true,
	"DeleteRolePermissionsBoundary": true, "DeleteRolePolicy": true, "DeleteUserPermissionsBoundary": true,
	"DeleteUserPolicy": true, "DetachRolePolicy": true, "DetachUserPolicy": true, "GetRole": true,
	"PutRolePermissionsBoundary": true, "PutRolePolicy": true, "PutUserPermissionsBoundary": true,
	"PutUserPolicy": true, "UpdateAssumeRolePolicy": true, "UpdateRole": true, "UpdateRoleDescription": true,
}

// about asks for the call's own action on a role, user or group: with its path where
// it exists, else as if it stood at the root.
func about(c *gateway.Call, n noun, name string) authz.Ask {
	ask := authz.Ask{Action: c.Op.Action(), Keys: keys{}, Refuse: named(n.word, name)}
	e, ok := n.get(c.Tx, gateway.Global(c.Account), name)
	if !ok {
		ask.Resource = n.arn(c.Account, "/", name)
		return ask
	}
	ask.Resource = e.ARN
	k := keys(ask.Keys).resourceTags(e.Tags, awsResourceTag, iamResourceTag)
	if bounded[c.Op.Name] {
		k.set("iam:permissionsboundary", e.Boundary)
	}
	return ask
}

// aboutRole is the whole rule of most operations on a role.
func aboutRole(c *gateway.Call, name *string) ([]authz.Ask, error) {
	return []authz.Ask{about(c, roleNoun, api.Value(name))}, nil
}
