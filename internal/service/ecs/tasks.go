package ecs

import (
	"cmp"
	"slices"
	"time"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/ecsapi"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/gateway"
)

var order = []string{StatusProvisioning, StatusPending, StatusActivating, StatusRunning, StatusDeactivating, StatusStopping, StatusDeprovisioning, StatusStopped}

// advance moves a task forward to a status; never back. The version counts
// every status, also those passed on the way, as observers of AWS see it do.
func advance(t *Task, to string) {
	from, target := slices.Index(order, t.Status()), slices.Index(order, to)
	if target <= from {
		return
	}
	*t.Shown.Version += int64(target - from)
	t.Shown.LastStatus = &to
}

// touch counts a change that is not one of status.
func touch(t *Task) { *t.Shown.Version++ }

// wantStopped asks for the end of a task. The first reason stays.
func wantStopped(t *Task, code ecsapi.TaskStopCode, reason string, now time.Time) {
	if t.Desired() == StatusStopped {
		return
	}
	t.Shown.DesiredStatus = api.Ptr(StatusStopped)
	t.Shown.StoppingAt = api.At(now)
	t.Shown.StopCode = code
	t.Shown.StoppedReason = &reason
	touch(t)
}

// finish makes a task STOPPED.
func (s *Service) finish(t *Task, now time.Time) {
	t.Shown.DesiredStatus = api.Ptr(StatusStopped)
	if t.Shown.StoppingAt == nil {
		t.Shown.StoppingAt = api.At(now)
	}
	t.Shown.StoppedAt = api.At(now)
	for i := range t.Shown.Containers {
		t.Shown.Containers[i].LastStatus = api.Ptr(StatusStopped)
	}
	if t.Interface != nil {
		showInterface(t, "DELETED")
	}
	t.RemoveAt = now.Add(s.KeepStopped)
	advance(t, StatusStopped)
}

func showTask(t *Task, tags bool) *ecsapi.Task {
	out := t.Shown
	out.Tags = []ecsapi.Tag{}
	if tags {
		out.Tags = orEmpty(t.Tags)
	}
	return &out
}

func startRequest(in *ecsapi.StartTaskInput) *taskRequest {
	return &taskRequest{
		cluster: in.Cluster, definition: in.TaskDefinition, overrides: in.Overrides, network: in.NetworkConfiguration,
		launch: ecsapi.LaunchTypeEc2, count: 1, group: in.Group, startedBy: in.StartedBy, tags: in.Tags,
		managedTags: in.EnableECSManagedTags, propagate: in.PropagateTags, execute: in.EnableExecuteCommand, volumes: in.VolumeConfigurations,
	}
}

func (s *Service) mayStartTask(c *gateway.Call, in *ecsapi.StartTaskInput) ([]authz.Ask, error) {
	ref, err := cluster(c, in.Cluster)
	if err != nil {
		return nil, err
	}
	if n := len(in.ContainerInstances); n == 0 || n > 10 {
		return nil, ecsapi.InvalidParameterException("Container Instances cannot be empty and can have at most 10 elements.")
	}
	k := keys{}
	for _, ci := range in.ContainerInstances {
		id, err := ref.member("container-instance", ci)
		if err != nil {
			return nil, err
		}
		k["ecs:container-instances"] = append(k["ecs:container-instances"], ref.resource("container-instance", id))
	}
	return s.ask(c, startRequest(in), k)
}

// startTask puts one task on each named instance.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_StartTask.html
func (s *Service) startTask(c *gateway.Call, in *ecsapi.StartTaskInput) (*ecsapi.StartTaskOutput, error) {
	ref, err := cluster(c, in.Cluster)
	if err != nil {
		return nil, err
	}
	spec, err := s.prepare(c, ref, startRequest(in))
	if err != nil {
		return nil, err
	}
	out := &ecsapi.StartTaskOutput{Tasks: []ecsapi.Task{}, Failures: []ecsapi.Failure{}}
	fail := func(arn, reason string) {
		out.Failures = append(out.Failures, ecsapi.Failure{Arn: &arn, Reason: &reason})
	}
	seen := map[string]bool{}
	for n, ci := range in.ContainerInstances {
		id, err := ref.member("container-instance", ci)
		if err != nil {
			return nil, err
		}
		if seen[id] {
			return nil, ecsapi.InvalidParameterException("Container instance %s is named more than once.", id)
		}
		seen[id] = true
		host, ok := instances.Get(c.Tx, c.Home, ref.name+"/"+id)
		if !ok {
			fail(ref.resource("container-instance", id), "MISSING")
			continue
		}
		placed, failures, err := s.place(c, []*Instance{host}, []*Task{s.newTask(c, spec, taskID(c, n))})
		if err != nil {
			return nil, err
		}
		out.Failures = append(out.Failures, failures...)
		for _, t := range placed {
			tasks.Put(c.Tx, t.key(), t)
			out.Tasks = append(out.Tasks, *showTask(t, true))
		}
	}
	return out, nil
}

func (s *Service) taskKeys(c *gateway.Call, ref clusterRef, id string) keys {
	k := keys{"ecs:cluster": {ref.arn()}}
	if t, ok := tasks.Get(c.Tx, gateway.Regional(ref.account, ref.region), ref.name+"/"+id); ok {
		k.resourceTags(t.Tags)
	}
	return k
}

func (s *Service) mayStopTask(c *gateway.Call, in *ecsapi.StopTaskInput) ([]authz.Ask, error) {
	ref, err := cluster(c, in.Cluster)
	if err != nil {
		return nil, err
	}
	id, err := ref.member("task", api.Value(in.Task))
	if err != nil {
		return nil, err
	}
	return one("ecs:StopTask", ref.resource("task", id), s.taskKeys(c, ref, id)), nil
}

// stopTask asks for the end of a task and answers at once.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_StopTask.html
func (s *Service) stopTask(c *gateway.Call, in *ecsapi.StopTaskInput) (*ecsapi.StopTaskOutput, error) {
	ref, err := cluster(c, in.Cluster)
	if err != nil {
		return nil, err
	}
	if err := ref.own(c); err != nil {
		return nil, err
	}
	if _, err := s.findCluster(c.Tx, ref); err != nil {
		return nil, err
	}
	id, err := ref.member("task", api.Value(in.Task))
	if err != nil {
		return nil, err
	}
	if len(api.Value(in.Reason)) > 1024 {
		return nil, ecsapi.InvalidParameterException("The reason must have at most 1024 characters.")
	}
	t, ok := tasks.Edit(c.Tx, ref.name+"/"+id)
	if !ok {
		return nil, ecsapi.InvalidParameterException("The referenced task was not found.")
	}
	if t.Desired() != StatusStopped {
		wantStopped(t, ecsapi.TaskStopCodeUserInitiated, cmp.Or(api.Value(in.Reason), "Task stopped by user"), c.Time)
		tasks.Put(c.Tx, t.key(), t)
	}
	return &ecsapi.StopTaskOutput{Task: showTask(t, true)}, nil
}

func (s *Service) mayDescribeTasks(c *gateway.Call, in *ecsapi.DescribeTasksInput) ([]authz.Ask, error) {
	ref, err := cluster(c, in.Cluster)
	if err != nil {
		return nil, err
	}
	switch n := len(in.Tasks); {
	case n == 0:
		return nil, ecsapi.InvalidParameterException("Tasks cannot be empty.")
	case n > 100:
		return nil, ecsapi.InvalidParameterException("Tasks cannot have more than 100 elements.")
	}
	var asks []authz.Ask
	for _, name := range in.Tasks {
		id, err := ref.member("task", name)
		if err != nil {
			return nil, err
		}
		asks = append(asks, one("ecs:DescribeTasks", ref.resource("task", id), s.taskKeys(c, ref, id))...)
	}
	return asks, nil
}

func (s *Service) describeTasks(c *gateway.Call, in *ecsapi.DescribeTasksInput) (*ecsapi.DescribeTasksOutput, error) {
	ref, err := cluster(c, in.Cluster)
	if err != nil {
		return nil, err
	}
	if err := ref.own(c); err != nil {
		return nil, err
	}
	if _, err := s.findCluster(c.Tx, ref); err != nil {
		return nil, err
	}
	out := &ecsapi.DescribeTasksOutput{Tasks: []ecsapi.Task{}, Failures: []ecsapi.Failure{}}
	for _, name := range in.Tasks {
		id, err := ref.member("task", name)
		if err != nil {
			return nil, err
		}
		if t, ok := tasks.Get(c.Tx, c.Home, ref.name+"/"+id); ok {
			out.Tasks = append(out.Tasks, *showTask(t, slices.Contains(in.Include, ecsapi.TaskFieldTags)))
		} else {
			out.Failures = append(out.Failures, ecsapi.Failure{Arn: api.Ptr(ref.resource("task", id)), Reason: api.Ptr("MISSING")})
		}
	}
	return out, nil
}

// mayListTasks asks for the named container instance, or for all of the
// cluster.
func (s *Service) mayListTasks(c *gateway.Call, in *ecsapi.ListTasksInput) ([]authz.Ask, error) {
	ref, err := cluster(c, in.Cluster)
	if err != nil {
		return nil, err
	}
	id, k := "*", keys{"ecs:cluster": {ref.arn()}}
	if ci := api.Value(in.ContainerInstance); ci != "" {
		if id, err = ref.member("container-instance", ci); err != nil {
			return nil, err
		}
		if i, ok := instances.Get(c.Tx, gateway.Regional(ref.account, ref.region), ref.name+"/"+id); ok {
			k.resourceTags(i.Tags)
		}
	}
	return one("ecs:ListTasks", ref.resource("container-instance", id), k), nil
}

// listTasks filters by what is given; without a desired status it lists those
// that are to run.
// https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ListTasks.html
func (s *Service) listTasks(c *gateway.Call, in *ecsapi.ListTasksInput) (*ecsapi.ListTasksOutput, error) {
	ref, err := cluster(c, in.Cluster)
	if err != nil {
		return nil, err
	}
	if err := ref.own(c); err != nil {
		return nil, err
	}
	if _, err := s.findCluster(c.Tx, ref); err != nil {
		return nil, err
	}
	if in.ServiceName != nil {
		return nil, ecsapi.ServiceNotFoundException("Service not found.")
	}
	p, err := newPage(c, in.MaxResults, in.NextToken)
	if err != nil {
		return nil, err
	}
	host := ""
	if ci := api.Value(in.ContainerInstance); ci != "" {
		id, err := ref.member("container-instance", ci)
		if err != nil {
			return nil, err
		}
		host = ref.resource("container-instance", id)
	}
	desired := string(cmp.Or(in.DesiredStatus, ecsapi.DesiredStatusRunning))
	out := &ecsapi.ListTasksOutput{TaskArns: []string{}}
	for key, t := range tasks.Prefix(c.Tx, c.Home, ref.name+"/") {
		switch {
		case key <= p.after,
			t.Desired() != desired,
			host != "" && api.Value(t.Shown.ContainerInstanceArn) != host,
			api.Value(in.Family) != "" && t.Family != *in.Family,
			api.Value(in.StartedBy) != "" && api.Value(t.Shown.StartedBy) != *in.StartedBy,
			in.LaunchType != "" && t.Shown.LaunchType != in.LaunchType:
			continue
		}
		if p.full(key) {
			break
		}
		out.TaskArns = append(out.TaskArns, t.ARN())
	}
	out.NextToken = p.token(c)
	return out, nil
}
