package store_test

import (
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/remit-ecs/remit/internal/store"
)

// TestLogStaysBounded commits much faster than any disk is, and looks whether
// SQLite's write-ahead log is still copied and begun anew.
func TestLogStaysBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("writes 128 MB")
	}
	path := filepath.Join(t.TempDir(), "remit.db")
	s := mustOpen(t, path, store.Options{})
	record := make([]byte, 64<<10)
	var writers sync.WaitGroup
	for range 4 {
		writers.Go(func() {
			for range 512 {
				if err := s.AppendUnsynced(t.Context(), "events", record); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	writers.Wait()
	log, err := os.Stat(path + "-wal")
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("128 MB of records: the log has %d MB", log.Size()>>20)
	// A commit that finds 64 MB copies the rest; up to 8 MB come in one commit.
	if log.Size() > 96<<20 {
		t.Errorf("the log has %d MB", log.Size()>>20)
	}
}
