package kms_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/smithy-go"

	"github.com/remit-ecs/remit/internal/service/kms"
	"github.com/remit-ecs/remit/internal/testkit"
)

var ctx = context.Background()

// kit is a running service.
type kit struct {
	*testkit.Kit
	service *kms.Service
}

// start gives a running service and the account's root as its client.
func start(t *testing.T, opts ...testkit.Option) (*kit, *sdk.Client) {
	t.Helper()
	k := &kit{}
	k.Kit = testkit.New(t, func(in *testkit.Kit) []testkit.Registrar {
		k.service = kms.New(kms.Config{Keys: in.Seal, Store: in.Store, Clock: in.Clock, Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Principals: in.Principals()})
		in.Authz.Resources["kms"] = k.service.Policy
		return []testkit.Registrar{k.service}
	}, opts...)
	return k, sdk.NewFromConfig(k.Root())
}

// ok fails the test where a call did.
func ok[T any](t *testing.T) func(out T, err error) T {
	t.Helper()
	return func(out T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
}

// fails checks an error's code and that its message holds a text.
func fails(t *testing.T, err error, code, text string) {
	t.Helper()
	var e smithy.APIError
	if !errors.As(err, &e) || e.ErrorCode() != code || !strings.Contains(e.ErrorMessage(), text) {
		t.Errorf("got %v, want %s: %s", err, code, text)
	}
}

func create(t *testing.T, c *sdk.Client) *types.KeyMetadata {
	t.Helper()
	return ok[*sdk.CreateKeyOutput](t)(c.CreateKey(ctx, &sdk.CreateKeyInput{})).KeyMetadata
}

func encrypt(t *testing.T, c *sdk.Client, key *string, plain string, context map[string]string) []byte {
	t.Helper()
	return ok[*sdk.EncryptOutput](t)(c.Encrypt(ctx, &sdk.EncryptInput{KeyId: key, Plaintext: []byte(plain), EncryptionContext: context})).CiphertextBlob
}

func decrypt(c *sdk.Client, blob []byte, context map[string]string) (string, error) {
	out, err := c.Decrypt(ctx, &sdk.DecryptInput{CiphertextBlob: blob, EncryptionContext: context})
	if err != nil {
		return "", err
	}
	return string(out.Plaintext), nil
}

func TestEncryptDecrypt(t *testing.T) {
	_, c := start(t)
	key := create(t, c)
	context := map[string]string{"project": "orders", "tier": ""}
	blob := encrypt(t, c, key.KeyId, "hunter2", context)
	if bytes.Contains(blob, []byte("hunter2")) {
		t.Error("the ciphertext holds the plaintext")
	}
	if again := encrypt(t, c, key.Arn, "hunter2", context); bytes.Equal(blob, again) {
		t.Error("two encryptions are alike")
	}
	out, err := c.Decrypt(ctx, &sdk.DecryptInput{CiphertextBlob: blob, EncryptionContext: context})
	if err != nil || string(out.Plaintext) != "hunter2" || *out.KeyId != *key.Arn || out.EncryptionAlgorithm != types.EncryptionAlgorithmSpecSymmetricDefault || *out.KeyMaterialId != *key.CurrentKeyMaterialId {
		t.Fatalf("%+v, %v", out, err)
	}
	for what, other := range map[string]map[string]string{
		"no context": nil, "another value": {"project": "payments", "tier": ""}, "another case": {"Project": "orders", "tier": ""},
		"less": {"project": "orders"}, "more": {"project": "orders", "tier": "", "x": "y"}, "shifted": {"projectorders": "", "tier": ""},
	} {
		if _, err := decrypt(c, blob, other); err == nil {
			t.Errorf("%s: decrypted", what)
		} else {
			fails(t, err, "InvalidCiphertextException", "")
		}
	}
	for i := range blob {
		bad := bytes.Clone(blob)
		bad[i] ^= 1
		_, err := decrypt(c, bad, context)
		var e smithy.APIError
		if !errors.As(err, &e) || e.ErrorCode() != "InvalidCiphertextException" && e.ErrorCode() != "AccessDeniedException" {
			t.Errorf("byte %d changed: %v", i, err)
		}
	}
	_, err = decrypt(c, []byte("anything"), nil)
	fails(t, err, "InvalidCiphertextException", "")
	_, err = c.Decrypt(ctx, &sdk.DecryptInput{CiphertextBlob: blob, EncryptionContext: context, KeyId: create(t, c).KeyId})
	fails(t, err, "IncorrectKeyException", "The key ID in the request does not identify a CMK that can perform this operation.")
	_, err = c.Encrypt(ctx, &sdk.EncryptInput{KeyId: key.KeyId, Plaintext: []byte("x"), EncryptionContext: map[string]string{"a": "1", "A": "2"}})
	fails(t, err, "ValidationException", "differ only in case")
	_, err = c.Encrypt(ctx, &sdk.EncryptInput{KeyId: key.KeyId, Plaintext: []byte("x"), DryRun: aws.Bool(true)})
	fails(t, err, "DryRunOperationException", "The request would have succeeded, but the DryRun option is set.")
}
