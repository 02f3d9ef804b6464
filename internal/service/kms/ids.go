package kms

import (
	"strings"

	"github.com/remit-ecs/remit/arn"
	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/kmsapi"
	"github.com/remit-ecs/remit/internal/gateway"
	"github.com/remit-ecs/remit/internal/store"
	"github.com/remit-ecs/remit/policy"
)

// ref is a key as a request names it: by key id, key ARN, alias name or alias
// ARN.
// https://docs.aws.amazon.com/kms/latest/developerguide/concepts.html#key-id
type ref struct {
	account, region string
	alias           string // "alias/NAME", where it is named so
	id              string // the key id; none where the alias does not exist
	doc             *Key   // nil where there is no such key
	fresh           bool   // doc is an AWS managed key that is not stored yet
}

const aliasPrefix = "alias/"

func (r *ref) shard() string { return gateway.Regional(r.account, r.region) }

// arn is the key's ARN or, where an alias names no key, the alias's.
func (r *ref) arn() string {
	if r.id == "" {
		return kmsARN(r.account, r.region, r.alias)
	}
	return kmsARN(r.account, r.region, "key/"+r.id)
}

func kmsARN(account, region, resource string) string {
	return "arn:aws:kms:" + region + ":" + account + ":" + resource
}

// split reads what names a key, without looking whether it exists. The region
// is always that of the request.
func split(c *gateway.Call, keyID string) (*ref, error) {
	r := &ref{account: c.Account, region: c.Region}
	name := keyID
	if strings.HasPrefix(keyID, "arn:") {
		a, err := arn.Parse(keyID)
		if err != nil || a.Service != "kms" || a.Partition != "aws" || !isAccount(a.Account) {
			return nil, kmsapi.InvalidArnException("Invalid arn %s", keyID)
		}
		if a.Region != c.Region {
			return nil, kmsapi.NotFoundException("Invalid arn %s", a.Region)
		}
		r.account, name = a.Account, a.Resource
		if id, ok := strings.CutPrefix(name, "key/"); ok {
			name = id
		} else if !strings.HasPrefix(name, aliasPrefix) {
			return nil, kmsapi.InvalidArnException("Invalid arn %s", keyID)
		}
	}
	if strings.HasPrefix(name, aliasPrefix) {
		r.alias = name
		return r, nil
	}
	if _, ok := keyBytes(name); !ok {
		return nil, kmsapi.NotFoundException("Invalid keyId '%s'", keyID)
	}
	r.id = name
	return r, nil
}

// resolve finds the key that a request names.
func (s *Service) resolve(c *gateway.Call, keyID *string) (*ref, error) {
	r, err := split(c, api.Value(keyID))
	if err != nil {
		return nil, err
	}
	s.find(c, r)
	return r, nil
}

// resolveKey is resolve for operations that take no alias.
func (s *Service) resolveKey(c *gateway.Call, keyID *string) (*ref, error) {
	if r, err := split(c, api.Value(keyID)); err == nil && r.alias != "" {
		return nil, kmsapi.NotFoundException("Invalid keyId %s", api.Value(keyID))
	}
	return s.resolve(c, keyID)
}

// find fills in what exists of a reference.
func (s *Service) find(c *gateway.Call, r *ref) {
	if r.alias != "" {
		if a, ok := aliases.Get(c.Tx, r.shard(), r.alias); ok {
			r.id = a.Target
		} else if service, ok := strings.CutPrefix(r.alias, reservedPrefix); ok && isManaged(service) {
			r.id = managedID(r.account, r.region, service)
		} else {
			return
		}
	}
	if d, ok := keys.Get(c.Tx, r.shard(), r.id); ok {
		if !d.gone(c.Time) {
			r.doc = d
		}
		return
	}
	for _, service := range managedServices {
		if r.id == managedID(r.account, r.region, service) {
			r.doc, r.fresh = s.managed(c, r, service), true
		}
	}
}

// key is the key of a request that was authorised. An AWS managed key begins to
// exist when it is first asked for.
func (s *Service) key(c *gateway.Call, r *ref) (*Key, error) {
	switch {
	case r.id == "":
		return nil, kmsapi.NotFoundException("Alias %s is not found.", r.arn())
	case r.doc == nil:
		return nil, kmsapi.NotFoundException("Key '%s' does not exist", r.arn())
	case r.fresh && r.shard() == c.Home:
		s.keep(c, r)
	}
	return r.doc, nil
}

// homeOf is the shard that an operation on a key writes to.
func homeOf(c *gateway.Call, keyID string) string {
	r, err := split(c, keyID)
	if err != nil {
		return gateway.Regional(c.Account, c.Region)
	}
	return r.shard()
}

// Policy gives the key policy of a key; nil where the ARN is not a key's. A key
// that does not exist is answered for as one with the default policy: who may
// use keys of the account by its identity-based policies learns that there is
// none.
func (s *Service) Policy(r store.Reader, resource string) *policy.Attached {
	a, err := arn.Parse(resource)
	id, ok := strings.CutPrefix(a.Resource, "key/")
	if err != nil || !ok || a.Service != "kms" || a.Partition != "aws" {
		return nil
	}
	d, ok := keys.Get(r, gateway.Regional(a.Account, a.Region), id)
	if !ok {
		for _, service := range managedServices {
			if id == managedID(a.Account, a.Region, service) {
				return compiled(managedPolicy(a.Account, a.Region, service))
			}
		}
		return compiled(defaultPolicy(a.Account))
	}
	return d.attached()
}

func isAccount(s string) bool {
	return len(s) == 12 && strings.Trim(s, "0123456789") == ""
}
