package image

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	securejoin "github.com/cyphar/filepath-securejoin"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

const (
	whiteoutPrefix = ".wh."
	whiteoutOpaque = ".wh..wh..opq"
)

// deletions are what a layer takes away from the layers below it. Paths are
// relative to the root, with slashes.
type deletions struct {
	// Whiteouts are single names removed.
	Whiteouts []string `json:"whiteouts,omitempty"`
	// Opaque are directories of which nothing below shows through.
	Opaque []string `json:"opaque,omitempty"`
}

// layer makes sure that the layer is in the store.
func (s *Store) layer(ctx context.Context, l v1.Layer, diffID v1.Hash) error {
	dir, err := s.layerDir(diffID.String())
	if err != nil {
		return err
	}
	return s.flight.do(ctx, diffID.Hex, func() error {
		if _, err := os.Stat(dir); err == nil {
			return nil
		}
		rc, err := l.Uncompressed()
		if err != nil {
			return err
		}
		defer rc.Close()
		// Closing on cancellation ends a read from the network.
		stop := context.AfterFunc(ctx, func() { rc.Close() })
		defer stop()
		tmp := s.temp()
		defer removeAll(tmp)
		if err := s.extract(ctx, rc, tmp, diffID); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return err
		}
		return os.Rename(tmp, filepath.Dir(dir))
	})
}

// extract writes the layer read from r into dir/fs and dir/layer.json, and
// fails if its bytes are not those of diffID.
func (s *Store) extract(ctx context.Context, r io.Reader, dir string, diffID v1.Hash) error {
	root := filepath.Join(dir, "fs")
	if err := os.MkdirAll(root, 0o700); err != nil {
		return err
	}
	if err := os.Chmod(root, 0o755); err != nil {
		return err
	}
	sum := sha256.New()
	in := &meter{r: r, sum: sum, left: s.opts.Limits.Bytes, ctx: ctx}
	x, err := newExtractor(root, s.opts)
	if err != nil {
		return err
	}
	defer x.root.Close()
	if err := x.all(tar.NewReader(in)); err != nil {
		return err
	}
	// The tar reader stops at its end mark; the DiffID covers what follows.
	if _, err := io.Copy(io.Discard, in); err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != diffID.Hex {
		return fmt.Errorf("content is sha256:%s, not the DiffID %s", got, diffID)
	}
	b, err := json.Marshal(x.deletions)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "layer.json"), b, 0o600)
}

// meter hashes and bounds what is read.
type meter struct {
	r    io.Reader
	sum  hash.Hash
	left int64
	ctx  context.Context
}

func (m *meter) Read(p []byte) (int, error) {
	if err := m.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := m.r.Read(p)
	m.sum.Write(p[:n])
	if m.left -= int64(n); m.left < 0 {
		return n, errors.New("layer is larger than allowed")
	}
	return n, err
}

// extractor turns tar entries into files below one directory.
type extractor struct {
	dir       string
	root      *os.Root
	opts      Options
	entries   int
	bytes     int64
	dirs      map[string]*tar.Header // modes and times, set when all is written
	whiteouts map[string]bool
	opaque    map[string]bool
	deletions deletions
}

func newExtractor(dir string, o Options) (*extractor, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &extractor{
		dir: dir, root: root, opts: o,
		dirs: map[string]*tar.Header{}, whiteouts: map[string]bool{}, opaque: map[string]bool{},
	}, nil
}

func (x *extractor) all(tr *tar.Reader) error {
	for {
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return fmt.Errorf("tar: %w", err)
		}
		if err := x.entry(h, tr); err != nil {
			return fmt.Errorf("entry %q: %w", h.Name, err)
		}
	}
	if err := x.finishDeletions(); err != nil {
		return err
	}
	// Deepest first, so that a directory's time is not changed again.
	names := slices.Sorted(maps.Keys(x.dirs))
	slices.Reverse(names)
	for _, name := range names {
		if err := x.attributes(name, x.dirs[name]); err != nil {
			return fmt.Errorf("entry %q: %w", name, err)
		}
	}
	return nil
}

// clean returns the entry's path relative to the root, "." for the root
// itself, or an error when it names anything outside.
func clean(name string) (string, error) {
	if strings.ContainsRune(name, 0) {
		return "", errors.New("name contains a NUL")
	}
	if slices.Contains(strings.Split(name, "/"), "..") {
		return "", errors.New(`name contains ".."`)
	}
	name = strings.TrimPrefix(path.Clean("/"+name), "/")
	if name == "" {
		return ".", nil
	}
	return name, nil
}

// resolve follows the symbolic links that this layer itself has put into the
// parents of name, as seen from inside the image: an absolute one starts again
// at the image's root. The last component is not followed. The result has no
// links left in its parents, and os.Root guards it a second time.
func (x *extractor) resolve(name string) (string, error) {
	parent, base := path.Split(name)
	if parent == "" {
		return base, nil
	}
	full, err := securejoin.SecureJoin(x.dir, filepath.FromSlash(parent))
	if err != nil {
		return "", err
	}
	rel, err := filepath.Rel(x.dir, full)
	if err != nil || rel == ".." || strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
		return "", errors.New("path leads out of the image")
	}
	if err := x.root.MkdirAll(rel, 0o755); err != nil {
		return "", err
	}
	return path.Join(filepath.ToSlash(rel), base), nil
}

func (x *extractor) entry(h *tar.Header, body io.Reader) error {
	if x.entries++; x.entries > x.opts.Limits.Entries {
		return fmt.Errorf("layer has more than %d entries", x.opts.Limits.Entries)
	}
	// Sparse files declare more than the archive holds: count what is
	// written, not what is read.
	if h.Size < 0 || h.Size > x.opts.Limits.Bytes-x.bytes {
		return errors.New("layer unpacks to more than allowed")
	}
	x.bytes += h.Size
	name, err := clean(h.Name)
	if err != nil {
		return err
	}
	if name == "." {
		if h.Typeflag == tar.TypeDir {
			x.dirs["."] = h
		}
		return nil
	}
	if base := path.Base(name); strings.HasPrefix(base, whiteoutPrefix) {
		return x.whiteout(path.Dir(name), base)
	}
	if name, err = x.resolve(name); err != nil {
		return err
	}
	old, err := x.root.Lstat(name)
	switch {
	case err == nil && old.IsDir() && h.Typeflag == tar.TypeDir:
		x.dirs[name] = h
		return nil
	case err == nil:
		if err := x.root.RemoveAll(name); err != nil {
			return err
		}
		maps.DeleteFunc(x.dirs, func(d string, _ *tar.Header) bool {
			return d == name || strings.HasPrefix(d, name+"/")
		})
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}

	switch h.Typeflag {
	case tar.TypeDir:
		x.dirs[name] = h
		return x.root.Mkdir(name, 0o700)
	case tar.TypeReg, tar.TypeGNUSparse:
		f, err := x.root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		_, err = io.Copy(f, body)
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
	case tar.TypeSymlink:
		if strings.ContainsRune(h.Linkname, 0) || h.Linkname == "" {
			return errors.New("bad link target")
		}
		// os.Root makes any link but follows none that leads out.
		if err := x.root.Symlink(h.Linkname, name); err != nil {
			return err
		}
	case tar.TypeLink:
		target, err := clean(h.Linkname)
		if err != nil {
			return fmt.Errorf("hard link target: %w", err)
		}
		if target, err = x.resolve(target); err != nil {
			return err
		}
		info, err := x.root.Lstat(target)
		if err != nil {
			return fmt.Errorf("hard link to %q, which this layer does not have", h.Linkname)
		}
		if info.IsDir() {
			return errors.New("hard link to a directory")
		}
		// A link shares its target's attributes: nothing more to set.
		return x.root.Link(target, name)
	case tar.TypeFifo:
		if err := makeFifo(filepath.Join(x.dir, name)); err != nil {
			return err
		}
	case tar.TypeChar, tar.TypeBlock:
		// /dev belongs to the runtime. Elsewhere a node would be a way to
		// the host's devices wherever no device cgroup guards them.
		return nil
	case tar.TypeXGlobalHeader:
		return nil
	default:
		return fmt.Errorf("unknown type %q", h.Typeflag)
	}
	return x.attributes(name, h)
}

// attributes sets owner, mode, extended attributes and time, in this order:
// chown clears setuid bits and capabilities.
func (x *extractor) attributes(name string, h *tar.Header) error {
	if x.opts.Owners {
		if err := x.root.Lchown(name, h.Uid, h.Gid); err != nil {
			return err
		}
	}
	if h.Typeflag == tar.TypeSymlink {
		return nil
	}
	mode := h.FileInfo().Mode() & (fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky)
	if !x.opts.Owners {
		// Without owners a setuid bit would mean the agent's user, and a
		// directory closed to its owner could not be removed again.
		mode &= fs.ModePerm | fs.ModeSticky
		mode |= 0o400
		if h.Typeflag == tar.TypeDir {
			mode |= 0o700
		}
	}
	if err := x.root.Chmod(name, mode); err != nil {
		return err
	}
	if x.opts.Owners {
		for k, v := range h.PAXRecords {
			if attr, ok := strings.CutPrefix(k, "SCHILY.xattr."); ok {
				if err := setXattr(filepath.Join(x.dir, name), attr, []byte(v)); err != nil {
					return err
				}
			}
		}
	}
	if h.ModTime.IsZero() || h.ModTime.Unix() < 0 {
		return nil
	}
	if err := x.root.Chtimes(name, time.Time{}, h.ModTime); err != nil {
		return err
	}
	return nil
}

// whiteout notes a deletion. It concerns the layers below only, so it is
// applied when the whole layer is known.
func (x *extractor) whiteout(dir, base string) error {
	if base == whiteoutOpaque {
		where, err := x.resolve(path.Join(dir, "x"))
		if err != nil {
			return err
		}
		x.opaque[path.Dir(where)] = true
		return nil
	}
	name := strings.TrimPrefix(base, whiteoutPrefix)
	if strings.HasPrefix(name, whiteoutPrefix) {
		// Bookkeeping of the aufs driver that stray images still carry.
		return nil
	}
	if name == "" || name == "." || name == ".." {
		return errors.New("whiteout of nothing")
	}
	where, err := x.resolve(path.Join(dir, name))
	if err != nil {
		return err
	}
	x.whiteouts[where] = true
	return nil
}

func (x *extractor) finishDeletions() error {
	for _, name := range slices.Sorted(maps.Keys(x.whiteouts)) {
		info, err := x.root.Lstat(name)
		switch {
		case err == nil && info.IsDir():
			// Deleted and made again: nothing below shows through.
			x.opaque[name] = true
		case err == nil:
			// A file here hides the one below anyway.
			x.deletions.Whiteouts = append(x.deletions.Whiteouts, name)
		default:
			x.deletions.Whiteouts = append(x.deletions.Whiteouts, name)
			if !x.opts.Overlay {
				continue
			}
			// The parent may since have become a file, which hides as much.
			if p, err := x.root.Lstat(path.Dir(name)); err != nil || !p.IsDir() {
				continue
			}
			if err := makeWhiteout(filepath.Join(x.dir, name)); err != nil {
				return fmt.Errorf("whiteout of %q: %w", name, err)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(x.opaque)) {
		info, err := x.root.Lstat(name)
		if err != nil || !info.IsDir() {
			continue
		}
		x.deletions.Opaque = append(x.deletions.Opaque, name)
		if x.opts.Overlay {
			if err := makeOpaque(filepath.Join(x.dir, name)); err != nil {
				return fmt.Errorf("opaque directory %q: %w", name, err)
			}
		}
	}
	return nil
}
