package iam

import (
	"github.com/remit-ecs/remit/internal/api/iamapi"
	"github.com/remit-ecs/remit/internal/gateway"
	"github.com/remit-ecs/remit/internal/store"
)

// Quotas at AWS's defaults; package policy has those on the size of documents.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
const (
	maxRoles            = 1000
	maxUsers            = 5000
	maxGroups           = 300
	maxGroupsPerUser    = 10
	maxPolicies         = 1500
	maxInstanceProfiles = 1000
	maxAttached         = 10
	maxVersions         = 5
	maxTags             = 50
	maxRoleName         = 64 // characters
	maxAccessKeys       = 2
)

// quota refuses one document more than an account may have. It counts what the
// call began with: two creations at once need not conflict over the count.
func quota[T any](c *gateway.Call, kind *store.Kind[T], name string, most int) error {
	if count(c, kind) >= most {
		return iamapi.LimitExceededException("Cannot exceed quota for %s: %d", name, most)
	}
	return nil
}

func count[T any](c *gateway.Call, kind *store.Kind[T]) int {
	n := 0
	for range kind.Prefix(c.Tx.View(), c.Home, "") {
		n++
	}
	return n
}
