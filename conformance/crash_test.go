package conformance

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	logstypes "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	ecstypes "github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

const anyTrust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::000000000000:root"},"Action":"sts:AssumeRole"}]}`

// ledger is what a server has acknowledged: the name of each thing, and a check
// that it is there as it was written.
type ledger struct {
	mu     sync.Mutex
	checks []check
}

type check struct {
	name string
	test func(ctx context.Context, c aws.Config) error
}

func (l *ledger) acknowledged(name string, test func(context.Context, aws.Config) error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.checks = append(l.checks, check{name, test})
}

// writer writes one kind of thing again and again; n makes names and contents
// its own. An error means that the thing is not acknowledged: it may be there
// or not.
type writer struct {
	name  string
	write func(ctx context.Context, c aws.Config, n string) (func(context.Context, aws.Config) error, error)
}

// s3For speaks to buckets by path, as an endpoint without DNS needs it.
func s3For(c aws.Config) *s3.Client {
	return s3.NewFromConfig(c, func(o *s3.Options) { o.UsePathStyle = true })
}

func differs(what, got, want string) error {
	if got == want {
		return nil
	}
	return fmt.Errorf("%s is %.80q, want %.80q", what, got, want)
}

var writers = []writer{
	{"IAM role", func(ctx context.Context, c aws.Config, n string) (func(context.Context, aws.Config) error, error) {
		policy := `{"Version":"2012-10-17","Statement":[{"Sid":"S` + n + `","Effect":"Allow","Action":"s3:*","Resource":"*"}]}`
		api := iam.NewFromConfig(c)
		if _, err := api.CreateRole(ctx, &iam.CreateRoleInput{RoleName: aws.String("role-" + n), AssumeRolePolicyDocument: aws.String(anyTrust)}); err != nil {
			return nil, err
		}
		if _, err := api.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: aws.String("role-" + n), PolicyName: aws.String("p"), PolicyDocument: &policy}); err != nil {
			return nil, err
		}
		return func(ctx context.Context, c aws.Config) error {
			out, err := iam.NewFromConfig(c).GetRolePolicy(ctx, &iam.GetRolePolicyInput{RoleName: aws.String("role-" + n), PolicyName: aws.String("p")})
			if err != nil {
				return err
			}
			if !strings.Contains(aws.ToString(out.PolicyDocument), "S"+n) {
				return fmt.Errorf("another policy: %s", aws.ToString(out.PolicyDocument))
			}
			return nil
		}, nil
	}},
	{"ECS cluster", func(ctx context.Context, c aws.Config, n string) (func(context.Context, aws.Config) error, error) {
		_, err := ecs.NewFromConfig(c).CreateCluster(ctx, &ecs.CreateClusterInput{ClusterName: aws.String("cluster-" + n)})
		return func(ctx context.Context, c aws.Config) error {
			out, err := ecs.NewFromConfig(c).DescribeClusters(ctx, &ecs.DescribeClustersInput{Clusters: []string{"cluster-" + n}})
			if err == nil && len(out.Clusters) != 1 {
				err = fmt.Errorf("%v", out.Failures)
			}
			return err
		}, err
	}},
	{"task definition", func(ctx context.Context, c aws.Config, n string) (func(context.Context, aws.Config) error, error) {
		// One family: its revisions count up without a gap or a repeat.
		out, err := ecs.NewFromConfig(c).RegisterTaskDefinition(ctx, &ecs.RegisterTaskDefinitionInput{
			Family:               aws.String("family"),
			ContainerDefinitions: []ecstypes.ContainerDefinition{{Name: aws.String("c-" + n), Image: aws.String("image"), Memory: aws.Int32(32)}},
		})
		if err != nil {
			return nil, err
		}
		arn := out.TaskDefinition.TaskDefinitionArn
		return func(ctx context.Context, c aws.Config) error {
			out, err := ecs.NewFromConfig(c).DescribeTaskDefinition(ctx, &ecs.DescribeTaskDefinitionInput{TaskDefinition: arn})
			if err != nil {
				return err
			}
			return differs(aws.ToString(arn), aws.ToString(out.TaskDefinition.ContainerDefinitions[0].Name), "c-"+n)
		}, nil
	}},
	{"secret", func(ctx context.Context, c aws.Config, n string) (func(context.Context, aws.Config) error, error) {
		_, err := secretsmanager.NewFromConfig(c).CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: aws.String("secret-" + n), SecretString: aws.String("value " + n)})
		return func(ctx context.Context, c aws.Config) error {
			out, err := secretsmanager.NewFromConfig(c).GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: aws.String("secret-" + n)})
			if err != nil {
				return err
			}
			return differs("the value", aws.ToString(out.SecretString), "value "+n)
		}, err
	}},
	{"log events", func(ctx context.Context, c aws.Config, n string) (func(context.Context, aws.Config) error, error) {
		api := cloudwatchlogs.NewFromConfig(c)
		group, stream := aws.String("/crash"), aws.String("stream-"+n)
		if _, err := api.CreateLogGroup(ctx, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: group}); err != nil && !strings.Contains(err.Error(), "ResourceAlreadyExists") {
			return nil, err
		}
		if _, err := api.CreateLogStream(ctx, &cloudwatchlogs.CreateLogStreamInput{LogGroupName: group, LogStreamName: stream}); err != nil {
			return nil, err
		}
		var events []logstypes.InputLogEvent
		now := time.Now().UnixMilli()
		for i := range 5 {
			events = append(events, logstypes.InputLogEvent{Timestamp: aws.Int64(now + int64(i)), Message: aws.String(fmt.Sprintf("event %d of %s", i, n))})
		}
		_, err := api.PutLogEvents(ctx, &cloudwatchlogs.PutLogEventsInput{LogGroupName: group, LogStreamName: stream, LogEvents: events})
		return func(ctx context.Context, c aws.Config) error {
			out, err := cloudwatchlogs.NewFromConfig(c).GetLogEvents(ctx, &cloudwatchlogs.GetLogEventsInput{LogGroupName: group, LogStreamName: stream, StartFromHead: aws.Bool(true)})
			if err != nil {
				return err
			}
			if len(out.Events) != len(events) {
				return fmt.Errorf("%d events, want %d", len(out.Events), len(events))
			}
			for i, e := range out.Events {
				if err := differs("an event", aws.ToString(e.Message), *events[i].Message); err != nil {
					return err
				}
			}
			return nil
		}, err
	}},
	{"S3 object", func(ctx context.Context, c aws.Config, n string) (func(context.Context, aws.Config) error, error) {
		const bucket = "crash-bucket"
		if _, err := s3For(c).CreateBucket(ctx, &s3.CreateBucketInput{Bucket: aws.String(bucket)}); err != nil && !strings.Contains(err.Error(), "BucketAlready") {
			return nil, err
		}
		body := bytes.Repeat([]byte(n+" "), 1+rand.IntN(20_000))
		_, err := s3For(c).PutObject(ctx, &s3.PutObjectInput{Bucket: aws.String(bucket), Key: &n, Body: bytes.NewReader(body)})
		return func(ctx context.Context, c aws.Config) error {
			out, err := s3For(c).GetObject(ctx, &s3.GetObjectInput{Bucket: aws.String(bucket), Key: &n})
			if err != nil {
				return err
			}
			defer out.Body.Close()
			got, err := io.ReadAll(out.Body)
			if err == nil && !bytes.Equal(got, body) {
				err = fmt.Errorf("%d other bytes, want %d", len(got), len(body))
			}
			return err
		}, err
	}},
}

// writeUntilKilled lets every writer write until the server is gone, which is
// at a moment that nothing has prepared for.
func writeUntilKilled(t *testing.T, s *server, l *ledger, round int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	// A client of its own: its connections die with this server.
	s.client = &http.Client{Transport: &http.Transport{}}
	root := s.root()
	killed := make(chan struct{})
	var all sync.WaitGroup
	for _, w := range writers {
		all.Go(func() {
			for i := 0; ; i++ {
				n := fmt.Sprintf("%dx%d", round, i)
				test, err := w.write(ctx, root, n)
				if err == nil {
					l.acknowledged(w.name+" "+n, test)
					continue
				}
				select {
				case <-killed:
				case <-time.After(5 * time.Second):
					t.Errorf("%s %s, from a server that lives: %v", w.name, n, err)
				}
				return
			}
		})
	}
	time.Sleep(time.Duration(100+rand.IntN(900)) * time.Millisecond)
	s.kill()
	close(killed)
	all.Wait()
}

// TestCrashKeepsWhatWasAcknowledged kills the server in the middle of writes to
// six services, several times, and looks for everything that it had said yes
// to.
func TestCrashKeepsWhatWasAcknowledged(t *testing.T) {
	ctx := context.Background()
	dir, data := newMachineDir(t), filepath.Join(t.TempDir(), "data")
	var l ledger
	s := startServer(t, dir, append([]string{"--data", data}, noTasks...)...)
	keyID, secret := s.keyID, s.secret

	// A session minted before the first crash lives through all of them.
	user := aws.String("assumer")
	api := iam.NewFromConfig(s.root())
	if _, err := api.CreateUser(ctx, &iam.CreateUserInput{UserName: user}); err != nil {
		t.Fatal(err)
	}
	key, err := api.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: user})
	if err != nil {
		t.Fatal(err)
	}
	trust := strings.ReplaceAll(anyTrust, ":root", ":user/assumer")
	role, err := api.CreateRole(ctx, &iam.CreateRoleInput{RoleName: aws.String("before"), AssumeRolePolicyDocument: &trust})
	if err != nil {
		t.Fatal(err)
	}
	minted, err := sts.NewFromConfig(s.as(*key.AccessKey.AccessKeyId, *key.AccessKey.SecretAccessKey, "")).
		AssumeRole(ctx, &sts.AssumeRoleInput{RoleArn: role.Role.Arn, RoleSessionName: aws.String("survivor")})
	if err != nil {
		t.Fatal(err)
	}

	const rounds = 4
	for round := range rounds {
		before := len(l.checks)
		writeUntilKilled(t, s, &l, round)
		if len(l.checks) == before {
			t.Errorf("round %d: nothing was acknowledged before the kill", round)
		}
		s = startServer(t, dir, "--data", data, "--runtime", "none")
		if s.keyID != keyID || s.secret != secret {
			t.Fatal("the restarted server has another root key")
		}
		if got := whoAmI(t, s.as(*key.AccessKey.AccessKeyId, *key.AccessKey.SecretAccessKey, "")); got != "arn:aws:iam::000000000000:user/assumer" {
			t.Errorf("the user's key is %s", got)
		}
		c := minted.Credentials
		if got := whoAmI(t, s.as(*c.AccessKeyId, *c.SecretAccessKey, *c.SessionToken)); got != "arn:aws:sts::000000000000:assumed-role/before/survivor" {
			t.Errorf("the session is %s", got)
		}
		lost := 0
		for _, c := range l.checks {
			if err := c.test(ctx, s.root()); err != nil {
				if lost++; lost < 10 {
					t.Errorf("round %d: %s was acknowledged: %v", round, c.name, err)
				}
			}
		}
		t.Logf("round %d: %d acknowledged before the kill, %d in all, %d lost", round, len(l.checks)-before, len(l.checks), lost)
	}
	if _, code := s.stop(); code != 0 {
		t.Errorf("status %d\n%s", code, s.said())
	}
}

// TestCrashTemporary kills a server without --data: the next one removes what
// it left.
func TestCrashTemporary(t *testing.T) {
	dir := newMachineDir(t)
	// Only a server that runs tasks sweeps; without containers to be had it
	// sweeps directories all the same.
	first := startServer(t, dir, "--runtime", "auto")
	living := startServer(t, dir, "--runtime", "none")
	left := dir.temporary(t)
	if len(left) != 2 {
		t.Fatalf("temporary data directories: %v", left)
	}
	first.kill()
	if n := len(dir.temporary(t)); n != 2 {
		t.Fatalf("a killed server left %d directories", n)
	}
	second := startServer(t, dir, "--runtime", "auto")
	if now := dir.temporary(t); len(now) != 2 {
		t.Errorf("the killed server's directory is still there: %v", now)
	}
	whoAmI(t, living.root())
	for _, s := range []*server{second, living} {
		if took, code := s.stop(); code != 0 || took > 5*time.Second {
			t.Errorf("status %d after %v\n%s", code, took, s.said())
		}
	}
	if now := dir.temporary(t); len(now) != 0 {
		t.Errorf("left: %v", now)
	}
}
