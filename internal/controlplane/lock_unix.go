//go:build unix

package controlplane

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// dataLock says that a living process uses a data directory. The kernel drops
// it with the process, however that ends.
type dataLock struct{ f *os.File }

func lockData(dir string) (*dataLock, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("%s is in use by another remit: %w", dir, err)
	}
	return &dataLock{f}, nil
}

// abandoned reports whether dir may be the data directory of a killed server of
// this user. Where everybody may make directories (/tmp), anybody can make one
// of that name: what another user could have written is left alone, since
// sweeping follows what is written there.
func abandoned(dir string) bool {
	info, err := os.Lstat(dir)
	if err != nil || !info.IsDir() || info.Mode().Perm()&0o022 != 0 {
		return false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || int(st.Uid) != os.Geteuid() {
		return false
	}
	// Without the file it may be a server that is just starting.
	_, err = os.Lstat(filepath.Join(dir, "lock"))
	return err == nil
}

func (l *dataLock) release() { _ = l.f.Close() }
