package ecr

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/remit-ecs/remit/internal/blob"
	"github.com/remit-ecs/remit/internal/store"
)

const (
	sweepEvery = time.Hour
	uploadLife = 24 * time.Hour // since the upload began, or last grew
)

// Run sweeps every hour until ctx ends.
func (s *Service) Run(ctx context.Context, log *slog.Logger) {
	for s.Clock.Sleep(ctx, sweepEvery) == nil {
		if err := s.Sweep(ctx); err != nil && ctx.Err() == nil {
			log.Warn("sweep of the image registry", "error", err)
		}
	}
}

// Sweep removes uploads that were given up and layers that no image has had
// for a day. It deletes no bytes of layers: those go when nothing refers to
// them (Live).
func (s *Service) Sweep(ctx context.Context) error {
	now := s.Clock.Now()
	v := s.Store.View(ctx)
	if v.Err() != nil {
		return v.Err()
	}
	var errs []error
	for _, shard := range layers.Shards(v) {
		errs = append(errs, s.Store.Update(ctx, shard, func(tx *store.Tx) error {
			sweepLayers(tx, shard, now)
			return nil
		}))
	}
	grown, err := s.Blobs.Uploads()
	errs = append(errs, err)
	for _, shard := range uploads.Shards(v) {
		errs = append(errs, s.Store.Update(ctx, shard, func(tx *store.Tx) error {
			sweepUploads(tx, shard, now, grown)
			return nil
		}))
	}
	return errors.Join(append(errs, s.abandon(ctx))...)
}

func sweepLayers(tx *store.Tx, shard string, now time.Time) {
	account, region, _ := strings.Cut(shard, "/")
	for key, l := range layers.Prefix(tx, shard, "") {
		name, d, _ := strings.Cut(key, "@")
		r := ref{account, region, name}
		if now.Sub(l.Used) >= orphanLife && !r.hasImage(tx, blob.Digest(d)) {
			layers.Delete(tx, key)
		}
	}
}

func sweepUploads(tx *store.Tx, shard string, now time.Time, grown map[string]time.Time) {
	for key, u := range uploads.Prefix(tx, shard, "") {
		_, id, _ := strings.Cut(key, ":")
		used := u.Started
		if at, ok := grown[bytesPrefix+id]; ok && at.After(used) {
			used = at
		}
		if now.Sub(used) >= uploadLife {
			uploads.Delete(tx, key)
		}
	}
}

// abandon deletes the bytes of uploads that have no document.
func (s *Service) abandon(ctx context.Context) error {
	ids, err := s.Blobs.Uploads() // before the documents are read: no upload's document is younger than its bytes
	if err != nil {
		return err
	}
	v := s.Store.View(ctx)
	if v.Err() != nil {
		return v.Err()
	}
	wanted := map[string]bool{}
	for _, shard := range uploads.Shards(v) {
		for key := range uploads.Prefix(v, shard, "") {
			_, id, _ := strings.Cut(key, ":")
			wanted[id] = true
		}
	}
	s.mu.Lock()
	for id := range s.finished {
		if !wanted[id] {
			delete(s.finished, id)
		}
	}
	s.mu.Unlock()
	var errs []error
	for name := range ids {
		id, ours := strings.CutPrefix(name, bytesPrefix)
		if !ours || wanted[id] {
			continue
		}
		u, err := s.Blobs.Upload(name)
		if err == nil {
			err = u.Abort()
		}
		if !errors.Is(err, blob.ErrNotFound) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
