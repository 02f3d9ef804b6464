package network

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// onThread runs fn on an operating system thread of its own, which dies with
// fn. Functions that change their network namespace run here and nowhere else:
// the thread is never unlocked, so no other goroutine can find itself in the
// wrong namespace, even after an error half-way.
func onThread(fn func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			// The main thread cannot die, and /proc/PID/ns/net is its
			// namespace. Hold it while another thread does the work.
			done <- onThread(fn)
			runtime.UnlockOSThread()
			return
		}
		done <- fn()
	}()
	return <-done
}

// elsewhere runs fn in the host's namespace while the calling thread, which is
// locked, stays in another one, and waits for it.
func elsewhere(fn func() error) error {
	done := make(chan error, 1)
	go func() { done <- fn() }()
	return <-done
}

// newNamespace gives the calling thread a new network namespace and returns a
// file that keeps it.
func newNamespace() (*os.File, error) {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return nil, fmt.Errorf("creating a network namespace: %w", err)
	}
	return os.Open("/proc/thread-self/ns/net")
}

// nsfsMagic is the file system type of namespace files.
const nsfsMagic = 0x6e736673

// openNamespace opens the network namespace at path and nothing else.
func openNamespace(path string) (*os.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("opening the task's network namespace: %w", err)
	}
	// The file system first: the request means something else to other files.
	var s unix.Statfs_t
	err = unix.Fstatfs(int(f.Fd()), &s)
	kind := 0
	if err == nil && uint32(s.Type) == nsfsMagic {
		kind, err = unix.IoctlRetInt(int(f.Fd()), unix.NS_GET_NSTYPE)
	}
	if err != nil || kind != unix.CLONE_NEWNET {
		f.Close()
		return nil, fmt.Errorf("opening the task's network namespace: %s is not a network namespace", path)
	}
	return f, nil
}

// enter moves the calling thread into a network namespace.
func enter(ns *os.File) error {
	if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("entering a network namespace: %w", err)
	}
	return nil
}

// sameNamespace reports whether ns is the network namespace of this process.
func sameNamespace(ns *os.File) (bool, error) {
	var a, b unix.Stat_t
	if err := unix.Fstat(int(ns.Fd()), &a); err != nil {
		return false, err
	}
	if err := unix.Stat("/proc/self/ns/net", &b); err != nil {
		return false, err
	}
	return a.Dev == b.Dev && a.Ino == b.Ino, nil
}

// sysctl sets a value below net of the calling thread's namespace, unless it
// already has it: /proc/sys may be read-only, which only matters for a change.
func sysctl(name, value string) error {
	// Interface names may hold dots, so names are given with slashes.
	path := "/proc/sys/net/" + name
	if old, err := os.ReadFile(path); err != nil {
		return err
	} else if strings.Join(strings.Fields(string(old)), " ") == value {
		return nil
	}
	return os.WriteFile(path, []byte(value), 0o644)
}

// setting is a sysctl with its wanted value.
type setting struct{ name, value string }

// sysctls applies all settings. Those that this kernel does not have are
// skipped: without the feature there is nothing to restrict.
func sysctls(settings []setting) error {
	for _, s := range settings {
		if err := sysctl(s.name, s.value); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("sysctl net/%s=%s: %w", s.name, s.value, err)
		}
	}
	return nil
}
