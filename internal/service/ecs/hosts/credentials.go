package hosts

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/stsapi"
	"github.com/remit-ecs/remit/internal/gateway"
	"github.com/remit-ecs/remit/internal/id"
	"github.com/remit-ecs/remit/internal/service/ecs"
	"github.com/remit-ecs/remit/internal/store"
)

// Role types of a credential set.
const (
	roleApplication = "TaskApplication" // the task role
	roleExecution   = "TaskExecution"   // the task execution role
)

const (
	sessionLength = 6 * time.Hour // both roles, whatever their own limit
	retry         = 30 * time.Second
)

type reader = store.Reader

// mayPush asks again whether the host may poll, with the policies of now: a
// host that lost the right gets no further credentials.
func (se *session) mayPush() error {
	err := se.Gateway.Ask(se.call, func(*gateway.Call) string { return se.inst.Shard() }, rule(opPoll, se.inst.ARN(), se.inst.ClusterARN()))
	switch {
	case err == nil:
		return nil
	case err.Fault == api.FaultServer:
		return err
	}
	return errBarred
}

// mint assumes a role for a task.
func (se *session) mint(ctx context.Context, t *ecs.Task, roleARN, roleType string) (*roleCredentials, error) {
	if roleARN == "" {
		return nil, nil
	}
	out, err := gateway.Invoke(ctx, se.Tasks, gateway.Target{Account: t.Account, Region: t.Region, SourceARN: t.ARN()}, stsapi.AssumeRole, &stsapi.AssumeRoleInput{
		RoleArn: &roleARN, RoleSessionName: &t.ID, DurationSeconds: api.Ptr(int32(sessionLength / time.Second)),
	})
	if err != nil {
		return nil, err
	}
	c := out.Credentials
	se.log.Debug("hosts: credentials minted", "task", t.ARN(), "role", roleARN, "roleType", roleType)
	return &roleCredentials{
		CredentialsID: se.ECS.CredentialsID(t, roleType), RoleARN: roleARN,
		AccessKeyID: api.Value(c.AccessKeyId), SecretAccessKey: api.Value(c.SecretAccessKey), SessionToken: api.Value(c.SessionToken),
		Expiration: c.Expiration.UTC().Format(time.RFC3339),
	}, nil
}

// start delivers a task with fresh credentials. A role that cannot be assumed
// stops the task before any container runs.
func (se *session) start(ctx context.Context, r reader, t *ecs.Task, d *delivery, now time.Time) error {
	if d.run.bytes != nil {
		return se.again(ctx, &d.run, now)
	}
	if now.Before(d.retryAt) {
		return nil
	}
	if err := se.mayPush(); err != nil {
		return err
	}
	def, ok := ecs.DefinitionOf(r, t)
	if !ok {
		return se.ECS.FailToStart(ctx, t, "TaskFailedToStart: the task definition no longer exists")
	}
	var task, execution *roleCredentials
	var taskErr, executionErr error
	var both sync.WaitGroup
	both.Go(func() { execution, executionErr = se.mint(ctx, t, t.ExecutionRole, roleExecution) })
	task, taskErr = se.mint(ctx, t, t.TaskRole, roleApplication)
	both.Wait()
	for _, f := range [...]struct {
		role string
		err  error
	}{{t.TaskRole, taskErr}, {t.ExecutionRole, executionErr}} {
		if f.err == nil {
			continue
		}
		se.log.Warn("hosts: role not assumed", "task", t.ARN(), "role", f.role, "error", f.err)
		var refusal *api.Error
		if errors.As(f.err, &refusal) && refusal.Fault == api.FaultClient {
			return se.ECS.FailToStart(ctx, t, ecs.CannotAssume(f.role))
		}
		d.retryAt = now.Add(retry) // our own trouble is no reason to give the task up
		return nil
	}
	if !t.Sent {
		if err := se.ECS.MarkSent(ctx, t); err != nil {
			se.log.Warn("hosts: task not sent: that could not be noted", "task", t.ARN(), "error", err)
			d.retryAt = now.Add(retry)
			return nil
		}
	}
	pt, err := runPayload(t, def, task, execution, se.LogsEndpoint)
	if err != nil {
		return err
	}
	for _, roleType := range [...]string{roleApplication, roleExecution} {
		se.setRefresh(t.ARN(), roleType, now.Add(sessionLength/2))
		d.renewed[roleType] = "payload"
	}
	return se.post(ctx, &d.run, pt, now)
}

// renew replaces credentials at half-life, and after an agent has lost them: it
// never asks, it says so when it connects. A role that cannot be assumed any
// more leaves the task running with what it has; that is tried again.
func (se *session) renew(ctx context.Context, t *ecs.Task, d *delivery, now time.Time) error {
	for roleType, roleARN := range map[string]string{roleApplication: t.TaskRole, roleExecution: t.ExecutionRole} {
		if roleARN == "" {
			continue
		}
		at, known := se.refreshAt(t.ARN(), roleType)
		lost := se.sendCredentials && d.renewed[roleType] == ""
		if known && now.Before(at) && !lost {
			continue
		}
		if err := se.mayPush(); err != nil {
			return err
		}
		messageID := id.UUID(id.Random)
		delete(se.pending, d.renewed[roleType])
		d.renewed[roleType] = messageID
		c, err := se.mint(ctx, t, roleARN, roleType)
		if err != nil {
			se.log.Warn("hosts: credentials not renewed; the task keeps what it has", "task", t.ARN(), "role", roleARN, "error", err)
			se.setRefresh(t.ARN(), roleType, now.Add(retry))
			continue
		}
		// Unless the agent acknowledges it, it is sent again soon.
		se.setRefresh(t.ARN(), roleType, now.Add(resend))
		se.pending[messageID] = func(m fromAgent, kind string) {
			if kind == typeCredentialsAck && m.CredentialsID == c.CredentialsID {
				se.setRefresh(t.ARN(), roleType, now.Add(sessionLength/2))
				delete(se.pending, messageID)
			}
		}
		if err := se.send(ctx, "IAMRoleCredentialsMessage", credentialsMessage{
			MessageID: messageID, TaskARN: t.ARN(), TaskClusterARN: t.ClusterARN(), RoleType: roleType, RoleCredentials: c,
		}); err != nil {
			return err
		}
	}
	return nil
}
