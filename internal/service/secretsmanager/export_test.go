package secretsmanager

import (
	"context"

	"github.com/remit-ecs/remit/internal/store"
)

// Sweep is one round of Run.
func Sweep(s *Service, ctx context.Context) error { return s.sweep(ctx) }

// Stored lists the keys of all documents in a shard.
func Stored(st *store.Store, shard string) []string {
	view, keys := st.View(context.Background()), []string{}
	for k := range secrets.Prefix(view, shard, "") {
		keys = append(keys, k)
	}
	for k := range versions.Prefix(view, shard, "") {
		keys = append(keys, k)
	}
	return keys
}
