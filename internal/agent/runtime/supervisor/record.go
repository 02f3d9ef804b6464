package supervisor

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// record is what a later process needs to end a container of this one.
type record struct {
	ID   string `json:"id"`
	Name string `json:"name,omitempty"`
	// Pid is 0 until the start. With StartTime and Boot it names one
	// process for ever: a number alone may since belong to another.
	Pid       int    `json:"pid,omitempty"`
	StartTime uint64 `json:"startTime,omitempty"`
	Boot      string `json:"boot,omitempty"`
}

func writeRecord(dir string, r record) error {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	// Replaced in one step, so that a crash leaves the old or the new. No
	// sync: the record only matters to this boot.
	tmp := filepath.Join(dir, "state.json.new")
	if err := os.WriteFile(tmp, b, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, filepath.Join(dir, "state.json"))
}

// Leftover returns the first process of the container that an earlier agent
// left in dir, and whether it is still that process. The pid is returned even
// when it is not, since a process group may outlive its leader.
func Leftover(dir string) (pid int, alive bool, err error) {
	b, err := os.ReadFile(filepath.Join(dir, "state.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	var r record
	if err := json.Unmarshal(b, &r); err != nil {
		return 0, false, err
	}
	if r.Pid <= 1 || r.Boot != bootID() {
		return 0, false, nil
	}
	return r.Pid, r.StartTime != 0 && startTime(r.Pid) == r.StartTime, nil
}

// RemoveTree deletes a directory tree, also when directories in it are closed
// to their owner.
func RemoveTree(dir string) error {
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
