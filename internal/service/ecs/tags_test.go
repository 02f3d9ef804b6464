package ecs_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsecs "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"github.com/remit-ecs/remit/internal/testkit"
)

func tag(key, value string) types.Tag { return types.Tag{Key: &key, Value: &value} }

// TestTagCase: who may set one team's tag cannot set another's beside it, in
// other letters, behind the back of the condition.
func TestTagCase(t *testing.T) {
	w := newWorld(t, nil)
	ctx := t.Context()
	blue := w.client(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["ecs:CreateCluster","ecs:TagResource"],"Resource":"*","Condition":{"StringEquals":{"aws:RequestTag/team":"blue"}}}]}`)
	_, err := blue.CreateCluster(ctx, &awsecs.CreateClusterInput{ClusterName: aws.String("c"), Tags: []types.Tag{tag("Team", "red"), tag("team", "blue")}})
	wantError(t, err, "InvalidParameterException", "Duplicate tag keys")
	out, err := blue.CreateCluster(ctx, &awsecs.CreateClusterInput{ClusterName: aws.String("c"), Tags: []types.Tag{tag("Team", "blue")}})
	if err != nil {
		t.Fatal(err)
	}
	arn := out.Cluster.ClusterArn
	if _, err := w.root.TagResource(ctx, &awsecs.TagResourceInput{ResourceArn: arn, Tags: []types.Tag{tag("team", "red")}}); err != nil {
		t.Fatal(err)
	}
	l, err := w.root.ListTagsForResource(ctx, &awsecs.ListTagsForResourceInput{ResourceArn: arn})
	if err != nil || len(l.Tags) != 1 || *l.Tags[0].Value != "red" {
		t.Errorf("tags: %v %s", err, show(l))
	}
	stop := w.client(testkit.Allow("*", "ecs:DescribeClusters"), `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"ecs:DeleteCluster","Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/team":"blue"}}}]}`)
	if _, err := stop.DeleteCluster(ctx, &awsecs.DeleteClusterInput{Cluster: arn}); err == nil {
		t.Error("a cluster of team red was deleted as team blue's")
	}
}
