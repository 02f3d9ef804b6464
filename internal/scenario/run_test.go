package scenario

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	ecstypes "github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

func ended(name string, code int32, reason string) ecstypes.Container {
	c := ecstypes.Container{Name: &name, ExitCode: &code, Reason: set(reason)}
	if code < 0 {
		c.ExitCode = nil
	}
	return c
}

func TestResult(t *testing.T) {
	s := &Scenario{TaskDefinition: &ecs.RegisterTaskDefinitionInput{ContainerDefinitions: []ecstypes.ContainerDefinition{
		{Name: aws.String("app")}, {Name: aws.String("proxy"), Essential: aws.Bool(true)}, {Name: aws.String("helper"), Essential: aws.Bool(false)},
	}}}
	const exited, failed, user = ecstypes.TaskStopCodeEssentialContainerExited, ecstypes.TaskStopCodeTaskFailedToStart, ecstypes.TaskStopCodeUserInitiated
	for name, tc := range map[string]struct {
		code       ecstypes.TaskStopCode
		stopped    string
		containers []ecstypes.Container
		exit       int
		reason     string
		lines      []string
	}{
		"all well":                         {code: exited, containers: []ecstypes.Container{ended("app", 0, ""), ended("proxy", 0, "")}, lines: []string{"container app exited with 0", "container proxy exited with 0"}},
		"the helper does not matter":       {code: exited, containers: []ecstypes.Container{ended("helper", 3, ""), ended("proxy", 0, ""), ended("app", 0, "")}},
		"the one that failed":              {code: exited, containers: []ecstypes.Container{ended("proxy", 143, ""), ended("app", 7, "")}, exit: 7},
		"not the one that was terminated":  {code: exited, containers: []ecstypes.Container{ended("app", 137, ""), ended("proxy", 2, "")}, exit: 2},
		"killed":                           {code: exited, containers: []ecstypes.Container{ended("app", 137, "OutOfMemoryError: Container killed due to memory usage"), ended("proxy", 0, "")}, exit: 137, lines: []string{"container app exited with 137: OutOfMemoryError: Container killed due to memory usage", "container proxy exited with 0"}},
		"an essential without a code":      {code: exited, containers: []ecstypes.Container{ended("app", 0, ""), ended("proxy", -1, "CannotStartContainerError: no")}, exit: 1, lines: []string{"container app exited with 0", "container proxy did not run: CannotStartContainerError: no"}},
		"never ran":                        {code: failed, stopped: "CannotPullContainerError: denied", containers: []ecstypes.Container{ended("app", -1, "CannotPullContainerError: denied")}, exit: 1, reason: "CannotPullContainerError: denied"},
		"never ran, said by the container": {code: failed, stopped: "Task failed to start", containers: []ecstypes.Container{ended("app", -1, "CannotStartContainerError: no such file"), ended("proxy", 137, "")}, exit: 1, reason: "Task failed to start\ncontainer app: CannotStartContainerError: no such file"},
		"stopped from outside":             {code: user, stopped: "enough", containers: []ecstypes.Container{ended("app", 0, ""), ended("proxy", 143, "")}, exit: 143, reason: "enough"},
		"stopped before it started":        {code: user, stopped: "enough", exit: 1, reason: "enough"},
	} {
		r := s.result(&ecstypes.Task{StopCode: tc.code, StoppedReason: set(tc.stopped), Containers: tc.containers})
		if r.ExitCode != tc.exit || r.Reason != tc.reason {
			t.Errorf("%s: exit %d, reason %q; want %d, %q", name, r.ExitCode, r.Reason, tc.exit, tc.reason)
		}
		if got := r.Containers(); tc.lines != nil && !slices.Equal(got, tc.lines) || tc.code == failed && got != nil {
			t.Errorf("%s: %q, want %q", name, got, tc.lines)
		}
	}
}

// TestRows is about which of the roles asked.
func TestRows(t *testing.T) {
	const ask = `{"additionalEventData":{"remitAsks":[{"principal":"arn:aws:sts::111122223333:assumed-role/app/0123456789abcdef0123456789abcdef","roleArn":"arn:aws:iam::111122223333:role/app","action":"s3:GetObject","resource":"arn:aws:s3:::b/k","allowed":true}]}}`
	var app event
	if err := json.Unmarshal([]byte(ask), &app); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		task, execution *string
		want            string
	}{
		"task":         {aws.String("app"), aws.String("other"), "task"},
		"execution":    {aws.String("other"), aws.String("app"), "execution"},
		"both":         {aws.String("app"), aws.String("arn:aws:iam::111122223333:role/app"), "task and execution"},
		"no execution": {aws.String("app"), nil, "task"},
		"no task role": {nil, aws.String("app"), "execution"},
		"neither":      {nil, nil, ""},
	} {
		s := &Scenario{Account: "111122223333", TaskDefinition: &ecs.RegisterTaskDefinitionInput{TaskRoleArn: tc.task, ExecutionRoleArn: tc.execution}}
		rows := s.rows([]event{app, app})
		switch {
		case tc.want == "" && len(rows) == 0:
		case len(rows) != 1 || rows[0].Role != tc.want || rows[0].Count != 2:
			t.Errorf("%s: %+v, want one of %q, twice", name, rows, tc.want)
		}
	}
}
