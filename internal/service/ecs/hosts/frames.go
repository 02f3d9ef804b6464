package hosts

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// MaxFrame is the largest frame accepted from an agent, in bytes. The largest
// it sends is a metrics frame of ten tasks.
const MaxFrame = 1 << 20

// envelope is the outer shape of every frame, both ways.
type envelope struct {
	Type    string          `json:"type"`
	Message json.RawMessage `json:"message"`
}

// What agents send on ACS. Frames of other types are ignored.
const (
	typeAck              = "AckRequest"
	typeNack             = "NackRequest"
	typeHeartbeatAck     = "HeartbeatAckRequest"
	typeCredentialsAck   = "IAMRoleCredentialsAckRequest"
	typeStopVerification = "TaskStopVerificationMessage"
)

// What agents send on TCS.
const (
	typeMetrics        = "PublishMetricsRequest"
	typeHealth         = "PublishHealthRequest"
	typeInstanceStatus = "PublishInstanceStatusRequest"
)

// fromAgent is the union of the messages of ACS: they share their few members.
type fromAgent struct {
	MessageID      string           `json:"messageId"`
	CredentialsID  string           `json:"credentialsId"`
	Reason         string           `json:"reason"`
	StopCandidates []taskIdentifier `json:"stopCandidates"`
}

// taskIdentifier names a task in a manifest.
type taskIdentifier struct {
	TaskARN        string `json:"taskArn"`
	TaskClusterARN string `json:"taskClusterArn"`
	DesiredStatus  string `json:"desiredStatus"`
}

// healthReport is what PublishHealthRequest says.
type healthReport struct {
	Tasks []struct {
		TaskARN    string `json:"taskArn"`
		Containers []struct {
			Name   string `json:"containerName"`
			Status string `json:"healthStatus"`
		} `json:"containers"`
	} `json:"tasks"`
}

var errFrame = errors.New("malformed frame")

// decodeFrame reads one frame of ACS.
func decodeFrame(frame []byte) (kind string, m fromAgent, err error) {
	e, err := open(frame)
	if err != nil {
		return "", m, err
	}
	switch e.Type {
	case typeAck, typeNack, typeHeartbeatAck, typeCredentialsAck, typeStopVerification:
		if err := json.Unmarshal(e.Message, &m); err != nil {
			return "", m, fmt.Errorf("%w: %s: %w", errFrame, e.Type, err)
		}
		if m.MessageID == "" {
			return "", m, fmt.Errorf("%w: %s without messageId", errFrame, e.Type)
		}
	}
	return e.Type, m, nil
}

// decodeTelemetry reads one frame of TCS: a block of headers with a signature
// of its own (the handshake's suffices), an empty line, the envelope.
func decodeTelemetry(frame []byte) (kind string, report healthReport, err error) {
	if len(frame) > 0 && frame[0] != '{' {
		_, body, ok := bytes.Cut(frame, []byte("\r\n\r\n"))
		if !ok {
			return "", report, fmt.Errorf("%w: headers without an end", errFrame)
		}
		frame = body
	}
	e, err := open(frame)
	if err != nil {
		return "", report, err
	}
	if e.Type == typeHealth {
		if err := json.Unmarshal(e.Message, &report); err != nil {
			return "", report, fmt.Errorf("%w: %s: %w", errFrame, e.Type, err)
		}
	}
	return e.Type, report, nil
}

func open(frame []byte) (envelope, error) {
	var e envelope
	if len(frame) > MaxFrame {
		return e, fmt.Errorf("%w: %d bytes", errFrame, len(frame))
	}
	d := json.NewDecoder(bytes.NewReader(frame))
	if err := d.Decode(&e); err != nil {
		return e, fmt.Errorf("%w: %w", errFrame, err)
	}
	if _, err := d.Token(); err != io.EOF {
		return e, fmt.Errorf("%w: data after the message", errFrame)
	}
	if e.Type == "" || len(e.Message) == 0 {
		return e, fmt.Errorf("%w: no type or no message", errFrame)
	}
	return e, nil
}

// encode wraps a message in its envelope.
func encode(kind string, message any) ([]byte, error) {
	return json.Marshal(struct {
		Type    string `json:"type"`
		Message any    `json:"message"`
	}{kind, message})
}

// What the control plane sends.
type (
	heartbeat struct {
		MessageID string `json:"messageId"`
		Healthy   bool   `json:"healthy"`
	}
	payload struct {
		MessageID         string        `json:"messageId"`
		ClusterARN        string        `json:"clusterArn"`
		ContainerInstance string        `json:"containerInstanceArn"`
		GeneratedAt       int64         `json:"generatedAt"` // milliseconds
		SeqNum            int64         `json:"seqNum"`
		Tasks             []payloadTask `json:"tasks"`
	}
	manifest struct {
		MessageID         string           `json:"messageId"`
		ClusterARN        string           `json:"clusterArn"`
		ContainerInstance string           `json:"containerInstanceArn"`
		GeneratedAt       int64            `json:"generatedAt"`
		Timeline          int64            `json:"timeline"`
		Tasks             []taskIdentifier `json:"tasks"`
	}
	stopVerificationAck struct {
		MessageID   string           `json:"messageId"`
		GeneratedAt int64            `json:"generatedAt"`
		StopTasks   []taskIdentifier `json:"stopTasks"`
	}
	credentialsMessage struct {
		MessageID       string           `json:"messageId"`
		TaskARN         string           `json:"taskArn"`
		TaskClusterARN  string           `json:"taskClusterArn"`
		RoleType        string           `json:"roleType"`
		RoleCredentials *roleCredentials `json:"roleCredentials"`
	}
)

// roleCredentials is one credential set. It is made at the push, held no longer
// than until the push is acknowledged, and never printed.
type roleCredentials struct {
	CredentialsID   string `json:"credentialsId"`
	RoleARN         string `json:"roleArn"`
	AccessKeyID     string `json:"accessKeyId"`
	SecretAccessKey string `json:"secretAccessKey"`
	SessionToken    string `json:"sessionToken"`
	Expiration      string `json:"expiration"` // ISO 8601
}

// String names the role only.
func (c roleCredentials) String() string { return "credentials of " + c.RoleARN }

// GoString names the role only.
func (c roleCredentials) GoString() string { return c.String() }
