package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"

	"github.com/remit-ecs/remit/internal/agent/acs"
	"github.com/remit-ecs/remit/internal/agent/network"
	"github.com/remit-ecs/remit/internal/agent/runtime"
	"github.com/remit-ecs/remit/internal/clock"
)

// Networker gives tasks their network namespaces; *network.Networker is one.
type Networker interface {
	Attach(ctx context.Context, task string, o network.TaskOptions) (*network.TaskNet, error)
	Detach(ctx context.Context, task string) error
	Gateway() netip.Addr
}

// Submitter reports state changes; *ecs.Client is one.
type Submitter interface {
	SubmitTaskStateChange(context.Context, *ecs.SubmitTaskStateChangeInput, ...func(*ecs.Options)) (*ecs.SubmitTaskStateChangeOutput, error)
}

// Options of an Engine.
type Options struct {
	// Cluster as configured, ClusterARN for documents when it is known.
	Cluster, Region, AvailabilityZone string
	// Endpoint is the base URL of every AWS service the engine calls as an
	// execution role, unless the payload names another.
	Endpoint string
	// ContainerEndpoint is AWS_ENDPOINT_URL inside containers; "" sets none.
	ContainerEndpoint string
	// Registry says where a registry host is really served: a base URL, and
	// what to put before the repository. ok is false for hosts that are what
	// they are called. nil means none is mapped.
	Registry func(host string) (base, prefix string, ok bool)

	Runtime runtime.Runtime
	// Network is nil where tasks share the host's network.
	Network Networker
	Submit  Submitter
	// InstanceCredentials are the container instance role, used where the
	// task definition has no execution role to use.
	InstanceCredentials aws.CredentialsProvider
	HTTPClient          *http.Client

	// DataDir holds one file per task, and task volumes.
	DataDir string
	// Clock decides waits and time stamps; nil is the real one. Requests are
	// signed and bounded by real time.
	Clock clock.Clock
	// CleanUpWait is how long a stopped task is remembered; 0 is three hours.
	// Within it a repeated payload does not run the task again.
	CleanUpWait time.Duration
	// StopTimeout is SIGTERM to SIGKILL where the container does not say; 0
	// is 30 s.
	StopTimeout time.Duration
	// RetryDelay is the first wait between two tries of a failing call as the
	// execution role; 0 is 250 ms.
	RetryDelay time.Duration
	// ReportBackoff is between tries of a report; zero is 1 s to 30 s.
	ReportBackoff acs.Backoff
	Logger        *slog.Logger
}

// Engine runs the tasks of one host. All methods may be called from any
// goroutine.
type Engine struct {
	opts Options
	log  *slog.Logger
	ctx  context.Context // ends with Close: reports and waits stop, containers do not
	end  context.CancelFunc
	work sync.WaitGroup

	mu     sync.Mutex
	tasks  map[string]*task // by ARN
	closed bool
}

// New prepares an engine. It touches nothing but its data directory; call
// Restore before the first task.
func New(o Options) (*Engine, error) {
	if o.CleanUpWait == 0 {
		o.CleanUpWait = 3 * time.Hour
	}
	if o.StopTimeout == 0 {
		o.StopTimeout = 30 * time.Second
	}
	if o.RetryDelay == 0 {
		o.RetryDelay = 250 * time.Millisecond
	}
	if o.ReportBackoff.Min == 0 {
		o.ReportBackoff = acs.Backoff{Min: time.Second, Max: 30 * time.Second, Factor: 1.5, Jitter: 0.2}
	}
	if o.HTTPClient == nil {
		o.HTTPClient = &http.Client{Transport: http.DefaultTransport.(*http.Transport).Clone()}
	}
	if o.Clock == nil {
		o.Clock = clock.Real
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Runtime == nil || o.Submit == nil {
		return nil, errors.New("engine: Runtime and Submit are required")
	}
	for _, dir := range []string{"tasks", "volumes"} {
		if err := os.MkdirAll(filepath.Join(o.DataDir, dir), 0o700); err != nil {
			return nil, fmt.Errorf("engine: data directory: %w", err)
		}
	}
	ctx, end := context.WithCancel(context.Background())
	return &Engine{opts: o, log: o.Logger, ctx: ctx, end: end, tasks: map[string]*task{}}, nil
}

// Close stops reporting and watching and returns when every goroutine has
// ended. Containers keep running; see StopAll. What they have printed so far is
// sent first, within two seconds.
func (e *Engine) Close() {
	e.mu.Lock()
	e.closed = true
	tasks := e.list()
	e.mu.Unlock()
	deadline, cancel := context.WithTimeout(e.ctx, 2*time.Second)
	defer cancel()
	var drains sync.WaitGroup
	for _, t := range tasks {
		for _, c := range t.containers {
			drains.Go(func() { t.drain(deadline, c) })
		}
	}
	drains.Wait()
	e.end()
	for _, t := range tasks {
		t.closeEndpoint()
	}
	e.work.Wait()
}

// list copies the tasks; e.mu is held.
func (e *Engine) list() []*task {
	out := make([]*task, 0, len(e.tasks))
	for _, t := range e.tasks {
		out = append(out, t)
	}
	return out
}

// all copies the tasks.
func (e *Engine) all() []*task {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.list()
}

// goroutine runs f unless the engine is closed.
func (e *Engine) goroutine(f func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return
	}
	e.work.Go(f)
}

// Accept takes a task from the control plane: to run, to stop, or again with
// new credentials. A task that this host cannot run is reported STOPPED and is
// not an error; an error means that it could not even be remembered.
func (e *Engine) Accept(p acs.Task) error {
	id := taskID(p.ARN)
	if err := runtime.CheckID(id); err != nil {
		return fmt.Errorf("task %q: %w", p.ARN, err)
	}
	e.mu.Lock()
	t, known := e.tasks[p.ARN]
	if !known {
		if e.closed {
			e.mu.Unlock()
			return errors.New("the agent is shutting down")
		}
		t = newTask(e, id, p)
		e.tasks[p.ARN] = t
	}
	e.mu.Unlock()
	if known {
		t.redeliver(p)
		return nil
	}
	e.log.Info("task received", "task", p.ARN, "desiredStatus", p.DesiredStatus)
	return t.begin()
}

// Refuse reports a task that could not be decoded.
func (e *Engine) Refuse(taskARN string, why error) {
	id := taskID(taskARN)
	if runtime.CheckID(id) != nil {
		e.log.Warn("a task without a usable ARN was dropped", "error", why)
		return
	}
	e.mu.Lock()
	if _, known := e.tasks[taskARN]; known || e.closed {
		e.mu.Unlock()
		return
	}
	t := newTask(e, id, acs.Task{ARN: taskARN, DesiredStatus: acs.DesiredStopped})
	e.tasks[taskARN] = t
	e.mu.Unlock()
	t.endAtOnce(reason("unrecognised", why))
}

// SetCredentials replaces the keys of one of a task's roles.
func (e *Engine) SetCredentials(taskARN, roleType string, c acs.RoleCredentials) error {
	e.mu.Lock()
	t := e.tasks[taskARN]
	e.mu.Unlock()
	if t == nil {
		return fmt.Errorf("no task %s on this container instance", taskARN)
	}
	return t.setCredentials(roleType, c)
}

// Running lists the tasks that this host keeps running or is about to run.
func (e *Engine) Running() []acs.TaskIdentifier {
	var out []acs.TaskIdentifier
	for _, t := range e.all() {
		if t.alive() {
			out = append(out, acs.TaskIdentifier{TaskARN: t.payload.ARN, TaskClusterARN: t.payload.TaskClusterARN, DesiredStatus: acs.DesiredRunning})
		}
	}
	return out
}

// StopTask stops one task; an unknown one is nothing.
func (e *Engine) StopTask(taskARN string) {
	e.mu.Lock()
	t := e.tasks[taskARN]
	e.mu.Unlock()
	if t != nil {
		t.wantStopped()
	}
}

// Attached confirms interfaces that were announced for a task. The namespace
// is made when the task starts; the control plane is told that nothing stands
// in its way.
func (e *Engine) Attached(taskARN string, interfaces []acs.ElasticNetworkInterface) {
	id := taskID(taskARN)
	if runtime.CheckID(id) != nil {
		return
	}
	ev := event{Task: taskARN}
	for _, i := range interfaces {
		if i.AttachmentARN != "" {
			ev.Attachments = append(ev.Attachments, i.AttachmentARN)
		}
	}
	if len(ev.Attachments) == 0 {
		return
	}
	e.goroutine(func() { e.submitForever(ev) })
}

// StopAll stops every task and waits until all have released what they held,
// or ctx ends.
func (e *Engine) StopAll(ctx context.Context) error {
	tasks := e.all()
	for _, t := range tasks {
		t.wantStopped()
	}
	for _, t := range tasks {
		select {
		case <-t.released:
		case <-ctx.Done():
			return fmt.Errorf("task %s is not stopped yet: %w", t.payload.ARN, ctx.Err())
		}
	}
	return nil
}

// Flush waits until every queued report has been accepted, or ctx ends.
func (e *Engine) Flush(ctx context.Context) error {
	for {
		waiting := 0
		for _, t := range e.all() {
			waiting += t.queued()
		}
		if waiting == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d state changes are not reported: %w", waiting, ctx.Err())
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (e *Engine) forget(t *task) {
	e.mu.Lock()
	delete(e.tasks, t.payload.ARN)
	e.mu.Unlock()
	_ = os.Remove(t.file())
	e.log.Info("task cleaned up", "task", t.payload.ARN)
}

// taskID is the last element of a task's ARN.
func taskID(arn string) string { return arn[strings.LastIndexByte(arn, '/')+1:] }

func (e *Engine) now() time.Time { return e.opts.Clock.Now() }

func (o *Options) region(of string) string { return cmp.Or(of, o.Region) }
