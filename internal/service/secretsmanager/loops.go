package secretsmanager

import (
	"context"
	"time"

	"github.com/remit-ecs/remit/internal/store"
)

// sweepEvery is how late a secret is removed after its recovery window; until
// then it is answered as not existing.
const sweepEvery = time.Minute

// Run removes secrets whose recovery window has ended, until ctx ends. Several
// replicas may do so at once.
func (s *Service) Run(ctx context.Context) {
	for ctx.Err() == nil {
		if err := s.sweep(ctx); err != nil && ctx.Err() == nil {
			s.log.Error("secretsmanager: remove deleted secrets", "error", err)
		}
		if s.clock.Sleep(ctx, sweepEvery) != nil {
			return
		}
	}
}

func (s *Service) sweep(ctx context.Context) error {
	view := s.store.View(ctx)
	for _, shard := range secrets.Shards(view) {
		now, due := s.clock.Now(), false
		for _, d := range secrets.By(view, shard, "deleted", "yes") {
			due = due || d.gone(now)
		}
		if !due {
			continue
		}
		err := s.store.Update(ctx, shard, func(tx *store.Tx) error {
			for _, d := range secrets.By(tx, shard, "deleted", "yes") {
				if d.gone(now) {
					remove(tx, d)
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
