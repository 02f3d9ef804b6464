package store_test

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/remit-ecs/remit/internal/store"
)

// manualClock stands where it is put.
type manualClock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *manualClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *manualClock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func newClock() *manualClock {
	return &manualClock{now: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)}
}

func TestLeases(t *testing.T) {
	each(t, func(t *testing.T, open func(store.Options) *store.Store) {
		c := newClock()
		s := open(store.Options{Clock: c})
		ctx := t.Context()
		fenced := func(l *store.Lease) error {
			tx := s.Begin(ctx, "a")
			tx.Fence(l)
			notes.Put(tx, "n", &note{"by the holder"})
			return tx.Commit(ctx)
		}
		a, err := s.Lease(ctx, "loop", "a", time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Lease(ctx, "loop", "b", time.Minute); !errors.Is(err, store.ErrHeld) {
			t.Errorf("taken while held: %v", err)
		}
		if _, err := s.Lease(ctx, "other loop", "b", time.Minute); err != nil {
			t.Error(err)
		}
		c.advance(50 * time.Second)
		if err := a.Renew(ctx); err != nil {
			t.Error(err)
		}
		c.advance(50 * time.Second)
		if _, err := s.Lease(ctx, "loop", "b", time.Minute); !errors.Is(err, store.ErrHeld) {
			t.Errorf("taken after a renewal: %v", err)
		}
		if err := fenced(a); err != nil {
			t.Errorf("commit by the holder: %v", err)
		}
		c.advance(time.Minute)
		if err := fenced(a); err != nil {
			t.Errorf("run out but not taken over, a commit is harmless: %v", err)
		}
		b, err := s.Lease(ctx, "loop", "b", time.Minute)
		if err != nil {
			t.Fatalf("run out: %v", err)
		}
		if b.Epoch() <= a.Epoch() {
			t.Errorf("epochs %d, %d", a.Epoch(), b.Epoch())
		}
		for name, err := range map[string]error{"commit": fenced(a), "renew": a.Renew(ctx), "release": a.Release(ctx)} {
			if !errors.Is(err, store.ErrFenced) {
				t.Errorf("%s by the old holder: %v", name, err)
			}
		}
		if err := s.Reset(ctx); err != nil {
			t.Fatal(err)
		}
		if err := fenced(b); err != nil {
			t.Errorf("leases should survive a reset: %v", err)
		}
		if err := b.Release(ctx); err != nil {
			t.Error(err)
		}
		if err := fenced(b); !errors.Is(err, store.ErrFenced) {
			t.Errorf("commit after release: %v", err)
		}
		if _, err := s.Lease(ctx, "loop", "c", time.Minute); err != nil {
			t.Errorf("released: %v", err)
		}
	})
}

func TestRestartFreesLeases(t *testing.T) {
	path := filepath.Join(t.TempDir(), "remit.db")
	s := mustOpen(t, path, store.Options{})
	if _, err := s.Lease(t.Context(), "loop", "before", time.Hour); err != nil {
		t.Fatal(err)
	}
	s.Close()
	s = mustOpen(t, path, store.Options{})
	if _, err := s.Lease(t.Context(), "loop", "after", time.Hour); err != nil {
		t.Errorf("the only process that could hold it is gone: %v", err)
	}
}

func TestStreams(t *testing.T) {
	each(t, func(t *testing.T, open func(store.Options) *store.Store) {
		s := open(store.Options{})
		ctx := t.Context()
		rec := func(i int) []byte { return fmt.Appendf(nil, "record %d", i) }
		n := 0
		for size := 1; size <= 5; size++ { // segments of 1 to 5 records: 15
			var batch [][]byte
			for range size {
				n++
				batch = append(batch, rec(n))
			}
			if err := s.Append(ctx, "logs/a", batch...); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Append(ctx, "logs/b", nil, []byte{0, 0xff}); err != nil {
			t.Fatal(err)
		}
		if err := s.Append(ctx, "audit", rec(1)); err != nil {
			t.Fatal(err)
		}
		seqs := func(recs []store.Record, err error) []int64 {
			t.Helper()
			if err != nil {
				t.Error(err)
			}
			var out []int64
			for _, r := range recs {
				out = append(out, r.Seq)
				if !bytes.Equal(r.Data, rec(int(r.Seq))) {
					t.Errorf("record %d is %q", r.Seq, r.Data)
				}
			}
			return out
		}
		span := func(from, to int64) (out []int64) {
			for i := from; i <= to; i++ {
				out = append(out, i)
			}
			if from > to {
				for i := from; i >= to; i-- {
					out = append(out, i)
				}
			}
			return out
		}
		for after := int64(0); after <= 15; after++ {
			for _, limit := range []int{1, 2, 4, 100} {
				want := span(after+1, min(15, after+int64(limit)))
				if after == 15 {
					want = nil
				}
				if got := seqs(s.ReadStream(ctx, "logs/a", after, limit)); !slices.Equal(got, want) {
					t.Errorf("after %d, limit %d: %v", after, limit, got)
				}
				before := after + 1
				want = nil
				for i := before - 1; i >= 1 && len(want) < limit; i-- {
					want = append(want, i)
				}
				if got := seqs(s.ReadStreamBackward(ctx, "logs/a", before, limit)); !slices.Equal(got, want) {
					t.Errorf("before %d, limit %d: %v, want %v", before, limit, got, want)
				}
			}
		}
		if got := seqs(s.ReadStreamBackward(ctx, "logs/a", 0, 3)); !slices.Equal(got, []int64{15, 14, 13}) {
			t.Errorf("newest: %v", got)
		}
		if recs, err := s.ReadStream(ctx, "logs/b", 0, 9); err != nil || len(recs) != 2 || len(recs[0].Data) != 0 || !bytes.Equal(recs[1].Data, []byte{0, 0xff}) {
			t.Errorf("odd records: %v, %v", recs, err)
		}
		if recs, err := s.ReadStream(ctx, "never", 0, 9); err != nil || recs != nil {
			t.Errorf("never written: %v, %v", recs, err)
		}
		if names, err := s.Streams(ctx, "logs/"); err != nil || !slices.Equal(names, []string{"logs/a", "logs/b"}) {
			t.Errorf("Streams = %q, %v", names, err)
		}
		// Segments end at 1, 3, 6, 10, 15.
		if err := s.TrimStream(ctx, "logs/a", 8); err != nil {
			t.Fatal(err)
		}
		if got := seqs(s.ReadStream(ctx, "logs/a", 0, 100)); !slices.Equal(got, span(7, 15)) {
			t.Errorf("trimmed: %v", got)
		}
		if err := s.TrimStreamBefore(ctx, "logs/a", time.Now().Add(-time.Hour)); err != nil {
			t.Fatal(err)
		}
		if got := seqs(s.ReadStream(ctx, "logs/a", 0, 100)); !slices.Equal(got, span(7, 15)) {
			t.Errorf("nothing is an hour old: %v", got)
		}
		if err := s.TrimStreamBefore(ctx, "audit", time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		if got := seqs(s.ReadStream(ctx, "audit", 0, 100)); got != nil {
			t.Errorf("trimmed by age: %v", got)
		}
		if err := s.DeleteStream(ctx, "logs/b"); err != nil {
			t.Fatal(err)
		}
		if names, err := s.Streams(ctx, ""); err != nil || !slices.Equal(names, []string{"audit", "logs/a"}) {
			t.Errorf("Streams = %q, %v", names, err)
		}
		if err := s.TrimStream(ctx, "logs/a", 1000); err != nil {
			t.Fatal(err)
		}
		s.Close()
		s = open(store.Options{})
		if err := s.Append(ctx, "logs/a", rec(16)); err != nil {
			t.Fatal(err)
		}
		if got := seqs(s.ReadStream(ctx, "logs/a", 0, 100)); !slices.Equal(got, []int64{16}) {
			t.Errorf("numbering after everything was trimmed: %v", got)
		}
	})
}

func TestConcurrentAppendsKeepOrder(t *testing.T) {
	each(t, func(t *testing.T, open func(store.Options) *store.Store) {
		s := open(store.Options{})
		var wg sync.WaitGroup
		for w := range 8 {
			wg.Go(func() {
				for i := range 25 {
					appendTo := s.Append
					if i%2 == 0 {
						appendTo = s.AppendUnsynced
					}
					if err := appendTo(t.Context(), "s", fmt.Appendf(nil, "%d %02d", w, i)); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		recs, err := s.ReadStream(t.Context(), "s", 0, 1000)
		if err != nil || len(recs) != 200 {
			t.Fatalf("%d records, %v", len(recs), err)
		}
		last := make(map[byte]string)
		for i, r := range recs {
			if r.Seq != int64(i+1) {
				t.Errorf("record %d has number %d", i, r.Seq)
			}
			if w := r.Data[0]; string(r.Data) <= last[w] {
				t.Errorf("%q after %q", r.Data, last[w])
			} else {
				last[w] = string(r.Data)
			}
		}
	})
}

func TestWake(t *testing.T) {
	each(t, func(t *testing.T, open func(store.Options) *store.Store) {
		s := open(store.Options{})
		ch, stop := s.Wake(roles.Name())
		defer stop()
		all, stopAll := s.Wake()
		defer stopAll()
		if err := s.Update(t.Context(), "a", func(tx *store.Tx) error { notes.Put(tx, "n", &note{}); return nil }); err != nil {
			t.Fatal(err)
		}
		select {
		case <-ch:
			t.Error("woken by another kind")
		case <-all:
		}
		for i := range 5 {
			put(t, s, "a", role{Name: fmt.Sprint(i)})
		}
		<-ch // one wake-up, and everything is in sight
		if got := keys(roles.Prefix(s.View(t.Context()), "a", "")); len(got) != 5 {
			t.Errorf("woken, and saw %q", got)
		}
		if s.Append(t.Context(), "s", nil); len(ch) != 0 {
			t.Error("more than one wake-up was kept")
		}
		stop()
		put(t, s, "a", role{Name: "x"})
		if len(ch) != 0 {
			t.Error("woken after stop")
		}
	})
}

func TestTailAndTrim(t *testing.T) {
	each(t, func(t *testing.T, open func(store.Options) *store.Store) {
		c := newClock()
		// The store trims by itself too, now and then: the age leaves it nothing yet.
		s := open(store.Options{Clock: c, JournalAge: 3 * time.Hour})
		ctx := t.Context()
		put(t, s, "a", role{Name: "x"}, role{Name: "y"})
		put(t, s, "b", role{Name: "elsewhere"})
		if err := s.Update(ctx, "a", func(tx *store.Tx) error { roles.Delete(tx, "x"); return nil }); err != nil {
			t.Fatal(err)
		}
		c.advance(2 * time.Hour)
		put(t, s, "a", role{Name: "z"})
		show := func(changes []store.Change, err error) string {
			if err != nil {
				return err.Error()
			}
			var out []string
			for _, c := range changes {
				op := "+"
				if c.Deleted {
					op = "-"
				}
				if c.Deleted != (c.Body == nil) || c.Kind != roles.Name() || c.Shard != "a" {
					t.Errorf("%+v", c)
				}
				out = append(out, fmt.Sprint(c.Rev, op, c.Key))
			}
			return strings.Join(out, " ")
		}
		for _, q := range []struct {
			after int64
			limit int
			want  string
		}{
			{0, 0, "1+x 1+y 2-x 3+z"}, {0, 1, "1+x 1+y"}, {0, 2, "1+x 1+y"}, {0, 3, "1+x 1+y 2-x"}, {1, 1, "2-x"}, {2, 9, "3+z"}, {3, 9, ""},
		} {
			if got := show(s.Tail(ctx, "a", q.after, q.limit)); got != q.want {
				t.Errorf("Tail(%d, %d) = %s, want %s", q.after, q.limit, got, q.want)
			}
		}
		c.advance(2 * time.Hour)
		if err := s.TrimJournal(ctx); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Tail(ctx, "a", 1, 0); !errors.Is(err, store.ErrTrimmed) {
			t.Errorf("trimmed by age: %v", err)
		}
		if got := show(s.Tail(ctx, "a", 2, 0)); got != "3+z" {
			t.Errorf("what is young remains: %s", got)
		}
		s.Close()
		s = open(store.Options{Clock: c, JournalRows: 3})
		if got := keys(roles.Prefix(s.View(ctx), "a", "")); !slices.Equal(got, []string{"y", "z"}) {
			t.Errorf("documents after trimming: %q", got)
		}
		for i := range 10 {
			put(t, s, "a", role{Name: fmt.Sprint(i)})
		}
		if err := s.TrimJournal(ctx); err != nil {
			t.Fatal(err)
		}
		if got := show(s.Tail(ctx, "a", 10, 0)); got != "11+7 12+8 13+9" {
			t.Errorf("trimmed by number: %s", got)
		}
	})
}

func TestReset(t *testing.T) {
	each(t, func(t *testing.T, open func(store.Options) *store.Store) {
		s := open(store.Options{})
		ctx := t.Context()
		put(t, s, "a", role{Name: "x"})
		put(t, s, "b", role{Name: "x"})
		if err := s.Append(ctx, "s", []byte("r")); err != nil {
			t.Fatal(err)
		}
		stale := s.Begin(ctx, "a")
		roles.Get(stale, "a", "x")
		roles.Put(stale, "x", &role{Name: "back from the dead"})
		ch, stop := s.Wake(roles.Name())
		defer stop()
		if err := s.Reset(ctx); err != nil {
			t.Fatal(err)
		}
		<-ch
		put(t, s, "a", role{Name: "x"})
		if err := stale.Commit(ctx); !errors.Is(err, store.ErrConflict) {
			t.Errorf("a Tx from before the reset: %v", err)
		}
		for range 2 {
			v := s.View(ctx)
			if got := roles.Shards(v); !slices.Equal(got, []string{"a"}) {
				t.Errorf("shards %q", got)
			}
			if recs, err := s.ReadStream(ctx, "s", 0, 9); err != nil || len(recs) != 0 {
				t.Errorf("records %v, %v", recs, err)
			}
			s.Close()
			s = open(store.Options{})
		}
	})
}

// rawSQL changes a database behind the store's back.
func rawSQL(t *testing.T, path string, statements ...string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, st := range statements {
		if _, err := db.Exec(st); err != nil {
			t.Fatal(err)
		}
	}
}

type grown struct{ Full string }

var upgraded = store.NewKind[grown]("test.upgraded", 3).WithUpgrade(func(from int, body []byte) ([]byte, error) {
	if from != 2 {
		return nil, fmt.Errorf("no way from version %d", from)
	}
	return bytes.Replace(body, []byte(`"Name"`), []byte(`"Full"`), 1), nil
})

func TestOlderNewerForeignAndBrokenDocuments(t *testing.T) {
	insert := func(kind string, version int, body string) string {
		return fmt.Sprintf(`INSERT INTO doc (shard, kind, key, rev, version, body) VALUES ('a', '%s', 'k', 1, %d, '%s')`, kind, version, body)
	}
	for name, c := range map[string]struct{ row, want string }{
		"foreign kind": {insert("of.another.program", 7, "not even JSON"), ""},
		"older":        {insert("test.upgraded", 2, `{"Name":"n"}`), ""},
		"too old":      {insert("test.upgraded", 1, `{"Name":"n"}`), "no way from version 1"},
		"newer":        {insert("test.upgraded", 4, `{"Full":"n"}`), "newer program"},
		"broken":       {insert("test.upgraded", 3, `{"Full":`), `test.upgraded "k" in shard "a" cannot be read`},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "remit.db")
			mustOpen(t, path, store.Options{}).Close()
			rawSQL(t, path, `INSERT INTO seq VALUES ('a', 1, 0)`, c.row)
			s, err := store.Open(t.Context(), path, store.Options{})
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("Open: %v, want %q", err, c.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if g, ok := upgraded.Get(s.View(t.Context()), "a", "k"); name == "older" && (!ok || g.Full != "n") {
				t.Errorf("upgraded to %v, %v", g, ok)
			}
			put(t, s, "a", role{Name: "r"})
			s.Close()
			db, err := sql.Open("sqlite", path)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			var n int
			if err := db.QueryRow(`SELECT count(*) FROM doc WHERE key = 'k'`).Scan(&n); err != nil || n != 1 {
				t.Errorf("the document is gone: %d, %v", n, err)
			}
		})
	}
}

func TestOpenRefusesUnknownURL(t *testing.T) {
	_, err := store.Open(t.Context(), "mysql://user:secret@host/db", store.Options{})
	if err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("Open: %v", err)
	}
	_, err = store.Open(t.Context(), "postgres://user:secret@localhost:notaport/db", store.Options{})
	if err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("Open: %v", err)
	}
}

func FuzzSplitRecords(f *testing.F) {
	f.Add([]byte{})
	f.Add(store.AppendRecords(nil, [][]byte{[]byte("a"), nil, make([]byte, 300)}))
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01})
	f.Fuzz(func(t *testing.T, body []byte) {
		recs, err := store.SplitRecords(body)
		if err != nil {
			return
		}
		again, err := store.SplitRecords(store.AppendRecords(nil, recs))
		if err != nil || !slices.EqualFunc(recs, again, bytes.Equal) {
			t.Errorf("%q became %q, %v", recs, again, err)
		}
	})
}
