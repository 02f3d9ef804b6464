package store_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/remit-ecs/remit/internal/store"
)

func benchEach(b *testing.B, bench func(b *testing.B, s *store.Store)) {
	b.Run("sqlite", func(b *testing.B) {
		bench(b, mustOpen(b, filepath.Join(b.TempDir(), "remit.db"), store.Options{}))
	})
	b.Run("postgres", func(b *testing.B) { bench(b, mustOpen(b, postgresDatabase(b), store.Options{})) })
}

// BenchmarkCommit reads, changes and stores a document of about 500 bytes and an
// audit record, durably, from several writers.
func BenchmarkCommit(b *testing.B) {
	benchEach(b, func(b *testing.B, s *store.Store) {
		for _, writers := range []int{1, 8, 64} {
			b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
				var next atomic.Int64
				var wg sync.WaitGroup
				pad := strings.Repeat("x", 450)
				b.ResetTimer()
				for w := range writers {
					wg.Go(func() {
						for {
							i := next.Add(1)
							if i > int64(b.N) {
								return
							}
							err := s.Update(b.Context(), "a", func(tx *store.Tx) error {
								key := fmt.Sprintf("%d-%d", w, i%100)
								roles.Get(tx, "a", key)
								roles.Put(tx, key, &role{Name: key, Path: pad, N: int(i)})
								tx.Append("audit", []byte(pad))
								return nil
							})
							if err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				wg.Wait()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commits/s")
			})
		}
	})
}

// BenchmarkGet takes a View and reads one document of ten thousand.
func BenchmarkGet(b *testing.B) {
	benchEach(b, func(b *testing.B, s *store.Store) {
		var all []role
		for i := range 10_000 {
			all = append(all, role{Name: fmt.Sprint(i)})
		}
		put(b, s, "a", all...)
		ctx := b.Context()
		b.ReportAllocs()
		b.ResetTimer()
		for i := range b.N {
			if _, ok := roles.Get(s.View(ctx), "a", all[i%len(all)].Name); !ok {
				b.Fatal("missing")
			}
		}
	})
}
