package ssm_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/aws/smithy-go"

	"github.com/remit-ecs/remit/internal/service/ssm"
	"github.com/remit-ecs/remit/internal/testkit"
)

var ctx = context.Background()

const arnPrefix = "arn:aws:ssm:" + testkit.Region + ":" + testkit.Account + ":parameter/"

// start gives a running service and the account's root as its client.
func start(t *testing.T) (*testkit.Kit, *sdk.Client) {
	t.Helper()
	k := testkit.New(t, func(k *testkit.Kit) []testkit.Registrar { return []testkit.Registrar{ssm.New(k.Seal)} })
	return k, sdk.NewFromConfig(k.Root())
}

func put(t *testing.T, c *sdk.Client, name, value string, typ types.ParameterType) int64 {
	t.Helper()
	out, err := c.PutParameter(ctx, &sdk.PutParameterInput{Name: &name, Value: &value, Type: typ, Overwrite: aws.Bool(true)})
	if err != nil {
		t.Fatal(err)
	}
	return out.Version
}

// fails checks an error's code and that its message holds a text.
func fails(t *testing.T, err error, code, text string) {
	t.Helper()
	var e smithy.APIError
	if !errors.As(err, &e) || e.ErrorCode() != code || !strings.Contains(e.ErrorMessage(), text) {
		t.Errorf("got %v, want %s: %s", err, code, text)
	}
}

func TestGetParameters(t *testing.T) {
	_, c := start(t)
	put(t, c, "/app/db/password", "hunter2hunter2", types.ParameterTypeSecureString)
	put(t, c, "/app/db/password", "hunter3hunter3", types.ParameterTypeSecureString)
	put(t, c, "plain", "a,b", types.ParameterTypeStringList)
	if _, err := c.LabelParameterVersion(ctx, &sdk.LabelParameterVersionInput{Name: aws.String("/app/db/password"), ParameterVersion: aws.Int64(1), Labels: []string{"old"}}); err != nil {
		t.Fatal(err)
	}
	want := []struct{ ask, name, value, selector string }{
		{"/app/db/password", "/app/db/password", "hunter3hunter3", ""},
		{"/app/db/password:1", "/app/db/password", "hunter2hunter2", ":1"},
		{"/app/db/password:old", "/app/db/password", "hunter2hunter2", ":old"},
		{arnPrefix + "app/db/password", arnPrefix + "app/db/password", "hunter3hunter3", ""},
		{arnPrefix + "app/db/password:1", arnPrefix + "app/db/password:1", "hunter2hunter2", ":1"},
		{"plain", "plain", "a,b", ""},
		{arnPrefix + "plain", arnPrefix + "plain", "a,b", ""},
	}
	names := []string{"absent", "/app/db/password:7", "plain:nolabel"}
	for _, w := range want {
		names = append(names, w.ask)
	}
	out, err := c.GetParameters(ctx, &sdk.GetParametersInput{Names: names, WithDecryption: aws.Bool(true)})
	if err != nil {
		t.Fatal(err)
	}
	if strings.Join(out.InvalidParameters, " ") != strings.Join(names[:3], " ") {
		t.Errorf("invalid: %v", out.InvalidParameters)
	}
	if len(out.Parameters) != len(want) {
		t.Fatalf("%d parameters", len(out.Parameters))
	}
	for i, w := range want {
		p := out.Parameters[i]
		if *p.Name != w.name || *p.Value != w.value || aws.ToString(p.Selector) != w.selector || !strings.HasPrefix(*p.ARN, arnPrefix) || strings.Contains(*p.ARN, "//") {
			t.Errorf("%s: %s = %s, %s, %s", w.ask, *p.Name, *p.Value, aws.ToString(p.Selector), *p.ARN)
		}
	}
	sealed, err := c.GetParameter(ctx, &sdk.GetParameterInput{Name: aws.String("/app/db/password")})
	if err != nil || strings.Contains(*sealed.Parameter.Value, "hunter") || len(*sealed.Parameter.Value) < 20 {
		t.Errorf("without decryption: %v, %v", sealed, err)
	}
}
