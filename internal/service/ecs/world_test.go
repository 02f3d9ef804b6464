package ecs_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awsecs "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/aws/smithy-go"
	"github.com/coder/websocket"

	"github.com/remit-ecs/remit/internal/clock"
	"github.com/remit-ecs/remit/internal/gateway"
	"github.com/remit-ecs/remit/internal/service/ecs"
	"github.com/remit-ecs/remit/internal/service/ecs/hosts"
	"github.com/remit-ecs/remit/internal/service/sts"
	"github.com/remit-ecs/remit/internal/store"
	"github.com/remit-ecs/remit/internal/testkit"
)

const (
	reserved = "999999999999"
	hostKey  = "AKIAHOSTHOSTHOSTHOST"
	hostPass = "host/secret/of/the/test/kit/123456789012"
)

// world is a gateway with ECS, the hosts' websockets and the task loop.
type world struct {
	*testkit.Kit
	t    *testing.T
	svc  *ecs.Service
	root *awsecs.Client
	fake *clock.Fake // nil where the clock is real

	hostsMu sync.Mutex
	hosts   *hosts.Server
}

// restartHosts puts another server for the hosts' websockets into the place of
// the old one, whose memory is gone with it.
func (w *world) restartHosts() {
	w.hosts.Close()
	w.hostsMu.Lock()
	defer w.hostsMu.Unlock()
	w.hosts = hosts.New(w.hosts.Options)
}

// anyRole is what STS asks of IAM: every role that trust lets through exists.
type anyRole struct{}

func (anyRole) Assumable(store.Reader, string) (string, time.Duration, map[string]string, bool) {
	return "AROATESTTESTTESTTEST1", time.Hour, nil, true
}
func (anyRole) ManagedPolicy(store.Reader, string, string) bool { return false }

func newWorld(t *testing.T, fake *clock.Fake) *world {
	t.Helper()
	w := &world{t: t, fake: fake}
	var opts []testkit.Option
	if fake != nil {
		opts = append(opts, testkit.WithClock(fake))
	}
	w.Kit = testkit.New(t, func(k *testkit.Kit) []testkit.Registrar {
		w.svc = ecs.New(ecs.Options{Store: k.Store, Clock: k.Clock, Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Reserved: reserved, Secret: []byte("a secret of this test, long enough")})
		return []testkit.Registrar{w.svc, sts.New(k.Sealer, anyRole{})}
	}, opts...)
	w.Gateway.RootKeys[hostKey] = gateway.RootKey{Account: reserved, Secret: hostPass}
	w.hosts = hosts.New(hosts.Options{Gateway: w.Gateway, Tasks: w.Gateway.As(ecs.TasksPrincipal), ECS: w.svc, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	w.Server.Config.Handler = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.hostsMu.Lock()
		server := w.hosts
		w.hostsMu.Unlock()
		if strings.HasPrefix(r.URL.Path, "/acs/") || strings.HasPrefix(r.URL.Path, "/tcs/") {
			server.Handler().ServeHTTP(rw, r)
			return
		}
		w.Gateway.ServeHTTP(rw, r)
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { w.svc.Run(ctx); close(done) }()
	t.Cleanup(func() { w.hosts.Close(); cancel(); <-done })
	w.root = w.sdk(w.Root())
	return w
}

func (w *world) client(policies ...string) *awsecs.Client {
	return w.sdk(w.With(policies...))
}

// sdk is a client whose signatures are of the test's time.
func (w *world) sdk(cfg aws.Config) *awsecs.Client {
	return awsecs.NewFromConfig(cfg, func(o *awsecs.Options) { o.HTTPSignerV4 = signer{v4.NewSigner(), w.Clock} })
}

type signer struct {
	*v4.Signer
	clock clock.Clock
}

func (s signer) SignHTTP(ctx context.Context, c aws.Credentials, r *http.Request, hash, service, region string, _ time.Time, opts ...func(*v4.SignerOptions)) error {
	return s.Signer.SignHTTP(ctx, c, r, hash, service, region, s.clock.Now(), opts...)
}

// hostConfig signs as the hidden hosts do.
func (w *world) hostConfig() aws.Config {
	c := w.Root()
	c.Credentials = credentials.NewStaticCredentialsProvider(hostKey, hostPass, "")
	return c
}

func (w *world) roles() (task, execution string) {
	trust := testkit.TrustService(ecs.TasksPrincipal)
	return w.Role("app", trust), w.Role("exec", trust)
}

// fargate registers a small definition and returns its ARN.
func (w *world) fargate(family string, change func(*awsecs.RegisterTaskDefinitionInput)) string {
	w.t.Helper()
	task, execution := w.roles()
	in := &awsecs.RegisterTaskDefinitionInput{
		Family: &family, Cpu: aws.String("256"), Memory: aws.String("512"), NetworkMode: types.NetworkModeAwsvpc,
		RequiresCompatibilities: []types.Compatibility{types.CompatibilityFargate}, TaskRoleArn: &task, ExecutionRoleArn: &execution,
		ContainerDefinitions: []types.ContainerDefinition{{Name: aws.String("app"), Image: aws.String("busybox"), Command: []string{"sleep", "1"}}},
	}
	if change != nil {
		change(in)
	}
	out, err := w.root.RegisterTaskDefinition(w.t.Context(), in)
	if err != nil {
		w.t.Fatal(err)
	}
	return *out.TaskDefinition.TaskDefinitionArn
}

func vpc() *types.NetworkConfiguration {
	return &types.NetworkConfiguration{AwsvpcConfiguration: &types.AwsVpcConfiguration{Subnets: []string{"subnet-0abc"}, SecurityGroups: []string{"sg-1"}}}
}

func runInput(definition string) *awsecs.RunTaskInput {
	return &awsecs.RunTaskInput{TaskDefinition: &definition, LaunchType: types.LaunchTypeFargate, NetworkConfiguration: vpc()}
}

// run runs one task and returns it.
func (w *world) run(in *awsecs.RunTaskInput) types.Task {
	w.t.Helper()
	out, err := w.root.RunTask(w.t.Context(), in)
	if err != nil {
		w.t.Fatal(err)
	}
	if len(out.Tasks) == 0 {
		w.t.Fatalf("no task: %+v", out.Failures)
	}
	return out.Tasks[0]
}

func (w *world) describe(cluster, arn string) types.Task {
	w.t.Helper()
	out, err := w.root.DescribeTasks(w.t.Context(), &awsecs.DescribeTasksInput{Cluster: &cluster, Tasks: []string{arn}})
	if err != nil {
		w.t.Fatal(err)
	}
	if len(out.Tasks) != 1 {
		w.t.Fatalf("%s: %v", arn, out.Failures)
	}
	return out.Tasks[0]
}

// until waits for the task to be in a status.
func (w *world) until(cluster, arn, status string) types.Task {
	w.t.Helper()
	for range 400 {
		if task := w.describe(cluster, arn); *task.LastStatus == status {
			return task
		}
		w.step()
	}
	w.t.Fatalf("%s never became %s: %s", arn, status, show(w.describe(cluster, arn)))
	panic("unreachable")
}

func (w *world) step() {
	if w.fake != nil {
		w.fake.Advance(100 * time.Millisecond)
	}
	time.Sleep(10 * time.Millisecond)
}

// eventually waits for something that no document shows.
func (w *world) eventually(what string, ok func() bool) {
	w.t.Helper()
	for range 400 {
		if ok() {
			return
		}
		w.step()
	}
	w.t.Fatalf("never: %s", what)
}

func show(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(b)
}

// code is the error code of an API error, and its message.
func code(err error) (string, string) {
	var e smithy.APIError
	if !errors.As(err, &e) {
		return "", fmt.Sprint(err)
	}
	return e.ErrorCode(), e.ErrorMessage()
}

func wantError(t *testing.T, err error, wantCode, wantText string) {
	t.Helper()
	c, m := code(err)
	if err == nil || c != wantCode || !strings.Contains(m, wantText) {
		t.Errorf("got %s: %s\nwant %s: %s", c, m, wantCode, wantText)
	}
}

// agent is a host that speaks the protocol truly and runs nothing.
type agent struct {
	w       *world
	cfg     aws.Config
	api     *awsecs.Client
	cluster string
	arn     string
	conn    *websocket.Conn

	mu       sync.Mutex
	payloads []map[string]any // tasks, in order
	creds    []map[string]any // IAMRoleCredentialsMessage
	frames   []string         // types
	manifest map[string]any
	stopped  []string // tasks ended by a stop verification
	running  []string // what the agent offers at a manifest

	deaf     bool // acknowledge nothing
	passive  bool // report nothing
	closed   chan struct{}
	closeErr error
}

func capabilities(d ...string) []types.Attribute {
	var out []types.Attribute
	for _, n := range append(d, "ecs.capability.task-eni", "com.amazonaws.ecs.capability.docker-remote-api.1.18", "com.amazonaws.ecs.capability.task-iam-role") {
		out = append(out, types.Attribute{Name: aws.String(n)})
	}
	return append(out, types.Attribute{Name: aws.String(ecs.SubnetAttribute), Value: aws.String("172.31.240.0/24")}, types.Attribute{Name: aws.String("ecs.cpu-architecture"), Value: aws.String("x86_64")})
}

// newAgent registers a host with two cores and 4 GiB.
func (w *world) newAgent(cfg aws.Config, cluster string) *agent {
	w.t.Helper()
	a := &agent{w: w, cfg: cfg, api: w.sdk(cfg), cluster: cluster}
	out, err := a.register("")
	if err != nil {
		w.t.Fatal(err)
	}
	a.arn = *out.ContainerInstance.ContainerInstanceArn
	return a
}

func (a *agent) register(arn string) (*awsecs.RegisterContainerInstanceOutput, error) {
	in := &awsecs.RegisterContainerInstanceInput{
		Cluster: &a.cluster, Attributes: capabilities(),
		TotalResources: []types.Resource{
			{Name: aws.String("CPU"), Type: aws.String("INTEGER"), IntegerValue: 2048},
			{Name: aws.String("MEMORY"), Type: aws.String("INTEGER"), IntegerValue: 4096},
			{Name: aws.String("PORTS"), Type: aws.String("STRINGSET"), StringSetValue: []string{"22"}},
		},
	}
	if arn != "" {
		in.ContainerInstanceArn = &arn
	}
	return a.api.RegisterContainerInstance(a.w.t.Context(), in)
}

// dial opens a signed websocket.
func (a *agent) dial(path string, q url.Values) (*websocket.Conn, *http.Response, error) {
	ctx := a.w.t.Context()
	u := a.w.URL + path + "?" + strings.ReplaceAll(q.Encode(), "+", "%20")
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u, nil)
	if err != nil {
		return nil, nil, err
	}
	cr, err := a.cfg.Credentials.Retrieve(ctx)
	if err != nil {
		return nil, nil, err
	}
	sum := sha256.Sum256(nil)
	if err := v4.NewSigner().SignHTTP(ctx, cr, req, hex.EncodeToString(sum[:]), "ecs", a.cfg.Region, a.w.Clock.Now()); err != nil {
		return nil, nil, err
	}
	return websocket.Dial(ctx, u, &websocket.DialOptions{HTTPHeader: req.Header})
}

func (a *agent) poll(sendCredentials bool) (*http.Response, error) {
	conn, resp, err := a.dial("/acs/ws", url.Values{
		"agentHash": {"x"}, "agentVersion": {"1.105.1"}, "clusterArn": {a.cluster}, "containerInstanceArn": {a.arn},
		"dockerVersion": {"DockerVersion: 20"}, "protocolVersion": {"2"}, "seqNum": {"1"}, "sendCredentials": {fmt.Sprint(sendCredentials)},
	})
	if err != nil {
		return resp, err
	}
	conn.SetReadLimit(8 << 20)
	a.conn, a.closed = conn, make(chan struct{})
	go a.serve(conn, a.closed)
	a.w.eventually("the agent is connected", func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.manifest != nil
	})
	return resp, nil
}

// connect polls, and fails the test where that is refused.
func (a *agent) connect(sendCredentials bool) *agent {
	a.w.t.Helper()
	a.mu.Lock()
	a.manifest = nil
	a.mu.Unlock()
	if _, err := a.poll(sendCredentials); err != nil {
		a.w.t.Fatal(err)
	}
	a.w.t.Cleanup(func() { _ = a.conn.CloseNow() })
	return a
}

func (a *agent) serve(conn *websocket.Conn, closed chan struct{}) {
	defer close(closed)
	ctx := context.Background()
	for {
		_, b, err := conn.Read(ctx)
		if err != nil {
			a.mu.Lock()
			a.closeErr = err
			a.mu.Unlock()
			return
		}
		var e struct {
			Type    string         `json:"type"`
			Message map[string]any `json:"message"`
		}
		if err := json.Unmarshal(b, &e); err != nil {
			a.w.t.Errorf("frame %s: %v", b, err)
			return
		}
		a.mu.Lock()
		a.frames = append(a.frames, e.Type)
		deaf, passive, running := a.deaf, a.passive, slices.Clone(a.running)
		var run []map[string]any
		switch e.Type {
		case "PayloadMessage":
			for _, t := range e.Message["tasks"].([]any) {
				a.payloads = append(a.payloads, t.(map[string]any))
				run = append(run, t.(map[string]any))
			}
		case "IAMRoleCredentialsMessage":
			a.creds = append(a.creds, e.Message)
		case "TaskManifestMessage":
			a.manifest = e.Message
		case "TaskStopVerificationAck":
			for _, t := range e.Message["stopTasks"].([]any) {
				a.stopped = append(a.stopped, t.(map[string]any)["taskArn"].(string))
			}
		}
		a.mu.Unlock()
		if deaf {
			continue
		}
		say := func(kind string, m map[string]any) {
			b, _ := json.Marshal(map[string]any{"type": kind, "message": m}) // plain values
			_ = conn.Write(ctx, websocket.MessageText, b)
		}
		id := e.Message["messageId"]
		switch e.Type {
		case "HeartbeatMessage":
			say("HeartbeatAckRequest", map[string]any{"messageId": id})
		case "IAMRoleCredentialsMessage":
			rc := e.Message["roleCredentials"].(map[string]any)
			say("IAMRoleCredentialsAckRequest", map[string]any{"messageId": id, "credentialsId": rc["credentialsId"], "expiration": rc["expiration"]})
		case "TaskManifestMessage":
			if len(running) > 0 {
				var c []any
				for _, r := range running {
					c = append(c, map[string]any{"taskArn": r, "taskClusterArn": "c", "desiredStatus": "STOPPED"})
				}
				say("TaskStopVerificationMessage", map[string]any{"messageId": id, "stopCandidates": c})
			}
			say("AckRequest", map[string]any{"cluster": a.cluster, "containerInstance": a.arn, "messageId": id})
		case "PayloadMessage":
			say("AckRequest", map[string]any{"cluster": a.cluster, "containerInstance": a.arn, "messageId": id})
			for _, t := range run {
				if !passive {
					go a.report(t)
				}
			}
		}
	}
}

// report tells of a task what a host without trouble would.
func (a *agent) report(t map[string]any) {
	arn := t["arn"].(string)
	if t["desiredStatus"] == "STOPPED" {
		_ = a.submit(arn, "STOPPED", nil)
		return
	}
	var cs []types.ContainerStateChange
	for _, c := range t["containers"].([]any) {
		cs = append(cs, types.ContainerStateChange{ContainerName: aws.String(c.(map[string]any)["name"].(string)), Status: aws.String("RUNNING"),
			RuntimeId: aws.String("r1"), ImageDigest: aws.String("sha256:00")})
	}
	_ = a.submit(arn, "RUNNING", cs)
}

func (a *agent) submit(arn, status string, cs []types.ContainerStateChange) error {
	_, err := a.api.SubmitTaskStateChange(context.Background(), &awsecs.SubmitTaskStateChangeInput{Cluster: &a.cluster, Task: &arn, Status: &status, Containers: cs})
	return err
}

// payload waits for the n-th task that was pushed.
func (a *agent) payload(n int) map[string]any {
	a.w.t.Helper()
	var p map[string]any
	a.w.eventually(fmt.Sprintf("payload %d", n), func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		if len(a.payloads) > n {
			p = a.payloads[n]
		}
		return p != nil
	})
	return p
}

func (a *agent) count(kind string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	n := 0
	for _, k := range a.frames {
		if k == kind {
			n++
		}
	}
	return n
}
