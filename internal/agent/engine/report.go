package engine

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
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

// bindings are the host ports of a container. In awsvpc there are none: a
// container's port is the task's port.
func (t *task) bindings(c *container) []types.NetworkBinding {
	if c.ports != nil {
		return c.ports.bindings
	}
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
		if e.opts.Clock.Sleep(e.ctx, delay) != nil {
			return false
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
