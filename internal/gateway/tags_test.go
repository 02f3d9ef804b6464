package gateway_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/ecr"
	ecrtypes "github.com/aws/aws-sdk-go-v2/service/ecr/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	ssmtypes "github.com/aws/aws-sdk-go-v2/service/ssm/types"

	ecrservice "github.com/remit-ecs/remit/internal/service/ecr"
	logsservice "github.com/remit-ecs/remit/internal/service/logs"
	service "github.com/remit-ecs/remit/internal/service/secretsmanager"
	ssmservice "github.com/remit-ecs/remit/internal/service/ssm"
	"github.com/remit-ecs/remit/internal/testkit"
)

// TestAmbiguousTags sends a tag beside one that differs in case: a condition
// on it would hold for one of them, and the other would be set too.
func TestAmbiguousTags(t *testing.T) {
	k := testkit.New(t, func(k *testkit.Kit) []testkit.Registrar {
		return []testkit.Registrar{service.New(k.Seal, k.Principals(), k.Store, k.Clock, nil)}
	})
	c := secretsmanager.NewFromConfig(k.With(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"secretsmanager:*","Resource":"*","Condition":{"StringEquals":{"aws:RequestTag/team":"blue"}}}}`))
	_, err := c.CreateSecret(context.Background(), &secretsmanager.CreateSecretInput{Name: aws.String("s"), SecretString: aws.String("v"), Tags: []types.Tag{
		{Key: aws.String("Team"), Value: aws.String("red")}, {Key: aws.String("team"), Value: aws.String("blue")},
	}})
	if got, _ := code(t, err); got != "ValidationException" && got != "InvalidParameterException" && got != "InvalidRequestException" {
		t.Errorf("two tags of one name: %v", err)
	}
}

// TestTagsOverCalls sets such tags one after the other: every service that
// keeps tags refuses the second, and a condition on the first still holds.
func TestTagsOverCalls(t *testing.T) {
	ctx := context.Background()
	k := testkit.New(t, func(k *testkit.Kit) []testkit.Registrar {
		return []testkit.Registrar{
			service.New(k.Seal, k.Principals(), k.Store, k.Clock, nil), ssmservice.New(k.Seal), logsservice.New(k.Store),
			ecrservice.New(ecrservice.Config{Store: k.Store, Blobs: k.Blobs, Keys: k.Seal, Clock: k.Clock, Sources: k.Authz.Sources, Principals: k.Principals()}),
		}
	})
	lower, upper, v := aws.String("team"), aws.String("Team"), aws.String("v")
	secrets, parameters, groups, repositories := secretsmanager.NewFromConfig(k.Root()), ssm.NewFromConfig(k.Root()), cloudwatchlogs.NewFromConfig(k.Root()), ecr.NewFromConfig(k.Root())
	first := []error{
		second(secrets.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: v, SecretString: v, Tags: []types.Tag{{Key: lower, Value: v}}})),
		second(parameters.PutParameter(ctx, &ssm.PutParameterInput{Name: v, Value: v, Type: ssmtypes.ParameterTypeString, Tags: []ssmtypes.Tag{{Key: lower, Value: v}}})),
		second(groups.CreateLogGroup(ctx, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: v, Tags: map[string]string{"team": "v"}})),
		second(repositories.CreateRepository(ctx, &ecr.CreateRepositoryInput{RepositoryName: aws.String("repo"), Tags: []ecrtypes.Tag{{Key: lower, Value: v}}})),
	}
	if err := errors.Join(first...); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"secretsmanager": second(secrets.TagResource(ctx, &secretsmanager.TagResourceInput{SecretId: v, Tags: []types.Tag{{Key: upper, Value: v}}})),
		"ssm":            second(parameters.AddTagsToResource(ctx, &ssm.AddTagsToResourceInput{ResourceType: ssmtypes.ResourceTypeForTaggingParameter, ResourceId: v, Tags: []ssmtypes.Tag{{Key: upper, Value: v}}})),
		"logs":           second(groups.TagResource(ctx, &cloudwatchlogs.TagResourceInput{ResourceArn: aws.String("arn:aws:logs:" + testkit.Region + ":" + testkit.Account + ":log-group:v"), Tags: map[string]string{"Team": "v"}})),
		"ecr":            second(repositories.TagResource(ctx, &ecr.TagResourceInput{ResourceArn: aws.String("arn:aws:ecr:" + testkit.Region + ":" + testkit.Account + ":repository/repo"), Tags: []ecrtypes.Tag{{Key: upper, Value: v}}})),
	} {
		if err == nil || !strings.Contains(err.Error(), "Tag keys are case insensitive") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }
