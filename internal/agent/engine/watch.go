package engine

import (
	"context"
	"encoding/json"
	"time"

	"github.com/remit-ecs/remit/internal/agent/acs"
	"github.com/remit-ecs/remit/internal/agent/metadata"
	"github.com/remit-ecs/remit/internal/agent/runtime"
)

// command is what a health check runs, or nil when there is none.
func (h *healthcheck) command() []string {
	if h == nil || len(h.Test) < 2 {
		return nil
	}
	switch h.Test[0] {
	case "CMD":
		return h.Test[1:]
	case "CMD-SHELL":
		return []string{"/bin/sh", "-c", h.Test[1]}
	}
	return nil // NONE
}

// watch starts what runs beside a started container: its health check and the
// clock of its startTimeout.
func (t *task) watch(c *container) {
	if s := c.payload.StartTimeout; s > 0 {
		timer := t.engine.opts.Clock.AfterFunc(time.Duration(s)*time.Second, func() { t.update(func() { c.timedOut = true }) })
		context.AfterFunc(t.life, func() { timer.Stop() })
	}
	if command := c.docker.Healthcheck.command(); command != nil {
		t.mu.Lock()
		c.health, c.healthTime = healthUnknown, t.engine.now()
		t.mu.Unlock()
		t.engine.goroutine(func() { t.checkHealth(c, command) })
	}
}

// checkHealth runs the health check for as long as the container and its task
// live. Failures within the start period do not count.
func (t *task) checkHealth(c *container, command []string) {
	h := *c.docker.Healthcheck
	interval, timeout, retries := h.Interval, h.Timeout, h.Retries
	if interval <= 0 {
		interval = 30 * time.Second
	}
	if timeout <= 0 {
		timeout = 5 * time.Second
	}
	if retries <= 0 {
		retries = 3
	}
	began, failures := t.engine.now(), 0
	for {
		if t.engine.opts.Clock.Sleep(t.life, interval) != nil {
			return
		}
		ctx, cancel := context.WithTimeout(t.life, timeout)
		code, err := t.engine.opts.Runtime.Exec(ctx, c.runtimeID, runtime.ExecSpec{Args: command})
		cancel()
		t.mu.Lock()
		over := c.status == stopped
		t.mu.Unlock()
		if over || t.life.Err() != nil {
			return
		}
		status := ""
		switch {
		case err == nil && code == 0:
			failures, status = 0, healthy
		case t.engine.now().Sub(began) > h.StartPeriod:
			if failures++; failures >= retries {
				status = unhealthy
			}
		}
		if status != "" {
			t.update(func() {
				if c.health != status {
					c.health, c.healthTime = status, t.engine.now()
				}
			})
		}
	}
}

// usage is the last sample of a container's CPU time.
type usage struct {
	at  time.Time
	cpu time.Duration
}

// Measure samples every running container for telemetry.
func (e *Engine) Measure(ctx context.Context) acs.Measurements {
	var m acs.Measurements
	for _, t := range e.all() {
		tm := acs.TaskMeasurement{TaskARN: t.payload.ARN, Family: t.payload.Family, Version: t.payload.Version}
		for _, c := range t.containers {
			t.mu.Lock()
			status, cm := c.status, acs.ContainerMeasurement{Name: c.payload.Name, Health: c.health, HealthSince: c.healthTime}
			t.mu.Unlock()
			if status != running {
				continue
			}
			if s, err := e.opts.Runtime.Stats(ctx, c.runtimeID); err == nil {
				t.mu.Lock()
				if last := c.usage; !last.at.IsZero() && s.Read.After(last.at) {
					cm.CPUPercent = 100 * float64(s.CPUUsage-last.cpu) / float64(s.Read.Sub(last.at))
				}
				c.usage = usage{s.Read, s.CPUUsage}
				t.mu.Unlock()
				cm.Measured, cm.MemoryMiB = true, s.MemoryUsage>>20
			}
			tm.Containers = append(tm.Containers, cm)
		}
		if tm.Containers != nil {
			m.Tasks = append(m.Tasks, tm)
		}
	}
	return m
}

// stats answers the metadata endpoint in the shape of Docker's stats, as far as
// the runtime measures. Unmeasured is nil, not zero.
func (t *task) stats(ctx context.Context, runtimeID string) (json.RawMessage, error) {
	s, err := t.engine.opts.Runtime.Stats(ctx, runtimeID)
	if err != nil {
		return nil, nil // a stopped container has no statistics
	}
	return json.Marshal(map[string]any{
		"read":         s.Read,
		"cpu_stats":    map[string]any{"cpu_usage": map[string]any{"total_usage": s.CPUUsage.Nanoseconds()}},
		"memory_stats": map[string]any{"usage": s.MemoryUsage, "max_usage": s.MemoryMax, "limit": s.MemoryLimit},
		"pids_stats":   map[string]any{"current": s.Pids},
		"blkio_stats": map[string]any{"io_service_bytes_recursive": []any{
			map[string]any{"op": "Read", "value": s.BlockRead}, map[string]any{"op": "Write", "value": s.BlockWrite},
		}},
	})
}

// document is the task's metadata now; t.mu is held.
func (t *task) document() metadata.TaskMetadata {
	d := metadata.TaskMetadata{
		Cluster: t.payload.TaskClusterARN, TaskARN: t.payload.ARN, Family: t.payload.Family, Revision: t.payload.Version,
		ServiceName: t.payload.ServiceName, LaunchType: t.payload.LaunchType, AvailabilityZone: t.engine.opts.AvailabilityZone,
		DesiredStatus: acs.DesiredRunning, KnownStatus: "PENDING",
		PullStartedAt: stamp(t.times.pullStarted), PullStoppedAt: stamp(t.times.pullStopped), ExecutionStoppedAt: stamp(t.times.executionStopped),
	}
	if d.Cluster == "" {
		d.Cluster = t.engine.opts.Cluster
	}
	w, o := t.wanted(), t.observed()
	switch {
	case t.release == gone:
		d.KnownStatus = string(stopped)
	case allStarted(o):
		d.KnownStatus = string(running)
	}
	if stopping(w, o) {
		d.DesiredStatus = acs.DesiredStopped
	}
	if t.payload.CPU > 0 || t.payload.Memory > 0 {
		d.Limits = limits(t.payload.CPU, t.payload.Memory)
	}
	for _, c := range t.containers {
		cd := metadata.ContainerMetadata{
			MetadataID: c.metaID, DockerID: c.runtimeID, Name: c.payload.Name, DockerName: c.payload.Name,
			Image: c.payload.Image, ImageID: c.image.ID, Labels: t.labels(c),
			DesiredStatus: d.DesiredStatus, KnownStatus: string(c.status), ExitCode: c.exitCode,
			Limits: *limits(float64(c.payload.CPU), c.payload.Memory), Type: "NORMAL",
			CreatedAt: stamp(c.created), StartedAt: stamp(c.started), FinishedAt: stamp(c.finished),
			LogDriver: c.docker.LogConfig.Type, LogOptions: c.docker.LogConfig.Config,
		}
		if c.health != "" {
			cd.Health = &metadata.Health{Status: c.health, Since: stamp(c.healthTime)}
		}
		if t.net != nil {
			cd.Networks = []metadata.Network{{
				NetworkMode: t.payload.NetworkMode, IPv4Addresses: []string{t.net.Address.String()},
				MACAddress: t.net.MAC.String(), IPv4SubnetCIDRBlock: t.net.Subnet.String(),
				SubnetGatewayIPv4Address: t.net.Gateway.String(),
			}}
		}
		d.Containers = append(d.Containers, cd)
	}
	return d
}

func limits(cpu float64, memory int64) *metadata.Limits {
	l := &metadata.Limits{}
	if cpu > 0 {
		l.CPU = &cpu
	}
	if memory > 0 {
		l.Memory = &memory
	}
	return l
}
