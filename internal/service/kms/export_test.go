package kms

import (
	"context"

	"github.com/remit-ecs/remit/internal/store"
)

// Sweep is one round of Run.
func Sweep(s *Service, ctx context.Context) error { return s.sweep(ctx) }

// Stored lists the keys of all documents of a shard.
func Stored(st *store.Store, shard string) []string {
	var out []string
	view := st.View(context.Background())
	for k := range keys.Prefix(view, shard, "") {
		out = append(out, "key "+k)
	}
	for k := range aliases.Prefix(view, shard, "") {
		out = append(out, k)
	}
	for k := range grants.Prefix(view, shard, "") {
		out = append(out, "grant "+k)
	}
	for k := range usages.Prefix(view, shard, "") {
		out = append(out, "usage "+k)
	}
	return out
}
