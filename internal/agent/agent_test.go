package agent_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/remit-ecs/remit/internal/agent"
	"github.com/remit-ecs/remit/internal/agent/acs"
	"github.com/remit-ecs/remit/internal/agent/runtime/fake"
)

// host is an agent under test.
type host struct {
	t    *testing.T
	rt   *fake.Runtime
	opts agent.Options
	stop func() error
}

func startHost(t *testing.T, c *controlPlane, change ...func(*agent.Options)) *host {
	t.Helper()
	rt := fake.New()
	h := &host{t: t, rt: rt, opts: agent.Options{
		Endpoint: c.server.URL, Region: testRegion, Cluster: "demo", DataDir: t.TempDir(),
		Credentials: aws.CredentialsProvider(credentials.NewStaticCredentialsProvider("ASIAINSTANCE", "instance-secret", "instance-token")),
		Runtime:     rt, RetryDelay: time.Millisecond, StopTimeout: 200 * time.Millisecond,
		ReportBackoff:   acs.Backoff{Min: time.Millisecond, Max: 20 * time.Millisecond, Factor: 2},
		StopTasksOnExit: true, MetricsInterval: 50 * time.Millisecond, Logger: quiet(t), MemoryMiB: 1024,
	}}
	for _, f := range change {
		f(&h.opts)
	}
	h.run()
	return h
}

func (h *host) run() {
	h.t.Helper()
	a, err := agent.New(h.opts)
	if err != nil {
		h.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	stopped := false
	h.stop = func() error {
		if stopped {
			return nil
		}
		stopped = true
		cancel()
		select {
		case err := <-done:
			return err
		case <-time.After(8 * time.Second):
			h.t.Error("the agent did not stop")
			return nil
		}
	}
	h.t.Cleanup(func() {
		if err := h.stop(); err != nil {
			h.t.Error(err)
		}
	})
}

const shopImage = "123456789012.dkr.ecr.eu-north-1.amazonaws.com/shop"

func taskARN(id string) string { return "arn:aws:ecs:eu-north-1:123456789012:task/demo/" + id }

// shopTask is a task of one container that pulls from ECR and logs.
func shopTask(c *controlPlane, id string, change ...func(task, app map[string]any)) map[string]any {
	app := map[string]any{
		"name": "app", "image": shopImage + ":latest", "essential": true, "command": []string{"/bin/app"},
		"environment": map[string]string{"MODE": "prod"}, "overrides": "{}",
		"registryAuthentication": map[string]any{"type": "ecr", "ecrAuthData": map[string]any{
			"registryId": testAccount, "region": testRegion, "useExecutionRole": true,
		}},
		"logsAuthStrategy": "ExecutionRole",
		"dockerConfig": map[string]any{"version": "1.18", "config": `{"Labels":{"k":"v"}}`,
			"hostConfig": `{"LogConfig":{"Type":"awslogs","Config":{"awslogs-group":"/shop","awslogs-region":"eu-north-1","awslogs-stream":"web/app/` + id + `"}}}`},
	}
	task := map[string]any{
		"arn": taskARN(id), "taskClusterArn": clusterARN, "family": "shop", "version": "12", "desiredStatus": "RUNNING",
		"launchType": "FARGATE", "networkMode": "host", "cpu": 0.25, "memory": 256,
		"roleCredentials": c.credentials("task-cred-"+id, "shopTask"), "executionRoleCredentials": c.credentials("exec-cred-"+id, "shopExec"),
		"containers": []any{app},
	}
	for _, f := range change {
		f(task, app)
	}
	return task
}

func TestTaskLife(t *testing.T) {
	c := newControlPlane(t)
	digest := c.image(shopImage, map[string]any{"Env": []string{"FROM_IMAGE=yes"}})
	const asm = "arn:aws:secretsmanager:eu-north-1:123456789012:secret:db-AbCdEf"
	c.secrets[asm] = `{"password":"hunter2","port":5432}`
	c.params["/shop/token"] = "t0ken"
	c.objects["conf/app.env"] = "# comment\nFROM_FILE=file\nMODE=file\n"
	h := startHost(t, c)
	type seen struct {
		env   []string
		creds map[string]any
	}
	got := make(chan seen, 1)
	h.rt.Handle("/bin/app", func(p *fake.Process) int {
		req, _ := http.NewRequest("GET", p.Getenv("AWS_CONTAINER_CREDENTIALS_FULL_URI"), nil)
		req.Header.Set("Authorization", p.Getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN"))
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			fmt.Fprintln(p.Stderr, err)
			return 1
		}
		defer resp.Body.Close()
		var creds map[string]any
		json.NewDecoder(resp.Body).Decode(&creds)
		fmt.Fprintln(p.Stdout, "first line")
		got <- seen{p.Env, creds}
		term := p.Notify(syscall.SIGTERM)
		<-term
		fmt.Fprintln(p.Stdout, "last line")
		return 7
	})
	conn := c.accept()
	if q := conn.query; q["sendCredentials"][0] != "true" || q["clusterArn"][0] != "demo" || q["protocolVersion"][0] != "2" || q["containerInstanceArn"][0] != instanceARN {
		t.Errorf("handshake query %v", q)
	}
	conn.send("HeartbeatMessage", map[string]any{"messageId": "hb-1", "healthy": true})
	if m := conn.expect("HeartbeatAckRequest"); m["messageId"] != "hb-1" {
		t.Errorf("heartbeat answer %v", m)
	}
	const id = "0f3c00000000000000000000000000aa"
	task := shopTask(c, id, func(task, app map[string]any) {
		app["secrets"] = []any{
			map[string]any{"name": "DB", "provider": "asm", "type": "ENVIRONMENT_VARIABLE", "region": testRegion, "valueFrom": asm + ":password::"},
			map[string]any{"name": "PORT", "provider": "asm", "type": "ENVIRONMENT_VARIABLE", "region": testRegion, "valueFrom": asm + ":port::"},
			map[string]any{"name": "TOKEN", "provider": "ssm", "type": "ENVIRONMENT_VARIABLE", "region": testRegion, "valueFrom": "/shop/token"},
		}
		app["environmentFiles"] = []any{map[string]any{"type": "s3", "value": "arn:aws:s3:::conf/app.env"}}
	})
	message := conn.payload(task)
	acked := map[any]bool{conn.expect("IAMRoleCredentialsAckRequest")["credentialsId"]: true, conn.expect("IAMRoleCredentialsAckRequest")["credentialsId"]: true}
	if !acked["task-cred-"+id] || !acked["exec-cred-"+id] {
		t.Errorf("acknowledged credential sets %v", acked)
	}
	if m := conn.expect("AckRequest"); m["messageId"] != message || m["cluster"] != "demo" || m["containerInstance"] != instanceARN {
		t.Errorf("ack %v", m)
	}

	pending := c.await(taskARN(id), "PENDING")
	if pending.Containers[0].ImageDigest != digest {
		t.Errorf("PENDING with digest %s, want %s", pending.Containers[0].ImageDigest, digest)
	}
	running := c.await(taskARN(id), "RUNNING")
	if r := running.Containers[0]; r.Status != "RUNNING" || !strings.HasPrefix(r.RuntimeID, id+"-") {
		t.Errorf("RUNNING container %+v", r)
	}
	s := <-got
	for _, want := range []string{
		"DB=hunter2", "PORT=5432", "TOKEN=t0ken", "MODE=prod", "FROM_IMAGE=yes", "FROM_FILE=file",
		"AWS_REGION=eu-north-1", "AWS_DEFAULT_REGION=eu-north-1", "AWS_ENDPOINT_URL=" + c.server.URL,
	} {
		if !slices.Contains(s.env, want) {
			t.Errorf("environment lacks %s", want)
		}
	}
	if s.creds["RoleArn"] != "arn:aws:iam::123456789012:role/shopTask" {
		t.Errorf("the container was served %v", s.creds["RoleArn"])
	}
	if slices.ContainsFunc(s.env, func(kv string) bool { return strings.Contains(kv, "exec-cred") }) {
		t.Error("the execution role's credentials id reached the container")
	}

	// Refresh of both roles, then stop: the last line must be delivered with
	// the new execution keys, before STOPPED.
	conn.send("IAMRoleCredentialsMessage", map[string]any{"messageId": "cr-1", "taskArn": taskARN(id), "roleType": "TaskExecution", "roleCredentials": c.credentials("exec-cred-"+id, "refreshedExec")})
	if m := conn.expect("IAMRoleCredentialsAckRequest"); m["messageId"] != "cr-1" || m["expiration"] == "" {
		t.Errorf("credentials ack %v", m)
	}
	conn.payload(map[string]any{"arn": taskARN(id), "desiredStatus": "STOPPED", "containers": []any{}})
	stopped := c.await(taskARN(id), "STOPPED")
	if e := stopped.Containers[0]; e.ExitCode == nil || *e.ExitCode != 7 || e.Status != "STOPPED" {
		t.Errorf("STOPPED container %+v", e)
	}
	c.set(func() {
		if got := c.logs["/shop web/app/"+id]; !slices.Equal(got, []string{"first line", "last line"}) {
			t.Errorf("log events %q", got)
		}
		if !slices.ContainsFunc(c.calls, func(s string) bool {
			return strings.HasPrefix(s, "ASIAREFRESHEDEXEC") && strings.HasSuffix(s, "logs:PutLogEvents")
		}) {
			t.Error("the refreshed execution role was not used for logs")
		}
		for _, call := range c.calls {
			if !strings.Contains(call, " ecs:") && strings.HasPrefix(call, "ASIAINSTANCE") {
				t.Errorf("the instance role made an execution-role call: %s", call)
			}
		}
	})
	if got := c.statuses(taskARN(id)); !slices.Equal(got, []string{"PENDING", "RUNNING", "STOPPED"}) {
		t.Errorf("reported %v", got)
	}
	select {
	case m := <-c.tcs:
		if m["type"] != "PublishMetricsRequest" {
			t.Errorf("telemetry %v", m)
		}
	case <-time.After(5 * time.Second):
		t.Error("no telemetry")
	}
	// No file keeps a key, a secret or a token.
	filepath.Walk(h.opts.DataDir, func(path string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().IsRegular() {
			b, _ := os.ReadFile(path)
			for _, secret := range []string{"secret of", "token of", "hunter2", "t0ken", "registry-password"} {
				if strings.Contains(string(b), secret) {
					t.Errorf("%s holds %q", path, secret)
				}
			}
		}
		return nil
	})
}

// Each denied action must end the task with the text that Fargate gives, in
// the task's reason and the container's.
func TestDenials(t *testing.T) {
	const asm = "arn:aws:secretsmanager:eu-north-1:123456789012:secret:db-AbCdEf"
	prefix := "ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed: "
	secret := func(provider, from string) func(task, app map[string]any) {
		return func(task, app map[string]any) {
			app["secrets"] = []any{map[string]any{"name": "S", "provider": provider, "type": "ENVIRONMENT_VARIABLE", "region": testRegion, "valueFrom": from}}
		}
	}
	tests := []struct {
		name   string
		deny   string
		change func(task, app map[string]any)
		want   string
	}{
		{name: "registry token", deny: "ecr:GetAuthorizationToken",
			want: prefix + "unable to retrieve ecr registry auth: service call has been retried 1 time(s): AccessDeniedException: " + denial("ecr:GetAuthorizationToken", "")},
		{name: "manifest", deny: "ecr:BatchGetImage",
			want: "CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to resolve ref " + shopImage + ":latest: denied: " + denial("ecr:BatchGetImage", "arn:aws:ecr:eu-north-1:123456789012:repository/shop")},
		{name: "layers", deny: "ecr:GetDownloadUrlForLayer",
			want: "CannotPullContainerError: ref pull has been retried 1 time(s): failed to copy: httpReadSeeker: failed open: denied: " + denial("ecr:GetDownloadUrlForLayer", "arn:aws:ecr:eu-north-1:123456789012:repository/shop")},
		{name: "secret", deny: "secretsmanager:GetSecretValue", change: secret("asm", asm),
			want: prefix + "unable to retrieve secret from asm: service call has been retried 1 time(s): failed to fetch secret " + asm + " from secrets manager: operation error Secrets Manager: GetSecretValue, https response error StatusCode: 400, RequestID: 11111111-2222-4333-8444-555555555555, api error AccessDeniedException: " + denial("secretsmanager:GetSecretValue", asm)},
		{name: "secret ARN", change: secret("asm", "arn:aws:secretsmanager:x:1:secret:a:b"),
			want: prefix + "unable to retrieve secret from asm: an invalid ARN format for the AWS Secrets Manager secret was specified. Specify a valid ARN and try again."},
		{name: "json key", change: secret("asm", asm+":nope::"),
			want: prefix + "unable to retrieve secret from asm: retrieved secret from Secrets Manager did not contain json key nope"},
		{name: "parameter", deny: "ssm:GetParameters", change: secret("ssm", "/shop/x"),
			want: prefix + "unable to retrieve secrets from ssm: service call has been retried 1 time(s): AccessDeniedException: " + denial("ssm:GetParameters", "")},
		{name: "missing parameter", change: secret("ssm", "/shop/x"),
			want: prefix + "unable to retrieve secrets from ssm: service call has been retried 0 time(s): invalid parameters: /shop/x"},
		{name: "log stream", deny: "logs:CreateLogStream",
			want: "ResourceInitializationError: failed to validate logger args: create stream has been retried 1 times: failed to create Cloudwatch log stream: AccessDeniedException: " + denial("logs:CreateLogStream", "") + " : exit status 1"},
		{name: "log group", change: func(task, app map[string]any) {
			app["dockerConfig"] = map[string]any{"hostConfig": `{"LogConfig":{"Type":"awslogs","Config":{"awslogs-group":"/none","awslogs-region":"eu-north-1","awslogs-stream":"s"}}}`}
		},
			want: "ResourceInitializationError: failed to validate logger args: create stream has been retried 1 times: failed to create Cloudwatch log stream: ResourceNotFoundException: The specified log group does not exist. : exit status 1"},
		{name: "no execution role", change: func(task, app map[string]any) { delete(task, "executionRoleCredentials") },
			want: prefix + "unable to find execution role credentials"},
		{name: "no image", change: func(task, app map[string]any) { app["image"] = shopImage + ":nope" },
			want: "CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to resolve ref " + shopImage + ":nope: manifest_unknown: Requested image not found"},
		{name: "unsupported", change: func(task, app map[string]any) { app["links"] = []string{"other"} },
			want: "ResourceInitializationError: this container instance cannot run the task: container app: links is not supported"},
	}
	for i, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := newControlPlane(t)
			c.image(shopImage, nil)
			c.secrets[asm] = `{"password":"hunter2"}`
			c.denied[test.deny] = true
			startHost(t, c)
			conn := c.accept()
			id := fmt.Sprintf("denied%026d", i)
			if test.change == nil {
				test.change = func(task, app map[string]any) {}
			}
			conn.payload(shopTask(c, id, test.change))
			got := c.await(taskARN(id), "STOPPED")
			if got.Reason != test.want {
				t.Errorf("task reason\n got %s\nwant %s", got.Reason, test.want)
			}
			if len(got.Containers) != 1 || got.Containers[0].Reason != test.want && test.name != "unsupported" {
				t.Errorf("containers %+v", got.Containers)
			}
			if got.Containers[0].ExitCode != nil {
				t.Error("a container that never ran has an exit code")
			}
		})
	}
}

// A report that is refused is repeated, and later ones wait behind it.
func TestReportsAreOrderedAndKept(t *testing.T) {
	c := newControlPlane(t)
	c.image(shopImage, nil)
	h := startHost(t, c)
	h.rt.Handle("/bin/app", func(p *fake.Process) int { return 0 })
	c.set(func() { c.denied["ecs:SubmitTaskStateChange"] = true })
	conn := c.accept()
	conn.payload(shopTask(c, "kept"))
	for i := 0; ; i++ {
		time.Sleep(5 * time.Millisecond)
		n := 0
		c.set(func() {
			for _, call := range c.calls {
				if strings.HasSuffix(call, "SubmitTaskStateChange") {
					n++
				}
			}
		})
		if n > 3 {
			break
		}
		if i > 1000 {
			t.Fatal("no reports")
		}
	}
	c.set(func() { c.denied["ecs:SubmitTaskStateChange"] = false; c.broken["ecs:SubmitTaskStateChange"] = 2 })
	c.await(taskARN("kept"), "STOPPED")
	if got := c.statuses(taskARN("kept")); !slices.Equal(got, []string{"PENDING", "RUNNING", "STOPPED"}) {
		t.Errorf("reported %v", got)
	}
}

func TestDependencies(t *testing.T) {
	c := newControlPlane(t)
	c.image(shopImage, nil)
	h := startHost(t, c)
	order := make(chan string, 10)
	h.rt.Handle("/bin/init", func(p *fake.Process) int { order <- "init"; return 0 })
	h.rt.Handle("/bin/app", func(p *fake.Process) int { order <- "app"; <-p.Context.Done(); return 0 })
	container := func(name string, essential bool, depends ...any) map[string]any {
		return map[string]any{"name": name, "image": shopImage, "essential": essential, "command": []string{"/bin/" + name}, "dependsOn": depends,
			"registryAuthentication": map[string]any{"type": "ecr", "ecrAuthData": map[string]any{"region": testRegion, "useExecutionRole": true}}}
	}
	conn := c.accept()
	conn.payload(shopTask(c, "deps", func(task, app map[string]any) {
		task["containers"] = []any{
			container("app", true, map[string]any{"containerName": "init", "condition": "SUCCESS"}),
			container("init", false),
		}
	}))
	running := c.await(taskARN("deps"), "RUNNING")
	var got []string
	for _, e := range running.Containers {
		got = append(got, e.ContainerName+" "+e.Status)
	}
	if want := []string{"app RUNNING", "init RUNNING", "init STOPPED"}; !slices.Equal(got, want) {
		t.Errorf("first report %v, want %v", got, want)
	}
	if a, b := <-order, <-order; a != "init" || b != "app" {
		t.Errorf("started %s before %s", a, b)
	}
	conn.payload(map[string]any{"arn": taskARN("deps"), "desiredStatus": "STOPPED"})
	stopped := c.await(taskARN("deps"), "STOPPED")
	if e := stopped.Containers[0]; e.ExitCode == nil || *e.ExitCode != 143 && *e.ExitCode != 137 {
		t.Errorf("%+v", e)
	}
}

// An agent that starts again ends what ran, reports it, keeps its ARN and its
// sequence number, and does not run a repeated payload again.
func TestRestart(t *testing.T) {
	c := newControlPlane(t)
	c.image(shopImage, nil)
	h := startHost(t, c, func(o *agent.Options) { o.StopTasksOnExit = false })
	h.rt.Handle("/bin/app", func(p *fake.Process) int { <-p.Context.Done(); return 0 })
	conn := c.accept()
	task := shopTask(c, "restart")
	conn.payload(task)
	c.await(taskARN("restart"), "RUNNING")
	if err := h.stop(); err != nil {
		t.Fatal(err)
	}
	if got := c.statuses(taskARN("restart")); slices.Contains(got, "STOPPED") {
		t.Errorf("stopping the agent stopped the task: %v", got)
	}
	h.rt = h.rt.Crash()
	h.opts.Runtime = h.rt
	h.run()
	conn = c.accept()
	stopped := c.await(taskARN("restart"), "STOPPED")
	if !strings.Contains(stopped.Reason, "agent restarted") {
		t.Errorf("reason %q", stopped.Reason)
	}
	c.set(func() {
		if n := len(c.registers); n != 2 || c.registers[1]["containerInstanceArn"] != instanceARN {
			t.Errorf("%d registrations, the second as %v", n, c.registers[n-1]["containerInstanceArn"])
		}
	})
	conn.payload(task)
	conn.expect("AckRequest")
	time.Sleep(50 * time.Millisecond)
	if got := c.statuses(taskARN("restart")); !slices.Equal(got, []string{"PENDING", "RUNNING", "STOPPED"}) {
		t.Errorf("reported %v", got)
	}
	// An old manifest is discarded without an answer.
	manifest := func(id string, timeline int) {
		conn.send("TaskManifestMessage", map[string]any{"messageId": id, "clusterArn": clusterARN, "containerInstanceArn": instanceARN, "timeline": timeline, "generatedAt": 1, "tasks": []any{}})
	}
	manifest("old", 1)
	manifest("new", 1000)
	if m := conn.expect("AckRequest"); m["messageId"] != "new" {
		t.Errorf("manifest ack %v", m)
	}
}

// A task that had no container yet begins again, once its keys, which are
// never written down, have been pushed again.
func TestRestartBeforeContainers(t *testing.T) {
	c := newControlPlane(t)
	c.image(shopImage, nil)
	c.hold = make(chan struct{})
	h := startHost(t, c, func(o *agent.Options) { o.StopTasksOnExit = false })
	h.rt.Handle("/bin/app", func(p *fake.Process) int { return 0 })
	conn := c.accept()
	conn.payload(shopTask(c, "early"))
	conn.expect("AckRequest")
	if err := h.stop(); err != nil {
		t.Fatal(err)
	}
	c.set(func() { close(c.hold); c.hold = nil; c.calls = nil })
	h.rt = h.rt.Crash()
	h.opts.Runtime = h.rt
	h.run()
	conn = c.accept()
	if conn.query["sendCredentials"][0] != "true" {
		t.Error("a fresh process did not ask for credentials")
	}
	time.Sleep(20 * time.Millisecond)
	c.set(func() {
		for _, call := range c.calls {
			if strings.Contains(call, "ecr:") {
				t.Error("a call before the credentials came")
			}
		}
	})
	for role, id := range map[string]string{"TaskApplication": "task-cred-early", "TaskExecution": "exec-cred-early"} {
		conn.send("IAMRoleCredentialsMessage", map[string]any{"messageId": role, "taskArn": taskARN("early"), "roleType": role, "roleCredentials": c.credentials(id, "again")})
		conn.expect("IAMRoleCredentialsAckRequest")
	}
	if stopped := c.await(taskARN("early"), "STOPPED"); stopped.Containers[0].ExitCode == nil || *stopped.Containers[0].ExitCode != 0 {
		t.Errorf("%+v", stopped)
	}
}

// An image that another task brought is not free for a role that may not pull.
func TestCachedImageStillNeedsPermission(t *testing.T) {
	for _, action := range []string{"ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"} {
		c := newControlPlane(t)
		c.image(shopImage, nil)
		h := startHost(t, c)
		h.rt.Handle("/bin/app", func(p *fake.Process) int { return 0 })
		conn := c.accept()
		conn.payload(shopTask(c, "first"))
		c.await(taskARN("first"), "STOPPED")
		c.set(func() { c.denied[action] = true })
		conn.payload(shopTask(c, "second"))
		if got := c.await(taskARN("second"), "STOPPED"); !strings.Contains(got.Reason, "not authorized to perform: "+action) {
			t.Errorf("%s: reason %q", action, got.Reason)
		}
	}
}

// dependsOn HEALTHY waits for the health check, whose result goes to TCS.
func TestHealth(t *testing.T) {
	c := newControlPlane(t)
	c.image(shopImage, nil)
	h := startHost(t, c)
	h.rt.Handle("/bin/db", func(p *fake.Process) int { <-p.Context.Done(); return 0 })
	h.rt.Handle("/bin/app", func(p *fake.Process) int { <-p.Context.Done(); return 0 })
	checks := 0
	h.rt.Handle("/bin/check", func(p *fake.Process) int {
		if checks++; checks < 2 {
			return 1
		}
		return 0
	})
	conn := c.accept()
	conn.payload(shopTask(c, "health", func(task, app map[string]any) {
		db := maps.Clone(app)
		db["name"], db["command"] = "db", []string{"/bin/db"}
		db["healthCheckType"] = "docker"
		db["dockerConfig"] = map[string]any{"config": `{"Healthcheck":{"Test":["CMD","/bin/check"],"Interval":5000000,"Retries":3}}`}
		app["dependsOn"] = []any{map[string]any{"containerName": "db", "condition": "HEALTHY"}}
		task["containers"] = []any{app, db}
	}))
	c.await(taskARN("health"), "RUNNING")
	for deadline := time.After(5 * time.Second); ; {
		select {
		case m := <-c.tcs:
			if m["type"] != "PublishHealthRequest" {
				continue
			}
			task := m["message"].(map[string]any)["tasks"].([]any)[0].(map[string]any)
			if container := task["containers"].([]any)[0].(map[string]any); container["containerName"] == "db" && container["healthStatus"] == "HEALTHY" {
				return
			}
		case <-deadline:
			t.Fatal("no health report")
		}
	}
}

// The metadata endpoint describes the running task.
func TestMetadata(t *testing.T) {
	c := newControlPlane(t)
	c.image(shopImage, nil)
	h := startHost(t, c)
	got := make(chan string, 1)
	h.rt.Handle("/bin/app", func(p *fake.Process) int {
		for {
			resp, err := http.Get(p.Getenv("ECS_CONTAINER_METADATA_URI_V4") + "/task")
			if err != nil {
				got <- err.Error()
				return 1
			}
			b, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if strings.Contains(string(b), `"KnownStatus":"RUNNING"`) {
				got <- string(b)
				return 0
			}
			time.Sleep(time.Millisecond)
		}
	})
	conn := c.accept()
	conn.payload(shopTask(c, "metadata"))
	var doc map[string]any
	if err := json.Unmarshal([]byte(<-got), &doc); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"TaskARN": taskARN("metadata"), "Family": "shop", "Revision": "12", "Cluster": clusterARN, "LaunchType": "FARGATE"}
	for k := range maps.Keys(want) {
		if doc[k] != want[k] {
			t.Errorf("%s is %v, want %v", k, doc[k], want[k])
		}
	}
	c.await(taskARN("metadata"), "STOPPED")
}
