package store_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/remit-ecs/remit/internal/store"
)

// TestAgainstModel makes random commits and compares everything that can be read
// with a plain map: in the Tx before it commits, in the newest View, in every View
// kept from before, and after opening again.
func TestAgainstModel(t *testing.T) {
	each(t, func(t *testing.T, open func(store.Options) *store.Store) {
		const seed = 20260301
		rnd := rand.New(rand.NewPCG(seed, seed))
		s := open(store.Options{})
		ctx := t.Context()
		paths := []string{"/", "/x/", "/x/y/", ""}
		type picture struct {
			view  store.Reader
			model map[string]role
		}
		var kept []picture
		model := make(map[string]role)

		compare := func(when string, r store.Reader, model map[string]role) {
			t.Helper()
			all := slices.Sorted(maps.Keys(model))
			var got []string
			for k, v := range roles.Prefix(r, "a", "") {
				got = append(got, k)
				if want := model[k]; v.N != want.N || v.Path != want.Path || !slices.Equal(v.Tags, want.Tags) {
					t.Fatalf("%s: %s = %+v, want %+v", when, k, v, want)
				}
			}
			if !slices.Equal(got, all) {
				t.Fatalf("%s: keys %q, want %q", when, got, all)
			}
			for _, p := range paths {
				var want []string
				for _, k := range all {
					if model[k].Path == p {
						want = append(want, k)
					}
				}
				if got := keys(roles.By(r, "a", "path", p)); !slices.Equal(got, want) {
					t.Fatalf("%s: under path %q: %q, want %q", when, p, got, want)
				}
			}
			tag := fmt.Sprint("t", rnd.IntN(4))
			prefix := fmt.Sprint(rnd.IntN(10))
			var tagged, prefixed, later []string
			for _, k := range all {
				if slices.Contains(model[k].Tags, tag) {
					tagged = append(tagged, k)
				}
				if strings.HasPrefix(k, prefix) {
					prefixed = append(prefixed, k)
				}
				if k > prefix {
					later = append(later, k)
				}
			}
			if got := keys(roles.By(r, "a", "tag", tag)); !slices.Equal(got, tagged) {
				t.Fatalf("%s: tagged %s: %q, want %q", when, tag, got, tagged)
			}
			if got := keys(roles.Prefix(r, "a", prefix)); !slices.Equal(got, prefixed) {
				t.Fatalf("%s: prefix %s: %q, want %q", when, prefix, got, prefixed)
			}
			if got := keys(roles.From(r, "a", prefix)); !slices.Equal(got, later) {
				t.Fatalf("%s: after %s: %q, want %q", when, prefix, got, later)
			}
		}

		for round := range 120 {
			next := maps.Clone(model)
			tx := s.Begin(ctx, "a")
			for range rnd.IntN(30) {
				key := fmt.Sprint(rnd.IntN(300))
				if rnd.IntN(3) == 0 {
					roles.Delete(tx, key)
					delete(next, key)
				} else {
					r := role{Name: key, N: rnd.Int(), Path: paths[rnd.IntN(len(paths))]}
					for i := range 4 {
						if rnd.IntN(2) == 0 {
							r.Tags = append(r.Tags, fmt.Sprint("t", i))
						}
					}
					roles.Put(tx, key, &r)
					next[key] = r
				}
				if rnd.IntN(8) == 0 {
					compare("in the Tx", tx, next)
				}
			}
			compare("in the Tx", tx, next)
			if rnd.IntN(5) > 0 { // else dropped
				if err := tx.Commit(ctx); err != nil {
					t.Fatal(err)
				}
				model = next
			}
			v := s.View(ctx)
			compare("newest", v, model)
			kept = append(kept, picture{v, model})
			old := kept[rnd.IntN(len(kept))]
			compare("kept", old.view, old.model)
			if round%40 == 39 {
				s.Close()
				s = open(store.Options{})
				compare("opened again", s.View(ctx), model)
			}
		}
	})
}
