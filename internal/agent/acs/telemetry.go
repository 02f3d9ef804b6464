package acs

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log/slog"
	"net/url"
	"time"

	"github.com/coder/websocket"
)

// tasksPerFrame is the stock agent's bound on one PublishMetricsRequest.
const tasksPerFrame = 10

// Measurements are what one round of telemetry says.
type Measurements struct {
	Tasks []TaskMeasurement
}

// TaskMeasurement is one running task.
type TaskMeasurement struct {
	TaskARN, Family, Version string
	Containers               []ContainerMeasurement
}

// ContainerMeasurement is one container of it.
type ContainerMeasurement struct {
	Name string
	// CPUPercent of one core; MemoryMiB in use. Measured is false when the
	// runtime has no accounting.
	Measured   bool
	CPUPercent float64
	MemoryMiB  uint64
	// Health is "" without a health check, else UNKNOWN, HEALTHY, UNHEALTHY.
	Health      string
	HealthSince time.Time
}

// Telemetry keeps the TCS websocket open and publishes measurements on it.
// Tasks work without it; only metrics and container health need it.
type Telemetry struct {
	Line *Line
	// Collect measures the host's tasks now.
	Collect func(context.Context) Measurements
	// Interval between measurements; 0 is 20 s.
	Interval time.Duration
	Timers   Timers
	Logger   *slog.Logger
}

// frameMessage is an envelope already marshalled, with its type for the log.
type frameMessage struct {
	kind string
	body json.RawMessage
}

type (
	publishMetadata struct {
		Cluster           string `json:"cluster"`
		ContainerInstance string `json:"containerInstance"`
		Idle              *bool  `json:"idle,omitempty"`
		Fin               bool   `json:"fin"`
		MessageID         string `json:"messageId"`
	}
	statsSet struct {
		Max         float64 `json:"max"`
		Min         float64 `json:"min"`
		SampleCount int     `json:"sampleCount"`
		Sum         float64 `json:"sum"`
	}
	containerMetric struct {
		ContainerName  string    `json:"containerName"`
		CPUStatsSet    *statsSet `json:"cpuStatsSet,omitempty"`
		MemoryStatsSet *statsSet `json:"memoryStatsSet,omitempty"`
	}
	taskMetric struct {
		TaskARN               string            `json:"taskArn"`
		TaskDefinitionFamily  string            `json:"taskDefinitionFamily"`
		TaskDefinitionVersion string            `json:"taskDefinitionVersion"`
		ContainerMetrics      []containerMetric `json:"containerMetrics"`
	}
	publishMetrics struct {
		Metadata    publishMetadata `json:"metadata"`
		TaskMetrics []taskMetric    `json:"taskMetrics"`
		Timestamp   float64         `json:"timestamp"`
	}
	containerHealth struct {
		ContainerName string  `json:"containerName"`
		HealthStatus  string  `json:"healthStatus"`
		StatusSince   float64 `json:"statusSince"`
	}
	taskHealth struct {
		TaskARN               string            `json:"taskArn"`
		TaskDefinitionFamily  string            `json:"taskDefinitionFamily"`
		TaskDefinitionVersion string            `json:"taskDefinitionVersion"`
		Containers            []containerHealth `json:"containers"`
	}
	publishHealth struct {
		Metadata  publishMetadata `json:"metadata"`
		Tasks     []taskHealth    `json:"tasks"`
		Timestamp float64         `json:"timestamp"`
	}
)

// Run connects and publishes until ctx is done.
func (t *Telemetry) Run(ctx context.Context) error {
	if t.Timers.Backoff.Min == 0 {
		t.Timers.Backoff = Backoff{Min: time.Second, Max: time.Minute, Factor: 1.5, Jitter: 0.2}
	}
	t.Timers.defaults()
	orDefault(&t.Interval, 20*time.Second)
	if t.Logger == nil {
		t.Logger = slog.Default()
	}
	backoff := t.Timers.Backoff
	for {
		started := t.Line.now()
		err := t.connect(ctx)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if t.Line.now().Sub(started) > time.Minute {
			backoff.Reset()
		}
		delay := backoff.Next()
		t.Logger.Debug("TCS connection ended", "error", err, "retryIn", delay)
		if err := t.Line.clock().Sleep(ctx, delay); err != nil {
			return err
		}
	}
}

func (t *Telemetry) connect(ctx context.Context) error {
	endpoints, err := t.Line.Discover(ctx)
	if err != nil {
		return err
	}
	if endpoints.TCS == "" {
		return errors.New("the control plane offers no telemetry endpoint")
	}
	conn, u, err := t.Line.dial(ctx, endpoints.TCS, url.Values{
		"agentHash":         {"remit"},
		"agentVersion":      {t.Line.Version},
		"cluster":           {t.Line.Cluster},
		"containerInstance": {t.Line.ContainerInstance},
		"dockerVersion":     {"DockerVersion: 0"},
	})
	if err != nil {
		return err
	}
	defer conn.CloseNow()
	defer closeWhenDone(ctx, conn)()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() { cancel(t.listen(ctx, conn)) }()

	for {
		if err := t.publish(ctx, conn, u); err != nil {
			return err
		}
		if t.Line.clock().Sleep(ctx, t.Interval) != nil {
			return context.Cause(ctx)
		}
	}
}

// listen reads acknowledgements; any frame proves that the server is alive.
func (t *Telemetry) listen(ctx context.Context, conn *websocket.Conn) error {
	for {
		quiet, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), jittered(t.Timers.Inactivity, t.Timers.InactivityJitter), errQuiet)
		_, _, err := conn.Read(quiet)
		cancel()
		if err != nil {
			return err
		}
	}
}

func (t *Telemetry) publish(ctx context.Context, conn *websocket.Conn, u *url.URL) error {
	for _, m := range t.frames(t.Collect(ctx)) {
		body, err := encode(m.kind, m.body)
		if err != nil {
			return err
		}
		framed, err := t.Line.frame(ctx, u, body)
		if err != nil {
			return err
		}
		if err := write(ctx, conn, framed); err != nil {
			return err
		}
	}
	return nil
}

// frames cuts one round into messages of at most ten tasks, of which the last
// says fin. An idle host sends one without tasks.
func (t *Telemetry) frames(m Measurements) []frameMessage {
	now := float64(t.Line.now().UnixMilli()) / 1000
	id := messageID()
	idle := len(m.Tasks) == 0
	metadata := func(fin bool) publishMetadata {
		return publishMetadata{Cluster: t.Line.Cluster, ContainerInstance: t.Line.ContainerInstance, Idle: &idle, Fin: fin, MessageID: id}
	}
	var out []frameMessage
	var health []taskHealth
	tasks := m.Tasks
	for first := true; first || len(tasks) > 0; first = false {
		n := min(len(tasks), tasksPerFrame)
		metrics := make([]taskMetric, 0, n)
		for _, task := range tasks[:n] {
			metric := taskMetric{task.TaskARN, task.Family, task.Version, []containerMetric{}}
			th := taskHealth{task.TaskARN, task.Family, task.Version, nil}
			for _, c := range task.Containers {
				cm := containerMetric{ContainerName: c.Name}
				if c.Measured {
					cm.CPUStatsSet = &statsSet{c.CPUPercent, c.CPUPercent, 1, c.CPUPercent}
					mem := float64(c.MemoryMiB)
					cm.MemoryStatsSet = &statsSet{mem, mem, 1, mem}
				}
				metric.ContainerMetrics = append(metric.ContainerMetrics, cm)
				if c.Health != "" {
					th.Containers = append(th.Containers, containerHealth{c.Name, c.Health, float64(c.HealthSince.UnixMilli()) / 1000})
				}
			}
			metrics = append(metrics, metric)
			if th.Containers != nil {
				health = append(health, th)
			}
		}
		tasks = tasks[n:]
		out = append(out, frameMessage{"PublishMetricsRequest", marshal(publishMetrics{metadata(len(tasks) == 0), metrics, now})})
	}
	for len(health) > 0 {
		n := min(len(health), tasksPerFrame)
		md := metadata(n == len(health))
		md.Idle, md.MessageID = nil, messageID()
		out = append(out, frameMessage{"PublishHealthRequest", marshal(publishHealth{md, health[:n], now})})
		health = health[n:]
	}
	return out
}

// frame puts the signed header block of TCS in front of a message: header
// lines, an empty line, the JSON. The signature is that of a GET of the
// socket's URL with the JSON as payload.
func (l *Line) frame(ctx context.Context, u *url.URL, body []byte) ([]byte, error) {
	header, err := l.sign(ctx, u, body)
	if err != nil {
		return nil, err
	}
	header.Set("Host", u.Host)
	var b bytes.Buffer
	if err := header.WriteSubset(&b, nil); err != nil {
		return nil, err
	}
	b.WriteString("\r\n")
	b.Write(body)
	return b.Bytes(), nil
}

// messageID is a random identifier of a telemetry message.
func messageID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
