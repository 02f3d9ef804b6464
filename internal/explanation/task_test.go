package explanation_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/remit-ecs/remit/internal/controlplane"
	"github.com/remit-ecs/remit/internal/explanation"
	"github.com/remit-ecs/remit/internal/scenario"
	"github.com/remit-ecs/remit/internal/testkit/whole"
)

// broken runs one of the broken examples on a server with a host, and returns
// what became of its task, or the request id of the call that made none.
func broken(t *testing.T, name string) (*whole.System, *scenario.Scenario, *scenario.Result, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	sc, err := scenario.Load("../../examples/orders-broken/" + name)
	if err != nil {
		t.Fatal(err)
	}
	s := whole.Start(t, func(o *controlplane.Options) {
		o.Region, o.Runtime = sc.Region, controlplane.RuntimeProcess
		if os.Getuid() == 0 {
			o.Runtime = controlplane.RuntimeEmbedded
		}
	})
	root := s.Root()
	root.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenSupported
	caller, _, err := sc.Apply(ctx, root)
	if err != nil {
		t.Fatal(err)
	}
	if err := sc.PushImages(ctx, root, func(string, int64, int64) {}); err != nil {
		t.Fatal(err)
	}
	result, err := sc.Run(ctx, caller, root, func(string) {})
	return s, sc, result, err
}

// TestBrokenTasks explains each task of the broken examples that stopped
// because its execution role was denied something: which call, and which
// statement is missing. Once the role and the task definition are gone the
// trail still tells it.
func TestBrokenTasks(t *testing.T) {
	for name, want := range map[string]string{
		"pull":   `"Action":"ecr:BatchGetImage","Resource":"arn:aws:ecr:us-east-1:111122223333:repository/orders"`,
		"secret": `"Action":"secretsmanager:GetSecretValue","Resource":"arn:aws:secretsmanager:us-east-1:111122223333:secret:orders/db-Xq3vRt"`,
		"logs":   `"Action":"logs:CreateLogStream","Resource":"arn:aws:logs:us-east-1:111122223333:log-group:/ecs/orders:log-stream:ecs/orders/*"`,
	} {
		t.Run(name, func(t *testing.T) {
			s, sc, result, err := broken(t, name)
			if err != nil {
				t.Fatal(err)
			}
			ctx := context.Background()
			e := explanation.New(s.Root())
			taskARN := aws.ToString(result.Task.TaskArn)
			x, err := e.Task(ctx, taskARN, "")
			if err != nil {
				t.Fatal(err)
			}
			var b strings.Builder
			if err := x.Text(&b); err != nil {
				t.Fatal(err)
			}
			if x.Allowed || !strings.Contains(b.String(), want) || !strings.Contains(b.String(), "(TaskFailedToStart)") {
				t.Errorf("want %s in\n%s", want, b.String())
			}
			golden(t, "task-"+name, x)

			// By the id alone, in all clusters; and after the role is gone.
			for _, p := range sc.Roles.Roles {
				if p.RoleName == "ecsTaskExecutionRole" {
					remove(t, s, p)
				}
			}
			again, err := e.Task(ctx, taskARN[strings.LastIndexByte(taskARN, '/')+1:], "")
			if err != nil {
				t.Fatal(err)
			}
			golden(t, "task-"+name, again)
		})
	}
}

// TestNoTask explains the broken examples where RunTask was refused, by the
// request id of that call.
func TestNoTask(t *testing.T) {
	for _, name := range []string{"trust", "passrole"} {
		t.Run(name, func(t *testing.T) {
			s, _, _, err := broken(t, name)
			x, err := explanation.New(s.Root()).Request(context.Background(), requestID(t, err))
			if err != nil {
				t.Fatal(err)
			}
			if x.Allowed {
				t.Error("it was denied")
			}
			golden(t, "no-task-"+name, x)
		})
	}
}

// remove deletes a role with all that is attached to it.
func remove(t *testing.T, s *whole.System, r scenario.Role) {
	t.Helper()
	ctx := context.Background()
	c := iam.NewFromConfig(s.Root())
	for _, p := range r.RolePolicyList {
		if _, err := c.DeleteRolePolicy(ctx, &iam.DeleteRolePolicyInput{RoleName: &r.RoleName, PolicyName: &p.PolicyName}); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range r.AttachedManagedPolicies {
		if _, err := c.DetachRolePolicy(ctx, &iam.DetachRolePolicyInput{RoleName: &r.RoleName, PolicyArn: &p.PolicyArn}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: &r.RoleName}); err != nil {
		t.Fatal(err)
	}
}

// TestNoSuchTask: neither ECS nor the trail knows it.
func TestNoSuchTask(t *testing.T) {
	e := explanation.New(whole.Start(t, nil).Root())
	for name, want := range map[string]error{
		strings.Repeat("0", 32): explanation.ErrNotFound,
		"arn:aws:ecs:" + whole.Region + ":" + whole.Account + ":task/default/" + strings.Repeat("0", 32): explanation.ErrNotFound,
		"arn:aws:ecs:" + whole.Region + ":" + whole.Account + ":task/" + strings.Repeat("0", 32):         explanation.ErrNotFound,
		"arn:aws:ecs:" + whole.Region + ":" + whole.Account + ":cluster/default":                         explanation.ErrUnusable,
		"0123": explanation.ErrUnusable,
	} {
		if _, err := e.Task(context.Background(), name, ""); !errors.Is(err, want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
