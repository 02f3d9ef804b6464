package refusal

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/audit"
	"github.com/remit-ecs/remit/internal/id"
	"github.com/remit-ecs/remit/internal/testkit/whole"
)

// suite is one control plane that all subjects live in.
type suite struct {
	*whole.System
	root    aws.Config
	assumer aws.Config
	nobody  *role
	state   *sql.DB // the control plane's own file, read only
	read    map[string]int64
	records map[string]*audit.Record // by request id

	iam     *iam.Client
	kms     *kms.Client
	ecs     *ecs.Client
	ecr     *ecr.Client
	s3      *s3.Client
	logs    *cloudwatchlogs.Client
	secrets *secretsmanager.Client
	ssm     *ssm.Client
}

func newSuite(t *testing.T) *suite {
	t.Helper()
	s := &suite{System: whole.Start(t, nil), read: map[string]int64{}, records: map[string]*audit.Record{}}
	s.Gateway().RecordEveryRefusal() // the suite looks for the record of each
	s.root = s.Root()
	s.root.HTTPClient = awshttp.NewBuildableClient() // one set of connections for every client made from this
	s.kms = kms.NewFromConfig(s.root)
	s.iam, s.ecs, s.ecr = iam.NewFromConfig(s.root), ecs.NewFromConfig(s.root), ecr.NewFromConfig(s.root)
	s.s3, s.logs = client("s3", s.root).(*s3.Client), cloudwatchlogs.NewFromConfig(s.root)
	s.secrets, s.ssm = secretsmanager.NewFromConfig(s.root), ssm.NewFromConfig(s.root)

	user := aws.String("refusal-assumer")
	must(s.iam.CreateUser(t.Context(), &iam.CreateUserInput{UserName: user}))
	key := must(s.iam.CreateAccessKey(t.Context(), &iam.CreateAccessKeyInput{UserName: user})).AccessKey
	s.assumer = s.as(credentials.NewStaticCredentialsProvider(*key.AccessKeyId, *key.SecretAccessKey, ""))
	s.nobody = s.newRole(t.Context())

	var err error
	if s.state, err = sql.Open("sqlite", "file:"+filepath.Join(s.Data(), "state.db")+"?_pragma=query_only(1)&_pragma=busy_timeout(5000)"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.state.Close() })
	return s
}

func (s *suite) as(c aws.CredentialsProvider) aws.Config {
	cfg := s.root
	cfg.Credentials = c
	return cfg
}

// client makes the SDK's client of a service.
func client(service string, cfg aws.Config) any {
	switch service {
	case "cloudtrail":
		return cloudtrail.NewFromConfig(cfg)
	case "ecr":
		return ecr.NewFromConfig(cfg)
	case "ecs":
		return ecs.NewFromConfig(cfg)
	case "iam":
		return iam.NewFromConfig(cfg)
	case "kms":
		return kms.NewFromConfig(cfg)
	case "logs":
		return cloudwatchlogs.NewFromConfig(cfg)
	case "s3":
		return s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true })
	case "secretsmanager":
		return secretsmanager.NewFromConfig(cfg)
	case "ssm":
		return ssm.NewFromConfig(cfg)
	case "sts":
		return sts.NewFromConfig(cfg)
	}
	return nil
}

// role is a role with a session, whose one policy the test writes; for what
// sessions may not call, a user with a key.
type role struct {
	s       *suite
	name    string
	session string // ARN of the assumed role, or of the user
	user    bool
	cfg     aws.Config
}

func (s *suite) newUser(ctx context.Context) *role {
	r := &role{s: s, name: "refusal-" + id.Hex(id.Random, 8), user: true}
	r.session = *must(s.iam.CreateUser(ctx, &iam.CreateUserInput{UserName: &r.name})).User.Arn
	key := must(s.iam.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: &r.name})).AccessKey
	r.cfg = s.as(credentials.NewStaticCredentialsProvider(*key.AccessKeyId, *key.SecretAccessKey, ""))
	return r
}

func (s *suite) newRole(ctx context.Context) *role {
	r := &role{s: s, name: "refusal-" + id.Hex(id.Random, 8)}
	trust := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::` + whole.Account + `:user/refusal-assumer"},"Action":"sts:AssumeRole"}]}`
	made := must(s.iam.CreateRole(ctx, &iam.CreateRoleInput{RoleName: &r.name, AssumeRolePolicyDocument: &trust}))
	out := must(sts.NewFromConfig(s.assumer).AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: made.Role.Arn, RoleSessionName: aws.String("test")}))
	c := out.Credentials
	r.session = *out.AssumedRoleUser.Arn
	r.cfg = s.as(credentials.NewStaticCredentialsProvider(*c.AccessKeyId, *c.SecretAccessKey, *c.SessionToken))
	return r
}

// may replaces what the role is allowed: these grants and nothing else.
func (r *role) may(ctx context.Context, grants []grant, also ...statement) {
	var st []statement
	for _, g := range grants {
		st = append(st, statement{Effect: "Allow", Action: g.action, Resource: g.resource})
	}
	st = append(st, also...)
	if len(st) == 0 && r.user {
		_, _ = r.s.iam.DeleteUserPolicy(ctx, &iam.DeleteUserPolicyInput{UserName: &r.name, PolicyName: aws.String("exactly")})
		return
	}
	if len(st) == 0 {
		_, _ = r.s.iam.DeleteRolePolicy(ctx, &iam.DeleteRolePolicyInput{RoleName: &r.name, PolicyName: aws.String("exactly")})
		return
	}
	doc := must(json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": st}))
	if r.user {
		must(r.s.iam.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: &r.name, PolicyName: aws.String("exactly"), PolicyDocument: aws.String(string(doc))}))
		return
	}
	must(r.s.iam.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: &r.name, PolicyName: aws.String("exactly"), PolicyDocument: aws.String(string(doc))}))
}

type statement struct {
	Effect    string
	Action    any // a string, or several
	Resource  string
	Condition map[string]map[string]string `json:",omitempty"`
}

// answer is what came back, and what the trail says of it.
type answer struct {
	out     any
	err     error
	code    string
	message string
	status  int
	record  *audit.Record
}

// call calls an operation by its name.
// allAnswers are the operations about what nobody has: who may ask gets an error
// that begins so.
var allAnswers = map[string]string{"iam:GetLoginProfile": "Login Profile for User", "iam:DeleteLoginProfile": "Login Profile for User"}

func (s *suite) call(t *testing.T, cfg aws.Config, op *api.OpInfo, in any) answer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if f := reflect.ValueOf(in).Elem().FieldByName("Body"); f.IsValid() {
		if body, ok := f.Interface().(io.Seeker); ok {
			must(body.Seek(0, io.SeekStart))
		}
	}
	m := reflect.ValueOf(client(op.Service.Name, cfg)).MethodByName(op.Name)
	if !m.IsValid() {
		t.Fatalf("the SDK's client of %s has no method %s", op.Service.Name, op.Name)
	}
	res := m.Call([]reflect.Value{reflect.ValueOf(ctx), reflect.ValueOf(in)})
	a := answer{}
	requestID := ""
	if err, _ := res[1].Interface().(error); err != nil {
		a.err = err
		var e smithy.APIError
		if errors.As(err, &e) {
			a.code, a.message = e.ErrorCode(), e.ErrorMessage()
			if text := allAnswers[op.Action()]; text != "" && strings.HasPrefix(a.message, text) {
				a.err, a.out = nil, reflect.New(m.Type().Out(0).Elem()).Interface() // allowed, and this is the answer
			}
		}
		var h interface {
			HTTPStatusCode() int
			ServiceRequestID() string
		}
		if !errors.As(err, &h) {
			t.Fatalf("%s was not answered: %v", op.Action(), err)
		}
		a.status, requestID = h.HTTPStatusCode(), h.ServiceRequestID()
	} else {
		a.out, a.status = res[0].Interface(), 200
		md := res[0].Elem().FieldByName("ResultMetadata").Interface().(middleware.Metadata)
		requestID, _ = awsmiddleware.GetRequestIDMetadata(md)
		if body := res[0].Elem().FieldByName("Body"); body.IsValid() {
			if c, ok := body.Interface().(io.ReadCloser); ok {
				_, _ = io.Copy(io.Discard, c)
				_ = c.Close()
			}
		}
	}
	if a.status >= 500 {
		t.Errorf("%s answered %d: %v", op.Action(), a.status, a.err)
	}
	a.record = s.recordOf(t, requestID)
	if a.record == nil {
		t.Fatalf("%s, request %s: no audit record (%v)", op.Action(), requestID, a.err)
	}
	return a
}

// recordOf finds the audit record of a request. A request whose region is not
// known for lack of a signature is in the trail of us-east-1.
func (s *suite) recordOf(t *testing.T, requestID string) *audit.Record {
	t.Helper()
	for _, region := range []string{whole.Region, "us-east-1"} {
		stream := audit.Stream(whole.Account, region)
		for {
			recs := must(s.Gateway().Store.ReadStream(t.Context(), stream, s.read[stream], 1000))
			for _, r := range recs {
				rec := must(audit.Decode(r.Data))
				s.records[rec.RequestID] = rec
				s.read[stream] = r.Seq
			}
			if len(recs) == 0 {
				break
			}
		}
	}
	r := s.records[requestID]
	clear(s.records)
	return r
}

// snapshot tells states apart: the revision of each shard of documents, the end
// of each stream but the trail, and how many files of bytes there are.
func (s *suite) snapshot(t *testing.T) map[string]int64 {
	t.Helper()
	state := map[string]int64{}
	rows := must(s.state.QueryContext(t.Context(), "SELECT shard, rev FROM seq UNION ALL SELECT stream, next FROM stream WHERE stream NOT LIKE 'trail/%'"))
	defer rows.Close()
	for rows.Next() {
		var shard string
		var rev int64
		if err := rows.Scan(&shard, &rev); err != nil {
			t.Fatal(err)
		}
		state[shard] = rev
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	_ = filepath.WalkDir(filepath.Join(s.Data(), "blobs"), func(_ string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			state["files"]++
		}
		return nil
	})
	return state
}

// unchanged runs a request that is to be refused and checks that it changed
// nothing. Background work may change something meanwhile; it does not do so
// every time.
func (s *suite) unchanged(t *testing.T, what string, refused func() answer) answer {
	t.Helper()
	for attempt := 0; ; attempt++ {
		before := s.snapshot(t)
		a := refused()
		after := s.snapshot(t)
		// An answer about several things did those that are allowed.
		if a.err == nil || maps.Equal(before, after) {
			return a
		}
		if attempt == 3 {
			t.Errorf("%s: the request was answered %v and changed something:\n%v\n%v", what, a.err, before, after)
			return a
		}
	}
}

// setupError is what must panics with; subtests turn it into a failure.
type setupError struct{ error }

func must[T any](v T, err error) T {
	if err != nil {
		panic(setupError{err})
	}
	return v
}

// guard fails the test where must panicked.
func guard(t *testing.T) {
	if p := recover(); p != nil {
		e, ok := p.(setupError)
		if !ok {
			panic(p)
		}
		t.Fatalf("preparing: %v", e.error)
	}
}

func (a answer) String() string {
	if a.err == nil {
		return "allowed"
	}
	return fmt.Sprintf("%d %s: %s", a.status, a.code, a.message)
}
