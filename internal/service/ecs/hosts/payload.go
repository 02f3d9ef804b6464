package hosts

import (
	"cmp"
	"encoding/json"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/remit-ecs/remit/arn"
	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/ecsapi"
	"github.com/remit-ecs/remit/internal/service/ecs"
)

// The task as agents read it: the shape of the stock agent's ACS model.

type payloadTask struct {
	ARN                      string             `json:"arn"`
	TaskClusterARN           string             `json:"taskClusterArn,omitempty"`
	TaskDefinitionAccountID  string             `json:"taskDefinitionAccountId,omitempty"`
	Family                   string             `json:"family,omitempty"`
	Version                  string             `json:"version,omitempty"`
	DesiredStatus            string             `json:"desiredStatus"`
	LaunchType               string             `json:"launchType,omitempty"`
	NetworkMode              string             `json:"networkMode,omitempty"`
	CPU                      float64            `json:"cpu,omitempty"`    // vCPUs
	Memory                   int64              `json:"memory,omitempty"` // MiB
	RoleCredentials          *roleCredentials   `json:"roleCredentials,omitempty"`
	ExecutionRoleCredentials *roleCredentials   `json:"executionRoleCredentials,omitempty"`
	Interfaces               []elasticInterface `json:"elasticNetworkInterfaces,omitempty"`
	Containers               []payloadContainer `json:"containers"`
}

type elasticInterface struct {
	AttachmentARN  string   `json:"attachmentArn"`
	EC2ID          string   `json:"ec2Id"`
	MACAddress     string   `json:"macAddress"`
	Index          int      `json:"index"`
	Name           string   `json:"name"`
	IPv4Addresses  []ipv4   `json:"ipv4Addresses"`
	Gateway        string   `json:"subnetGatewayIpv4Address"`
	NameServers    []string `json:"domainNameServers,omitempty"`
	PrivateDNSName string   `json:"privateDnsName,omitempty"`
}

type ipv4 struct {
	Primary bool   `json:"primary"`
	Address string `json:"privateAddress"`
}

type payloadContainer struct {
	Name         string            `json:"name"`
	Image        string            `json:"image"`
	Essential    bool              `json:"essential"`
	CPU          int64             `json:"cpu"`
	Memory       int64             `json:"memory,omitempty"`
	Command      []string          `json:"command,omitempty"`
	EntryPoint   []string          `json:"entryPoint,omitempty"`
	Environment  map[string]string `json:"environment"`
	Files        []environmentFile `json:"environmentFiles,omitempty"`
	PortMappings []portMapping     `json:"portMappings,omitempty"`
	MountPoints  []any             `json:"mountPoints"`
	VolumesFrom  []any             `json:"volumesFrom"`
	Links        []string          `json:"links"`
	DependsOn    []dependency      `json:"dependsOn,omitempty"`
	Overrides    string            `json:"overrides"`
	StartTimeout int64             `json:"startTimeout,omitempty"`
	StopTimeout  int64             `json:"stopTimeout,omitempty"`
	Secrets      []secret          `json:"secrets,omitempty"`
	Registry     *registryAuth     `json:"registryAuthentication,omitempty"`
	LogsAuth     string            `json:"logsAuthStrategy,omitempty"`
	HealthCheck  string            `json:"healthCheckType,omitempty"` // "docker", in lower case
	DockerConfig dockerStrings     `json:"dockerConfig"`
}

type environmentFile struct {
	Type  string `json:"type"`
	Value string `json:"value"` // object ARN
}

type portMapping struct {
	ContainerPort int32  `json:"containerPort"`
	HostPort      int32  `json:"hostPort"`
	Protocol      string `json:"protocol"`
}

type dependency struct {
	ContainerName string `json:"containerName"`
	Condition     string `json:"condition"`
}

type secret struct {
	Name      string `json:"name"`
	Provider  string `json:"provider"` // asm or ssm
	Type      string `json:"type"`
	Region    string `json:"region"`
	ValueFrom string `json:"valueFrom"`
}

type registryAuth struct {
	Type string   `json:"type"`
	ECR  *ecrAuth `json:"ecrAuthData,omitempty"`
	ASM  *asmAuth `json:"asmAuthData,omitempty"`
}

type asmAuth struct {
	Parameter string `json:"credentialsParameter"`
	Region    string `json:"region"`
}

type ecrAuth struct {
	RegistryID       string `json:"registryId"`
	Region           string `json:"region"`
	UseExecutionRole bool   `json:"useExecutionRole"`
}

type dockerStrings struct {
	Version    string `json:"version"`
	Config     string `json:"config"`
	HostConfig string `json:"hostConfig"`
}

// dockerConfig and dockerHostConfig are the parts of the Docker Engine API's
// Config and HostConfig that task definitions reach.
type dockerConfig struct {
	User       string            `json:"User,omitempty"`
	WorkingDir string            `json:"WorkingDir,omitempty"`
	Labels     map[string]string `json:"Labels,omitempty"`
	Health     *dockerHealth     `json:"Healthcheck,omitempty"`
}

type dockerHealth struct {
	Test        []string      `json:"Test"`
	Interval    time.Duration `json:"Interval,omitempty"` // nanoseconds, as all here
	Timeout     time.Duration `json:"Timeout,omitempty"`
	StartPeriod time.Duration `json:"StartPeriod,omitempty"`
	Retries     int32         `json:"Retries,omitempty"`
}

type dockerHostConfig struct {
	NetworkMode       string         `json:"NetworkMode,omitempty"`
	CapAdd            []string       `json:"CapAdd"`
	CapDrop           []string       `json:"CapDrop"`
	ReadonlyRootfs    bool           `json:"ReadonlyRootfs,omitempty"`
	MemoryReservation int64          `json:"MemoryReservation,omitempty"` // bytes
	Ulimits           []dockerUlimit `json:"Ulimits,omitempty"`
	LogConfig         *dockerLog     `json:"LogConfig,omitempty"`
}

type dockerUlimit struct {
	Name string `json:"Name"`
	Soft int64  `json:"Soft"`
	Hard int64  `json:"Hard"`
}

type dockerLog struct {
	Type   string            `json:"Type"`
	Config map[string]string `json:"Config"`
}

// stopPayload asks for the end of a task: its ARN is enough.
func stopPayload(t *ecs.Task) payloadTask {
	return payloadTask{ARN: t.ARN(), TaskClusterARN: t.ClusterARN(), DesiredStatus: ecs.StatusStopped, Containers: []payloadContainer{}}
}

// runPayload builds the task for the agent: the definition with the task's
// overrides merged in. Agents apply none themselves.
func runPayload(t *ecs.Task, d *ecsapi.TaskDefinition, taskRole, executionRole *roleCredentials, logsEndpoint string) (payloadTask, error) {
	out := payloadTask{
		ARN: t.ARN(), TaskClusterARN: t.ClusterARN(), TaskDefinitionAccountID: t.Account,
		Family: t.Family, Version: strconv.Itoa(int(api.Value(d.Revision))), DesiredStatus: ecs.StatusRunning,
		LaunchType: string(t.Shown.LaunchType), NetworkMode: string(d.NetworkMode),
		RoleCredentials: taskRole, ExecutionRoleCredentials: executionRole,
	}
	if cpu, err := strconv.ParseInt(api.Value(t.Shown.Cpu), 10, 64); err == nil {
		out.CPU = float64(cpu) / 1024
	}
	out.Memory, _ = strconv.ParseInt(api.Value(t.Shown.Memory), 10, 64) // absent is zero
	if n := t.Interface; n != nil && n.Gateway == "" {
		out.NetworkMode = string(ecsapi.NetworkModeHost) // ecs.NetworkAttribute
	} else if n != nil {
		out.Interfaces = []elasticInterface{{
			AttachmentARN: "arn:aws:ecs:" + t.Region + ":" + t.Account + ":attachment/" + n.AttachmentID,
			EC2ID:         n.ENI, MACAddress: n.MAC, Index: 1, Name: "eth1",
			IPv4Addresses: []ipv4{{Primary: true, Address: n.Address}}, Gateway: n.Gateway,
		}}
	}
	for i := range d.ContainerDefinitions {
		c, err := container(t, d, &d.ContainerDefinitions[i], out.NetworkMode, logsEndpoint)
		if err != nil {
			return out, err
		}
		out.Containers = append(out.Containers, c)
	}
	return out, nil
}

func container(t *ecs.Task, d *ecsapi.TaskDefinition, cd *ecsapi.ContainerDefinition, networkMode, logsEndpoint string) (payloadContainer, error) {
	var o ecsapi.ContainerOverride
	if t.Shown.Overrides != nil {
		for _, co := range t.Shown.Overrides.ContainerOverrides {
			if api.Value(co.Name) == *cd.Name {
				o = co
			}
		}
	}
	c := payloadContainer{
		Name: *cd.Name, Image: *cd.Image, Essential: api.Value(cd.Essential),
		CPU: int64(api.Value(cmp.Or(o.Cpu, cd.Cpu))), Memory: int64(api.Value(cmp.Or(o.Memory, cd.Memory))),
		Command: cd.Command, EntryPoint: cd.EntryPoint, Environment: environment(t, cd, &o),
		MountPoints: []any{}, VolumesFrom: []any{}, Links: []string{}, Overrides: "{}",
		StartTimeout: int64(api.Value(cd.StartTimeout)), StopTimeout: int64(api.Value(cd.StopTimeout)),
	}
	if o.Command != nil {
		c.Command = o.Command
	}
	for _, p := range cd.PortMappings {
		c.PortMappings = append(c.PortMappings, portMapping{api.Value(p.ContainerPort), api.Value(p.HostPort), string(p.Protocol)})
	}
	for _, dep := range cd.DependsOn {
		c.DependsOn = append(c.DependsOn, dependency{*dep.ContainerName, string(dep.Condition)})
	}
	for _, s := range cd.Secrets {
		c.Secrets = append(c.Secrets, secretOf(t, s))
	}
	// An override list of environment files replaces the definition's.
	files := cd.EnvironmentFiles
	if o.EnvironmentFiles != nil {
		files = o.EnvironmentFiles
	}
	for _, f := range files {
		c.Files = append(c.Files, environmentFile{string(f.Type), api.Value(f.Value)})
	}
	if rc := cd.RepositoryCredentials; rc != nil {
		auth := asmAuth{Parameter: *rc.CredentialsParameter, Region: t.Region}
		if a, err := arn.Parse(auth.Parameter); err == nil {
			auth.Region = cmp.Or(a.Region, auth.Region)
		}
		c.Registry = &registryAuth{Type: "asm", ASM: &auth}
	} else if e, ok := ecs.ParseECRImage(*cd.Image); ok {
		c.Registry = &registryAuth{Type: "ecr", ECR: &ecrAuth{RegistryID: e.Registry, Region: e.Region, UseExecutionRole: t.ExecutionRole != ""}}
	}
	host := dockerHostConfig{
		CapAdd: []string{}, CapDrop: []string{}, ReadonlyRootfs: api.Value(cd.ReadonlyRootFilesystem),
		MemoryReservation: int64(api.Value(cmp.Or(o.MemoryReservation, cd.MemoryReservation))) << 20,
		LogConfig:         logConfig(t, cd, logsEndpoint),
	}
	if networkMode != string(ecsapi.NetworkModeAwsvpc) {
		host.NetworkMode = networkMode
	}
	for _, u := range cd.Ulimits {
		host.Ulimits = append(host.Ulimits, dockerUlimit{string(u.Name), int64(api.Value(u.SoftLimit)), int64(api.Value(u.HardLimit))})
	}
	if host.LogConfig != nil && host.LogConfig.Type == string(ecsapi.LogDriverAwslogs) && t.ExecutionRole != "" {
		c.LogsAuth = "ExecutionRole"
	}
	dc := dockerConfig{User: api.Value(cd.User), WorkingDir: api.Value(cd.WorkingDirectory), Labels: cd.DockerLabels}
	if hc := cd.HealthCheck; hc != nil {
		seconds := func(v *int32) time.Duration { return time.Duration(api.Value(v)) * time.Second }
		c.HealthCheck = "docker"
		dc.Health = &dockerHealth{hc.Command, seconds(hc.Interval), seconds(hc.Timeout), seconds(hc.StartPeriod), api.Value(hc.Retries)}
	}
	config, err := json.Marshal(dc)
	if err != nil {
		return c, err
	}
	hostConfig, err := json.Marshal(host)
	c.DockerConfig = dockerStrings{Version: "1.18", Config: string(config), HostConfig: string(hostConfig)}
	return c, err
}

// environment is the definition's with the overrides on top. What the agent
// adds itself (credentials and metadata URIs, regions) is not here.
func environment(t *ecs.Task, cd *ecsapi.ContainerDefinition, o *ecsapi.ContainerOverride) map[string]string {
	env := map[string]string{"AWS_EXECUTION_ENV": "AWS_ECS_EC2"}
	if t.Fargate() {
		env["AWS_EXECUTION_ENV"] = "AWS_ECS_FARGATE"
	}
	for _, list := range [][]ecsapi.KeyValuePair{cd.Environment, o.Environment} {
		for _, kv := range list {
			env[api.Value(kv.Name)] = api.Value(kv.Value)
		}
	}
	return env
}

// secretOf says where a secret is: Secrets Manager and SSM by ARN, SSM also by
// the parameter's name, then in the task's region.
func secretOf(t *ecs.Task, s ecsapi.Secret) secret {
	out := secret{Name: *s.Name, Provider: "ssm", Type: "ENVIRONMENT_VARIABLE", Region: t.Region, ValueFrom: *s.ValueFrom}
	if a, err := arn.Parse(*s.ValueFrom); err == nil {
		if a.Service == "secretsmanager" {
			out.Provider = "asm"
		}
		out.Region = cmp.Or(a.Region, out.Region)
	}
	return out
}

// logConfig expands awslogs-stream-prefix, which log drivers do not know.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/using_awslogs.html
func logConfig(t *ecs.Task, cd *ecsapi.ContainerDefinition, logsEndpoint string) *dockerLog {
	lc := cd.LogConfiguration
	if lc == nil {
		return nil
	}
	out := &dockerLog{Type: string(lc.LogDriver), Config: maps.Clone(lc.Options)}
	if out.Config == nil {
		out.Config = map[string]string{}
	}
	if lc.LogDriver != ecsapi.LogDriverAwslogs {
		return out
	}
	prefix := out.Config["awslogs-stream-prefix"]
	delete(out.Config, "awslogs-stream-prefix")
	stream := []string{*cd.Name, t.ID}
	if prefix != "" {
		stream = append([]string{prefix}, stream...)
	}
	if out.Config["awslogs-stream"] == "" {
		out.Config["awslogs-stream"] = strings.Join(stream, "/")
	}
	if logsEndpoint != "" {
		out.Config["awslogs-endpoint"] = logsEndpoint
	}
	return out
}
