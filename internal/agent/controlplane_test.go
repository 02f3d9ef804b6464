package agent_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	goruntime "runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/coder/websocket"
)

const (
	testRegion  = "eu-north-1"
	testAccount = "123456789012"
	clusterARN  = "arn:aws:ecs:eu-north-1:123456789012:cluster/demo"
	instanceARN = "arn:aws:ecs:eu-north-1:123456789012:container-instance/demo/0123456789abcdef0123456789abcdef"
)

// controlPlane speaks the server's side of the agent protocol over real
// sockets. It holds secrets by access key and refuses what is not correctly
// signed; who may do what is a list of denied actions.
type controlPlane struct {
	t      *testing.T
	server *httptest.Server

	mu        sync.Mutex
	keys      map[string]string // access key id -> secret
	denied    map[string]bool   // actions
	broken    map[string]int    // action -> how many times to answer 500
	secrets   map[string]string // Secrets Manager, by ARN
	params    map[string]string // SSM
	objects   map[string]string // S3, bucket/key
	blobs     map[string][]byte
	manifests map[string][]byte   // repository:tag or repository@digest
	groups    map[string]bool     // log groups
	logs      map[string][]string // group stream -> messages
	calls     []string            // "accessKey action"
	changes   []change
	registers []map[string]any

	conn     chan *agentConn // ACS handshakes
	tcs      chan map[string]any
	hold     chan struct{} // when set, manifests wait for it
	refuse   string        // exception for the next handshakes
	seq      int64
	password string
}

type change struct {
	Task, Status, Reason string
	Containers           []struct {
		ContainerName, RuntimeID, ImageDigest, Status, Reason string
		ExitCode                                              *int
		NetworkBindings                                       []struct{ ContainerPort, HostPort int }
	}
	Attachments []struct{ AttachmentArn, Status string }
}

func newControlPlane(t *testing.T) *controlPlane {
	c := &controlPlane{
		t: t, keys: map[string]string{"ASIAINSTANCE": "instance-secret"}, denied: map[string]bool{}, broken: map[string]int{},
		secrets: map[string]string{}, params: map[string]string{}, objects: map[string]string{}, blobs: map[string][]byte{}, manifests: map[string][]byte{},
		groups: map[string]bool{"/shop": true}, logs: map[string][]string{},
		conn: make(chan *agentConn, 16), tcs: make(chan map[string]any, 64), password: "registry-password",
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /", c.api)
	mux.HandleFunc("GET /acs/ws", c.acs)
	mux.HandleFunc("GET /tcs/ws", c.telemetry)
	mux.HandleFunc("GET /v2/", c.registry)
	mux.HandleFunc("GET /{bucket}/{key...}", c.object)
	c.server = httptest.NewServer(mux)
	t.Cleanup(c.server.Close)
	return c
}

func (c *controlPlane) set(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
}

// verify signs the request again and compares, with no code of ours.
func (c *controlPlane) verify(r *http.Request, service string, body []byte) (accessKey string, err error) {
	auth := r.Header.Get("Authorization")
	var credential, signed string
	for _, part := range strings.Split(strings.TrimPrefix(auth, "AWS4-HMAC-SHA256 "), ", ") {
		if v, ok := strings.CutPrefix(part, "Credential="); ok {
			credential = v
		}
		if v, ok := strings.CutPrefix(part, "SignedHeaders="); ok {
			signed = v
		}
	}
	scope := strings.Split(credential, "/")
	if len(scope) != 5 || scope[2] != testRegion || scope[3] != service {
		return "", fmt.Errorf("credential scope %q", credential)
	}
	c.mu.Lock()
	secret, ok := c.keys[scope[0]]
	c.mu.Unlock()
	if !ok {
		return "", fmt.Errorf("unknown access key %q", scope[0])
	}
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if err != nil {
		return "", err
	}
	again, _ := http.NewRequest(r.Method, "http://"+r.Host+r.URL.RequestURI(), nil)
	for _, name := range strings.Split(signed, ";") {
		if name == "content-length" {
			again.ContentLength = r.ContentLength
		} else if v := r.Header.Values(name); name != "host" && name != "x-amz-date" && name != "x-amz-security-token" && len(v) > 0 {
			again.Header[http.CanonicalHeaderKey(name)] = v
		}
	}
	hash := sha256.Sum256(body)
	creds := aws.Credentials{AccessKeyID: scope[0], SecretAccessKey: secret, SessionToken: r.Header.Get("X-Amz-Security-Token")}
	err = v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = service == "s3" }).
		SignHTTP(context.Background(), creds, again, hex.EncodeToString(hash[:]), service, testRegion, at)
	if err != nil {
		return "", err
	}
	if again.Header.Get("Authorization") != auth {
		return "", fmt.Errorf("signature mismatch:\n%s\n%s", auth, again.Header.Get("Authorization"))
	}
	return scope[0], nil
}

func (c *controlPlane) api(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	target, op, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	service := map[string]string{
		"AmazonEC2ContainerServiceV20141113": "ecs", "AmazonEC2ContainerRegistry_V20150921": "ecr",
		"secretsmanager": "secretsmanager", "AmazonSSM": "ssm", "Logs_20140328": "logs",
	}[target]
	fail := func(status int, code, message string) {
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		w.Header().Set("X-Amzn-RequestId", "11111111-2222-4333-8444-555555555555")
		w.WriteHeader(status)
		json.NewEncoder(w).Encode(map[string]string{"__type": code, "message": message})
	}
	key, err := c.verify(r, service, body)
	if err != nil {
		c.t.Errorf("%s %s: %v", target, op, err)
		fail(400, "InvalidSignatureException", err.Error())
		return
	}
	action := service + ":" + op
	c.mu.Lock()
	c.calls = append(c.calls, key+" "+action)
	denied := c.denied[action]
	broken := c.broken[action] > 0
	if broken {
		c.broken[action]--
	}
	c.mu.Unlock()
	var in map[string]any
	json.Unmarshal(body, &in)
	switch {
	case broken:
		fail(500, "ServerException", "try again")
	case denied:
		resource, _ := in["SecretId"].(string)
		fail(400, "AccessDeniedException", denial(action, resource))
	default:
		out, code := c.do(action, in, body)
		if code != "" {
			fail(400, code, out.(string))
			return
		}
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		json.NewEncoder(w).Encode(out)
	}
}

func denial(action, resource string) string {
	if resource == "" {
		resource = "*"
	}
	return fmt.Sprintf("User: arn:aws:sts::123456789012:assumed-role/shopExec/TASK is not authorized to perform: %s on resource: %s because no identity-based policy allows the %s action", action, resource, action)
}

func (c *controlPlane) do(action string, in map[string]any, body []byte) (any, string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	str := func(k string) string { s, _ := in[k].(string); return s }
	switch action {
	case "ecs:RegisterContainerInstance":
		c.registers = append(c.registers, in)
		attributes := append(in["attributes"].([]any), map[string]any{"name": "ecs.availability-zone", "value": "eu-north-1a"})
		return map[string]any{"containerInstance": map[string]any{"containerInstanceArn": instanceARN, "attributes": attributes}}, ""
	case "ecs:DiscoverPollEndpoint":
		return map[string]any{"endpoint": c.server.URL + "/acs/", "telemetryEndpoint": c.server.URL + "/tcs/"}, ""
	case "ecs:SubmitTaskStateChange":
		var ch change
		json.Unmarshal(body, &ch)
		c.changes = append(c.changes, ch)
		return map[string]any{"acknowledgment": "ok"}, ""
	case "ecr:GetAuthorizationToken":
		token := base64.StdEncoding.EncodeToString([]byte("AWS:" + c.password))
		return map[string]any{"authorizationData": []any{map[string]any{"authorizationToken": token, "proxyEndpoint": c.server.URL}}}, ""
	case "secretsmanager:GetSecretValue":
		v, ok := c.secrets[str("SecretId")]
		if !ok {
			return "Secrets Manager can't find the specified secret.", "ResourceNotFoundException"
		}
		return map[string]any{"SecretString": v}, ""
	case "ssm:GetParameters":
		names := in["Names"].([]any)
		if len(names) > 10 {
			return "too many names", "ValidationException"
		}
		found, invalid := []any{}, []any{}
		for _, n := range names {
			if v, ok := c.params[n.(string)]; ok {
				found = append(found, map[string]any{"Name": n, "Value": v})
			} else {
				invalid = append(invalid, n)
			}
		}
		return map[string]any{"Parameters": found, "InvalidParameters": invalid}, ""
	case "logs:CreateLogStream":
		if !c.groups[str("logGroupName")] {
			return "The specified log group does not exist.", "ResourceNotFoundException"
		}
		return map[string]any{}, ""
	case "logs:CreateLogGroup":
		c.groups[str("logGroupName")] = true
		return map[string]any{}, ""
	case "logs:PutLogEvents":
		k := str("logGroupName") + " " + str("logStreamName")
		for _, e := range in["logEvents"].([]any) {
			c.logs[k] = append(c.logs[k], e.(map[string]any)["message"].(string))
		}
		return map[string]any{}, ""
	}
	return "not served: " + action, "UnknownOperationException"
}

func (c *controlPlane) object(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	body, ok := c.objects[r.PathValue("bucket")+"/"+r.PathValue("key")]
	c.mu.Unlock()
	if key, err := c.verify(r, "s3", nil); err != nil || key == "ASIAINSTANCE" {
		c.t.Errorf("s3: %v (signed by %s)", err, key)
	}
	if !ok {
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(404)
		io.WriteString(w, `<Error><Code>NoSuchKey</Code><Message>The specified key does not exist.</Message></Error>`)
		return
	}
	io.WriteString(w, body)
}

// registry serves /v2/HOST/NAME/... as the control plane's own does.
func (c *controlPlane) registry(w http.ResponseWriter, r *http.Request) {
	user, password, _ := r.BasicAuth()
	if user != "AWS" || password != c.password {
		w.Header().Set("WWW-Authenticate", `Basic realm="x",service="ecr.amazonaws.com"`)
		w.WriteHeader(401)
		return
	}
	path := strings.TrimPrefix(r.URL.Path, "/v2/")
	c.mu.Lock()
	hold := c.hold
	c.mu.Unlock()
	if hold != nil {
		select {
		case <-hold:
		case <-r.Context().Done():
			return
		}
	}
	refuse := func(status int, code, message string) {
		w.WriteHeader(status)
		json.NewEncoder(w).Encode(map[string]any{"errors": []any{map[string]any{"code": code, "message": message}}})
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if name, ref, ok := strings.Cut(path, "/manifests/"); ok {
		if c.denied["ecr:BatchGetImage"] {
			refuse(403, "DENIED", denial("ecr:BatchGetImage", "arn:aws:ecr:eu-north-1:123456789012:repository/shop"))
			return
		}
		m, ok := c.manifests[name+" "+ref]
		if !ok {
			refuse(404, "MANIFEST_UNKNOWN", "Requested image not found")
			return
		}
		w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
		w.Write(m)
		return
	}
	if c.denied["ecr:GetDownloadUrlForLayer"] {
		refuse(403, "DENIED", denial("ecr:GetDownloadUrlForLayer", "arn:aws:ecr:eu-north-1:123456789012:repository/shop"))
		return
	}
	_, digest, _ := strings.Cut(path, "/blobs/")
	if b, ok := c.blobs[digest]; ok {
		w.Write(b)
		return
	}
	refuse(404, "BLOB_UNKNOWN", "blob unknown to registry")
}

func digestOf(b []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(b)) }

// file is one file of an image.
type file struct {
	name    string
	mode    int64
	content []byte
}

// image puts an image of one layer under HOST/NAME:latest and returns its digest.
func (c *controlPlane) image(name string, config map[string]any, files ...file) string {
	var layer bytes.Buffer
	tw := tar.NewWriter(&layer)
	for _, f := range append(files, file{"hello", 0o644, []byte("hello from " + name)}) {
		tw.WriteHeader(&tar.Header{Name: f.name, Mode: f.mode, Size: int64(len(f.content)), Typeflag: tar.TypeReg})
		tw.Write(f.content)
	}
	tw.Close()
	var packed bytes.Buffer
	zw := gzip.NewWriter(&packed)
	zw.Write(layer.Bytes())
	zw.Close()
	cfg, _ := json.Marshal(map[string]any{
		"architecture": goruntime.GOARCH, "os": "linux", "config": config,
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{digestOf(layer.Bytes())}},
	})
	manifest, _ := json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
		"config": map[string]any{"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digestOf(cfg), "size": len(cfg)},
		"layers": []any{map[string]any{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": digestOf(packed.Bytes()), "size": packed.Len()}},
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	c.blobs[digestOf(cfg)], c.blobs[digestOf(packed.Bytes())] = cfg, packed.Bytes()
	c.manifests[name+" latest"], c.manifests[name+" "+digestOf(manifest)] = manifest, manifest
	return digestOf(manifest)
}

// agentConn is one ACS connection.
type agentConn struct {
	c        *controlPlane
	ws       *websocket.Conn
	query    map[string][]string
	received chan message
	done     chan struct{}
}

type message struct {
	Type    string
	Message map[string]any
}

func (c *controlPlane) acs(w http.ResponseWriter, r *http.Request) {
	if _, err := c.verify(r, "ecs", nil); err != nil {
		c.t.Errorf("ACS handshake: %v", err)
		w.WriteHeader(403)
		return
	}
	c.mu.Lock()
	refuse := c.refuse
	c.mu.Unlock()
	if refuse != "" {
		w.WriteHeader(400)
		json.NewEncoder(w).Encode(map[string]string{refuse: "no"})
		return
	}
	ws, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	a := &agentConn{c: c, ws: ws, query: r.URL.Query(), received: make(chan message, 256), done: make(chan struct{})}
	c.conn <- a
	defer close(a.done)
	for {
		_, b, err := ws.Read(context.Background())
		if err != nil {
			return
		}
		var m message
		if err := json.Unmarshal(b, &m); err != nil {
			c.t.Errorf("frame from the agent: %v", err)
		}
		a.received <- m
	}
}

func (c *controlPlane) telemetry(w http.ResponseWriter, r *http.Request) {
	if _, err := c.verify(r, "ecs", nil); err != nil {
		c.t.Errorf("TCS handshake: %v", err)
	}
	ws, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	for {
		_, b, err := ws.Read(context.Background())
		if err != nil {
			return
		}
		header, body, ok := bytes.Cut(b, []byte("\r\n\r\n"))
		if !ok || !bytes.Contains(header, []byte("Authorization: AWS4-HMAC-SHA256")) {
			c.t.Errorf("TCS frame without a header block: %q", b)
		}
		var m map[string]any
		if err := json.Unmarshal(body, &m); err != nil {
			c.t.Errorf("TCS frame: %v", err)
		}
		select {
		case c.tcs <- m:
		default:
		}
		ws.Write(context.Background(), websocket.MessageText, []byte(`{"type":"AckPublishMetric","message":{"message":"OK"}}`))
	}
}

func (c *controlPlane) accept() *agentConn {
	c.t.Helper()
	select {
	case a := <-c.conn:
		return a
	case <-time.After(10 * time.Second):
		c.t.Fatal("the agent did not connect")
		return nil
	}
}

func (a *agentConn) send(kind string, m map[string]any) {
	a.c.t.Helper()
	b, _ := json.Marshal(map[string]any{"type": kind, "message": m})
	if err := a.ws.Write(context.Background(), websocket.MessageText, b); err != nil {
		a.c.t.Fatal(err)
	}
}

// payload sends tasks and returns the message id.
func (a *agentConn) payload(tasks ...map[string]any) string {
	a.c.t.Helper()
	a.c.mu.Lock()
	a.c.seq++
	seq := a.c.seq
	a.c.mu.Unlock()
	id := fmt.Sprintf("m-%d", seq)
	a.send("PayloadMessage", map[string]any{
		"messageId": id, "clusterArn": clusterARN, "containerInstanceArn": instanceARN,
		"generatedAt": time.Now().UnixMilli(), "seqNum": seq, "tasks": tasks,
	})
	return id
}

// expect waits for a frame of a type.
func (a *agentConn) expect(kind string) map[string]any {
	a.c.t.Helper()
	deadline := time.After(10 * time.Second)
	for {
		select {
		case m := <-a.received:
			if m.Type == kind {
				return m.Message
			}
		case <-deadline:
			a.c.t.Fatalf("no %s from the agent", kind)
		}
	}
}

// credentials mints a set whose keys the server then honours.
func (c *controlPlane) credentials(id, role string) map[string]any {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := fmt.Sprintf("ASIA%s%d", strings.ToUpper(role), len(c.keys))
	c.keys[key] = "secret of " + key
	return map[string]any{
		"credentialsId": id, "roleArn": "arn:aws:iam::123456789012:role/" + role, "accessKeyId": key,
		"secretAccessKey": "secret of " + key, "sessionToken": "token of " + key,
		"expiration": time.Now().Add(time.Hour).UTC().Format(time.RFC3339),
	}
}

// await polls the reported state changes.
func (c *controlPlane) await(task, status string) change {
	c.t.Helper()
	for deadline := time.Now().Add(15 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		c.mu.Lock()
		for _, ch := range c.changes {
			if ch.Task == task && ch.Status == status {
				c.mu.Unlock()
				return ch
			}
		}
		c.mu.Unlock()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t.Fatalf("task %s was not reported %s; changes: %+v", task, status, c.changes)
	return change{}
}

func (c *controlPlane) statuses(task string) (out []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, ch := range c.changes {
		if ch.Task == task {
			out = append(out, ch.Status)
		}
	}
	return out
}

func quiet(t *testing.T) *slog.Logger {
	if testing.Verbose() {
		return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	return slog.New(slog.DiscardHandler)
}
