package acs

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestDecode(t *testing.T) {
	const payload = `{"type":"PayloadMessage","message":{"messageId":"m","clusterArn":"c","containerInstanceArn":"i","seqNum":1,"generatedAt":2,"tasks":[{}],"new":"field"}}`
	tests := []struct {
		name, frame, want string // want: type, or error text
	}{
		{"heartbeat", `{"type":"HeartbeatMessage","message":{"messageId":"a","healthy":false}}`, "*acs.Heartbeat"},
		{"heartbeat without healthy", `{"type":"HeartbeatMessage","message":{"messageId":"a"}}`, "healthy is missing"},
		{"payload", payload, "*acs.Payload"},
		{"payload without seqNum", strings.Replace(payload, `"seqNum":1,`, "", 1), "seqNum is missing"},
		{"payload without tasks", strings.Replace(payload, `[{}]`, "[]", 1), "tasks is missing"},
		{"wrong type of a field", strings.Replace(payload, `"seqNum":1`, `"seqNum":"x"`, 1), "malformed frame"},
		{"two values", payload + payload, "data after the message"},
		{"unknown role type", `{"type":"IAMRoleCredentialsMessage","message":{"messageId":"m","taskArn":"t","roleType":"X","roleCredentials":{"credentialsId":"c"}}}`, `roleType "X" is invalid`},
		{"credentials without id", `{"type":"IAMRoleCredentialsMessage","message":{"messageId":"m","taskArn":"t","roleType":"TaskExecution","roleCredentials":{}}}`, "credentialsId is missing"},
		{"unknown type", `{"type":"Later","message":{}}`, "*acs.Notice"},
		{"exception", `{"InactiveInstanceException":"gone"}`, "*acs.Notice"},
		{"nothing", ``, "malformed frame"},
		{"no type", `{"message":{}}`, "no message type"},
		{"no message", `{"type":"PayloadMessage"}`, "without a message"},
		{"too large", `{"type":"` + strings.Repeat("x", MaxFrame) + `"}`, "at most"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m, err := Decode([]byte(test.frame))
			got := fmt.Sprintf("%T", m)
			if err != nil {
				got = err.Error()
			}
			if !strings.Contains(got, test.want) {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func TestDecodeTask(t *testing.T) {
	good := `{"arn":"a/t","desiredStatus":"RUNNING","containers":[{"name":"x","image":"i"},{"name":"y","image":"i","dependsOn":[{"containerName":"x","condition":"START"}]}]}`
	if _, err := DecodeTask([]byte(good)); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{
		`{"arn":"a/t","desiredStatus":"RUNNING"}`,
		`{"arn":"a/t","desiredStatus":"PENDING","containers":[]}`,
		strings.Replace(good, `"name":"y"`, `"name":"x"`, 1),
		strings.Replace(good, `"containerName":"x"`, `"containerName":"z"`, 1),
		`{"arn":"a/t","desiredStatus":"STOPPED","volumes":[{}]}`,
		`{"arn":"a/t","desiredStatus":"STOPPED","cpu":"much"}`,
	} {
		if task, err := DecodeTask([]byte(bad)); err == nil || task.ARN != "a/t" {
			t.Errorf("%s: %v, ARN %q", bad, err, task.ARN)
		}
	}
}

// FuzzFrame: whatever arrives, decoding ends, what passes has its required
// fields, and what the agent would answer can be encoded.
func FuzzFrame(f *testing.F) {
	for _, s := range []string{
		`{"type":"HeartbeatMessage","message":{"messageId":"a","healthy":true}}`,
		`{"type":"PayloadMessage","message":{"messageId":"m","clusterArn":"c","containerInstanceArn":"i","seqNum":1,"generatedAt":2,"tasks":[{"arn":"a","desiredStatus":"STOPPED"}]}}`,
		`{"type":"TaskManifestMessage","message":{"messageId":"m","clusterArn":"c","containerInstanceArn":"i","timeline":1,"tasks":[]}}`,
		`{"type":"AttachTaskNetworkInterfacesMessage","message":{"messageId":"m","taskArn":"t","waitTimeoutMs":1,"elasticNetworkInterfaces":[{"ec2Id":"e","macAddress":"m","ipv4Addresses":[{}]}]}}`,
		`{"ServerException":"x"}`, `{"type":"X"}`, `null`, `[]`, `{"type":1}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		m, err := Decode(frame)
		if err != nil {
			if m != nil {
				t.Error("a message beside an error")
			}
			return
		}
		if err := m.validate(); err != nil {
			t.Errorf("an invalid message was accepted: %v", err)
		}
		if p, ok := m.(*Payload); ok {
			for _, raw := range p.Tasks {
				if task, err := DecodeTask(raw); err == nil && task.ARN == "" {
					t.Error("a task without an ARN was accepted")
				}
			}
		}
	})
}

func TestCredentialsAreNotPrinted(t *testing.T) {
	c := RoleCredentials{CredentialsID: "id-secret", RoleARN: "role", AccessKeyID: "ak-secret", SecretAccessKey: "sk-secret", SessionToken: "st-secret"}
	var out strings.Builder
	log := slog.New(slog.NewTextHandler(&out, nil))
	log.Info("x", "c", c, "p", &c)
	fmt.Fprintf(&out, "%v %+v %#v %s", c, c, c, &c)
	b, _ := json.Marshal(c.Redacted())
	if s := out.String(); strings.Contains(s, "secret") || strings.Contains(string(b), "k-secret") || strings.Contains(string(b), "st-secret") {
		t.Errorf("%s %s", s, b)
	}
}

func TestSocketURL(t *testing.T) {
	for endpoint, want := range map[string]string{
		"http://h:1/acs/": "http://h:1/acs/ws?a=b%20c", "https://h": "https://h/ws?a=b%20c", "wss://h/x": "https://h/x/ws?a=b%20c",
		"ftp://h": "", "http://": "", "::": "",
	} {
		u, err := socketURL(endpoint, map[string][]string{"a": {"b c"}})
		if err != nil && want != "" || err == nil && u.String() != want {
			t.Errorf("%s: %v %v", endpoint, u, err)
		}
	}
}

func TestBackoff(t *testing.T) {
	b := Backoff{Min: time.Second, Max: 5 * time.Second, Factor: 2}
	for _, want := range []time.Duration{1, 2, 4, 5, 5} {
		if got := b.Next(); got != want*time.Second {
			t.Errorf("%v, want %v s", got, want)
		}
	}
	b.Reset()
	if got := b.Next(); got != time.Second {
		t.Errorf("%v after Reset", got)
	}
}

func TestTelemetryFrames(t *testing.T) {
	tel := &Telemetry{Line: &Line{Cluster: "c", ContainerInstance: "i"}}
	var m Measurements
	for i := range 23 {
		m.Tasks = append(m.Tasks, TaskMeasurement{TaskARN: fmt.Sprint(i), Containers: []ContainerMeasurement{{Name: "a", Health: "HEALTHY"}}})
	}
	count := map[string]int{}
	fin := map[string]int{}
	for _, f := range tel.frames(m) {
		var doc struct {
			Metadata    publishMetadata
			TaskMetrics []json.RawMessage
			Tasks       []json.RawMessage
		}
		if err := json.Unmarshal(f.body, &doc); err != nil {
			t.Fatal(err)
		}
		count[f.kind] += len(doc.TaskMetrics) + len(doc.Tasks)
		if doc.Metadata.Fin {
			fin[f.kind]++
		}
		if len(doc.TaskMetrics) > tasksPerFrame {
			t.Error("too many tasks in a frame")
		}
	}
	if count["PublishMetricsRequest"] != 23 || count["PublishHealthRequest"] != 23 || fin["PublishMetricsRequest"] != 1 || fin["PublishHealthRequest"] != 1 {
		t.Errorf("%v %v", count, fin)
	}
	if idle := tel.frames(Measurements{}); len(idle) != 1 || !strings.Contains(string(idle[0].body), `"idle":true,"fin":true`) {
		t.Errorf("idle host: %s", idle[0].body)
	}
}
