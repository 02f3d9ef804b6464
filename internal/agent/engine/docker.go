package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/remit-ecs/remit/internal/agent/acs"
)

type volume = acs.Volume

// The log drivers that this host offers.
const (
	logDriverAWSLogs  = "awslogs"
	logDriverJSONFile = "json-file"
	logDriverNone     = "none"
)

// dockerConfig is what the engine honours of Docker Engine's container Config
// and HostConfig, which the payload carries as JSON in strings.
type dockerConfig struct {
	User, WorkingDir, Hostname, StopSignal string
	Labels                                 map[string]string
	Healthcheck                            *healthcheck

	NetworkMode     string
	Privileged      bool
	ReadonlyRootfs  bool
	CapAdd, CapDrop []string
	Ulimits         []struct {
		Name       string
		Soft, Hard int64
	}
	ExtraHosts        []string
	DNS               []string `json:"Dns"`
	DNSSearch         []string `json:"DnsSearch"`
	Sysctls           map[string]string
	ShmSize           int64
	SecurityOpt       []string
	MemoryReservation int64
	PidsLimit         int64
	Tmpfs             map[string]string
	Devices           []json.RawMessage
	LogConfig         struct {
		Type   string
		Config map[string]string
	}

	override struct {
		Command *[]string `json:"command"`
	}
}

// healthcheck is Docker's; durations are nanoseconds.
type healthcheck struct {
	Test                           []string
	Interval, Timeout, StartPeriod time.Duration
	Retries                        int
}

// parseDocker reads a container's three JSON strings.
func parseDocker(c acs.Container) (dockerConfig, error) {
	var d dockerConfig
	for name, text := range map[string]string{"config": c.DockerConfig.Config, "hostConfig": c.DockerConfig.HostConfig} {
		if text == "" {
			continue
		}
		if err := json.Unmarshal([]byte(text), &d); err != nil {
			return d, fmt.Errorf("container %s: dockerConfig.%s: %w", c.Name, name, err)
		}
	}
	if c.Overrides != "" {
		if err := json.Unmarshal([]byte(c.Overrides), &d.override); err != nil {
			return d, fmt.Errorf("container %s: overrides: %w", c.Name, err)
		}
	}
	return d, nil
}

// supported refuses what this host would otherwise silently leave out. It also
// reads every container's Docker configuration.
func (t *task) supported() error {
	var errs []error
	refuse := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	p := &t.payload
	for field, set := range map[string]bool{
		"pidMode": p.PIDMode != "", "ipcMode": p.IPCMode != "",
		"proxyConfiguration": len(p.ProxyConfiguration) > 0 && string(p.ProxyConfiguration) != "null",
	} {
		if set {
			refuse("%s is not supported", field)
		}
	}
	if p.NetworkMode == networkVPC && t.engine.opts.Network == nil {
		refuse("network mode awsvpc needs task network namespaces, which this host does not have")
	}
	info := t.engine.opts.Runtime.Info()
	for _, c := range t.containers {
		d, err := parseDocker(c.payload)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		c.docker = d
		name := c.payload.Name
		for field, set := range map[string]bool{
			"volumesFrom": len(c.payload.VolumesFrom) > 0, "links": len(c.payload.Links) > 0,
			"firelensConfiguration": len(c.payload.FirelensConfiguration) > 0 && string(c.payload.FirelensConfiguration) != "null",
			"privileged":            d.Privileged, "linuxParameters.devices": len(d.Devices) > 0,
		} {
			if set {
				refuse("container %s: %s is not supported", name, field)
			}
		}
		if len(c.payload.MountPoints)+len(d.Tmpfs) > 0 && !info.Mounts {
			refuse("container %s: mount points are not supported by the %s runtime", name, info.Name)
		}
		switch d.LogConfig.Type {
		case "", logDriverAWSLogs, logDriverJSONFile, logDriverNone:
		default:
			refuse("container %s: log driver %q is not supported", name, d.LogConfig.Type)
		}
		for _, m := range c.payload.PortMappings {
			if m.ContainerPort < 1 || m.ContainerPort > 65535 || m.HostPort < 0 || m.HostPort > 65535 {
				refuse("container %s: port mapping %d:%d is not a port", name, m.HostPort, m.ContainerPort)
			}
			if p.NetworkMode == networkBridge && m.Protocol == "udp" && !t.onHostNetwork() {
				refuse("container %s: udp port mappings are not supported in network mode bridge", name)
			}
		}
		for _, s := range c.payload.Secrets {
			if s.Type != "" && s.Type != "ENVIRONMENT_VARIABLE" || s.Provider != "asm" && s.Provider != "ssm" {
				refuse("container %s: secret %s of type %q from %q is not supported", name, s.Name, s.Type, s.Provider)
			}
		}
		for _, dep := range c.payload.DependsOn {
			if !slices.Contains([]string{conditionStart, conditionComplete, conditionSuccess, conditionHealthy}, dep.Condition) {
				refuse("container %s: dependency condition %q is not known", name, dep.Condition)
			}
			if dep.Condition == conditionHealthy && !t.hasHealthCheck(dep.ContainerName) {
				refuse("container %s depends on %s being HEALTHY, which has no health check", name, dep.ContainerName)
			}
		}
	}
	if i := cycle(t.wanted()); len(errs) == 0 && i >= 0 {
		refuse("container %s depends on itself", t.containers[i].payload.Name)
	}
	return errors.Join(errs...)
}

func (t *task) hasHealthCheck(name string) bool {
	for _, c := range t.containers {
		if c.payload.Name == name {
			d, _ := parseDocker(c.payload)
			return d.Healthcheck.command() != nil
		}
	}
	return false
}

// cycle returns a container on a dependency cycle, or -1.
func cycle(w wanted) int {
	const visiting, done = 1, 2
	state := make([]int, len(w.containers))
	var visit func(int) bool
	visit = func(i int) bool {
		if state[i] != 0 {
			return state[i] == visiting
		}
		state[i] = visiting
		for _, d := range w.containers[i].dependsOn {
			if visit(d.on) {
				return true
			}
		}
		state[i] = done
		return false
	}
	for i := range w.containers {
		if visit(i) {
			return i
		}
	}
	return -1
}

var signals = map[string]syscall.Signal{
	"HUP": syscall.SIGHUP, "INT": syscall.SIGINT, "QUIT": syscall.SIGQUIT, "KILL": syscall.SIGKILL,
	"TERM": syscall.SIGTERM, "USR1": 10, "USR2": 12, "WINCH": 28,
	"RTMIN+3": 37, // systemd's request to halt
}

// signalNumber reads a signal as images name it: SIGTERM, TERM or 15.
func signalNumber(name string) (syscall.Signal, bool) {
	if n, err := strconv.Atoi(name); err == nil && n > 0 && n < 65 {
		return syscall.Signal(n), true
	}
	sig, ok := signals[strings.TrimPrefix(strings.ToUpper(name), "SIG")]
	return sig, ok
}

// bufferSize reads Docker's sizes: 512, 64k, 8m, 1g. 0 when unreadable.
func bufferSize(s string) int {
	shift := 0
	s = strings.TrimSuffix(strings.ToLower(s), "b")
	if s == "" {
		return 0
	}
	switch s[len(s)-1] {
	case 'k':
		shift = 10
	case 'm':
		shift = 20
	case 'g':
		shift = 30
	}
	if shift > 0 {
		s = s[:len(s)-1]
	}
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil || n < 0 {
		return 0
	}
	return int(n << shift)
}
