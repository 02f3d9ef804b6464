package ecs

import (
	"slices"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/ecsapi"
)

// fargatePair knows the sizes of
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-cpu-memory-error.html
func fargatePair(cpu, memory int64) bool {
	in := func(from, to, step int64) bool { return memory >= from && memory <= to && (memory-from)%step == 0 }
	switch cpu {
	case 256:
		return memory == 512 || memory == 1024 || memory == 2048
	case 512:
		return in(1024, 4096, 1024)
	case 1024:
		return in(2048, 8192, 1024)
	case 2048:
		return in(4096, 16384, 1024)
	case 4096:
		return in(8192, 30720, 1024)
	case 8192:
		return in(16384, 61440, 4096)
	case 16384:
		return in(32768, 122880, 8192)
	}
	return false
}

// fargateRefuses says why a definition cannot run on Fargate, nil where it can.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-tasks-services.html
func fargateRefuses(d *ecsapi.TaskDefinition) error {
	if d.NetworkMode != ecsapi.NetworkModeAwsvpc {
		return bad("Fargate only supports network mode ‘awsvpc’.")
	}
	if d.Cpu == nil || d.Memory == nil || !fargatePair(number(d.Cpu), number(d.Memory)) {
		return bad("No Fargate configuration exists for given values.")
	}
	if d.IpcMode != "" {
		return bad("Tasks using the Fargate launch type do not support ipcMode.")
	}
	if d.PidMode != "" && d.PidMode != ecsapi.PidModeTask {
		return bad("Tasks using the Fargate launch type do not support pidMode '%s'.", d.PidMode)
	}
	if len(d.PlacementConstraints) > 0 {
		return bad("Fargate tasks do not support placement constraints.")
	}
	for _, v := range d.Volumes {
		if v.DockerVolumeConfiguration != nil || v.Host != nil && v.Host.SourcePath != nil {
			return bad("Fargate tasks do not support volume '%s'.", api.Value(v.Name))
		}
	}
	for _, cd := range d.ContainerDefinitions {
		if field := fargateRefusesContainer(&cd); field != "" {
			return bad("Fargate tasks do not support %s of container '%s'.", field, *cd.Name)
		}
		if d.ExecutionRoleArn == nil {
			if _, ok := ParseECRImage(*cd.Image); ok {
				return bad("Fargate requires task definition to have execution role ARN to support ECR images.")
			}
			if cd.LogConfiguration != nil && cd.LogConfiguration.LogDriver == ecsapi.LogDriverAwslogs {
				return bad("Fargate requires task definition to have execution role ARN to support log driver awslogs.")
			}
		}
		if lc := cd.LogConfiguration; lc != nil {
			switch lc.LogDriver {
			case ecsapi.LogDriverAwslogs:
				if lc.Options["awslogs-stream-prefix"] == "" {
					return bad("Log driver awslogs requires options: awslogs-stream-prefix")
				}
			case ecsapi.LogDriverSplunk, ecsapi.LogDriverAwsfirelens:
			default:
				return bad("Fargate tasks do not support log driver %s.", lc.LogDriver)
			}
		}
		for _, t := range []*int32{cd.StartTimeout, cd.StopTimeout} {
			if t != nil && (*t > 120 || *t < 2) {
				return bad("Fargate tasks support timeouts between 2 and 120 seconds; container '%s' has %d.", *cd.Name, *t)
			}
		}
	}
	return nil
}

// fargateRefusesContainer names the first member that Fargate does not take.
func fargateRefusesContainer(cd *ecsapi.ContainerDefinition) string {
	switch lp := cd.LinuxParameters; {
	case api.Value(cd.Privileged):
		return "privileged"
	case api.Value(cd.DisableNetworking):
		return "disableNetworking"
	case len(cd.DnsSearchDomains) > 0:
		return "dnsSearchDomains"
	case len(cd.DockerSecurityOptions) > 0:
		return "dockerSecurityOptions"
	case len(cd.ResourceRequirements) > 0:
		return "resourceRequirements"
	case len(cd.CredentialSpecs) > 0:
		return "credentialSpecs"
	case lp == nil:
	case len(lp.Devices) > 0:
		return "linuxParameters.devices"
	case lp.MaxSwap != nil:
		return "linuxParameters.maxSwap"
	case lp.Swappiness != nil:
		return "linuxParameters.swappiness"
	case lp.Capabilities != nil && slices.ContainsFunc(lp.Capabilities.Add, func(s string) bool { return s != "SYS_PTRACE" }):
		return "linuxParameters.capabilities.add"
	}
	return ""
}
