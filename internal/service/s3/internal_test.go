package s3

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/store"
)

// TestCombineCRC compares the combined checksum with that of the whole.
func TestCombineCRC(t *testing.T) {
	data := make([]byte, 100_000)
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(data)
	for _, alg := range []string{"CRC32", "CRC32C", "CRC64NVME"} {
		for _, cuts := range [][]int{{0}, {1}, {len(data)}, {10, 10, 20}, {5, 4096, 70_001}, {99_999}} {
			var got []byte
			rest, at := data, 0
			add := func(b []byte) {
				h := newHash(alg)
				h.Write(b)
				got = combineCRC(alg, got, h.Sum(nil), int64(len(b)))
			}
			for _, c := range cuts {
				add(rest[:c-at])
				rest, at = rest[c-at:], c
			}
			add(rest)
			h := newHash(alg)
			h.Write(data)
			if want := h.Sum(nil); !bytes.Equal(got, want) {
				t.Errorf("%s cut at %v: %x, want %x", alg, cuts, got, want)
			}
		}
	}
}

// TestList compares pages of listings with a listing made the slow way, over
// keys that are hard on it.
func TestList(t *testing.T) {
	st, err := store.Open(t.Context(), t.TempDir()+"/state.db", store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	keys := []string{"a", "a/", "a/b", "a/b/c", "a//", "a0", "aé", "b/", "b/1", "b/2", "é/x", "日本/語", "z/../w", "/", "//", "\U0010ffff", "\U0010ffff/x", "ab", "ab/cd/ef", "A", " ", "+", "x--y", "x--z", "x-y"}
	if err := st.Update(t.Context(), "s3/b", func(tx *store.Tx) error {
		for _, k := range keys {
			objects.Put(tx, k, &object{})
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	slices.Sort(keys)
	v := st.View(t.Context())
	for _, delimiter := range []string{"", "/", "--", "b", "é"} {
		for _, prefix := range []string{"", "a", "a/", "b/", "/", "x-", "none", "日", "\U0010ffff"} {
			var want []string
			for _, k := range keys {
				if !strings.HasPrefix(k, prefix) {
					continue
				}
				if i := strings.Index(k[len(prefix):], delimiter); delimiter != "" && i >= 0 {
					k = k[:len(prefix)+i+len(delimiter)] + " (prefix)"
				}
				if !slices.Contains(want, k) {
					want = append(want, k)
				}
			}
			for limit := 1; limit < 30; limit += 3 {
				var got []string
				after := ""
				for page := 0; ; page++ {
					l := list(v, "s3/b", prefix, delimiter, after, limit)
					n := len(l.objects) + len(l.prefixes)
					if n > limit || l.truncated && n < limit || page > 40 {
						t.Fatalf("%d entries of %d, truncated %v", n, limit, l.truncated)
					}
					for _, o := range l.objects {
						got = append(got, o.key)
					}
					for _, p := range l.prefixes {
						got = append(got, p+" (prefix)")
					}
					if !l.truncated {
						break
					}
					after = l.last
				}
				slices.Sort(got)
				slices.Sort(want)
				if !slices.Equal(got, want) {
					t.Errorf("prefix %q delimiter %q limit %d:\n got %q\nwant %q", prefix, delimiter, limit, got, want)
				}
			}
		}
	}
}

func TestStretch(t *testing.T) {
	o := &object{Size: 100}
	for _, c := range []struct{ header, want string }{
		{"bytes=0-9", "bytes 0-9/100"},
		{"bytes=90-", "bytes 90-99/100"},
		{"bytes=-5", "bytes 95-99/100"},
		{"bytes=-500", "bytes 0-99/100"},
		{"bytes=0-99999999999999999999", "bytes 0-99/100"},
		{"bytes=99-99", "bytes 99-99/100"},
		{"bytes=100-", "InvalidRange"},
		{"bytes=-0", "InvalidRange"},
		{"bytes=9-3", ""},
		{"bytes=0-1,3-4", ""},
		{"bytes=a-b", ""},
		{"bytes=-", ""},
		{"bytes=+1-2", ""},
		{"lines=1-2", ""},
		{"", ""},
	} {
		r, err := stretch(o, &c.header, nil)
		got := api.Value(r.header(o.Size))
		if err != nil {
			got = err.(*api.Error).Code
		}
		if got != c.want {
			t.Errorf("%q: %q, want %q", c.header, got, c.want)
		}
	}
}

// FuzzStretch: whatever the header says, the stretch lies within the object.
func FuzzStretch(f *testing.F) {
	f.Add("bytes=0-1", int64(5))
	f.Add("bytes=-9223372036854775807", int64(0))
	f.Fuzz(func(t *testing.T, header string, size int64) {
		size &= 1<<60 - 1
		r, err := stretch(&object{Size: size}, &header, nil)
		if err == nil && (r.offset < 0 || r.size < 0 || r.offset+r.size > size) {
			t.Errorf("%q of %d: %+v", header, size, r)
		}
	})
}

// FuzzParseSource: a source is never without bucket or key.
func FuzzParseSource(f *testing.F) {
	for _, s := range []string{"/b/k", "b/a%20b?versionId=null", "%2Fb%2Fk", "b", "b/%ff", "arn:aws:s3:x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		src, err := parseSource(&header)
		if err == nil && (src.bucket == "" || src.key == "" || len(src.key) > maxKey) {
			t.Errorf("%q: %+v", header, src)
		}
	})
}

// FuzzParseTagging: tags that pass come back from their own header.
func FuzzParseTagging(f *testing.F) {
	f.Add("a=b&c=d%20e")
	f.Add("&&=&a")
	f.Fuzz(func(t *testing.T, header string) {
		tags, err := parseTagging(&header)
		if err == nil && checkTags(tags, maxObjectTags) == nil && len(tags) > maxObjectTags {
			t.Errorf("%q: %d tags", header, len(tags))
		}
	})
}

func TestValidBucketName(t *testing.T) {
	for name, want := range map[string]bool{
		"abc": true, "my.bucket-1": true, strings.Repeat("a", 63): true,
		"ab": false, strings.Repeat("a", 64): false, "Abc": false, "a_b": false, "-ab": false, "ab-": false, "a..b": false,
		"192.168.1.1": false, "xn--abc": false, "abc-s3alias": false, "a/b": false, "": false, "abc\n": false,
	} {
		if got := validBucketName(name); got != want {
			t.Errorf("%q: %v", name, got)
		}
	}
}

func TestBody(t *testing.T) {
	xs := []extent{{Blob: "a", Size: 3}, {Blob: "b", Offset: 2, Size: 0}, {Blob: "c", Offset: 5, Size: 10}}
	for _, c := range []struct {
		offset, size int64
		want         string
	}{
		{0, 13, "[{a 0 3} {c 5 10}]"}, {0, 3, "[{a 0 3}]"}, {2, 2, "[{a 2 1} {c 5 1}]"}, {3, 1, "[{c 5 1}]"}, {12, 1, "[{c 14 1}]"}, {5, 0, "[]"},
	} {
		if got := fmt.Sprint(slice(xs, c.offset, c.size)); got != c.want {
			t.Errorf("slice(%d, %d) = %s, want %s", c.offset, c.size, got, c.want)
		}
	}
	b := &body{}
	if _, err := b.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("an empty body: %v", err)
	}
}
