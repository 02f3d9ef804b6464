package scenario

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	logstypes "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	ecstypes "github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// Result is what became of the task.
type Result struct {
	Task     *ecstypes.Task
	ExitCode int    // of the essential container; 1 where it has none
	Reason   string // why the task failed to start, or was stopped from outside; "" where its containers ended it
}

// Line is a line that a container wrote.
type Line struct {
	Container string
	Time      time.Time
	Message   string
}

// Run registers the task definition and runs it, as the scenario's caller, and
// waits until the task has stopped. An error of RegisterTaskDefinition or
// RunTask is returned as it is: then no task exists. Only these two are the
// caller's calls; it is the account's root that looks how the task is.
//
// Where ctx ends first, the task is stopped as the root, with the context's
// cause as the reason.
func (s *Scenario) Run(ctx context.Context, caller, root aws.Config, status func(string)) (*Result, error) {
	c := ecs.NewFromConfig(caller)
	registered, err := c.RegisterTaskDefinition(ctx, s.TaskDefinition)
	if err != nil {
		return nil, err
	}
	out, err := c.RunTask(ctx, &ecs.RunTaskInput{
		TaskDefinition: registered.TaskDefinition.TaskDefinitionArn,
		LaunchType:     ecstypes.LaunchTypeFargate,
		NetworkConfiguration: &ecstypes.NetworkConfiguration{AwsvpcConfiguration: &ecstypes.AwsVpcConfiguration{
			Subnets: s.Subnets, SecurityGroups: s.Groups,
		}},
	})
	if err != nil {
		return nil, err
	}
	if len(out.Tasks) == 0 {
		return nil, fmt.Errorf("RunTask started nothing:%s", failures(out.Failures))
	}
	w := watch{c: ecs.NewFromConfig(root), task: &out.Tasks[0], status: status}
	err = w.untilStopped(ctx)
	if ctx.Err() != nil {
		err = w.stop(context.WithoutCancel(ctx), context.Cause(ctx).Error())
	}
	if err != nil {
		return nil, err
	}
	return s.result(w.task), nil
}

func failures(fs []ecstypes.Failure) string {
	text := ""
	for _, f := range fs {
		text += " " + aws.ToString(f.Reason)
	}
	return text
}

// watch follows a task.
type watch struct {
	c      *ecs.Client
	task   *ecstypes.Task
	status func(string)
	last   string
}

func (w *watch) untilStopped(ctx context.Context) error {
	for {
		if now := aws.ToString(w.task.LastStatus); now != w.last {
			w.last = now
			w.status(now)
		}
		if w.last == "STOPPED" {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
		out, err := w.c.DescribeTasks(ctx, &ecs.DescribeTasksInput{Cluster: w.task.ClusterArn, Tasks: []string{aws.ToString(w.task.TaskArn)}})
		if err != nil {
			return err
		}
		if len(out.Tasks) != 1 {
			return fmt.Errorf("the task %s is gone", aws.ToString(w.task.TaskArn))
		}
		w.task = &out.Tasks[0]
	}
}

// stopWithin is how long a task may take to stop: containers that ignore
// SIGTERM are killed after stopTimeout, 2 minutes at most.
const stopWithin = 2*time.Minute + 15*time.Second

func (w *watch) stop(ctx context.Context, reason string) error {
	ctx, cancel := context.WithTimeout(ctx, stopWithin)
	defer cancel()
	if _, err := w.c.StopTask(ctx, &ecs.StopTaskInput{Cluster: w.task.ClusterArn, Task: w.task.TaskArn, Reason: &reason}); err != nil {
		return fmt.Errorf("stop the task (%s): %w", reason, err)
	}
	return w.untilStopped(ctx)
}

func (s *Scenario) result(task *ecstypes.Task) *Result {
	r := &Result{Task: task}
	if task.StopCode != ecstypes.TaskStopCodeEssentialContainerExited {
		r.Reason = stoppedReason(task)
	}
	if task.StopCode == ecstypes.TaskStopCodeTaskFailedToStart {
		r.ExitCode = 1
		return r
	}
	r.ExitCode = s.exitCode(task)
	return r
}

// Containers tells of each container how it ended, nothing where the task
// failed to start: Reason says why.
func (r *Result) Containers() []string {
	if r.Task.StopCode == ecstypes.TaskStopCodeTaskFailedToStart {
		return nil
	}
	var out []string
	for _, c := range r.Task.Containers {
		text := "container " + aws.ToString(c.Name) + " did not run"
		if c.ExitCode != nil {
			text = fmt.Sprintf("container %s exited with %d", aws.ToString(c.Name), *c.ExitCode)
		}
		if c.Reason != nil {
			text += ": " + *c.Reason
		}
		out = append(out, text)
	}
	return out
}

// stoppedReason is the task's; where that only says that the task failed to start,
// also what the containers say.
func stoppedReason(task *ecstypes.Task) string {
	text := aws.ToString(task.StoppedReason)
	for _, c := range task.Containers {
		if why := aws.ToString(c.Reason); why != "" && !strings.Contains(text, why) {
			text += "\ncontainer " + aws.ToString(c.Name) + ": " + why
		}
	}
	return strings.TrimPrefix(text, "\n")
}

// exitCode is that of the essential container. Where there are several, the
// first that failed counts, in the order of the definition; one that was
// terminated or killed, as ECS does to the others when one has exited, only
// where no other failed. An essential container without an exit code failed.
func (s *Scenario) exitCode(task *ecstypes.Task) int {
	const killed, terminated = 128 + 9, 128 + 15
	codes := map[string]int{}
	for _, c := range task.Containers {
		if c.ExitCode != nil {
			codes[aws.ToString(c.Name)] = int(*c.ExitCode)
		}
	}
	worst := 0
	for _, c := range s.TaskDefinition.ContainerDefinitions {
		if c.Essential != nil && !*c.Essential {
			continue
		}
		code, has := codes[aws.ToString(c.Name)]
		if !has {
			code = 1
		}
		if code != 0 && code != killed && code != terminated {
			return code
		}
		if worst == 0 {
			worst = code
		}
	}
	return worst
}

// Logs reads what the task's containers wrote from CloudWatch Logs, as the
// account's root.
func (s *Scenario) Logs(ctx context.Context, root aws.Config, task *ecstypes.Task) ([]Line, error) {
	_, id, _ := cutLast(aws.ToString(task.TaskArn), "/")
	var lines []Line
	for i := range s.TaskDefinition.ContainerDefinitions {
		name := aws.ToString(s.TaskDefinition.ContainerDefinitions[i].Name)
		l := s.TaskDefinition.ContainerDefinitions[i].LogConfiguration
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
			LogStreamName: aws.String(l.Options["awslogs-stream-prefix"] + "/" + name + "/" + id),
			StartFromHead: aws.Bool(true),
		}
		for {
			out, err := logs.GetLogEvents(ctx, in)
			if _, none := errors.AsType[*logstypes.ResourceNotFoundException](err); none {
				break // the container never started
			}
			if err != nil {
				return lines, err
			}
			for _, e := range out.Events {
				lines = append(lines, Line{Container: name, Time: time.UnixMilli(aws.ToInt64(e.Timestamp)), Message: aws.ToString(e.Message)})
			}
			if aws.ToString(out.NextForwardToken) == aws.ToString(in.NextToken) || len(out.Events) == 0 {
				break
			}
			in.NextToken = out.NextForwardToken
		}
	}
	slices.SortStableFunc(lines, func(a, b Line) int { return a.Time.Compare(b.Time) })
	return lines, nil
}
