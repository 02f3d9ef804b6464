// Package ecs serves Amazon ECS: clusters, task definitions, tasks and
// container instances.
//
// Operations write wanted state; they never talk to a host. Two loops make it
// true:
//
//	RunTask ──► task document PROVISIONING
//	                 │ Run (loops.go): schedule.Plan, one commit per shard
//	                 ▼
//	            PENDING on a container instance
//	                 │ package hosts: sts:AssumeRole twice, PayloadMessage
//	                 ▼
//	            the agent works and reports    SubmitTaskStateChange (reports.go)
//	                 ▼
//	            RUNNING ... STOPPED, kept for an hour, then removed by Run
//
// Tasks of launch type FARGATE run on hidden hosts: container instances that
// the built-in agents register in an account nobody owns (Options.Reserved).
// Their tasks live in the caller's account and show no container instance.
//
// Every operation names its rule beside its handler (mayX and x). The package
// calls no other service: roles are asked about through authz, and assumed by
// package hosts through the gateway.
package ecs

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"time"

	"github.com/remit-ecs/remit/internal/api/ecsapi"
	"github.com/remit-ecs/remit/internal/clock"
	"github.com/remit-ecs/remit/internal/gateway"
	"github.com/remit-ecs/remit/internal/store"
)

// TasksPrincipal is the service principal that assumes task roles and task
// execution roles.
const TasksPrincipal = "ecs-tasks.amazonaws.com"

// Options is what a Service is built from.
type Options struct {
	Store *store.Store
	Clock clock.Clock
	Log   *slog.Logger

	// Reserved is the account in which hidden hosts register, such as
	// 999999999999. Its cluster FargateCluster always exists.
	Reserved string

	// Secret is 32 bytes or more from which the ids of credential sets are
	// derived: bearer secrets on the host that need not be stored that way.
	Secret []byte

	// PollEndpoint and TelemetryEndpoint are the URLs that agents connect to
	// (http://host:port/acs/). Where empty, they are made from the address
	// under which the agent reached the API.
	PollEndpoint, TelemetryEndpoint string

	// CapacityWait is how long a FARGATE task waits for a host with room before
	// it is stopped. Default two minutes.
	CapacityWait time.Duration
	// Lost is how long a host may be disconnected before its tasks are shown
	// as DISCONNECTED. Default two minutes.
	Lost time.Duration
	// KeepStopped is how long stopped tasks can be described. Default one
	// hour; AWS promises at least that.
	KeepStopped time.Duration
}

// FargateCluster is the cluster of the hidden hosts in the reserved account.
const FargateCluster = "fargate"

// Service serves ECS.
type Service struct {
	Options
}

// New returns a Service; Register makes it reachable, Run makes tasks move.
func New(o Options) *Service {
	if o.CapacityWait == 0 {
		o.CapacityWait = 2 * time.Minute
	}
	if o.Lost == 0 {
		o.Lost = 2 * time.Minute
	}
	if o.KeepStopped == 0 {
		o.KeepStopped = time.Hour
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return &Service{Options: o}
}

// Register adds the operations to m. Services and task sets are not served yet.
func (s *Service) Register(m *gateway.Mux) {
	gateway.Handle(m, ecsapi.CreateCluster, s.mayCreateCluster, s.createCluster)
	gateway.Handle(m, ecsapi.DescribeClusters, s.mayDescribeClusters, s.describeClusters)
	gateway.Handle(m, ecsapi.ListClusters, s.mayListClusters, s.listClusters)
	gateway.Handle(m, ecsapi.UpdateCluster, s.mayUpdateCluster, s.updateCluster)
	gateway.Handle(m, ecsapi.UpdateClusterSettings, s.mayUpdateClusterSettings, s.updateClusterSettings)
	gateway.Handle(m, ecsapi.DeleteCluster, s.mayDeleteCluster, s.deleteCluster)

	gateway.Handle(m, ecsapi.RegisterTaskDefinition, s.mayRegisterTaskDefinition, s.registerTaskDefinition)
	gateway.Handle(m, ecsapi.DescribeTaskDefinition, s.mayDescribeTaskDefinition, s.describeTaskDefinition)
	gateway.Handle(m, ecsapi.ListTaskDefinitions, s.mayListTaskDefinitions, s.listTaskDefinitions)
	gateway.Handle(m, ecsapi.ListTaskDefinitionFamilies, s.mayListTaskDefinitionFamilies, s.listTaskDefinitionFamilies)
	gateway.Handle(m, ecsapi.DeregisterTaskDefinition, s.mayDeregisterTaskDefinition, s.deregisterTaskDefinition)
	gateway.Handle(m, ecsapi.DeleteTaskDefinitions, s.mayDeleteTaskDefinitions, s.deleteTaskDefinitions)

	gateway.Handle(m, ecsapi.RunTask, s.mayRunTask, s.runTask)
	gateway.Handle(m, ecsapi.StartTask, s.mayStartTask, s.startTask)
	gateway.Handle(m, ecsapi.StopTask, s.mayStopTask, s.stopTask)
	gateway.Handle(m, ecsapi.DescribeTasks, s.mayDescribeTasks, s.describeTasks)
	gateway.Handle(m, ecsapi.ListTasks, s.mayListTasks, s.listTasks)

	gateway.Handle(m, ecsapi.TagResource, s.mayTagResource, s.tagResource)
	gateway.Handle(m, ecsapi.UntagResource, s.mayUntagResource, s.untagResource)
	gateway.Handle(m, ecsapi.ListTagsForResource, s.mayListTagsForResource, s.listTagsForResource)

	gateway.Handle(m, ecsapi.RegisterContainerInstance, s.mayRegisterContainerInstance, s.registerContainerInstance)
	gateway.Handle(m, ecsapi.DeregisterContainerInstance, s.mayDeregisterContainerInstance, s.deregisterContainerInstance)
	gateway.Handle(m, ecsapi.DescribeContainerInstances, s.mayDescribeContainerInstances, s.describeContainerInstances)
	gateway.Handle(m, ecsapi.ListContainerInstances, s.mayListContainerInstances, s.listContainerInstances)
	gateway.Handle(m, ecsapi.UpdateContainerInstancesState, s.mayUpdateContainerInstancesState, s.updateContainerInstancesState)
	gateway.Handle(m, ecsapi.DiscoverPollEndpoint, s.mayDiscoverPollEndpoint, s.discoverPollEndpoint)
	gateway.Handle(m, ecsapi.SubmitTaskStateChange, s.maySubmitTaskStateChange, s.submitTaskStateChange,
		gateway.In(func(c *gateway.Call, in *ecsapi.SubmitTaskStateChangeInput) string { return s.shardOfARN(c, in.Task) }))
	gateway.Handle(m, ecsapi.SubmitContainerStateChange, s.maySubmitContainerStateChange, s.submitContainerStateChange,
		gateway.In(func(c *gateway.Call, in *ecsapi.SubmitContainerStateChangeInput) string {
			return s.shardOfARN(c, in.Task)
		}))
	gateway.Handle(m, ecsapi.SubmitAttachmentStateChanges, s.maySubmitAttachmentStateChanges, s.submitAttachmentStateChanges)
}

// derive makes a stable UUID-shaped id that only this installation can make.
func (s *Service) derive(parts ...string) string {
	m := hmac.New(sha256.New, s.Secret)
	for _, p := range parts {
		m.Write([]byte(p))
		m.Write([]byte{0})
	}
	h := hex.EncodeToString(m.Sum(nil)[:16])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// CredentialsID is the id of a task's credential set for a role type
// (TaskApplication or TaskExecution). It stays the same for the task's life,
// since it is part of the container's environment.
func (s *Service) CredentialsID(t *Task, roleType string) string {
	return s.derive("credentials", t.ARN(), roleType)
}
