// Package secretsmanager serves AWS Secrets Manager: secrets with versions,
// staging labels, and deletion with a recovery window.
//
// The gateway calls it. Values lie in the store sealed under the installation's
// master key (package seal), each for its own secret and version, or encrypted
// under a customer managed key, which KMS is asked for on the caller's behalf
// (encryption.go). They are opened for GetSecretValue and BatchGetSecretValue
// only. The package never
// writes a value to a log, an error or the trail, does not decide who may read
// one (package authz does), and does not rotate or replicate secrets, which is
// refused rather than ignored.
package secretsmanager

import (
	"log/slog"

	"github.com/remit-ecs/remit/internal/api"
	sm "github.com/remit-ecs/remit/internal/api/secretsmanagerapi"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/clock"
	"github.com/remit-ecs/remit/internal/gateway"
	"github.com/remit-ecs/remit/internal/seal"
	"github.com/remit-ecs/remit/internal/store"
)

// Service serves AWS Secrets Manager.
type Service struct {
	ring  *seal.Keyring
	store *store.Store
	clock clock.Clock
	log   *slog.Logger

	principals authz.Principals
}

// New returns a Service that seals values with ring and asks who of policies'
// principals exist. Register makes it reachable; Run, which uses the rest,
// removes deleted secrets for good.
func New(ring *seal.Keyring, who authz.Principals, st *store.Store, clk clock.Clock, log *slog.Logger) *Service {
	return &Service{ring: ring, store: st, clock: clk, log: log, principals: who}
}

// Register adds the operations to m.
func (s *Service) Register(m *gateway.Mux) {
	gateway.Handle(m, sm.CreateSecret, s.mayCreateSecret, s.createSecret)
	gateway.Handle(m, sm.DescribeSecret, s.mayDescribeSecret, s.describeSecret,
		at(func(in *sm.DescribeSecretInput) *string { return in.SecretId }))
	gateway.Handle(m, sm.UpdateSecret, s.mayUpdateSecret, s.updateSecret,
		at(func(in *sm.UpdateSecretInput) *string { return in.SecretId }))
	gateway.Handle(m, sm.DeleteSecret, s.mayDeleteSecret, s.deleteSecret,
		at(func(in *sm.DeleteSecretInput) *string { return in.SecretId }))
	gateway.Handle(m, sm.RestoreSecret, s.mayRestoreSecret, s.restoreSecret,
		at(func(in *sm.RestoreSecretInput) *string { return in.SecretId }))
	gateway.Handle(m, sm.ListSecrets, s.mayListSecrets, s.listSecrets)

	gateway.Handle(m, sm.GetSecretValue, s.mayGetSecretValue, s.getSecretValue,
		at(func(in *sm.GetSecretValueInput) *string { return in.SecretId }))
	gateway.Handle(m, sm.BatchGetSecretValue, s.mayBatchGetSecretValue, s.batchGetSecretValue)
	gateway.Handle(m, sm.PutSecretValue, s.mayPutSecretValue, s.putSecretValue,
		at(func(in *sm.PutSecretValueInput) *string { return in.SecretId }))
	gateway.Handle(m, sm.ListSecretVersionIds, s.mayListSecretVersionIds, s.listSecretVersionIds,
		at(func(in *sm.ListSecretVersionIdsInput) *string { return in.SecretId }))
	gateway.Handle(m, sm.UpdateSecretVersionStage, s.mayUpdateSecretVersionStage, s.updateSecretVersionStage,
		at(func(in *sm.UpdateSecretVersionStageInput) *string { return in.SecretId }))

	gateway.Handle(m, sm.PutResourcePolicy, s.mayPutResourcePolicy, s.putResourcePolicy,
		at(func(in *sm.PutResourcePolicyInput) *string { return in.SecretId }))
	gateway.Handle(m, sm.GetResourcePolicy, s.mayGetResourcePolicy, s.getResourcePolicy,
		at(func(in *sm.GetResourcePolicyInput) *string { return in.SecretId }))
	gateway.Handle(m, sm.DeleteResourcePolicy, s.mayDeleteResourcePolicy, s.deleteResourcePolicy,
		at(func(in *sm.DeleteResourcePolicyInput) *string { return in.SecretId }))
	gateway.Handle(m, sm.ValidateResourcePolicy, s.mayValidateResourcePolicy, s.validateResourcePolicy,
		at(func(in *sm.ValidateResourcePolicyInput) *string { return in.SecretId }))

	gateway.Handle(m, sm.TagResource, s.mayTagResource, s.tagResource,
		at(func(in *sm.TagResourceInput) *string { return in.SecretId }))
	gateway.Handle(m, sm.UntagResource, s.mayUntagResource, s.untagResource,
		at(func(in *sm.UntagResourceInput) *string { return in.SecretId }))
	gateway.Handle(m, sm.GetRandomPassword, s.mayGetRandomPassword, s.getRandomPassword)
}

// at makes the shard of the secret's account the home: an ARN may name a
// secret of another account.
func at[In any](secretID func(*In) *string) gateway.Option[In] {
	return gateway.In(func(c *gateway.Call, in *In) string {
		r, err := parseID(c.Account, c.Region, api.Value(secretID(in)))
		if err != nil {
			return gateway.Regional(c.Account, c.Region)
		}
		return r.shard(c.Region)
	})
}
