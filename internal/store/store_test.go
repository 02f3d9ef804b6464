package store_test

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/remit-ecs/remit/internal/store"
)

type role struct {
	Name string
	Path string
	N    int
	Tags []string
}

var roles = store.NewKind[role]("test.role", 1,
	store.Index[role]{Name: "path", Keys: func(_ string, r *role) []string { return []string{r.Path} }},
	store.Index[role]{Name: "tag", Keys: func(_ string, r *role) []string { return r.Tags }},
)

type note struct{ Text string }

var notes = store.NewKind[note]("test.note", 1)

// each runs a test on both databases.
func each(t *testing.T, test func(t *testing.T, open func(store.Options) *store.Store)) {
	t.Run("sqlite", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "remit.db")
		test(t, func(o store.Options) *store.Store { return mustOpen(t, path, o) })
	})
	t.Run("postgres", func(t *testing.T) {
		url := postgresDatabase(t)
		test(t, func(o store.Options) *store.Store { return mustOpen(t, url, o) })
	})
}

func mustOpen(t testing.TB, url string, o store.Options) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), url, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func put(t testing.TB, s *store.Store, shard string, rs ...role) {
	t.Helper()
	err := s.Update(t.Context(), shard, func(tx *store.Tx) error {
		for _, r := range rs {
			roles.Put(tx, r.Name, &r)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func keys[T any](seq func(func(string, *T) bool)) []string {
	var out []string
	for k := range seq {
		out = append(out, k)
	}
	return out
}

func TestDocuments(t *testing.T) {
	each(t, func(t *testing.T, open func(store.Options) *store.Store) {
		s := open(store.Options{})
		ctx := t.Context()
		before := s.View(ctx)
		put(t, s, "a", role{Name: "b", Path: "/x/", Tags: []string{"t", "u"}}, role{Name: "a", Path: "/y/"}, role{Name: "ab", Path: "/x/", Tags: []string{"u"}})
		put(t, s, "b", role{Name: "a"})

		check := func(v store.Reader) {
			t.Helper()
			if r, ok := roles.Get(v, "a", "b"); !ok || r.Path != "/x/" {
				t.Errorf("Get = %v, %v", r, ok)
			}
			if _, ok := roles.Get(v, "c", "b"); ok {
				t.Error("a document in a shard never written")
			}
			for name, c := range map[string]struct{ got, want []string }{
				"all":    {keys(roles.Prefix(v, "a", "")), []string{"a", "ab", "b"}},
				"prefix": {keys(roles.Prefix(v, "a", "a")), []string{"a", "ab"}},
				"from":   {keys(roles.From(v, "a", "a")), []string{"ab", "b"}},
				"first":  {keys(roles.From(v, "a", "")), []string{"a", "ab", "b"}},
				"index":  {keys(roles.By(v, "a", "path", "/x/")), []string{"ab", "b"}},
				"tag u":  {keys(roles.By(v, "a", "tag", "u")), []string{"ab", "b"}},
				"tag t":  {keys(roles.By(v, "a", "tag", "t")), []string{"b"}},
				"none":   {keys(roles.By(v, "a", "tag", "")), nil},
				"shards": {roles.Shards(v), []string{"a", "b"}},
			} {
				if !slices.Equal(c.got, c.want) {
					t.Errorf("%s = %q, want %q", name, c.got, c.want)
				}
			}
		}
		check(s.View(ctx))
		check(s.Begin(ctx, "a"))
		if n := keys(roles.Prefix(before, "a", "")); len(n) != 0 {
			t.Errorf("an older view sees %q", n)
		}
		if s.Head("a") != 1 || s.View(ctx).Head("b") != 1 || s.Head("zzz") != 0 {
			t.Error("heads")
		}
		s.Close()
		s = open(store.Options{})
		check(s.View(ctx))
	})
}

func TestTxSeesItsOwnWrites(t *testing.T) {
	each(t, func(t *testing.T, open func(store.Options) *store.Store) {
		s := open(store.Options{})
		put(t, s, "a", role{Name: "a", Path: "/x/"}, role{Name: "b", Path: "/x/"}, role{Name: "c", Path: "/x/"})
		tx := s.Begin(t.Context(), "a")
		var seen []string
		for k, r := range roles.By(tx, "a", "path", "/x/") {
			seen = append(seen, k)
			moved := *r
			moved.Path = "/y/"
			roles.Put(tx, k, &moved)
			if k == "b" {
				roles.Delete(tx, k)
			}
		}
		if !slices.Equal(seen, []string{"a", "b", "c"}) {
			t.Errorf("while writing, saw %q", seen)
		}
		if got := keys(roles.By(tx, "a", "path", "/y/")); !slices.Equal(got, []string{"a", "c"}) {
			t.Errorf("after writing, saw %q", got)
		}
		if _, ok := roles.Get(tx, "a", "b"); ok {
			t.Error("b is still there")
		}
		if got := keys(roles.Prefix(tx.View(), "a", "")); len(got) != 3 {
			t.Errorf("the Tx's View shows %q", got)
		}
		if err := tx.Commit(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := keys(roles.By(s.View(t.Context()), "a", "path", "/y/")); !slices.Equal(got, []string{"a", "c"}) {
			t.Errorf("committed %q", got)
		}
		if err := tx.Commit(t.Context()); err == nil {
			t.Error("committed twice")
		}
	})
}

func TestConflicts(t *testing.T) {
	reads := map[string]struct {
		read     func(tx *store.Tx)
		conflict map[string]bool // by what the other commit does
	}{
		"present":     {func(tx *store.Tx) { roles.Get(tx, "a", "a") }, map[string]bool{"change a": true, "change b": false, "delete a": true, "add": false}},
		"absent":      {func(tx *store.Tx) { roles.Get(tx, "a", "n") }, map[string]bool{"change a": false, "change b": false, "delete a": false, "add": true}},
		"whole":       {func(tx *store.Tx) { keys(roles.Prefix(tx, "a", "")) }, map[string]bool{"change a": true, "change b": true, "delete a": true, "add": true}},
		"prefix":      {func(tx *store.Tx) { keys(roles.Prefix(tx, "a", "b")) }, map[string]bool{"change a": false, "change b": true, "delete a": false, "add": false}},
		"index":       {func(tx *store.Tx) { keys(roles.By(tx, "a", "path", "/x/")) }, map[string]bool{"change a": true, "change b": false, "delete a": true, "add": true}},
		"other index": {func(tx *store.Tx) { keys(roles.By(tx, "a", "path", "/z/")) }, map[string]bool{"change a": false, "change b": false, "delete a": false, "add": false}},
		"first only": {func(tx *store.Tx) {
			for range roles.Prefix(tx, "a", "") {
				break
			}
		}, map[string]bool{"change a": true, "change b": false, "delete a": true, "add": false}},
		"blind":     {func(tx *store.Tx) {}, map[string]bool{"change a": false, "change b": false, "delete a": false, "add": false}},
		"unchecked": {func(tx *store.Tx) { keys(roles.Prefix(tx.View(), "a", "")) }, map[string]bool{"change a": false, "change b": false, "delete a": false, "add": false}},
	}
	others := map[string]func(tx *store.Tx){
		"change a": func(tx *store.Tx) { roles.Put(tx, "a", &role{Name: "a", Path: "/x/", N: 1}) },
		"change b": func(tx *store.Tx) { roles.Put(tx, "b", &role{Name: "b", Path: "/y/", N: 1}) },
		"delete a": func(tx *store.Tx) { roles.Delete(tx, "a") },
		"add":      func(tx *store.Tx) { roles.Put(tx, "n", &role{Name: "n", Path: "/x/"}) },
	}
	each(t, func(t *testing.T, open func(store.Options) *store.Store) {
		s := open(store.Options{})
		ctx := t.Context()
		for name, r := range reads {
			for other, do := range others {
				for _, home := range []string{"a", "elsewhere"} {
					if err := s.Reset(ctx); err != nil {
						t.Fatal(err)
					}
					put(t, s, "a", role{Name: "a", Path: "/x/"}, role{Name: "b", Path: "/y/"})
					tx := s.Begin(ctx, home)
					r.read(tx)
					notes.Put(tx, "n", &note{"written"})
					tx.Append("audit", []byte("record"))
					if err := s.Update(ctx, "a", func(tx *store.Tx) error { do(tx); return nil }); err != nil {
						t.Fatal(err)
					}
					err := tx.Commit(ctx)
					if got := errors.Is(err, store.ErrConflict); got != r.conflict[other] || (err != nil && !got) {
						t.Errorf("read %s, other commit: %s, home %s: %v, want conflict %v", name, other, home, err, r.conflict[other])
					}
					_, stored := notes.Get(s.View(ctx), home, "n")
					recs, _ := s.ReadStream(ctx, "audit", 0, 10)
					if want := err == nil; stored != want || (len(recs) == 1) != want {
						t.Errorf("read %s, other commit: %s: stored %v, records %d after %v", name, other, stored, len(recs), err)
					}
				}
			}
		}
	})
}

func TestUpdateIsSerial(t *testing.T) {
	each(t, func(t *testing.T, open func(store.Options) *store.Store) {
		s := open(store.Options{})
		const writers, times = 8, 20
		var wg sync.WaitGroup
		var after sync.Map
		for w := range writers {
			wg.Go(func() {
				for i := range times {
					err := s.Update(t.Context(), "a", func(tx *store.Tx) error {
						r, ok := roles.Edit(tx, "counter")
						if !ok {
							r = &role{Name: "counter"}
						}
						r.N++
						roles.Put(tx, "counter", r)
						n := s.Seq(tx, "seq")
						if int(n) != r.N {
							return fmt.Errorf("seq %d, counter %d", n, r.N)
						}
						tx.AfterCommit(func() { after.Store(n, true) })
						return nil
					})
					if err != nil {
						t.Errorf("writer %d, update %d: %v", w, i, err)
					}
				}
			})
		}
		wg.Wait()
		if r, ok := roles.Get(s.View(t.Context()), "a", "counter"); !ok || r.N != writers*times {
			t.Errorf("counter = %+v", r)
		}
		if n := len(maps.Collect(func(yield func(any, any) bool) { after.Range(yield) })); n != writers*times {
			t.Errorf("%d AfterCommit functions ran", n)
		}
	})
}

func TestFailedUpdateStoresNothing(t *testing.T) {
	each(t, func(t *testing.T, open func(store.Options) *store.Store) {
		s := open(store.Options{})
		boom := errors.New("boom")
		for name, fn := range map[string]func(tx *store.Tx) error{
			"error":     func(tx *store.Tx) error { notes.Put(tx, "k", &note{"x"}); return boom },
			"NUL key":   func(tx *store.Tx) error { notes.Put(tx, "k", &note{"x"}); notes.Put(tx, "a\x00b", &note{}); return nil },
			"bad UTF-8": func(tx *store.Tx) error { notes.Put(tx, "k", &note{"x"}); notes.Put(tx, "\xff", &note{}); return nil },
			"bad index": func(tx *store.Tx) error { roles.Put(tx, "k", &role{Path: "\x00"}); return nil },
		} {
			if err := s.Update(t.Context(), "a", func(tx *store.Tx) error {
				tx.AfterCommit(func() { t.Errorf("%s: AfterCommit ran", name) })
				return fn(tx)
			}); err == nil {
				t.Errorf("%s: committed", name)
			}
		}
		s.Close()
		if err := s.Update(t.Context(), "a", func(tx *store.Tx) error { notes.Put(tx, "k", &note{"x"}); return nil }); !errors.Is(err, store.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
		if s.Head("a") != 0 {
			t.Error("something was stored")
		}
	})
}
