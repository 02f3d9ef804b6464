package conformance

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	ecstypes "github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/vishvananda/netlink"

	"github.com/remit-ecs/remit/internal/scenario"
)

const (
	account    = "000000000000" // of servers started without --account
	tasksTrust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ecs-tasks.amazonaws.com"},"Action":"sts:AssumeRole"}]}`
	// startPolicy is what an execution role needs to pull the probe and to log.
	startPolicy = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["ecr:GetAuthorizationToken","ecr:BatchGetImage","ecr:GetDownloadUrlForLayer","logs:CreateLogStream","logs:PutLogEvents"],"Resource":"*"}]}`
)

// probeImage builds the hostile app's image once.
var probeImage = sync.OnceValues(func() (string, error) {
	dir := filepath.Dir(app)
	bin, to := filepath.Join(dir, "probe"), filepath.Join(dir, "probe.tar")
	c := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", bin, "./testdata/probe")
	c.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := c.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	img, err := scenario.ImageOf(bin)
	if err != nil {
		return "", err
	}
	tag, err := name.NewTag("probe:1")
	if err != nil {
		return "", err
	}
	return to, tarball.WriteToFile(to, tag, img)
})

// needContainers skips where a task cannot have a network of its own.
func needContainers(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root: containers with their own network")
	}
}

// startWithTasks starts a server with the embedded runtime, or skips, saying
// why containers cannot be had here.
func startWithTasks(t *testing.T, dir machineDir, args ...string) *server {
	t.Helper()
	s := startServer(t, dir, args...)
	line := s.banner[slices.IndexFunc(s.banner, func(l string) bool { return strings.HasPrefix(l, "Tasks: ") })]
	if !strings.Contains(line, "isolation: container") {
		t.Skipf("containers with their own network cannot be had here:\n%s", strings.Join(s.banner, "\n"))
	}
	return s
}

// prepare makes what the probe's tasks need: image, log group, execution role
// and the named task roles, which may ask who they are like anybody.
func prepare(t *testing.T, s *server, roles ...string) {
	t.Helper()
	ctx := context.Background()
	tar, err := probeImage()
	if err != nil {
		t.Fatal(err)
	}
	images := &scenario.Scenario{Images: map[string]scenario.Image{"probe:1": {Tarball: tar}}}
	if err := images.PushImages(ctx, s.root(), func(string, int64, int64) {}); err != nil {
		t.Fatal(err)
	}
	if _, err := cloudwatchlogs.NewFromConfig(s.root()).CreateLogGroup(ctx, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: aws.String("/probe")}); err != nil {
		t.Fatal(err)
	}
	api := iam.NewFromConfig(s.root())
	for _, r := range append([]string{"start"}, roles...) {
		if _, err := api.CreateRole(ctx, &iam.CreateRoleInput{RoleName: &r, AssumeRolePolicyDocument: aws.String(tasksTrust)}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := api.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: aws.String("start"), PolicyName: aws.String("start"), PolicyDocument: aws.String(startPolicy)}); err != nil {
		t.Fatal(err)
	}
}

func roleARN(name string) *string { return aws.String("arn:aws:iam::" + account + ":role/" + name) }

// task is a task of the probe.
type task struct {
	s   *server
	arn string
	id  string
}

// runProbe runs the probe in a mode, as a role, and waits until it has written
// that it is ready.
func runProbe(t *testing.T, s *server, mode, role string, env map[string]string) *task {
	t.Helper()
	ctx := context.Background()
	c := ecs.NewFromConfig(s.root())
	vars := []ecstypes.KeyValuePair{{Name: aws.String("PROBE"), Value: &mode}}
	for k, v := range env {
		vars = append(vars, ecstypes.KeyValuePair{Name: &k, Value: &v})
	}
	definition, err := c.RegisterTaskDefinition(ctx, &ecs.RegisterTaskDefinitionInput{
		Family: aws.String("probe-" + mode), TaskRoleArn: roleARN(role), ExecutionRoleArn: roleARN("start"),
		NetworkMode: ecstypes.NetworkModeAwsvpc, RequiresCompatibilities: []ecstypes.Compatibility{ecstypes.CompatibilityFargate},
		Cpu: aws.String("256"), Memory: aws.String("512"),
		ContainerDefinitions: []ecstypes.ContainerDefinition{{
			Name: aws.String("probe"), Image: aws.String(account + ".dkr.ecr." + region + ".amazonaws.com/probe:1"), Essential: aws.Bool(true), Environment: vars,
			LogConfiguration: &ecstypes.LogConfiguration{LogDriver: ecstypes.LogDriverAwslogs, Options: map[string]string{
				"awslogs-group": "/probe", "awslogs-region": region, "awslogs-stream-prefix": "p",
			}},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.RunTask(ctx, &ecs.RunTaskInput{
		TaskDefinition: definition.TaskDefinition.TaskDefinitionArn, LaunchType: ecstypes.LaunchTypeFargate,
		NetworkConfiguration: &ecstypes.NetworkConfiguration{AwsvpcConfiguration: &ecstypes.AwsVpcConfiguration{Subnets: []string{"subnet-0a1b2c3d"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out.Tasks) != 1 {
		t.Fatalf("no task: %+v", out.Failures)
	}
	k := &task{s: s, arn: aws.ToString(out.Tasks[0].TaskArn)}
	k.id = k.arn[strings.LastIndexByte(k.arn, '/')+1:]
	for began := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		if _, ok := k.lines(t)["ready"]; ok {
			return k
		}
		d := k.describe(t)
		if aws.ToString(d.LastStatus) == "STOPPED" {
			t.Fatalf("the %s stopped: %s %+v\n%v", mode, aws.ToString(d.StoppedReason), d.Containers, k.lines(t))
		}
		if time.Since(began) > time.Minute {
			t.Fatalf("the %s is not ready after a minute, it is %s:\n%v\n%s", mode, aws.ToString(d.LastStatus), k.lines(t), s.said())
		}
	}
}

func (k *task) describe(t *testing.T) ecstypes.Task {
	t.Helper()
	out, err := ecs.NewFromConfig(k.s.root()).DescribeTasks(context.Background(), &ecs.DescribeTasksInput{Tasks: []string{k.arn}})
	if err != nil {
		t.Fatal(err)
	}
	if len(out.Tasks) != 1 {
		t.Fatalf("the task is gone: %+v", out.Failures)
	}
	return out.Tasks[0]
}

// await waits for a status.
func (k *task) await(t *testing.T, status string, within time.Duration) ecstypes.Task {
	t.Helper()
	for began := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		d := k.describe(t)
		if aws.ToString(d.LastStatus) == status {
			return d
		}
		if time.Since(began) > within {
			t.Fatalf("the task is %s after %v, want %s\n%s", aws.ToString(d.LastStatus), within, status, k.s.said())
		}
	}
}

func (k *task) stop(t *testing.T) {
	t.Helper()
	if _, err := ecs.NewFromConfig(k.s.root()).StopTask(context.Background(), &ecs.StopTaskInput{Task: &k.arn, Reason: aws.String("the test is over")}); err != nil {
		t.Fatal(err)
	}
}

// detail is a detail of the task's network interface.
func (k *task) detail(t *testing.T, name string) string {
	t.Helper()
	for _, a := range k.describe(t).Attachments {
		for _, d := range a.Details {
			if aws.ToString(d.Name) == name {
				return aws.ToString(d.Value)
			}
		}
	}
	t.Fatalf("the task shows no %s", name)
	return ""
}

// lines is what the probe has written, by name; all is in the order written.
func (k *task) lines(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, l := range k.all(t) {
		key, value, _ := strings.Cut(l, ": ")
		if old, twice := found[key]; twice {
			value = old + "\n" + value
		}
		found[key] = value
	}
	return found
}

func (k *task) all(t *testing.T) []string {
	t.Helper()
	var lines []string
	in := &cloudwatchlogs.GetLogEventsInput{LogGroupName: aws.String("/probe"), LogStreamName: aws.String("p/probe/" + k.id), StartFromHead: aws.Bool(true)}
	for {
		out, err := cloudwatchlogs.NewFromConfig(k.s.root()).GetLogEvents(context.Background(), in)
		if err != nil {
			if strings.Contains(err.Error(), "ResourceNotFoundException") {
				return nil
			}
			t.Fatal(err)
		}
		for _, e := range out.Events {
			lines = append(lines, aws.ToString(e.Message))
		}
		if len(out.Events) == 0 || aws.ToString(out.NextForwardToken) == aws.ToString(in.NextToken) {
			return lines
		}
		in.NextToken = out.NextForwardToken
	}
}

// keys are credentials as a task finds them.
type keys struct{ RoleArn, AccessKeyId, SecretAccessKey, Token string }

func keysOf(t *testing.T, answer string) keys {
	t.Helper()
	text, ok := strings.CutPrefix(answer, "200 ")
	var k keys
	if !ok || json.Unmarshal([]byte(text), &k) != nil || k.AccessKeyId == "" {
		t.Fatalf("not credentials: %.60s", answer)
	}
	return k
}

// TestIsolation has a hostile task beside another, each with its role.
func TestIsolation(t *testing.T) {
	needContainers(t)
	s := startWithTasks(t, newMachineDir(t))
	prepare(t, s, "victimRole", "attackerRole")
	victim := runProbe(t, s, "victim", "victimRole", nil)

	// The host's own services: one on a link-local address, where clouds keep
	// the machine's role, one on every address, none of them for tasks.
	hostPorts, linkLocal := hostServices(t)
	address := victim.detail(t, "privateIPv4Address")
	saw := victim.lines(t)
	attacker := runProbe(t, s, "attacker", "attackerRole", map[string]string{
		"VICTIM_ADDRESS": address, "VICTIM_MAC": victim.detail(t, "macAddress"), "VICTIM_URI": saw["uri"],
		"LINK_LOCAL": strings.Join(linkLocal, " "), "HOST_PORTS": strings.Join(hostPorts, " "),
	})
	did := attacker.lines(t)
	for _, l := range attacker.all(t) {
		if !strings.HasPrefix(l, "own") {
			t.Log(l)
		}
	}

	t.Run("each has its own role", func(t *testing.T) {
		for role, answer := range map[string]string{"victimRole": saw["own"], "attackerRole": did["own"]} {
			k := keysOf(t, answer)
			if k.RoleArn != *roleARN(role) {
				t.Errorf("%s, want %s", k.RoleArn, role)
			}
			if got := whoAmI(t, s.as(k.AccessKeyId, k.SecretAccessKey, k.Token)); !strings.HasPrefix(got, "arn:aws:sts::"+account+":assumed-role/"+role+"/") {
				t.Errorf("the keys of %s are %s", role, got)
			}
		}
	})
	t.Run("an app may have port 80", func(t *testing.T) {
		if got := saw["port 80"]; got != "200 the victim's app" {
			t.Error(got)
		}
		if keysOf(t, saw["own, with port 80 taken"]) != keysOf(t, saw["own"]) {
			t.Error("the credentials endpoint changed")
		}
	})
	t.Run("another's credentials", func(t *testing.T) {
		for name, want := range map[string]string{
			"by path":                           `^400 .*InvalidIdInRequest`,
			"by v1 path":                        `^400 .*InvalidIdInRequest`,
			"by address":                        `^200 the victim's app$`, // its app, never its credentials
			"listen on the credentials address": `^error EADDRNOTAVAIL$`,
			"raise a route":                     `^error EPERM$`,
			"take the victim's address":         `^error EPERM$`,
			"packet socket":                     `^done$`, // NET_RAW is a default capability
			"answers to the syns":               `^0$`,
		} {
			if !regexp.MustCompile(want).MatchString(did[name]) {
				t.Errorf("%s: %.100q, want %s", name, did[name], want)
			}
		}
		t.Logf("frames of its own endpoint, after the syns: %q", did["seen of the endpoint"])
		if keysOf(t, did["own, after that"]).RoleArn != *roleARN("attackerRole") {
			t.Error("another role than its own")
		}
		for _, l := range attacker.all(t) {
			if strings.Contains(l, keysOf(t, saw["own"]).AccessKeyId) || strings.Contains(l, "victimRole") {
				t.Errorf("the attacker has the victim's: %.80s", l)
			}
		}
	})
	t.Run("forged frames", func(t *testing.T) {
		var arrived string
		for began := time.Now(); time.Since(began) < 10*time.Second; time.Sleep(100 * time.Millisecond) {
			if arrived = victim.lines(t)["arrived"]; strings.Contains(arrived, "last from") {
				break
			}
		}
		self := attacker.detail(t, "privateIPv4Address")
		for _, l := range strings.Split(arrived, "\n") {
			if l != "honest from "+self && l != "last from "+self {
				t.Errorf("arrived: %s", l)
			}
		}
		if !strings.Contains(arrived, "honest from "+self) || !strings.Contains(arrived, "last from "+self) {
			t.Errorf("honest frames did not arrive, so nothing is proved: %q", arrived)
		}
	})
	t.Run("the machine", func(t *testing.T) {
		n := 0
		for name, got := range did {
			if strings.HasPrefix(name, "link-local ") || strings.HasPrefix(name, "host ") {
				if n++; !strings.HasPrefix(got, "error ") {
					t.Errorf("%s: %s", name, got)
				}
			}
		}
		if n < 5 {
			t.Errorf("only %d probes", n)
		}
		if !strings.HasPrefix(did["control plane"], "200 ") {
			t.Errorf("the control plane, which a task is to reach: %s", did["control plane"])
		}
	})
	for _, k := range []*task{victim, attacker} {
		k.stop(t)
	}
	for _, k := range []*task{victim, attacker} {
		k.await(t, "STOPPED", 20*time.Second)
	}
}

// hostServices opens services of the host that a task must not reach, at its
// uplink, at the bridge and at a link-local address, makes sure that the host
// itself does, and returns their addresses.
func hostServices(t *testing.T) (ports, linkLocal []string) {
	t.Helper()
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	const local = "169.254.77.1"
	a, err := netlink.ParseAddr(local + "/32")
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.AddrReplace(lo, a); err != nil { // a killed run may have left it
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = netlink.AddrDel(lo, a) })
	l, err := net.Listen("tcp4", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for c, err := l.Accept(); err == nil; c, err = l.Accept() {
			c.Close()
		}
	}()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		ip := a.(*net.IPNet).IP.To4()
		switch {
		case ip == nil || ip.IsLoopback():
			continue
		case ip.IsLinkLocalUnicast():
			linkLocal = append(linkLocal, net.JoinHostPort(ip.String(), port))
		default:
			ports = append(ports, net.JoinHostPort(ip.String(), port))
		}
	}
	for _, a := range append(slices.Clone(ports), linkLocal...) {
		c, err := net.Dial("tcp4", a)
		if err != nil {
			t.Fatalf("the host does not reach its own service: %v", err)
		}
		c.Close()
	}
	if len(linkLocal) == 0 || len(ports) == 0 {
		t.Fatalf("services of the host: %v %v", ports, linkLocal)
	}
	return ports, append(linkLocal, "169.254.169.254:80", "169.254.169.253:53")
}

// TestTaskSessionEnds copies a task's credentials out of it: they live as long
// as the task.
func TestTaskSessionEnds(t *testing.T) {
	needContainers(t)
	s := startWithTasks(t, newMachineDir(t))
	prepare(t, s, "app")
	task := runProbe(t, s, "secrets", "app", nil)
	copied := keysOf(t, task.lines(t)["own"])
	mine := s.as(copied.AccessKeyId, copied.SecretAccessKey, copied.Token)
	if got := whoAmI(t, mine); got != "arn:aws:sts::"+account+":assumed-role/app/"+task.id {
		t.Errorf("the copied credentials are %s", got)
	}
	task.stop(t)
	stopped := task.await(t, "STOPPED", 20*time.Second)
	if stopped.StopCode != ecstypes.TaskStopCodeUserInitiated || aws.ToString(stopped.StoppedReason) != "the test is over" {
		t.Errorf("%s %q", stopped.StopCode, aws.ToString(stopped.StoppedReason))
	}
	_, err := sts.NewFromConfig(mine).GetCallerIdentity(context.Background(), nil)
	if err == nil || !regexp.MustCompile(`ExpiredToken|InvalidClientTokenId`).MatchString(err.Error()) {
		t.Errorf("the copied credentials still work after the task has stopped: %v", err)
	}
}

// TestExecutionRoleIsOutOfReach looks in a container for any trace of the
// execution role's keys.
func TestExecutionRoleIsOutOfReach(t *testing.T) {
	needContainers(t)
	data := filepath.Join(t.TempDir(), "data")
	s := startWithTasks(t, newMachineDir(t), "--data", data)
	prepare(t, s, "app")
	task := runProbe(t, s, "secrets", "app", nil)
	defer func() {
		task.stop(t)
		task.await(t, "STOPPED", 20*time.Second)
	}()
	own := keysOf(t, task.lines(t)["own"])

	sessions := executionKeys(t, s)
	if len(sessions) == 0 {
		t.Fatal("the trail tells of no session of the execution role")
	}
	keyID := regexp.MustCompile(`A(?:SIA|KIA)[A-Z2-7]{16}`)
	for _, l := range task.all(t) {
		for _, found := range keyID.FindAllString(l, -1) {
			if slices.Contains(sessions, found) {
				t.Errorf("a container found the execution role's key %s: %.60s", found, l)
			} else if found != own.AccessKeyId {
				t.Errorf("a container found a key that is not its own, %s: %.60s", found, l)
			}
		}
		if strings.Contains(l, "role/start") {
			t.Errorf("a container found the execution role: %.100s", l)
		}
		if strings.HasPrefix(l, "guess ") && strings.Contains(l, ": 200 ") {
			t.Errorf("a guess was answered: %.60s", l)
		}
		if strings.HasPrefix(l, "file ") {
			t.Errorf("an access key lies in a file: %.60s", l)
		}
	}

	// With the very id that the agent knows it by.
	ids := credentialIDs(t, filepath.Join(data, "host"), task.id)
	uri := task.lines(t)["env"]
	var refused int
	for _, id := range ids {
		isOwn := strings.Contains(uri, id)
		res, err := http.Get("http://" + task.detail(t, "privateIPv4Address") + ":8080/v2/credentials/" + id)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case isOwn && !strings.HasPrefix(string(body), "200 "):
			t.Errorf("the task's own id, from within: %.80s", body)
		case !isOwn && !strings.HasPrefix(string(body), "400 "):
			t.Errorf("an id that is not the task role's was answered: %.20s", body)
		case !isOwn:
			refused++
		}
	}
	if refused == 0 {
		t.Logf("the agent keeps no id of the execution role's credentials on disk: asking for it by id was not tried")
	}
}

// executionKeys are the access keys with which the execution role has acted.
func executionKeys(t *testing.T, s *server) (ids []string) {
	t.Helper()
	api := cloudtrail.NewFromConfig(s.root())
	for p := cloudtrail.NewLookupEventsPaginator(api, &cloudtrail.LookupEventsInput{}); p.HasMorePages(); {
		page, err := p.NextPage(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Events {
			var r struct {
				UserIdentity struct{ Arn, AccessKeyID string }
			}
			if err := json.Unmarshal([]byte(aws.ToString(e.CloudTrailEvent)), &r); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(r.UserIdentity.Arn, ":assumed-role/start/") && !slices.Contains(ids, r.UserIdentity.AccessKeyID) {
				ids = append(ids, r.UserIdentity.AccessKeyID)
			}
		}
	}
	return ids
}

// credentialIDs are the ids of credentials that the agent's files of a task
// name, on the host, where only root reads them.
func credentialIDs(t *testing.T, dir, taskID string) (ids []string) {
	t.Helper()
	uuid := regexp.MustCompile(`"[A-Za-z]*[cC]redentialsI[dD]"\s*:\s*"([^"]+)"`)
	err := filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() || !strings.HasSuffix(p, ".json") {
			return nil // containers come and go below
		}
		text, err := os.ReadFile(p)
		if err != nil || !strings.Contains(string(text), taskID) {
			return nil
		}
		for _, m := range uuid.FindAllStringSubmatch(string(text), -1) {
			if !slices.Contains(ids, m[1]) {
				ids = append(ids, m[1])
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return ids
}
