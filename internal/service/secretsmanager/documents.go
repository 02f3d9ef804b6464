package secretsmanager

import (
	"cmp"
	"crypto/subtle"
	"maps"
	"slices"
	"time"

	sm "github.com/remit-ecs/remit/internal/api/secretsmanagerapi"
	"github.com/remit-ecs/remit/internal/gateway"
	"github.com/remit-ecs/remit/internal/resourcepolicy"
	"github.com/remit-ecs/remit/internal/store"
)

// The documents of Secrets Manager, in the shard ACCOUNT/REGION:
//
//	secretsmanager.secret   NAME              found by "deleted" while it waits to be removed
//	secretsmanager.version  NAME:VERSION-ID   the sealed value
//
// Which version has which staging label stands in the secret. Names hold no
// colon, so the versions of a secret are the keys that begin with "NAME:".
var (
	secrets = store.NewKind("secretsmanager.secret", 1,
		store.Index[Secret]{Name: "deleted", Keys: func(_ string, d *Secret) []string {
			if d.Removal == nil {
				return nil
			}
			return []string{"yes"}
		}},
	)
	versions = store.NewKind[Version]("secretsmanager.version", 1)
)

// Secret is a secret without its values.
type Secret struct {
	Name        string            `json:"name"`
	ARN         string            `json:"arn"`
	Description *string           `json:"description,omitempty"`
	KmsKeyID    *string           `json:"kmsKeyId,omitempty"` // as given; none for the default key
	Tags        []sm.Tag          `json:"tags,omitempty"`
	Stages      map[string]string `json:"stages,omitempty"` // staging label: version id
	Created     time.Time         `json:"created"`
	Changed     time.Time         `json:"changed"`
	Accessed    *time.Time        `json:"accessed,omitempty"` // the day of the last GetSecretValue
	Deleted     *time.Time        `json:"deleted,omitempty"`  // when DeleteSecret was called
	Removal     *time.Time        `json:"removal,omitempty"`  // when the recovery window ends

	Policy *resourcepolicy.Policy `json:"policy,omitempty"`
}

// Version is one value of a secret.
type Version struct {
	ID      string    `json:"id"` // the ClientRequestToken of the call that made it
	Created time.Time `json:"created"`
	Binary  bool      `json:"binary,omitempty"` // SecretBinary, not SecretString

	// The value, once for each key that it was encrypted with: sealed by us under
	// the default key, and under customer managed keys, the newest first.
	Sealed    []byte      `json:"sealed,omitempty"`
	Encrypted []Encrypted `json:"encrypted,omitempty"`
}

func (d *Secret) gone(now time.Time) bool { return d.Removal != nil && !now.Before(*d.Removal) }

// edit returns a copy to change: documents of the store are shared.
func (d *Secret) edit() *Secret {
	e := *d
	e.Tags = slices.Clone(d.Tags)
	if e.Stages = maps.Clone(d.Stages); e.Stages == nil {
		e.Stages = map[string]string{}
	}
	return &e
}

// labels are the staging labels of a version, in order.
func (d *Secret) labels(versionID string) []string {
	var out []string
	for stage, v := range d.Stages {
		if v == versionID {
			out = append(out, stage)
		}
	}
	slices.Sort(out)
	return out
}

// labelled lists, for each version that has labels, which.
func (d *Secret) labelled() map[string][]string {
	if len(d.Stages) == 0 {
		return nil
	}
	out := map[string][]string{}
	for _, v := range d.Stages {
		if out[v] == nil {
			out[v] = d.labels(v)
		}
	}
	return out
}

func versionKey(name, versionID string) string { return name + ":" + versionID }

// value is what a secret holds: text or bytes.
type value struct {
	plain  []byte
	binary bool
}

// given takes the value out of a request; false where it has none.
func given(text *string, binary []byte) (value, bool, error) {
	switch {
	case text != nil && binary != nil:
		return value{}, false, sm.InvalidParameterException("You can't specify both a binary secret value and a string secret value in the same secret.")
	case text != nil:
		return value{plain: []byte(*text)}, true, nil
	case binary != nil:
		return value{plain: binary, binary: true}, true, nil
	}
	return value{}, false, nil
}

func purpose(secretARN, versionID string) string {
	return "secretsmanager/" + secretARN + "/" + versionID
}

// put stores a new version of d, whose labels the caller sets. It reports false
// where the version exists already with the same value.
func (s *Service) put(c *gateway.Call, d *Secret, versionID string, val value) (bool, error) {
	key := versionKey(d.Name, versionID)
	if old, ok := versions.Get(c.Tx, c.Home, key); ok {
		was, err := s.open(c, d, old)
		if err != nil {
			return false, err
		}
		if was.binary == val.binary && subtle.ConstantTimeCompare(was.plain, val.plain) == 1 {
			return false, nil
		}
		return false, sm.ResourceExistsException("You can't use ClientRequestToken %s because that value is already in use for a version of secret %s.", versionID, d.ARN)
	}
	if err := s.trim(c, d); err != nil {
		return false, err
	}
	v := &Version{ID: versionID, Created: c.Time.UTC(), Binary: val.binary}
	if err := s.encrypt(c, d, v, val.plain); err != nil {
		return false, err
	}
	versions.Put(c.Tx, key, v)
	return true, nil
}

const (
	keptVersions = 100            // AWS keeps the most recent hundred,
	keptFor      = 24 * time.Hour // and all of the last day,
	mostVersions = 500            // up to what Remit keeps at all
)

// trim makes room for a version by removing the oldest ones without labels.
func (s *Service) trim(c *gateway.Call, d *Secret) error {
	all := allVersions(c, d.Name)
	for i := 0; i < len(all) && len(all) >= keptVersions && c.Time.Sub(all[i].Created) >= keptFor; {
		v := all[i]
		if len(d.labels(v.ID)) > 0 {
			i++
			continue
		}
		versions.Delete(c.Tx, versionKey(d.Name, v.ID))
		all = slices.Delete(all, i, i+1)
	}
	if len(all) >= mostVersions {
		return sm.LimitExceededException("The request failed because it would exceed one of the Secrets Manager quotas: versions of a secret within 24 hours.")
	}
	return nil
}

// allVersions lists the versions of a secret, oldest first.
func allVersions(c *gateway.Call, name string) []*Version {
	var all []*Version
	for _, v := range versions.Prefix(c.Tx, c.Home, name+":") {
		all = append(all, v)
	}
	slices.SortFunc(all, func(a, b *Version) int {
		return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID))
	})
	return all
}

// remove deletes a secret and its versions for good.
func remove(tx *store.Tx, d *Secret) {
	for key := range versions.Prefix(tx, tx.Shard(), d.Name+":") {
		versions.Delete(tx, key)
	}
	secrets.Delete(tx, d.Name)
}
