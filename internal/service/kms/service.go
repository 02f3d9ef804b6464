// Package kms serves AWS Key Management Service: symmetric encryption keys with
// their key policies, aliases, grants and rotation, and the operations that
// encrypt and decrypt with them.
//
// The gateway calls it, for users and for the services that go on to KMS on
// their callers' behalf. Key material lies in the store sealed under the
// installation's master key (package seal) and never leaves the package: what
// leaves it are ciphertexts in a format of our own (ciphertext.go), and what
// they hold, to those whom key policy, identity-based policies and grants
// allow. The package does not decide that (package authz does); it says which
// key policy and which grants there are. It writes neither key material nor
// plaintext to a log, an error or the trail.
//
// Asymmetric and HMAC keys, imported key material, custom key stores and keys
// of several regions are refused rather than ignored.
package kms

import (
	"log/slog"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/kmsapi"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/clock"
	"github.com/remit-ecs/remit/internal/gateway"
	"github.com/remit-ecs/remit/internal/seal"
	"github.com/remit-ecs/remit/internal/store"
)

// Config is what a Service is built from.
type Config struct {
	Keys  *seal.Keyring // seals key material and grant tokens
	Store *store.Store
	Clock clock.Clock
	Log   *slog.Logger

	// Principals tells which users and roles key policies and grants name.
	Principals authz.Principals
}

// Service serves AWS KMS.
type Service struct{ Config }

// New returns a Service. Register makes it reachable; Run deletes keys whose
// waiting period has ended, and rotates those that are due.
func New(c Config) *Service { return &Service{c} }

// Register adds the operations to m.
func (s *Service) Register(m *gateway.Mux) {
	gateway.Handle(m, kmsapi.CreateKey, s.mayCreateKey, s.createKey)
	gateway.Handle(m, kmsapi.DescribeKey, s.mayDescribeKey, s.describeKey, at(func(in *kmsapi.DescribeKeyInput) *string { return in.KeyId }))
	gateway.Handle(m, kmsapi.ListKeys, s.mayListKeys, s.listKeys)
	gateway.Handle(m, kmsapi.UpdateKeyDescription, s.mayUpdateKeyDescription, s.updateKeyDescription, at(func(in *kmsapi.UpdateKeyDescriptionInput) *string { return in.KeyId }))
	gateway.Handle(m, kmsapi.EnableKey, s.mayEnableKey, s.enableKey, at(func(in *kmsapi.EnableKeyInput) *string { return in.KeyId }))
	gateway.Handle(m, kmsapi.DisableKey, s.mayDisableKey, s.disableKey, at(func(in *kmsapi.DisableKeyInput) *string { return in.KeyId }))
	gateway.Handle(m, kmsapi.ScheduleKeyDeletion, s.mayScheduleKeyDeletion, s.scheduleKeyDeletion, at(func(in *kmsapi.ScheduleKeyDeletionInput) *string { return in.KeyId }))
	gateway.Handle(m, kmsapi.CancelKeyDeletion, s.mayCancelKeyDeletion, s.cancelKeyDeletion, at(func(in *kmsapi.CancelKeyDeletionInput) *string { return in.KeyId }))
	gateway.Handle(m, kmsapi.GetKeyLastUsage, s.mayGetKeyLastUsage, s.getKeyLastUsage, at(func(in *kmsapi.GetKeyLastUsageInput) *string { return in.KeyId }))

	gateway.Handle(m, kmsapi.PutKeyPolicy, s.mayPutKeyPolicy, s.putKeyPolicy, at(func(in *kmsapi.PutKeyPolicyInput) *string { return in.KeyId }))
	gateway.Handle(m, kmsapi.GetKeyPolicy, s.mayGetKeyPolicy, s.getKeyPolicy, at(func(in *kmsapi.GetKeyPolicyInput) *string { return in.KeyId }))
	gateway.Handle(m, kmsapi.ListKeyPolicies, s.mayListKeyPolicies, s.listKeyPolicies, at(func(in *kmsapi.ListKeyPoliciesInput) *string { return in.KeyId }))

	gateway.Handle(m, kmsapi.CreateAlias, s.mayCreateAlias, s.createAlias)
	gateway.Handle(m, kmsapi.UpdateAlias, s.mayUpdateAlias, s.updateAlias)
	gateway.Handle(m, kmsapi.DeleteAlias, s.mayDeleteAlias, s.deleteAlias)
	gateway.Handle(m, kmsapi.ListAliases, s.mayListAliases, s.listAliases)

	gateway.Handle(m, kmsapi.Encrypt, s.mayEncrypt, s.encrypt, at(func(in *kmsapi.EncryptInput) *string { return in.KeyId }))
	gateway.Handle(m, kmsapi.Decrypt, s.mayDecrypt, s.decrypt, of(func(in *kmsapi.DecryptInput) []byte { return in.CiphertextBlob }))
	gateway.Handle(m, kmsapi.ReEncrypt, s.mayReEncrypt, s.reEncrypt, at(func(in *kmsapi.ReEncryptInput) *string { return in.DestinationKeyId }))
	gateway.Handle(m, kmsapi.GenerateDataKey, s.mayGenerateDataKey, s.generateDataKey, at(func(in *kmsapi.GenerateDataKeyInput) *string { return in.KeyId }))
	gateway.Handle(m, kmsapi.GenerateDataKeyWithoutPlaintext, s.mayGenerateDataKeyWithoutPlaintext, s.generateDataKeyWithoutPlaintext, at(func(in *kmsapi.GenerateDataKeyWithoutPlaintextInput) *string { return in.KeyId }))
	gateway.Handle(m, kmsapi.GenerateRandom, s.mayGenerateRandom, s.generateRandom)

	gateway.Handle(m, kmsapi.CreateGrant, s.mayCreateGrant, s.createGrant, at(func(in *kmsapi.CreateGrantInput) *string { return in.KeyId }))
	gateway.Handle(m, kmsapi.ListGrants, s.mayListGrants, s.listGrants, at(func(in *kmsapi.ListGrantsInput) *string { return in.KeyId }))
	gateway.Handle(m, kmsapi.ListRetirableGrants, s.mayListRetirableGrants, s.listRetirableGrants)
	gateway.Handle(m, kmsapi.RevokeGrant, s.mayRevokeGrant, s.revokeGrant, at(func(in *kmsapi.RevokeGrantInput) *string { return in.KeyId }))
	gateway.Handle(m, kmsapi.RetireGrant, s.mayRetireGrant, s.retireGrant, gateway.In(s.homeOfRetired))

	gateway.Handle(m, kmsapi.EnableKeyRotation, s.mayEnableKeyRotation, s.enableKeyRotation, at(func(in *kmsapi.EnableKeyRotationInput) *string { return in.KeyId }))
	gateway.Handle(m, kmsapi.DisableKeyRotation, s.mayDisableKeyRotation, s.disableKeyRotation, at(func(in *kmsapi.DisableKeyRotationInput) *string { return in.KeyId }))
	gateway.Handle(m, kmsapi.GetKeyRotationStatus, s.mayGetKeyRotationStatus, s.getKeyRotationStatus, at(func(in *kmsapi.GetKeyRotationStatusInput) *string { return in.KeyId }))
	gateway.Handle(m, kmsapi.ListKeyRotations, s.mayListKeyRotations, s.listKeyRotations, at(func(in *kmsapi.ListKeyRotationsInput) *string { return in.KeyId }))
	gateway.Handle(m, kmsapi.RotateKeyOnDemand, s.mayRotateKeyOnDemand, s.rotateKeyOnDemand, at(func(in *kmsapi.RotateKeyOnDemandInput) *string { return in.KeyId }))

	gateway.Handle(m, kmsapi.TagResource, s.mayTagResource, s.tagResource, at(func(in *kmsapi.TagResourceInput) *string { return in.KeyId }))
	gateway.Handle(m, kmsapi.UntagResource, s.mayUntagResource, s.untagResource, at(func(in *kmsapi.UntagResourceInput) *string { return in.KeyId }))
	gateway.Handle(m, kmsapi.ListResourceTags, s.mayListResourceTags, s.listResourceTags, at(func(in *kmsapi.ListResourceTagsInput) *string { return in.KeyId }))
}

// at makes the shard of the key's account the home: an ARN may name a key of
// another account.
func at[In any](keyID func(*In) *string) gateway.Option[In] {
	return gateway.In(func(c *gateway.Call, in *In) string { return homeOf(c, api.Value(keyID(in))) })
}

// of makes the home that of the key which a ciphertext names.
func of[In any](blob func(*In) []byte) gateway.Option[In] {
	return gateway.In(func(c *gateway.Call, in *In) string {
		if h, _, ok := parseCiphertext(blob(in)); ok {
			return gateway.Regional(h.account, c.Region)
		}
		return gateway.Regional(c.Account, c.Region)
	})
}
