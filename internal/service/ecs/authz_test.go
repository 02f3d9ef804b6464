package ecs_test

import (
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsecs "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"github.com/remit-ecs/remit/internal/service/ecs"
	"github.com/remit-ecs/remit/internal/testkit"
)

const home = "arn:aws:ecs:eu-west-1:111122223333:"

// TestRunTaskAsks allows exactly what RunTask needs, and then takes each away.
func TestRunTaskAsks(t *testing.T) {
	w := newWorld(t, nil)
	def := w.fargate("web", nil)
	trust := testkit.TrustService(ecs.TasksPrincipal)
	w.Role("override", trust)
	role := func(n string) string { return "arn:aws:iam::" + testkit.Account + ":role/" + n }
	needed := []struct{ resource, action, denied string }{
		{def, "ecs:RunTask", "is not authorized to perform: ecs:RunTask on resource: " + def},
		{home + "task/default/*", "ecs:TagResource", "is not authorized to perform: ecs:TagResource on resource: " + home + "task/default/"},
		{role("app"), "iam:PassRole", "is not authorized to perform: iam:PassRole on resource: " + role("app") + " because no identity-based policy allows the iam:PassRole action"},
		{role("exec"), "iam:PassRole", "is not authorized to perform: iam:PassRole on resource: " + role("exec")},
		{role("override"), "iam:PassRole", "is not authorized to perform: iam:PassRole on resource: " + role("override")},
	}
	in := runInput("web") // a family: asked as its latest revision
	in.Tags = []types.Tag{{Key: aws.String("k"), Value: aws.String("v")}}
	in.Overrides = &types.TaskOverride{TaskRoleArn: aws.String("override")}
	for skip := -1; skip < len(needed); skip++ {
		var policies []string
		for i, n := range needed {
			if i != skip {
				policies = append(policies, testkit.Allow(n.resource, n.action))
			}
		}
		_, err := w.client(policies...).RunTask(t.Context(), in)
		if skip < 0 {
			if err != nil {
				t.Errorf("all that is needed: %v", err)
			}
			continue
		}
		wantError(t, err, "AccessDeniedException", needed[skip].denied)
	}
	list, err := w.root.ListTasks(t.Context(), &awsecs.ListTasksInput{})
	if err != nil || len(list.TaskArns) != 1 {
		t.Errorf("refusals left tasks: %v %v", err, list)
	}
}

// TestRegisterAsks: the roles of a definition are passed when it is registered;
// whether they exist is not asked.
func TestRegisterAsks(t *testing.T) {
	w := newWorld(t, nil)
	in := &awsecs.RegisterTaskDefinitionInput{Family: aws.String("f"), TaskRoleArn: aws.String("nobody"),
		ContainerDefinitions: []types.ContainerDefinition{{Name: aws.String("a"), Image: aws.String("i"), Memory: aws.Int32(64)}}}
	register := testkit.Allow(home+"task-definition/f:*", "ecs:RegisterTaskDefinition")
	_, err := w.client(register).RegisterTaskDefinition(t.Context(), in)
	wantError(t, err, "AccessDeniedException", "is not authorized to perform: iam:PassRole on resource: arn:aws:iam::111122223333:role/nobody because no identity-based policy allows the iam:PassRole action")
	_, err = w.client(testkit.Allow("*", "iam:PassRole")).RegisterTaskDefinition(t.Context(), in)
	wantError(t, err, "AccessDeniedException", "is not authorized to perform: ecs:RegisterTaskDefinition on resource: "+home+"task-definition/f:*")
	if _, err = w.client(register, testkit.Allow("*", "iam:PassRole")).RegisterTaskDefinition(t.Context(), in); err != nil {
		t.Error(err)
	}
}

// TestRunTaskTrust: a role that does not trust ecs-tasks, or does not exist,
// refuses the request in ECS's words, and no task exists.
func TestRunTaskTrust(t *testing.T) {
	w := newWorld(t, nil)
	w.Role("lambda", testkit.TrustService("lambda.amazonaws.com"))
	w.Role("elsewhere", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ecs-tasks.amazonaws.com"},"Action":"sts:AssumeRole","Condition":{"ArnLike":{"aws:SourceArn":"arn:aws:ecs:us-east-1:111122223333:*"}}}]}`)
	w.Role("here", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ecs-tasks.amazonaws.com"},"Action":"sts:AssumeRole","Condition":{"ArnLike":{"aws:SourceArn":"arn:aws:ecs:eu-west-1:111122223333:*"},"StringEquals":{"aws:SourceAccount":"111122223333"}}}]}`)
	for name, ok := range map[string]bool{"lambda": false, "elsewhere": false, "nobody": false, "here": true} {
		def := w.fargate("f-"+name, func(in *awsecs.RegisterTaskDefinitionInput) { in.TaskRoleArn = &name })
		_, err := w.root.RunTask(t.Context(), runInput(def))
		if ok {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		wantError(t, err, "ClientException", "ECS was unable to assume the role 'arn:aws:iam::111122223333:role/"+name+"' that was provided for this task.")
	}
	list, err := w.root.ListTasks(t.Context(), &awsecs.ListTasksInput{})
	if err != nil || len(list.TaskArns) != 1 {
		t.Errorf("refusals left tasks: %v %v", err, list)
	}
}

// TestConditionKeys allows by condition only.
func TestConditionKeys(t *testing.T) {
	w := newWorld(t, nil)
	def := w.fargate("web", nil)
	when := func(action, resource, op, key, value string) string {
		return fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":%q,"Resource":%q,"Condition":{%q:{%q:%q}}},{"Effect":"Allow","Action":"iam:PassRole","Resource":"*","Condition":{"StringEquals":{"iam:PassedToService":"ecs-tasks.amazonaws.com"}}}]}`, action, resource, op, key, value)
	}
	ctx := t.Context()
	tests := []struct {
		name   string
		policy string
		call   func(c *awsecs.Client) error
		ok     bool
	}{
		{"cluster", when("ecs:RunTask", "*", "ArnEquals", "ecs:cluster", home+"cluster/default"), func(c *awsecs.Client) error { _, err := c.RunTask(ctx, runInput(def)); return err }, true},
		{"other cluster", when("ecs:RunTask", "*", "ArnEquals", "ecs:cluster", home+"cluster/prod"), func(c *awsecs.Client) error { _, err := c.RunTask(ctx, runInput(def)); return err }, false},
		{"cpu", when("ecs:RunTask", "*", "NumericLessThanEquals", "ecs:task-cpu", "256"), func(c *awsecs.Client) error { _, err := c.RunTask(ctx, runInput(def)); return err }, true},
		{"too much cpu", when("ecs:RunTask", "*", "NumericLessThanEquals", "ecs:task-cpu", "255"), func(c *awsecs.Client) error { _, err := c.RunTask(ctx, runInput(def)); return err }, false},
		{"list", when("ecs:ListTasks", "*", "ArnEquals", "ecs:cluster", home+"cluster/default"), func(c *awsecs.Client) error { _, err := c.ListTasks(ctx, &awsecs.ListTasksInput{}); return err }, true},
		{"compatibility", when("ecs:RegisterTaskDefinition", "*", "ForAnyValue:StringEquals", "ecs:compute-compatibility", "FARGATE"), func(c *awsecs.Client) error {
			_, err := c.RegisterTaskDefinition(ctx, &awsecs.RegisterTaskDefinitionInput{Family: aws.String("x"), Cpu: aws.String("256"), Memory: aws.String("512"), NetworkMode: "awsvpc",
				RequiresCompatibilities: []types.Compatibility{"FARGATE"}, ContainerDefinitions: []types.ContainerDefinition{{Name: aws.String("a"), Image: aws.String("i")}}})
			return err
		}, true},
		{"tag on create", when("ecs:*", "*", "StringEquals", "ecs:CreateAction", "RunTask"), func(c *awsecs.Client) error {
			_, err := c.CreateCluster(ctx, &awsecs.CreateClusterInput{ClusterName: aws.String("x"), Tags: []types.Tag{{Key: aws.String("k"), Value: aws.String("v")}}})
			return err
		}, false},
	}
	for _, tt := range tests {
		err := tt.call(w.client(tt.policy))
		if tt.ok != (err == nil) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

// TestRunTaskRefuses holds RunTask's checks to AWS's texts.
func TestRunTaskRefuses(t *testing.T) {
	w := newWorld(t, nil)
	fargate := w.fargate("web", nil)
	if _, err := w.root.RegisterTaskDefinition(t.Context(), &awsecs.RegisterTaskDefinitionInput{Family: aws.String("bridge"),
		ContainerDefinitions: []types.ContainerDefinition{{Name: aws.String("a"), Image: aws.String("i"), Memory: aws.Int32(64)}}}); err != nil {
		t.Fatal(err)
	}
	health := w.fargate("health", func(in *awsecs.RegisterTaskDefinitionInput) {
		in.ContainerDefinitions[0].LinuxParameters = &types.LinuxParameters{InitProcessEnabled: aws.Bool(true)}
	})
	type in = awsecs.RunTaskInput
	tests := []struct {
		name       string
		change     func(*in)
		code, text string
	}{
		{"no network", func(i *in) { i.NetworkConfiguration = nil }, "InvalidParameterException", "Network Configuration must be provided when networkMode 'awsvpc' is specified."},
		{"no subnets", func(i *in) { i.NetworkConfiguration.AwsvpcConfiguration.Subnets = []string{} }, "InvalidParameterException", "subnets can not be empty."},
		{"network for bridge", func(i *in) { i.TaskDefinition, i.LaunchType = aws.String("bridge"), "EC2" }, "InvalidParameterException", "Network Configuration is not valid for the given networkMode of this task definition."},
		{"no instances", func(i *in) {
			i.TaskDefinition, i.LaunchType, i.NetworkConfiguration = aws.String("bridge"), "EC2", nil
		}, "InvalidParameterException", "No Container Instances were found in your cluster."},
		{"bridge on fargate", func(i *in) { i.TaskDefinition, i.NetworkConfiguration = aws.String("bridge"), nil }, "InvalidParameterException", "Task definition does not support launch_type FARGATE."},
		{"count", func(i *in) { i.Count = aws.Int32(11) }, "InvalidParameterException", "between 1 and 10"},
		{"override of nobody", func(i *in) {
			i.Overrides = &types.TaskOverride{ContainerOverrides: []types.ContainerOverride{{Name: aws.String("x")}}}
		}, "InvalidParameterException", "Override for container named x is not a container in the TaskDefinition."},
		{"override size", func(i *in) { i.Overrides = &types.TaskOverride{Cpu: aws.String("512")} }, "InvalidParameterException", "No Fargate configuration exists for given values"},
		{"cluster", func(i *in) { i.Cluster = aws.String("nobody") }, "ClusterNotFoundException", "Cluster not found."},
		{"not honoured", func(i *in) { i.TaskDefinition = &health }, "ClientException", "'containerDefinitions.linuxParameters.initProcessEnabled'"},
		{"exec", func(i *in) { i.EnableExecuteCommand = true }, "ClientException", "enableExecuteCommand"},
		{"both", func(i *in) {
			i.CapacityProviderStrategy = []types.CapacityProviderStrategyItem{{CapacityProvider: aws.String("FARGATE")}}
		}, "InvalidParameterException", "capacity provider strategy"},
		{"platform", func(i *in) { i.PlatformVersion = aws.String("1.3.0") }, "PlatformUnknownException", ""},
		{"other account's role", func(i *in) {
			i.Overrides = &types.TaskOverride{TaskRoleArn: aws.String("arn:aws:iam::444455556666:role/x")}
		}, "AccessDeniedException", "Cross-account pass role is not allowed."},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			i := runInput(fargate)
			tt.change(i)
			_, err := w.root.RunTask(t.Context(), i)
			wantError(t, err, tt.code, tt.text)
		})
	}
}

func TestClientToken(t *testing.T) {
	w := newWorld(t, nil)
	in := runInput(w.fargate("web", nil))
	in.ClientToken, in.Count = aws.String("once"), aws.Int32(2)
	first, err := w.root.RunTask(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	again, err := w.root.RunTask(t.Context(), in)
	if err != nil || len(again.Tasks) != 2 || *again.Tasks[0].TaskArn != *first.Tasks[0].TaskArn {
		t.Errorf("again: %v %s", err, show(again))
	}
	in.Count = aws.Int32(1)
	_, err = w.root.RunTask(t.Context(), in)
	if c, _ := code(err); c != "ConflictException" {
		t.Errorf("another request: %v", err)
	}
}
