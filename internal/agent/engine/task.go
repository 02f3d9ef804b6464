package engine

import (
	"context"
	"crypto/rand"
	"fmt"
	"hash/crc32"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"syscall"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/remit-ecs/remit/internal/agent/acs"
	"github.com/remit-ecs/remit/internal/agent/logship"
	"github.com/remit-ecs/remit/internal/agent/metadata"
	"github.com/remit-ecs/remit/internal/agent/network"
	"github.com/remit-ecs/remit/internal/agent/runtime"
)

// task is one task on this host. Fields above mu are set before it is shared.
type task struct {
	engine  *Engine
	id      string
	payload acs.Task // without keys
	log     *slog.Logger

	execution, application *credentialSet // nil where the task has no such role
	meta                   *metadata.Task
	released               chan struct{} // closed when nothing is held any more

	// life ends when the task starts to stop: pulls and retries give up.
	life    context.Context
	endLife context.CancelFunc

	mu         sync.Mutex
	wantStop   bool
	reason     string
	network    phase
	resources  phase
	release    phase
	containers []*container
	times      struct{ pullStarted, pullStopped, executionStopped time.Time }

	net      *network.TaskNet
	server   *http.Server
	loopback *metadata.Loopback
	prepared prepared

	pendingSent, runningSent, stoppedSent bool
	events                                []event // not yet accepted, oldest first
	reporting                             bool
	stoppedAt                             time.Time
}

// container is one container of a task.
type container struct {
	payload   acs.Container
	docker    dockerConfig
	runtimeID string
	metaID    string // path segment of its metadata URI

	status     containerStatus
	busy       bool
	ran        bool
	exitCode   *int
	reason     string
	digest     string // of the image, as its name resolves
	health     string
	healthTime time.Time
	timedOut   bool
	reported   containerStatus // last status in a report

	image                      runtime.Image
	logs                       *logship.Stream
	ports                      *published
	created, started, finished time.Time
	usage                      usage
}

// newTask builds a task that nothing has happened to.
func newTask(e *Engine, id string, p acs.Task) *task {
	t := &task{
		engine: e, id: id, log: e.log.With("task", p.ARN),
		meta: metadata.NewTask(p.ARN), released: make(chan struct{}),
		wantStop: p.DesiredStatus == acs.DesiredStopped,
	}
	t.life, t.endLife = context.WithCancel(e.ctx)
	if c := p.RoleCredentials; c != nil && c.CredentialsID != "" {
		t.application = &credentialSet{keys: *c}
		p.RoleCredentials = c.Redacted()
	}
	if c := p.ExecutionRoleCredentials; c != nil && c.CredentialsID != "" {
		t.execution = &credentialSet{keys: *c}
		p.ExecutionRoleCredentials = c.Redacted()
	}
	t.payload = p
	t.meta.SetStats(t.stats)
	t.meta.SetAudit(func(ev metadata.Event) {
		t.log.Info("credentials request", "event", ev.Type, "status", ev.Status, "remote", ev.RemoteAddr, "userAgent", ev.UserAgent)
	})
	for _, c := range p.Containers {
		t.containers = append(t.containers, &container{
			payload: c, status: none,
			// The shape of Fargate's runtime ids.
			runtimeID: fmt.Sprintf("%s-%010d", id, crc32.ChecksumIEEE([]byte(c.Name))),
			metaID:    id + "-" + rand.Text(),
		})
	}
	return t
}

// begin starts work on a task that has just arrived.
func (t *task) begin() error {
	if t.wantStop {
		// Stopping what is not here: say so, which reconciles the server.
		t.endAtOnce(reason("unknownStop"))
		return nil
	}
	if err := t.supported(); err != nil {
		t.endAtOnce(worded(err, "unsupported"))
		return nil
	}
	t.publishCredentials()
	var err error
	t.update(func() { err = t.save() })
	return err
}

// endAtOnce reports a task STOPPED that never had anything.
func (t *task) endAtOnce(why string) {
	t.update(func() {
		t.wantStop, t.reason = true, why
		t.network, t.resources, t.release = gone, gone, gone
		t.stoppedAt = t.engine.now()
		for _, c := range t.containers {
			c.status = stopped
		}
	})
	close(t.released)
	t.cleanUpLater()
}

// redeliver takes a payload for a task that is already here.
func (t *task) redeliver(p acs.Task) {
	if c := p.RoleCredentials; c != nil {
		if err := t.setCredentials(acs.RoleTypeApplication, *c); err != nil {
			t.log.Debug("credentials of a repeated payload not used", "error", err)
		}
	}
	if c := p.ExecutionRoleCredentials; c != nil {
		if err := t.setCredentials(acs.RoleTypeExecution, *c); err != nil {
			t.log.Debug("credentials of a repeated payload not used", "error", err)
		}
	}
	if p.DesiredStatus == acs.DesiredStopped {
		t.wantStopped()
	}
}

func (t *task) wantStopped() { t.update(func() { t.wantStop = true }) }

// setCredentials replaces keys under the same id. A stopped task takes none: its
// task role is over.
func (t *task) setCredentials(roleType string, c acs.RoleCredentials) error {
	set := t.application
	if roleType == acs.RoleTypeExecution {
		set = t.execution
	}
	if set == nil {
		return fmt.Errorf("the task has no %s role", roleType)
	}
	if id := set.served().ID; id != c.CredentialsID {
		return fmt.Errorf("the %s credentials of this task have another id", roleType)
	}
	t.mu.Lock()
	over := t.release != absent
	if !over {
		set.set(c)
	}
	t.mu.Unlock()
	if over {
		return fmt.Errorf("the task has stopped")
	}
	t.publishCredentials()
	t.update(func() {}) // credentials may be what the task waited for
	return nil
}

// publishCredentials puts the current keys behind the task's endpoint.
func (t *task) publishCredentials() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.release != absent {
		return
	}
	for role, set := range map[metadata.RoleType]*credentialSet{
		metadata.TaskApplication: t.application, metadata.TaskExecution: t.execution,
	} {
		if set == nil {
			continue
		}
		if err := t.meta.SetCredentials(role, set.served()); err != nil {
			t.log.Error("credentials not published", "roleType", role, "error", err)
		}
	}
}

// alive says whether the task is wanted and not yet on its way down.
func (t *task) alive() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return !stopping(t.wanted(), t.observed())
}

func (t *task) queued() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.events)
}

// wanted is what next needs to know; t.mu is held.
func (t *task) wanted() wanted {
	w := wanted{stop: t.wantStop}
	for _, c := range t.containers {
		wc := wantedContainer{essential: c.payload.IsEssential()}
		for _, d := range c.payload.DependsOn {
			on := slices.IndexFunc(t.containers, func(o *container) bool { return o.payload.Name == d.ContainerName })
			wc.dependsOn = append(wc.dependsOn, dependency{on, d.Condition})
		}
		w.containers = append(w.containers, wc)
	}
	return w
}

// observed is the other half; t.mu is held.
func (t *task) observed() observed {
	o := observed{
		credentials: (t.application == nil || t.application.initialized()) && (t.execution == nil || t.execution.initialized()),
		network:     t.network, resources: t.resources, release: t.release,
	}
	for _, c := range t.containers {
		oc := observedContainer{status: c.status, busy: c.busy, ran: c.ran, health: c.health, timedOut: c.timedOut}
		if c.exitCode != nil {
			oc.exitCode = *c.exitCode
		}
		o.containers = append(o.containers, oc)
	}
	return o
}

// update is the one way a task changes: note what was observed, write it down,
// report it, and begin what follows.
func (t *task) update(observe func()) {
	if t.engine.ctx.Err() != nil {
		return // the agent is going: what fails now says nothing about the task
	}
	t.mu.Lock()
	observe()
	w, o := t.wanted(), t.observed()
	if stopping(w, o) {
		t.endLife()
	}
	steps := next(w, o)
	for _, s := range steps {
		t.markBusy(s)
	}
	t.report()
	if err := t.save(); err != nil {
		t.log.Error("task state not saved", "error", err)
	}
	if err := t.meta.SetMetadata(t.document()); err != nil {
		t.log.Error("task metadata not published", "error", err)
	}
	t.mu.Unlock()
	for _, s := range steps {
		t.engine.goroutine(func() { t.do(s) })
	}
}

func (t *task) markBusy(s step) {
	switch s.kind {
	case attachNetwork:
		t.network = busy
	case prepare:
		t.resources = busy
	case release:
		t.release = busy
	case pull:
		if t.times.pullStarted.IsZero() {
			t.times.pullStarted = t.engine.now()
		}
		t.containers[s.container].busy = true
	default:
		t.containers[s.container].busy = true
	}
}

// do runs one step to its end and notes how it went.
func (t *task) do(s step) {
	switch s.kind {
	case attachNetwork:
		err := t.attach(t.life)
		t.update(func() { t.network = t.settle(err, "network") })
	case prepare:
		p, err := t.prepare(t.life)
		t.update(func() {
			t.prepared = p
			t.resources = t.settle(err, "unsupported")
		})
	case release:
		t.releaseAll()
		t.update(func() {
			t.release, t.stoppedAt = gone, t.engine.now()
			t.prepared = prepared{} // the secrets have done their work
		})
		close(t.released)
		t.cleanUpLater()
	default:
		t.doContainer(s, t.containers[s.container])
	}
}

// settle is the phase after a step of the whole task; t.mu is held.
func (t *task) settle(err error, name string) phase {
	if err == nil {
		return ready
	}
	if t.reason == "" && !canceled(t.life, err) {
		t.reason = worded(err, name)
	}
	return failed
}

func (t *task) doContainer(s step, c *container) {
	switch s.kind {
	case pull:
		image, digest, err := t.pull(t.life, c)
		t.update(func() {
			t.times.pullStopped = t.engine.now()
			c.busy = false
			c.image, c.digest, c.status = image, digest, pulled
			t.endUnstarted(c, err, "unpack")
		})
	case create:
		err := t.create(t.life, c)
		t.update(func() {
			c.busy = false
			c.status, c.created = created, t.engine.now()
			t.endUnstarted(c, err, "createFailed")
		})
	case start:
		// Not bounded by the task's life: a start that was cut short could
		// leave something running.
		ctx, cancel := context.WithTimeout(t.engine.ctx, startLimit)
		err := t.openPorts(c)
		if err == nil {
			err = t.engine.opts.Runtime.Start(ctx, c.runtimeID)
		}
		cancel()
		if err == nil {
			t.engine.goroutine(func() { t.wait(c) })
			t.watch(c)
		}
		t.update(func() {
			c.busy = false
			if err == nil && c.status != stopped {
				c.status, c.ran, c.started = running, true, t.engine.now()
			}
			t.endUnstarted(c, err, "startFailed")
		})
	case stop:
		t.stop(c) // wait notes the end
	case abandon:
		t.update(func() {
			c.busy = false
			var err error
			if s.because >= 0 {
				err = fail("dependency", t.containers[s.because].payload.Name, c.payload.Name)
			}
			c.status, c.finished = stopped, t.engine.now()
			if t.network == failed || t.resources == failed {
				c.reason = t.reason // on Fargate the task's text; here both
			}
			t.endUnstarted(c, err, "startFailed")
		})
	}
}

// endUnstarted ends a container whose step failed. The text of an essential
// one is also the task's, as on Fargate; t.mu is held.
func (t *task) endUnstarted(c *container, err error, name string) {
	if err == nil {
		return
	}
	c.status, c.finished = stopped, t.engine.now()
	if canceled(t.life, err) {
		return // the task is stopping; this is not why
	}
	c.reason = worded(err, name)
	if c.payload.IsEssential() && t.reason == "" {
		t.reason = c.reason
	}
	t.log.Warn("container did not start", "container", c.payload.Name, "reason", c.reason)
}

// wait follows a started container to its end: exit, then its last log line,
// then the observation, so that STOPPED is never seen before the output.
func (t *task) wait(c *container) {
	exit, err := t.engine.opts.Runtime.Wait(t.engine.ctx, c.runtimeID)
	if t.engine.ctx.Err() != nil {
		return // the agent is going; the container is not ours to judge
	}
	c.ports.close()
	t.drain(t.engine.ctx, c)
	t.update(func() {
		c.busy = false
		c.ran, c.status, c.finished = true, stopped, t.engine.now()
		if c.started.IsZero() {
			c.started = exit.StartedAt
		}
		switch {
		case err != nil:
			c.reason = reason("stopFailed", err)
		default:
			c.exitCode = &exit.Code
			if exit.OOMKilled {
				c.reason = reason("oom")
			}
		}
		if t.times.executionStopped.IsZero() && c.payload.IsEssential() {
			t.times.executionStopped = t.engine.now()
		}
		t.log.Info("container stopped", "container", c.payload.Name, "exitCode", exit.Code)
	})
}

// stop ends a running container: its stop signal, a grace, then SIGKILL.
func (t *task) stop(c *container) {
	grace := t.engine.opts.StopTimeout
	if s := c.payload.StopTimeout; s > 0 {
		grace = time.Duration(s) * time.Second
	}
	_, err := runtime.Stop(t.engine.ctx, t.engine.opts.Runtime, c.runtimeID, stopSignal(c.docker.StopSignal, c.image.Config), grace)
	if err == nil || t.engine.ctx.Err() != nil {
		return
	}
	t.log.Error("container not stopped, removing it", "container", c.payload.Name, "error", err)
	if err := t.engine.opts.Runtime.Remove(t.engine.ctx, c.runtimeID); err != nil {
		t.log.Error("container not removed", "container", c.payload.Name, "error", err)
	}
}

// startLimit bounds the runtime's own work to start a container.
const startLimit = 3 * time.Minute

// drainTimeout bounds how long the last lines of a container may hold up the
// report that it stopped.
const drainTimeout = 15 * time.Second

func (t *task) drain(ctx context.Context, c *container) {
	t.mu.Lock()
	logs := c.logs
	c.logs = nil
	t.mu.Unlock()
	if logs == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, drainTimeout)
	defer cancel()
	if err := logs.Close(ctx); err != nil {
		t.log.Warn("container output lost", "container", c.payload.Name, "error", err)
	}
}

// stopSignal is the first signal of a stop: the task definition's, the image's,
// or SIGTERM.
func stopSignal(own string, image v1.Config) syscall.Signal {
	for _, name := range []string{own, image.StopSignal} {
		if sig, ok := signalNumber(name); ok {
			return sig
		}
	}
	return 0
}
