package ecs_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsecs "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"github.com/remit-ecs/remit/internal/testkit"
)

// TestRegisterTaskDefinitionRefuses holds the checks to AWS's texts.
func TestRegisterTaskDefinitionRefuses(t *testing.T) {
	w := newWorld(t, nil)
	tests := []struct {
		name, json, code, text string
	}{
		{"no containers", `{"family":"f","containerDefinitions":[]}`, "ClientException", "Container list cannot be empty."},
		{"bad family", `{"family":"a b","containerDefinitions":[{"name":"a","image":"i","memory":64}]}`, "ClientException", "Family"},
		{"no name", `{"family":"f","containerDefinitions":[{"image":"i","memory":64}]}`, "ClientException", "Container.name should not be null or empty."},
		{"no image", `{"family":"f","containerDefinitions":[{"name":"a","memory":64}]}`, "ClientException", "Container.image should not be null or empty."},
		{"no memory", `{"family":"f","containerDefinitions":[{"name":"a","image":"i"}]}`, "ClientException", "Invalid setting for container 'a'. At least one of 'memory' or 'memoryReservation' must be specified."},
		{"twice", `{"family":"f","containerDefinitions":[{"name":"a","image":"i","memory":64},{"name":"a","image":"i","memory":64}]}`, "ClientException", "unique"},
		{"nothing essential", `{"family":"f","containerDefinitions":[{"name":"a","image":"i","memory":64,"essential":false}]}`, "ClientException", "at least one essential"},
		{"fargate in bridge", `{"family":"f","requiresCompatibilities":["FARGATE"],"cpu":"256","memory":"512","containerDefinitions":[{"name":"a","image":"i"}]}`, "ClientException", "Fargate only supports network mode ‘awsvpc’."},
		{"fargate pair", `{"family":"f","requiresCompatibilities":["FARGATE"],"networkMode":"awsvpc","cpu":"256","memory":"4096","containerDefinitions":[{"name":"a","image":"i"}]}`, "ClientException", "No Fargate configuration exists for given values."},
		{"fargate without cpu", `{"family":"f","requiresCompatibilities":["FARGATE"],"networkMode":"awsvpc","memory":"512","containerDefinitions":[{"name":"a","image":"i"}]}`, "ClientException", "Fargate requires that 'cpu' be defined at the task level."},
		{"fargate ecr", `{"family":"f","requiresCompatibilities":["FARGATE"],"networkMode":"awsvpc","cpu":"256","memory":"512","containerDefinitions":[{"name":"a","image":"111122223333.dkr.ecr.eu-west-1.amazonaws.com/web:1"}]}`, "ClientException", "Fargate requires task definition to have execution role ARN to support ECR images."},
		{"fargate ecr by address", `{"family":"f","requiresCompatibilities":["FARGATE"],"networkMode":"awsvpc","cpu":"256","memory":"512","containerDefinitions":[{"name":"a","image":"127.0.0.1:4566/111122223333.dkr.ecr.eu-west-1.amazonaws.com/web:1"}]}`, "ClientException", "to support ECR images."},
		{"fargate awslogs", `{"family":"f","requiresCompatibilities":["FARGATE"],"networkMode":"awsvpc","cpu":"256","memory":"512","containerDefinitions":[{"name":"a","image":"i","logConfiguration":{"logDriver":"awslogs","options":{"awslogs-group":"g","awslogs-region":"r","awslogs-stream-prefix":"p"}}}]}`, "ClientException", "Fargate requires task definition to have execution role ARN to support log driver awslogs."},
		{"fargate ipc", `{"family":"f","requiresCompatibilities":["FARGATE"],"networkMode":"awsvpc","cpu":"256","memory":"512","ipcMode":"task","containerDefinitions":[{"name":"a","image":"i"}]}`, "ClientException", "Tasks using the Fargate launch type do not support ipcMode."},
		{"fargate privileged", `{"family":"f","requiresCompatibilities":["FARGATE"],"networkMode":"awsvpc","cpu":"256","memory":"512","containerDefinitions":[{"name":"a","image":"i","privileged":true}]}`, "ClientException", "privileged"},
		{"secrets", `{"family":"f","containerDefinitions":[{"name":"a","image":"i","memory":64,"secrets":[{"name":"S","valueFrom":"p"}]}]}`, "ClientException", "When you are specifying container secrets, you must also specify a value for 'executionRoleArn'."},
		{"secret and variable", `{"family":"f","executionRoleArn":"e","containerDefinitions":[{"name":"a","image":"i","memory":64,"environment":[{"name":"S","value":"x"}],"secrets":[{"name":"S","valueFrom":"p"}]}]}`, "ClientException", "The secret name must be unique"},
		{"environment file", `{"family":"f","executionRoleArn":"e","containerDefinitions":[{"name":"a","image":"i","memory":64,"environmentFiles":[{"type":"s3","value":"arn:aws:s3:::b/k.txt"}]}]}`, "ClientException", "Invalid environment file"},
		{"environment file without role", `{"family":"f","containerDefinitions":[{"name":"a","image":"i","memory":64,"environmentFiles":[{"type":"s3","value":"arn:aws:s3:::b/k.env"}]}]}`, "ClientException", "'executionRoleArn'"},
		{"health", `{"family":"f","containerDefinitions":[{"name":"a","image":"i","memory":64,"healthCheck":{"command":["CMD","x"],"retries":11}}]}`, "ClientException", "retries"},
		{"ports", `{"family":"f","networkMode":"awsvpc","containerDefinitions":[{"name":"a","image":"i","memory":64,"portMappings":[{"containerPort":80,"hostPort":81}]}]}`, "ClientException", "When networkMode=awsvpc, the host ports and container ports in port mappings must match."},
		{"depends on nobody", `{"family":"f","containerDefinitions":[{"name":"a","image":"i","memory":64,"dependsOn":[{"containerName":"b","condition":"START"}]}]}`, "ClientException", "does not exist"},
		{"cycle", `{"family":"f","containerDefinitions":[{"name":"a","image":"i","memory":64,"dependsOn":[{"containerName":"b","condition":"START"}]},{"name":"b","image":"i","memory":64,"dependsOn":[{"containerName":"a","condition":"START"}]}]}`, "ClientException", "cycle"},
		{"role", `{"family":"f","taskRoleArn":"arn:aws:iam::1:role/x","containerDefinitions":[{"name":"a","image":"i","memory":64}]}`, "ClientException", "Role is not valid"},
		{"role of another account", `{"family":"f","taskRoleArn":"arn:aws:iam::444455556666:role/x","containerDefinitions":[{"name":"a","image":"i","memory":64}]}`, "AccessDeniedException", "Cross-account pass role is not allowed."},
		{"storage", `{"family":"f","ephemeralStorage":{"sizeInGiB":20},"containerDefinitions":[{"name":"a","image":"i","memory":64}]}`, "ClientException", "EphemeralStorage size should be at least 21"},
		{"over the task", `{"family":"f","memory":"128","containerDefinitions":[{"name":"a","image":"i","memory":256}]}`, "ClientException", "memory"},
		{"unknown volume", `{"family":"f","containerDefinitions":[{"name":"a","image":"i","memory":64,"mountPoints":[{"sourceVolume":"v","containerPath":"/v"}]}]}`, "ClientException", "Unknown volume 'v'."},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var in awsecs.RegisterTaskDefinitionInput
			if err := json.Unmarshal([]byte(tt.json), &in); err != nil {
				t.Fatal(err)
			}
			_, err := w.root.RegisterTaskDefinition(t.Context(), &in)
			wantError(t, err, tt.code, tt.text)
		})
	}
}

// TestTaskDefinitionDefaults: what was given comes back, with AWS's defaults.
func TestTaskDefinitionDefaults(t *testing.T) {
	w := newWorld(t, nil)
	out, err := w.root.RegisterTaskDefinition(t.Context(), &awsecs.RegisterTaskDefinitionInput{
		Family: aws.String("f"), Cpu: aws.String(".25 vCPU"), Memory: aws.String("0.5 GB"), NetworkMode: types.NetworkModeAwsvpc, TaskRoleArn: aws.String("app"),
		ContainerDefinitions: []types.ContainerDefinition{{
			Name: aws.String("a"), Image: aws.String("i"), PortMappings: []types.PortMapping{{ContainerPort: aws.Int32(80)}},
			HealthCheck: &types.HealthCheck{Command: []string{"CMD", "true"}}, Privileged: aws.Bool(false), Interactive: aws.Bool(true),
		}},
		Tags: []types.Tag{{Key: aws.String("k"), Value: aws.String("v")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	d := out.TaskDefinition
	c := d.ContainerDefinitions[0]
	if *d.Cpu != "256" || *d.Memory != "512" || d.Revision != 1 || *d.TaskRoleArn != "arn:aws:iam::"+testkit.Account+":role/app" || d.Status != "ACTIVE" || *d.RegisteredBy == "" ||
		!slices.Equal(d.Compatibilities, []types.Compatibility{"EC2", "FARGATE"}) || len(d.RequiresAttributes) == 0 {
		t.Errorf("definition: %s", show(d))
	}
	if !*c.Essential || *c.PortMappings[0].HostPort != 80 || c.PortMappings[0].Protocol != "tcp" || c.HealthCheck.Command[1] != "true" || *c.HealthCheck.Interval != 30 || *c.HealthCheck.Timeout != 5 || *c.HealthCheck.Retries != 3 || c.HealthCheck.StartPeriod != nil || *c.Privileged {
		t.Errorf("container: %s", show(c))
	}
	got, err := w.root.DescribeTaskDefinition(t.Context(), &awsecs.DescribeTaskDefinitionInput{TaskDefinition: aws.String("f"), Include: []types.TaskDefinitionField{"TAGS"}})
	if err != nil || *got.TaskDefinition.TaskDefinitionArn != *d.TaskDefinitionArn || len(got.Tags) != 1 {
		t.Errorf("described: %v %s", err, show(got))
	}
	w.roles()
	// What is kept but not honoured refuses when it is run, by name.
	_, err = w.root.RunTask(t.Context(), &awsecs.RunTaskInput{TaskDefinition: aws.String("f"), LaunchType: "FARGATE", NetworkConfiguration: vpc()})
	wantError(t, err, "ClientException", "'containerDefinitions.interactive'")
}

// TestTaskDefinitionLife walks ACTIVE, INACTIVE, DELETE_IN_PROGRESS, and lists.
func TestTaskDefinitionLife(t *testing.T) {
	w := newWorld(t, nil)
	for _, f := range []string{"my", "my", "my", "my-fam", "other"} {
		w.fargate(f, nil)
	}
	ctx := t.Context()
	list := func(in *awsecs.ListTaskDefinitionsInput) (names []string) {
		p := awsecs.NewListTaskDefinitionsPaginator(w.root, in)
		for p.HasMorePages() {
			out, err := p.NextPage(ctx)
			if err != nil {
				t.Fatal(err)
			}
			for _, a := range out.TaskDefinitionArns {
				names = append(names, a[len("arn:aws:ecs:eu-west-1:111122223333:task-definition/"):])
			}
		}
		return names
	}
	if got := list(&awsecs.ListTaskDefinitionsInput{MaxResults: aws.Int32(2)}); fmt.Sprint(got) != "[my:1 my:2 my:3 my-fam:1 other:1]" {
		t.Errorf("list: %v", got)
	}
	if got := list(&awsecs.ListTaskDefinitionsInput{MaxResults: aws.Int32(2), Sort: "DESC", FamilyPrefix: aws.String("my")}); fmt.Sprint(got) != "[my:3 my:2 my:1]" {
		t.Errorf("descending: %v", got)
	}
	_, err := w.root.DeregisterTaskDefinition(ctx, &awsecs.DeregisterTaskDefinitionInput{TaskDefinition: aws.String("my")})
	wantError(t, err, "ClientException", "Revision is missing.")
	if _, err := w.root.DeregisterTaskDefinition(ctx, &awsecs.DeregisterTaskDefinitionInput{TaskDefinition: aws.String("my:3")}); err != nil {
		t.Fatal(err)
	}
	got, err := w.root.DescribeTaskDefinition(ctx, &awsecs.DescribeTaskDefinitionInput{TaskDefinition: aws.String("my")})
	if err != nil || got.TaskDefinition.Revision != 2 {
		t.Errorf("latest: %v %s", err, show(got))
	}
	_, err = w.root.RunTask(ctx, runInput("my:3"))
	wantError(t, err, "InvalidParameterException", "TaskDefinition is inactive")
	_, err = w.root.RunTask(ctx, runInput("my:9"))
	wantError(t, err, "ClientException", "TaskDefinition not found.")
	_, err = w.root.DescribeTaskDefinition(ctx, &awsecs.DescribeTaskDefinitionInput{TaskDefinition: aws.String("nobody")})
	wantError(t, err, "ClientException", "Unable to describe task definition.")
	del, err := w.root.DeleteTaskDefinitions(ctx, &awsecs.DeleteTaskDefinitionsInput{TaskDefinitions: []string{"my:3", "my:1"}})
	if err != nil || len(del.TaskDefinitions) != 1 || del.TaskDefinitions[0].Status != "DELETE_IN_PROGRESS" || *del.Failures[0].Reason != "ACTIVE" {
		t.Errorf("delete: %v %s", err, show(del))
	}
	if _, err := w.root.DeregisterTaskDefinition(ctx, &awsecs.DeregisterTaskDefinitionInput{TaskDefinition: aws.String("other:1")}); err != nil {
		t.Fatal(err)
	}
	fams, err := w.root.ListTaskDefinitionFamilies(ctx, &awsecs.ListTaskDefinitionFamiliesInput{Status: "ACTIVE"})
	if err != nil || fmt.Sprint(fams.Families) != "[my my-fam]" {
		t.Errorf("families: %v %v", err, fams)
	}
	w.fargate("my", nil)
	got, err = w.root.DescribeTaskDefinition(ctx, &awsecs.DescribeTaskDefinitionInput{TaskDefinition: aws.String("my")})
	if err != nil || got.TaskDefinition.Revision != 4 {
		t.Errorf("a revision was given out twice: %v %s", err, show(got))
	}
}

func TestClusters(t *testing.T) {
	w := newWorld(t, nil)
	ctx := t.Context()
	d, err := w.root.DescribeClusters(ctx, &awsecs.DescribeClustersInput{})
	if err != nil || len(d.Clusters) != 1 || *d.Clusters[0].ClusterName != "default" || *d.Clusters[0].Status != "ACTIVE" {
		t.Fatalf("default: %v %s", err, show(d))
	}
	c, err := w.root.CreateCluster(ctx, &awsecs.CreateClusterInput{ClusterName: aws.String("prod"), Tags: []types.Tag{{Key: aws.String("k"), Value: aws.String("v")}}})
	if err != nil {
		t.Fatal(err)
	}
	arn := *c.Cluster.ClusterArn
	if arn != "arn:aws:ecs:eu-west-1:111122223333:cluster/prod" {
		t.Errorf("ARN %s", arn)
	}
	if _, err := w.root.TagResource(ctx, &awsecs.TagResourceInput{ResourceArn: &arn, Tags: []types.Tag{{Key: aws.String("l"), Value: aws.String("w")}}}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.root.UntagResource(ctx, &awsecs.UntagResourceInput{ResourceArn: &arn, TagKeys: []string{"k"}}); err != nil {
		t.Fatal(err)
	}
	tags, err := w.root.ListTagsForResource(ctx, &awsecs.ListTagsForResourceInput{ResourceArn: &arn})
	if err != nil || len(tags.Tags) != 1 || *tags.Tags[0].Key != "l" {
		t.Errorf("tags: %v %s", err, show(tags))
	}
	u, err := w.root.UpdateClusterSettings(ctx, &awsecs.UpdateClusterSettingsInput{Cluster: &arn, Settings: []types.ClusterSetting{{Name: "containerInsights", Value: aws.String("enabled")}}})
	if err != nil || *u.Cluster.Settings[0].Value != "enabled" {
		t.Errorf("settings: %v %s", err, show(u))
	}
	l, err := w.root.ListClusters(ctx, &awsecs.ListClustersInput{})
	if err != nil || len(l.ClusterArns) != 1 {
		t.Errorf("list: %v %s", err, show(l))
	}
	if _, err := w.root.DeleteCluster(ctx, &awsecs.DeleteClusterInput{Cluster: aws.String("prod")}); err != nil {
		t.Fatal(err)
	}
	d, err = w.root.DescribeClusters(ctx, &awsecs.DescribeClustersInput{Clusters: []string{"prod", "nobody"}})
	if err != nil || *d.Clusters[0].Status != "INACTIVE" || *d.Failures[0].Reason != "MISSING" {
		t.Errorf("deleted: %v %s", err, show(d))
	}
	_, err = w.root.ListTasks(ctx, &awsecs.ListTasksInput{Cluster: aws.String("prod")})
	wantError(t, err, "ClusterNotFoundException", "Cluster not found.")
	_, err = w.root.ListClusters(ctx, &awsecs.ListClustersInput{NextToken: aws.String("junk")})
	wantError(t, err, "InvalidParameterException", "Invalid token")
}
