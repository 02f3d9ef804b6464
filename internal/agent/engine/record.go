package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/remit-ecs/remit/internal/agent/acs"
)

// recordVersion is the schema of a task's file.
const recordVersion = 1

// record is what outlives the agent: everything but keys.
type record struct {
	Version     int               `json:"version"`
	Task        acs.Task          `json:"task"`
	WantStop    bool              `json:"wantStop,omitempty"`
	Reason      string            `json:"reason,omitempty"`
	Released    bool              `json:"released,omitempty"`
	StoppedAt   time.Time         `json:"stoppedAt,omitzero"`
	PendingSent bool              `json:"pendingSent,omitempty"`
	RunningSent bool              `json:"runningSent,omitempty"`
	StoppedSent bool              `json:"stoppedSent,omitempty"`
	Events      []event           `json:"events,omitempty"`
	Containers  []recordContainer `json:"containers,omitempty"`
}

type recordContainer struct {
	Status   containerStatus `json:"status"`
	Reported containerStatus `json:"reported,omitempty"`
	Ran      bool            `json:"ran,omitempty"`
	ExitCode *int            `json:"exitCode,omitempty"`
	Reason   string          `json:"reason,omitempty"`
	Digest   string          `json:"digest,omitempty"`
}

func (t *task) file() string { return filepath.Join(t.engine.opts.DataDir, "tasks", t.id+".json") }

// save writes the record; t.mu is held.
func (t *task) save() error {
	r := record{
		Version: recordVersion, Task: t.payload, WantStop: t.wantStop, Reason: t.reason,
		Released: t.release == gone, StoppedAt: t.stoppedAt,
		PendingSent: t.pendingSent, RunningSent: t.runningSent, StoppedSent: t.stoppedSent, Events: t.events,
	}
	for _, c := range t.containers {
		r.Containers = append(r.Containers, recordContainer{c.status, c.reported, c.ran, c.exitCode, c.reason, c.digest})
	}
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return WriteFile(t.file(), b)
}

// WriteFile replaces a file as one step: after a crash it holds the old bytes
// or the new ones.
func WriteFile(name string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".tmp-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}

// Restore reads the tasks of an earlier process. Call it once, after the
// runtime and the network have swept what that process left, and before the
// first Accept. Containers do not survive the sweep, so a task that had any
// ends here; one that had none begins again when its credentials arrive;
// reports that were not accepted are sent.
func (e *Engine) Restore() error {
	dir := filepath.Join(e.opts.DataDir, "tasks")
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		name := filepath.Join(dir, entry.Name())
		if !strings.HasSuffix(name, ".json") {
			_ = os.Remove(name) // a half-written file
			continue
		}
		if err := e.restore(name); err != nil {
			// One bad file must not keep the host from working, and must not
			// be lost either.
			e.log.Error("task file set aside", "file", name, "error", err)
			if err := os.Rename(name, name+".unreadable"); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}

func (e *Engine) restore(name string) error {
	b, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	var r record
	if err := json.Unmarshal(b, &r); err != nil {
		return err
	}
	if r.Version != recordVersion || len(r.Containers) != len(r.Task.Containers) {
		return fmt.Errorf("record version %d with %d containers is not understood", r.Version, len(r.Containers))
	}
	// The same rules as for a task off the wire: the file is only a file.
	raw, err := json.Marshal(r.Task)
	if err != nil {
		return err
	}
	if _, err := acs.DecodeTask(raw); err != nil {
		return err
	}
	t := newTask(e, taskID(r.Task.ARN), r.Task)
	if t.file() != name {
		return fmt.Errorf("the file holds task %s", r.Task.ARN)
	}
	t.wantStop, t.reason, t.stoppedAt = r.WantStop || t.wantStop, r.Reason, r.StoppedAt
	t.pendingSent, t.runningSent, t.stoppedSent = r.PendingSent, r.RunningSent, r.StoppedSent
	begun := false
	for i, c := range r.Containers {
		begun = begun || c.Status != none && c.Status != pulled
		t.containers[i].digest = c.Digest
	}
	if begun || r.Released {
		for i, c := range r.Containers {
			now := t.containers[i]
			now.status, now.reported, now.ran, now.exitCode, now.reason = stopped, c.Reported, c.Ran, c.ExitCode, c.Reason
			if c.Status != stopped && !r.Released {
				now.reason = reason("restarted")
			}
		}
	}
	if begun && !r.Released && t.reason == "" && !t.wantStop {
		t.reason = reason("restarted")
	}
	if r.Released {
		t.network, t.resources, t.release = gone, gone, gone
		close(t.released)
	}
	if err := t.supported(); err != nil && !r.Released && !begun {
		return err
	}
	e.mu.Lock()
	e.tasks[t.payload.ARN] = t
	e.mu.Unlock()
	t.publishCredentials()
	t.update(func() {
		for _, ev := range r.Events {
			t.queue(ev)
		}
	})
	if r.Released {
		t.cleanUpLater()
	}
	return nil
}

// cleanUpLater forgets the task when its time has come and nothing waits to be
// reported. Until then its execution role keys are kept for late log events.
func (t *task) cleanUpLater() {
	t.engine.goroutine(func() {
		t.mu.Lock()
		wait := t.stoppedAt.Add(t.engine.opts.CleanUpWait).Sub(t.engine.now())
		t.mu.Unlock()
		for {
			if t.engine.opts.Clock.Sleep(t.engine.ctx, max(wait, 10*time.Millisecond)) != nil {
				return
			}
			if t.queued() == 0 {
				break
			}
			wait = time.Second
		}
		if t.execution != nil {
			t.execution.drop()
		}
		t.engine.forget(t)
	})
}
