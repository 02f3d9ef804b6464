package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"github.com/remit-ecs/remit/internal/agent/acs"
)

// event is one SubmitTaskStateChange that has not been accepted yet.
type event struct {
	Task             string           `json:"task"`
	Status           string           `json:"status,omitempty"`
	Reason           string           `json:"reason,omitempty"`
	PullStarted      *time.Time       `json:"pullStarted,omitempty"`
	PullStopped      *time.Time       `json:"pullStopped,omitempty"`
	ExecutionStopped *time.Time       `json:"executionStopped,omitempty"`
	Containers       []containerEvent `json:"containers,omitempty"`
	Attachments      []string         `json:"attachments,omitempty"` // ARNs, ATTACHED
}

type containerEvent struct {
	Name        string                 `json:"name"`
	RuntimeID   string                 `json:"runtimeId,omitempty"`
	ImageDigest string                 `json:"imageDigest,omitempty"`
	Status      string                 `json:"status"`
	ExitCode    *int                   `json:"exitCode,omitempty"`
	Reason      string                 `json:"reason,omitempty"`
	Bindings    []types.NetworkBinding `json:"bindings,omitempty"`
}

// report queues what the control plane does not know yet; t.mu is held.
//
//	PENDING  once, when every image name has been resolved to a digest
//	RUNNING  once, when every container has at least started; a container that
//	         has already stopped again stands there twice, in order
//	STOPPED  once, when everything is released
func (t *task) report() {
	o := t.observed()
	ev := event{Task: t.payload.ARN, PullStarted: stamp(t.times.pullStarted), PullStopped: stamp(t.times.pullStopped)}
	switch {
	case t.stoppedSent:
		return
	case t.release == gone:
		t.stoppedSent = true
		ev.Status, ev.Reason = "STOPPED", cut(t.reason)
		ev.ExecutionStopped = stamp(t.times.executionStopped)
		for _, c := range t.containers {
			ev.Containers = append(ev.Containers, t.entry(c, stopped))
		}
	case !t.runningSent && allStarted(o):
		t.runningSent = true
		ev.Status = "RUNNING"
		for _, c := range t.containers {
			ev.Containers = append(ev.Containers, t.entry(c, running))
			if c.status == stopped {
				ev.Containers = append(ev.Containers, t.entry(c, stopped))
			}
		}
	case !t.pendingSent && !t.runningSent && t.resolved():
		t.pendingSent = true
		ev.Status = "PENDING"
		for _, c := range t.containers {
			ev.Containers = append(ev.Containers, containerEvent{Name: c.payload.Name, Status: "PENDING", ImageDigest: c.digest})
		}
	case t.runningSent && !stopping(t.wanted(), o):
		// A container that ended by itself in a task that goes on.
		for _, c := range t.containers {
			if c.status == stopped && c.reported != stopped {
				ev.Containers = append(ev.Containers, t.entry(c, stopped))
			}
		}
		if len(ev.Containers) == 0 {
			return
		}
		ev.Status = "RUNNING"
	default:
		return
	}
	t.queue(ev)
}

func (t *task) resolved() bool {
	for _, c := range t.containers {
		if c.digest == "" {
			return false
		}
	}
	return len(t.containers) > 0
}

func (t *task) entry(c *container, status containerStatus) containerEvent {
	c.reported = status
	e := containerEvent{Name: c.payload.Name, Status: string(status), ImageDigest: c.digest, Bindings: t.bindings(c)}
	if c.ran {
		e.RuntimeID = c.runtimeID
	}
	if status == stopped {
		e.ExitCode, e.Reason = c.exitCode, c.reason
	}
	return e
}

// bindings are the host ports of a container. Only tasks on the host's network
// have any: in a namespace of its own, a container's port is the task's port.
func (t *task) bindings(c *container) []types.NetworkBinding {
	if !t.onHostNetwork() || !c.ran {
		return nil
	}
	var out []types.NetworkBinding
	for _, p := range c.payload.PortMappings {
		protocol := types.TransportProtocolTcp
		if p.Protocol == "udp" {
			protocol = types.TransportProtocolUdp
		}
		out = append(out, types.NetworkBinding{
			BindIP: aws.String("0.0.0.0"), Protocol: protocol,
			ContainerPort: aws.Int32(int32(p.ContainerPort)), HostPort: aws.Int32(int32(p.ContainerPort)),
		})
	}
	return out
}

// queue adds an event and makes sure that somebody sends it; t.mu is held.
func (t *task) queue(ev event) {
	t.events = append(t.events, ev)
	if !t.reporting {
		t.reporting = true
		// update holds t.mu, and goroutine takes the engine's lock, which is
		// never held while a task's is taken.
		t.engine.goroutine(t.sendEvents)
	}
}

// sendEvents delivers the queue in order, each until it is accepted.
func (t *task) sendEvents() {
	for {
		t.mu.Lock()
		if len(t.events) == 0 {
			t.reporting = false
			t.mu.Unlock()
			return
		}
		ev := t.events[0]
		t.mu.Unlock()
		if !t.engine.submitForever(ev) {
			return // the agent is going; the file still has the event
		}
		t.mu.Lock()
		t.events = t.events[1:]
		if err := t.save(); err != nil {
			t.log.Error("task state not saved", "error", err)
		}
		t.mu.Unlock()
	}
}

// submitForever sends one event until it is accepted, whatever the answer was:
// the control plane decides what to do with what it does not like, and must
// not be left believing an old state. False means that the agent is going.
func (e *Engine) submitForever(ev event) bool {
	backoff := e.opts.ReportBackoff
	for {
		ctx, cancel := context.WithTimeout(e.ctx, time.Minute)
		_, err := e.opts.Submit.SubmitTaskStateChange(ctx, ev.input(e.opts.Cluster))
		cancel()
		if err == nil {
			e.log.Info("state change reported", "task", ev.Task, "lastStatus", ev.Status)
			return true
		}
		if e.ctx.Err() != nil {
			return false
		}
		delay := backoff.Next()
		e.log.Warn("state change not accepted", "task", ev.Task, "lastStatus", ev.Status, "error", err, "retryIn", delay)
		select {
		case <-e.ctx.Done():
			return false
		case <-time.After(delay):
		}
	}
}

func (ev *event) input(cluster string) *ecs.SubmitTaskStateChangeInput {
	in := &ecs.SubmitTaskStateChangeInput{
		Cluster: aws.String(cluster), Task: aws.String(ev.Task),
		PullStartedAt: ev.PullStarted, PullStoppedAt: ev.PullStopped, ExecutionStoppedAt: ev.ExecutionStopped,
	}
	if ev.Status != "" {
		in.Status, in.Reason = aws.String(ev.Status), aws.String(ev.Reason)
	}
	for _, c := range ev.Containers {
		out := types.ContainerStateChange{ContainerName: aws.String(c.Name), Status: aws.String(c.Status), NetworkBindings: c.Bindings}
		if c.RuntimeID != "" {
			out.RuntimeId = aws.String(c.RuntimeID)
		}
		if c.ImageDigest != "" {
			out.ImageDigest = aws.String(c.ImageDigest)
		}
		if c.ExitCode != nil {
			out.ExitCode = aws.Int32(int32(*c.ExitCode))
		}
		if c.Reason != "" {
			out.Reason = aws.String(cut(c.Reason))
		}
		in.Containers = append(in.Containers, out)
	}
	for _, arn := range ev.Attachments {
		in.Attachments = append(in.Attachments, types.AttachmentStateChange{AttachmentArn: aws.String(arn), Status: aws.String("ATTACHED")})
	}
	return in
}

func stamp(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

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
		wait := time.Until(t.stoppedAt.Add(t.engine.opts.CleanUpWait))
		t.mu.Unlock()
		for {
			select {
			case <-t.engine.ctx.Done():
				return
			case <-time.After(max(wait, 10*time.Millisecond)):
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
