package gateway_test

import (
	"context"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	service "github.com/remit-ecs/remit/internal/service/secretsmanager"
	"github.com/remit-ecs/remit/internal/testkit"
)

// TestAmbiguousTags sends a tag beside one that differs in case: a condition
// on it would hold for one of them, and the other would be set too.
func TestAmbiguousTags(t *testing.T) {
	k := testkit.New(t, func(k *testkit.Kit) []testkit.Registrar {
		return []testkit.Registrar{service.New(k.Seal, k.Store, k.Clock, nil)}
	})
	c := secretsmanager.NewFromConfig(k.With(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"secretsmanager:*","Resource":"*","Condition":{"StringEquals":{"aws:RequestTag/team":"blue"}}}}`))
	_, err := c.CreateSecret(context.Background(), &secretsmanager.CreateSecretInput{Name: aws.String("s"), SecretString: aws.String("v"), Tags: []types.Tag{
		{Key: aws.String("Team"), Value: aws.String("red")}, {Key: aws.String("team"), Value: aws.String("blue")},
	}})
	if got, _ := code(t, err); got != "ValidationException" && got != "InvalidParameterException" && got != "InvalidRequestException" {
		t.Errorf("two tags of one name: %v", err)
	}
}
