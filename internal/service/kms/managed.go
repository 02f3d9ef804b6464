package kms

import (
	"slices"

	"github.com/remit-ecs/remit/internal/gateway"
	"github.com/remit-ecs/remit/internal/id"
)

// managedServices are the services that have an AWS managed key, alias/aws/NAME,
// in every account and region.
// https://docs.aws.amazon.com/kms/latest/developerguide/concepts.html#aws-managed-key
var managedServices = []string{"secretsmanager", "ssm"}

var managedDescription = map[string]string{
	"secretsmanager": "Default key that protects my Secrets Manager data when no other key is defined",
	"ssm":            "Default key that protects my SSM SecureString parameters when no other key is defined",
}

func isManaged(service string) bool { return slices.Contains(managedServices, service) }

// managedID is the key id of an AWS managed key. It follows from what the key
// is for, so that the key can be named before it is stored.
func managedID(account, region, service string) string {
	return id.UUID(id.NewSeeded([]byte("remit kms managed key " + kmsARN(account, region, reservedPrefix+service))))
}

// managed is an AWS managed key that is not stored yet.
func (s *Service) managed(c *gateway.Call, r *ref, service string) *Key {
	keyID := managedID(r.account, r.region, service)
	d := &Key{
		ID: keyID, ARN: kmsARN(r.account, r.region, "key/"+keyID), Description: managedDescription[service],
		Created: c.Time.UTC(), Service: service, Policy: managedPolicy(r.account, r.region, service), Period: usualPeriod,
	}
	s.addMaterial(d, c.Time, "")
	d.plan(c.Time)
	return d
}

// keep stores an AWS managed key, and its alias, in the home shard.
func (s *Service) keep(c *gateway.Call, r *ref) {
	now := c.Time.UTC()
	keys.Put(c.Tx, r.doc.ID, r.doc)
	aliases.Put(c.Tx, reservedPrefix+r.doc.Service, &Alias{Target: r.doc.ID, Created: now, Updated: now})
	r.fresh = false
}
