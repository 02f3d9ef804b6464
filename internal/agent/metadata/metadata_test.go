package metadata

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/config"
)

const (
	taskARN     = "arn:aws:ecs:us-east-1:111122223333:task/demo/0f3c0d5e8a9b4c1d8e7f6a5b4c3d2e1f"
	taskRoleARN = "arn:aws:iam::111122223333:role/app"
	taskCredsID = "6f1b7b2e-3c58-4b7e-9d55-2d1f0a9c8e11"
	execCredsID = "b0c1d2e3-0000-4444-8888-aaaabbbbcccc"
)

func credentialsOf(id, key string) Credentials {
	return Credentials{
		ID: id, RoleARN: taskRoleARN, AccessKeyID: key, SecretAccessKey: "secret of " + key, SessionToken: "token of " + key,
		// A zone and a fraction: neither may be in the answer.
		Expiration: time.Date(2026, 11, 22, 1, 59, 59, 123, time.FixedZone("", 2*3600)),
	}
}

func mustSet(t testing.TB, task *Task, role RoleType, c Credentials) {
	t.Helper()
	if err := task.SetCredentials(role, c); err != nil {
		t.Fatal(err)
	}
}

func ask(h http.Handler, method, target string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

const goodBody = `{"RoleArn":"arn:aws:iam::111122223333:role/app","AccessKeyId":"ASIA1","SecretAccessKey":"secret of ASIA1","Token":"token of ASIA1","Expiration":"2026-11-21T23:59:59Z"}`

func TestCredentialsAnswers(t *testing.T) {
	none := NewTask(taskARN)
	task := NewTask(taskARN)
	mustSet(t, task, TaskApplication, credentialsOf(taskCredsID, "ASIA1"))
	mustSet(t, task, TaskExecution, credentialsOf(execCredsID, "ASIA2"))
	pending := NewTask(taskARN)
	mustSet(t, pending, TaskApplication, Credentials{ID: taskCredsID})

	for _, c := range []struct {
		name, target string
		task         *Task
		status       int
		body         string
	}{
		{"v2", "/v2/credentials/" + taskCredsID, task, 200, goodBody},
		{"v1", "/v1/credentials?id=" + taskCredsID, task, 200, goodBody},
		{"v2 without id", "/v2/credentials/", task, 400, `{"code":"NoIdInRequest","message":"CredentialsV2Request: No Credential ID in the request","HTTPErrorCode":400}`},
		{"v2 without slash", "/v2/credentials", task, 400, `{"code":"NoIdInRequest","message":"CredentialsV2Request: No Credential ID in the request","HTTPErrorCode":400}`},
		{"v1 without id", "/v1/credentials", task, 400, `{"code":"NoIdInRequest","message":"CredentialsV1Request: No Credential ID in the request","HTTPErrorCode":400}`},
		{"v1 with a bad query", "/v1/credentials?id=%zz", task, 400, `{"code":"NoIdInRequest","message":"CredentialsV1Request: No Credential ID in the request","HTTPErrorCode":400}`},
		{"unknown id", "/v2/credentials/x", task, 400, `{"code":"InvalidIdInRequest","message":"CredentialsV2Request: Credentials not found","HTTPErrorCode":400}`},
		{"unknown id, v1", "/v1/credentials?id=x", task, 400, `{"code":"InvalidIdInRequest","message":"CredentialsV1Request: Credentials not found","HTTPErrorCode":400}`},
		{"more than an id", "/v2/credentials/" + taskCredsID + "/", task, 400, `{"code":"InvalidIdInRequest","message":"CredentialsV2Request: Credentials not found","HTTPErrorCode":400}`},
		{"execution role", "/v2/credentials/" + execCredsID, task, 400, `{"code":"InvalidIdInRequest","message":"CredentialsV2Request: Credentials not found","HTTPErrorCode":400}`},
		{"keys not here yet", "/v2/credentials/" + taskCredsID, pending, 503, `{"code":"CredentialsUninitialized","message":"CredentialsV2Request: Credentials uninitialized for ID","HTTPErrorCode":503}`},
		{"no credentials", "/v2/credentials/" + taskCredsID, none, 400, `{"code":"InvalidIdInRequest","message":"CredentialsV2Request: Credentials not found","HTTPErrorCode":400}`},
		{"no credentials, no id", "/v2/credentials/", none, 400, `{"code":"NoIdInRequest","message":"CredentialsV2Request: No Credential ID in the request","HTTPErrorCode":400}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := ask(c.task.Handler(), "GET", c.target)
			if w.Code != c.status || w.Body.String() != c.body {
				t.Errorf("%d %s\nwant %d %s", w.Code, w.Body, c.status, c.body)
			}
			if got := w.Header().Get("Content-Type"); got != "application/json" {
				t.Errorf("Content-Type %q", got)
			}
		})
	}
}

func TestOtherRequests(t *testing.T) {
	task := NewTask(taskARN)
	mustSet(t, task, TaskApplication, credentialsOf(taskCredsID, "ASIA1"))
	for _, c := range []struct {
		method, target string
		status         int
	}{
		{"PUT", "/v2/credentials/" + taskCredsID, 405},
		{"HEAD", "/v2/credentials/" + taskCredsID, 200},
		{"GET", "/", 404},
		{"GET", "/v2/credentialsx/" + taskCredsID, 404},
		{"GET", "/v2/metadata", 404},
		{"GET", "/v4/", 404},
		{"GET", "/v4/x/y", 404},
	} {
		w := ask(task.Handler(), c.method, c.target)
		if w.Code != c.status {
			t.Errorf("%s %s: %d, want %d", c.method, c.target, w.Code, c.status)
		}
		if strings.Contains(w.Body.String(), "secret of") {
			t.Errorf("%s %s shows keys", c.method, c.target)
		}
	}
}

func TestCredentialsChange(t *testing.T) {
	task := NewTask(taskARN)
	path := "/v2/credentials/" + taskCredsID
	mustSet(t, task, TaskApplication, credentialsOf(taskCredsID, "ASIA1"))
	mustSet(t, task, TaskApplication, credentialsOf(taskCredsID, "ASIA2"))
	if w := ask(task.Handler(), "GET", path); !strings.Contains(w.Body.String(), "ASIA2") {
		t.Errorf("after a refresh: %s", w.Body)
	}
	task.DropCredentials()
	if w := ask(task.Handler(), "GET", path); w.Code != 400 || !strings.Contains(w.Body.String(), "InvalidIdInRequest") {
		t.Errorf("after the end: %d %s", w.Code, w.Body)
	}
	if err := task.SetCredentials(TaskApplication, credentialsOf("", "ASIA1")); err == nil {
		t.Error("an empty credentials id was accepted")
	}
	if err := task.SetCredentials("Other", credentialsOf(taskCredsID, "ASIA1")); err == nil {
		t.Error("an unknown role type was accepted")
	}
	for _, incomplete := range []func(*Credentials){
		func(c *Credentials) { c.AccessKeyID = "" }, func(c *Credentials) { c.SecretAccessKey = "" },
		func(c *Credentials) { c.SessionToken = "" }, func(c *Credentials) { c.Expiration = time.Time{} },
	} {
		c := credentialsOf(taskCredsID, "ASIA3")
		incomplete(&c)
		mustSet(t, task, TaskApplication, c)
		if w := ask(task.Handler(), "GET", path); w.Code != 503 {
			t.Errorf("incomplete keys: %d", w.Code)
		}
	}
}

func TestCredentialsDoNotPrint(t *testing.T) {
	c := credentialsOf(taskCredsID, "ASIA1")
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		for _, v := range []any{c, &c, struct{ C Credentials }{c}} {
			if s := fmt.Sprintf(verb, v); strings.Contains(s, "secret of") || strings.Contains(s, "token of") || strings.Contains(s, taskCredsID) {
				t.Errorf("%s prints %s", verb, s)
			}
		}
	}
}

func TestAudit(t *testing.T) {
	task := NewTask(taskARN)
	var events []Event
	task.SetAudit(func(e Event) { events = append(events, e) })
	mustSet(t, task, TaskApplication, credentialsOf(taskCredsID, "ASIA1"))
	mustSet(t, task, TaskExecution, credentialsOf(execCredsID, "ASIA2"))
	for _, target := range []string{"/v2/credentials/" + taskCredsID, "/v2/credentials/" + execCredsID, "/v1/credentials?id=guess", "/v4/x"} {
		ask(task.Handler(), "GET", target, "User-Agent", "test")
	}
	want := []Event{
		{Type: "GetCredentials", Status: 200, Path: "/v2/credentials"},
		{Type: "GetCredentialsExecutionRole", Status: 400, Path: "/v2/credentials"},
		{Type: "GetCredentialsInvalidRoleType", Status: 400, Path: "/v1/credentials"},
	}
	if len(events) != len(want) {
		t.Fatalf("%d events, want %d: %+v", len(events), len(want), events)
	}
	for i, e := range events {
		if e.Time.IsZero() || e.TaskARN != taskARN || e.RemoteAddr == "" || e.UserAgent != "test" {
			t.Errorf("event %+v", e)
		}
		if e.Type != want[i].Type || e.Status != want[i].Status || e.Path != want[i].Path {
			t.Errorf("event %+v, want %+v", e, want[i])
		}
	}
}

func TestRequestLimit(t *testing.T) {
	task := NewTask(taskARN)
	mustSet(t, task, TaskApplication, credentialsOf(taskCredsID, "ASIA1"))
	h := task.Handler()
	passed, refused := 0, 0
	for range 200 {
		w := ask(h, "GET", "/v2/credentials/"+taskCredsID)
		switch {
		case w.Code == 200:
			passed++
		case w.Code == 429 && w.Body.String() == "You have reached maximum request limit.":
			refused++
		default:
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
	if passed < requestBurst || refused == 0 {
		t.Errorf("%d passed, %d refused", passed, refused)
	}
}

func TestBucket(t *testing.T) {
	now := time.Unix(1000, 0)
	var b bucket
	b.init(40, 60, now)
	take := func(n int) (passed int) {
		for range n {
			if b.take(now) {
				passed++
			}
		}
		return passed
	}
	for _, step := range []struct {
		after    time.Duration
		ask, get int
	}{
		{0, 100, 60}, {0, 1, 0}, {time.Second, 100, 40}, {25 * time.Millisecond, 5, 1},
		{time.Hour, 100, 60}, {-time.Minute, 5, 0}, {time.Minute + time.Second, 100, 40},
	} {
		now = now.Add(step.after)
		if got := take(step.ask); got != step.get {
			t.Errorf("at %v: %d of %d passed, want %d", now, got, step.ask, step.get)
		}
	}
}

func sampleMetadata() TaskMetadata {
	at := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	cpu, memory, unit, mib, index, restarts := 0.25, int64(512), 10.0, int64(128), 0, 0
	return TaskMetadata{
		Cluster: "arn:aws:ecs:us-east-1:111122223333:cluster/demo", TaskARN: taskARN, Family: "web", Revision: "3",
		ServiceName: "shop", DesiredStatus: "RUNNING", KnownStatus: "RUNNING",
		Limits: &Limits{CPU: &cpu, Memory: &memory}, PullStartedAt: &at, PullStoppedAt: &at,
		AvailabilityZone: "us-east-1a", LaunchType: "EC2", VPCID: "vpc-1",
		TaskTags: map[string]string{"team": "blue"},
		Containers: []ContainerMetadata{{
			MetadataID: "m-web", DockerID: "d1", Name: "web", DockerName: "ecs-web-3-web", Image: "web:1", ImageID: "sha256:aa",
			Labels: map[string]string{"com.amazonaws.ecs.container-name": "web"}, DesiredStatus: "RUNNING", KnownStatus: "RUNNING",
			Limits: Limits{CPU: &unit, Memory: &mib}, CreatedAt: &at, StartedAt: &at, Type: "NORMAL",
			LogDriver: "awslogs", LogOptions: map[string]string{"awslogs-group": "web"},
			ContainerARN: "arn:aws:ecs:us-east-1:111122223333:container/demo/c1",
			Networks: []Network{{NetworkMode: "awsvpc", IPv4Addresses: []string{"172.31.240.2"}, AttachmentIndex: &index,
				MACAddress: "0a:58:ac:1f:f0:02", IPv4SubnetCIDRBlock: "172.31.240.0/20", SubnetGatewayIPv4Address: "172.31.240.1/20"}},
			RestartCount: &restarts,
		}, {DockerID: "d2", Name: "~internal~ecs~pause", Type: "CNI_PAUSE"}},
	}
}

func TestMetadataDocuments(t *testing.T) {
	task := NewTask(taskARN)
	if w := ask(task.Handler(), "GET", "/v4/m-web"); w.Code != 404 {
		t.Errorf("before any metadata: %d", w.Code)
	}
	if err := task.SetMetadata(sampleMetadata()); err != nil {
		t.Fatal(err)
	}
	task.SetStats(func(_ context.Context, dockerID string) (json.RawMessage, error) {
		if dockerID == "d2" {
			return nil, errors.New("gone")
		}
		return json.RawMessage(`{"read":"now"}`), nil
	})
	const container = `{"DockerId":"d1","Name":"web","DockerName":"ecs-web-3-web","Image":"web:1","ImageID":"sha256:aa","Labels":{"com.amazonaws.ecs.container-name":"web"},"DesiredStatus":"RUNNING","KnownStatus":"RUNNING","Limits":{"CPU":10,"Memory":128},"CreatedAt":"2026-11-22T00:00:00Z","StartedAt":"2026-11-22T00:00:00Z","Type":"NORMAL",`
	const v4Container = container + `"LogDriver":"awslogs","LogOptions":{"awslogs-group":"web"},"ContainerARN":"arn:aws:ecs:us-east-1:111122223333:container/demo/c1","Networks":[{"NetworkMode":"awsvpc","IPv4Addresses":["172.31.240.2"],"AttachmentIndex":0,"MACAddress":"0a:58:ac:1f:f0:02","IPv4SubnetCIDRBlock":"172.31.240.0/20","SubnetGatewayIpv4Address":"172.31.240.1/20"}],"RestartCount":0}`
	const v3Container = container + `"Networks":[{"NetworkMode":"awsvpc","IPv4Addresses":["172.31.240.2"]}]}`
	const pause = `{"DockerId":"d2","Name":"~internal~ecs~pause","DockerName":"","Image":"","ImageID":"","DesiredStatus":"","KnownStatus":"","Limits":{},"Type":"CNI_PAUSE"}`
	const head = `{"Cluster":"arn:aws:ecs:us-east-1:111122223333:cluster/demo","TaskARN":"` + taskARN + `","Family":"web","Revision":"3",`
	const status = `"DesiredStatus":"RUNNING","KnownStatus":"RUNNING","Limits":{"CPU":0.25,"Memory":512},"PullStartedAt":"2026-11-22T00:00:00Z","PullStoppedAt":"2026-11-22T00:00:00Z","AvailabilityZone":"us-east-1a",`
	const v4Task = head + `"ServiceName":"shop",` + status + `"LaunchType":"EC2","VPCID":"vpc-1","Containers":[` + v4Container + `,` + pause + `]`
	const v3Task = head + status + `"Containers":[` + v3Container + `,` + pause + `]`
	const tags = `,"TaskTags":{"team":"blue"}`
	const fault = `,"FaultInjectionEnabled":false}`

	for _, c := range []struct {
		target string
		status int
		body   string
	}{
		{"/v4/m-web", 200, v4Container},
		{"/v4/m-web/task", 200, v4Task + fault},
		{"/v4/m-web/taskWithTags", 200, v4Task + tags + fault},
		{"/v4/m-web/stats", 200, `{"read":"now"}`},
		{"/v4/m-web/task/stats", 200, `{"d1":{"read":"now"},"d2":null}`},
		{"/v3/m-web", 200, v3Container},
		{"/v3/m-web/task", 200, v3Task + `}`},
		{"/v3/m-web/taskWithTags", 200, v3Task + tags + `}`},
		{"/v4/x", 404, `"V4 container metadata handler: unable to get container ID from request: unable to get docker ID from v3 endpoint ID: x"`},
		{"/v4/x/task", 404, `"V4 task metadata handler: unable to get task arn from request: unable to get task Arn from v3 endpoint ID: x"`},
		{"/v4/x/stats", 404, `"V4 container stats handler: unable to get task arn from request: unable to get task Arn from v3 endpoint ID: x"`},
		{"/v4/x/task/stats", 404, `"V4 task stats handler: unable to get task arn from request: unable to get task Arn from v3 endpoint ID: x"`},
		{"/v3/x", 500, `"V3 container metadata handler: unable to get container ID from request: unable to get docker ID from v3 endpoint ID: x"`},
		{"/v3/x/task/stats", 400, `"V3 task stats handler: unable to get task arn from request: unable to get task Arn from v3 endpoint ID: x"`},
		{"/v4/m-web/other", 404, "404 page not found\n"},
		{"/v4//task", 404, `"V4 task metadata handler: unable to get task arn from request: unable to get task Arn from v3 endpoint ID: "`},
	} {
		if w := ask(task.Handler(), "GET", c.target); w.Code != c.status || w.Body.String() != c.body {
			t.Errorf("%s: %d %s\nwant %d %s", c.target, w.Code, w.Body, c.status, c.body)
		}
	}
}

func TestStatsFailure(t *testing.T) {
	task := NewTask(taskARN)
	if err := task.SetMetadata(sampleMetadata()); err != nil {
		t.Fatal(err)
	}
	if w := ask(task.Handler(), "GET", "/v4/m-web/stats"); w.Code != 200 || w.Body.String() != "null" {
		t.Errorf("without statistics: %d %s", w.Code, w.Body)
	}
	task.SetStats(func(context.Context, string) (json.RawMessage, error) { return json.RawMessage(`{"broken`), nil })
	if w := ask(task.Handler(), "GET", "/v4/m-web/stats"); w.Code != 500 || w.Body.String() != `"Unable to get container stats for: d1"` {
		t.Errorf("broken statistics: %d %s", w.Code, w.Body)
	}
	if w := ask(task.Handler(), "GET", "/v4/m-web/task/stats"); w.Code != 200 || w.Body.String() != `{"d1":null,"d2":null}` {
		t.Errorf("broken statistics of the task: %d %s", w.Code, w.Body)
	}
}

func TestLoopback(t *testing.T) {
	task := NewTask(taskARN)
	l, err := Listen(task)
	if err != nil {
		t.Fatal(err)
	}
	if l.CredentialsURI() != "" {
		t.Errorf("a task without a role is told %s", l.CredentialsURI())
	}
	mustSet(t, task, TaskApplication, credentialsOf(taskCredsID, "ASIA1"))
	if err := task.SetMetadata(sampleMetadata()); err != nil {
		t.Fatal(err)
	}
	request := func(url, token string) (int, string) {
		r, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
		if err != nil {
			t.Fatal(err)
		}
		if token != "" {
			r.Header.Set("Authorization", token)
		}
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(b)
	}
	const unauthorized = `{"code":"Unauthorized","message":"CredentialsV2Request: The Authorization header does not carry AWS_CONTAINER_AUTHORIZATION_TOKEN","HTTPErrorCode":401}`
	for _, token := range []string{"", "wrong", l.Token() + "x", l.Token()[1:], "Bearer " + l.Token()} {
		if status, body := request(l.CredentialsURI(), token); status != 401 || body != unauthorized {
			t.Errorf("token %q: %d %s", token, status, body)
		}
	}
	// Other processes use up only what is theirs.
	for range 100 {
		request(l.CredentialsURI(), "")
	}
	if status, body := request(l.CredentialsURI(), l.Token()); status != 200 || body != goodBody {
		t.Errorf("with the token: %d %s", status, body)
	}
	if u, err := url.Parse(l.URL()); err != nil || u.Hostname() != "127.0.0.1" {
		t.Errorf("listens on %s", l.URL())
	}
	for range 2 {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := http.Get(l.URL()); err == nil {
		t.Error("still answers after Close")
	}
}

func TestLoopbackMetadataNeedsNoToken(t *testing.T) {
	task := NewTask(taskARN)
	if err := task.SetMetadata(sampleMetadata()); err != nil {
		t.Fatal(err)
	}
	l, err := Listen(task)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	res, err := http.Get(l.URL() + "/v4/m-web/task")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != 200 {
		t.Errorf("status %d", res.StatusCode)
	}
}

// A task that hoards connections keeps itself from its credentials, and only
// as long as it does.
func TestConnectionLimit(t *testing.T) {
	task := NewTask(taskARN)
	mustSet(t, task, TaskApplication, credentialsOf(taskCredsID, "ASIA1"))
	l, err := Listen(task)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	address := strings.TrimPrefix(l.URL(), "http://")
	var hoard []net.Conn
	closed := 0
	for range maxConnections + 20 {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		hoard = append(hoard, c)
	}
	for _, c := range hoard {
		c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			closed++
		}
		c.Close()
	}
	if closed != 20 {
		t.Errorf("%d connections refused, want 20", closed)
	}
	var status int
	for range 100 {
		r, err := http.NewRequestWithContext(t.Context(), "GET", l.CredentialsURI(), nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", l.Token())
		if res, err := http.DefaultClient.Do(r); err == nil {
			res.Body.Close()
			status = res.StatusCode
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if status != 200 {
		t.Errorf("after the hoard was dropped: %d", status)
	}
}

// The AWS SDK, configured by nothing but the environment of a container, finds
// the task role's keys.
func TestSDKDefaultChain(t *testing.T) {
	task := NewTask(taskARN)
	c := credentialsOf(taskCredsID, "ASIA1")
	c.Expiration = time.Now().Add(time.Hour).Truncate(time.Second)
	mustSet(t, task, TaskApplication, c)
	l, err := Listen(task)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	home := t.TempDir()
	for name, value := range map[string]string{
		"HOME": home, "AWS_CONFIG_FILE": home + "/config", "AWS_SHARED_CREDENTIALS_FILE": home + "/credentials",
		"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_SESSION_TOKEN": "", "AWS_PROFILE": "",
		"AWS_WEB_IDENTITY_TOKEN_FILE": "", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "",
		"AWS_EC2_METADATA_DISABLED": "true", "AWS_REGION": "us-east-1",
		"AWS_CONTAINER_CREDENTIALS_FULL_URI": l.CredentialsURI(), "AWS_CONTAINER_AUTHORIZATION_TOKEN": l.Token(),
	} {
		t.Setenv(name, value)
	}
	cfg, err := config.LoadDefaultConfig(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	got, err := cfg.Credentials.Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got.AccessKeyID != c.AccessKeyID || got.SecretAccessKey != c.SecretAccessKey || got.SessionToken != c.SessionToken || !got.CanExpire || got.Expires.After(c.Expiration) {
		t.Errorf("got key %s, expires %v", got.AccessKeyID, got.Expires)
	}

	t.Setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "wrong")
	if cfg, err = config.LoadDefaultConfig(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := cfg.Credentials.Retrieve(t.Context()); err == nil || !strings.Contains(err.Error(), "Unauthorized") {
		t.Errorf("with a wrong token: %v", err)
	}
}

// Requests during a refresh see one set of keys or the other, never a mixture.
func TestConcurrentRefresh(t *testing.T) {
	task := NewTask(taskARN)
	task.limit.rate = 0
	mustSet(t, task, TaskApplication, credentialsOf(taskCredsID, "ASIA0"))
	h := task.Handler()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 500 {
				w := ask(h, "GET", "/v2/credentials/"+taskCredsID)
				var got struct{ AccessKeyId, SecretAccessKey, Token string }
				if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
					t.Error(err)
					return
				}
				if got.SecretAccessKey != "secret of "+got.AccessKeyId || got.Token != "token of "+got.AccessKeyId {
					t.Errorf("mixed: %+v", got)
				}
			}
		})
	}
	for i := range 500 {
		mustSet(t, task, TaskApplication, credentialsOf(taskCredsID, fmt.Sprint("ASIA", i)))
		if err := task.SetMetadata(sampleMetadata()); err != nil {
			t.Error(err)
		}
	}
	wg.Wait()
}

// Keys are answered to the exact id and to nothing else; no request panics.
func FuzzHandler(f *testing.F) {
	for _, seed := range []string{
		"/v2/credentials/" + taskCredsID, "/v1/credentials?id=" + taskCredsID, "/v2/credentials/" + execCredsID,
		"/v2/credentials/..%2f" + taskCredsID, "/v2/credentials//" + taskCredsID, "/v4/m-web/task", "/v4/m-web/task/stats",
		"/v1/credentials?id=%", "/v1/credentials?id=a&id=" + taskCredsID, "/v3//", "*", "/\x00",
	} {
		f.Add(seed, "")
	}
	f.Add("/v2/credentials/"+taskCredsID, "token")
	task := NewTask(taskARN)
	task.limit.rate, task.anonymous.rate = 0, 0
	mustSet(f, task, TaskApplication, credentialsOf(taskCredsID, "ASIA1"))
	mustSet(f, task, TaskExecution, credentialsOf(execCredsID, "ASIA2"))
	if err := task.SetMetadata(sampleMetadata()); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, target, token string) {
		u, err := url.ParseRequestURI(target)
		if err != nil {
			return
		}
		r := &http.Request{Method: "GET", URL: u, Header: http.Header{"Authorization": {token}}, RemoteAddr: "192.0.2.1:1"}
		w := httptest.NewRecorder()
		task.Handler().ServeHTTP(w, r)
		exact := u.Path == "/v2/credentials/"+taskCredsID ||
			strings.HasPrefix(u.Path, "/v1/credentials") && u.Query().Get("id") == taskCredsID
		if strings.Contains(w.Body.String(), "secret of") && !exact {
			t.Errorf("%q answers keys", target)
		}
		w = httptest.NewRecorder()
		handler{task: task, token: "token"}.ServeHTTP(w, r)
		if strings.Contains(w.Body.String(), "secret of") && (!exact || token != "token") {
			t.Errorf("%q with token %q answers keys", target, token)
		}
	})
}

// BenchmarkCredentials compares the credentials endpoint, over a real
// connection, with a handler that does nothing but write the same bytes.
func BenchmarkCredentials(b *testing.B) {
	task := NewTask(taskARN)
	task.limit.rate = 1e12 // the limiter runs and never refuses
	task.limit.burst = 1e12
	task.SetAudit(func(Event) {})
	mustSet(b, task, TaskApplication, credentialsOf(taskCredsID, "ASIA1"))
	body := []byte(goodBody)
	for _, c := range []struct {
		name    string
		handler http.Handler
	}{
		{"trivial", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Write(body)
		})},
		{"credentials", task.Handler()},
	} {
		b.Run(c.name, func(b *testing.B) {
			s := httptest.NewServer(c.handler)
			defer s.Close()
			for b.Loop() {
				res, err := http.Get(s.URL + "/v2/credentials/" + taskCredsID)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode != 200 {
					b.Fatal(res.StatusCode, err)
				}
				res.Body.Close()
			}
		})
	}
}
