package ecs_test

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsecs "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"github.com/remit-ecs/remit/internal/testkit"
)

// TestFargateTask is the whole story: register, run, describe, stop, with the
// waiters that the aws command uses.
func TestFargateTask(t *testing.T) {
	w := newWorld(t, nil)
	def := w.fargate("web", func(in *awsecs.RegisterTaskDefinitionInput) {
		in.ContainerDefinitions[0].Environment = []types.KeyValuePair{{Name: aws.String("A"), Value: aws.String("definition")}}
	})
	a := w.newAgent(w.hostConfig(), "fargate").connect(true)
	in := runInput(def)
	in.StartedBy = aws.String("me")
	in.Overrides = &types.TaskOverride{ContainerOverrides: []types.ContainerOverride{{
		Name: aws.String("app"), Command: []string{"sleep", "9"}, Environment: []types.KeyValuePair{{Name: aws.String("B"), Value: aws.String("override")}},
	}}}
	task := w.run(in)
	if *task.LastStatus != "PROVISIONING" || *task.DesiredStatus != "RUNNING" || task.ContainerInstanceArn != nil || *task.PlatformVersion != "1.4.0" || *task.PlatformFamily != "Linux" || *task.Group != "family:web" || task.Version != 1 {
		t.Errorf("RunTask answers %s", show(task))
	}
	arn := *task.TaskArn
	if err := awsecs.NewTasksRunningWaiter(w.root, func(o *awsecs.TasksRunningWaiterOptions) {
		o.MinDelay = time.Millisecond
		o.MaxDelay = 20 * time.Millisecond
	}).
		Wait(t.Context(), &awsecs.DescribeTasksInput{Tasks: []string{arn}}, 10*time.Second); err != nil {
		t.Fatal(err)
	}
	task = w.describe("default", arn)
	details := map[string]string{}
	for _, d := range task.Attachments[0].Details {
		details[*d.Name] = *d.Value
	}
	if details["privateIPv4Address"] != "172.31.240.2" || details["networkInterfaceId"] == "" || details["macAddress"] == "" || details["subnetId"] != "subnet-0abc" {
		t.Errorf("attachment details: %v", details)
	}
	if c := task.Containers[0]; *c.LastStatus != "RUNNING" || *c.RuntimeId != "r1" || *c.ImageDigest != "sha256:00" || *c.NetworkInterfaces[0].PrivateIpv4Address != "172.31.240.2" {
		t.Errorf("container: %s", show(c))
	}
	if task.ContainerInstanceArn != nil || task.StartedAt == nil || task.Connectivity != types.ConnectivityConnected {
		t.Errorf("running task: %s", show(task))
	}

	p := a.payload(0)
	c := p["containers"].([]any)[0].(map[string]any)
	env := c["environment"].(map[string]any)
	if env["AWS_EXECUTION_ENV"] != "AWS_ECS_FARGATE" || env["A"] != "definition" || env["B"] != "override" || c["command"].([]any)[1] != "9" {
		t.Errorf("payload container: %s", show(c))
	}
	tr, er := p["roleCredentials"].(map[string]any), p["executionRoleCredentials"].(map[string]any)
	if tr["credentialsId"] == er["credentialsId"] || tr["roleArn"] != "arn:aws:iam::"+testkit.Account+":role/app" || tr["sessionToken"] == "" {
		t.Errorf("credentials: %v", tr["roleArn"])
	}
	if p["cpu"] != 0.25 || p["memory"] != 512.0 || p["networkMode"] != "awsvpc" || p["elasticNetworkInterfaces"].([]any)[0].(map[string]any)["subnetGatewayIpv4Address"] != "172.31.240.1/24" {
		t.Errorf("payload: %s", show(p))
	}

	stopped, err := w.root.StopTask(t.Context(), &awsecs.StopTaskInput{Task: &arn, Reason: aws.String("enough")})
	if err != nil || *stopped.Task.DesiredStatus != "STOPPED" || stopped.Task.StoppingAt == nil {
		t.Fatalf("StopTask: %v %s", err, show(stopped))
	}
	if err := awsecs.NewTasksStoppedWaiter(w.root, func(o *awsecs.TasksStoppedWaiterOptions) {
		o.MinDelay = time.Millisecond
		o.MaxDelay = 20 * time.Millisecond
	}).
		Wait(t.Context(), &awsecs.DescribeTasksInput{Tasks: []string{arn}}, 10*time.Second); err != nil {
		t.Fatal(err)
	}
	task = w.describe("default", arn)
	if task.StopCode != types.TaskStopCodeUserInitiated || *task.StoppedReason != "enough" || task.StoppedAt == nil || task.ExecutionStoppedAt == nil || *task.Attachments[0].Status != "DELETED" || task.Version < 8 {
		t.Errorf("stopped task: %s", show(task))
	}
	p = a.payload(1)
	if p["desiredStatus"] != "STOPPED" || len(p["containers"].([]any)) != 0 || p["roleCredentials"] != nil {
		t.Errorf("stop payload: %s", show(p))
	}
}
