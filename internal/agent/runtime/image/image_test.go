package image_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/remit-ecs/remit/internal/agent/runtime"
	"github.com/remit-ecs/remit/internal/agent/runtime/image"
	"github.com/remit-ecs/remit/internal/agent/runtime/runtimetest"
)

type file = runtimetest.File

// forms are the ways to keep layers that this process may use.
func forms(tb testing.TB) map[string]image.Options {
	f := map[string]image.Options{"plain": {}}
	if os.Geteuid() == 0 {
		f["overlay"] = image.Options{Overlay: true, Owners: true}
		f["plain with owners"] = image.Options{Owners: true}
	} else {
		tb.Log("not root: overlay form and owners are not tested")
	}
	return f
}

func open(tb testing.TB, root string, o image.Options) *image.Store {
	tb.Helper()
	s, err := image.Open(root, o)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func unpack(tb testing.TB, s *image.Store, layers ...v1.Layer) runtime.Image {
	tb.Helper()
	img, err := s.Unpack(tb.Context(), runtimetest.Image(tb, v1.Config{}, layers...))
	if err != nil {
		tb.Fatal(err)
	}
	return img
}

// tree lists a copied image: directories with a slash, links with an arrow,
// files with their content.
func tree(tb testing.TB, s *image.Store, img runtime.Image) string {
	tb.Helper()
	dir := tb.TempDir()
	if err := s.Copy(tb.Context(), img, dir); err != nil {
		tb.Fatal(err)
	}
	var out []string
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || p == dir {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		if err != nil {
			return err
		}
		switch {
		case d.IsDir():
			rel += "/"
		case d.Type()&fs.ModeSymlink != 0:
			target, err := os.Readlink(p)
			if err != nil {
				return err
			}
			rel += "->" + target
		case d.Type().IsRegular():
			b, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			rel += "=" + string(b)
		default:
			rel += "?" + d.Type().String()
		}
		out = append(out, rel)
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	return strings.Join(out, " ")
}

func TestLayers(t *testing.T) {
	const dir, link, hard = tar.TypeDir, tar.TypeSymlink, tar.TypeLink
	for _, c := range []struct {
		name   string
		layers [][]file
		want   string
	}{
		{"order", [][]file{{{Name: "a", Body: "1"}}, {{Name: "a", Body: "2"}}}, "a=2"},
		{"parents are made", [][]file{{{Name: "x/y/z", Body: "1"}}}, "x/ x/y/ x/y/z=1"},
		{"leading slash and dots", [][]file{{{Name: "/a", Body: "1"}, {Name: "./b", Body: "2"}, {Name: "./", Type: dir}}}, "a=1 b=2"},
		{"the last of a name counts", [][]file{{{Name: "a", Body: "1"}, {Name: "a", Body: "2"}}}, "a=2"},
		{"file becomes directory", [][]file{{{Name: "a", Body: "1"}}, {{Name: "a/", Type: dir}, {Name: "a/b", Body: "2"}}}, "a/ a/b=2"},
		{"directory becomes file", [][]file{{{Name: "a/b", Body: "1"}}, {{Name: "a", Body: "2"}}}, "a=2"},
		{"whiteout of a file", [][]file{{{Name: "a/b", Body: "1"}, {Name: "a/c", Body: "2"}}, {{Name: "a/.wh.b"}}}, "a/ a/c=2"},
		{"whiteout of a directory", [][]file{{{Name: "a/b/c", Body: "1"}}, {{Name: "a/.wh.b"}}}, "a/"},
		{"whiteout of nothing below", [][]file{{{Name: "a", Body: "1"}}, {{Name: "x/.wh.y"}}}, "a=1 x/"},
		{"whiteout spares its own layer", [][]file{{{Name: "a", Body: "1"}}, {{Name: "a", Body: "2"}, {Name: ".wh.a"}}}, "a=2"},
		{"whiteout, then made anew", [][]file{{{Name: "a/old", Body: "1"}}, {{Name: ".wh.a"}, {Name: "a/", Type: dir}, {Name: "a/new", Body: "2"}}}, "a/ a/new=2"},
		{"deleted, then again", [][]file{{{Name: "a", Body: "1"}}, {{Name: ".wh.a"}}, {{Name: "a", Body: "3"}}}, "a=3"},
		{"opaque", [][]file{{{Name: "a/old", Body: "1"}, {Name: "a/d/old", Body: "1"}}, {{Name: "a/.wh..wh..opq"}, {Name: "a/new", Body: "2"}}}, "a/ a/new=2"},
		{"opaque root", [][]file{{{Name: "a", Body: "1"}}, {{Name: ".wh..wh..opq"}, {Name: "b", Body: "2"}}}, "b=2"},
		{"aufs leftovers", [][]file{{{Name: "a", Body: "1"}, {Name: ".wh..wh.aufs"}, {Name: ".wh..wh.plnk/", Type: dir}}}, "a=1"},
		{"links are kept as they are", [][]file{{{Name: "a", Type: link, Link: "/etc/passwd"}, {Name: "b", Type: link, Link: "../../x"}}}, "a->/etc/passwd b->../../x"},
		{"through a link of the layer", [][]file{{{Name: "run/", Type: dir}, {Name: "var/run", Type: link, Link: "/run"}, {Name: "var/run/x", Body: "1"}}}, "run/ run/x=1 var/ var/run->/run"},
		{"link replaced by a directory above", [][]file{{{Name: "lib", Type: link, Link: "usr/lib"}, {Name: "usr/lib/a", Body: "1"}}, {{Name: "lib/", Type: dir}, {Name: "lib/b", Body: "2"}}}, "lib/ lib/b=2 usr/ usr/lib/ usr/lib/a=1"},
		{"hard link", [][]file{{{Name: "a", Body: "1"}, {Name: "d/b", Type: hard, Link: "a"}}}, "a=1 d/ d/b=1"},
		{"devices are left out", [][]file{{{Name: "a", Body: "1"}, {Name: "disk", Type: tar.TypeBlock}, {Name: "null", Type: tar.TypeChar}}}, "a=1"},
		{"fifo", [][]file{{{Name: "p", Type: tar.TypeFifo}}}, "p?p---------"},
		{"empty layer", [][]file{{{Name: "a", Body: "1"}}, {}}, "a=1"},
	} {
		for form, o := range forms(t) {
			t.Run(c.name+"/"+form, func(t *testing.T) {
				s := open(t, t.TempDir(), o)
				var layers []v1.Layer
				for _, l := range c.layers {
					layers = append(layers, runtimetest.Layer(t, l...))
				}
				if got := tree(t, s, unpack(t, s, layers...)); got != c.want {
					t.Errorf("got  %s\nwant %s", got, c.want)
				}
			})
		}
	}
}

// TestHostile unpacks layers that try to write outside. Beside the store lies
// a file that must stay as it is.
func TestHostile(t *testing.T) {
	for _, c := range []struct {
		name    string
		files   []file
		refused bool
	}{
		{"dot dot", []file{{Name: "../../secret", Body: "evil"}}, true},
		{"dot dot inside", []file{{Name: "a/../../../secret", Body: "evil"}}, true},
		{"absolute", []file{{Name: "SECRET", Body: "evil"}}, false},
		{"write through an absolute link", []file{{Name: "l", Type: tar.TypeSymlink, Link: "DIR"}, {Name: "l/secret", Body: "evil"}}, false},
		{"write through a relative link", []file{{Name: "l", Type: tar.TypeSymlink, Link: "../../../../../../../../../../DIR"}, {Name: "l/secret", Body: "evil"}}, false},
		{"write through a link to the file", []file{{Name: "l", Type: tar.TypeSymlink, Link: "SECRET"}, {Name: "l", Body: "evil"}}, false},
		{"hard link out", []file{{Name: "h", Type: tar.TypeLink, Link: "SECRET"}, {Name: "h", Body: "evil"}}, true},
		{"hard link up", []file{{Name: "h", Type: tar.TypeLink, Link: "../../../../../../../../SECRET"}}, true},
		{"hard link through a link", []file{{Name: "l", Type: tar.TypeSymlink, Link: "DIR"}, {Name: "h", Type: tar.TypeLink, Link: "l/secret"}}, true},
		{"whiteout up", []file{{Name: "a/.wh..."}}, true},
		{"whiteout of nothing", []file{{Name: "a/.wh."}}, true},
		{"whiteout through a link", []file{{Name: "l", Type: tar.TypeSymlink, Link: "DIR"}, {Name: "l/.wh.secret"}}, false},
		{"opaque through a link", []file{{Name: "l", Type: tar.TypeSymlink, Link: "DIR"}, {Name: "l/.wh..wh..opq"}}, false},
		{"link loop", []file{{Name: "a", Type: tar.TypeSymlink, Link: "b"}, {Name: "b", Type: tar.TypeSymlink, Link: "a"}, {Name: "a/x", Body: "1"}}, true},
		{"directory over a link", []file{{Name: "l", Type: tar.TypeSymlink, Link: "DIR"}, {Name: "l/", Type: tar.TypeDir, Mode: 0o777}}, false},
	} {
		for form, o := range forms(t) {
			t.Run(c.name+"/"+form, func(t *testing.T) {
				outside := t.TempDir()
				secret := filepath.Join(outside, "secret")
				if err := os.WriteFile(secret, []byte("untouched"), 0o600); err != nil {
					t.Fatal(err)
				}
				before := snapshot(t, outside)
				var files []file
				for _, f := range c.files {
					r := strings.NewReplacer("SECRET", secret, "DIR", outside)
					f.Name, f.Link = r.Replace(f.Name), r.Replace(f.Link)
					files = append(files, f)
				}
				s := open(t, filepath.Join(t.TempDir(), "store"), o)
				img, err := s.Unpack(t.Context(), runtimetest.Image(t, v1.Config{}, runtimetest.Layer(t, file{Name: "ok", Body: "1"}), runtimetest.Layer(t, files...)))
				if (err != nil) != c.refused {
					t.Errorf("unpack: %v, want refusal %v", err, c.refused)
				}
				if err == nil {
					tree(t, s, img)
				}
				if after := snapshot(t, outside); after != before {
					t.Errorf("outside was\n%s\nand is\n%s", before, after)
				}
			})
		}
	}
}

func snapshot(tb testing.TB, dir string) string {
	tb.Helper()
	var out strings.Builder
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		fmt.Fprintln(&out, p, info.Mode(), info.ModTime().UnixNano())
		if info.Mode().IsRegular() {
			b, err := os.ReadFile(p)
			fmt.Fprintf(&out, "%s\n", b)
			return err
		}
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
	return out.String()
}

func TestLimits(t *testing.T) {
	for name, c := range map[string]struct {
		limits image.Limits
		files  []file
	}{
		"bytes":   {image.Limits{Bytes: 64 << 10, Entries: 100}, []file{{Name: "a", Body: strings.Repeat("x", 100<<10)}}},
		"sum":     {image.Limits{Bytes: 64 << 10, Entries: 100}, []file{{Name: "a", Body: strings.Repeat("x", 40<<10)}, {Name: "b", Body: strings.Repeat("x", 40<<10)}}},
		"entries": {image.Limits{Bytes: 1 << 20, Entries: 2}, []file{{Name: "a"}, {Name: "b"}, {Name: "c"}}},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			s := open(t, root, image.Options{Limits: c.limits})
			if _, err := s.Unpack(t.Context(), runtimetest.Image(t, v1.Config{}, runtimetest.Layer(t, c.files...))); err == nil {
				t.Error("accepted")
			}
			if left, _ := filepath.Glob(filepath.Join(root, "*", "*")); len(left) != 0 {
				t.Errorf("left behind: %q", left)
			}
		})
	}
}

// lying is a layer whose content is not what its DiffID says.
type lying struct {
	v1.Layer
	content []byte
	opened  *atomic.Int32
}

func (l lying) Uncompressed() (io.ReadCloser, error) {
	if l.opened != nil {
		l.opened.Add(1)
	}
	return io.NopCloser(bytes.NewReader(l.content)), nil
}

// withLayers is an image whose layers are replaced.
type withLayers struct {
	v1.Image
	layers []v1.Layer
}

func (w withLayers) Layers() ([]v1.Layer, error) { return w.layers, nil }

func TestDiffID(t *testing.T) {
	honest := runtimetest.Layer(t, file{Name: "a", Body: "1"})
	img := runtimetest.Image(t, v1.Config{}, honest)
	good := runtimetest.Tar(t, file{Name: "a", Body: "1"})
	for name, content := range map[string][]byte{
		"other content":      runtimetest.Tar(t, file{Name: "a", Body: "2"}),
		"something after it": append(bytes.Clone(good), 0),
		"cut short":          good[:len(good)-512],
		"nothing":            nil,
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			s := open(t, root, image.Options{})
			if _, err := s.Unpack(t.Context(), withLayers{img, []v1.Layer{lying{Layer: honest, content: content}}}); err == nil {
				t.Error("accepted")
			}
			if _, err := s.Unpack(t.Context(), img); err != nil {
				t.Errorf("the honest layer afterwards: %v", err)
			}
		})
	}
	s := open(t, t.TempDir(), image.Options{})
	if _, err := s.Unpack(t.Context(), withLayers{img, nil}); err == nil {
		t.Error("an image with a layer missing is accepted")
	}
}

func TestConcurrentUnpack(t *testing.T) {
	var opened atomic.Int32
	layer := runtimetest.Layer(t, file{Name: "a", Body: strings.Repeat("x", 1<<20)})
	img := runtimetest.Image(t, v1.Config{}, layer)
	counting := withLayers{img, []v1.Layer{lying{layer, runtimetest.Tar(t, file{Name: "a", Body: strings.Repeat("x", 1<<20)}), &opened}}}
	s := open(t, t.TempDir(), image.Options{})
	// One of them gives up at once; the others must not fail with it.
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			ctx := t.Context()
			if i == 0 {
				ctx = cancelled
			}
			if _, err := s.Unpack(ctx, counting); err != nil && i != 0 {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := opened.Load(); n < 1 || n > 2 {
		t.Errorf("the layer was read %d times", n)
	}
}

func TestReopen(t *testing.T) {
	root := t.TempDir()
	s := open(t, root, image.Options{})
	shared := runtimetest.Layer(t, file{Name: "shared", Body: "1"})
	one := unpack(t, s, shared, runtimetest.Layer(t, file{Name: "one", Body: "1"}))
	two := unpack(t, s, shared, runtimetest.Layer(t, file{Name: "two", Body: "2"}))

	// What a crash leaves: work in progress, and a layer no record names.
	for _, d := range []string{"tmp/half", "plain/" + strings.Repeat("0", 64) + "/fs"} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	s = open(t, root, image.Options{})
	if n := count(t, root, "tmp/*") + count(t, root, "plain/"+strings.Repeat("0", 64)); n != 0 {
		t.Errorf("%d leftovers", n)
	}
	for _, img := range []runtime.Image{one, two} {
		if got, err := s.Image(img.Digest); err != nil || got.ID != img.ID {
			t.Errorf("%v %v", got, err)
		}
	}
	if list, err := s.List(); err != nil || len(list) != 2 {
		t.Errorf("list %v %v", list, err)
	}
	if err := s.Remove(one.Digest); err != nil {
		t.Fatal(err)
	}
	if err := s.Remove(one.Digest); !errors.Is(err, runtime.ErrNotFound) {
		t.Errorf("removed twice: %v", err)
	}
	if n := count(t, root, "plain/*"); n != 2 {
		t.Errorf("%d layers, want 2", n)
	}
	if got := tree(t, s, two); got != "shared=1 two=2" {
		t.Errorf("the other image: %s", got)
	}
	// A layer lost makes the image absent, and unpacking makes it whole.
	lost := filepath.Join(root, "plain", strings.TrimPrefix(two.Layers[1], "sha256:"))
	if err := os.RemoveAll(lost); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Image(two.Digest); !errors.Is(err, runtime.ErrNotFound) {
		t.Errorf("image with a layer lost: %v", err)
	}
	unpack(t, s, shared, runtimetest.Layer(t, file{Name: "two", Body: "2"}))
	if _, err := s.Image(two.Digest); err != nil {
		t.Error(err)
	}
}

func count(tb testing.TB, root, pattern string) int {
	m, err := filepath.Glob(filepath.Join(root, pattern))
	if err != nil {
		tb.Fatal(err)
	}
	return len(m)
}
