package controlplane

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/remit-ecs/remit/internal/agent"
	"github.com/remit-ecs/remit/internal/agent/runtime"
	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/iamapi"
	"github.com/remit-ecs/remit/internal/api/stsapi"
	"github.com/remit-ecs/remit/internal/gateway"
	"github.com/remit-ecs/remit/internal/service/ecs"
	"github.com/remit-ecs/remit/internal/session"
)

// The built-in host is a container instance like any other: it has a role of
// its own in the reserved account, and no other way into the control plane.
const (
	hostRole     = "remitFargateHost"
	hostInstance = "i-0fa49a7e000000001"
	hostTrust    = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}`
	hostPolicy   = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["ecs:DiscoverPollEndpoint","ecs:RegisterContainerInstance","ecs:Poll","ecs:StartTelemetrySession","ecs:SubmitTaskStateChange","ecs:SubmitContainerStateChange","ecs:SubmitAttachmentStateChanges"],"Resource":"*"}]}`
)

// hostCPU is the CPU, in shares of 1024 a core, that the built-in host offers:
// far more than a machine has. Fargate always has room, and here tasks that
// idle must not keep each other waiting; each still gets no more than its own.
const hostCPU = 1024 * 1024

// host is the running built-in host.
type host struct {
	cancel context.CancelFunc
	done   chan error
}

// startHost makes the host's role where it is missing, starts the agent and
// waits until it is connected.
func (cp *ControlPlane) startHost(ctx context.Context, m *machine) (*host, error) {
	if err := cp.ensureHostRole(ctx); err != nil {
		return nil, fmt.Errorf("role of the built-in host: %w", err)
	}
	connected := make(chan struct{}, 1)
	o := agent.Options{
		Endpoint: cp.endpoint, Region: cp.Options.Region, Cluster: ecs.FargateCluster,
		Credentials:     aws.NewCredentialsCache(instanceRole{cp.gateway, cp.Options.Region}),
		Runtime:         m.runtime,
		CPU:             hostCPU,
		DataDir:         filepath.Join(cp.data, "host", "agent"),
		StopTasksOnExit: cp.StopTasks || cp.temp,
		Logger:          cp.Log,
		Attributes:      map[string]string{},
		Connected: func(string) {
			select {
			case connected <- struct{}{}:
			default:
			}
		},
		InstanceIdentityDocument: fmt.Sprintf(`{"accountId":%q,"instanceId":%q,"region":%q,"availabilityZone":%q,"architecture":"x86_64"}`,
			ReservedAccount, hostInstance, cp.Options.Region, cp.Options.Region+"a"),
	}
	if m.networker != nil {
		o.Network = m.networker
		o.Attributes[ecs.SubnetAttribute] = m.networker.Info().Subnet.String()
	} else {
		o.Attributes[ecs.NetworkAttribute] = "host"
	}
	if cp.Advertise != "" {
		o.ContainerEndpoint = cp.Advertise
	}
	a, err := agent.New(o)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	h := &host{cancel: cancel, done: make(chan error, 1)}
	go func() { h.done <- a.Run(ctx) }()
	select {
	case <-connected:
		return h, nil
	case err := <-h.done:
		cancel()
		if err == nil {
			err = errors.New("it ended before it was connected")
		}
		return nil, fmt.Errorf("built-in host: %w", err)
	case <-time.After(20 * time.Second):
		cancel()
		return nil, errors.New("built-in host: not connected after 20 s")
	}
}

// stop ends the agent. The machine stays as it is.
func (h *host) stop(ctx context.Context, rt runtime.Runtime) error {
	h.cancel()
	select {
	case err := <-h.done:
		return err
	case <-time.After(stopPatience):
	}
	// Containers that do not care for SIGTERM: closing the runtime ends them,
	// and so the agent's wait for them.
	err := rt.Close()
	select {
	case aerr := <-h.done:
		return errors.Join(err, aerr)
	case <-ctx.Done():
		return errors.Join(err, errors.New("the built-in host did not stop in time"))
	}
}

// stopPatience is how long containers have for their own end when the server
// stops; it has five seconds for everything.
const stopPatience = 2 * time.Second

// ensureHostRole makes the host's role by the same calls that a user makes, as
// the reserved account's root.
func (cp *ControlPlane) ensureHostRole(ctx context.Context) error {
	root := cp.gateway.For(&session.Principal{Type: session.Root, Account: ReservedAccount, ARN: "arn:aws:iam::" + ReservedAccount + ":root", UserID: ReservedAccount})
	t := gateway.Target{Account: ReservedAccount, Region: cp.Options.Region}
	_, err := gateway.Invoke(ctx, root, t, iamapi.CreateRole, &iamapi.CreateRoleInput{RoleName: api.Ptr(hostRole), AssumeRolePolicyDocument: api.Ptr(hostTrust)})
	var e *api.Error
	if errors.As(err, &e) && e.Code == "EntityAlreadyExists" {
		err = nil
	}
	if err != nil {
		return err
	}
	_, err = gateway.Invoke(ctx, root, t, iamapi.PutRolePolicy, &iamapi.PutRolePolicyInput{RoleName: api.Ptr(hostRole), PolicyName: api.Ptr("host"), PolicyDocument: api.Ptr(hostPolicy)})
	return err
}

// instanceRole gives the agent the credentials that IMDS gives an EC2
// instance: EC2 assumes the role of its instance profile, and the session is
// named after the instance.
type instanceRole struct {
	g      *gateway.Gateway
	region string
}

// Retrieve implements aws.CredentialsProvider.
func (r instanceRole) Retrieve(ctx context.Context) (aws.Credentials, error) {
	out, err := gateway.Invoke(ctx, r.g.As("ec2.amazonaws.com"),
		gateway.Target{Account: ReservedAccount, Region: r.region, SourceARN: "arn:aws:ec2:" + r.region + ":" + ReservedAccount + ":instance/" + hostInstance},
		stsapi.AssumeRole, &stsapi.AssumeRoleInput{
			RoleArn:         api.Ptr("arn:aws:iam::" + ReservedAccount + ":role/" + hostRole),
			RoleSessionName: api.Ptr(hostInstance),
			DurationSeconds: api.Ptr(int32(6 * 3600)),
		})
	if err != nil {
		return aws.Credentials{}, err
	}
	c := out.Credentials
	return aws.Credentials{
		AccessKeyID: *c.AccessKeyId, SecretAccessKey: *c.SecretAccessKey, SessionToken: *c.SessionToken,
		CanExpire: true, Expires: c.Expiration.Time, Source: "InstanceProfile",
	}, nil
}

// tasksLine says in the banner what runs tasks.
func (cp *ControlPlane) tasksLine() string {
	if cp.host == nil {
		return "none run here"
	}
	return cp.isolation
}

// isolationLine describes a runtime in a line.
func isolationLine(i runtime.Info) string {
	line := i.Name + " runtime, isolation: " + string(i.Isolation)
	if i.Isolation == runtime.IsolationContainer {
		line += fmt.Sprintf(" (cgroup v%d)", i.CgroupVersion)
		if i.Seccomp {
			line += ", Docker's seccomp profile"
		} else {
			line += ", no seccomp profile"
		}
	}
	return line
}
