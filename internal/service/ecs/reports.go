package ecs

import (
	"cmp"
	"time"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/ecsapi"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/gateway"
)

// What agents report. An agent repeats a report for ever until it is accepted,
// and everything else it knows about the task waits behind: so a task that
// nobody knows is accepted and forgotten, and only a task of another host is
// refused.

const maxReason = 1024

func clip(s *string) *string {
	if s != nil && len(*s) > maxReason {
		return api.Ptr((*s)[:maxReason])
	}
	return s
}

func acknowledged() *string { return api.Ptr("ACK") }

// reported finds the task of a report and checks that it is on an instance of
// the caller's. No task and no error means: accept and forget.
func (s *Service) reported(c *gateway.Call, task *string) (*Task, error) {
	ref, taskID, ok := parseARN("task", api.Value(task))
	if !ok || gateway.Regional(ref.account, ref.region) != c.Home {
		return nil, nil
	}
	t, ok := tasks.Edit(c.Tx, ref.name+"/"+taskID)
	if !ok {
		return nil, nil
	}
	for _, i := range instances.By(c.Tx, gateway.Regional(c.Account, c.Region), "principal", c.Principal.UserID) {
		if i.ARN() == t.Host {
			return t, nil
		}
	}
	return nil, ecsapi.AccessDeniedException("The task %s is not placed on a container instance of %s.", t.ARN(), c.Principal.ARN)
}

func (s *Service) maySubmitTaskStateChange(c *gateway.Call, in *ecsapi.SubmitTaskStateChangeInput) ([]authz.Ask, error) {
	return s.askCluster(c, "ecs:SubmitTaskStateChange", in.Cluster)
}

func (s *Service) submitTaskStateChange(c *gateway.Call, in *ecsapi.SubmitTaskStateChangeInput) (*ecsapi.SubmitTaskStateChangeOutput, error) {
	t, err := s.reported(c, in.Task)
	if err != nil {
		return nil, err
	}
	if t != nil && t.Status() != StatusStopped {
		for _, cs := range in.Containers {
			applyContainer(t, cs)
		}
		s.applyTask(t, in, c.Time)
		touch(t)
		tasks.Put(c.Tx, t.key(), t)
	}
	return &ecsapi.SubmitTaskStateChangeOutput{Acknowledgment: acknowledged()}, nil
}

// applyContainer takes over what is said of one container. Entries are applied
// in order: the first report of a task may tell of one container twice.
func applyContainer(t *Task, cs ecsapi.ContainerStateChange) {
	for i := range t.Shown.Containers {
		ct := &t.Shown.Containers[i]
		if api.Value(ct.Name) != api.Value(cs.ContainerName) {
			continue
		}
		switch st := api.Value(cs.Status); st {
		case StatusPending, StatusRunning, StatusStopped:
			if api.Value(ct.LastStatus) != StatusStopped {
				ct.LastStatus = &st
			}
		}
		ct.RuntimeId = cmp.Or(cs.RuntimeId, ct.RuntimeId)
		ct.ImageDigest = cmp.Or(cs.ImageDigest, ct.ImageDigest)
		ct.ExitCode = cmp.Or(cs.ExitCode, ct.ExitCode)
		if api.Value(cs.Reason) != "" {
			ct.Reason = clip(cs.Reason)
		}
		if len(cs.NetworkBindings) > 0 {
			ct.NetworkBindings = cs.NetworkBindings
		}
	}
}

// applyTask takes over what is said of the task itself.
func (s *Service) applyTask(t *Task, in *ecsapi.SubmitTaskStateChangeInput, now time.Time) {
	t.Shown.PullStartedAt = cmp.Or(t.Shown.PullStartedAt, in.PullStartedAt)
	t.Shown.PullStoppedAt = cmp.Or(t.Shown.PullStoppedAt, in.PullStoppedAt)
	switch api.Value(in.Status) {
	case StatusRunning:
		if t.Shown.StartedAt == nil {
			t.Shown.StartedAt = api.At(now)
		}
		advance(t, StatusRunning)
	case StatusStopped:
		t.Shown.ExecutionStoppedAt = cmp.Or(in.ExecutionStoppedAt, api.At(now))
		code, reason := stopCause(t, in)
		wantStopped(t, code, *clip(&reason), now)
		if t.Interface != nil {
			advance(t, StatusDeprovisioning)
		} else {
			s.finish(t, now)
		}
	}
}

// stopCause derives why a task stopped by itself: agents report no stop code.
func stopCause(t *Task, in *ecsapi.SubmitTaskStateChangeInput) (ecsapi.TaskStopCode, string) {
	ran := t.Shown.StartedAt != nil
	why := ""
	for _, ct := range t.Shown.Containers {
		ran = ran || ct.ExitCode != nil
		why = cmp.Or(why, api.Value(ct.Reason))
	}
	reason := api.Value(in.Reason)
	switch {
	case ran:
		return ecsapi.TaskStopCodeEssentialContainerExited, cmp.Or(reason, "Essential container in task exited")
	case t.Fargate():
		// On Fargate the reason of the container stands at the task too.
		return ecsapi.TaskStopCodeTaskFailedToStart, cmp.Or(reason, why, "Task failed to start")
	}
	return ecsapi.TaskStopCodeTaskFailedToStart, cmp.Or(reason, "Task failed to start")
}

func (s *Service) maySubmitContainerStateChange(c *gateway.Call, in *ecsapi.SubmitContainerStateChangeInput) ([]authz.Ask, error) {
	return s.askCluster(c, "ecs:SubmitContainerStateChange", in.Cluster)
}

func (s *Service) submitContainerStateChange(c *gateway.Call, in *ecsapi.SubmitContainerStateChangeInput) (*ecsapi.SubmitContainerStateChangeOutput, error) {
	t, err := s.reported(c, in.Task)
	if err != nil {
		return nil, err
	}
	if t != nil && t.Status() != StatusStopped {
		applyContainer(t, ecsapi.ContainerStateChange{
			ContainerName: in.ContainerName, RuntimeId: in.RuntimeId, Status: in.Status,
			ExitCode: in.ExitCode, Reason: in.Reason, NetworkBindings: in.NetworkBindings,
		})
		touch(t)
		tasks.Put(c.Tx, t.key(), t)
	}
	return &ecsapi.SubmitContainerStateChangeOutput{Acknowledgment: acknowledged()}, nil
}

func (s *Service) maySubmitAttachmentStateChanges(c *gateway.Call, in *ecsapi.SubmitAttachmentStateChangesInput) ([]authz.Ask, error) {
	return s.askCluster(c, "ecs:SubmitAttachmentStateChanges", in.Cluster)
}

// submitAttachmentStateChanges changes nothing: an interface counts as attached
// from the moment the control plane gave it its address.
func (s *Service) submitAttachmentStateChanges(*gateway.Call, *ecsapi.SubmitAttachmentStateChangesInput) (*ecsapi.SubmitAttachmentStateChangesOutput, error) {
	return &ecsapi.SubmitAttachmentStateChangesOutput{Acknowledgment: acknowledged()}, nil
}
