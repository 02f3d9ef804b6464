package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// awaitExit returns when the child has ended, without collecting it.
func awaitExit(pid int) {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// endAll kills the container's leader, if its number is given, and every
// process that carries the container's mark, until there are none.
func endAll(ctx context.Context, dir string, leader int) error {
	mark := []byte(marker + "=" + dir + "\x00")
	for deadline := time.Now().Add(10 * time.Second); ; {
		pids, err := marked(mark)
		if err != nil {
			return err
		}
		if leader != 0 {
			// It may have cleared its environment; its number was checked
			// against its start time.
			unix.Kill(-leader, unix.SIGKILL)
			leader = 0
			continue
		}
		if len(pids) == 0 {
			return nil
		}
		for _, pid := range pids {
			fd, err := unix.PidfdOpen(pid, 0)
			if err != nil {
				continue
			}
			// Read again with the handle held: still the same process?
			if carries(pid, mark) {
				unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0)
			}
			unix.Close(fd)
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("processes do not end: %v", pids)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(2 * time.Millisecond):
		}
	}
}

func marked(mark []byte) ([]int, error) {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, d := range dirs {
		pid, err := strconv.Atoi(filepath.Base(d))
		if err == nil && carries(pid, mark) {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// carries reports the mark in a process's environment. A process that has
// ended has none, collected or not.
func carries(pid int, mark []byte) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	return err == nil && bytes.Contains(append([]byte{0}, b...), append([]byte{0}, mark...))
}
