package ecs

import (
	"time"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/ecsapi"
	"github.com/remit-ecs/remit/internal/schedule"
	"github.com/remit-ecs/remit/internal/store"
)

// The documents of ECS. All lie in the shard ACCOUNT/REGION of their owner.
//
//	ecs.cluster         NAME
//	ecs.family          FAMILY                  the last revision ever given out
//	ecs.taskdefinition  FAMILY 0000001          one per revision
//	ecs.task            CLUSTER/ID ──────────► definition by key, host by ARN
//	ecs.runtoken        CLUSTER TOKEN           RunTask's idempotency, a day
//	ecs.ended           TASK ID                 role sessions that outlive a removed task
//	ecs.instance        CLUSTER/ID              container instances; hidden hosts
//	                                            in the reserved account
//
// A task's host may lie in another shard (FARGATE), hence the ARN.
var (
	clusters    = store.NewKind[Cluster]("ecs.cluster", 1)
	families    = store.NewKind[family]("ecs.family", 1)
	definitions = store.NewKind[Definition]("ecs.taskdefinition", 1)
	tasks       = store.NewKind("ecs.task", 1,
		store.Index[Task]{Name: "host", Keys: func(_ string, t *Task) []string {
			if t.Host == "" || t.Status() == StatusStopped {
				return nil
			}
			return []string{t.Host}
		}},
		store.Index[Task]{Name: "id", Keys: func(_ string, t *Task) []string { return []string{t.ID} }},
		store.Index[Task]{Name: "definition", Keys: func(_ string, t *Task) []string {
			if t.Status() == StatusStopped {
				return nil
			}
			return []string{t.Definition}
		}},
		store.Index[Task]{Name: "due", Keys: func(_ string, t *Task) []string {
			if d := due(t); d != "" {
				return []string{d}
			}
			return nil
		}},
	)
	runTokens = store.NewKind[runToken]("ecs.runtoken", 1)
	ended     = store.NewKind[endedTask]("ecs.ended", 1)
	instances = store.NewKind("ecs.instance", 1,
		store.Index[Instance]{Name: "principal", Keys: func(_ string, i *Instance) []string { return []string{i.PrincipalID} }},
	)
)

// WorkKinds are the kinds whose changes may mean work for a host.
func WorkKinds() []string { return []string{tasks.Name(), instances.Name()} }

// The statuses of a task, in the order of its life.
const (
	StatusProvisioning   = "PROVISIONING"
	StatusPending        = "PENDING"
	StatusActivating     = "ACTIVATING"
	StatusRunning        = "RUNNING"
	StatusDeactivating   = "DEACTIVATING"
	StatusStopping       = "STOPPING"
	StatusDeprovisioning = "DEPROVISIONING"
	StatusStopped        = "STOPPED"
)

// What the loop has to do for a task (index "due"); "" is nothing.
const (
	duePlace  = "place"  // choose a host
	dueFinish = "finish" // stop what needs no host, release the interface
	dueRemove = "remove" // stopped, kept for a while
)

// due says what the loop has to do next for a task.
func due(t *Task) string {
	stopping := t.Desired() == StatusStopped
	switch st := t.Status(); {
	case st == StatusStopped:
		return dueRemove
	case st == StatusDeprovisioning:
		return dueFinish
	case stopping && (t.Host == "" || st == StatusRunning || st == StatusActivating || st == StatusDeactivating):
		return dueFinish
	case t.Host == "" && !stopping:
		return duePlace
	}
	return ""
}

// Cluster is a cluster.
type Cluster struct {
	Name      string                                `json:"name"`
	Status    string                                `json:"status"` // ACTIVE or INACTIVE
	CreatedAt time.Time                             `json:"createdAt"`
	Settings  []ecsapi.ClusterSetting               `json:"settings,omitempty"`
	Config    *ecsapi.ClusterConfiguration          `json:"configuration,omitempty"`
	Providers []string                              `json:"capacityProviders,omitempty"`
	Strategy  []ecsapi.CapacityProviderStrategyItem `json:"defaultCapacityProviderStrategy,omitempty"`
	Defaults  *ecsapi.ClusterServiceConnectDefaults `json:"serviceConnectDefaults,omitempty"`
	Tags      []ecsapi.Tag                          `json:"tags,omitempty"`
	unsaved   bool                                  // the default cluster before its first use
}

// family remembers the newest revision, so that none is given out twice.
type family struct {
	Revision int32 `json:"revision"`
}

// Definition is one revision of a task definition, as it is shown.
type Definition struct {
	Shown ecsapi.TaskDefinition `json:"definition"`
	Tags  []ecsapi.Tag          `json:"tags,omitempty"`
}

// Task is a task: what is shown of it, and what the control plane needs to know
// besides.
type Task struct {
	Account string `json:"account"`
	Region  string `json:"region"`
	Cluster string `json:"cluster"` // name
	ID      string `json:"id"`      // 32 hexadecimal digits

	// Shown is what DescribeTasks answers, without tags.
	Shown ecsapi.Task  `json:"task"`
	Tags  []ecsapi.Tag `json:"tags,omitempty"`

	Definition string `json:"definition"` // key of the revision
	Family     string `json:"family"`
	// The roles after overrides; empty where the task has none.
	TaskRole      string `json:"taskRole,omitempty"`
	ExecutionRole string `json:"executionRole,omitempty"`

	// Host is the ARN of the container instance that runs the task, also
	// where the caller must not see one.
	Host string `json:"host,omitempty"`
	// Sent says that the host may have been told to run the task: from then on
	// only the host can say that its containers are gone.
	Sent      bool                        `json:"sent,omitempty"`
	Needs     schedule.Resources          `json:"needs"`
	Requires  []schedule.Attribute        `json:"requires,omitempty"`
	Strategy  []schedule.Strategy         `json:"strategy,omitempty"`
	Distinct  string                      `json:"distinct,omitempty"`
	VPC       *ecsapi.AwsVpcConfiguration `json:"awsvpcConfiguration,omitempty"`
	Interface *Interface                  `json:"interface,omitempty"`
	RemoveAt  time.Time                   `json:"removeAt,omitzero"`
}

// Interface is the network interface of an awsvpc task.
type Interface struct {
	AttachmentID string `json:"attachmentId"`
	ENI          string `json:"eni"` // eni-...
	MAC          string `json:"mac"`
	Subnet       string `json:"subnet"` // the subnet the caller named
	// Address and Gateway (with prefix length) come from the host's task
	// subnet when the task is placed.
	Address string `json:"address,omitempty"`
	Gateway string `json:"gateway,omitempty"`
}

// runToken is the outcome of a RunTask with a client token.
type runToken struct {
	Request string    `json:"request"` // hash of the input
	Tasks   []string  `json:"tasks"`   // keys
	Expires time.Time `json:"expires"`
}

// endedTask outlives a removed task for as long as credentials of its roles
// might still be valid by their time.
type endedTask struct {
	Roles []string  `json:"roles"`
	Until time.Time `json:"until"`
}

// Instance is a container instance.
type Instance struct {
	Account string `json:"account"`
	Region  string `json:"region"`
	Cluster string `json:"cluster"`
	ID      string `json:"id"`

	// PrincipalID is the unique id of the session (AROA...:INSTANCE), user or
	// root user that registered it and that alone may speak for it. For a role
	// session its last part is the instance id. A role that is made again under
	// an old name has another id: its sessions do not inherit the instances.
	PrincipalID   string `json:"principalId"`
	EC2InstanceID string `json:"ec2InstanceId,omitempty"`

	Status       string                  `json:"status"` // ACTIVE, DRAINING, INACTIVE
	Version      int64                   `json:"version"`
	VersionInfo  *ecsapi.VersionInfo     `json:"versionInfo,omitempty"`
	Resources    []ecsapi.Resource       `json:"resources,omitempty"`
	Attributes   []ecsapi.Attribute      `json:"attributes,omitempty"`
	Devices      []ecsapi.PlatformDevice `json:"devices,omitempty"`
	Tags         []ecsapi.Tag            `json:"tags,omitempty"`
	RegisteredAt time.Time               `json:"registeredAt"`

	// Connection names the websocket that the agent is on, wherever it ended;
	// Seen is when it last gave a sign of life there. A connection that was
	// not seen for Options.Lost is not one: a killed replica says no goodbye.
	Connection string    `json:"connection,omitempty"`
	Seen       time.Time `json:"seen,omitzero"`
	Timeline   int64     `json:"timeline"` // last sequence number of a manifest

	// Why and since when it is INACTIVE; what its tasks are told.
	StopCode     ecsapi.TaskStopCode `json:"stopCode,omitempty"`
	StatusReason string              `json:"statusReason,omitempty"`
	InactiveAt   time.Time           `json:"inactiveAt,omitzero"`
}

// ARN of the task.
func (t *Task) ARN() string { return api.Value(t.Shown.TaskArn) }

// ClusterARN of the task.
func (t *Task) ClusterARN() string { return api.Value(t.Shown.ClusterArn) }

// Status is the task's lastStatus.
func (t *Task) Status() string { return api.Value(t.Shown.LastStatus) }

// Desired is the task's desiredStatus, RUNNING or STOPPED.
func (t *Task) Desired() string { return api.Value(t.Shown.DesiredStatus) }

// Fargate says that the task runs on a hidden host.
func (t *Task) Fargate() bool { return t.Shown.LaunchType == ecsapi.LaunchTypeFargate }

// Shard is where the task's document lies.
func (t *Task) Shard() string { return t.Account + "/" + t.Region }

func (t *Task) key() string { return t.Cluster + "/" + t.ID }

// ARN of the container instance.
func (i *Instance) ARN() string {
	return "arn:aws:ecs:" + i.Region + ":" + i.Account + ":container-instance/" + i.Cluster + "/" + i.ID
}

// ClusterARN of the container instance.
func (i *Instance) ClusterARN() string { return clusterARN(i.Account, i.Region, i.Cluster) }

// Shard is where the instance's document lies.
func (i *Instance) Shard() string { return i.Account + "/" + i.Region }

func (i *Instance) key() string { return i.Cluster + "/" + i.ID }

// attribute returns the value of an attribute; false where there is none.
func (i *Instance) attribute(name string) (string, bool) {
	for _, a := range i.Attributes {
		if api.Value(a.Name) == name {
			return api.Value(a.Value), true
		}
	}
	return "", false
}
