package ecs

import (
	"encoding/json"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/ecsapi"
)

// The checks of RegisterTaskDefinition, in AWS's words where those are known,
// and the defaults that AWS fills in.
//
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task_definition_parameters.html

const maxDefinition = 64 << 10 // bytes of JSON

func checkFamily(s string) error {
	switch {
	case s == "":
		return ecsapi.ClientException("Family should not be null or empty.")
	case !namePattern.MatchString(s):
		return ecsapi.ClientException("Family contains invalid characters or is longer than 255 characters: only letters, numbers, hyphens and underscores are allowed.")
	}
	return nil
}

func bad(format string, args ...any) error { return ecsapi.ClientException(format, args...) }

// completeDefinition checks a definition and fills in the defaults.
func completeDefinition(d *ecsapi.TaskDefinition) error {
	if len(d.ContainerDefinitions) == 0 {
		return bad("Container list cannot be empty.")
	}
	if len(d.ContainerDefinitions) > 10 {
		return bad("Too many containers defined: %d. At most 10 are allowed.", len(d.ContainerDefinitions))
	}
	fargate := slices.Contains(d.RequiresCompatibilities, ecsapi.CompatibilityFargate)
	for _, cc := range d.RequiresCompatibilities {
		switch cc {
		case ecsapi.CompatibilityEc2, ecsapi.CompatibilityFargate, ecsapi.CompatibilityExternal, ecsapi.CompatibilityManagedInstances:
		default:
			return bad("Invalid requires compatibility: %s", cc)
		}
	}
	if fargate && d.NetworkMode != ecsapi.NetworkModeAwsvpc {
		return bad("Fargate only supports network mode ‘awsvpc’.")
	}
	switch d.NetworkMode {
	case "":
		d.NetworkMode = ecsapi.NetworkModeBridge
	case ecsapi.NetworkModeBridge, ecsapi.NetworkModeHost, ecsapi.NetworkModeAwsvpc, ecsapi.NetworkModeNone:
	default:
		return bad("Invalid network mode: %s", d.NetworkMode)
	}
	if err := checkTaskSize(d); err != nil {
		return err
	}
	if err := checkVolumes(d); err != nil {
		return err
	}
	for i := range d.ContainerDefinitions {
		if err := completeContainer(d, &d.ContainerDefinitions[i]); err != nil {
			return err
		}
	}
	if err := checkTogether(d); err != nil {
		return err
	}
	reason := fargateRefuses(d)
	if fargate && reason != nil {
		return reason
	}
	if es := d.EphemeralStorage; es != nil {
		switch n := api.Value(es.SizeInGiB); {
		case n < 21:
			return bad("EphemeralStorage size should be at least 21")
		case n > 200:
			return bad("EphemeralStorage size should be at most 200")
		}
	}
	switch {
	case d.NetworkMode != ecsapi.NetworkModeAwsvpc:
		d.Compatibilities = []ecsapi.Compatibility{ecsapi.CompatibilityExternal, ecsapi.CompatibilityEc2}
	case reason != nil:
		d.Compatibilities = []ecsapi.Compatibility{ecsapi.CompatibilityEc2}
	default:
		d.Compatibilities = []ecsapi.Compatibility{ecsapi.CompatibilityEc2, ecsapi.CompatibilityFargate}
	}
	d.RequiresAttributes = requiredAttributes(d)
	if b, err := json.Marshal(d); err != nil || len(b) > maxDefinition {
		return bad("Actual length: '%d'. Max allowed length is '%d' bytes.", len(b), maxDefinition)
	}
	return nil
}

var (
	vcpu = regexp.MustCompile(`(?i)^\s*([0-9]{0,6}(?:\.[0-9]{1,6})?)\s*vcpu\s*$`)
	gb   = regexp.MustCompile(`(?i)^\s*([0-9]{0,6}(?:\.[0-9]{1,6})?)\s*gb\s*$`)
)

// normalCPU turns "1 vCPU" into "1024"; what is neither a number nor that
// becomes "".
func normalCPU(s string) string { return normal(s, vcpu) }

// normalMemory turns "2 GB" into "2048".
func normalMemory(s string) string { return normal(s, gb) }

func normal(s string, unit *regexp.Regexp) string {
	if m := unit.FindStringSubmatch(s); m != nil {
		f, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			return ""
		}
		return strconv.FormatInt(int64(math.Round(f*1024)), 10)
	}
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil || n < 0 {
		return ""
	}
	return strconv.FormatInt(n, 10)
}

func number(s *string) int64 {
	n, _ := strconv.ParseInt(api.Value(s), 10, 64)
	return n
}

// checkTaskSize checks cpu and memory of the task, and writes them as numbers.
func checkTaskSize(d *ecsapi.TaskDefinition) error {
	if d.Cpu != nil && *d.Cpu != "" {
		v := normalCPU(*d.Cpu)
		if v == "" {
			return bad("Invalid 'cpu' setting for task. For more information, see the Troubleshooting section of the Amazon ECS Developer Guide.")
		}
		d.Cpu = &v
	} else {
		d.Cpu = nil
	}
	if d.Memory != nil && *d.Memory != "" {
		v := normalMemory(*d.Memory)
		if v == "" {
			return bad("Invalid 'memory' setting for task. For more information, see the Troubleshooting section of the Amazon ECS Developer Guide.")
		}
		d.Memory = &v
	} else {
		d.Memory = nil
	}
	if slices.Contains(d.RequiresCompatibilities, ecsapi.CompatibilityFargate) {
		if d.Cpu == nil {
			return bad("Fargate requires that 'cpu' be defined at the task level.")
		}
		if d.Memory == nil {
			return bad("Fargate requires that 'memory' be defined at the task level.")
		}
		if !fargatePair(number(d.Cpu), number(d.Memory)) {
			return bad("No Fargate configuration exists for given values.")
		}
		return nil
	}
	if d.Cpu != nil && (number(d.Cpu) < 128 || number(d.Cpu) > 196608) {
		return bad("Invalid 'cpu' setting for task. For more information, see the Troubleshooting section of the Amazon ECS Developer Guide.")
	}
	return nil
}

func checkVolumes(d *ecsapi.TaskDefinition) error {
	seen := map[string]bool{}
	for _, v := range d.Volumes {
		n := api.Value(v.Name)
		if !namePattern.MatchString(n) {
			return bad("Invalid volume name '%s'.", n)
		}
		if seen[n] {
			return bad("Duplicate volume name '%s'.", n)
		}
		seen[n] = true
	}
	for _, cd := range d.ContainerDefinitions {
		for _, m := range cd.MountPoints {
			if !seen[api.Value(m.SourceVolume)] {
				return bad("Unknown volume '%s'.", api.Value(m.SourceVolume))
			}
		}
	}
	return nil
}

// completeContainer checks one container by itself and fills in its defaults.
func completeContainer(d *ecsapi.TaskDefinition, cd *ecsapi.ContainerDefinition) error {
	name := api.Value(cd.Name)
	switch {
	case name == "":
		return bad("Container.name should not be null or empty.")
	case !namePattern.MatchString(name):
		return bad("Invalid container name '%s'.", name)
	case api.Value(cd.Image) == "":
		return bad("Container.image should not be null or empty.")
	case strings.TrimSpace(*cd.Image) != *cd.Image || len(*cd.Image) > 255:
		return bad("Container.image contains invalid characters.")
	}
	if err := checkMemory(d, cd, name); err != nil {
		return err
	}
	if err := completePorts(d, cd); err != nil {
		return err
	}
	for _, e := range cd.Environment {
		if api.Value(e.Name) == "" {
			return bad("Environment variable name should not be null or empty.")
		}
	}
	if err := checkFetched(d, cd); err != nil {
		return err
	}
	if lc := cd.LogConfiguration; lc != nil {
		if lc.LogDriver == ecsapi.LogDriverAwslogs {
			for _, opt := range []string{"awslogs-group", "awslogs-region"} {
				if lc.Options[opt] == "" {
					return bad("Log driver awslogs requires options: %s", opt)
				}
			}
		}
		if len(lc.SecretOptions) > 0 && d.ExecutionRoleArn == nil {
			return bad("When you are specifying container secrets, you must also specify a value for 'executionRoleArn'.")
		}
	}
	for _, t := range []*int32{cd.StartTimeout, cd.StopTimeout} {
		if t != nil && (*t < 0 || *t > 86400) {
			return bad("Invalid timeout for container '%s'.", name)
		}
	}
	for _, u := range cd.Ulimits {
		if api.Value(u.SoftLimit) > api.Value(u.HardLimit) && api.Value(u.HardLimit) >= 0 {
			return bad("Invalid ulimit '%s' for container '%s': the soft limit exceeds the hard limit.", u.Name, name)
		}
	}
	if err := completeHealthCheck(cd); err != nil {
		return err
	}
	if cd.Essential == nil {
		cd.Essential = api.Ptr(true)
	}
	if cd.Cpu == nil {
		cd.Cpu = api.Ptr[int32](0)
	}
	if *cd.Cpu < 0 {
		return bad("Invalid 'cpu' setting for container '%s'.", name)
	}
	cd.Environment, cd.MountPoints = orEmpty(cd.Environment), orEmpty(cd.MountPoints)
	cd.VolumesFrom, cd.SystemControls = orEmpty(cd.VolumesFrom), orEmpty(cd.SystemControls)
	return nil
}

// checkFetched checks what the execution role has to fetch. Without that role
// the stock agent would wait for ever, and say nothing.
func checkFetched(d *ecsapi.TaskDefinition, cd *ecsapi.ContainerDefinition) error {
	for _, sec := range cd.Secrets {
		if api.Value(sec.Name) == "" || api.Value(sec.ValueFrom) == "" {
			return bad("Secret name and valueFrom should not be null or empty.")
		}
		for _, e := range cd.Environment {
			if *e.Name == *sec.Name {
				return bad("The secret name must be unique and not shared with any new or existing environment variables set on the container, such as '%s'.", *sec.Name)
			}
		}
	}
	if err := checkEnvironmentFiles(cd.EnvironmentFiles); err != nil {
		return err
	}
	if rc := cd.RepositoryCredentials; rc != nil && api.Value(rc.CredentialsParameter) == "" {
		return bad("Repository credentials parameter should not be null or empty.")
	}
	if d.ExecutionRoleArn != nil {
		return nil
	}
	switch {
	case len(cd.Secrets) > 0:
		return bad("When you are specifying container secrets, you must also specify a value for 'executionRoleArn'.")
	case len(cd.EnvironmentFiles) > 0:
		return bad("When you are specifying environment files, you must also specify a value for 'executionRoleArn'.")
	case cd.RepositoryCredentials != nil:
		return bad("When you are specifying repository credentials, you must also specify a value for 'executionRoleArn'.")
	}
	return nil
}

var environmentFile = regexp.MustCompile(`^arn:aws[a-z-]*:s3:::[^/]+/.*\.env$`)

func checkEnvironmentFiles(files []ecsapi.EnvironmentFile) error {
	if len(files) > 10 {
		return bad("At most 10 environment files are allowed.")
	}
	for _, f := range files {
		if f.Type != ecsapi.EnvironmentFileTypeS3 || !environmentFile.MatchString(api.Value(f.Value)) {
			return bad("Invalid environment file '%s': it must be of type s3 and the ARN of an object whose name ends in .env.", api.Value(f.Value))
		}
	}
	return nil
}

// completeHealthCheck knows the limits and defaults of
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_HealthCheck.html
func completeHealthCheck(cd *ecsapi.ContainerDefinition) error {
	if cd.HealthCheck == nil {
		return nil
	}
	hc := *cd.HealthCheck
	cd.HealthCheck = &hc
	if len(hc.Command) == 0 {
		return bad("Health check command should not be null or empty.")
	}
	for _, m := range [...]struct {
		name          string
		v             **int32
		low, high, or int32
	}{{"interval", &hc.Interval, 5, 300, 30}, {"timeout", &hc.Timeout, 2, 120, 5}, {"retries", &hc.Retries, 1, 10, 3}, {"startPeriod", &hc.StartPeriod, 0, 300, -1}} {
		switch {
		case *m.v == nil && m.or >= 0:
			*m.v = &m.or
		case *m.v != nil && (**m.v < m.low || **m.v > m.high):
			return bad("Invalid health check %s of container '%s': it must be between %d and %d.", m.name, api.Value(cd.Name), m.low, m.high)
		}
	}
	return nil
}

func checkMemory(d *ecsapi.TaskDefinition, cd *ecsapi.ContainerDefinition, name string) error {
	if cd.Memory == nil && cd.MemoryReservation == nil && d.Memory == nil {
		return bad("Invalid setting for container '%s'. At least one of 'memory' or 'memoryReservation' must be specified.", name)
	}
	if cd.Memory != nil && *cd.Memory < 6 {
		return bad("Invalid 'memory' setting for container '%s'. At least 6 MiB are required.", name)
	}
	if cd.MemoryReservation != nil && *cd.MemoryReservation < 6 {
		return bad("Invalid 'memoryReservation' setting for container '%s'. At least 6 MiB are required.", name)
	}
	if cd.Memory != nil && cd.MemoryReservation != nil && *cd.Memory < *cd.MemoryReservation {
		return bad("Invalid setting for container '%s'. 'memory' must be greater than 'memoryReservation'.", name)
	}
	return nil
}

func completePorts(d *ecsapi.TaskDefinition, cd *ecsapi.ContainerDefinition) error {
	cd.PortMappings = slices.Clone(orEmpty(cd.PortMappings))
	if len(cd.PortMappings) > 0 && d.NetworkMode == ecsapi.NetworkModeNone {
		return bad("Port mappings are not supported when networkMode=none.")
	}
	if len(cd.PortMappings) > 100 {
		return bad("At most 100 port mappings are allowed for a container.")
	}
	same := d.NetworkMode == ecsapi.NetworkModeAwsvpc || d.NetworkMode == ecsapi.NetworkModeHost
	for i := range cd.PortMappings {
		p := &cd.PortMappings[i]
		switch p.Protocol {
		case "":
			p.Protocol = ecsapi.TransportProtocolTcp
		case ecsapi.TransportProtocolTcp, ecsapi.TransportProtocolUdp:
		default:
			return bad("Invalid protocol '%s' in port mapping.", p.Protocol)
		}
		if p.ContainerPortRange != nil {
			if p.ContainerPort != nil || p.HostPort != nil {
				return bad("containerPortRange cannot be set together with containerPort or hostPort.")
			}
			continue
		}
		if p.ContainerPort == nil || *p.ContainerPort < 1 || *p.ContainerPort > 65535 {
			return bad("Invalid container port: %d", api.Value(p.ContainerPort))
		}
		if p.HostPort != nil && (*p.HostPort < 0 || *p.HostPort > 65535) {
			return bad("Invalid host port: %d", *p.HostPort)
		}
		if same && p.HostPort != nil && *p.HostPort != 0 && *p.HostPort != *p.ContainerPort {
			return bad("When networkMode=%s, the host ports and container ports in port mappings must match.", d.NetworkMode)
		}
		if same {
			p.HostPort = p.ContainerPort
		} else if p.HostPort == nil {
			p.HostPort = api.Ptr[int32](0)
		}
	}
	return nil
}

// checkTogether checks what depends on several containers.
func checkTogether(d *ecsapi.TaskDefinition) error {
	byName := map[string]*ecsapi.ContainerDefinition{}
	essential := false
	var cpu, memory int64
	for i := range d.ContainerDefinitions {
		cd := &d.ContainerDefinitions[i]
		if byName[*cd.Name] != nil {
			return bad("Container name '%s' is used more than once. Container names must be unique within a task definition.", *cd.Name)
		}
		byName[*cd.Name] = cd
		essential = essential || *cd.Essential
		cpu += int64(*cd.Cpu)
		if cd.MemoryReservation != nil {
			memory += int64(*cd.MemoryReservation)
		} else {
			memory += int64(api.Value(cd.Memory))
		}
		if d.Memory != nil && int64(api.Value(cd.Memory)) > number(d.Memory) {
			return bad("Invalid setting for container '%s'. The container's 'memory' exceeds the task's 'memory'.", *cd.Name)
		}
	}
	if !essential {
		return bad("The task definition must have at least one essential container.")
	}
	if d.Cpu != nil && cpu > number(d.Cpu) {
		return bad("The 'cpu' of the containers (%d) exceeds the 'cpu' of the task (%s).", cpu, *d.Cpu)
	}
	if d.Memory != nil && memory > number(d.Memory) {
		return bad("The 'memory' of the containers (%d) exceeds the 'memory' of the task (%s).", memory, *d.Memory)
	}
	if err := checkPortsTogether(d); err != nil {
		return err
	}
	for _, cd := range d.ContainerDefinitions {
		if d.NetworkMode == ecsapi.NetworkModeAwsvpc {
			switch {
			case len(cd.Links) > 0:
				return bad("Links are not supported when networkMode=awsvpc.")
			case api.Value(cd.Hostname) != "":
				return bad("hostname is not supported on container when networkMode=awsvpc.")
			case len(cd.DnsServers) > 0:
				return bad("dnsServers is not supported on container when networkMode=awsvpc.")
			case len(cd.ExtraHosts) > 0:
				return bad("Extra hosts is not supported on container when networkMode=awsvpc.")
			}
		} else if len(cd.Links) > 0 && d.NetworkMode != ecsapi.NetworkModeBridge {
			return bad("Links are only supported when networkMode=bridge.")
		}
	}
	return checkDependencies(d, byName)
}

// checkPortsTogether refuses a port that two containers of one network
// namespace would both have.
func checkPortsTogether(d *ecsapi.TaskDefinition) error {
	seen := map[string]bool{}
	for _, cd := range d.ContainerDefinitions {
		for _, p := range cd.PortMappings {
			if api.Value(p.HostPort) == 0 {
				continue
			}
			k := strconv.Itoa(int(*p.HostPort)) + "/" + string(p.Protocol)
			if seen[k] {
				return bad("Host port %s is used more than once in the task definition.", k)
			}
			seen[k] = true
		}
	}
	return nil
}

func checkDependencies(d *ecsapi.TaskDefinition, byName map[string]*ecsapi.ContainerDefinition) error {
	for _, cd := range d.ContainerDefinitions {
		for _, dep := range cd.DependsOn {
			on := byName[api.Value(dep.ContainerName)]
			switch {
			case on == nil:
				return bad("Container '%s' depends on container '%s', which does not exist in the task definition.", *cd.Name, api.Value(dep.ContainerName))
			case *on.Name == *cd.Name:
				return bad("Container '%s' cannot depend on itself.", *cd.Name)
			}
			switch dep.Condition {
			case ecsapi.ContainerConditionStart:
			case ecsapi.ContainerConditionComplete, ecsapi.ContainerConditionSuccess:
				if *on.Essential {
					return bad("Container '%s' cannot depend on the %s of container '%s', which is essential.", *cd.Name, dep.Condition, *on.Name)
				}
			case ecsapi.ContainerConditionHealthy:
				if on.HealthCheck == nil {
					return bad("Container '%s' depends on the health of container '%s', which has no health check.", *cd.Name, *on.Name)
				}
			default:
				return bad("Invalid container dependency condition '%s'.", dep.Condition)
			}
		}
	}
	const visiting, done = 1, 2
	state := map[string]int{}
	var visit func(name string) bool
	visit = func(name string) (cycle bool) {
		switch state[name] {
		case visiting:
			return true
		case done:
			return false
		}
		state[name] = visiting
		for _, dep := range byName[name].DependsOn {
			if visit(*dep.ContainerName) {
				return true
			}
		}
		state[name] = done
		return false
	}
	for _, cd := range d.ContainerDefinitions {
		if visit(*cd.Name) {
			return bad("Container dependency cycle detected.")
		}
	}
	return nil
}

// requiredAttributes are the capabilities that a container instance needs.
func requiredAttributes(d *ecsapi.TaskDefinition) []ecsapi.Attribute {
	names := map[string]bool{"com.amazonaws.ecs.capability.docker-remote-api.1.18": true}
	if d.TaskRoleArn != nil {
		names["com.amazonaws.ecs.capability.task-iam-role"] = true
	}
	if d.NetworkMode == ecsapi.NetworkModeAwsvpc {
		names["ecs.capability.task-eni"] = true
	}
	for _, cd := range d.ContainerDefinitions {
		if _, ok := ParseECRImage(*cd.Image); ok {
			names["com.amazonaws.ecs.capability.ecr-auth"] = true
			if d.ExecutionRoleArn != nil {
				names["ecs.capability.execution-role-ecr-pull"] = true
			}
		}
		for _, sec := range cd.Secrets {
			if strings.HasPrefix(*sec.ValueFrom, "arn:") && strings.Contains(*sec.ValueFrom, ":secretsmanager:") {
				names["ecs.capability.secrets.asm.environment-variables"] = true
			} else {
				names["ecs.capability.secrets.ssm.environment-variables"] = true
			}
		}
		if lc := cd.LogConfiguration; lc != nil {
			names["com.amazonaws.ecs.capability.logging-driver."+string(lc.LogDriver)] = true
			if lc.LogDriver == ecsapi.LogDriverAwslogs && d.ExecutionRoleArn != nil {
				names["ecs.capability.execution-role-awslogs"] = true
			}
		}
		if cd.HealthCheck != nil {
			names["ecs.capability.container-health-check"] = true
		}
		if len(cd.DependsOn) > 0 {
			names["ecs.capability.container-ordering"] = true
		}
		if api.Value(cd.Privileged) {
			names["com.amazonaws.ecs.capability.privileged-container"] = true
		}
	}
	var out []ecsapi.Attribute
	for n := range names {
		out = append(out, ecsapi.Attribute{Name: api.Ptr(n)})
	}
	slices.SortFunc(out, func(a, b ecsapi.Attribute) int { return strings.Compare(*a.Name, *b.Name) })
	return out
}
