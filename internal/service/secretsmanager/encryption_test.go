package secretsmanager_test

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdkkms "github.com/aws/aws-sdk-go-v2/service/kms"
	sdk "github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/remit-ecs/remit/internal/service/kms"
	"github.com/remit-ecs/remit/internal/store"
	"github.com/remit-ecs/remit/internal/testkit"
	"github.com/remit-ecs/remit/policy"
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
	w.Kit, w.Client, _ = start(t)
	s := kms.New(kms.Config{Keys: w.Seal, Store: w.Store, Clock: w.Clock, Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Principals: w.Principals()})
	s.Register(w.Mux)
	w.Authz.Resources["kms"] = s.Policy
	w.kms = sdkkms.NewFromConfig(w.Root())
	w.key = w.newKey("alias/orders")
	return w
}

func (w *withKMS) newKey(alias string) string {
	w.t.Helper()
	made, err := w.kms.CreateKey(ctx, &sdkkms.CreateKeyInput{})
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.kms.CreateAlias(ctx, &sdkkms.CreateAliasInput{AliasName: &alias, TargetKeyId: made.KeyMetadata.KeyId}); err != nil {
		w.t.Fatal(err)
	}
	return *made.KeyMetadata.Arn
}

func (w *withKMS) with(policies ...string) *sdk.Client { return sdk.NewFromConfig(w.With(policies...)) }

const noKMS = "Access to KMS is not allowed"

// underKey is a policy that allows the use of keys through Secrets Manager alone.
func underKey(key, condition string, actions ...string) string {
	return `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":["` + strings.Join(actions, `","`) + `"],"Resource":"` + key + `","Condition":` + condition + `}}`
}

const viaSecretsManager = `{"StringEquals":{"kms:ViaService":"secretsmanager.eu-west-1.amazonaws.com"}}`

func TestCustomerKeyDecides(t *testing.T) {
	w := startKMS(t)
	for i, name := range []string{"alias/orders", w.key, w.key[strings.LastIndex(w.key, "/")+1:], "arn:aws:kms:eu-west-1:111122223333:alias/orders"} {
		id := fmt.Sprintf("s%d", i)
		made, err := w.CreateSecret(ctx, &sdk.CreateSecretInput{Name: &id, SecretString: aws.String("hunter2"), KmsKeyId: &name})
		if err != nil {
			t.Fatal(err)
		}
		if d, err := w.DescribeSecret(ctx, &sdk.DescribeSecretInput{SecretId: &id}); err != nil || aws.ToString(d.KmsKeyId) != name {
			t.Errorf("%s: %+v, %v", name, d, err)
		}
		versions, err := w.ListSecretVersionIds(ctx, &sdk.ListSecretVersionIdsInput{SecretId: &id})
		if err != nil || len(versions.Versions) != 1 || strings.Join(versions.Versions[0].KmsKeyIds, " ") != w.key {
			t.Errorf("%s: %+v, %v", name, versions, err)
		}
		reads := testkit.Allow("*", "secretsmanager:GetSecretValue")
		for what, tt := range map[string]struct {
			policies []string
			want     bool
		}{
			"nothing of KMS":      {[]string{reads}, false},
			"kms:Decrypt":         {[]string{reads, testkit.Allow(w.key, "kms:Decrypt")}, true},
			"through the service": {[]string{reads, underKey(w.key, viaSecretsManager, "kms:Decrypt")}, true},
			"through another":     {[]string{reads, underKey(w.key, strings.Replace(viaSecretsManager, "secretsmanager", "ssm", 1), "kms:Decrypt")}, false},
			"of this secret":      {[]string{reads, underKey("*", `{"StringEquals":{"kms:EncryptionContext:SecretARN":"`+*made.ARN+`"}}`, "kms:Decrypt")}, true},
			"of this version":     {[]string{reads, underKey("*", `{"StringEquals":{"kms:EncryptionContext:SecretVersionId":"`+*made.VersionId+`"}}`, "kms:Decrypt")}, true},
			"of another secret":   {[]string{reads, underKey("*", `{"StringEquals":{"kms:EncryptionContext:SecretARN":"`+*made.ARN+`x"}}`, "kms:Decrypt")}, false},
			"aws:CalledVia":       {[]string{reads, underKey("*", `{"ForAnyValue:StringEquals":{"aws:CalledVia":"secretsmanager.amazonaws.com"}}`, "kms:Decrypt")}, true},
		} {
			v, err := get(w.with(tt.policies...), id)
			switch {
			case tt.want && (err != nil || v != "hunter2"):
				t.Errorf("%s, %s: %q, %v", name, what, v, err)
			case !tt.want:
				fails(t, err, "AccessDeniedException", noKMS)
			}
		}
	}
}

func TestWritersNeedTheKey(t *testing.T) {
	w := startKMS(t)
	writes := testkit.Allow("*", "secretsmanager:*")
	create := func(c *sdk.Client, name string) error {
		_, err := c.CreateSecret(ctx, &sdk.CreateSecretInput{Name: &name, SecretString: aws.String("v"), KmsKeyId: &w.key})
		return err
	}
	fails(t, create(w.with(writes), "a"), "AccessDeniedException", noKMS)
	fails(t, create(w.with(writes, testkit.Allow(w.key, "kms:GenerateDataKey")), "a"), "AccessDeniedException", noKMS) // it is tried to decrypt, too
	if _, err := w.DescribeSecret(ctx, &sdk.DescribeSecretInput{SecretId: aws.String("a")}); err == nil {
		t.Error("a secret was made that nobody could")
	}
	if err := create(w.with(writes, underKey("*", viaSecretsManager, "kms:GenerateDataKey", "kms:Decrypt")), "a"); err != nil {
		t.Error(err)
	}
	put := func(c *sdk.Client) error {
		_, err := c.PutSecretValue(ctx, &sdk.PutSecretValueInput{SecretId: aws.String("a"), SecretString: aws.String("w")})
		return err
	}
	fails(t, put(w.with(writes)), "AccessDeniedException", noKMS)
	if err := put(w.with(writes, testkit.Allow(w.key, "kms:GenerateDataKey"))); err != nil {
		t.Error(err)
	}
	if v, err := get(w.Client, "a"); err != nil || v != "w" {
		t.Errorf("%q, %v", v, err)
	}
	name := "b"
	_, err := w.CreateSecret(ctx, &sdk.CreateSecretInput{Name: &name, KmsKeyId: aws.String("alias/none")})
	fails(t, err, "EncryptionFailure", "alias/none is not found.")
	// A key may be chosen before there is a value.
	if _, err := w.CreateSecret(ctx, &sdk.CreateSecretInput{Name: &name, KmsKeyId: aws.String("alias/orders")}); err != nil {
		t.Error(err)
	}
}

// TestKeyConditions: who may make secrets under one key alone cannot name
// another, nor hide it behind an alias.
func TestKeyConditions(t *testing.T) {
	w := startKMS(t)
	c := w.with(testkit.Allow("*", "kms:*"), `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":["secretsmanager:CreateSecret","secretsmanager:UpdateSecret"],"Resource":"*",
		"Condition":{"StringEquals":{"secretsmanager:KmsKeyArn":"`+w.key+`"}}}}`)
	create := func(name, key string) error {
		_, err := c.CreateSecret(ctx, &sdk.CreateSecretInput{Name: &name, KmsKeyId: &key})
		return err
	}
	for i, key := range []string{w.key, w.key[strings.LastIndex(w.key, "/")+1:]} {
		if err := create(fmt.Sprintf("s%d", i), key); err != nil {
			t.Errorf("%s: %v", key, err)
		}
	}
	for _, key := range []string{"alias/orders", w.newKey("alias/second"), "alias/aws/secretsmanager", ""} {
		fails(t, create("x", key), "AccessDeniedException", "secretsmanager:CreateSecret")
		_, err := c.UpdateSecret(ctx, &sdk.UpdateSecretInput{SecretId: aws.String("s0"), KmsKeyId: &key})
		fails(t, err, "AccessDeniedException", "secretsmanager:UpdateSecret")
	}
}

func TestKeyState(t *testing.T) {
	w := startKMS(t)
	if _, err := w.CreateSecret(ctx, &sdk.CreateSecretInput{Name: aws.String("s"), SecretString: aws.String("v"), KmsKeyId: &w.key}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.kms.DisableKey(ctx, &sdkkms.DisableKeyInput{KeyId: &w.key}); err != nil {
		t.Fatal(err)
	}
	_, err := get(w.Client, "s")
	fails(t, err, "DecryptionFailure", w.key+" is disabled.")
	_, err = w.PutSecretValue(ctx, &sdk.PutSecretValueInput{SecretId: aws.String("s"), SecretString: aws.String("w")})
	fails(t, err, "EncryptionFailure", w.key+" is disabled.")
	if _, err := w.kms.EnableKey(ctx, &sdkkms.EnableKeyInput{KeyId: &w.key}); err != nil {
		t.Fatal(err)
	}
	if v, err := get(w.Client, "s"); err != nil || v != "v" {
		t.Errorf("%q, %v", v, err)
	}
}

// TestChangeOfKey: what there is can be read under the former key and the new
// one, a new version under the new one alone.
func TestChangeOfKey(t *testing.T) {
	w := startKMS(t)
	second := w.newKey("alias/second")
	id := aws.String("s")
	if _, err := w.CreateSecret(ctx, &sdk.CreateSecretInput{Name: id, SecretString: aws.String("one"), KmsKeyId: &w.key}); err != nil {
		t.Fatal(err)
	}
	reads := testkit.Allow("*", "secretsmanager:GetSecretValue", "secretsmanager:BatchGetSecretValue")
	byFirst, bySecond, byNone := w.with(reads, testkit.Allow(w.key, "kms:Decrypt")), w.with(reads, testkit.Allow(second, "kms:Decrypt")), w.with(reads)
	expect := func(what string, c *sdk.Client, want string) {
		t.Helper()
		v, err := get(c, *id)
		if want == "" {
			fails(t, err, "AccessDeniedException", noKMS)
		} else if err != nil || v != want {
			t.Errorf("%s: %q, %v", what, v, err)
		}
	}
	update := func(c *sdk.Client, key string) {
		t.Helper()
		if _, err := c.UpdateSecret(ctx, &sdk.UpdateSecretInput{SecretId: id, KmsKeyId: &key}); err != nil {
			t.Fatal(err)
		}
	}
	// Who may not decrypt with the former key leaves what there is under it.
	update(w.with(testkit.Allow("*", "secretsmanager:UpdateSecret"), testkit.Allow(second, "kms:*")), second)
	expect("first", byFirst, "one")
	expect("second", bySecond, "")
	update(w.Client, w.key)
	update(w.Client, second)
	expect("first, after root", byFirst, "one")
	expect("second, after root", bySecond, "one")
	expect("none", byNone, "")
	if _, err := w.PutSecretValue(ctx, &sdk.PutSecretValueInput{SecretId: id, SecretString: aws.String("two")}); err != nil {
		t.Fatal(err)
	}
	expect("first, new version", byFirst, "")
	expect("second, new version", bySecond, "two")
	out, err := byNone.BatchGetSecretValue(ctx, &sdk.BatchGetSecretValueInput{SecretIdList: []string{"s"}})
	if err != nil || len(out.SecretValues) != 0 || len(out.Errors) != 1 || *out.Errors[0].ErrorCode != "AccessDeniedException" || *out.Errors[0].Message != noKMS {
		t.Errorf("%+v, %v", out, err)
	}
	if out, err := bySecond.BatchGetSecretValue(ctx, &sdk.BatchGetSecretValueInput{SecretIdList: []string{"s"}}); err != nil || len(out.SecretValues) != 1 || *out.SecretValues[0].SecretString != "two" {
		t.Errorf("%+v, %v", out, err)
	}
	update(w.Client, "alias/aws/secretsmanager")
	expect("none, after the default key", byNone, "two")
	if d, err := w.DescribeSecret(ctx, &sdk.DescribeSecretInput{SecretId: id}); err != nil || aws.ToString(d.KmsKeyId) != "alias/aws/secretsmanager" {
		t.Errorf("%+v, %v", d, err)
	}
}

// TestTrailOfKMS: the call to KMS stands in the trail as the reader's, made by
// Secrets Manager for it.
func TestTrailOfKMS(t *testing.T) {
	w := startKMS(t)
	if _, err := w.CreateSecret(ctx, &sdk.CreateSecretInput{Name: aws.String("s"), SecretString: aws.String("hunter2"), KmsKeyId: &w.key}); err != nil {
		t.Fatal(err)
	}
	if _, err := get(w.Client, "s"); err != nil {
		t.Fatal(err)
	}
	var via []string
	for _, r := range w.Trail() {
		if r.EventSource == "kms.amazonaws.com" && r.UserIdentity.InvokedBy != "" {
			via = append(via, r.EventName+" by "+r.UserIdentity.InvokedBy)
		}
	}
	const by = " by secretsmanager.amazonaws.com"
	if got := strings.Join(via, ", "); got != "GenerateDataKey"+by+", Decrypt"+by+", GenerateDataKey"+by+", Decrypt"+by {
		t.Errorf("the trail has %s", got)
	}
}

// TestDefaultKeyStaysInTheAccount: AWS lets no other account read what is under
// aws/secretsmanager, whatever the policies say.
func TestDefaultKeyStaysInTheAccount(t *testing.T) {
	w := startKMS(t)
	everybody, err := policy.Parse(policy.KindResource, []byte(`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}}`))
	if err != nil {
		t.Fatal(err)
	}
	w.Authz.Resources["secretsmanager"] = func(store.Reader, string) *policy.Attached { return &policy.Attached{Document: everybody} }
	reads := testkit.Allow("*", "secretsmanager:GetSecretValue", "kms:Decrypt")
	other := sdk.NewFromConfig(w.WithIn(testkit.Other, reads))
	plain := create(t, w.Client, "default", "v")
	_, err = get(other, *plain.ARN)
	fails(t, err, "InvalidRequestException", "You can't access a secret from a different AWS account if you encrypt the secret with the default KMS service key.")
	made, err := w.CreateSecret(ctx, &sdk.CreateSecretInput{Name: aws.String("customer"), SecretString: aws.String("v"), KmsKeyId: aws.String("alias/orders")})
	if err != nil {
		t.Fatal(err)
	}
	_, err = get(other, *made.ARN)
	fails(t, err, "AccessDeniedException", noKMS)
	both := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":["` + testkit.Account + `","` + testkit.Other + `"]},"Action":"kms:*","Resource":"*"}]}`
	if _, err := w.kms.PutKeyPolicy(ctx, &sdkkms.PutKeyPolicyInput{KeyId: &w.key, Policy: &both}); err != nil {
		t.Fatal(err)
	}
	if v, err := get(other, *made.ARN); err != nil || v != "v" {
		t.Errorf("%q, %v", v, err)
	}
}
