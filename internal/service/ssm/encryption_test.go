package ssm_test

import (
	"encoding/base64"
	"log/slog"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdkkms "github.com/aws/aws-sdk-go-v2/service/kms"
	sdk "github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"github.com/remit-ecs/remit/internal/service/kms"
	"github.com/remit-ecs/remit/internal/testkit"
)

// withKMS is a service beside KMS, with a customer managed key under the alias
// alias/orders. The client is the account's root.
type withKMS struct {
	*testkit.Kit
	*sdk.Client
	t   *testing.T
	kms *sdkkms.Client
	key string // its ARN
}

func startKMS(t *testing.T) *withKMS {
	t.Helper()
	w := &withKMS{t: t}
	w.Kit, w.Client = start(t)
	s := kms.New(kms.Config{Keys: w.Seal, Store: w.Store, Clock: w.Clock, Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Principals: w.Principals()})
	s.Register(w.Mux)
	w.Authz.Resources["kms"] = s.Policy
	w.kms = sdkkms.NewFromConfig(w.Root())
	made, err := w.kms.CreateKey(ctx, &sdkkms.CreateKeyInput{})
	if err != nil {
		t.Fatal(err)
	}
	w.key = *made.KeyMetadata.Arn
	if _, err := w.kms.CreateAlias(ctx, &sdkkms.CreateAliasInput{AliasName: aws.String("alias/orders"), TargetKeyId: &w.key}); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *withKMS) put(c *sdk.Client, name, value, key string, tier types.ParameterTier) error {
	_, err := c.PutParameter(ctx, &sdk.PutParameterInput{Name: &name, Value: &value, Type: types.ParameterTypeSecureString, KeyId: &key, Tier: tier, Overwrite: aws.Bool(true)})
	return err
}

func (w *withKMS) with(policies ...string) *sdk.Client { return sdk.NewFromConfig(w.With(policies...)) }

func get(c *sdk.Client, name string) (string, error) {
	out, err := c.GetParameter(ctx, &sdk.GetParameterInput{Name: &name, WithDecryption: aws.Bool(true)})
	if err != nil {
		return "", err
	}
	return *out.Parameter.Value, nil
}

const noDecrypt = "because no identity-based policy allows the kms:Decrypt action"

func TestCustomerKeyDecides(t *testing.T) {
	w := startKMS(t)
	reads := testkit.Allow("*", "ssm:GetParameter*")
	long := strings.Repeat("x", 8000)
	for _, tt := range []struct {
		name, value, key string
		tier             types.ParameterTier
	}{
		{"/app/standard", "hunter2", "alias/orders", types.ParameterTierStandard},
		{"/app/full", strings.Repeat("y", 4096), w.key, types.ParameterTierStandard}, // as much as KMS encrypts
		{"/app/advanced", long, w.key[strings.LastIndex(w.key, "/")+1:], types.ParameterTierAdvanced},
	} {
		if err := w.put(w.Client, tt.name, tt.value, tt.key, tt.tier); err != nil {
			t.Fatal(err)
		}
		conditioned := func(condition string) string {
			return `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"kms:Decrypt","Resource":"*","Condition":` + condition + `}}`
		}
		arn := "arn:aws:ssm:eu-west-1:111122223333:parameter" + tt.name
		for what, p := range map[string]struct {
			policy string
			want   bool
		}{
			"nothing of KMS":       {testkit.Allow("*", "ssm:DescribeParameters"), false},
			"kms:Decrypt":          {testkit.Allow(w.key, "kms:Decrypt"), true},
			"through the service":  {conditioned(`{"StringEquals":{"kms:ViaService":"ssm.eu-west-1.amazonaws.com"}}`), true},
			"through another":      {conditioned(`{"StringEquals":{"kms:ViaService":"secretsmanager.eu-west-1.amazonaws.com"}}`), false},
			"of this parameter":    {conditioned(`{"StringEquals":{"kms:EncryptionContext:PARAMETER_ARN":"` + arn + `"}}`), true},
			"of another parameter": {conditioned(`{"StringEquals":{"kms:EncryptionContext:PARAMETER_ARN":"` + arn + `x"}}`), false},
		} {
			c := w.with(reads, p.policy)
			v, err := get(c, tt.name)
			_, both := c.GetParameters(ctx, &sdk.GetParametersInput{Names: []string{tt.name}, WithDecryption: aws.Bool(true)})
			_, history := c.GetParameterHistory(ctx, &sdk.GetParameterHistoryInput{Name: &tt.name, WithDecryption: aws.Bool(true)})
			if p.want {
				if err != nil || v != tt.value || both != nil || history != nil {
					t.Errorf("%s, %s: %q, %v, %v, %v", tt.name, what, v, err, both, history)
				}
				continue
			}
			for _, err := range []error{err, both, history} {
				fails(t, err, "AccessDeniedException", "is not authorized to perform: kms:Decrypt on resource: "+w.key+" "+noDecrypt)
			}
			out, err := c.GetParameter(ctx, &sdk.GetParameterInput{Name: &tt.name})
			if err != nil || *out.Parameter.Value == tt.value {
				t.Errorf("%s, %s, without decryption: %v", tt.name, what, err)
			}
		}
	}
	_, err := w.with(reads).GetParametersByPath(ctx, &sdk.GetParametersByPathInput{Path: aws.String("/app"), WithDecryption: aws.Bool(true)})
	fails(t, err, "AccessDeniedException", noDecrypt)
	out, err := w.GetParametersByPath(ctx, &sdk.GetParametersByPathInput{Path: aws.String("/app"), WithDecryption: aws.Bool(true)})
	if err != nil || len(out.Parameters) != 3 || *out.Parameters[0].Value != long {
		t.Errorf("%+v, %v", out, err)
	}
	d, err := w.DescribeParameters(ctx, &sdk.DescribeParametersInput{ParameterFilters: []types.ParameterStringFilter{{Key: aws.String("KeyId"), Values: []string{"alias/orders"}}}})
	if err != nil || len(d.Parameters) != 1 || *d.Parameters[0].Name != "/app/standard" || *d.Parameters[0].KeyId != "alias/orders" {
		t.Errorf("%+v, %v", d, err)
	}
}

// TestUndecryptedIsKMSCiphertext: what is not decrypted is the very ciphertext,
// which KMS opens for those who know the encryption context.
func TestUndecryptedIsKMSCiphertext(t *testing.T) {
	w := startKMS(t)
	if err := w.put(w.Client, "/p", "hunter2", "alias/orders", types.ParameterTierStandard); err != nil {
		t.Fatal(err)
	}
	p, err := w.GetParameter(ctx, &sdk.GetParameterInput{Name: aws.String("/p")})
	if err != nil {
		t.Fatal(err)
	}
	blob, err := base64.StdEncoding.DecodeString(*p.Parameter.Value)
	if err != nil {
		t.Fatal(err)
	}
	out, err := w.kms.Decrypt(ctx, &sdkkms.DecryptInput{CiphertextBlob: blob, EncryptionContext: map[string]string{"PARAMETER_ARN": *p.Parameter.ARN}})
	if err != nil || string(out.Plaintext) != "hunter2" {
		t.Errorf("%+v, %v", out, err)
	}
}

func TestWritersNeedTheKey(t *testing.T) {
	w := startKMS(t)
	puts := testkit.Allow("*", "ssm:PutParameter")
	fails(t, w.put(w.with(puts), "/p", "v", w.key, ""), "AccessDeniedException", "because no identity-based policy allows the kms:Encrypt action")
	fails(t, w.put(w.with(puts), "/p", "v", w.key, types.ParameterTierAdvanced), "AccessDeniedException", "because no identity-based policy allows the kms:GenerateDataKey action")
	fails(t, w.put(w.Client, "/p", "v", "alias/none", ""), "InvalidKeyId", "Alias arn:aws:kms:eu-west-1:111122223333:alias/none is not found.")
	if _, err := get(w.Client, "/p"); err == nil {
		t.Error("a parameter was made that nobody could")
	}
	if err := w.put(w.with(puts, testkit.Allow(w.key, "kms:Encrypt")), "/p", "v", w.key, ""); err != nil {
		t.Error(err)
	}
	if _, err := w.kms.DisableKey(ctx, &sdkkms.DisableKeyInput{KeyId: &w.key}); err != nil {
		t.Fatal(err)
	}
	fails(t, w.put(w.Client, "/p", "v", w.key, ""), "InvalidKeyId", w.key+" is disabled.")
	_, err := get(w.Client, "/p")
	fails(t, err, "InvalidKeyId", w.key+" is disabled.")
	// Under the default key again; the older version stays as it is.
	if _, err := w.PutParameter(ctx, &sdk.PutParameterInput{Name: aws.String("/p"), Value: aws.String("w"), Type: types.ParameterTypeSecureString, Overwrite: aws.Bool(true)}); err != nil {
		t.Fatal(err)
	}
	if v, err := get(w.with(testkit.Allow("*", "ssm:GetParameter")), "/p"); err != nil || v != "w" {
		t.Errorf("%q, %v", v, err)
	}
	_, err = get(w.Client, "/p:1")
	fails(t, err, "InvalidKeyId", w.key+" is disabled.")
}
