package kms

import (
	"strconv"
	"time"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/kmsapi"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/gateway"
)

// used notes the day on which a key was used: one write for each key and day,
// so that uses do not wait for each other. A use that writes elsewhere (the
// source of a ReEncrypt from another account) is not noted.
func used(c *gateway.Call, r *ref, op kmsapi.KeyLastUsageTrackingOperation) {
	if r.shard() != c.Home {
		return
	}
	now := c.Time.UTC()
	if u, ok := usages.Get(c.Tx, c.Home, r.id); !ok || u.Time.Truncate(day).Before(now.Truncate(day)) {
		usages.Put(c.Tx, r.id, &Usage{Operation: op, Time: now, RequestID: c.RequestID})
	}
}

// aboutUnused asks with the number of days for which the key has not been used,
// since it was made if never.
func (s *Service) aboutUnused(c *gateway.Call, keyID *string, k conditions) ([]authz.Ask, error) {
	r, err := s.resolveKey(c, keyID)
	if err != nil {
		return nil, err
	}
	if r.doc != nil {
		last := r.doc.Created
		if u, ok := usages.Get(c.Tx, r.shard(), r.id); ok {
			last = u.Time
		}
		k["kms:trailingdayswithoutkeyusage"] = []string{strconv.Itoa(max(0, int(c.Time.Sub(last)/(24*time.Hour))))}
	}
	return []authz.Ask{s.ask(c, c.Op.Action(), r, k)}, nil
}

func (s *Service) mayGetKeyLastUsage(c *gateway.Call, in *kmsapi.GetKeyLastUsageInput) ([]authz.Ask, error) {
	return s.about(c, in.KeyId)
}

// getKeyLastUsage answers to the day: the operation is the first one of the day
// on which the key was last used.
// https://docs.aws.amazon.com/kms/latest/APIReference/API_GetKeyLastUsage.html
func (s *Service) getKeyLastUsage(c *gateway.Call, in *kmsapi.GetKeyLastUsageInput) (*kmsapi.GetKeyLastUsageOutput, error) {
	d, err := s.look(c, in.KeyId)
	if err != nil {
		return nil, err
	}
	out := &kmsapi.GetKeyLastUsageOutput{KeyId: &d.ARN, KeyCreationDate: api.At(d.Created), TrackingStartDate: api.At(d.Created)}
	if u, ok := usages.Get(c.Tx, c.Home, d.ID); ok {
		out.KeyLastUsage = &kmsapi.KeyLastUsageData{Operation: u.Operation, Timestamp: api.At(u.Time), KmsRequestId: &u.RequestID}
	}
	return out, nil
}
