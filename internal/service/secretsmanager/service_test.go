package secretsmanager_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"regexp"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/smithy-go"

	"github.com/remit-ecs/remit/internal/service/secretsmanager"
	"github.com/remit-ecs/remit/internal/testkit"
)

var ctx = context.Background()

// start gives a running service and the account's root as its client.
func start(t *testing.T, opts ...testkit.Option) (*testkit.Kit, *sdk.Client, *secretsmanager.Service) {
	t.Helper()
	var s *secretsmanager.Service
	k := testkit.New(t, func(k *testkit.Kit) []testkit.Registrar {
		s = secretsmanager.New(k.Seal, k.Principals(), k.Store, k.Clock, slog.New(slog.NewTextHandler(t.Output(), nil)))
		k.Authz.Resources["secretsmanager"] = s.ResourcePolicy
		return []testkit.Registrar{s}
	}, opts...)
	return k, sdk.NewFromConfig(k.Root()), s
}

func create(t *testing.T, c *sdk.Client, name, value string) *sdk.CreateSecretOutput {
	t.Helper()
	out, err := c.CreateSecret(ctx, &sdk.CreateSecretInput{Name: &name, SecretString: &value})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// fails checks an error's code and that its message holds a text.
func fails(t *testing.T, err error, code, text string) {
	t.Helper()
	var e smithy.APIError
	if !errors.As(err, &e) || e.ErrorCode() != code || !strings.Contains(e.ErrorMessage(), text) {
		t.Errorf("got %v, want %s: %s", err, code, text)
	}
}

func get(c *sdk.Client, id string) (string, error) {
	out, err := c.GetSecretValue(ctx, &sdk.GetSecretValueInput{SecretId: &id})
	if err != nil {
		return "", err
	}
	return aws.ToString(out.SecretString), nil
}

func TestCreateAndGet(t *testing.T) {
	_, c, _ := start(t)
	made := create(t, c, "prod/db", "hunter2hunter2")
	if ok, _ := regexp.MatchString(`^arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/db-[A-Za-z0-9]{6}$`, *made.ARN); !ok {
		t.Errorf("ARN %s", *made.ARN)
	}
	for _, id := range []string{"prod/db", *made.ARN, strings.TrimSuffix(*made.ARN, (*made.ARN)[len(*made.ARN)-7:])} {
		if v, err := get(c, id); err != nil || v != "hunter2hunter2" {
			t.Errorf("%s: %q, %v", id, v, err)
		}
	}
	for _, id := range []string{"prod", "prod/db2", (*made.ARN)[:len(*made.ARN)-1], (*made.ARN)[:len(*made.ARN)-6] + "AAAAAA"} {
		_, err := get(c, id)
		fails(t, err, "ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
	}
	bin, err := c.CreateSecret(ctx, &sdk.CreateSecretInput{Name: aws.String("blob"), SecretBinary: []byte{0, 1, 255}})
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.GetSecretValue(ctx, &sdk.GetSecretValueInput{SecretId: bin.ARN})
	if err != nil || !bytes.Equal(out.SecretBinary, []byte{0, 1, 255}) || out.SecretString != nil || *out.VersionId != *bin.VersionId || out.VersionStages[0] != "AWSCURRENT" {
		t.Errorf("%+v, %v", out, err)
	}
}

func TestLongestName(t *testing.T) {
	_, c, _ := start(t)
	made := create(t, c, strings.Repeat("n", 256), "v") // the model allows 512 in, and 256 out
	if v, err := get(c, *made.ARN); err != nil || v != "v" {
		t.Errorf("%q, %v", v, err)
	}
	_, err := c.CreateSecret(ctx, &sdk.CreateSecretInput{Name: aws.String(strings.Repeat("n", 513))})
	fails(t, err, "ValidationException", "")
}

func TestCreateByARN(t *testing.T) {
	_, c, _ := start(t)
	const arn = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/db-AbCdEf"
	made := create(t, c, arn, "v")
	if *made.ARN != arn || *made.Name != "prod/db" {
		t.Errorf("%s, %s", *made.ARN, *made.Name)
	}
	if v, err := get(c, arn); err != nil || v != "v" {
		t.Errorf("%q, %v", v, err)
	}
	for _, name := range []string{
		"arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/other",
		"arn:aws:secretsmanager:eu-west-1:999999999999:secret:prod/db-AbCdEf",
		"arn:aws:secretsmanager:us-east-1:111122223333:secret:prod/db-AbCdEf",
	} {
		_, err := c.CreateSecret(ctx, &sdk.CreateSecretInput{Name: &name, SecretString: aws.String("v")})
		fails(t, err, "InvalidParameterException", "only in the account and region")
	}
	_, err := c.CreateSecret(ctx, &sdk.CreateSecretInput{Name: aws.String("arn:aws:secretsmanager:eu-west-1:111122223333:secret:prod/db-FfFfFf"), SecretString: aws.String("v")})
	fails(t, err, "ResourceExistsException", "The operation failed because the secret prod/db already exists.")
}
