//go:build linux

package image

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// inode identifies a file, to find hard links.
type inode struct{ dev, ino uint64 }

func inodeOf(info fs.FileInfo) (inode, bool) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || st.Nlink < 2 {
		return inode{}, false
	}
	return inode{uint64(st.Dev), st.Ino}, true
}

func owner(info fs.FileInfo) (uid, gid int, ok bool) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, 0, false
	}
	return int(st.Uid), int(st.Gid), true
}

func isWhiteout(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && st.Mode&syscall.S_IFMT == syscall.S_IFCHR && st.Rdev == 0
}

func makeWhiteout(path string) error { return unix.Mknod(path, unix.S_IFCHR, 0) }

func makeOpaque(path string) error {
	return unix.Lsetxattr(path, "trusted.overlay.opaque", []byte("y"), 0)
}

func makeFifo(path string) error { return unix.Mkfifo(path, 0o600) }

// setXattr applies an attribute of a layer. Only those that concern the
// program itself are taken: trusted.* would let a layer speak to overlayfs,
// security.selinux to the host's policy.
func setXattr(path, attr string, value []byte) error {
	if attr != "security.capability" && !strings.HasPrefix(attr, "user.") {
		return nil
	}
	if strings.HasPrefix(attr, "user.overlay.") {
		return nil
	}
	err := unix.Lsetxattr(path, attr, value, 0)
	if errors.Is(err, unix.ENOTSUP) {
		return nil
	}
	return err
}

func copyXattrs(from, to string) error {
	buf := make([]byte, 64<<10)
	n, err := unix.Llistxattr(from, buf)
	if err != nil {
		if errors.Is(err, unix.ENOTSUP) {
			return nil
		}
		return err
	}
	for _, attr := range strings.Split(strings.TrimRight(string(buf[:n]), "\x00"), "\x00") {
		if attr == "" {
			continue
		}
		value := make([]byte, 64<<10)
		n, err := unix.Lgetxattr(from, attr, value)
		if err != nil {
			return err
		}
		if err := setXattr(to, attr, value[:n]); err != nil {
			return err
		}
	}
	return nil
}

// syncFS puts everything written so far on stable storage: one call for the
// thousands of files of an image.
func syncFS(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.Syncfs(int(f.Fd()))
}
