package conformance

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
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
	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
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

// leftovers is what a server's tasks have made of the machine: everything that
// carries its name, which is that of its bridge.
type leftovers struct {
	processes, cgroups, mounts, links, tables []string
}

func (l leftovers) all() []string {
	return slices.Concat(l.processes, l.cgroups, l.mounts, l.links, l.tables)
}

var remitName = regexp.MustCompile(`remit[0-9a-f]{8}`)

// bridges names the bridges of servers that are on this machine now.
func bridges(t *testing.T) (names []string) {
	t.Helper()
	links, err := netlink.LinkList()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		if l.Type() == "bridge" && remitName.MatchString(l.Attrs().Name) {
			names = append(names, l.Attrs().Name)
		}
	}
	return names
}

// lookFor finds what belongs to a server by the name of its bridge and by its
// data directory.
func lookFor(t *testing.T, bridge, data string) (l leftovers) {
	t.Helper()
	roots, err := filepath.Glob("/sys/fs/cgroup/*/" + bridge)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat("/sys/fs/cgroup/" + bridge); err == nil {
		roots = append(roots, "/sys/fs/cgroup/"+bridge)
	}
	for _, root := range roots {
		_ = filepath.WalkDir(root, func(p string, e fs.DirEntry, err error) error {
			if err == nil && e.IsDir() {
				// A server's own cgroup and its runtime's are two levels, which
				// hold nothing themselves.
				if rel, err := filepath.Rel(root, p); err == nil && strings.Contains(rel, "/") {
					l.cgroups = append(l.cgroups, "cgroup "+p)
				}
				pids, _ := os.ReadFile(filepath.Join(p, "cgroup.procs"))
				for _, pid := range strings.Fields(string(pids)) {
					if id := "process " + pid; !slices.Contains(l.processes, id) {
						l.processes = append(l.processes, id)
					}
				}
			}
			return nil
		})
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range strings.Split(string(mounts), "\n") {
		if strings.Contains(m, data+"/") {
			l.mounts = append(l.mounts, "mount "+m)
		}
	}
	links, err := netlink.LinkList()
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range links {
		a := link.Attrs()
		if a.Name == bridge {
			l.links = append(l.links, "link "+a.Name)
			for _, port := range links {
				if port.Attrs().MasterIndex == a.Index {
					l.links = append(l.links, "port "+port.Attrs().Name)
				}
			}
		}
	}
	conn, err := nftables.New()
	if err != nil {
		t.Fatal(err)
	}
	tables, err := conn.ListTables()
	if err != nil {
		t.Logf("firewall tables could not be listed: %v", err)
	}
	for _, table := range tables {
		if strings.Contains(table.Name, bridge) {
			l.tables = append(l.tables, "table "+table.Name)
		}
	}
	return l
}

// serverWithTask starts a server and a task on it, and returns the name of the
// server's bridge.
func serverWithTask(t *testing.T, dir machineDir, mode string, args ...string) (*server, *task, string) {
	t.Helper()
	before := bridges(t)
	s := startWithTasks(t, dir, args...)
	var mine []string
	for _, b := range bridges(t) {
		if !slices.Contains(before, b) {
			mine = append(mine, b)
		}
	}
	if len(mine) != 1 {
		t.Skipf("other servers of Remit come and go on this machine: new bridges %v", mine)
	}
	prepare(t, s, "app")
	return s, runProbe(t, s, mode, "app", nil), mine[0]
}

// TestCrashSweepsTasks kills a server whose task runs. The next start with the
// same data ends what the task left and says that it has stopped.
func TestCrashSweepsTasks(t *testing.T) {
	needContainers(t)
	dir, data := newMachineDir(t), filepath.Join(t.TempDir(), "data")
	s, k, bridge := serverWithTask(t, dir, "stubborn", "--data", data)
	s.kill()
	left := lookFor(t, bridge, data)
	if len(left.processes) == 0 || len(left.cgroups) == 0 || len(left.mounts) == 0 || len(left.links) < 2 || len(left.tables) == 0 {
		t.Fatalf("the killed server left less than expected, so nothing is proved: %v", left.all())
	}
	t.Logf("left by the killed server: %d processes, %d cgroups, %d mounts, %d links, %d firewall tables",
		len(left.processes), len(left.cgroups), len(left.mounts), len(left.links), len(left.tables))

	k.s = startWithTasks(t, dir, "--data", data)
	stopped := k.await(t, "STOPPED", 20*time.Second)
	if aws.ToString(stopped.StoppedReason) == "" || stopped.StopCode == "" {
		t.Errorf("stopped without a reason: %+v", stopped)
	}
	t.Logf("after the restart: %s, %q", stopped.StopCode, aws.ToString(stopped.StoppedReason))
	now := lookFor(t, bridge, data)
	if rest := slices.Concat(now.processes, now.cgroups, now.mounts); len(rest) > 0 {
		t.Errorf("still there: %v", rest)
	}
	// The new server has a bridge and tables of the same name, without ports.
	if len(now.links) != 1 {
		t.Errorf("links: %v", now.links)
	}

	// It runs tasks, and leaves nothing when it stops by itself.
	again := runProbe(t, k.s, "again", "app", nil)
	again.stop(t)
	again.await(t, "STOPPED", 20*time.Second)
	if took, code := k.s.stop(); code != 0 || took > 5*time.Second {
		t.Errorf("status %d after %v\n%s", code, took, k.s.said())
	}
	if rest := lookFor(t, bridge, data); len(rest.all()) > 0 {
		t.Errorf("left after a clean stop: %v", rest.all())
	}
}

// TestCrashSweepsTemporary kills a server without --data whose task runs: any
// next start ends what it left.
func TestCrashSweepsTemporary(t *testing.T) {
	needContainers(t)
	dir := newMachineDir(t)
	s, _, bridge := serverWithTask(t, dir, "stubborn")
	data := dir.temporary(t)[0]
	s.kill()
	if left := lookFor(t, bridge, data); len(left.processes) == 0 || len(left.links) < 2 {
		t.Fatalf("the killed server left less than expected, so nothing is proved: %v", left.all())
	}
	next := startWithTasks(t, dir)
	if rest := lookFor(t, bridge, data); len(rest.all()) > 0 {
		t.Errorf("still there: %v", rest.all())
	}
	if _, err := os.Stat(data); !os.IsNotExist(err) {
		t.Errorf("%s: %v", data, err)
	}
	if took, code := next.stop(); code != 0 || took > 5*time.Second {
		t.Errorf("status %d after %v\n%s", code, took, next.said())
	}
}

// TestStopWithTask asks a server to end while a task runs and its agent's
// sockets are open.
func TestStopWithTask(t *testing.T) {
	needContainers(t)
	for _, mode := range []string{"polite", "stubborn"} {
		t.Run(mode, func(t *testing.T) {
			dir := newMachineDir(t)
			s, _, bridge := serverWithTask(t, dir, mode)
			data := dir.temporary(t)[0]
			took, code := s.stop()
			if code != 0 || took > 5500*time.Millisecond {
				t.Errorf("status %d after %v, want 0 within 5 s\n%s", code, took, s.said())
			}
			t.Logf("stopped in %v", took.Round(time.Millisecond))
			if rest := lookFor(t, bridge, data); len(rest.all()) > 0 {
				t.Errorf("left behind: %v", rest.all())
			}
			if left := dir.temporary(t); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}
