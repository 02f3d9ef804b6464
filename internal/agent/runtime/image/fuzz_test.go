package image

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/remit-ecs/remit/internal/agent/runtime"
	"github.com/remit-ecs/remit/internal/agent/runtime/runtimetest"
)

// FuzzLayer feeds arbitrary bytes as a layer, below the store's waiting for
// stable storage. Whatever it is, nothing outside its directory changes, no
// device node appears in it, and its copy can be made.
func FuzzLayer(f *testing.F) {
	type file = runtimetest.File
	for _, files := range [][]file{
		{{Name: "a", Body: "1"}},
		{{Name: "l", Type: tar.TypeSymlink, Link: "/"}, {Name: "l/x", Body: "1"}},
		{{Name: "a/.wh.b"}, {Name: ".wh..wh..opq"}},
		{{Name: "../x"}, {Name: "h", Type: tar.TypeLink, Link: "../../x"}},
		{{Name: "a", Body: "1"}, {Name: "h", Type: tar.TypeLink, Link: "a"}, {Name: "a/", Type: tar.TypeDir, Mode: 0o1}},
		{{Name: "d", Type: tar.TypeBlock}, {Name: "p", Type: tar.TypeFifo}},
	} {
		f.Add(runtimetest.Tar(f, files...))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		top := t.TempDir()
		canary := filepath.Join(top, "x")
		if err := os.WriteFile(canary, []byte("untouched"), 0o600); err != nil {
			t.Fatal(err)
		}
		root := filepath.Join(top, "store")
		s, err := Open(root, Options{Limits: Limits{Bytes: 1 << 20, Entries: 1000}})
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(b)
		diffID := v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum[:])}
		dir, err := s.layerDir(diffID.String())
		if err != nil {
			t.Fatal(err)
		}
		if err := s.extract(t.Context(), bytes.NewReader(b), filepath.Dir(dir), diffID); err == nil {
			dst := filepath.Join(root, "copy")
			if err := os.Mkdir(dst, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := s.Copy(t.Context(), runtime.Image{Layers: []string{diffID.String()}}, dst); err != nil {
				t.Errorf("copy: %v", err)
			}
		}
		if got, err := os.ReadFile(canary); err != nil || string(got) != "untouched" {
			t.Errorf("outside changed: %q %v", got, err)
		}
		entries, err := os.ReadDir(top)
		if err != nil || len(entries) != 2 {
			t.Errorf("beside the store: %v %v", entries, err)
		}
		filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
			if err == nil && d.Type()&fs.ModeDevice != 0 {
				t.Errorf("a device node: %s", p)
			}
			return nil
		})
	})
}
