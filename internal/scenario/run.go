package scenario

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	ecstypes "github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// Result is what became of the task.
type Result struct {
	Task     *ecstypes.Task // nil where no task came to be
	ExitCode int            // of the essential container; 1 where the task never ran
	Reason   string         // stoppedReason of a task that never ran
}

// Line is a line that a container wrote.
type Line struct {
	Container string
	Time      time.Time
	Message   string
}

// Run registers the task definition and runs it, as the scenario's caller, and
// waits until the task has stopped. An error of RegisterTaskDefinition or
// RunTask is returned as it is: then no task exists.
func (s *Scenario) Run(ctx context.Context, caller aws.Config, status func(string)) (*Result, error) {
	c := ecs.NewFromConfig(caller)
	registered, err := s.register(ctx, c)
	if err != nil {
		return nil, err
	}
	out, err := c.RunTask(ctx, &ecs.RunTaskInput{
		TaskDefinition: registered.TaskDefinitionArn,
		LaunchType:     ecstypes.LaunchTypeFargate,
		NetworkConfiguration: &ecstypes.NetworkConfiguration{AwsvpcConfiguration: &ecstypes.AwsVpcConfiguration{
			Subnets: s.Subnets, SecurityGroups: s.Groups,
		}},
	})
	if err != nil {
		return nil, err
	}
	if len(out.Tasks) == 0 {
		return nil, fmt.Errorf("RunTask started nothing: %s", failures(out.Failures))
	}
	task, err := wait(ctx, c, &out.Tasks[0], status)
	if err != nil {
		return nil, err
	}
	return s.result(task), nil
}

// register sends the definition as it stands in the file.
func (s *Scenario) register(ctx context.Context, c *ecs.Client) (*ecstypes.TaskDefinition, error) {
	in, err := registerInput(s.TaskDefinition)
	if err != nil {
		return nil, fmt.Errorf("task-definition.json: %w", err)
	}
	out, err := c.RegisterTaskDefinition(ctx, in)
	if err != nil {
		return nil, err
	}
	return out.TaskDefinition, nil
}

// registerInput turns the file's JSON into the SDK's input: the SDK's types
// carry the API's names in upper case, and encoding/json does not mind case.
func registerInput(def map[string]json.RawMessage) (*ecs.RegisterTaskDefinitionInput, error) {
	text, err := json.Marshal(def)
	if err != nil {
		return nil, err
	}
	var in ecs.RegisterTaskDefinitionInput
	if err := strict("", text, &in); err != nil {
		return nil, err
	}
	return &in, nil
}

func failures(fs []ecstypes.Failure) string {
	text := ""
	for _, f := range fs {
		text += " " + aws.ToString(f.Reason)
	}
	return text
}

// wait follows the task until it has stopped.
func wait(ctx context.Context, c *ecs.Client, task *ecstypes.Task, status func(string)) (*ecstypes.Task, error) {
	last := ""
	for {
		if now := aws.ToString(task.LastStatus); now != last {
			last = now
			status(now)
		}
		if last == "STOPPED" {
			return task, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
		out, err := c.DescribeTasks(ctx, &ecs.DescribeTasksInput{Cluster: task.ClusterArn, Tasks: []string{aws.ToString(task.TaskArn)}})
		if err != nil {
			return nil, err
		}
		if len(out.Tasks) != 1 {
			return nil, fmt.Errorf("the task %s is gone", aws.ToString(task.TaskArn))
		}
		task = &out.Tasks[0]
	}
}

func (s *Scenario) result(task *ecstypes.Task) *Result {
	r := &Result{Task: task}
	if task.StopCode == ecstypes.TaskStopCodeTaskFailedToStart {
		r.ExitCode, r.Reason = 1, aws.ToString(task.StoppedReason)
		return r
	}
	essential := map[string]bool{}
	if cs, err := s.containers(); err == nil {
		for _, c := range cs {
			essential[c.Name] = c.Essential == nil || *c.Essential
		}
	}
	for _, c := range task.Containers {
		if essential[aws.ToString(c.Name)] && c.ExitCode != nil && (r.ExitCode == 0 || *c.ExitCode != 0) {
			r.ExitCode = int(*c.ExitCode)
		}
	}
	return r
}

// Logs reads what the task's containers wrote from CloudWatch Logs, as the
// account's root.
func (s *Scenario) Logs(ctx context.Context, root aws.Config, task *ecstypes.Task) ([]Line, error) {
	cs, err := s.containers()
	if err != nil {
		return nil, err
	}
	_, id, _ := cutLast(aws.ToString(task.TaskArn), "/")
	var lines []Line
	for _, c := range cs {
		l := c.LogConfiguration
		if l == nil || l.LogDriver != "awslogs" {
			continue
		}
		logs := cloudwatchlogs.NewFromConfig(root, func(o *cloudwatchlogs.Options) {
			if r := l.Options["awslogs-region"]; r != "" {
				o.Region = r
			}
		})
		in := &cloudwatchlogs.GetLogEventsInput{
			LogGroupName:  aws.String(l.Options["awslogs-group"]),
			LogStreamName: aws.String(l.Options["awslogs-stream-prefix"] + "/" + c.Name + "/" + id),
			StartFromHead: aws.Bool(true),
		}
		for {
			out, err := logs.GetLogEvents(ctx, in)
			if err != nil {
				return lines, err
			}
			for _, e := range out.Events {
				lines = append(lines, Line{Container: c.Name, Time: time.UnixMilli(aws.ToInt64(e.Timestamp)), Message: aws.ToString(e.Message)})
			}
			if aws.ToString(out.NextForwardToken) == aws.ToString(in.NextToken) || len(out.Events) == 0 {
				break
			}
			in.NextToken = out.NextForwardToken
		}
	}
	return lines, nil
}
