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
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("%s is in use by another remit: %w", dir, err)
	}
	return &dataLock{f}, nil
}

func (l *dataLock) release() { _ = l.f.Close() }
