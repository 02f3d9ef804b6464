package agent_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/coder/websocket"

	"github.com/remit-ecs/remit/internal/agent"
	"github.com/remit-ecs/remit/internal/agent/acs"
	"github.com/remit-ecs/remit/internal/agent/runtime/fake"
)

func TestInterfacesAreConfirmed(t *testing.T) {
	c := newControlPlane(t)
	startHost(t, c)
	conn := c.accept()
	conn.send("AttachTaskNetworkInterfacesMessage", map[string]any{"messageId": "eni", "clusterArn": clusterARN, "containerInstanceArn": instanceARN,
		"taskArn": taskARN("net"), "waitTimeoutMs": 1000, "elasticNetworkInterfaces": []any{map[string]any{
			"attachmentArn": "arn:attachment", "ec2Id": "eni-1", "macAddress": "02:00:00:00:00:01", "ipv4Addresses": []any{map[string]any{"primary": true, "privateAddress": "10.0.0.5"}}}}})
	if m := conn.expect("AckRequest"); m["messageId"] != "eni" {
		t.Errorf("ack %v", m)
	}
	got := c.await(taskARN("net"), "")
	if len(got.Attachments) != 1 || got.Attachments[0].AttachmentArn != "arn:attachment" || got.Attachments[0].Status != "ATTACHED" {
		t.Errorf("%+v", got)
	}
}

func TestManifestStopsWhatIsConfirmed(t *testing.T) {
	c := newControlPlane(t)
	c.image(shopImage, nil)
	h := startHost(t, c)
	h.rt.Handle("/bin/app", func(p *fake.Process) int { <-p.Context.Done(); return 0 })
	conn := c.accept()
	conn.payload(shopTask(c, "listed"), shopTask(c, "unlisted"))
	c.await(taskARN("listed"), "RUNNING")
	c.await(taskARN("unlisted"), "RUNNING")
	conn.expect("AckRequest")
	conn.send("TaskManifestMessage", map[string]any{"messageId": "mf", "clusterArn": clusterARN, "containerInstanceArn": instanceARN, "timeline": 77, "generatedAt": 1,
		"tasks": []any{map[string]any{"taskArn": taskARN("listed"), "desiredStatus": "RUNNING"}}})
	candidates := conn.expect("TaskStopVerificationMessage")
	list := candidates["stopCandidates"].([]any)
	if len(list) != 1 || list[0].(map[string]any)["taskArn"] != taskARN("unlisted") {
		t.Fatalf("stop candidates %v", candidates)
	}
	conn.send("TaskStopVerificationAck", map[string]any{"messageId": "other", "generatedAt": 1, "stopTasks": []any{map[string]any{"taskArn": taskARN("listed")}}})
	conn.send("TaskStopVerificationAck", map[string]any{"messageId": "mf", "generatedAt": 1, "stopTasks": list})
	c.await(taskARN("unlisted"), "STOPPED")
	if got := c.statuses(taskARN("listed")); slices.Contains(got, "STOPPED") {
		t.Error("a listed task was stopped")
	}
}

func TestUnknownAndMalformedTasks(t *testing.T) {
	c := newControlPlane(t)
	c.image(shopImage, nil)
	h := startHost(t, c)
	h.rt.Handle("/bin/app", func(p *fake.Process) int { <-p.Context.Done(); return 0 })
	conn := c.accept()
	id := conn.payload(map[string]any{"arn": taskARN("ghost"), "desiredStatus": "STOPPED", "containers": []any{}})
	if m := conn.expect("AckRequest"); m["messageId"] != id {
		t.Errorf("ack %v", m)
	}
	if got := c.await(taskARN("ghost"), "STOPPED"); got.Reason != "TaskStateError: Agent could not progress task's state to stopped" {
		t.Errorf("reason %q", got.Reason)
	}
	// A bad task is reported, its neighbour runs, the payload is not acked.
	bad := shopTask(c, "bad", func(task, app map[string]any) {
		app["portMappings"] = []any{map[string]any{"containerPort": 80, "protocol": "TCP"}}
	})
	conn.payload(bad, shopTask(c, "good"))
	if got := c.await(taskARN("bad"), "STOPPED"); !strings.HasPrefix(got.Reason, "UnrecogniedTaskError:") {
		t.Errorf("reason %q", got.Reason)
	}
	c.await(taskARN("good"), "RUNNING")
	conn.send("HeartbeatMessage", map[string]any{"messageId": "after", "healthy": true})
	for {
		m := <-conn.received
		if m.Type == "AckRequest" {
			t.Error("a payload with a malformed task was acknowledged")
		}
		if m.Type == "HeartbeatAckRequest" {
			break
		}
	}
	// Nonsense is dropped and does not end the connection.
	conn.ws.Write(context.Background(), websocket.MessageText, []byte(`{"type":"PayloadMessage","message":{}} trailing`))
	conn.ws.Write(context.Background(), websocket.MessageText, []byte(`{"type":"NewThing","message":{"a":1}}`))
	conn.send("HeartbeatMessage", map[string]any{"messageId": "alive", "healthy": true})
	conn.expect("HeartbeatAckRequest")
}

func TestReconnect(t *testing.T) {
	c := newControlPlane(t)
	startHost(t, c)
	conn := c.accept()
	conn.ws.Close(websocket.StatusPolicyViolation, "")
	again := c.accept()
	if again.query["sendCredentials"][0] != "false" {
		t.Error("a reconnect asked for credentials again")
	}
	c.set(func() { c.refuse = "ServerException" })
	again.ws.CloseNow()
	time.Sleep(300 * time.Millisecond)
	c.set(func() { c.refuse = "" })
	c.accept()
}

func TestInactivity(t *testing.T) {
	c := newControlPlane(t)
	startHost(t, c, func(o *agent.Options) {
		o.Timers = acs.Timers{Inactivity: 50 * time.Millisecond, InactivityJitter: time.Millisecond, Backoff: acs.Backoff{Min: time.Millisecond, Max: time.Millisecond, Factor: 1}}
	})
	c.accept()
	c.accept() // a silent server is left
}

func TestRegistrationErrors(t *testing.T) {
	c := newControlPlane(t)
	c.denied["ecs:RegisterContainerInstance"] = true
	a, err := agent.New(agent.Options{
		Endpoint: c.server.URL, Region: testRegion, DataDir: t.TempDir(), Runtime: fake.New(), MemoryMiB: 1, Logger: quiet(t),
		Credentials: credentials.NewStaticCredentialsProvider("ASIAINSTANCE", "instance-secret", "instance-token"),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Run(context.Background()); err == nil || errors.Is(err, acs.ErrTerminal) || !strings.Contains(err.Error(), "not authorized to perform: ecs:RegisterContainerInstance") {
		t.Errorf("got %v", err)
	}
}
