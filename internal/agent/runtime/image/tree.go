package image

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/remit-ecs/remit/internal/agent/runtime"
)

// Copy writes the image's whole tree into dst, which must be an empty
// directory. It is for places where overlayfs cannot be had; it costs the
// image's size for each container.
func (s *Store) Copy(ctx context.Context, img runtime.Image, dst string) error {
	dirs, err := s.LayerDirs(img)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(dst)
	if err != nil {
		return err
	}
	defer root.Close()
	for i, dir := range dirs {
		if err := s.copyLayer(ctx, dir, root); err != nil {
			return fmt.Errorf("copy layer %s: %w", img.Layers[i], err)
		}
	}
	return nil
}

// Flat returns a directory holding the image's whole tree, shared by all its
// containers and never to be written.
func (s *Store) Flat(ctx context.Context, img runtime.Image) (string, error) {
	hex := strings.TrimPrefix(img.Digest, "sha256:")
	if err := runtime.CheckID(hex); err != nil {
		return "", err
	}
	dir := filepath.Join(s.root, "flat", hex)
	err := s.flight.do(ctx, "flat "+hex, func() error {
		if _, err := os.Stat(dir); err == nil {
			return nil
		}
		tmp := s.temp()
		defer removeAll(tmp)
		if err := os.Mkdir(tmp, 0o755); err != nil {
			return err
		}
		if err := s.Copy(ctx, img, tmp); err != nil {
			return err
		}
		if err := syncFS(s.root); err != nil {
			return err
		}
		return os.Rename(tmp, dir)
	})
	return dir, err
}

func (s *Store) copyLayer(ctx context.Context, dir string, dst *os.Root) error {
	b, err := os.ReadFile(filepath.Join(filepath.Dir(dir), "layer.json"))
	if err != nil {
		return err
	}
	var del deletions
	if err := json.Unmarshal(b, &del); err != nil {
		return err
	}
	for _, name := range del.Whiteouts {
		if err := remove(dst, name); err != nil {
			return err
		}
	}
	for _, name := range del.Opaque {
		if err := clearDir(dst, name); err != nil {
			return err
		}
	}
	src, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer src.Close()
	links := map[inode]string{}
	type dirTime struct {
		name string
		at   time.Time
	}
	var times []dirTime
	err = fs.WalkDir(src.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if isWhiteout(info) {
			return nil
		}
		if info.IsDir() {
			times = append(times, dirTime{name, info.ModTime()})
		}
		return s.copyEntry(src, dst, name, info, links)
	})
	for i := len(times) - 1; i >= 0 && err == nil; i-- {
		err = dst.Chtimes(times[i].name, time.Time{}, times[i].at)
	}
	return err
}

func (s *Store) copyEntry(src, dst *os.Root, name string, info fs.FileInfo, links map[inode]string) error {
	old, err := dst.Lstat(name)
	exists := err == nil
	if exists && !(old.IsDir() && info.IsDir()) {
		if err := dst.RemoveAll(name); err != nil {
			return err
		}
		exists = false
	}
	if id, ok := inodeOf(info); ok && !info.IsDir() {
		if first, seen := links[id]; seen {
			return dst.Link(first, name)
		}
		links[id] = name
	}
	switch {
	case info.IsDir():
		if !exists {
			if err := dst.Mkdir(name, 0o700); err != nil {
				return err
			}
		}
	case info.Mode().IsRegular():
		if err := copyFile(src, dst, name); err != nil {
			return err
		}
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := src.Readlink(name)
		if err != nil {
			return err
		}
		if err := dst.Symlink(target, name); err != nil {
			return err
		}
	case info.Mode()&fs.ModeNamedPipe != 0:
		if err := makeFifo(filepath.Join(dst.Name(), name)); err != nil {
			return err
		}
	default:
		return nil
	}
	if s.opts.Owners {
		if uid, gid, ok := owner(info); ok {
			if err := dst.Lchown(name, uid, gid); err != nil {
				return err
			}
		}
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		return nil
	}
	if err := dst.Chmod(name, info.Mode()&(fs.ModePerm|fs.ModeSetuid|fs.ModeSetgid|fs.ModeSticky)); err != nil {
		return err
	}
	if s.opts.Owners && info.Mode().IsRegular() {
		if err := copyXattrs(filepath.Join(src.Name(), name), filepath.Join(dst.Name(), name)); err != nil {
			return err
		}
	}
	return dst.Chtimes(name, time.Time{}, info.ModTime())
}

func copyFile(src, dst *os.Root, name string) error {
	in, err := src.Open(name)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := dst.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	// On Linux this is copy_file_range: a reflink where the file system can.
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// remove deletes name; a parent that a lower layer does not have is no error.
func remove(dst *os.Root, name string) error {
	if _, err := dst.Lstat(name); err != nil {
		return nil
	}
	return dst.RemoveAll(name)
}

func clearDir(dst *os.Root, name string) error {
	info, err := dst.Lstat(name)
	if err != nil || !info.IsDir() {
		return nil
	}
	d, err := dst.Open(name)
	if err != nil {
		return err
	}
	names, err := d.Readdirnames(-1)
	if err = errors.Join(err, d.Close()); err != nil {
		return err
	}
	for _, n := range names {
		if err := dst.RemoveAll(filepath.Join(name, n)); err != nil {
			return err
		}
	}
	return nil
}

// removeAll is os.RemoveAll for trees whose directories may be closed to
// their owner.
func removeAll(dir string) error {
	err := os.RemoveAll(dir)
	if !errors.Is(err, fs.ErrPermission) {
		return err
	}
	filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if d != nil && d.IsDir() {
			os.Chmod(p, 0o700)
		}
		return nil
	})
	return os.RemoveAll(dir)
}
