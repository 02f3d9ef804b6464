// Package image keeps unpacked container images on disk.
//
// The runtimes call it; nothing else does. It takes an image that somebody
// else has pulled, unpacks each layer once, checks it against its DiffID and
// offers the result in two shapes: a list of layer directories for overlayfs,
// or one copied tree where overlayfs cannot be had.
//
//	ROOT/images/HEX.json          one record for each image, by manifest digest
//	ROOT/overlay/HEX/fs           a layer, whiteouts as overlayfs wants them
//	ROOT/plain/HEX/fs             a layer without whiteouts (no privileges)
//	ROOT/*/HEX/layer.json         what the layer deletes from those below it
//	ROOT/flat/HEX                 a whole image in one tree (plain only)
//	ROOT/tmp/                     work in progress, emptied at Open
//
// A layer is hostile input: it never writes outside its own directory, never
// makes device nodes, and is bounded in bytes and entries. An image's record
// is written after the layers are on stable storage; layers that no record
// names are removed at Open, so that a crash leaves no half-written layer in
// use.
//
// It never pulls, never runs anything from an image and never mounts.
package image

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/remit-ecs/remit/internal/agent/runtime"
)

// Limits bound what one layer may contain.
type Limits struct {
	// Bytes is the most uncompressed bytes of a layer, headers included.
	Bytes int64
	// Entries is the most files, directories and links of a layer.
	Entries int
}

// DefaultLimits admit every image in ordinary use.
var DefaultLimits = Limits{Bytes: 32 << 30, Entries: 2_000_000}

// Options configure a Store.
type Options struct {
	// Overlay keeps layers in overlayfs form, which needs privileges:
	// whiteouts become 0/0 character devices, opaque directories carry
	// trusted.overlay.opaque.
	Overlay bool
	// Owners applies the uid and gid of each entry, which needs privileges.
	Owners bool
	// Limits default to DefaultLimits.
	Limits Limits
}

// Store is a directory of unpacked images. Its methods may be called from any
// goroutine; one process uses a directory at a time.
type Store struct {
	root   string
	opts   Options
	flight flight

	// gc is held for writing while unreferenced layers are removed.
	gc sync.RWMutex
}

// Open makes or opens the store at root and removes what an earlier process
// did not finish.
func Open(root string, o Options) (*Store, error) {
	if o.Limits == (Limits{}) {
		o.Limits = DefaultLimits
	}
	s := &Store{root: root, opts: o}
	for _, d := range []string{"images", s.form(), "flat", "tmp"} {
		// The tree may hold setuid programs of an image: nobody else enters.
		if err := os.MkdirAll(filepath.Join(root, d), 0o700); err != nil {
			return nil, fmt.Errorf("image store: %w", err)
		}
	}
	if err := os.Chmod(root, 0o700); err != nil {
		return nil, fmt.Errorf("image store: %w", err)
	}
	if err := s.empty("tmp"); err != nil {
		return nil, err
	}
	return s, s.collect()
}

func (s *Store) form() string {
	if s.opts.Overlay {
		return "overlay"
	}
	return "plain"
}

func (s *Store) empty(dir string) error {
	entries, err := os.ReadDir(filepath.Join(s.root, dir))
	if err != nil {
		return fmt.Errorf("image store: %w", err)
	}
	for _, e := range entries {
		if err := removeAll(filepath.Join(s.root, dir, e.Name())); err != nil {
			return fmt.Errorf("image store: %w", err)
		}
	}
	return nil
}

// Unpack stores the image and returns its description. Layers already present
// are not fetched.
func (s *Store) Unpack(ctx context.Context, img v1.Image) (runtime.Image, error) {
	digest, err := img.Digest()
	if err != nil {
		return runtime.Image{}, fmt.Errorf("unpack image: manifest: %w", err)
	}
	if got, err := s.Image(digest.String()); err == nil {
		return got, nil
	}
	config, err := img.ConfigFile()
	if err != nil {
		return runtime.Image{}, fmt.Errorf("unpack image %s: configuration: %w", digest, err)
	}
	id, err := img.ConfigName()
	if err != nil {
		return runtime.Image{}, fmt.Errorf("unpack image %s: configuration: %w", digest, err)
	}
	layers, err := img.Layers()
	if err != nil {
		return runtime.Image{}, fmt.Errorf("unpack image %s: layers: %w", digest, err)
	}
	// The DiffIDs of the configuration count: the configuration's digest is
	// part of the manifest, and so of what the caller asked for.
	want := config.RootFS.DiffIDs
	if len(want) != len(layers) {
		return runtime.Image{}, fmt.Errorf("unpack image %s: %d layers but %d DiffIDs", digest, len(layers), len(want))
	}
	out := runtime.Image{ID: id.String(), Digest: digest.String(), Config: config.Config}

	s.gc.RLock()
	defer s.gc.RUnlock()
	for i, l := range layers {
		if err := ctx.Err(); err != nil {
			return runtime.Image{}, err
		}
		if err := s.layer(ctx, l, want[i]); err != nil {
			return runtime.Image{}, fmt.Errorf("unpack image %s: layer %d: %w", digest, i+1, err)
		}
		out.Layers = append(out.Layers, want[i].String())
	}
	if err := s.record(digest, out); err != nil {
		return runtime.Image{}, fmt.Errorf("unpack image %s: %w", digest, err)
	}
	return out, nil
}

// Image returns an image unpacked earlier, by manifest digest.
func (s *Store) Image(digest string) (runtime.Image, error) {
	h, err := v1.NewHash(digest)
	if err != nil || h.Algorithm != "sha256" {
		return runtime.Image{}, fmt.Errorf("image %q: not a sha256 digest: %w", digest, runtime.ErrNotFound)
	}
	b, err := os.ReadFile(s.recordPath(h))
	if errors.Is(err, fs.ErrNotExist) {
		return runtime.Image{}, fmt.Errorf("image %s: %w", digest, runtime.ErrNotFound)
	}
	if err != nil {
		return runtime.Image{}, fmt.Errorf("image %s: %w", digest, err)
	}
	var img runtime.Image
	if err := json.Unmarshal(b, &img); err != nil {
		return runtime.Image{}, fmt.Errorf("image %s: unreadable record (%w): %w", digest, err, runtime.ErrNotFound)
	}
	for _, l := range img.Layers {
		dir, err := s.layerDir(l)
		if err == nil {
			_, err = os.Stat(dir)
		}
		if err != nil {
			return runtime.Image{}, fmt.Errorf("image %s: layer %s is absent: %w", digest, l, runtime.ErrNotFound)
		}
	}
	return img, nil
}

// List returns the digests of all images in the store.
func (s *Store) List() ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(s.root, "images"))
	if err != nil {
		return nil, fmt.Errorf("image store: %w", err)
	}
	var out []string
	for _, e := range entries {
		if hex, ok := strings.CutSuffix(e.Name(), ".json"); ok {
			out = append(out, "sha256:"+hex)
		}
	}
	return out, nil
}

// Remove forgets an image and deletes the layers no other image uses. The
// caller makes sure that no container uses it.
func (s *Store) Remove(digest string) error {
	h, err := v1.NewHash(digest)
	if err != nil {
		return fmt.Errorf("image %q: %w", digest, runtime.ErrNotFound)
	}
	if err := os.Remove(s.recordPath(h)); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = runtime.ErrNotFound
		}
		return fmt.Errorf("image %s: %w", digest, err)
	}
	if err := removeAll(filepath.Join(s.root, "flat", h.Hex)); err != nil {
		return fmt.Errorf("image %s: %w", digest, err)
	}
	return s.collect()
}

// LayerDirs returns the directories of the image's layers, lowest first.
func (s *Store) LayerDirs(img runtime.Image) ([]string, error) {
	dirs := make([]string, 0, len(img.Layers))
	for _, l := range img.Layers {
		d, err := s.layerDir(l)
		if err != nil {
			return nil, err
		}
		if _, err := os.Stat(d); err != nil {
			return nil, fmt.Errorf("image %s: layer %s is absent: %w", img.Digest, l, runtime.ErrNotFound)
		}
		dirs = append(dirs, d)
	}
	return dirs, nil
}

func (s *Store) recordPath(digest v1.Hash) string {
	return filepath.Join(s.root, "images", digest.Hex+".json")
}

// layerDir is where the layer's tree is, whether present or not.
func (s *Store) layerDir(diffID string) (string, error) {
	h, err := v1.NewHash(diffID)
	if err != nil || h.Algorithm != "sha256" {
		return "", fmt.Errorf("layer %q: not a sha256 digest", diffID)
	}
	return filepath.Join(s.root, s.form(), h.Hex, "fs"), nil
}

// record makes the image durable: first the layers, then the file naming them.
func (s *Store) record(digest v1.Hash, img runtime.Image) error {
	if err := syncFS(s.root); err != nil {
		return err
	}
	b, err := json.MarshalIndent(img, "", "\t")
	if err != nil {
		return err
	}
	tmp := s.temp()
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(tmp, s.recordPath(digest))
	}
	return err
}

// collect removes the layers that no image record names.
func (s *Store) collect() error {
	s.gc.Lock()
	defer s.gc.Unlock()
	digests, err := s.List()
	if err != nil {
		return err
	}
	used := map[string]bool{}
	for _, d := range digests {
		img, err := s.Image(d)
		if errors.Is(err, runtime.ErrNotFound) {
			// Unreadable, or unpacked in the other form: a pull makes it anew.
			continue
		}
		if err != nil {
			return err
		}
		for _, l := range img.Layers {
			used[strings.TrimPrefix(l, "sha256:")] = true
		}
	}
	entries, err := os.ReadDir(filepath.Join(s.root, s.form()))
	if err != nil {
		return fmt.Errorf("image store: %w", err)
	}
	for _, e := range entries {
		if used[e.Name()] {
			continue
		}
		if err := removeAll(filepath.Join(s.root, s.form(), e.Name())); err != nil {
			return fmt.Errorf("image store: %w", err)
		}
	}
	return nil
}

// temp is a fresh path on the store's file system, so that a rename into
// place is atomic.
func (s *Store) temp() string {
	return filepath.Join(s.root, "tmp", rand.Text())
}

// flight lets concurrent requests for the same key share one execution.
type flight struct {
	mu   sync.Mutex
	runs map[string]*run
}

type run struct {
	done chan struct{}
	err  error
}

// do runs f unless it runs already for key, in which case it waits. A waiter
// whose leader failed because the leader's own context ended tries itself.
func (g *flight) do(ctx context.Context, key string, f func() error) error {
	for {
		g.mu.Lock()
		r, ok := g.runs[key]
		if !ok {
			r = &run{done: make(chan struct{})}
			if g.runs == nil {
				g.runs = map[string]*run{}
			}
			g.runs[key] = r
			g.mu.Unlock()
			r.err = f()
			g.mu.Lock()
			delete(g.runs, key)
			g.mu.Unlock()
			close(r.done)
			return r.err
		}
		g.mu.Unlock()
		select {
		case <-r.done:
		case <-ctx.Done():
			return ctx.Err()
		}
		if errors.Is(r.err, context.Canceled) || errors.Is(r.err, context.DeadlineExceeded) {
			continue
		}
		return r.err
	}
}
