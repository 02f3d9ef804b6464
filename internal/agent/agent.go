// Package agent is a host that runs tasks: it registers as a container
// instance, keeps the line to the control plane open, and does what arrives on
// it.
//
//	control plane <--ECS API, ACS, TCS-- acs --tasks, credentials--> engine
//	              <--ECR, Secrets Manager, SSM, Logs (execution role)-- engine
//	                                            engine --> runtime, network, metadata
//
// It is an AWS SDK client that speaks only through the network, in the protocol
// of the stock amazon-ecs-agent, so that either can take the other's place. It
// is used by the remit command, also when control plane and host are one
// process.
//
// An agent holds no credentials but its container instance role's and those of
// its own tasks, which it is sent and cannot ask for. It never decides what
// runs.
package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/ecs"

	"github.com/remit-ecs/remit/internal/agent/acs"
	"github.com/remit-ecs/remit/internal/agent/engine"
	"github.com/remit-ecs/remit/internal/agent/runtime"
	"github.com/remit-ecs/remit/internal/clock"
)

// Version is what the agent calls itself on the wire: the version of the stock
// agent whose protocol it speaks, since servers compare it.
const Version = "1.105.1"

// Options of an Agent. Endpoint, Region, Credentials, Runtime and DataDir are
// required.
type Options struct {
	// Endpoint is the base URL of the control plane, which serves ECS and the
	// services that execution roles use.
	Endpoint string
	Region   string
	// Cluster is a name or an ARN; "" is "default".
	Cluster string
	// Credentials are the container instance role's.
	Credentials aws.CredentialsProvider

	Runtime runtime.Runtime
	// Network is nil where tasks share the host's network, as with the
	// process runtime.
	Network engine.Networker
	// DataDir keeps registration and task state; it is created when absent.
	DataDir string

	// ContainerEndpoint is AWS_ENDPOINT_URL inside containers. "" derives it
	// from Endpoint: tasks with a network of their own reach a control plane
	// on the host's loopback address at their gateway. "none" sets none.
	ContainerEndpoint string
	// Registry maps a registry host to where it is really served. nil sends
	// ACCOUNT.dkr.ecr.REGION.amazonaws.com to the control plane, under its
	// own name as path.
	Registry func(host string) (base, prefix string, ok bool)

	// InstanceIdentityDocument and its signature, as EC2 would give them.
	InstanceIdentityDocument, InstanceIdentityDocumentSignature string
	// CPU (shares) and MemoryMiB that tasks may use; 0 is the whole machine.
	CPU, MemoryMiB int32
	// Attributes and Tags of the container instance.
	Attributes, Tags map[string]string

	// StopTasksOnExit stops and removes every task when Run ends. Otherwise
	// they are left alone.
	StopTasksOnExit bool
	// StopTimeout, CleanUpWait, RetryDelay and ReportBackoff are the engine's.
	StopTimeout, CleanUpWait, RetryDelay time.Duration
	ReportBackoff                        acs.Backoff
	// Timers of the two sockets; zero is the stock agent's.
	Timers acs.Timers
	// MetricsInterval is between telemetry messages; 0 is 20 s.
	MetricsInterval time.Duration

	HTTPClient *http.Client
	// Clock decides waits and time stamps; nil is the real one.
	Clock  clock.Clock
	Logger *slog.Logger
	// Connected is called after each handshake of the ACS socket; may be nil.
	Connected func(containerInstanceARN string)
}

// Agent is one container instance.
type Agent struct {
	opts   Options
	log    *slog.Logger
	client *ecs.Client

	mu       sync.Mutex
	instance string
}

// New checks the options and prepares the data directory. It does not connect.
func New(o Options) (*Agent, error) {
	switch {
	case o.Endpoint == "":
		return nil, errors.New("agent: Endpoint is required")
	case o.Region == "":
		return nil, errors.New("agent: Region is required")
	case o.Credentials == nil:
		return nil, errors.New("agent: Credentials of the container instance role are required")
	case o.Runtime == nil:
		return nil, errors.New("agent: Runtime is required")
	case o.DataDir == "":
		return nil, errors.New("agent: DataDir is required")
	}
	if u, err := url.Parse(o.Endpoint); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("agent: Endpoint %q must be an http or https URL", o.Endpoint)
	}
	if o.Cluster == "" {
		o.Cluster = "default"
	}
	if o.Clock == nil {
		o.Clock = clock.Real
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.HTTPClient == nil {
		transport := http.DefaultTransport.(*http.Transport).Clone()
		// No answer is awaited for ever; bodies, such as layers, may take
		// their time.
		transport.ResponseHeaderTimeout = 30 * time.Second
		o.HTTPClient = &http.Client{Transport: transport}
	}
	if o.Registry == nil {
		o.Registry = ECRAt(o.Endpoint)
	}
	switch o.ContainerEndpoint {
	case "":
		o.ContainerEndpoint = containerEndpoint(o.Endpoint, o.Network)
	case "none":
		o.ContainerEndpoint = ""
	}
	cpu, memory := acs.MachineResources()
	if o.CPU == 0 {
		o.CPU = cpu
	}
	if o.MemoryMiB == 0 {
		o.MemoryMiB = memory
	}
	if o.MemoryMiB == 0 {
		return nil, errors.New("agent: this machine's memory cannot be told; set MemoryMiB")
	}
	if err := os.MkdirAll(o.DataDir, 0o700); err != nil {
		return nil, fmt.Errorf("agent: data directory: %w", err)
	}
	a := &Agent{opts: o, log: o.Logger}
	a.client = ecs.NewFromConfig(aws.Config{
		Region: o.Region, Credentials: o.Credentials, HTTPClient: o.HTTPClient, BaseEndpoint: aws.String(o.Endpoint),
		// Registration, polling and reports have waits of their own.
		Retryer: func() aws.Retryer { return aws.NopRetryer{} },
	}, ecs.WithAPIOptions(middleware.AddUserAgentKeyValue("amazon-ecs-agent", Version)))
	return a, nil
}

// ContainerInstance is the host's ARN, "" before it has registered.
func (a *Agent) ContainerInstance() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.instance
}

// shutdown bounds closing sockets once Run's context has ended.
const shutdown = 4 * time.Second

// Run registers and works until ctx ends, which is its ordinary end and gives
// nil. Other errors mean that the host could not register; those matching
// acs.ErrTerminal will not go away by themselves.
func (a *Agent) Run(ctx context.Context) error {
	// Sweep before anything else: what an earlier process left behind must be
	// gone before its tasks are judged.
	if err := a.sweep(ctx); err != nil {
		return err
	}
	state, err := openState(filepath.Join(a.opts.DataDir, "agent.json"), a.opts.Cluster)
	if err != nil {
		return err
	}
	info := a.opts.Runtime.Info()
	registered, err := acs.Register(ctx, a.client, acs.Instance{
		Cluster: a.opts.Cluster, ContainerInstance: state.instance(),
		Document: a.opts.InstanceIdentityDocument, Signature: a.opts.InstanceIdentityDocumentSignature,
		CPU: a.opts.CPU, MemoryMiB: a.opts.MemoryMiB, Ports: []string{"22"},
		Capabilities: acs.Capabilities{TaskNetwork: a.opts.Network != nil && info.NetNS, Limits: info.MemoryLimits && info.CPULimits},
		Attributes:   a.opts.Attributes, Tags: a.opts.Tags,
	}, a.opts.Clock, a.log)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		if state.instance() != "" && errors.Is(err, acs.ErrTerminal) {
			return fmt.Errorf("%w (to register as a new container instance, remove %s)", err, state.file)
		}
		return err
	}
	if err := state.setInstance(registered.ContainerInstance); err != nil {
		return err
	}
	a.mu.Lock()
	a.instance = registered.ContainerInstance
	a.mu.Unlock()
	a.log.Info("registered", "cluster", a.opts.Cluster, "containerInstance", registered.ContainerInstance)

	eng, err := engine.New(engine.Options{
		Cluster: a.opts.Cluster, Region: a.opts.Region, AvailabilityZone: registered.AvailabilityZone,
		Endpoint: a.opts.Endpoint, ContainerEndpoint: a.opts.ContainerEndpoint, Registry: a.opts.Registry,
		Runtime: a.opts.Runtime, Network: a.opts.Network, Submit: a.client,
		InstanceCredentials: a.opts.Credentials, HTTPClient: a.opts.HTTPClient,
		DataDir: a.opts.DataDir, Clock: a.opts.Clock, CleanUpWait: a.opts.CleanUpWait, StopTimeout: a.opts.StopTimeout,
		RetryDelay: a.opts.RetryDelay, ReportBackoff: a.opts.ReportBackoff, Logger: a.log,
	})
	if err != nil {
		return err
	}
	defer eng.Close()
	if err := eng.Restore(); err != nil {
		return err
	}
	a.serve(ctx, eng, state, registered.ContainerInstance)
	if a.opts.StopTasksOnExit {
		return a.stopTasks(eng)
	}
	return nil
}

// serve keeps both sockets open until ctx ends.
func (a *Agent) serve(ctx context.Context, eng *engine.Engine, state *state, instance string) {
	discovery := &acs.Discovery{Client: a.client, Cluster: a.opts.Cluster, ContainerInstance: instance, Clock: a.opts.Clock}
	line := &acs.Line{
		Cluster: a.opts.Cluster, ContainerInstance: instance, Region: a.opts.Region, Version: Version,
		Credentials: a.opts.Credentials, Discover: discovery.Endpoints, HTTPClient: a.opts.HTTPClient, Clock: a.opts.Clock,
	}
	session := &acs.Session{Line: line, Handler: eng, Sequence: state, Timers: a.opts.Timers, Logger: a.log}
	if a.opts.Connected != nil {
		session.Connected = func() { a.opts.Connected(instance) }
	}
	telemetry := &acs.Telemetry{Line: line, Collect: eng.Measure, Interval: a.opts.MetricsInterval, Logger: a.log}
	var sockets sync.WaitGroup
	sockets.Go(func() { _ = session.Run(ctx) })   // its only error is ctx's
	sockets.Go(func() { _ = telemetry.Run(ctx) }) // likewise
	<-ctx.Done()
	closed := make(chan struct{})
	go func() { sockets.Wait(); close(closed) }()
	select {
	case <-closed:
	case <-time.After(shutdown):
		a.log.Warn("sockets did not close in time")
	}
}

// stopTasks ends all tasks when the host goes, and gives their last reports a
// moment: in one process with the control plane, nobody may be listening.
func (a *Agent) stopTasks(eng *engine.Engine) error {
	limit := a.opts.StopTimeout
	if limit == 0 {
		limit = 30 * time.Second
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit+30*time.Second)
	defer cancel()
	if err := eng.StopAll(ctx); err != nil {
		return err
	}
	ctx, cancel = context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if err := eng.Flush(ctx); err != nil {
		a.log.Warn("state changes are kept for the next start", "error", err)
	}
	return nil
}

func (a *Agent) sweep(ctx context.Context) error {
	if err := a.opts.Runtime.Sweep(ctx); err != nil {
		return fmt.Errorf("agent: sweeping containers of an earlier process: %w", err)
	}
	if n, ok := a.opts.Network.(interface{ Sweep(context.Context) error }); ok {
		if err := n.Sweep(ctx); err != nil {
			return fmt.Errorf("agent: sweeping task networks of an earlier process: %w", err)
		}
	}
	return nil
}

var ecrHost = regexp.MustCompile(`^[0-9]{12}\.dkr\.ecr(-fips)?\.[a-z0-9-]+\.amazonaws\.com(\.cn)?$`)

// ECRAt maps the host names of ECR registries to a registry at endpoint that
// serves each under its own name, as the control plane does: the image
// ACCOUNT.dkr.ecr.REGION.amazonaws.com/NAME is at /v2/ACCOUNT.dkr.ecr.REGION.amazonaws.com/NAME.
func ECRAt(endpoint string) func(host string) (base, prefix string, ok bool) {
	return func(host string) (string, string, bool) {
		return endpoint, host + "/", ecrHost.MatchString(host)
	}
}

// containerEndpoint is the control plane's URL as a container sees it.
func containerEndpoint(endpoint string, n engine.Networker) string {
	u, err := url.Parse(endpoint)
	if err != nil || n == nil || !n.Gateway().IsValid() {
		return endpoint
	}
	host := u.Hostname()
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback() && !ip.IsUnspecified()) {
		return endpoint
	}
	if port := u.Port(); port != "" {
		u.Host = net.JoinHostPort(n.Gateway().String(), port)
	} else {
		u.Host = n.Gateway().String()
	}
	return u.String()
}
