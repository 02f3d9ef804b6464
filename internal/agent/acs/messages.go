package acs

import (
	"encoding/json"
	"log/slog"
)

// Message types that travel in an envelope's "type".
const (
	typeHeartbeat           = "HeartbeatMessage"
	typeHeartbeatAck        = "HeartbeatAckRequest"
	typePayload             = "PayloadMessage"
	typeAck                 = "AckRequest"
	typeCredentials         = "IAMRoleCredentialsMessage"
	typeCredentialsAck      = "IAMRoleCredentialsAckRequest"
	typeManifest            = "TaskManifestMessage"
	typeStopVerification    = "TaskStopVerificationMessage"
	typeStopVerificationAck = "TaskStopVerificationAck"
	typeAttachTaskENI       = "AttachTaskNetworkInterfacesMessage"
	typeAttachInstanceENI   = "AttachInstanceNetworkInterfacesMessage"
	typeStageUpdate         = "StageUpdateMessage"
	typePerformUpdate       = "PerformUpdateMessage"
	typeNack                = "NackRequest"
	typeError               = "ErrorMessage"
	typeClose               = "CloseMessage"
)

// Desired statuses of a task.
const (
	DesiredRunning = "RUNNING"
	DesiredStopped = "STOPPED"
)

// Role types of an [IAMRoleCredentialsMessage].
const (
	RoleTypeApplication = "TaskApplication" // the task role
	RoleTypeExecution   = "TaskExecution"   // the task execution role
)

// Message is one decoded frame from the server.
type Message interface {
	// validate returns an error naming the first required field that is
	// missing.
	validate() error
}

// Heartbeat proves that the server is alive.
type Heartbeat struct {
	MessageID string `json:"messageId"`
	Healthy   *bool  `json:"healthy"`
}

// Payload carries tasks to run or to stop.
type Payload struct {
	MessageID         string            `json:"messageId"`
	ClusterARN        string            `json:"clusterArn"`
	ContainerInstance string            `json:"containerInstanceArn"`
	SeqNum            *int64            `json:"seqNum"`
	GeneratedAt       *int64            `json:"generatedAt"` // milliseconds
	Tasks             []json.RawMessage `json:"tasks"`
}

// IAMRoleCredentialsMessage replaces the keys of one credential set.
type IAMRoleCredentialsMessage struct {
	MessageID       string           `json:"messageId"`
	TaskARN         string           `json:"taskArn"`
	TaskClusterARN  string           `json:"taskClusterArn"`
	RoleType        string           `json:"roleType"`
	RoleCredentials *RoleCredentials `json:"roleCredentials"`
}

// TaskIdentifier names a task in a manifest.
type TaskIdentifier struct {
	TaskARN        string `json:"taskArn"`
	TaskClusterARN string `json:"taskClusterArn"`
	DesiredStatus  string `json:"desiredStatus"`
}

// TaskManifest lists every task the server believes to be on this host.
type TaskManifest struct {
	MessageID         string           `json:"messageId"`
	ClusterARN        string           `json:"clusterArn"`
	ContainerInstance string           `json:"containerInstanceArn"`
	Timeline          *int64           `json:"timeline"`
	GeneratedAt       *int64           `json:"generatedAt"`
	Tasks             []TaskIdentifier `json:"tasks"`
}

// TaskStopVerificationAck confirms which stop candidates must really stop.
type TaskStopVerificationAck struct {
	MessageID   string           `json:"messageId"`
	GeneratedAt *int64           `json:"generatedAt"`
	StopTasks   []TaskIdentifier `json:"stopTasks"`
}

// AttachNetworkInterfaces announces interfaces before the task that uses them.
type AttachNetworkInterfaces struct {
	MessageID                string                    `json:"messageId"`
	ClusterARN               string                    `json:"clusterArn"`
	ContainerInstance        string                    `json:"containerInstanceArn"`
	TaskARN                  string                    `json:"taskArn"`
	WaitTimeoutMs            int64                     `json:"waitTimeoutMs"`
	ElasticNetworkInterfaces []ElasticNetworkInterface `json:"elasticNetworkInterfaces"`

	forTask bool
}

// Update asks the agent to replace itself, which this one always declines.
type Update struct {
	MessageID string `json:"messageId"`
}

// Notice is a message that is only logged.
type Notice struct {
	Type, Text string
}

// RoleCredentials is one credential set. Its identifier is a bearer secret on
// the host and its keys are secrets everywhere, so neither is ever printed.
type RoleCredentials struct {
	CredentialsID   string `json:"credentialsId"`
	RoleARN         string `json:"roleArn"`
	AccessKeyID     string `json:"accessKeyId"`
	SecretAccessKey string `json:"secretAccessKey"`
	SessionToken    string `json:"sessionToken"`
	Expiration      string `json:"expiration"` // ISO 8601, echoed as it came
}

// String names the role only.
func (c RoleCredentials) String() string { return "credentials of " + c.RoleARN }

// GoString names the role only.
func (c RoleCredentials) GoString() string { return c.String() }

// LogValue names the role only.
func (c RoleCredentials) LogValue() slog.Value { return slog.StringValue(c.String()) }

// Redacted is the set without its keys: what may be written to disk.
func (c RoleCredentials) Redacted() *RoleCredentials {
	return &RoleCredentials{CredentialsID: c.CredentialsID, RoleARN: c.RoleARN}
}

// Task is one task of a [Payload]. Field meanings are those of the ECS task
// definition unless said otherwise.
type Task struct {
	ARN                      string                    `json:"arn"`
	TaskClusterARN           string                    `json:"taskClusterArn,omitempty"`
	TaskDefinitionAccountID  string                    `json:"taskDefinitionAccountId,omitempty"`
	Family                   string                    `json:"family,omitempty"`
	Version                  string                    `json:"version,omitempty"`
	ServiceName              string                    `json:"serviceName,omitempty"`
	DesiredStatus            string                    `json:"desiredStatus"`
	LaunchType               string                    `json:"launchType,omitempty"`
	NetworkMode              string                    `json:"networkMode,omitempty"`
	CPU                      float64                   `json:"cpu,omitempty"`    // vCPUs
	Memory                   int64                     `json:"memory,omitempty"` // MiB
	RoleCredentials          *RoleCredentials          `json:"roleCredentials,omitempty"`
	ExecutionRoleCredentials *RoleCredentials          `json:"executionRoleCredentials,omitempty"`
	ElasticNetworkInterfaces []ElasticNetworkInterface `json:"elasticNetworkInterfaces,omitempty"`
	Volumes                  []Volume                  `json:"volumes,omitempty"`
	PIDMode                  string                    `json:"pidMode,omitempty"`
	IPCMode                  string                    `json:"ipcMode,omitempty"`
	ProxyConfiguration       json.RawMessage           `json:"proxyConfiguration,omitempty"`
	Containers               []Container               `json:"containers"`
}

// Container is one container of a [Task].
type Container struct {
	Name                   string                  `json:"name"`
	Image                  string                  `json:"image"`
	Essential              *bool                   `json:"essential,omitempty"` // absent means true
	CPU                    int64                   `json:"cpu,omitempty"`       // shares; 1024 is one core
	Memory                 int64                   `json:"memory,omitempty"`    // MiB
	Command                []string                `json:"command,omitempty"`
	EntryPoint             []string                `json:"entryPoint,omitempty"`
	Environment            map[string]string       `json:"environment,omitempty"`
	EnvironmentFiles       []EnvironmentFile       `json:"environmentFiles,omitempty"`
	PortMappings           []PortMapping           `json:"portMappings,omitempty"`
	MountPoints            []MountPoint            `json:"mountPoints,omitempty"`
	VolumesFrom            []json.RawMessage       `json:"volumesFrom,omitempty"`
	Links                  []string                `json:"links,omitempty"`
	DependsOn              []Dependency            `json:"dependsOn,omitempty"`
	Overrides              string                  `json:"overrides,omitempty"`    // JSON in a string
	StartTimeout           int64                   `json:"startTimeout,omitempty"` // seconds
	StopTimeout            int64                   `json:"stopTimeout,omitempty"`  // seconds
	Secrets                []Secret                `json:"secrets,omitempty"`
	RegistryAuthentication *RegistryAuthentication `json:"registryAuthentication,omitempty"`
	LogsAuthStrategy       string                  `json:"logsAuthStrategy,omitempty"`
	HealthCheckType        string                  `json:"healthCheckType,omitempty"`
	FirelensConfiguration  json.RawMessage         `json:"firelensConfiguration,omitempty"`
	DockerConfig           DockerConfig            `json:"dockerConfig"`
}

// IsEssential applies ECS's default.
func (c *Container) IsEssential() bool { return c.Essential == nil || *c.Essential }

// DockerConfig holds Docker Engine API objects, each as JSON in a string.
type DockerConfig struct {
	Version    string `json:"version,omitempty"`
	Config     string `json:"config,omitempty"`
	HostConfig string `json:"hostConfig,omitempty"`
}

// EnvironmentFile is a file of VAR=VALUE lines in S3.
type EnvironmentFile struct {
	Type  string `json:"type"`
	Value string `json:"value"` // object ARN
}

// PortMapping publishes a container port.
type PortMapping struct {
	ContainerPort int    `json:"containerPort"`
	HostPort      int    `json:"hostPort,omitempty"`
	Protocol      string `json:"protocol,omitempty"`
}

// Volume is storage that containers of the task mount.
type Volume struct {
	Name string `json:"name"`
	Type string `json:"type,omitempty"` // "host" or "docker"
	Host *struct {
		SourcePath string `json:"sourcePath,omitempty"`
	} `json:"host,omitempty"`
	DockerVolumeConfiguration *struct {
		Scope string `json:"scope,omitempty"`
	} `json:"dockerVolumeConfiguration,omitempty"`
}

// MountPoint is where a container sees a [Volume].
type MountPoint struct {
	SourceVolume  string `json:"sourceVolume"`
	ContainerPath string `json:"containerPath"`
	ReadOnly      bool   `json:"readOnly,omitempty"`
}

// Dependency makes a container wait for another.
type Dependency struct {
	ContainerName string `json:"containerName"`
	Condition     string `json:"condition"`
}

// Secret is a value that the execution role fetches.
type Secret struct {
	Name      string `json:"name"`
	Provider  string `json:"provider"` // "asm" or "ssm"
	Type      string `json:"type"`     // "ENVIRONMENT_VARIABLE"
	Region    string `json:"region"`
	ValueFrom string `json:"valueFrom"`
	Target    string `json:"target,omitempty"`
}

// RegistryAuthentication says how to be allowed to pull.
type RegistryAuthentication struct {
	Type        string       `json:"type"` // "ecr" or "asm"
	ECRAuthData *ECRAuthData `json:"ecrAuthData,omitempty"`
	ASMAuthData *ASMAuthData `json:"asmAuthData,omitempty"`
}

// ECRAuthData names an ECR registry.
type ECRAuthData struct {
	RegistryID       string `json:"registryId"`
	Region           string `json:"region"`
	EndpointOverride string `json:"endpointOverride,omitempty"`
	UseExecutionRole bool   `json:"useExecutionRole"`
}

// ASMAuthData names a secret holding {"username":…,"password":…}.
type ASMAuthData struct {
	CredentialsParameter string `json:"credentialsParameter"`
	Region               string `json:"region"`
}

// ElasticNetworkInterface is the task's own interface in awsvpc mode.
type ElasticNetworkInterface struct {
	AttachmentARN            string        `json:"attachmentArn,omitempty"`
	EC2ID                    string        `json:"ec2Id"`
	MACAddress               string        `json:"macAddress"`
	Index                    int           `json:"index,omitempty"`
	Name                     string        `json:"name,omitempty"`
	IPv4Addresses            []IPv4Address `json:"ipv4Addresses"`
	SubnetGatewayIPv4Address string        `json:"subnetGatewayIpv4Address,omitempty"` // with prefix length
	DomainNameServers        []string      `json:"domainNameServers,omitempty"`
	DomainName               []string      `json:"domainName,omitempty"`
	PrivateDNSName           string        `json:"privateDnsName,omitempty"`
}

// IPv4Address is one address of an interface.
type IPv4Address struct {
	Primary        bool   `json:"primary"`
	PrivateAddress string `json:"privateAddress"`
}

// What the agent answers.
type (
	heartbeatAck struct {
		MessageID string `json:"messageId"`
	}
	ack struct {
		Cluster           string `json:"cluster"`
		ContainerInstance string `json:"containerInstance"`
		MessageID         string `json:"messageId"`
	}
	nack struct {
		Cluster           string `json:"cluster"`
		ContainerInstance string `json:"containerInstance"`
		MessageID         string `json:"messageId"`
		Reason            string `json:"reason"`
	}
	credentialsAck struct {
		MessageID     string `json:"messageId"`
		CredentialsID string `json:"credentialsId"`
		Expiration    string `json:"expiration"`
	}
	stopVerification struct {
		MessageID      string           `json:"messageId"`
		StopCandidates []TaskIdentifier `json:"stopCandidates"`
	}
)
