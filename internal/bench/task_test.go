package bench

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	ecstypes "github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/remit-ecs/remit/internal/controlplane"
	"github.com/remit-ecs/remit/internal/scenario"
	"github.com/remit-ecs/remit/internal/testkit/whole"
)

const tasksTrust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ecs-tasks.amazonaws.com"},"Action":"sts:AssumeRole"}]}`

const pullPolicy = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["ecr:GetAuthorizationToken","ecr:BatchGetImage","ecr:GetDownloadUrlForLayer"],"Resource":"*"}]}`

// sleeper is an image whose only program waits for ever.
func sleeper(t *testing.T) (tar string) {
	t.Helper()
	dir := t.TempDir()
	source := filepath.Join(dir, "main.go")
	// SIGTERM ends it, also as process 1.
	text := "package main\n\nimport (\n\t\"os\"\n\t\"os/signal\"\n\t\"syscall\"\n)\n\nfunc main() {\n\tc := make(chan os.Signal, 1)\n\tsignal.Notify(c, syscall.SIGTERM)\n\tif len(os.Args) == 1 {\n\t\t<-c\n\t}\n}\n"
	if err := os.WriteFile(source, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(dir, "app")
	c := exec.Command("go", "build", "-o", bin, source)
	c.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+runtime.GOARCH)
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	img, err := scenario.ImageOf(bin)
	if err != nil {
		t.Fatal(err)
	}
	tag, err := name.NewTag("sleeper:1")
	if err != nil {
		t.Fatal(err)
	}
	tar = filepath.Join(dir, "sleeper.tar")
	if err := tarball.WriteToFile(tar, tag, img); err != nil {
		t.Fatal(err)
	}
	return tar
}

// TestRatioTask times what a user waits for a task whose image is present, from
// RunTask to RUNNING, and within it the container's start. Where a Docker
// engine answers, docker run of the same image is the measure.
func TestRatioTask(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root: containers with their own network")
	}
	ctx := context.Background()
	s := whole.Start(t, func(o *controlplane.Options) {
		o.Runtime, o.Validate = controlplane.RuntimeEmbedded, false
	})
	tar := sleeper(t)
	images := &scenario.Scenario{Images: map[string]scenario.Image{"sleeper:1": {Tarball: tar}}}
	if err := images.PushImages(ctx, s.Root(), func(string, int64, int64) {}); err != nil {
		t.Fatal(err)
	}
	roles := iam.NewFromConfig(s.Root())
	for _, r := range []string{"app", "pull"} {
		if _, err := roles.CreateRole(ctx, &iam.CreateRoleInput{RoleName: &r, AssumeRolePolicyDocument: aws.String(tasksTrust)}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := roles.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: aws.String("pull"), PolicyName: aws.String("pull"), PolicyDocument: aws.String(pullPolicy)}); err != nil {
		t.Fatal(err)
	}
	c := ecs.NewFromConfig(s.Root())
	arn := "arn:aws:iam::" + whole.Account + ":role/"
	definition, err := c.RegisterTaskDefinition(ctx, &ecs.RegisterTaskDefinitionInput{
		Family: aws.String("bench"), TaskRoleArn: aws.String(arn + "app"), ExecutionRoleArn: aws.String(arn + "pull"),
		NetworkMode: ecstypes.NetworkModeAwsvpc, RequiresCompatibilities: []ecstypes.Compatibility{ecstypes.CompatibilityFargate},
		Cpu: aws.String("256"), Memory: aws.String("512"),
		ContainerDefinitions: []ecstypes.ContainerDefinition{{
			Name: aws.String("app"), Essential: aws.Bool(true), StopTimeout: aws.Int32(2),
			Image: aws.String(whole.Account + ".dkr.ecr." + whole.Region + ".amazonaws.com/sleeper:1"),
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	// await polls until the task has a status, and returns the task.
	await := func(task, status string) ecstypes.Task {
		t.Helper()
		for began := time.Now(); ; time.Sleep(2 * time.Millisecond) {
			out, err := c.DescribeTasks(ctx, &ecs.DescribeTasksInput{Tasks: []string{task}})
			if err != nil {
				t.Fatal(err)
			}
			d := out.Tasks[0]
			switch last := aws.ToString(d.LastStatus); {
			case last == status:
				return d
			case last == "STOPPED":
				t.Fatalf("the task stopped: %s %+v", aws.ToString(d.StoppedReason), d.Containers)
			}
			if time.Since(began) > 30*time.Second {
				t.Fatalf("the task is %s, not %s", aws.ToString(d.LastStatus), status)
			}
		}
	}
	docker := dockerRun(t, tar)
	const times = 9
	var running, pull, start, dockers []time.Duration
	var ratio []float64
	for i := range times + 1 {
		began := time.Now()
		out, err := c.RunTask(ctx, &ecs.RunTaskInput{
			TaskDefinition: definition.TaskDefinition.TaskDefinitionArn, LaunchType: ecstypes.LaunchTypeFargate,
			NetworkConfiguration: &ecstypes.NetworkConfiguration{AwsvpcConfiguration: &ecstypes.AwsVpcConfiguration{Subnets: []string{"subnet-0a1b2c3d"}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		task := aws.ToString(out.Tasks[0].TaskArn)
		d := await(task, "RUNNING")
		took := time.Since(began)
		// Process 1 does not notice a SIGTERM before it has asked for it.
		time.Sleep(50 * time.Millisecond)
		if _, err := c.StopTask(ctx, &ecs.StopTaskInput{Task: &task}); err != nil {
			t.Fatal(err)
		}
		await(task, "STOPPED")
		if i == 0 {
			continue // the first pulls the image
		}
		running = append(running, took)
		if d.PullStartedAt != nil && d.PullStoppedAt != nil && d.StartedAt != nil {
			pull = append(pull, d.PullStoppedAt.Sub(*d.PullStartedAt))
			start = append(start, d.StartedAt.Sub(*d.PullStoppedAt))
		}
		if docker != nil {
			one := docker()
			dockers = append(dockers, one)
			ratio = append(ratio, float64(d.StartedAt.Sub(*d.PullStoppedAt))/float64(one))
		}
	}
	t.Logf("RunTask to RUNNING, image present: %v (target %v, median of %d, best %v)", median(running).Round(time.Millisecond), taskTarget, times, least(running).Round(time.Millisecond))
	if len(start) > 0 {
		t.Logf("of it: %v to ask for the image with the execution role, %v for the container's start", median(pull).Round(time.Millisecond), median(start).Round(time.Millisecond))
	}
	if docker == nil {
		return
	}
	slices.Sort(ratio)
	t.Logf("docker run of the same image: %v; ratio %.2f, must be at most 0.50", median(dockers).Round(time.Millisecond), median(ratio))
	if median(ratio) > 0.5 {
		t.Errorf("a container's start is %.2f of docker run, must be at most 0.50", median(ratio))
	}
}

// dockerRun returns what times a docker run of the image in the tarball, nil,
// saying so, where no Docker engine answers.
func dockerRun(t *testing.T, tar string) func() time.Duration {
	t.Helper()
	if out, err := exec.Command("docker", "version", "--format", "{{.Server.Version}}").CombinedOutput(); err != nil {
		t.Logf("no Docker engine answers here, so docker run is not compared with: %s", strings.TrimSpace(string(out)))
		return nil
	}
	if out, err := exec.Command("docker", "load", "-i", tar).CombinedOutput(); err != nil {
		t.Logf("docker load failed, so docker run is not compared with: %v %s", err, out)
		return nil
	}
	return func() time.Duration {
		began := time.Now()
		// With an argument the program ends at once.
		if out, err := exec.Command("docker", "run", "--rm", "sleeper:1", "end").CombinedOutput(); err != nil {
			t.Fatalf("docker run: %v\n%s", err, out)
		}
		return time.Since(began)
	}
}
