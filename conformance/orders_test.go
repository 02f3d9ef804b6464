package conformance

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// lines that a successful run prints, as regular expressions, in any order.
var ordersLines = []string{
	`orders: I am arn:aws:sts::111122223333:assumed-role/ordersTask/[0-9a-f]{32}`,
	`orders: DB_PASSWORD has 21 characters, FEATURE_FLAGS=fast-checkout`,
	`orders: configuration \{"currency": "EUR"\}`,
	`AccessDeniedException: User: arn:aws:sts::111122223333:assumed-role/ordersTask/[0-9a-f]{32} is not authorized to perform: secretsmanager:GetSecretValue on resource: arn:aws:secretsmanager:us-east-1:111122223333:secret:orders/db-Xq3vRt because no identity-based policy allows the secretsmanager:GetSecretValue action`,
	`orders: done`,
	`(?m)^caller +root +ecs:RegisterTaskDefinition .* allowed`,
	`(?m)^caller +root +iam:PassRole +role/ordersTask +allowed`,
	`(?m)^caller +root +iam:PassRole +role/ecsTaskExecutionRole +allowed`,
	`(?m)^caller +root +ecs:RunTask +task-definition/orders:1 +allowed`,
	`(?m)^ECS +ecs-tasks.amazonaws.com +sts:AssumeRole +role/ordersTask +allowed`,
	`(?m)^ECS +ecs-tasks.amazonaws.com +sts:AssumeRole +role/ecsTaskExecutionRole +allowed`,
	`(?m)^execution +assumed-role/ecsTaskExecutionRole/[0-9a-f]{8}\.\.\. +ecr:GetAuthorizationToken +\* +allowed`,
	`(?m)^execution +\S+ +ecr:BatchGetImage +repository/orders +allowed`,
	`(?m)^execution +\S+ +ecr:GetDownloadUrlForLayer +repository/orders +allowed`,
	`(?m)^execution +\S+ +secretsmanager:GetSecretValue +secret:orders/db-Xq3vRt +allowed +orders-start, statement ReadSecret`,
	`(?m)^execution +\S+ +ssm:GetParameters +parameter/orders/feature-flags +allowed`,
	`(?m)^execution +\S+ +logs:CreateLogStream +log-group:/ecs/orders:log-stream:ecs/orders/[0-9a-f]{8}\.\.\. +allowed`,
	`(?m)^execution +\S+ +logs:PutLogEvents +\S+ +allowed`,
	`(?m)^task +assumed-role/ordersTask/[0-9a-f]{8}\.\.\. +sts:GetCallerIdentity +\* +allowed`,
	`(?m)^task +\S+ +s3:GetObject +s3://orders-config-111122223333/orders/config.json +allowed +orders-config, statement ReadConfiguration`,
	`(?m)^task +\S+ +secretsmanager:GetSecretValue +secret:orders/db-Xq3vRt +DENIED +no identity-based policy allows`,
	`would be allowed by: .*"Action": ?"secretsmanager:GetSecretValue"`,
	`container orders exited with 0`,
}

func expectOrders(t *testing.T, r result) {
	t.Helper()
	if r.code != 0 {
		t.Errorf("exit %d, want 0", r.code)
	}
	for _, l := range ordersLines {
		if !regexp.MustCompile(l).MatchString(r.stdout) {
			t.Errorf("not printed: %s", l)
		}
	}
}

// TestOrders is the main job: the example as a new user runs it, in a real
// container as root.
func TestOrders(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root: containers with their own network")
	}
	expectOrders(t, run(t, nil, "run", scenarioDir(t, "orders")))
}

// TestOrdersWithoutRoot runs it as an ordinary user without any capability, in
// a user namespace.
func TestOrdersWithoutRoot(t *testing.T) {
	who := as(nil)
	if os.Getuid() == 0 {
		who = nobody
	}
	r := run(t, who, "run", scenarioDir(t, "orders"))
	expectOrders(t, r)
}

// TestOrdersAsProcess runs it without any namespace, and loudly says so.
func TestOrdersAsProcess(t *testing.T) {
	who := as(nil)
	if os.Getuid() == 0 {
		who = nobody
	}
	r := run(t, who, "run", "--runtime", "process", scenarioDir(t, "orders"))
	expectOrders(t, r)
	if !strings.Contains(r.stdout, "NOTHING IS ISOLATED") {
		t.Error("nothing said that nothing is isolated")
	}
}

// TestBroken runs the example with one thing wrong, five times, and wants AWS's
// words.
func TestBroken(t *testing.T) {
	const session = `arn:aws:sts::111122223333:assumed-role/ecsTaskExecutionRole/[0-9a-f]{32}`
	for name, want := range map[string]string{
		"trust": `^ClientException: ECS was unable to assume the role 'arn:aws:iam::111122223333:role/ordersTask' that was provided for this task\. Please verify that the role being passed has the proper trust relationship and permissions and that your IAM user has permissions to pass this role\.$`,
		"pull": `^CannotPullContainerError: pull image manifest has been retried [0-9]+ time\(s\): failed to resolve ref 111122223333\.dkr\.ecr\.us-east-1\.amazonaws\.com/orders:1: .*User: ` + session +
			` is not authorized to perform: ecr:BatchGetImage on resource: arn:aws:ecr:us-east-1:111122223333:repository/orders because no identity-based policy allows the ecr:BatchGetImage action`,
		"secret": `^ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed: unable to retrieve secret from asm: service call has been retried [0-9]+ time\(s\): .*AccessDeniedException: User: ` + session +
			` is not authorized to perform: secretsmanager:GetSecretValue on resource: arn:aws:secretsmanager:us-east-1:111122223333:secret:orders/db-Xq3vRt because no identity-based policy allows the secretsmanager:GetSecretValue action`,
		"logs": `^ResourceInitializationError: failed to validate logger args: create stream has been retried [0-9]+ times: failed to create Cloudwatch log stream: .*AccessDeniedException: User: ` + session +
			` is not authorized to perform: logs:CreateLogStream on resource: arn:aws:logs:us-east-1:111122223333:log-group:/ecs/orders:log-stream:ecs/orders/[0-9a-f]{32} because no identity-based policy allows the logs:CreateLogStream action`,
		"passrole": `^AccessDeniedException: User: arn:aws:iam::111122223333:user/deployer is not authorized to perform: iam:PassRole on resource: arn:aws:iam::111122223333:role/(ordersTask|ecsTaskExecutionRole) because no identity-based policy allows the iam:PassRole action$`,
	} {
		t.Run(name, func(t *testing.T) {
			r := run(t, nil, "run", scenarioDir(t, "orders-broken/"+name))
			if r.code != 1 {
				t.Errorf("exit %d, want 1", r.code)
			}
			all := strings.Split(strings.TrimSpace(r.stdout), "\n")
			last := all[len(all)-1]
			if !regexp.MustCompile(want).MatchString(last) {
				t.Errorf("the last line is\n  %s\nwant\n  %s", last, want)
			}
			if !strings.Contains(r.stdout, "DENIED") {
				t.Error("the table names no denial")
			}
		})
	}
}
