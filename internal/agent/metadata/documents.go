package metadata

import (
	"encoding/json"
	"time"
)

// TaskMetadata is the task document of version 4, field for field as the ECS
// task metadata endpoint publishes it.
//
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-metadata-endpoint-v4.html
type TaskMetadata struct {
	Cluster            string              `json:"Cluster"`
	TaskARN            string              `json:"TaskARN"`
	Family             string              `json:"Family"`
	Revision           string              `json:"Revision"`
	ServiceName        string              `json:"ServiceName,omitempty"`
	DesiredStatus      string              `json:"DesiredStatus,omitempty"`
	KnownStatus        string              `json:"KnownStatus"`
	Limits             *Limits             `json:"Limits,omitempty"`
	PullStartedAt      *time.Time          `json:"PullStartedAt,omitempty"`
	PullStoppedAt      *time.Time          `json:"PullStoppedAt,omitempty"`
	ExecutionStoppedAt *time.Time          `json:"ExecutionStoppedAt,omitempty"`
	AvailabilityZone   string              `json:"AvailabilityZone,omitempty"`
	AvailabilityZoneID string              `json:"AvailabilityZoneID,omitempty"`
	LaunchType         string              `json:"LaunchType,omitempty"`
	VPCID              string              `json:"VPCID,omitempty"`
	Group              string              `json:"Group,omitempty"`
	Containers         []ContainerMetadata `json:"Containers,omitempty"`
	// TaskTags and ContainerInstanceTags appear in taskWithTags only.
	TaskTags              map[string]string `json:"TaskTags,omitempty"`
	ContainerInstanceTags map[string]string `json:"ContainerInstanceTags,omitempty"`
	// Errors tell in taskWithTags why tags are missing.
	Errors                  []TagError               `json:"Errors,omitempty"`
	ClockDrift              *ClockDrift              `json:"ClockDrift,omitempty"`
	EphemeralStorageMetrics *EphemeralStorageMetrics `json:"EphemeralStorageMetrics,omitempty"`
	// FaultInjectionEnabled is left out of version 3; nil means false.
	FaultInjectionEnabled *bool `json:"FaultInjectionEnabled,omitempty"`
}

// ContainerMetadata is the container document of version 4.
type ContainerMetadata struct {
	// MetadataID is the unguessable path segment of this container's
	// ECS_CONTAINER_METADATA_URI_V4. It is never part of a document. A
	// container without one is listed in the task but cannot be asked for.
	MetadataID string `json:"-"`

	DockerID      string            `json:"DockerId"`
	Name          string            `json:"Name"`
	DockerName    string            `json:"DockerName"`
	Image         string            `json:"Image"`
	ImageID       string            `json:"ImageID"`
	Ports         []Port            `json:"Ports,omitempty"`
	Labels        map[string]string `json:"Labels,omitempty"`
	DesiredStatus string            `json:"DesiredStatus"`
	KnownStatus   string            `json:"KnownStatus"`
	ExitCode      *int              `json:"ExitCode,omitempty"`
	Limits        Limits            `json:"Limits"`
	CreatedAt     *time.Time        `json:"CreatedAt,omitempty"`
	StartedAt     *time.Time        `json:"StartedAt,omitempty"`
	FinishedAt    *time.Time        `json:"FinishedAt,omitempty"`
	// Type is NORMAL, or CNI_PAUSE for the pause container.
	Type         string            `json:"Type"`
	Health       *Health           `json:"Health,omitempty"`
	Volumes      []Volume          `json:"Volumes,omitempty"`
	LogDriver    string            `json:"LogDriver,omitempty"`
	LogOptions   map[string]string `json:"LogOptions,omitempty"`
	ContainerARN string            `json:"ContainerARN,omitempty"`
	Networks     []Network         `json:"Networks,omitempty"`
	Snapshotter  string            `json:"Snapshotter,omitempty"`
	RestartCount *int              `json:"RestartCount,omitempty"`
}

// TagError is a failed look-up of tags.
type TagError struct {
	ErrorField   string `json:"ErrorField,omitempty"`
	ErrorCode    string `json:"ErrorCode,omitempty"`
	ErrorMessage string `json:"ErrorMessage,omitempty"`
	StatusCode   int    `json:"StatusCode,omitempty"`
	RequestID    string `json:"RequestId,omitempty"`
	ResourceARN  string `json:"ResourceARN,omitempty"`
}

// Limits of a task (CPU in vCPUs) or of a container (CPU in units of 1/1024
// vCPU). Memory is in MiB.
type Limits struct {
	CPU    *float64 `json:"CPU,omitempty"`
	Memory *int64   `json:"Memory,omitempty"`
}

// Port is one port mapping.
type Port struct {
	ContainerPort uint16 `json:"ContainerPort,omitempty"`
	Protocol      string `json:"Protocol,omitempty"`
	HostPort      uint16 `json:"HostPort,omitempty"`
	HostIP        string `json:"HostIp,omitempty"`
}

// Health is the result of the last container health check.
type Health struct {
	Status   string     `json:"status,omitempty"`
	Since    *time.Time `json:"statusSince,omitempty"`
	ExitCode int        `json:"exitCode,omitempty"`
	Output   string     `json:"output,omitempty"`
}

// Volume is one mount of a container.
type Volume struct {
	DockerName  string `json:"DockerName,omitempty"`
	Source      string `json:"Source,omitempty"`
	Destination string `json:"Destination,omitempty"`
}

// Network is one network interface of a container.
type Network struct {
	NetworkMode              string   `json:"NetworkMode,omitempty"`
	IPv4Addresses            []string `json:"IPv4Addresses,omitempty"`
	IPv6Addresses            []string `json:"IPv6Addresses,omitempty"`
	AttachmentIndex          *int     `json:"AttachmentIndex,omitempty"`
	MACAddress               string   `json:"MACAddress,omitempty"`
	IPv4SubnetCIDRBlock      string   `json:"IPv4SubnetCIDRBlock,omitempty"`
	IPv6SubnetCIDRBlock      string   `json:"IPv6SubnetCIDRBlock,omitempty"`
	DomainNameServers        []string `json:"DomainNameServers,omitempty"`
	DomainNameSearchList     []string `json:"DomainNameSearchList,omitempty"`
	PrivateDNSName           string   `json:"PrivateDNSName,omitempty"`
	SubnetGatewayIPv4Address string   `json:"SubnetGatewayIpv4Address,omitempty"`
	SubnetGatewayIPv6Address string   `json:"SubnetGatewayIpv6Address,omitempty"`
}

// ClockDrift tells how far the host's clock may be off, in milliseconds.
type ClockDrift struct {
	ClockErrorBound            float64    `json:"ClockErrorBound,omitempty"`
	ReferenceTimestamp         *time.Time `json:"ReferenceTimestamp,omitempty"`
	ClockSynchronizationStatus string     `json:"ClockSynchronizationStatus,omitempty"`
}

// EphemeralStorageMetrics is the task's scratch space, in MiB.
type EphemeralStorageMetrics struct {
	Utilized int64 `json:"Utilized"`
	Reserved int64 `json:"Reserved"`
}

// documents are the rendered answers for one state of the task.
type documents struct {
	task, taskWithTags     []byte
	taskV3, taskWithTagsV3 []byte
	containers             map[string]containerDocuments // by metadata id
	dockerIDs              []string
}

type containerDocuments struct {
	dockerID string
	v4, v3   []byte
}

func render(m TaskMetadata) (*documents, error) {
	d := &documents{containers: make(map[string]containerDocuments, len(m.Containers))}
	var err error
	encode := func(v any) []byte {
		b, e := json.Marshal(v)
		if e != nil && err == nil {
			err = e
		}
		return b
	}
	if m.FaultInjectionEnabled == nil {
		m.FaultInjectionEnabled = new(bool)
	}
	d.taskWithTags, d.taskWithTagsV3 = encode(m), encode(version3(m))
	m.TaskTags, m.ContainerInstanceTags, m.Errors = nil, nil, nil
	old := version3(m)
	d.task, d.taskV3 = encode(m), encode(old)
	for i, c := range m.Containers {
		if c.DockerID != "" {
			d.dockerIDs = append(d.dockerIDs, c.DockerID)
		}
		if c.MetadataID != "" {
			d.containers[c.MetadataID] = containerDocuments{
				dockerID: c.DockerID, v4: encode(c), v3: encode(old.Containers[i]),
			}
		}
	}
	return d, err
}

// version3 removes what version 4 added to the documents.
func version3(m TaskMetadata) TaskMetadata {
	m.ServiceName, m.Group, m.LaunchType, m.VPCID, m.AvailabilityZoneID = "", "", "", "", ""
	m.ClockDrift, m.EphemeralStorageMetrics, m.FaultInjectionEnabled = nil, nil, nil
	containers := make([]ContainerMetadata, len(m.Containers))
	for i, c := range m.Containers {
		c.LogDriver, c.LogOptions, c.ContainerARN, c.Snapshotter, c.RestartCount = "", nil, "", "", nil
		networks := make([]Network, len(c.Networks))
		for j, n := range c.Networks {
			networks[j] = Network{NetworkMode: n.NetworkMode, IPv4Addresses: n.IPv4Addresses, IPv6Addresses: n.IPv6Addresses}
		}
		c.Networks = networks
		containers[i] = c
	}
	m.Containers = containers
	return m
}
