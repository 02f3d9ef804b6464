// Package metadata answers the credentials and task metadata endpoints of one
// task: what a container finds at http://169.254.170.2.
//
// The agent's engine creates one Task per running task, keeps it up to date,
// and serves it on the listener that the network package opened for that task
// (or, without network namespaces, on a loopback listener with a token, see
// Listen). Whose credentials are asked for is decided by the listener: a Task
// knows no other task, so a leaked credentials id is useless elsewhere.
//
// The package never fetches or renews credentials, never writes them to a log
// or to disk, and never serves the credentials of the task execution role.
package metadata

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// RoleType says which of a task's two roles credentials belong to. The values
// are those of the agent protocol.
type RoleType string

const (
	// TaskApplication is the task role, the one the containers act as.
	TaskApplication RoleType = "TaskApplication"
	// TaskExecution is the task execution role, the one the agent acts as.
	TaskExecution RoleType = "TaskExecution"
)

// Credentials are one set of temporary keys as the control plane pushed them.
type Credentials struct {
	// ID is the credentials id: the unguessable last segment of
	// AWS_CONTAINER_CREDENTIALS_RELATIVE_URI. It stays the same for the life
	// of the task, whatever keys are behind it.
	ID              string
	RoleARN         string
	AccessKeyID     string
	SecretAccessKey string
	SessionToken    string
	Expiration      time.Time
}

// String names the credentials without their secrets or their id.
func (c Credentials) String() string {
	return fmt.Sprintf("credentials of %s until %s", c.RoleARN, c.Expiration.UTC().Format(time.RFC3339))
}

// GoString is String: no verb prints the secrets.
func (c Credentials) GoString() string { return c.String() }

// StatsFunc returns the statistics of a container by its DockerID, in the
// shape of Docker's stats answer. Nil without error means none are known yet.
type StatsFunc func(ctx context.Context, dockerID string) (json.RawMessage, error)

// Event describes one credentials request, for the audit log. It carries no
// credentials id and no secret.
type Event struct {
	Time    time.Time
	TaskARN string
	// Type is GetCredentials, GetCredentialsExecutionRole for a refused request
	// with the execution role's id, or GetCredentialsInvalidRoleType for a
	// request that named no credentials of this task.
	Type string
	// Status is the HTTP status of the answer.
	Status int
	// Path is the request path with its credentials id removed.
	Path       string
	RemoteAddr string
	UserAgent  string
}

// Task is what one task's endpoint answers. Its methods may be called at any
// time from any goroutine; a request sees the state before or after a change,
// never between.
type Task struct {
	arn         string
	application atomic.Pointer[served]
	executionID atomic.Pointer[string]
	documents   atomic.Pointer[documents]
	stats       atomic.Pointer[StatsFunc]
	audit       atomic.Pointer[func(Event)]
	limit       bucket
	// anonymous limits what a loopback listener answers to requests without
	// the token, so that other processes cannot use up the task's own limit.
	anonymous bucket
}

// served is a credentials id with its rendered answer; a nil body means that
// the id is known and the keys are not.
type served struct {
	id   string
	body []byte
}

// NewTask returns a task without credentials and without metadata.
func NewTask(arn string) *Task {
	t := &Task{arn: arn}
	now := time.Now()
	t.limit.init(requestsPerSecond, requestBurst, now)
	t.anonymous.init(requestsPerSecond, requestBurst, now)
	return t
}

// SetCredentials installs or replaces the credentials of a role.
//
// Containers are served those of the task role (TaskApplication) only. The id
// of the execution role's credentials is remembered so that asking for it is
// audited as such, and is answered like an unknown id: the keys are not kept.
// The stock agent serves them to whoever knows the id.
//
// Credentials with an ID but an incomplete set of keys mean that the id is
// valid and its keys have not arrived, as after a restart of the agent:
// requests get 503 CredentialsUninitialized.
func (t *Task) SetCredentials(role RoleType, c Credentials) error {
	if c.ID == "" {
		return errors.New("metadata: CredentialsId is empty")
	}
	switch role {
	case TaskApplication:
	case TaskExecution:
		t.executionID.Store(&c.ID)
		return nil
	default:
		return fmt.Errorf("metadata: roleType %q is invalid", role)
	}
	s := &served{id: c.ID}
	if c.AccessKeyID != "" && c.SecretAccessKey != "" && c.SessionToken != "" && !c.Expiration.IsZero() {
		body, err := json.Marshal(struct {
			RoleArn, AccessKeyId, SecretAccessKey, Token, Expiration string //nolint:revive // spelled by the protocol
		}{c.RoleARN, c.AccessKeyID, c.SecretAccessKey, c.SessionToken, c.Expiration.UTC().Format(time.RFC3339)})
		if err != nil {
			return fmt.Errorf("metadata: rendering credentials: %w", err)
		}
		s.body = body
	}
	t.application.Store(s)
	return nil
}

// DropCredentials forgets all credentials: from now on their ids are unknown.
// The engine calls it as soon as the task is STOPPED.
func (t *Task) DropCredentials() {
	t.application.Store(nil)
	t.executionID.Store(nil)
}

// SetMetadata replaces the task and container documents.
func (t *Task) SetMetadata(m TaskMetadata) error {
	d, err := render(m)
	if err != nil {
		return fmt.Errorf("metadata: rendering task documents: %w", err)
	}
	t.documents.Store(d)
	return nil
}

// SetStats sets where container statistics come from. Without it they are
// unknown.
func (t *Task) SetStats(f StatsFunc) { t.stats.Store(&f) }

// SetAudit sets the function called after each credentials request, before the
// next request of the same connection is read. It should not block.
func (t *Task) SetAudit(f func(Event)) { t.audit.Store(&f) }
