package explanation

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	ecstypes "github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"github.com/remit-ecs/remit/arn"
)

// Task is a task, how it ended, and what its roles called.
type Task struct {
	ARN           string      `json:"taskArn,omitempty"`
	Status        string      `json:"lastStatus,omitempty"` // "" where ECS does not know the task any more
	StopCode      string      `json:"stopCode,omitempty"`
	StoppedReason string      `json:"stoppedReason,omitempty"`
	Containers    []Container `json:"containers,omitempty"`
	Roles         []Role      `json:"roles"`
}

// Container is how a container of a task ended.
type Container struct {
	Name     string `json:"name"`
	ExitCode *int32 `json:"exitCode,omitempty"`
	Reason   string `json:"reason,omitempty"`
}

// Role is who made calls for a task.
type Role struct {
	Use    string `json:"use"`           // one of the Use constants
	ARN    string `json:"arn,omitempty"` // "" for ECS itself
	Calls  int    `json:"calls"`
	Denied int    `json:"denied"`
}

// What a principal is to a task.
const (
	UseExecution = "task execution role"
	UseTask      = "task role"
	UseBoth      = "task and task execution role"
	UseECS       = "ECS, which assumes the roles"
	UseOther     = "another role under the task's name"
)

const tasksPrincipal = "ecs-tasks.amazonaws.com"

// TaskID is the form of a task's id, which is also its roles' session name.
var TaskID = regexp.MustCompile(`^[0-9a-f]{32}$`)

// Task explains a task, named by its ARN or its id: how it ended, and which
// calls its roles were denied, as they were decided then. In cluster it is
// looked for, by default in all of the account's.
func (e *Explainer) Task(ctx context.Context, name, cluster string) (*Explanation, error) {
	id, region := name, ""
	if a, err := arn.Parse(name); err == nil {
		kind, rest := a.Type()
		if a.Service != "ecs" || kind != "task" {
			return nil, fmt.Errorf("%w: %s is not a task", ErrUnusable, name)
		}
		in, last, ok := strings.Cut(rest, "/")
		if id = last; !ok {
			id, in = rest, ""
		}
		region, cluster = a.Region, cmp.Or(cluster, in)
	}
	if !TaskID.MatchString(id) {
		return nil, fmt.Errorf("%w: %s is not a task's id", ErrUnusable, id)
	}
	x := &Explanation{Allowed: true, Task: &Task{Roles: []Role{}}}
	task, err := e.find(ctx, region, cluster, id, x)
	if err != nil {
		return nil, err
	}
	roles := e.roles(ctx, region, task, x)
	events, err := e.eventsOf(ctx, region, id, task, roles)
	if err != nil {
		return nil, err
	}
	if task == nil && len(events) == 0 {
		return nil, fmt.Errorf("task %s: %w among the tasks, nor in the trail of %s", id, ErrNotFound, either(e.regions(region)))
	}
	if task != nil {
		x.Task.fill(task)
	} else {
		x.Notes = append(x.Notes, "ECS does not know the task any more, an hour after it stopped: this is what the trail has of it")
	}
	x.count(events, roles)
	return x, nil
}

// find describes the task; nil where ECS does not know it.
func (e *Explainer) find(ctx context.Context, region, cluster, id string, x *Explanation) (*ecstypes.Task, error) {
	c := ecs.NewFromConfig(e.in(region))
	clusters := []string{cluster}
	if cluster == "" {
		clusters = nil
		pages := ecs.NewListClustersPaginator(c, nil)
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				x.Notes = append(x.Notes, refusedAs("the clusters cannot be listed (name the task's with --cluster)", err).Error())
				clusters = []string{"default"}
				break
			}
			clusters = append(clusters, page.ClusterArns...)
		}
	}
	for _, name := range clusters {
		out, err := c.DescribeTasks(ctx, &ecs.DescribeTasksInput{Cluster: &name, Tasks: []string{id}})
		switch {
		case err == nil && len(out.Tasks) == 1:
			return &out.Tasks[0], nil
		case code(err) == "ClusterNotFoundException":
		case err != nil && cluster != "":
			return nil, refusedAs("describe the task", err)
		case err != nil:
			x.Notes = append(x.Notes, refusedAs("describe the tasks of "+name, err).Error())
		}
	}
	return nil, nil
}

func (t *Task) fill(task *ecstypes.Task) {
	t.ARN, t.Status = aws.ToString(task.TaskArn), aws.ToString(task.LastStatus)
	t.StopCode, t.StoppedReason = string(task.StopCode), aws.ToString(task.StoppedReason)
	for _, c := range task.Containers {
		t.Containers = append(t.Containers, Container{Name: aws.ToString(c.Name), ExitCode: c.ExitCode, Reason: aws.ToString(c.Reason)})
	}
}

// roles are the uses of the task's roles, by ARN.
func (e *Explainer) roles(ctx context.Context, region string, task *ecstypes.Task, x *Explanation) map[string]string {
	uses := map[string]string{}
	if task == nil {
		return uses
	}
	var taskRole, executionRole string
	out, err := ecs.NewFromConfig(e.in(region)).DescribeTaskDefinition(ctx, &ecs.DescribeTaskDefinitionInput{TaskDefinition: task.TaskDefinitionArn})
	if err != nil {
		x.Notes = append(x.Notes, refusedAs("the task definition, which names the roles", err).Error())
	} else {
		taskRole, executionRole = aws.ToString(out.TaskDefinition.TaskRoleArn), aws.ToString(out.TaskDefinition.ExecutionRoleArn)
	}
	if o := task.Overrides; o != nil {
		taskRole = cmp.Or(aws.ToString(o.TaskRoleArn), taskRole)
		executionRole = cmp.Or(aws.ToString(o.ExecutionRoleArn), executionRole)
	}
	owner, _ := arn.Parse(aws.ToString(task.TaskArn))
	for _, r := range [...]struct{ role, use string }{{executionRole, UseExecution}, {taskRole, UseTask}} {
		if r.role == "" {
			continue
		}
		if _, err := arn.Parse(r.role); err != nil { // a task definition may name a role without its ARN
			r.role = "arn:" + owner.Partition + ":iam::" + owner.Account + ":role/" + strings.TrimPrefix(r.role, "/")
		}
		if uses[r.role] != "" {
			r.use = UseBoth
		}
		uses[r.role] = r.use
	}
	return uses
}

// eventsOf are the calls of sessions with the task's name, and ECS's own to get
// these sessions, oldest first.
func (e *Explainer) eventsOf(ctx context.Context, region, id string, task *ecstypes.Task, roles map[string]string) ([]event, error) {
	var since *time.Time
	if task != nil && task.CreatedAt != nil {
		since = aws.Time(task.CreatedAt.Add(-time.Minute))
	}
	seen := map[string]bool{}
	var out []event
	add := func(events []event, ours func(*event) bool) {
		for i := range events {
			if ev := &events[i]; !seen[ev.EventID] && ours(ev) {
				seen[ev.EventID] = true
				out = append(out, *ev)
			}
		}
	}
	for _, in := range e.regions(region) {
		events, err := e.lookup(ctx, in, attribute("Username", id), since)
		if err != nil {
			return nil, err
		}
		add(events, func(*event) bool { return true })
		for role := range roles {
			events, err := e.lookup(ctx, in, attribute("ResourceName", role), since)
			if err != nil {
				return nil, err
			}
			add(events, func(ev *event) bool {
				return ev.UserIdentity.InvokedBy == tasksPrincipal && ev.RequestParameters.RoleSessionName == id
			})
		}
	}
	slices.SortStableFunc(out, func(a, b event) int { return a.EventTime.Compare(b.EventTime) })
	return out, nil
}

// count counts the calls by role, and keeps those that were denied, alike ones
// once.
func (x *Explanation) count(events []event, uses map[string]string) {
	by := map[[2]string]*Role{}
	for arn, use := range uses {
		by[[2]string{use, arn}] = &Role{Use: use, ARN: arn}
	}
	alike := map[string]int{}
	for i := range events {
		c := events[i].call()
		role := ""
		if len(c.Decisions) > 0 {
			role = c.Decisions[0].RoleARN
		}
		use := uses[role]
		switch {
		case c.Caller == tasksPrincipal:
			use, role = UseECS, ""
		case use == "":
			use = UseOther
		}
		r := by[[2]string{use, role}]
		if r == nil {
			r = &Role{Use: use, ARN: role}
			by[[2]string{use, role}] = r
		}
		r.Calls++
		refused := c.denied()
		if len(refused) == 0 {
			continue
		}
		r.Denied++
		x.Allowed = x.Allowed && c.Allowed
		key := use + " " + c.Operation
		for _, d := range refused {
			key += " " + d.Principal + " " + d.Action + " " + d.Resource + " " + d.Why
		}
		if n, ok := alike[key]; ok {
			x.Calls[n].Count++
			continue
		}
		alike[key] = len(x.Calls)
		c.Role, c.Count, c.Decisions = use, 1, refused
		x.Calls = append(x.Calls, c)
	}
	for _, r := range by {
		x.Task.Roles = append(x.Task.Roles, *r)
	}
	order := []string{UseECS, UseExecution, UseTask, UseBoth, UseOther}
	slices.SortFunc(x.Task.Roles, func(a, b Role) int {
		return cmp.Or(cmp.Compare(slices.Index(order, a.Use), slices.Index(order, b.Use)), cmp.Compare(a.ARN, b.ARN))
	})
}
