//go:build cgo

package embedded

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/cgroups"
	"github.com/opencontainers/cgroups/manager"
	"golang.org/x/sys/unix"
)

// Sweep implements supervisor.Driver. Everything that a dead agent with this
// state root started is in the state root's cgroup, put there before its
// command ran, so there are no process numbers to remember and to confuse.
// Without root there are no cgroups, and numbers it is: see sweepRootless.
func (d *driver) Sweep(ctx context.Context, dirs []string) error {
	if d.rootless {
		return sweepRootless(ctx, dirs)
	}
	m, err := manager.New(&cgroups.Cgroup{Path: d.cgroup, Resources: &cgroups.Resources{SkipDevices: true}})
	if err != nil {
		return err
	}
	for _, path := range slices.Sorted(maps.Values(m.GetPaths())) {
		if err := endCgroup(ctx, path); err != nil {
			return err
		}
	}
	if err := m.Destroy(); err != nil {
		return err
	}
	return unmountAll(filepath.Join(d.opts.Root, "containers"))
}

// endCgroup kills what runs in the cgroup directory or below until nothing does.
func endCgroup(ctx context.Context, dir string) error {
	for deadline := time.Now().Add(10 * time.Second); ; {
		pids, err := pidsBelow(dir)
		if err != nil {
			return err
		}
		if len(pids) == 0 {
			return nil
		}
		if err := thaw(dir); err != nil {
			return err
		}
		for pid, cgroup := range pids {
			if err := killInside(pid, cgroup); err != nil {
				return fmt.Errorf("process %d in %s: %w", pid, cgroup, err)
			}
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("processes in %s do not end: %v", dir, slices.Sorted(maps.Keys(pids)))
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// pidsBelow maps each process to the cgroup directory it is in.
func pidsBelow(dir string) (map[int]string, error) {
	pids := map[int]string{}
	err := filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || !e.IsDir() {
			return err
		}
		list, err := readPids(p)
		for _, pid := range list {
			pids[pid] = p
		}
		return err
	})
	return pids, err
}

func readPids(dir string) ([]int, error) {
	f, err := os.Open(filepath.Join(dir, "cgroup.procs"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var pids []int
	sc := bufio.NewScanner(f)
	for sc.Scan() {
		// 0 is a process of a pid namespace we cannot see.
		if pid, err := strconv.Atoi(strings.TrimSpace(sc.Text())); err == nil && pid > 1 {
			pids = append(pids, pid)
		}
	}
	if err := sc.Err(); err != nil && !errors.Is(err, unix.ENODEV) {
		return nil, err
	}
	return pids, nil
}

// killInside kills the process if it is still in the cgroup: the handle is
// taken first and the membership read again, so that a number that changed
// hands in between is not mistaken.
func killInside(pid int, cgroup string) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EINVAL) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	now, err := readPids(cgroup)
	if err != nil {
		return err
	}
	if !slices.Contains(now, pid) {
		return nil
	}
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return err
	}
	return nil
}

// thaw lets frozen processes of cgroup v1 receive their signal.
func thaw(dir string) error {
	return filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		if err != nil || e.Name() != "freezer.state" {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return err
		}
		err = os.WriteFile(p, []byte("THAWED"), 0)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
}
