package kms

import (
	"sync/atomic"
	"time"

	"github.com/remit-ecs/remit/internal/api/kmsapi"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/store"
	"github.com/remit-ecs/remit/policy"
)

// The documents of KMS, in the shard ACCOUNT/REGION:
//
//	kms.key    KEY-ID            policy, state, tags, sealed key material
//	├── kms.alias  alias/NAME    found by "key"
//	├── kms.grant  KEY-ID:GRANT  found by "retiring" principal
//	└── kms.usage  KEY-ID        the day on which the key was last used
//
// Key ids hold no colon. A key that waits to be deleted or has a day for its
// next rotation is found by "due".
var (
	keys = store.NewKind("kms.key", 1,
		store.Index[Key]{Name: "due", Keys: func(_ string, d *Key) []string {
			if d.Deletion == nil && d.NextRotation == nil {
				return nil
			}
			return []string{"yes"}
		}},
	)
	aliases = store.NewKind("kms.alias", 1,
		store.Index[Alias]{Name: "key", Keys: func(_ string, d *Alias) []string { return []string{d.Target} }},
	)
	grants = store.NewKind("kms.grant", 1,
		store.Index[Grant]{Name: "retiring", Keys: func(_ string, d *Grant) []string {
			if d.Retiring == nil {
				return nil
			}
			return []string{d.Retiring.ARN}
		}},
	)
	usages = store.NewKind[Usage]("kms.usage", 1)
)

// Key is a KMS key.
type Key struct {
	ID          string       `json:"id"`
	ARN         string       `json:"arn"`
	Description string       `json:"description,omitempty"`
	Created     time.Time    `json:"created"`
	Disabled    bool         `json:"disabled,omitempty"`
	Deletion    *time.Time   `json:"deletion,omitempty"` // when the waiting period ends
	Window      int32        `json:"window,omitempty"`   // of the waiting period, in days
	Service     string       `json:"service,omitempty"`  // of an AWS managed key: "secretsmanager"
	Policy      string       `json:"policy"`             // as given
	Bound       authz.Bound  `json:"bound,omitempty"`
	Tags        []kmsapi.Tag `json:"tags,omitempty"`

	// Material is what the key encrypts with, oldest first. The last one
	// encrypts; all decrypt.
	Material     []Material `json:"material"`
	Period       int32      `json:"period,omitempty"` // days between automatic rotations; 0 where they are off
	NextRotation *time.Time `json:"nextRotation,omitempty"`

	compiled atomic.Pointer[policy.Attached]
}

// Material is one generation of a key.
type Material struct {
	ID       string              `json:"id"` // 64 hexadecimal digits
	Created  time.Time           `json:"created"`
	Rotation kmsapi.RotationType `json:"rotation,omitempty"` // how it came to be; none for the first
	Sealed   []byte              `json:"sealed"`
}

// Alias is another name of a key.
type Alias struct {
	Target  string    `json:"target"` // a key id
	Created time.Time `json:"created"`
	Updated time.Time `json:"updated"`
}

// Grant is a permission beside the key policy.
type Grant struct {
	ID          string                   `json:"id"`
	Key         string                   `json:"key"` // a key id
	Name        *string                  `json:"name,omitempty"`
	Created     time.Time                `json:"created"`
	Grantee     Principal                `json:"grantee"`
	Retiring    *Principal               `json:"retiring,omitempty"`
	Issuer      string                   `json:"issuer"` // the account that made the grant
	Operations  []kmsapi.GrantOperation  `json:"operations"`
	Constraints *kmsapi.GrantConstraints `json:"constraints,omitempty"`
}

// Principal is whom a grant names. Whoever is deleted, and created again under
// the same name, is another one.
type Principal struct {
	ARN string `json:"arn"`
	ID  string `json:"id,omitempty"` // the unique id of a user, role or session; none for an account
}

// Usage is when a key was last used, to the day.
type Usage struct {
	Operation kmsapi.KeyLastUsageTrackingOperation `json:"operation"`
	Time      time.Time                            `json:"time"`
	RequestID string                               `json:"requestId"`
}

// gone says that the waiting period has ended: the key does not exist any more,
// even if the loop has not removed it yet.
func (d *Key) gone(now time.Time) bool { return d.Deletion != nil && !now.Before(*d.Deletion) }

// state is the key's state.
// https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html
func (d *Key) state() kmsapi.KeyState {
	switch {
	case d.Deletion != nil:
		return kmsapi.KeyStatePendingDeletion
	case d.Disabled:
		return kmsapi.KeyStateDisabled
	}
	return kmsapi.KeyStateEnabled
}

// newest is the material that encrypts.
func (d *Key) newest() *Material { return &d.Material[len(d.Material)-1] }

// attached is the key policy as it is evaluated, compiled once per document.
func (d *Key) attached() *policy.Attached {
	if a := d.compiled.Load(); a != nil {
		return a
	}
	a := &policy.Attached{Layer: policy.LayerResource, Name: "key policy", ARN: d.ARN, Document: d.Bound.Parse(policy.KindResource, d.Policy)}
	d.compiled.Store(a)
	return a
}

func grantKey(keyID, grantID string) string { return keyID + ":" + grantID }

// remove deletes a key with all that belongs to it, for good.
func remove(tx *store.Tx, d *Key) {
	for name := range aliases.By(tx, tx.Shard(), "key", d.ID) {
		aliases.Delete(tx, name)
	}
	for key := range grants.Prefix(tx, tx.Shard(), d.ID+":") {
		grants.Delete(tx, key)
	}
	usages.Delete(tx, d.ID)
	keys.Delete(tx, d.ID)
}
