package acs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
)

// MaxFrame is the largest frame accepted from the server, in bytes. A payload
// holds one task definition (at most 64 KiB) per task plus its credentials.
const MaxFrame = 4 << 20

// maxTasks bounds the tasks of one payload or manifest.
const maxTasks = 10_000

var errFrame = errors.New("acs: malformed frame")

// envelope is the outer shape of every frame, both ways.
type envelope struct {
	Type    string          `json:"type"`
	Message json.RawMessage `json:"message"`
}

// exceptions are the names that the one-key error form may carry.
var exceptions = []string{
	"ServerException", "BadRequestException", "InvalidClusterException",
	"InvalidInstanceException", "AccessDeniedException", "InactiveInstanceException",
}

// Decode reads one server frame. It fails on anything that is not exactly one
// envelope of a known type with its required fields; unknown fields are
// allowed, since the server may be newer than the agent. An unknown type gives
// a *[Notice], which callers log.
func Decode(frame []byte) (Message, error) {
	if len(frame) > MaxFrame {
		return nil, fmt.Errorf("%w: %d bytes, at most %d are accepted", errFrame, len(frame), MaxFrame)
	}
	var e envelope
	if err := decodeOne(frame, &e); err != nil {
		return nil, err
	}
	if e.Type == "" {
		if name, text, ok := decodeException(frame); ok {
			return &Notice{Type: name, Text: text}, nil
		}
		return nil, fmt.Errorf("%w: no message type", errFrame)
	}
	var m Message
	switch e.Type {
	case typeHeartbeat:
		m = new(Heartbeat)
	case typePayload:
		m = new(Payload)
	case typeCredentials:
		m = new(IAMRoleCredentialsMessage)
	case typeManifest:
		m = new(TaskManifest)
	case typeStopVerificationAck:
		m = new(TaskStopVerificationAck)
	case typeAttachTaskENI:
		m = &AttachNetworkInterfaces{forTask: true}
	case typeAttachInstanceENI:
		m = new(AttachNetworkInterfaces)
	case typeStageUpdate, typePerformUpdate:
		m = new(Update)
	case typeError, typeClose:
		return &Notice{Type: e.Type, Text: clip(string(e.Message), 512)}, nil
	default:
		// Without its text: a message of a newer server may carry keys.
		return &Notice{Type: e.Type}, nil
	}
	if len(e.Message) == 0 {
		return nil, fmt.Errorf("%w: %s without a message", errFrame, e.Type)
	}
	if err := decodeOne(e.Message, m); err != nil {
		return nil, fmt.Errorf("%s: %w", e.Type, err)
	}
	if err := m.validate(); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", errFrame, e.Type, err)
	}
	return m, nil
}

// DecodeTask reads one task of a payload. The name is returned even where the
// rest is unusable, so that the task can be reported.
func DecodeTask(raw []byte) (Task, error) {
	var t Task
	if err := decodeOne(raw, &t); err != nil {
		var only struct {
			ARN string `json:"arn"`
		}
		_ = json.Unmarshal(raw, &only)
		return Task{ARN: only.ARN}, err
	}
	return t, t.validate()
}

func (t *Task) validate() error {
	switch {
	case t.ARN == "":
		return missing("arn")
	case t.DesiredStatus != DesiredRunning && t.DesiredStatus != DesiredStopped:
		return fmt.Errorf("desiredStatus %q is not RUNNING or STOPPED", t.DesiredStatus)
	case t.DesiredStatus == DesiredRunning && len(t.Containers) == 0:
		return missing("containers")
	}
	seen := make(map[string]bool, len(t.Containers))
	for i := range t.Containers {
		c := &t.Containers[i]
		if c.Name == "" || c.Image == "" && t.DesiredStatus == DesiredRunning {
			return fmt.Errorf("container %d: name and image are required", i)
		}
		if seen[c.Name] {
			return fmt.Errorf("two containers are named %q", c.Name)
		}
		seen[c.Name] = true
		for _, p := range c.PortMappings {
			if p.Protocol != "" && p.Protocol != "tcp" && p.Protocol != "udp" {
				return fmt.Errorf("container %s: unrecognised protocol %q", c.Name, p.Protocol)
			}
		}
	}
	for i := range t.Containers {
		for _, d := range t.Containers[i].DependsOn {
			if !seen[d.ContainerName] {
				return fmt.Errorf("container %s depends on %q, which is not in the task", t.Containers[i].Name, d.ContainerName)
			}
		}
	}
	for i, v := range t.Volumes {
		if v.Name == "" {
			return fmt.Errorf("volume %d has no name", i)
		}
	}
	return nil
}

// decodeOne unmarshals exactly one JSON value.
func decodeOne(b []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("%w: %w", errFrame, err)
	}
	if _, err := d.Token(); err != io.EOF {
		return fmt.Errorf("%w: data after the message", errFrame)
	}
	return nil
}

// decodeException reads the one-key form {"NameException":"text"}, used for a
// refused handshake and, rarely, inside a connection.
func decodeException(b []byte) (name, text string, ok bool) {
	var m map[string]json.RawMessage
	if json.Unmarshal(b, &m) != nil || len(m) != 1 {
		return "", "", false
	}
	for k, v := range m {
		if !slices.Contains(exceptions, k) {
			return "", "", false
		}
		if json.Unmarshal(v, &text) != nil {
			text = string(v)
		}
		return k, clip(text, 1024), true
	}
	return "", "", false
}

// encode wraps a message in its envelope.
func encode(kind string, message any) ([]byte, error) {
	return json.Marshal(struct {
		Type    string `json:"type"`
		Message any    `json:"message"`
	}{kind, message})
}

func missing(field string) error { return fmt.Errorf("%s is missing", field) }

func clip(s string, n int) string {
	if len(s) > n {
		return s[:n]
	}
	return s
}

func (m *Heartbeat) validate() error {
	if m.MessageID == "" {
		return missing("messageId")
	}
	if m.Healthy == nil {
		return missing("healthy")
	}
	return nil
}

func (m *Payload) validate() error {
	switch {
	case m.MessageID == "":
		return missing("messageId")
	case m.ClusterARN == "":
		return missing("clusterArn")
	case m.ContainerInstance == "":
		return missing("containerInstanceArn")
	case m.SeqNum == nil:
		return missing("seqNum")
	case m.GeneratedAt == nil:
		return missing("generatedAt")
	case len(m.Tasks) == 0:
		return missing("tasks")
	case len(m.Tasks) > maxTasks:
		return fmt.Errorf("%d tasks, at most %d are accepted", len(m.Tasks), maxTasks)
	}
	return nil
}

func (m *IAMRoleCredentialsMessage) validate() error {
	switch {
	case m.MessageID == "":
		return missing("messageId")
	case m.TaskARN == "":
		return missing("taskArn")
	case m.RoleCredentials == nil:
		return missing("roleCredentials")
	case m.RoleCredentials.CredentialsID == "":
		return missing("roleCredentials.credentialsId")
	case m.RoleType != RoleTypeApplication && m.RoleType != RoleTypeExecution:
		return fmt.Errorf("roleType %q is invalid for message ID %s", m.RoleType, m.MessageID)
	}
	return nil
}

func (m *TaskManifest) validate() error {
	switch {
	case m.MessageID == "":
		return missing("messageId")
	case m.ClusterARN == "":
		return missing("clusterArn")
	case m.ContainerInstance == "":
		return missing("containerInstanceArn")
	case m.Timeline == nil:
		return missing("timeline")
	case len(m.Tasks) > maxTasks:
		return fmt.Errorf("%d tasks, at most %d are accepted", len(m.Tasks), maxTasks)
	}
	return nil
}

func (m *TaskStopVerificationAck) validate() error {
	if m.MessageID == "" {
		return missing("messageId")
	}
	return nil
}

func (m *AttachNetworkInterfaces) validate() error {
	switch {
	case m.MessageID == "":
		return missing("messageId")
	case m.forTask && m.TaskARN == "":
		return missing("taskArn")
	case m.WaitTimeoutMs <= 0:
		return missing("waitTimeoutMs")
	case len(m.ElasticNetworkInterfaces) == 0:
		return missing("elasticNetworkInterfaces")
	}
	for _, e := range m.ElasticNetworkInterfaces {
		if e.EC2ID == "" || e.MACAddress == "" || len(e.IPv4Addresses) == 0 {
			return errors.New("an interface needs ec2Id, macAddress and an IPv4 address")
		}
	}
	return nil
}

func (m *Update) validate() error {
	if m.MessageID == "" {
		return missing("messageId")
	}
	return nil
}

func (m *Notice) validate() error { return nil }
