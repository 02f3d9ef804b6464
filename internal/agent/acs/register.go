package acs

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	goruntime "runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/aws/smithy-go"

	"github.com/remit-ecs/remit/internal/clock"
)

// ErrTerminal marks a registration that must not be tried again without a
// change by the operator; the stock agent exits with code 5.
var ErrTerminal = errors.New("registration refused for good")

// Instance is what a host says of itself when it registers.
type Instance struct {
	Cluster string
	// ContainerInstance is the ARN of an earlier registration, or "".
	ContainerInstance string
	// Document and Signature are the instance identity document, may be "".
	Document, Signature string
	// CPU is in shares (1024 per core), MemoryMiB what tasks may use.
	CPU, MemoryMiB int32
	// Ports are reserved TCP ports of the host.
	Ports []string
	// Capabilities adapt the attributes to what the runtime can do.
	Capabilities Capabilities
	// Attributes are custom ones, sent on a first registration only.
	Attributes map[string]string
	Tags       map[string]string
}

// Capabilities are facts about the host that decide which attributes it has.
type Capabilities struct {
	TaskNetwork bool // task network namespaces: task-eni, and roles for bridge
	Limits      bool // task CPU and memory limits
	External    bool // not an EC2 instance
}

// capabilities are the attribute names that the stock agent registers and that
// this agent honours. The scheduler matches them with what a task definition
// needs, so a name stands here only if the engine does what it says.
var capabilities = []string{
	"com.amazonaws.ecs.capability.docker-remote-api.1.17",
	"com.amazonaws.ecs.capability.docker-remote-api.1.18",
	"com.amazonaws.ecs.capability.docker-remote-api.1.19",
	"com.amazonaws.ecs.capability.docker-remote-api.1.20",
	"com.amazonaws.ecs.capability.docker-remote-api.1.21",
	"com.amazonaws.ecs.capability.docker-remote-api.1.22",
	"com.amazonaws.ecs.capability.docker-remote-api.1.23",
	"com.amazonaws.ecs.capability.docker-remote-api.1.24",
	"com.amazonaws.ecs.capability.docker-remote-api.1.25",
	"com.amazonaws.ecs.capability.docker-remote-api.1.29",
	"com.amazonaws.ecs.capability.docker-remote-api.1.30",
	"com.amazonaws.ecs.capability.ecr-auth",
	"com.amazonaws.ecs.capability.logging-driver.awslogs",
	"com.amazonaws.ecs.capability.logging-driver.json-file",
	"com.amazonaws.ecs.capability.logging-driver.none",
	"com.amazonaws.ecs.capability.task-iam-role",
	"com.amazonaws.ecs.capability.task-iam-role-network-host",
	"ecs.capability.container-health-check",
	"ecs.capability.container-ordering",
	"ecs.capability.execution-role-awslogs",
	"ecs.capability.execution-role-ecr-pull",
	"ecs.capability.full-sync",
	"ecs.capability.pre-pull",
	"ecs.capability.private-registry-authentication.secretsmanager",
	"ecs.capability.secrets.asm.environment-variables",
	"ecs.capability.secrets.ssm.environment-variables",
}

// attributes lists what the host registers with.
func (i *Instance) attributes() []types.Attribute {
	var out []types.Attribute
	add := func(name, value string) {
		a := types.Attribute{Name: aws.String(name)}
		if value != "" {
			a.Value = aws.String(value)
		}
		out = append(out, a)
	}
	for _, name := range capabilities {
		add(name, "")
	}
	if i.Capabilities.TaskNetwork {
		add("ecs.capability.task-eni", "")
		add("ecs.capability.task-eni-block-instance-metadata", "")
	}
	if i.Capabilities.Limits {
		add("ecs.capability.task-cpu-mem-limit", "")
	}
	if i.Capabilities.External {
		add("ecs.capability.external", "")
	}
	arch := map[string]string{"amd64": "x86_64", "arm64": "arm64"}[goruntime.GOARCH]
	if arch == "" {
		arch = goruntime.GOARCH
	}
	add("ecs.cpu-architecture", arch)
	// Containers are Linux containers whatever the host is.
	add("ecs.os-type", "linux")
	add("ecs.os-family", "LINUX")
	for name, value := range i.Attributes {
		// What Remit's own hosts say of themselves may have changed since.
		if i.ContainerInstance == "" || strings.HasPrefix(name, "remit.") {
			add(name, value)
		}
	}
	return out
}

// Registered is the answer to a registration.
type Registered struct {
	ContainerInstance string
	AvailabilityZone  string
}

// Register announces the host, waiting out throttling, server faults and an
// unreachable control plane until ctx is done. Answers that cannot change by
// themselves give ErrTerminal; a denial is returned as it is, because a
// supervisor may start the agent again once the policy allows it.
func Register(ctx context.Context, client *ecs.Client, i Instance, clk clock.Clock, log *slog.Logger) (Registered, error) {
	in := &ecs.RegisterContainerInstanceInput{
		Cluster:                           aws.String(i.Cluster),
		InstanceIdentityDocument:          aws.String(i.Document),
		InstanceIdentityDocumentSignature: aws.String(i.Signature),
		Attributes:                        i.attributes(),
		TotalResources: []types.Resource{
			{Name: aws.String("CPU"), Type: aws.String("INTEGER"), IntegerValue: i.CPU},
			{Name: aws.String("MEMORY"), Type: aws.String("INTEGER"), IntegerValue: i.MemoryMiB},
			{Name: aws.String("PORTS"), Type: aws.String("STRINGSET"), StringSetValue: i.Ports},
			{Name: aws.String("PORTS_UDP"), Type: aws.String("STRINGSET"), StringSetValue: []string{}},
		},
	}
	if i.ContainerInstance != "" {
		in.ContainerInstanceArn = aws.String(i.ContainerInstance)
	}
	for k, v := range i.Tags {
		in.Tags = append(in.Tags, types.Tag{Key: aws.String(k), Value: aws.String(v)})
	}
	// The stock agent waits 3 s to 192 s when the service asks it to; a
	// control plane that is only just starting deserves a shorter first wait.
	busy := Backoff{Min: 3 * time.Second, Max: 192 * time.Second, Factor: 2, Jitter: 0.2}
	absent := Backoff{Min: 250 * time.Millisecond, Max: 10 * time.Second, Factor: 1.5, Jitter: 0.2}
	for {
		out, err := client.RegisterContainerInstance(ctx, in)
		if err == nil {
			return checkEcho(in.Attributes, out.ContainerInstance)
		}
		delay, err := registrationDelay(err, &busy, &absent)
		if err != nil {
			return Registered{}, err
		}
		log.Warn("cannot register yet", "cluster", i.Cluster, "retryIn", delay)
		if err := clk.Sleep(ctx, delay); err != nil {
			return Registered{}, err
		}
	}
}

// registrationDelay says how long to wait after err, or returns the error to
// give up with.
func registrationDelay(err error, busy, absent *Backoff) (time.Duration, error) {
	var api smithy.APIError
	if !errors.As(err, &api) {
		if errors.Is(err, context.Canceled) {
			return 0, err
		}
		return absent.Next(), nil
	}
	switch api.ErrorCode() {
	case "ThrottlingException", "ServerException", "LimitExceededException":
		return busy.Next(), nil
	case "InvalidParameterException", "ClientException":
		return 0, fmt.Errorf("%w: %w", ErrTerminal, err)
	}
	if api.ErrorFault() == smithy.FaultServer {
		return busy.Next(), nil
	}
	return 0, fmt.Errorf("register container instance: %w", err)
}

// checkEcho requires every attribute back with its value, as the stock agent
// does: a server that dropped one would never place what needs it.
func checkEcho(sent []types.Attribute, ci *types.ContainerInstance) (Registered, error) {
	if ci == nil || aws.ToString(ci.ContainerInstanceArn) == "" {
		return Registered{}, fmt.Errorf("%w: the answer names no container instance", ErrTerminal)
	}
	r := Registered{ContainerInstance: *ci.ContainerInstanceArn}
	got := make(map[string]string, len(ci.Attributes))
	for _, a := range ci.Attributes {
		got[aws.ToString(a.Name)] = aws.ToString(a.Value)
	}
	for _, a := range sent {
		if v, ok := got[*a.Name]; !ok || v != aws.ToString(a.Value) {
			return Registered{}, fmt.Errorf("%w: attribute %s did not come back as it was sent", ErrTerminal, *a.Name)
		}
	}
	r.AvailabilityZone = got["ecs.availability-zone"]
	return r, nil
}

// discoveryLife is how long the stock agent believes DiscoverPollEndpoint.
const discoveryLife = 12 * time.Hour

// Discovery asks DiscoverPollEndpoint and remembers the answer for 12 hours.
type Discovery struct {
	Client            *ecs.Client
	Cluster           string
	ContainerInstance string
	Clock             clock.Clock

	mu    sync.Mutex
	saved Endpoints
	until time.Time
}

// Endpoints is a [Line]'s Discover.
func (d *Discovery) Endpoints(ctx context.Context) (Endpoints, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.Clock.Now().Before(d.until) {
		return d.saved, nil
	}
	out, err := d.Client.DiscoverPollEndpoint(ctx, &ecs.DiscoverPollEndpointInput{
		Cluster: aws.String(d.Cluster), ContainerInstance: aws.String(d.ContainerInstance),
	})
	if err != nil {
		return Endpoints{}, err
	}
	if aws.ToString(out.Endpoint) == "" {
		return Endpoints{}, errors.New("DiscoverPollEndpoint gave no endpoint")
	}
	d.saved = Endpoints{ACS: *out.Endpoint, TCS: aws.ToString(out.TelemetryEndpoint)}
	d.until = d.Clock.Now().Add(discoveryLife)
	return d.saved, nil
}

// MachineResources is what this machine has: CPU shares and MiB of memory.
// Memory is 0 where it cannot be told; the operator must then give it.
func MachineResources() (cpu, memoryMiB int32) {
	cpu = int32(goruntime.NumCPU() * 1024)
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return cpu, 0
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), "MemTotal:"); ok {
			kib, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return cpu, int32(kib / 1024)
		}
	}
	return cpu, 0
}
