package ecs

import (
	"context"
	"time"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/ecsapi"
	"github.com/remit-ecs/remit/internal/store"
)

// What package hosts, the other end of the agents' websockets, reads and
// writes.

// FindInstance returns a container instance by its ARN, whatever its status.
func FindInstance(r store.Reader, arn string) (*Instance, bool) {
	ref, ciID, ok := parseARN("container-instance", arn)
	if !ok {
		return nil, false
	}
	return instances.Get(r, ref.account+"/"+ref.region, ref.name+"/"+ciID)
}

// InstanceHome is the shard of a container instance by its ARN; false for what
// is no such ARN.
func InstanceHome(arn string) (shard, clusterARN string, ok bool) {
	ref, _, ok := parseARN("container-instance", arn)
	return ref.account + "/" + ref.region, ref.arn(), ok
}

// FindTask returns a task by its ARN.
func FindTask(r store.Reader, arn string) (*Task, bool) {
	ref, taskID, ok := parseARN("task", arn)
	if !ok {
		return nil, false
	}
	return tasks.Get(r, ref.account+"/"+ref.region, ref.name+"/"+taskID)
}

// TasksOn returns the tasks that are on an instance and not STOPPED.
func TasksOn(r store.Reader, i *Instance) []*Task { return tasksOn(r, tasks.Shards(r), i) }

// DefinitionOf returns the task definition that a task runs.
func DefinitionOf(r store.Reader, t *Task) (*ecsapi.TaskDefinition, bool) {
	d, ok := definitions.Get(r, t.Shard(), t.Definition)
	if !ok {
		return nil, false
	}
	return &d.Shown, true
}

// Connect notes that the agent of an instance is on a new connection, and
// returns the sequence number for its manifest: higher than all before. It
// returns false where the instance is not to be served any more.
func (s *Service) Connect(ctx context.Context, i *Instance, connection string) (timeline int64, ok bool, err error) {
	err = s.Store.Update(ctx, i.Shard(), func(tx *store.Tx) error {
		e, found := instances.Edit(tx, i.key())
		if ok = found && e.Status != "INACTIVE"; !ok {
			return nil
		}
		e.Connection, e.Seen = connection, s.Clock.Now()
		e.Timeline++
		timeline = e.Timeline
		instances.Put(tx, e.key(), e)
		return nil
	})
	return timeline, ok, err
}

// Alive notes a sign of life on a connection. It returns false where another
// connection has taken its place, or the instance was given up.
func (s *Service) Alive(ctx context.Context, i *Instance, connection string) (ok bool, err error) {
	err = s.Store.Update(ctx, i.Shard(), func(tx *store.Tx) error {
		e, found := instances.Edit(tx, i.key())
		if ok = found && e.Connection == connection; ok {
			e.Seen = s.Clock.Now()
			instances.Put(tx, e.key(), e)
		}
		return nil
	})
	return ok, err
}

// Disconnect notes the end of a connection, unless another took its place.
func (s *Service) Disconnect(ctx context.Context, i *Instance, connection string) error {
	return s.Store.Update(ctx, i.Shard(), func(tx *store.Tx) error {
		if e, ok := instances.Edit(tx, i.key()); ok && e.Connection == connection {
			e.Connection, e.Seen = "", s.Clock.Now()
			instances.Put(tx, e.key(), e)
		}
		return nil
	})
}

// MarkSent notes, before a task is sent to its host for the first time, that it
// may have reached it. Whoever serves the host next, after a restart too, knows.
func (s *Service) MarkSent(ctx context.Context, t *Task) error {
	return s.Store.Update(ctx, t.Shard(), func(tx *store.Tx) error {
		if e, ok := tasks.Edit(tx, t.key()); ok && !e.Sent {
			e.Sent = true
			tasks.Put(tx, e.key(), e)
		}
		return nil
	})
}

// FailToStart stops a task that cannot be delivered. One that may have reached
// its host before t was read is STOPPED only when the host says so: its
// containers may be running.
func (s *Service) FailToStart(ctx context.Context, t *Task, reason string) error {
	return s.Store.Update(ctx, t.Shard(), func(tx *store.Tx) error {
		e, ok := tasks.Edit(tx, t.key())
		if !ok || e.Status() == StatusStopped {
			return nil
		}
		now := s.Clock.Now()
		wantStopped(e, ecsapi.TaskStopCodeTaskFailedToStart, reason, now)
		if !t.Sent && e.Status() == StatusPending {
			s.finish(e, now)
		}
		tasks.Put(tx, e.key(), e)
		return nil
	})
}

// ContainerHealth is what an agent measured of a container.
type ContainerHealth struct {
	Name   string
	Status string // HEALTHY, UNHEALTHY or UNKNOWN
}

// Health takes over the health of a task's containers, if the task is on the
// instance. The task is as healthy as the worst of them.
func (s *Service) Health(ctx context.Context, i *Instance, taskARN string, reported []ContainerHealth) error {
	v := s.Store.View(ctx)
	t, ok := FindTask(v, taskARN)
	if !ok || t.Host != i.ARN() || !changesHealth(t, reported) {
		return v.Err()
	}
	return s.Store.Update(ctx, t.Shard(), func(tx *store.Tx) error {
		e, ok := tasks.Edit(tx, t.key())
		if !ok || e.Host != i.ARN() || !changesHealth(e, reported) {
			return nil
		}
		worst := ecsapi.HealthStatusUnknown
		for n := range e.Shown.Containers {
			ct := &e.Shown.Containers[n]
			for _, h := range reported {
				if h.Name == api.Value(ct.Name) {
					ct.HealthStatus = health(h.Status)
				}
			}
			if ct.HealthStatus == ecsapi.HealthStatusUnhealthy || worst == ecsapi.HealthStatusUnknown {
				worst = ct.HealthStatus
			}
		}
		e.Shown.HealthStatus = worst
		touch(e)
		tasks.Put(tx, e.key(), e)
		return nil
	})
}

func health(s string) ecsapi.HealthStatus {
	switch h := ecsapi.HealthStatus(s); h {
	case ecsapi.HealthStatusHealthy, ecsapi.HealthStatusUnhealthy:
		return h
	}
	return ecsapi.HealthStatusUnknown
}

func changesHealth(t *Task, reported []ContainerHealth) bool {
	for _, ct := range t.Shown.Containers {
		for _, h := range reported {
			if h.Name == api.Value(ct.Name) && health(h.Status) != ct.HealthStatus {
				return true
			}
		}
	}
	return false
}

// Timeout is how long an agent may take to stop a task: the longest of its
// containers' stop timeouts, or 30 seconds.
func Timeout(d *ecsapi.TaskDefinition) time.Duration {
	longest := 30 * time.Second
	if d != nil {
		for _, cd := range d.ContainerDefinitions {
			longest = max(longest, time.Duration(api.Value(cd.StopTimeout))*time.Second)
		}
	}
	return longest
}
