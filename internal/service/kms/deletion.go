package kms

import (
	"context"
	"time"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/kmsapi"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/gateway"
	"github.com/remit-ecs/remit/internal/store"
)

const day = 24 * time.Hour

func (s *Service) mayScheduleKeyDeletion(c *gateway.Call, in *kmsapi.ScheduleKeyDeletionInput) ([]authz.Ask, error) {
	return s.aboutUnused(c, in.KeyId, called(c).number("kms:schedulekeydeletionpendingwindowindays", in.PendingWindowInDays))
}

// https://docs.aws.amazon.com/kms/latest/APIReference/API_ScheduleKeyDeletion.html
func (s *Service) scheduleKeyDeletion(c *gateway.Call, in *kmsapi.ScheduleKeyDeletionInput) (*kmsapi.ScheduleKeyDeletionOutput, error) {
	window := int32(30)
	if in.PendingWindowInDays != nil {
		window = *in.PendingWindowInDays
	}
	if window < 7 || window > 30 {
		return nil, api.Validation("PendingWindowInDays must be between 7 and 30 days inclusive.")
	}
	out := &kmsapi.ScheduleKeyDeletionOutput{KeyState: kmsapi.KeyStatePendingDeletion, PendingWindowInDays: &window}
	err := s.change(c, in.KeyId, func(d *Key) error {
		if err := d.notPending(); err != nil {
			return err
		}
		end := c.Time.UTC().Add(time.Duration(window) * day)
		d.Deletion, d.Window = &end, window
		out.KeyId, out.DeletionDate = &d.ARN, api.At(end)
		return nil
	})
	return out, err
}

func (s *Service) mayCancelKeyDeletion(c *gateway.Call, in *kmsapi.CancelKeyDeletionInput) ([]authz.Ask, error) {
	return s.about(c, in.KeyId)
}

// cancelKeyDeletion leaves the key disabled, as AWS does.
// https://docs.aws.amazon.com/kms/latest/APIReference/API_CancelKeyDeletion.html
func (s *Service) cancelKeyDeletion(c *gateway.Call, in *kmsapi.CancelKeyDeletionInput) (*kmsapi.CancelKeyDeletionOutput, error) {
	out := &kmsapi.CancelKeyDeletionOutput{}
	err := s.change(c, in.KeyId, func(d *Key) error {
		if d.Deletion == nil {
			return kmsapi.KMSInvalidStateException("%s is not pending deletion.", d.ARN)
		}
		d.Deletion, d.Window, d.Disabled = nil, 0, true
		out.KeyId = &d.ARN
		return nil
	})
	return out, err
}

// sweepEvery is how late a key is removed after its waiting period, or rotated
// after its day. A key past its waiting period is answered as not existing.
const sweepEvery = time.Minute

// Run removes keys whose waiting period has ended and rotates those that are
// due, until ctx ends. Several replicas may do so at once.
func (s *Service) Run(ctx context.Context) {
	for ctx.Err() == nil {
		if err := s.sweep(ctx); err != nil && ctx.Err() == nil {
			s.Log.Error("kms: remove deleted keys, rotate keys", "error", err)
		}
		if s.Clock.Sleep(ctx, sweepEvery) != nil {
			return
		}
	}
}

func (s *Service) sweep(ctx context.Context) error {
	view := s.Store.View(ctx)
	for _, shard := range keys.Shards(view) {
		now, due := s.Clock.Now(), false
		for _, d := range keys.By(view, shard, "due", "yes") {
			due = due || d.gone(now) || d.rotates(now)
		}
		if !due {
			continue
		}
		err := s.Store.Update(ctx, shard, func(tx *store.Tx) error {
			for _, d := range keys.By(tx, shard, "due", "yes") {
				switch {
				case d.gone(now):
					remove(tx, d)
				case d.rotates(now):
					d, _ := keys.Edit(tx, d.ID)
					s.addMaterial(d, now, kmsapi.RotationTypeAutomatic)
					d.plan(now)
					keys.Put(tx, d.ID, d)
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return view.Err()
}
