package controlplane_test

import (
	"context"
	"os"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"github.com/remit-ecs/remit/internal/controlplane"
	"github.com/remit-ecs/remit/internal/testkit/whole"
)

// TestResetWithHost empties the state under a connected host, twice: it joins
// again, under a new name, and takes tasks.
func TestResetWithHost(t *testing.T) {
	runtime := controlplane.RuntimeProcess
	if os.Getuid() == 0 {
		runtime = controlplane.RuntimeEmbedded
	}
	s := whole.Start(t, func(o *controlplane.Options) { o.AllowReset, o.Runtime = true, runtime })
	for range 2 {
		if code, body := get(t, "POST", s.Endpoint()+"/_remit/reset"); code != 200 {
			t.Fatalf("reset: %d %s", code, body)
		}
	}
	ctx := context.Background()
	c := ecs.NewFromConfig(s.Root())
	def, err := c.RegisterTaskDefinition(ctx, &ecs.RegisterTaskDefinitionInput{
		Family: aws.String("gone"), NetworkMode: types.NetworkModeAwsvpc, RequiresCompatibilities: []types.Compatibility{types.CompatibilityFargate},
		Cpu: aws.String("256"), Memory: aws.String("512"),
		ContainerDefinitions: []types.ContainerDefinition{{Name: aws.String("app"), Image: aws.String("127.0.0.1:1/nothing:1")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	run, err := c.RunTask(ctx, &ecs.RunTaskInput{TaskDefinition: def.TaskDefinition.TaskDefinitionArn, LaunchType: types.LaunchTypeFargate,
		NetworkConfiguration: &types.NetworkConfiguration{AwsvpcConfiguration: &types.AwsVpcConfiguration{Subnets: []string{"subnet-0123456789abcdef0"}}}})
	if err != nil || len(run.Tasks) != 1 {
		t.Fatalf("%+v %v", run, err)
	}
	// No such image: what matters is that a host tried.
	if err := ecs.NewTasksStoppedWaiter(c, func(o *ecs.TasksStoppedWaiterOptions) { o.MinDelay, o.MaxDelay = 1e8, 5e8 }).Wait(ctx, &ecs.DescribeTasksInput{Tasks: []string{*run.Tasks[0].TaskArn}}, 60e9); err != nil {
		t.Fatal(err)
	}
	got, err := c.DescribeTasks(ctx, &ecs.DescribeTasksInput{Tasks: []string{*run.Tasks[0].TaskArn}})
	if err != nil || got.Tasks[0].StopCode != types.TaskStopCodeTaskFailedToStart {
		t.Fatalf("%+v %v", got, err)
	}
	t.Log(aws.ToString(got.Tasks[0].StoppedReason))
}
