package kms_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/json"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"
)

func TestDataKeys(t *testing.T) {
	_, c := start(t)
	key := create(t, c)
	context := map[string]string{"a": "b"}
	out := ok[*sdk.GenerateDataKeyOutput](t)(c.GenerateDataKey(ctx, &sdk.GenerateDataKeyInput{KeyId: key.KeyId, KeySpec: types.DataKeySpecAes256, EncryptionContext: context}))
	if plain, err := decrypt(c, out.CiphertextBlob, context); err != nil || plain != string(out.Plaintext) || len(out.Plaintext) != 32 || *out.KeyId != *key.Arn {
		t.Errorf("%+v, %v", out, err)
	}
	for size, in := range map[int]*sdk.GenerateDataKeyWithoutPlaintextInput{
		16: {KeySpec: types.DataKeySpecAes128}, 32: {KeySpec: types.DataKeySpecAes256}, 1024: {NumberOfBytes: aws.Int32(1024)}, 1: {NumberOfBytes: aws.Int32(1)},
	} {
		in.KeyId, in.EncryptionContext = key.KeyId, context
		out := ok[*sdk.GenerateDataKeyWithoutPlaintextOutput](t)(c.GenerateDataKeyWithoutPlaintext(ctx, in))
		if plain, err := decrypt(c, out.CiphertextBlob, context); err != nil || len(plain) != size {
			t.Errorf("%d bytes, want %d, %v", len(plain), size, err)
		}
	}
	for _, in := range []sdk.GenerateDataKeyInput{{}, {KeySpec: types.DataKeySpecAes256, NumberOfBytes: aws.Int32(32)}} {
		in.KeyId = key.KeyId
		_, err := c.GenerateDataKey(ctx, &in)
		fails(t, err, "ValidationException", "Please specify either number of bytes or key spec.")
	}
	_, err := c.GenerateDataKey(ctx, &sdk.GenerateDataKeyInput{KeyId: key.KeyId, KeySpec: types.DataKeySpecAes256, DryRun: aws.Bool(true)})
	fails(t, err, "DryRunOperationException", "")
	a := ok[*sdk.GenerateRandomOutput](t)(c.GenerateRandom(ctx, &sdk.GenerateRandomInput{NumberOfBytes: aws.Int32(32)}))
	b := ok[*sdk.GenerateRandomOutput](t)(c.GenerateRandom(ctx, &sdk.GenerateRandomInput{NumberOfBytes: aws.Int32(32)}))
	if len(a.Plaintext) != 32 || bytes.Equal(a.Plaintext, b.Plaintext) {
		t.Errorf("%x, %x", a.Plaintext, b.Plaintext)
	}
	_, err = c.GenerateRandom(ctx, &sdk.GenerateRandomInput{})
	fails(t, err, "ValidationException", "NumberOfBytes")
}

// TestEnvelope encrypts as applications do: with a data key, which lies beside
// the data.
func TestEnvelope(t *testing.T) {
	_, c := start(t)
	key := create(t, c)
	k := ok[*sdk.GenerateDataKeyOutput](t)(c.GenerateDataKey(ctx, &sdk.GenerateDataKeyInput{KeyId: key.KeyId, KeySpec: types.DataKeySpecAes256}))
	aead := func(key []byte) cipher.AEAD {
		block, err := aes.NewCipher(key)
		if err != nil {
			t.Fatal(err)
		}
		a, err := cipher.NewGCM(block)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	data := aead(k.Plaintext).Seal(nil, make([]byte, 12), []byte("a long letter"), nil)
	d := ok[*sdk.DecryptOutput](t)(c.Decrypt(ctx, &sdk.DecryptInput{CiphertextBlob: k.CiphertextBlob}))
	if plain, err := aead(d.Plaintext).Open(nil, make([]byte, 12), data, nil); err != nil || string(plain) != "a long letter" {
		t.Errorf("%q, %v", plain, err)
	}
}

func TestReEncrypt(t *testing.T) {
	_, c := start(t)
	one, two := create(t, c), create(t, c)
	blob := encrypt(t, c, one.KeyId, "x", map[string]string{"a": "1"})
	out := ok[*sdk.ReEncryptOutput](t)(c.ReEncrypt(ctx, &sdk.ReEncryptInput{
		CiphertextBlob: blob, SourceEncryptionContext: map[string]string{"a": "1"}, DestinationKeyId: two.KeyId, DestinationEncryptionContext: map[string]string{"b": "2"},
	}))
	if *out.SourceKeyId != *one.Arn || *out.KeyId != *two.Arn || *out.SourceKeyMaterialId != *one.CurrentKeyMaterialId || *out.DestinationKeyMaterialId != *two.CurrentKeyMaterialId {
		t.Errorf("%+v", out)
	}
	ok[*sdk.DisableKeyOutput](t)(c.DisableKey(ctx, &sdk.DisableKeyInput{KeyId: one.KeyId}))
	if plain, err := decrypt(c, out.CiphertextBlob, map[string]string{"b": "2"}); err != nil || plain != "x" {
		t.Errorf("%q, %v", plain, err)
	}
	again := &sdk.ReEncryptInput{CiphertextBlob: blob, SourceEncryptionContext: map[string]string{"a": "1"}, DestinationKeyId: two.KeyId}
	_, err := c.ReEncrypt(ctx, again)
	fails(t, err, "DisabledException", *one.Arn)
	ok[*sdk.EnableKeyOutput](t)(c.EnableKey(ctx, &sdk.EnableKeyInput{KeyId: one.KeyId}))
	again.SourceKeyId = two.KeyId
	_, err = c.ReEncrypt(ctx, again)
	fails(t, err, "IncorrectKeyException", "")
	again.SourceKeyId, again.SourceEncryptionContext = one.KeyId, nil
	_, err = c.ReEncrypt(ctx, again)
	fails(t, err, "InvalidCiphertextException", "")
	again.CiphertextBlob = []byte("anything")
	_, err = c.ReEncrypt(ctx, again)
	fails(t, err, "InvalidCiphertextException", "")
}

// TestNothingLeaks looks for plaintext and key material where everybody who may
// read the trail, or the disk, would find them.
func TestNothingLeaks(t *testing.T) {
	k, c := start(t)
	key := create(t, c)
	const secret = "hunter2hunter2hunter2"
	blob := encrypt(t, c, key.KeyId, secret, nil)
	if plain, err := decrypt(c, blob, nil); err != nil || plain != secret {
		t.Fatal(err)
	}
	data := ok[*sdk.GenerateDataKeyOutput](t)(c.GenerateDataKey(ctx, &sdk.GenerateDataKeyInput{KeyId: key.KeyId, KeySpec: types.DataKeySpecAes256}))
	grant := ok[*sdk.CreateGrantOutput](t)(c.CreateGrant(ctx, &sdk.CreateGrantInput{KeyId: key.KeyId, GranteePrincipal: aws.String("111122223333"), Operations: []types.GrantOperation{types.GrantOperationDecrypt}}))
	text, err := json.Marshal(k.Trail())
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := json.Marshal(data.Plaintext)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := json.Marshal([]byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	for what, s := range map[string]string{"plaintext": secret, "plaintext in base64": string(plain), "data key": string(encoded)} {
		if strings.Contains(string(text), strings.Trim(s, `"`)) {
			t.Errorf("the trail holds the %s", what)
		}
	}
	if !strings.Contains(string(text), *grant.GrantId) {
		t.Error("the trail does not know the grant")
	}
}
