package ecs

import (
	"reflect"
	"strings"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/ecsapi"
)

// fate is what becomes of a member of a task definition when a task is run.
type fate uint8

const (
	honoured fate = iota + 1 // acted on
	informs                  // shown to whoever asks; changes nothing about a task
	refused                  // kept and shown, but not honoured yet: RunTask refuses it
	inside                   // look at its members
)

// fields is the one table of what Remit does with a task definition. A member
// that is not in it is refused, and a test fails. "containerDefinitions." stands
// for each container.
var fields = map[string]fate{
	"taskDefinitionArn":       informs,
	"containerDefinitions":    inside,
	"family":                  informs,
	"taskRoleArn":             honoured,
	"executionRoleArn":        honoured,
	"networkMode":             honoured,
	"revision":                informs,
	"volumes":                 refused,
	"status":                  informs,
	"requiresAttributes":      honoured,
	"placementConstraints":    refused,
	"compatibilities":         informs,
	"runtimePlatform":         inside,
	"requiresCompatibilities": honoured,
	"cpu":                     honoured,
	"memory":                  honoured,
	"inferenceAccelerators":   refused,
	"pidMode":                 refused,
	"ipcMode":                 refused,
	"proxyConfiguration":      refused,
	"registeredAt":            informs,
	"deregisteredAt":          informs,
	"deleteRequestedAt":       informs,
	"registeredBy":            informs,
	"ephemeralStorage":        refused,
	"enableFaultInjection":    refused,

	"runtimePlatform.cpuArchitecture":       honoured,
	"runtimePlatform.operatingSystemFamily": honoured,

	"containerDefinitions.name":                   honoured,
	"containerDefinitions.image":                  honoured,
	"containerDefinitions.repositoryCredentials":  honoured,
	"containerDefinitions.cpu":                    honoured,
	"containerDefinitions.memory":                 honoured,
	"containerDefinitions.memoryReservation":      honoured,
	"containerDefinitions.links":                  refused,
	"containerDefinitions.portMappings":           inside,
	"containerDefinitions.essential":              honoured,
	"containerDefinitions.restartPolicy":          inside,
	"containerDefinitions.entryPoint":             honoured,
	"containerDefinitions.command":                honoured,
	"containerDefinitions.environment":            honoured,
	"containerDefinitions.environmentFiles":       honoured,
	"containerDefinitions.mountPoints":            refused,
	"containerDefinitions.volumesFrom":            refused,
	"containerDefinitions.linuxParameters":        inside,
	"containerDefinitions.secrets":                honoured,
	"containerDefinitions.dependsOn":              honoured,
	"containerDefinitions.startTimeout":           honoured,
	"containerDefinitions.stopTimeout":            honoured,
	"containerDefinitions.versionConsistency":     informs,
	"containerDefinitions.hostname":               refused,
	"containerDefinitions.user":                   honoured,
	"containerDefinitions.workingDirectory":       honoured,
	"containerDefinitions.disableNetworking":      refused,
	"containerDefinitions.privileged":             refused,
	"containerDefinitions.readonlyRootFilesystem": honoured,
	"containerDefinitions.dnsServers":             refused,
	"containerDefinitions.dnsSearchDomains":       refused,
	"containerDefinitions.extraHosts":             refused,
	"containerDefinitions.dockerSecurityOptions":  refused,
	"containerDefinitions.interactive":            refused,
	"containerDefinitions.pseudoTerminal":         refused,
	"containerDefinitions.dockerLabels":           honoured,
	"containerDefinitions.ulimits":                honoured,
	"containerDefinitions.logConfiguration":       inside,
	"containerDefinitions.healthCheck":            honoured,
	"containerDefinitions.systemControls":         refused,
	"containerDefinitions.resourceRequirements":   refused,
	"containerDefinitions.firelensConfiguration":  refused,
	"containerDefinitions.credentialSpecs":        refused,

	"containerDefinitions.portMappings.containerPort":      honoured,
	"containerDefinitions.portMappings.hostPort":           honoured,
	"containerDefinitions.portMappings.protocol":           honoured,
	"containerDefinitions.portMappings.name":               informs, // for Service Connect, which services use
	"containerDefinitions.portMappings.appProtocol":        informs,
	"containerDefinitions.portMappings.containerPortRange": refused,

	"containerDefinitions.restartPolicy.enabled":              refused,
	"containerDefinitions.restartPolicy.ignoredExitCodes":     informs, // only with enabled
	"containerDefinitions.restartPolicy.restartAttemptPeriod": informs, // only with enabled

	"containerDefinitions.linuxParameters.capabilities":       inside,
	"containerDefinitions.linuxParameters.devices":            refused,
	"containerDefinitions.linuxParameters.initProcessEnabled": refused,
	"containerDefinitions.linuxParameters.sharedMemorySize":   refused,
	"containerDefinitions.linuxParameters.tmpfs":              refused,
	"containerDefinitions.linuxParameters.maxSwap":            refused,
	"containerDefinitions.linuxParameters.swappiness":         refused,
	"containerDefinitions.linuxParameters.capabilities.add":   refused,
	"containerDefinitions.linuxParameters.capabilities.drop":  refused,

	"containerDefinitions.logConfiguration.logDriver":     honoured, // awslogs; see honouredValues
	"containerDefinitions.logConfiguration.options":       honoured, // see honouredOptions
	"containerDefinitions.logConfiguration.secretOptions": refused,
}

// honouredValues narrows honoured members to some values.
var honouredValues = map[string][]string{
	"containerDefinitions.logConfiguration.logDriver": {"awslogs"},
	"runtimePlatform.operatingSystemFamily":           {"LINUX"},
	"runtimePlatform.cpuArchitecture":                 {"X86_64", "ARM64"},
}

// honouredOptions are the options of awslogs. How output is buffered changes
// nothing about what arrives.
var honouredOptions = map[string]bool{
	"awslogs-group": true, "awslogs-region": true, "awslogs-stream-prefix": true,
	"awslogs-create-group": true, "mode": true, "max-buffer-size": true,
}

// checkHonoured refuses a definition with a member that would be ignored.
func checkHonoured(d *ecsapi.TaskDefinition) error {
	if field := notHonoured(reflect.ValueOf(d).Elem(), ""); field != "" {
		return ecsapi.ClientException("Remit does not honour the task definition field '%s' yet, so it does not run a task that sets it.", field)
	}
	for _, cd := range d.ContainerDefinitions {
		if cd.LogConfiguration == nil {
			continue
		}
		for opt := range cd.LogConfiguration.Options {
			if !honouredOptions[opt] {
				return ecsapi.ClientException("Remit does not honour the task definition field 'containerDefinitions.logConfiguration.options.%s' yet, so it does not run a task that sets it.", opt)
			}
		}
	}
	return nil
}

// notHonoured returns the path of the first member that is set and not
// honoured. What is absent, empty or false changes nothing.
func notHonoured(v reflect.Value, path string) string {
	for i := range v.NumField() {
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		if path != "" {
			name = path + "." + name
		}
		f := v.Field(i)
		if empty(f) {
			continue
		}
		switch fields[name] {
		case honoured:
			if allowed := honouredValues[name]; allowed != nil && !contains(allowed, f.String()) {
				return name
			}
		case informs:
		case inside:
			if f.Kind() == reflect.Pointer {
				f = f.Elem()
			}
			if f.Kind() == reflect.Struct {
				if bad := notHonoured(f, name); bad != "" {
					return bad
				}
				continue
			}
			for j := range f.Len() {
				if bad := notHonoured(f.Index(j), name); bad != "" {
					return bad
				}
			}
		default:
			return name
		}
	}
	return ""
}

func contains(list []string, s string) bool {
	for _, l := range list {
		if l == s {
			return true
		}
	}
	return false
}

func empty(f reflect.Value) bool {
	switch f.Kind() {
	case reflect.Slice, reflect.Map, reflect.String:
		return f.Len() == 0
	case reflect.Pointer:
		if f.IsNil() {
			return true
		}
		e := f.Elem()
		return (e.Kind() == reflect.Bool || e.Kind() == reflect.String) && e.IsZero()
	}
	return f.IsZero()
}

// checkOverridesHonoured is checkHonoured for what RunTask itself brings.
func checkOverridesHonoured(o *ecsapi.TaskOverride) error {
	if o == nil {
		return nil
	}
	refuse := func(field string) error {
		return ecsapi.ClientException("Remit does not honour the override '%s' yet, so it does not run a task that sets it.", field)
	}
	if o.EphemeralStorage != nil {
		return refuse("ephemeralStorage")
	}
	if len(o.InferenceAcceleratorOverrides) > 0 {
		return refuse("inferenceAcceleratorOverrides")
	}
	for _, co := range o.ContainerOverrides {
		if len(co.ResourceRequirements) > 0 {
			return refuse("containerOverrides.resourceRequirements")
		}
	}
	return nil
}

// checkRequestHonoured refuses members of RunTask and StartTask that would be
// ignored.
func checkRequestHonoured(r *taskRequest) error {
	refuse := func(field string) error {
		return ecsapi.ClientException("Remit does not honour '%s' yet, so it does not run a task with it.", field)
	}
	if api.Value(r.execute) {
		return refuse("enableExecuteCommand")
	}
	if len(r.volumes) > 0 {
		return refuse("volumeConfigurations")
	}
	for _, pc := range r.constraints {
		if pc.Type != ecsapi.PlacementConstraintTypeDistinctInstance {
			return refuse("placementConstraints." + string(pc.Type))
		}
	}
	return nil
}
