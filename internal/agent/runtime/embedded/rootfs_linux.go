//go:build cgo

package embedded

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/remit-ecs/remit/internal/agent/runtime"
)

// mountRootfs makes dir/rootfs the image's tree, private and writable.
func (d *driver) mountRootfs(ctx context.Context, dir string, img runtime.Image) error {
	rootfs := filepath.Join(dir, "rootfs")
	if err := os.Mkdir(rootfs, 0o755); err != nil {
		return err
	}
	layers, err := d.store.LayerDirs(img)
	if err != nil {
		return err
	}
	if !d.overlay || len(layers) == 0 {
		return d.store.Copy(ctx, img, rootfs)
	}
	upper, work := filepath.Join(dir, "upper"), filepath.Join(dir, "work")
	for _, p := range []string{upper, work} {
		if err := os.Mkdir(p, 0o755); err != nil {
			return err
		}
	}
	// The merged root has the attributes of the upper directory.
	top, err := os.Stat(layers[len(layers)-1])
	if err != nil {
		return err
	}
	st := top.Sys().(*syscall.Stat_t)
	if err := errors.Join(os.Chown(upper, int(st.Uid), int(st.Gid)), os.Chmod(upper, top.Mode())); err != nil {
		return err
	}
	return mountOverlay(layers, upper, work, rootfs)
}

// pageSize bounds the options of mount(2), terminator included.
const pageSize = 4096

// mountOverlay mounts layers, lowest first, under a writable upper directory.
func mountOverlay(layers []string, upper, work, target string) error {
	lowers := slices.Clone(layers)
	slices.Reverse(lowers)
	options := func() string {
		escaped := make([]string, len(lowers))
		for i, l := range lowers {
			escaped[i] = escape(l)
		}
		return "lowerdir=" + strings.Join(escaped, ":") + ",upperdir=" + escape(upper) + ",workdir=" + escape(work)
	}
	if len(options())+len(",volatile") >= pageSize {
		// Many layers: name them by file descriptor, which the kernel
		// follows during the call.
		for i, l := range lowers {
			f, err := os.Open(l)
			if err != nil {
				return err
			}
			defer f.Close()
			lowers[i] = fmt.Sprintf("/proc/self/fd/%d", f.Fd())
		}
	}
	// Volatile: what a container wrote is discarded with it, so there is no
	// use in the full sync that unmounting would otherwise wait for.
	err := unix.Mount("overlay", target, "overlay", 0, options()+",volatile")
	if errors.Is(err, unix.EINVAL) {
		err = unix.Mount("overlay", target, "overlay", 0, options())
	}
	if err != nil {
		return fmt.Errorf("mount overlay of %d layers: %w", len(layers), err)
	}
	return nil
}

// escape quotes what separates in overlay options.
var escape = strings.NewReplacer(`\`, `\\`, ":", `\:`, ",", `\,`).Replace

// unmountAll unmounts everything below dir, deepest first.
func unmountAll(dir string) error {
	mounts, err := mountinfo.GetMounts(mountinfo.PrefixFilter(dir))
	if err != nil {
		return err
	}
	slices.SortFunc(mounts, func(a, b *mountinfo.Info) int { return len(b.Mountpoint) - len(a.Mountpoint) })
	var errs []error
	for _, m := range mounts {
		// Detached: an exec that is just ending may still stand in it.
		if err := unix.Unmount(m.Mountpoint, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil && !errors.Is(err, unix.EINVAL) {
			errs = append(errs, fmt.Errorf("unmount %s: %w", m.Mountpoint, err))
		}
	}
	return errors.Join(errs...)
}
