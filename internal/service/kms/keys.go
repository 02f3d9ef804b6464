package kms

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/kmsapi"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/gateway"
	"github.com/remit-ecs/remit/internal/id"
)

func (s *Service) mayCreateKey(c *gateway.Call, in *kmsapi.CreateKeyInput) ([]authz.Ask, error) {
	k := called(c).requestTags(in.Tags).
		flag("kms:bypasspolicylockoutsafetycheck", api.Value(in.BypassPolicyLockoutSafetyCheck)).
		flag("kms:multiregion", api.Value(in.MultiRegion)).
		text("kms:keyorigin", or(string(in.Origin), string(kmsapi.OriginTypeAwsKms))).
		text("kms:keyspec", or(or(string(in.KeySpec), string(in.CustomerMasterKeySpec)), string(kmsapi.KeySpecSymmetricDefault))).
		text("kms:keyusage", or(string(in.KeyUsage), string(kmsapi.KeyUsageTypeEncryptDecrypt)))
	return []authz.Ask{{Action: "kms:CreateKey", Resource: "*", Account: c.Account, Keys: k}}, nil
}

func or(v, otherwise string) string {
	if v == "" {
		return otherwise
	}
	return v
}

// https://docs.aws.amazon.com/kms/latest/APIReference/API_CreateKey.html
func (s *Service) createKey(c *gateway.Call, in *kmsapi.CreateKeyInput) (*kmsapi.CreateKeyOutput, error) {
	if err := onlySymmetric(in); err != nil {
		return nil, err
	}
	keyID := id.UUID(c.IDs)
	d := &Key{
		ID: keyID, ARN: kmsARN(c.Account, c.Region, "key/"+keyID), Description: api.Value(in.Description), Created: c.Time.UTC(),
		Policy: defaultPolicy(c.Account),
	}
	if len(in.Tags) > 0 {
		// Only now is there an ARN to ask about.
		k := called(c).requestTags(in.Tags)
		if err := c.Ask(authz.Ask{Action: "kms:TagResource", Resource: d.ARN, Account: c.Account, Keys: k, Refuse: refuse}); err != nil {
			return nil, err
		}
		if err := d.addTags(in.Tags); err != nil {
			return nil, err
		}
	}
	if in.Policy != nil {
		if err := s.setPolicy(c, d, *in.Policy, api.Value(in.BypassPolicyLockoutSafetyCheck)); err != nil {
			return nil, err
		}
	}
	s.addMaterial(d, c.Time, "")
	keys.Put(c.Tx, d.ID, d)
	return &kmsapi.CreateKeyOutput{KeyMetadata: d.metadata(c.Account)}, nil
}

// onlySymmetric refuses what Remit does not serve.
func onlySymmetric(in *kmsapi.CreateKeyInput) error {
	symmetric := string(kmsapi.KeySpecSymmetricDefault)
	switch {
	case in.KeySpec != "" && in.CustomerMasterKeySpec != "":
		return api.Validation("You cannot specify KeySpec and CustomerMasterKeySpec in the same request. CustomerMasterKeySpec is deprecated.")
	case or(string(in.KeySpec), symmetric) != symmetric, or(string(in.CustomerMasterKeySpec), symmetric) != symmetric:
		return kmsapi.UnsupportedOperationException("Remit serves symmetric encryption keys alone: KeySpec has to be absent or SYMMETRIC_DEFAULT.")
	case in.KeyUsage != "" && in.KeyUsage != kmsapi.KeyUsageTypeEncryptDecrypt:
		return api.Validation("KeyUsage " + string(in.KeyUsage) + " is not compatible with KeySpec SYMMETRIC_DEFAULT")
	case in.Origin != "" && in.Origin != kmsapi.OriginTypeAwsKms, in.CustomKeyStoreId != nil, in.XksKeyId != nil:
		return kmsapi.UnsupportedOperationException("Remit makes key material itself: Origin has to be absent or AWS_KMS, and there are no custom key stores.")
	case api.Value(in.MultiRegion):
		return kmsapi.UnsupportedOperationException("Remit does not replicate keys: MultiRegion has to be absent or false.")
	}
	return nil
}

// addMaterial gives a key new material, with which it encrypts from now on.
func (s *Service) addMaterial(d *Key, now time.Time, how kmsapi.RotationType) {
	var name, secret [materialSize]byte
	rand.Read(name[:])
	rand.Read(secret[:])
	m := Material{ID: hex.EncodeToString(name[:]), Created: now.UTC(), Rotation: how}
	m.Sealed = s.Keys.Seal(purpose(d, &m), secret[:])
	d.Material = append(d.Material, m)
}

// secret opens a generation of a key's material.
func (s *Service) secret(d *Key, m *Material) ([]byte, error) {
	b, err := s.Keys.Open(purpose(d, m), m.Sealed)
	if err != nil {
		return nil, kmsapi.KeyUnavailableException("The request was rejected because the key material of %s cannot be read.", d.ARN).
			Because(fmt.Errorf("material %s of %s: %w", m.ID, d.ARN, err))
	}
	return b, nil
}

func purpose(d *Key, m *Material) string { return "kms/" + d.ARN + "/" + m.ID }

func (s *Service) mayDescribeKey(c *gateway.Call, in *kmsapi.DescribeKeyInput) ([]authz.Ask, error) {
	r, err := s.resolve(c, in.KeyId)
	if err != nil {
		return nil, err
	}
	a := s.ask(c, "kms:DescribeKey", r, called(c).text("kms:requestalias", r.alias))
	return s.withGrants(c, a, r, kmsapi.GrantOperationDescribeKey, nil, in.GrantTokens)
}

// https://docs.aws.amazon.com/kms/latest/APIReference/API_DescribeKey.html
func (s *Service) describeKey(c *gateway.Call, in *kmsapi.DescribeKeyInput) (*kmsapi.DescribeKeyOutput, error) {
	r, err := s.resolve(c, in.KeyId)
	if err != nil {
		return nil, err
	}
	d, err := s.key(c, r)
	if err != nil {
		return nil, err
	}
	return &kmsapi.DescribeKeyOutput{KeyMetadata: d.metadata(r.account)}, nil
}

func (d *Key) metadata(account string) *kmsapi.KeyMetadata {
	state := d.state()
	m := &kmsapi.KeyMetadata{
		AWSAccountId: &account, KeyId: &d.ID, Arn: &d.ARN, CreationDate: api.At(d.Created), Description: &d.Description,
		Enabled: api.Ptr(state == kmsapi.KeyStateEnabled), KeyState: state,
		KeyUsage: kmsapi.KeyUsageTypeEncryptDecrypt, Origin: kmsapi.OriginTypeAwsKms, KeyManager: kmsapi.KeyManagerTypeCustomer,
		KeySpec: kmsapi.KeySpecSymmetricDefault, CustomerMasterKeySpec: kmsapi.CustomerMasterKeySpecSymmetricDefault,
		EncryptionAlgorithms: []kmsapi.EncryptionAlgorithmSpec{kmsapi.EncryptionAlgorithmSpecSymmetricDefault},
		MultiRegion:          api.Ptr(false), CurrentKeyMaterialId: &d.newest().ID,
	}
	if d.Service != "" {
		m.KeyManager = kmsapi.KeyManagerTypeAws
	}
	if d.Deletion != nil {
		m.DeletionDate = api.At(*d.Deletion)
	}
	return m
}

func (s *Service) mayListKeys(*gateway.Call, *kmsapi.ListKeysInput) ([]authz.Ask, error) {
	return []authz.Ask{{Action: "kms:ListKeys", Resource: "*"}}, nil
}

// https://docs.aws.amazon.com/kms/latest/APIReference/API_ListKeys.html
func (s *Service) listKeys(c *gateway.Call, in *kmsapi.ListKeysInput) (*kmsapi.ListKeysOutput, error) {
	p, err := page(c, in.Limit, in.Marker, 100, 1000)
	if err != nil {
		return nil, err
	}
	out := &kmsapi.ListKeysOutput{Keys: []kmsapi.KeyListEntry{}}
	for keyID, d := range keys.From(c.Tx, c.Home, p.after) {
		if d.gone(c.Time) {
			continue
		}
		if p.full(keyID) {
			break
		}
		out.Keys = append(out.Keys, kmsapi.KeyListEntry{KeyId: &d.ID, KeyArn: &d.ARN})
	}
	out.NextMarker, out.Truncated = p.end(c)
	return out, nil
}

func (s *Service) mayUpdateKeyDescription(c *gateway.Call, in *kmsapi.UpdateKeyDescriptionInput) ([]authz.Ask, error) {
	return s.about(c, in.KeyId)
}

// https://docs.aws.amazon.com/kms/latest/APIReference/API_UpdateKeyDescription.html
func (s *Service) updateKeyDescription(c *gateway.Call, in *kmsapi.UpdateKeyDescriptionInput) (*kmsapi.UpdateKeyDescriptionOutput, error) {
	err := s.change(c, in.KeyId, func(d *Key) error {
		d.Description = api.Value(in.Description)
		return d.notPending()
	})
	return &kmsapi.UpdateKeyDescriptionOutput{}, err
}

func (s *Service) mayEnableKey(c *gateway.Call, in *kmsapi.EnableKeyInput) ([]authz.Ask, error) {
	return s.about(c, in.KeyId)
}

// https://docs.aws.amazon.com/kms/latest/APIReference/API_EnableKey.html
func (s *Service) enableKey(c *gateway.Call, in *kmsapi.EnableKeyInput) (*kmsapi.EnableKeyOutput, error) {
	err := s.change(c, in.KeyId, func(d *Key) error {
		d.Disabled = false
		return d.notPending()
	})
	return &kmsapi.EnableKeyOutput{}, err
}

func (s *Service) mayDisableKey(c *gateway.Call, in *kmsapi.DisableKeyInput) ([]authz.Ask, error) {
	return s.aboutUnused(c, in.KeyId, called(c))
}

// https://docs.aws.amazon.com/kms/latest/APIReference/API_DisableKey.html
func (s *Service) disableKey(c *gateway.Call, in *kmsapi.DisableKeyInput) (*kmsapi.DisableKeyOutput, error) {
	err := s.change(c, in.KeyId, func(d *Key) error {
		d.Disabled = true
		return d.notPending()
	})
	return &kmsapi.DisableKeyOutput{}, err
}

// change changes a key of a request that was authorised.
func (s *Service) change(c *gateway.Call, keyID *string, f func(*Key) error) error {
	r, err := s.resolveKey(c, keyID)
	if err != nil {
		return err
	}
	if _, err := s.key(c, r); err != nil {
		return err
	}
	d, _ := keys.Edit(c.Tx, r.id)
	if err := f(d); err != nil {
		return err
	}
	keys.Put(c.Tx, d.ID, d)
	return nil
}

// look returns the key of a request that was authorised.
func (s *Service) look(c *gateway.Call, keyID *string) (*Key, error) {
	r, err := s.resolveKey(c, keyID)
	if err != nil {
		return nil, err
	}
	return s.key(c, r)
}

// notPending refuses what cannot be done to a key that waits to be deleted.
// https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html#key-state-table
func (d *Key) notPending() error {
	if d.Deletion != nil {
		return kmsapi.KMSInvalidStateException("%s is pending deletion.", d.ARN)
	}
	return nil
}

// enabled refuses what can be done to enabled keys only.
func (d *Key) enabled() error {
	if d.Deletion == nil && d.Disabled {
		return kmsapi.DisabledException("%s is disabled.", d.ARN)
	}
	return d.notPending()
}
