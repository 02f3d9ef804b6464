package ecs_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsecs "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/coder/websocket"

	"github.com/remit-ecs/remit/internal/clock"
	"github.com/remit-ecs/remit/internal/session"
	"github.com/remit-ecs/remit/internal/testkit"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// hostRole is what a container instance needs of ECS.
var hostRole = testkit.Allow("*", "ecs:RegisterContainerInstance", "ecs:DiscoverPollEndpoint", "ecs:Poll", "ecs:StartTelemetrySession", "ecs:Submit*")

// bridge registers a definition for container instances.
func (w *world) bridge(family string, change func(*awsecs.RegisterTaskDefinitionInput)) string {
	w.t.Helper()
	in := &awsecs.RegisterTaskDefinitionInput{Family: &family, ContainerDefinitions: []types.ContainerDefinition{
		{Name: aws.String("a"), Image: aws.String("i"), Memory: aws.Int32(512), Cpu: 512}}}
	if change != nil {
		change(in)
	}
	out, err := w.root.RegisterTaskDefinition(w.t.Context(), in)
	if err != nil {
		w.t.Fatal(err)
	}
	return *out.TaskDefinition.TaskDefinitionArn
}

// TestContainerInstances: placement on the account's own instances, with ECS's
// failures, and StartTask.
func TestContainerInstances(t *testing.T) {
	w := newWorld(t, nil)
	ctx := t.Context()
	w.Role("host", "", hostRole)
	a := w.newAgent(w.Session("host", "i-1", time.Hour), "default")
	def := w.bridge("b", nil)
	out, err := w.root.RunTask(ctx, &awsecs.RunTaskInput{TaskDefinition: &def})
	if err != nil || len(out.Tasks) != 0 || *out.Failures[0].Reason != "AGENT" || *out.Failures[0].Arn != a.arn {
		t.Fatalf("disconnected: %v %s", err, show(out))
	}
	a.connect(true)
	out, err = w.root.RunTask(ctx, &awsecs.RunTaskInput{TaskDefinition: &def, Count: aws.Int32(5)})
	if err != nil || len(out.Tasks) != 4 || *out.Failures[0].Reason != "RESOURCE:CPU" || *out.Tasks[0].LastStatus != "PENDING" || *out.Tasks[0].ContainerInstanceArn != a.arn {
		t.Fatalf("five tasks on two cores: %v %s", err, show(out))
	}
	for _, task := range out.Tasks {
		w.until("default", *task.TaskArn, "RUNNING")
	}
	d, err := w.root.DescribeContainerInstances(ctx, &awsecs.DescribeContainerInstancesInput{ContainerInstances: []string{a.arn}})
	if err != nil {
		t.Fatal(err)
	}
	ci := d.ContainerInstances[0]
	if !ci.AgentConnected || *ci.Ec2InstanceId != "i-1" || ci.RunningTasksCount != 4 || ci.RemainingResources[0].IntegerValue != 0 || ci.RemainingResources[1].IntegerValue != 2048 {
		t.Errorf("instance: %s", show(ci))
	}
	st, err := w.root.StartTask(ctx, &awsecs.StartTaskInput{TaskDefinition: &def, ContainerInstances: []string{a.arn, "0123456789abcdef0123456789abcdef"}})
	if err != nil || len(st.Tasks) != 0 || *st.Failures[0].Reason != "RESOURCE:CPU" || *st.Failures[1].Reason != "MISSING" {
		t.Errorf("StartTask: %v %s", err, show(st))
	}
	_, err = w.root.DeregisterContainerInstance(ctx, &awsecs.DeregisterContainerInstanceInput{ContainerInstance: &a.arn})
	wantError(t, err, "InvalidParameterException", "Found running tasks on the instance.")
	if _, err := w.root.UpdateContainerInstancesState(ctx, &awsecs.UpdateContainerInstancesStateInput{ContainerInstances: []string{a.arn}, Status: "DRAINING"}); err != nil {
		t.Fatal(err)
	}
	l, err := w.root.ListContainerInstances(ctx, &awsecs.ListContainerInstancesInput{Status: "DRAINING"})
	if err != nil || len(l.ContainerInstanceArns) != 1 {
		t.Errorf("list: %v %s", err, show(l))
	}
	if _, err := w.root.DeregisterContainerInstance(ctx, &awsecs.DeregisterContainerInstanceInput{ContainerInstance: &a.arn, Force: aws.Bool(true)}); err != nil {
		t.Fatal(err)
	}
	task := w.until("default", *out.Tasks[0].TaskArn, "STOPPED")
	if *task.StoppedReason != "Container instance deregistration forced by user" {
		t.Errorf("task of a lost host: %s", show(task))
	}
	<-a.closed
	if resp, err := a.poll(false); err == nil || resp.StatusCode != 400 || body(resp)["InactiveInstanceException"] == "" {
		t.Errorf("a deregistered instance polls: %v", err)
	}
}

func body(r *http.Response) (m map[string]string) {
	_ = json.NewDecoder(r.Body).Decode(&m) // not JSON: an empty map
	return m
}

// TestOnlyItsOwn: a host cannot speak for another, with the same role or
// another, and not at all without permission.
func TestOnlyItsOwn(t *testing.T) {
	w := newWorld(t, nil)
	w.Role("host", "", hostRole)
	w.Role("mute", "", testkit.Allow("*", "ecs:RegisterContainerInstance"))
	one := w.newAgent(w.Session("host", "i-1", time.Hour), "default").connect(true)
	two := w.newAgent(w.Session("host", "i-2", time.Hour), "default").connect(true)
	mute := w.newAgent(w.Session("mute", "i-3", time.Hour), "default")

	if resp, err := mute.poll(true); err == nil || resp.StatusCode != http.StatusForbidden || !strings.Contains(body(resp)["AccessDeniedException"], "is not authorized to perform: ecs:Poll on resource: "+mute.arn) {
		t.Errorf("no ecs:Poll: %v", err)
	}
	thief := &agent{w: w, cfg: two.cfg, api: two.api, cluster: "default", arn: one.arn}
	if resp, err := thief.poll(true); err == nil || resp.StatusCode != http.StatusForbidden || !strings.Contains(body(resp)["AccessDeniedException"], "did not register") {
		t.Errorf("another host's instance: %v", err)
	}
	if _, err := thief.register(one.arn); err == nil {
		t.Error("another host's instance was registered again")
	}
	unsigned, resp, err := websocket.Dial(t.Context(), w.URL+"/acs/ws?containerInstanceArn="+url.QueryEscape(one.arn), nil)
	if err == nil || resp.StatusCode != http.StatusForbidden {
		t.Errorf("unsigned: %v %v", unsigned, err)
	}
	_, err = two.api.RegisterContainerInstance(t.Context(), &awsecs.RegisterContainerInstanceInput{InstanceIdentityDocument: aws.String(`{"instanceId":"i-1"}`)})
	wantError(t, err, "InvalidParameterException", "instance i-1")

	def := w.bridge("b", nil)
	one.passive, two.passive = true, true
	st, err := w.root.StartTask(t.Context(), &awsecs.StartTaskInput{TaskDefinition: &def, ContainerInstances: []string{one.arn}})
	if err != nil {
		t.Fatal(err)
	}
	arn := *st.Tasks[0].TaskArn
	one.payload(0)
	wantError(t, two.submit(arn, "STOPPED", nil), "AccessDeniedException", "is not placed on")
	if err := two.submit(strings.TrimSuffix(arn, arn[len(arn)-32:])+strings.Repeat("0", 32), "STOPPED", nil); err != nil {
		t.Errorf("an unknown task must be accepted: %v", err)
	}
	if two.count("PayloadMessage") != 0 {
		t.Error("a host got another's task")
	}
	if got := *w.describe("default", arn).LastStatus; got != "PENDING" {
		t.Errorf("the task is %s", got)
	}
}

// TestRolesAtThePush: trust taken away between RunTask and the push stops the
// task; taken away later, the task keeps running.
func TestRolesAtThePush(t *testing.T) {
	fake := clock.NewFake(start)
	w := newWorld(t, fake)
	arn := *w.run(runInput(w.fargate("web", nil))).TaskArn
	w.Delete("arn:aws:iam::" + testkit.Account + ":role/exec")
	a := w.newAgent(w.hostConfig(), "fargate").connect(true)
	task := w.until("default", arn, "STOPPED")
	if task.StopCode != types.TaskStopCodeTaskFailedToStart || !strings.HasPrefix(*task.StoppedReason, "ECS was unable to assume the role 'arn:aws:iam::111122223333:role/exec'") {
		t.Errorf("task: %s", show(task))
	}
	if a.count("PayloadMessage") != 0 {
		t.Error("a task without credentials was pushed")
	}

	w.roles()
	arn = *w.run(runInput("web")).TaskArn
	w.until("default", arn, "RUNNING")
	w.Delete("arn:aws:iam::" + testkit.Account + ":role/app")
	fake.Advance(3*time.Hour + time.Minute)
	w.eventually("the execution role is renewed alone", func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return len(a.creds) > 0
	})
	if got := a.creds[0]["roleType"]; got != "TaskExecution" {
		t.Errorf("renewed %v", got)
	}
	if got := *w.describe("default", arn).LastStatus; got != "RUNNING" {
		t.Errorf("the task is %s", got)
	}
	w.roles()
	fake.Advance(31 * time.Second)
	w.eventually("the task role is renewed again", func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return len(a.creds) > 1 && a.creds[1]["roleType"] == "TaskApplication"
	})
	first, renewed := a.payload(0)["roleCredentials"].(map[string]any), a.creds[1]["roleCredentials"].(map[string]any)
	if first["credentialsId"] != renewed["credentialsId"] || first["accessKeyId"] == renewed["accessKeyId"] {
		t.Error("renewal keeps the id and changes the key")
	}
}

// TestRolesAtTheSecondPush: a task that its host has been sent, and has not
// reported yet, loses its role. It ends at the host, not in the documents alone.
func TestRolesAtTheSecondPush(t *testing.T) {
	w := newWorld(t, nil)
	arn := *w.run(runInput(w.fargate("web", nil))).TaskArn
	a := w.newAgent(w.hostConfig(), "fargate")
	a.passive = true
	a.connect(true)
	a.payload(0)
	_ = a.conn.CloseNow()
	<-a.closed
	w.Delete("arn:aws:iam::" + testkit.Account + ":role/exec")
	a.connect(true)
	if got := a.payload(1); got["desiredStatus"] != "STOPPED" || got["arn"] != arn {
		t.Errorf("the host was sent %s", show(got))
	}
	if got := w.describe("default", arn); *got.LastStatus == "STOPPED" || *got.DesiredStatus != "STOPPED" {
		t.Errorf("the host has not said that the task has stopped: %s", show(got))
	}
	if err := a.submit(arn, "STOPPED", nil); err != nil {
		t.Fatal(err)
	}
	if task := w.until("default", arn, "STOPPED"); !strings.HasPrefix(*task.StoppedReason, "ECS was unable to assume") {
		t.Errorf("task: %s", show(task))
	}
}

// TestRolesAfterARestart: the same, when the control plane that had sent the
// task is not the one that finds the role gone.
func TestRolesAfterARestart(t *testing.T) {
	w := newWorld(t, nil)
	arn := *w.run(runInput(w.fargate("web", nil))).TaskArn
	a := w.newAgent(w.hostConfig(), "fargate")
	a.passive = true
	a.connect(true)
	a.payload(0)
	w.restartHosts()
	<-a.closed
	w.Delete("arn:aws:iam::" + testkit.Account + ":role/exec")
	a.connect(true)
	if got := a.payload(1); got["desiredStatus"] != "STOPPED" || got["arn"] != arn {
		t.Errorf("the host was sent %s", show(got))
	}
	if got := w.describe("default", arn); *got.LastStatus == "STOPPED" || *got.DesiredStatus != "STOPPED" {
		t.Errorf("the host has not said that the task has stopped: %s", show(got))
	}
	if err := a.submit(arn, "STOPPED", nil); err != nil {
		t.Fatal(err)
	}
	w.until("default", arn, "STOPPED")
}

// TestAnInstanceIsItsRolesOwn: a role that is made again under the name of the
// one that registered an instance has nothing to say for it, though its sessions
// have the same ARN.
func TestAnInstanceIsItsRolesOwn(t *testing.T) {
	w := newWorld(t, nil)
	w.Role("host", "", hostRole)
	a := w.newAgent(w.Session("host", "i-1", time.Hour), "default").connect(true)
	def := w.bridge("b", nil)
	a.passive = true
	st, err := w.root.StartTask(t.Context(), &awsecs.StartTaskInput{TaskDefinition: &def, ContainerInstances: []string{a.arn}})
	if err != nil {
		t.Fatal(err)
	}
	a.payload(0)
	w.Delete("arn:aws:iam::" + testkit.Account + ":role/host")
	w.Role("host", "", hostRole)

	cfg := w.Session("host", "i-1", time.Hour)
	heir := &agent{w: w, cfg: cfg, api: w.sdk(cfg), cluster: "default", arn: a.arn}
	if resp, err := heir.poll(true); err == nil || resp.StatusCode != http.StatusForbidden || !strings.Contains(body(resp)["AccessDeniedException"], "did not register") {
		t.Errorf("polls: %v", err)
	}
	_, err = heir.register(a.arn)
	wantError(t, err, "AccessDeniedException", "was registered by another principal")
	wantError(t, heir.submit(*st.Tasks[0].TaskArn, "STOPPED", nil), "AccessDeniedException", "is not placed on")
	// It may register one of its own.
	if again := w.newAgent(cfg, "default"); again.arn == a.arn {
		t.Error("the new role got the instance")
	}
}

// TestReconnect: a manifest with a higher number each time, what the agent
// should not run is stopped, credentials come again where the agent lost them.
func TestReconnect(t *testing.T) {
	w := newWorld(t, nil)
	arn := *w.run(runInput(w.fargate("web", nil))).TaskArn
	a := w.newAgent(w.hostConfig(), "fargate").connect(true)
	w.until("default", arn, "RUNNING")
	first := a.manifest["timeline"].(float64)
	_ = a.conn.CloseNow()
	<-a.closed
	stranger := home + "task/default/" + strings.Repeat("a", 32)
	a.running = []string{arn, stranger}
	if out, err := a.register(a.arn); err != nil || *out.ContainerInstance.ContainerInstanceArn != a.arn {
		t.Fatalf("registered again: %v", err)
	}
	a.connect(true)
	if again := a.manifest["timeline"].(float64); again <= first {
		t.Errorf("timeline %v after %v", again, first)
	}
	if l := a.manifest["tasks"].([]any); len(l) != 1 || l[0].(map[string]any)["taskArn"] != arn {
		t.Errorf("manifest: %s", show(a.manifest))
	}
	w.eventually("both credential sets come again", func() bool { return a.count("IAMRoleCredentialsMessage") == 2 })
	w.eventually("the stranger is stopped", func() bool { return a.count("TaskStopVerificationAck") == 1 })
	if len(a.stopped) != 1 || a.stopped[0] != stranger {
		t.Errorf("stopped: %v", a.stopped)
	}
	if a.count("PayloadMessage") != 1 {
		t.Error("a RUNNING task was delivered again")
	}
	// A second connection takes the place of the first.
	old := a.closed
	b := &agent{w: w, cfg: a.cfg, api: a.api, cluster: a.cluster, arn: a.arn}
	b.connect(false)
	<-old
	time.Sleep(50 * time.Millisecond)
	if b.count("IAMRoleCredentialsMessage") != 0 {
		t.Error("credentials were pushed though nothing was lost")
	}
}

// TestDeafAgent: what is not acknowledged is sent again, and a connection
// without answers is dropped; then its tasks are shown as disconnected.
func TestDeafAgent(t *testing.T) {
	fake := clock.NewFake(start)
	w := newWorld(t, fake)
	a := w.newAgent(w.hostConfig(), "fargate")
	a.deaf, a.passive = true, true
	a.connect(true)
	arn := *w.run(runInput(w.fargate("web", nil))).TaskArn
	a.payload(0)
	fake.Advance(16 * time.Second)
	again := a.payload(1)
	if again["arn"] != arn {
		t.Errorf("resent %v", again["arn"])
	}
	for range 12 {
		fake.Advance(10 * time.Second)
		time.Sleep(10 * time.Millisecond)
	}
	<-a.closed
	if a.count("HeartbeatMessage") != 1 {
		t.Errorf("%d heartbeats without an answer", a.count("HeartbeatMessage"))
	}
	fake.Advance(3 * time.Minute)
	w.eventually("DISCONNECTED", func() bool { return w.describe("default", arn).Connectivity == types.ConnectivityDisconnected })
	a.deaf, a.passive = false, false
	a.connect(true)
	w.eventually("CONNECTED", func() bool { return w.describe("default", arn).Connectivity == types.ConnectivityConnected })
	w.until("default", arn, "RUNNING")
}

// TestBarred: a host that may not poll any more gets no further credentials.
func TestBarred(t *testing.T) {
	w := newWorld(t, nil)
	w.Role("host", "", hostRole)
	a := w.newAgent(w.Session("host", "i-1", time.Hour), "default").connect(true)
	w.Role("host", "", testkit.Allow("*", "ecs:Submit*"))
	task, _ := w.roles()
	def := w.bridge("b", func(in *awsecs.RegisterTaskDefinitionInput) { in.TaskRoleArn = &task })
	if _, err := w.root.StartTask(t.Context(), &awsecs.StartTaskInput{TaskDefinition: &def, ContainerInstances: []string{a.arn}}); err != nil {
		t.Fatal(err)
	}
	<-a.closed
	if websocket.CloseStatus(a.closeErr) != websocket.StatusPolicyViolation || a.count("PayloadMessage") != 0 {
		t.Errorf("closed with %v after %d payloads", a.closeErr, a.count("PayloadMessage"))
	}
}

// TestReports: what stops a task by itself, and reports in one piece.
func TestReports(t *testing.T) {
	w := newWorld(t, nil)
	a := w.newAgent(w.hostConfig(), "fargate")
	a.passive = true
	a.connect(true)
	def := w.fargate("web", nil)
	state := func(status string, exit *int32, reason string) types.ContainerStateChange {
		s := types.ContainerStateChange{ContainerName: aws.String("app"), Status: &status, ExitCode: exit}
		if reason != "" {
			s.Reason = &reason
		}
		return s
	}
	run := func(n int) string {
		arn := *w.run(runInput(def)).TaskArn
		a.payload(n)
		return arn
	}
	arn := run(0)
	if err := a.submit(arn, "STOPPED", []types.ContainerStateChange{state("RUNNING", nil, ""), state("STOPPED", aws.Int32(7), "")}); err != nil {
		t.Fatal(err)
	}
	task := w.until("default", arn, "STOPPED")
	if task.StopCode != types.TaskStopCodeEssentialContainerExited || *task.StoppedReason != "Essential container in task exited" || *task.Containers[0].ExitCode != 7 {
		t.Errorf("exited: %s", show(task))
	}
	arn = run(1)
	if err := a.submit(arn, "STOPPED", []types.ContainerStateChange{state("STOPPED", nil, "CannotPullContainerError: no such image")}); err != nil {
		t.Fatal(err)
	}
	task = w.until("default", arn, "STOPPED")
	if task.StopCode != types.TaskStopCodeTaskFailedToStart || *task.StoppedReason != "CannotPullContainerError: no such image" {
		t.Errorf("not started: %s", show(task))
	}
	// Addresses are not given to the next task at once.
	arn = run(2)
	for _, d := range w.describe("default", arn).Attachments[0].Details {
		if *d.Name == "privateIPv4Address" && *d.Value != "172.31.240.4" {
			t.Errorf("third task at %s", *d.Value)
		}
	}
	// A late RUNNING does not bring a stopped task back.
	if err := a.submit(*task.TaskArn, "RUNNING", nil); err != nil {
		t.Fatal(err)
	}
	if got := *w.describe("default", *task.TaskArn).LastStatus; got != "STOPPED" {
		t.Errorf("the task is %s", got)
	}
}

// TestTelemetry: metrics are acknowledged, health is kept.
func TestTelemetry(t *testing.T) {
	w := newWorld(t, nil)
	a := w.newAgent(w.hostConfig(), "fargate").connect(true)
	arn := *w.run(runInput(w.fargate("web", nil))).TaskArn
	w.until("default", arn, "RUNNING")
	conn, _, err := a.dial("/tcs/ws", url.Values{"cluster": {"fargate"}, "containerInstance": {a.arn}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.CloseNow()
	ask := func(frame string) string {
		if err := conn.Write(t.Context(), websocket.MessageText, []byte(frame)); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		_, b, err := conn.Read(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	if got := ask("Host: x\r\nAuthorization: y\r\n\r\n" + `{"type":"PublishMetricsRequest","message":{"metadata":{}}}`); !strings.Contains(got, "AckPublishMetric") {
		t.Errorf("metrics: %s", got)
	}
	if got := ask(fmt.Sprintf(`{"type":"PublishHealthRequest","message":{"tasks":[{"taskArn":%q,"containers":[{"containerName":"app","healthStatus":"HEALTHY"}]}]}}`, arn)); !strings.Contains(got, "AckPublishHealth") {
		t.Errorf("health: %s", got)
	}
	task := w.describe("default", arn)
	if task.HealthStatus != types.HealthStatusHealthy || task.Containers[0].HealthStatus != types.HealthStatusHealthy {
		t.Errorf("health: %s", show(task))
	}
}

// TestTelemetryEnds: what was allowed at the handshake is asked again.
func TestTelemetryEnds(t *testing.T) {
	w := newWorld(t, nil)
	for name, end := range map[string]func(a *agent){
		"permission": func(*agent) { w.Role("permission", "", testkit.Allow("*", "ecs:Poll")) },
		"role":       func(*agent) { w.Delete("arn:aws:iam::" + testkit.Account + ":role/role") },
		"deregistered": func(a *agent) {
			if _, err := w.root.DeregisterContainerInstance(t.Context(), &awsecs.DeregisterContainerInstanceInput{ContainerInstance: &a.arn, Force: aws.Bool(true)}); err != nil {
				t.Fatal(err)
			}
		},
	} {
		w.Role(name, "", hostRole)
		a := w.newAgent(w.Session(name, "i-1", time.Hour), "default")
		conn, _, err := a.dial("/tcs/ws", url.Values{"cluster": {"default"}, "containerInstance": {a.arn}})
		if err != nil {
			t.Fatal(err)
		}
		end(a)
		if err := conn.Write(t.Context(), websocket.MessageText, []byte(`{"type":"PublishMetricsRequest","message":{"metadata":{}}}`)); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		_, b, err := conn.Read(ctx)
		cancel()
		if websocket.CloseStatus(err) != websocket.StatusPolicyViolation {
			t.Errorf("%s: answered %s, %v", name, b, err)
		}
		_ = conn.CloseNow()
	}
}

// TestEnded: the task role's session ends with the task, the execution role's
// when the task is removed; other sessions of these roles live on.
func TestEnded(t *testing.T) {
	fake := clock.NewFake(start)
	w := newWorld(t, fake)
	w.newAgent(w.hostConfig(), "fargate").connect(true)
	arn := *w.run(runInput(w.fargate("web", nil))).TaskArn
	w.until("default", arn, "RUNNING")
	id := arn[len(arn)-32:]
	is := func(when string, app, exec bool) {
		t.Helper()
		for role, want := range map[string]bool{"app": app, "exec": exec} {
			if got := w.svc.Ended(w.Principal(role, id)); got != want {
				t.Errorf("%s: the session of %s has ended: %v, want %v", when, role, got, want)
			}
		}
		if w.svc.Ended(w.Principal("app", strings.Repeat("b", 32))) || w.svc.Ended(&session.Principal{Type: session.User, Account: testkit.Account}) {
			t.Errorf("%s: somebody else's session has ended", when)
		}
	}
	is("running", false, false)
	if _, err := w.root.StopTask(t.Context(), &awsecs.StopTaskInput{Task: &arn}); err != nil {
		t.Fatal(err)
	}
	w.until("default", arn, "STOPPED")
	is("stopped", true, false)
	fake.Advance(61 * time.Minute)
	w.eventually("removed", func() bool {
		out, err := w.root.DescribeTasks(t.Context(), &awsecs.DescribeTasksInput{Tasks: []string{arn}})
		return err == nil && len(out.Failures) == 1
	})
	is("removed", true, true)
}

// TestNoCapacity: a FARGATE task waits for a host, and not for ever.
func TestNoCapacity(t *testing.T) {
	fake := clock.NewFake(start)
	w := newWorld(t, fake)
	arn := *w.run(runInput(w.fargate("web", nil))).TaskArn
	fake.Advance(time.Minute)
	if got := *w.describe("default", arn).LastStatus; got != "PROVISIONING" {
		t.Errorf("the task is %s", got)
	}
	fake.Advance(90 * time.Second)
	task := w.until("default", arn, "STOPPED")
	if !strings.HasPrefix(*task.StoppedReason, "Capacity is unavailable at this time.") {
		t.Errorf("task: %s", show(task))
	}
	arn = *w.run(runInput("web")).TaskArn
	if _, err := w.root.StopTask(t.Context(), &awsecs.StopTaskInput{Task: &arn}); err != nil {
		t.Fatal(err)
	}
	if task = w.until("default", arn, "STOPPED"); *task.StoppedReason != "Task stopped by user" {
		t.Errorf("task: %s", show(task))
	}
}
