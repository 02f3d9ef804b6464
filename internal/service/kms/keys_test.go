package kms_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/kmsapi"
	"github.com/remit-ecs/remit/internal/clock"
	"github.com/remit-ecs/remit/internal/gateway"
	"github.com/remit-ecs/remit/internal/service/kms"
	"github.com/remit-ecs/remit/internal/session"
	"github.com/remit-ecs/remit/internal/testkit"
)

const unknown = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"

func TestCreateAndDescribe(t *testing.T) {
	_, c := start(t)
	made := ok[*sdk.CreateKeyOutput](t)(c.CreateKey(ctx, &sdk.CreateKeyInput{Description: aws.String("orders"), Tags: []types.Tag{{TagKey: aws.String("team"), TagValue: aws.String("a")}}})).KeyMetadata
	d := ok[*sdk.DescribeKeyOutput](t)(c.DescribeKey(ctx, &sdk.DescribeKeyInput{KeyId: made.KeyId})).KeyMetadata
	if *d.Arn != *made.Arn || *d.Arn != "arn:aws:kms:eu-west-1:111122223333:key/"+*made.KeyId || *d.AWSAccountId != testkit.Account || *d.Description != "orders" ||
		!d.Enabled || d.KeyState != types.KeyStateEnabled || d.KeyManager != types.KeyManagerTypeCustomer || d.Origin != types.OriginTypeAwsKms ||
		d.KeySpec != types.KeySpecSymmetricDefault || d.KeyUsage != types.KeyUsageTypeEncryptDecrypt || *d.MultiRegion || len(*d.CurrentKeyMaterialId) != 64 {
		t.Errorf("%+v", d)
	}
	ok[*sdk.UpdateKeyDescriptionOutput](t)(c.UpdateKeyDescription(ctx, &sdk.UpdateKeyDescriptionInput{KeyId: made.KeyId, Description: aws.String("new")}))
	if d := ok[*sdk.DescribeKeyOutput](t)(c.DescribeKey(ctx, &sdk.DescribeKeyInput{KeyId: made.Arn})).KeyMetadata; *d.Description != "new" {
		t.Errorf("description %q", *d.Description)
	}
}

func TestWhatIsNotServedIsRefused(t *testing.T) {
	_, c := start(t)
	for _, in := range []sdk.CreateKeyInput{
		{KeySpec: types.KeySpecRsa2048, KeyUsage: types.KeyUsageTypeSignVerify}, {KeySpec: types.KeySpecHmac256, KeyUsage: types.KeyUsageTypeGenerateVerifyMac},
		{Origin: types.OriginTypeExternal}, {CustomKeyStoreId: aws.String("cks-1")}, {MultiRegion: aws.Bool(true)},
	} {
		_, err := c.CreateKey(ctx, &in)
		fails(t, err, "UnsupportedOperationException", "Remit ")
	}
	_, err := c.CreateKey(ctx, &sdk.CreateKeyInput{KeyUsage: types.KeyUsageTypeSignVerify})
	fails(t, err, "ValidationException", "SYMMETRIC_DEFAULT")
	key := create(t, c)
	_, err = c.GenerateRandom(ctx, &sdk.GenerateRandomInput{NumberOfBytes: aws.Int32(8), CustomKeyStoreId: aws.String("cks-1")})
	fails(t, err, "UnsupportedOperationException", "custom key stores")
	_, err = c.Encrypt(ctx, &sdk.EncryptInput{KeyId: key.KeyId, Plaintext: []byte("x"), EncryptionAlgorithm: types.EncryptionAlgorithmSpecRsaesOaepSha1})
	fails(t, err, "InvalidKeyUsageException", "")
	blob := encrypt(t, c, key.KeyId, "x", nil)
	_, err = c.Decrypt(ctx, &sdk.DecryptInput{CiphertextBlob: blob, Recipient: &types.RecipientInfo{AttestationDocument: []byte("x")}})
	fails(t, err, "UnsupportedOperationException", "attestation")
}

func TestNames(t *testing.T) {
	_, c := start(t)
	key := create(t, c)
	ok[*sdk.CreateAliasOutput](t)(c.CreateAlias(ctx, &sdk.CreateAliasInput{AliasName: aws.String("alias/orders"), TargetKeyId: key.KeyId}))
	for _, name := range []string{*key.KeyId, *key.Arn, "alias/orders", "arn:aws:kms:eu-west-1:111122223333:alias/orders"} {
		if d, err := c.DescribeKey(ctx, &sdk.DescribeKeyInput{KeyId: &name}); err != nil || *d.KeyMetadata.Arn != *key.Arn {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, text := range map[string]string{
		unknown[strings.LastIndex(unknown, "/")+1:]: "Key '" + unknown + "' does not exist",
		unknown:      "Key '" + unknown + "' does not exist",
		"alias/none": "Alias arn:aws:kms:eu-west-1:111122223333:alias/none is not found.",
		"nonsense":   "Invalid keyId 'nonsense'",
		strings.Replace(*key.Arn, "eu-west-1", "us-east-1", 1): "Invalid arn us-east-1",
	} {
		_, err := c.DescribeKey(ctx, &sdk.DescribeKeyInput{KeyId: &name})
		fails(t, err, "NotFoundException", text)
	}
	for _, name := range []string{"arn:aws:kms:eu-west-1:111122223333:store/x", "arn:aws-cn:kms:eu-west-1:111122223333:key/" + *key.KeyId, "arn:aws:s3:::x"} {
		_, err := c.DescribeKey(ctx, &sdk.DescribeKeyInput{KeyId: &name})
		fails(t, err, "InvalidArnException", "Invalid arn")
	}
	_, err := c.DisableKey(ctx, &sdk.DisableKeyInput{KeyId: aws.String("alias/orders")})
	fails(t, err, "NotFoundException", "Invalid keyId alias/orders")
}

func TestAliases(t *testing.T) {
	_, c := start(t)
	one, two := create(t, c), create(t, c)
	name := func(name string, key *string) error {
		_, err := c.CreateAlias(ctx, &sdk.CreateAliasInput{AliasName: &name, TargetKeyId: key})
		return err
	}
	for _, n := range []string{"alias/a", "alias/b", "alias/c"} {
		if err := name(n, one.KeyId); err != nil {
			t.Fatal(err)
		}
	}
	fails(t, name("alias/a", two.KeyId), "AlreadyExistsException", "An alias with the name arn:aws:kms:eu-west-1:111122223333:alias/a already exists")
	fails(t, name("orders", two.KeyId), "ValidationException", "Invalid identifier")
	fails(t, name("alias/a:b", two.KeyId), "ValidationException", "invalid characters")
	fails(t, name("alias/aws/orders", two.KeyId), "AccessDeniedException", "alias/aws/orders") // nobody may, not even root
	fails(t, name("alias/x", aws.String(unknown)), "NotFoundException", "does not exist")
	_, err := c.UpdateAlias(ctx, &sdk.UpdateAliasInput{AliasName: aws.String("alias/none"), TargetKeyId: two.KeyId})
	fails(t, err, "NotFoundException", "Alias arn:aws:kms:eu-west-1:111122223333:alias/none is not found.")
	_, err = c.DeleteAlias(ctx, &sdk.DeleteAliasInput{AliasName: aws.String("alias/none")})
	fails(t, err, "NotFoundException", "alias/none is not found.")
	blob := encrypt(t, c, aws.String("alias/b"), "x", nil)
	ok[*sdk.UpdateAliasOutput](t)(c.UpdateAlias(ctx, &sdk.UpdateAliasInput{AliasName: aws.String("alias/b"), TargetKeyId: two.Arn}))
	if out, err := c.Encrypt(ctx, &sdk.EncryptInput{KeyId: aws.String("alias/b"), Plaintext: []byte("x")}); err != nil || *out.KeyId != *two.Arn {
		t.Errorf("%+v, %v", out, err)
	}
	if plain, err := decrypt(c, blob, nil); err != nil || plain != "x" {
		t.Errorf("what the alias's former key encrypted: %q, %v", plain, err)
	}
	ok[*sdk.DeleteAliasOutput](t)(c.DeleteAlias(ctx, &sdk.DeleteAliasInput{AliasName: aws.String("alias/c")}))
	list := func(key *string) string {
		t.Helper()
		var out []string
		for pages := sdk.NewListAliasesPaginator(c, &sdk.ListAliasesInput{KeyId: key, Limit: aws.Int32(1)}); pages.HasMorePages(); {
			p, err := pages.NextPage(ctx)
			if err != nil {
				t.Fatal(err)
			}
			for _, a := range p.Aliases {
				out = append(out, *a.AliasName)
			}
		}
		return strings.Join(out, " ")
	}
	if got := list(one.KeyId); got != "alias/a" {
		t.Errorf("of one: %s", got)
	}
	if got := list(two.Arn); got != "alias/b" {
		t.Errorf("of two: %s", got)
	}
	if got := list(nil); got != "alias/a alias/aws/secretsmanager alias/aws/ssm alias/b" {
		t.Errorf("all: %s", got)
	}
	_, err = c.ListAliases(ctx, &sdk.ListAliasesInput{Marker: aws.String("forged")})
	fails(t, err, "InvalidMarkerException", "")
}

func TestManagedKeys(t *testing.T) {
	k, c := start(t)
	d := ok[*sdk.DescribeKeyOutput](t)(c.DescribeKey(ctx, &sdk.DescribeKeyInput{KeyId: aws.String("alias/aws/secretsmanager")})).KeyMetadata
	if d.KeyManager != types.KeyManagerTypeAws || !d.Enabled {
		t.Errorf("%+v", d)
	}
	if again := ok[*sdk.DescribeKeyOutput](t)(c.DescribeKey(ctx, &sdk.DescribeKeyInput{KeyId: d.KeyId})).KeyMetadata; *again.Arn != *d.Arn || !again.CreationDate.Equal(*d.CreationDate) || *again.CurrentKeyMaterialId != *d.CurrentKeyMaterialId {
		t.Errorf("%+v, then %+v", d, again)
	}
	admin := sdk.NewFromConfig(k.With(testkit.Allow("*", "kms:*")))
	for who, c := range map[string]*sdk.Client{"root": c, "an administrator": admin} {
		_, put := c.PutKeyPolicy(ctx, &sdk.PutKeyPolicyInput{KeyId: d.KeyId, Policy: aws.String(delegate)})
		_, del := c.ScheduleKeyDeletion(ctx, &sdk.ScheduleKeyDeletionInput{KeyId: d.KeyId})
		_, enc := c.Encrypt(ctx, &sdk.EncryptInput{KeyId: d.KeyId, Plaintext: []byte("x")})
		for what, err := range map[string]error{"PutKeyPolicy": put, "ScheduleKeyDeletion": del, "Encrypt": enc} {
			t.Log(who, what)
			fails(t, err, "AccessDeniedException", "because no resource-based policy allows the kms:"+what+" action")
		}
	}
	if s := ok[*sdk.GetKeyRotationStatusOutput](t)(c.GetKeyRotationStatus(ctx, &sdk.GetKeyRotationStatusInput{KeyId: d.KeyId})); !s.KeyRotationEnabled || *s.RotationPeriodInDays != 365 {
		t.Errorf("%+v", s)
	}
}

func TestDisabled(t *testing.T) {
	_, c := start(t)
	key := create(t, c)
	blob := encrypt(t, c, key.KeyId, "x", nil)
	ok[*sdk.DisableKeyOutput](t)(c.DisableKey(ctx, &sdk.DisableKeyInput{KeyId: key.KeyId}))
	if d := ok[*sdk.DescribeKeyOutput](t)(c.DescribeKey(ctx, &sdk.DescribeKeyInput{KeyId: key.KeyId})).KeyMetadata; d.Enabled || d.KeyState != types.KeyStateDisabled {
		t.Errorf("%+v", d)
	}
	_, err := decrypt(c, blob, nil)
	fails(t, err, "DisabledException", *key.Arn+" is disabled.")
	_, err = c.GenerateDataKey(ctx, &sdk.GenerateDataKeyInput{KeyId: key.KeyId, KeySpec: types.DataKeySpecAes256})
	fails(t, err, "DisabledException", *key.Arn+" is disabled.")
	_, err = c.CreateGrant(ctx, &sdk.CreateGrantInput{KeyId: key.KeyId, GranteePrincipal: aws.String(testkit.Account), Operations: []types.GrantOperation{types.GrantOperationDecrypt}})
	fails(t, err, "DisabledException", *key.Arn+" is disabled.")
	ok[*sdk.EnableKeyOutput](t)(c.EnableKey(ctx, &sdk.EnableKeyInput{KeyId: key.KeyId}))
	if plain, err := decrypt(c, blob, nil); err != nil || plain != "x" {
		t.Errorf("%q, %v", plain, err)
	}
}

// pending are the operations that a key which waits to be deleted refuses.
func TestPendingDeletion(t *testing.T) {
	_, c := start(t)
	key := create(t, c)
	blob := encrypt(t, c, key.KeyId, "x", nil)
	for _, days := range []int32{6, 31} {
		_, err := c.ScheduleKeyDeletion(ctx, &sdk.ScheduleKeyDeletionInput{KeyId: key.KeyId, PendingWindowInDays: &days})
		fails(t, err, "ValidationException", "between 7 and 30")
	}
	_, err := c.CancelKeyDeletion(ctx, &sdk.CancelKeyDeletionInput{KeyId: key.KeyId})
	fails(t, err, "KMSInvalidStateException", *key.Arn+" is not pending deletion.")
	out := ok[*sdk.ScheduleKeyDeletionOutput](t)(c.ScheduleKeyDeletion(ctx, &sdk.ScheduleKeyDeletionInput{KeyId: key.KeyId, PendingWindowInDays: aws.Int32(7)}))
	if left := time.Until(*out.DeletionDate); *out.KeyId != *key.Arn || out.KeyState != types.KeyStatePendingDeletion || *out.PendingWindowInDays != 7 || left > 7*24*time.Hour || left < 6*24*time.Hour {
		t.Errorf("%+v", out)
	}
	for what, f := range map[string]func() error{
		"Decrypt":    func() error { _, err := decrypt(c, blob, nil); return err },
		"EnableKey":  func() error { _, err := c.EnableKey(ctx, &sdk.EnableKeyInput{KeyId: key.KeyId}); return err },
		"DisableKey": func() error { _, err := c.DisableKey(ctx, &sdk.DisableKeyInput{KeyId: key.KeyId}); return err },
		"CreateAlias": func() error {
			_, err := c.CreateAlias(ctx, &sdk.CreateAliasInput{AliasName: aws.String("alias/x"), TargetKeyId: key.KeyId})
			return err
		},
		"ScheduleKeyDeletion": func() error {
			_, err := c.ScheduleKeyDeletion(ctx, &sdk.ScheduleKeyDeletionInput{KeyId: key.KeyId})
			return err
		},
		"TagResource": func() error {
			_, err := c.TagResource(ctx, &sdk.TagResourceInput{KeyId: key.KeyId, Tags: []types.Tag{{TagKey: aws.String("a"), TagValue: aws.String("b")}}})
			return err
		},
		"UpdateKeyDescription": func() error {
			_, err := c.UpdateKeyDescription(ctx, &sdk.UpdateKeyDescriptionInput{KeyId: key.KeyId, Description: aws.String("d")})
			return err
		},
	} {
		t.Log(what)
		fails(t, f(), "KMSInvalidStateException", *key.Arn+" is pending deletion.")
	}
	ok[*sdk.CancelKeyDeletionOutput](t)(c.CancelKeyDeletion(ctx, &sdk.CancelKeyDeletionInput{KeyId: key.KeyId}))
	_, err = decrypt(c, blob, nil)
	fails(t, err, "DisabledException", "") // and not enabled
}

// inside calls as the account's root user, past signatures: they need the real
// time.
func inside[In, Out any](t *testing.T, k *kit, op api.Op[In, Out], in *In) (*Out, error) {
	t.Helper()
	root := k.Gateway.For(&session.Principal{Type: session.Root, Account: testkit.Account, ARN: "arn:aws:iam::" + testkit.Account + ":root", UserID: testkit.Account})
	return gateway.Invoke(ctx, root, gateway.Target{Account: testkit.Account, Region: testkit.Region}, op, in)
}

// TestDeletionHappens moves the time: past the waiting period the key is gone
// at once, and Run removes what is left of it.
func TestDeletionHappens(t *testing.T) {
	fake := clock.NewFake(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC))
	k, _ := start(t, testkit.WithClock(fake))
	key := ok[*kmsapi.CreateKeyOutput](t)(inside(t, k, kmsapi.CreateKey, &kmsapi.CreateKeyInput{})).KeyMetadata
	stays := ok[*kmsapi.CreateKeyOutput](t)(inside(t, k, kmsapi.CreateKey, &kmsapi.CreateKeyInput{})).KeyMetadata
	ok[*kmsapi.CreateAliasOutput](t)(inside(t, k, kmsapi.CreateAlias, &kmsapi.CreateAliasInput{AliasName: api.Ptr("alias/a"), TargetKeyId: key.KeyId}))
	ok[*kmsapi.EncryptOutput](t)(inside(t, k, kmsapi.Encrypt, &kmsapi.EncryptInput{KeyId: key.KeyId, Plaintext: []byte("x")}))
	ok[*kmsapi.CreateGrantOutput](t)(inside(t, k, kmsapi.CreateGrant, &kmsapi.CreateGrantInput{KeyId: key.KeyId, GranteePrincipal: api.Ptr(testkit.Account), Operations: []kmsapi.GrantOperation{kmsapi.GrantOperationDecrypt}}))
	ok[*kmsapi.ScheduleKeyDeletionOutput](t)(inside(t, k, kmsapi.ScheduleKeyDeletion, &kmsapi.ScheduleKeyDeletionInput{KeyId: key.KeyId, PendingWindowInDays: api.Ptr[int32](7)}))
	fake.Advance(7*24*time.Hour - time.Second)
	ok[*kmsapi.DescribeKeyOutput](t)(inside(t, k, kmsapi.DescribeKey, &kmsapi.DescribeKeyInput{KeyId: key.KeyId}))
	fake.Advance(time.Second)
	if _, err := inside(t, k, kmsapi.CancelKeyDeletion, &kmsapi.CancelKeyDeletionInput{KeyId: key.KeyId}); err == nil || !strings.Contains(err.Error(), "does not exist") {
		t.Errorf("rescued after the waiting period: %v", err)
	}
	if out := ok[*kmsapi.ListKeysOutput](t)(inside(t, k, kmsapi.ListKeys, &kmsapi.ListKeysInput{})); len(out.Keys) != 1 {
		t.Errorf("listed: %+v", out.Keys)
	}
	// The alias may be used anew before the loop comes by.
	ok[*kmsapi.CreateAliasOutput](t)(inside(t, k, kmsapi.CreateAlias, &kmsapi.CreateAliasInput{AliasName: api.Ptr("alias/a"), TargetKeyId: stays.KeyId}))
	if err := kms.Sweep(k.service, ctx); err != nil {
		t.Fatal(err)
	}
	if left := kms.Stored(k.Store, gateway.Regional(testkit.Account, testkit.Region)); !slices.Equal(left, []string{"key " + *stays.KeyId, "alias/a"}) {
		t.Errorf("left: %q", left)
	}
}

func TestRotation(t *testing.T) {
	fake := clock.NewFake(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC))
	k, _ := start(t, testkit.WithClock(fake))
	key := ok[*kmsapi.CreateKeyOutput](t)(inside(t, k, kmsapi.CreateKey, &kmsapi.CreateKeyInput{})).KeyMetadata
	status := func() *kmsapi.GetKeyRotationStatusOutput {
		t.Helper()
		return ok[*kmsapi.GetKeyRotationStatusOutput](t)(inside(t, k, kmsapi.GetKeyRotationStatus, &kmsapi.GetKeyRotationStatusInput{KeyId: key.KeyId}))
	}
	if *status().KeyRotationEnabled {
		t.Error("rotation is on")
	}
	ok[*kmsapi.EnableKeyRotationOutput](t)(inside(t, k, kmsapi.EnableKeyRotation, &kmsapi.EnableKeyRotationInput{KeyId: key.KeyId, RotationPeriodInDays: api.Ptr[int32](90)}))
	if s := status(); !*s.KeyRotationEnabled || *s.RotationPeriodInDays != 90 || !s.NextRotationDate.Equal(fake.Now().Add(90*24*time.Hour)) {
		t.Errorf("%+v", s)
	}
	first := ok[*kmsapi.EncryptOutput](t)(inside(t, k, kmsapi.Encrypt, &kmsapi.EncryptInput{KeyId: key.KeyId, Plaintext: []byte("first")}))
	sweep := func(days int) {
		t.Helper()
		fake.Advance(time.Duration(days) * 24 * time.Hour)
		if err := kms.Sweep(k.service, ctx); err != nil {
			t.Fatal(err)
		}
	}
	sweep(89)
	sweep(1)
	ok[*kmsapi.RotateKeyOnDemandOutput](t)(inside(t, k, kmsapi.RotateKeyOnDemand, &kmsapi.RotateKeyOnDemandInput{KeyId: key.KeyId}))
	list := ok[*kmsapi.ListKeyRotationsOutput](t)(inside(t, k, kmsapi.ListKeyRotations, &kmsapi.ListKeyRotationsInput{KeyId: key.KeyId})).Rotations
	if len(list) != 2 || list[0].RotationType != kmsapi.RotationTypeAutomatic || list[1].RotationType != kmsapi.RotationTypeOnDemand || list[0].KeyMaterialState != "" {
		t.Fatalf("%+v", list)
	}
	page := ok[*kmsapi.ListKeyRotationsOutput](t)(inside(t, k, kmsapi.ListKeyRotations, &kmsapi.ListKeyRotationsInput{KeyId: key.KeyId, IncludeKeyMaterial: kmsapi.IncludeKeyMaterialAllKeyMaterial, Limit: api.Ptr[int32](2)}))
	rest := ok[*kmsapi.ListKeyRotationsOutput](t)(inside(t, k, kmsapi.ListKeyRotations, &kmsapi.ListKeyRotationsInput{KeyId: key.KeyId, IncludeKeyMaterial: kmsapi.IncludeKeyMaterialAllKeyMaterial, Marker: page.NextMarker}))
	all := append(page.Rotations, rest.Rotations...)
	if len(all) != 3 || all[0].RotationDate != nil || all[0].KeyMaterialState != kmsapi.KeyMaterialStateNonCurrent || all[2].KeyMaterialState != kmsapi.KeyMaterialStateCurrent || !*page.Truncated || *rest.Truncated {
		t.Errorf("%+v", all)
	}
	plain, err := inside(t, k, kmsapi.Decrypt, &kmsapi.DecryptInput{CiphertextBlob: first.CiphertextBlob})
	if err != nil || string(plain.Plaintext) != "first" || *plain.KeyMaterialId != *key.CurrentKeyMaterialId {
		t.Errorf("what the first material encrypted: %+v, %v", plain, err)
	}
	last := ok[*kmsapi.GenerateDataKeyOutput](t)(inside(t, k, kmsapi.GenerateDataKey, &kmsapi.GenerateDataKeyInput{KeyId: key.KeyId, KeySpec: kmsapi.DataKeySpecAes256}))
	if *last.KeyMaterialId != *all[2].KeyMaterialId {
		t.Error("not encrypted with the newest material")
	}
	// A disabled key is rotated when it can be used again.
	ok[*kmsapi.DisableKeyOutput](t)(inside(t, k, kmsapi.DisableKey, &kmsapi.DisableKeyInput{KeyId: key.KeyId}))
	sweep(90)
	ok[*kmsapi.EnableKeyOutput](t)(inside(t, k, kmsapi.EnableKey, &kmsapi.EnableKeyInput{KeyId: key.KeyId}))
	before := status().NextRotationDate
	sweep(0)
	if after := status().NextRotationDate; !before.Before(fake.Now().Add(time.Second)) || !after.Equal(fake.Now().Add(90*24*time.Hour)) {
		t.Errorf("next rotation %v, then %v", before, after)
	}
	ok[*kmsapi.DisableKeyRotationOutput](t)(inside(t, k, kmsapi.DisableKeyRotation, &kmsapi.DisableKeyRotationInput{KeyId: key.KeyId}))
	sweep(1000)
	if out := ok[*kmsapi.ListKeyRotationsOutput](t)(inside(t, k, kmsapi.ListKeyRotations, &kmsapi.ListKeyRotationsInput{KeyId: key.KeyId})); len(out.Rotations) != 3 {
		t.Errorf("%d rotations", len(out.Rotations))
	}
	for range 24 {
		ok[*kmsapi.RotateKeyOnDemandOutput](t)(inside(t, k, kmsapi.RotateKeyOnDemand, &kmsapi.RotateKeyOnDemandInput{KeyId: key.KeyId}))
	}
	if _, err := inside(t, k, kmsapi.RotateKeyOnDemand, &kmsapi.RotateKeyOnDemandInput{KeyId: key.KeyId}); err == nil || !strings.HasPrefix(err.Error(), "LimitExceededException") {
		t.Errorf("a rotation too many: %v", err)
	}
}

func TestTagsAndPages(t *testing.T) {
	_, c := start(t)
	key := create(t, c)
	tag := func(kv ...string) error {
		in := &sdk.TagResourceInput{KeyId: key.KeyId}
		for i := 0; i < len(kv); i += 2 {
			in.Tags = append(in.Tags, types.Tag{TagKey: &kv[i], TagValue: &kv[i+1]})
		}
		_, err := c.TagResource(ctx, in)
		return err
	}
	if err := tag("a", "1", "c", "2", "b", "3"); err != nil {
		t.Fatal(err)
	}
	if err := tag("a", "4"); err != nil {
		t.Fatal(err)
	}
	fails(t, tag("aws:x", "1"), "TagException", "reserved")
	fails(t, tag("x", "1", "x", "2"), "TagException", "Duplicate")
	ok[*sdk.UntagResourceOutput](t)(c.UntagResource(ctx, &sdk.UntagResourceInput{KeyId: key.KeyId, TagKeys: []string{"c", "none"}}))
	var got []string
	for pages := sdk.NewListResourceTagsPaginator(c, &sdk.ListResourceTagsInput{KeyId: key.KeyId, Limit: aws.Int32(1)}); pages.HasMorePages(); {
		p, err := pages.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, t := range p.Tags {
			got = append(got, *t.TagKey+"="+*t.TagValue)
		}
	}
	if strings.Join(got, " ") != "a=4 b=3" {
		t.Errorf("tags %q", got)
	}
	want := []string{*key.KeyId, *create(t, c).KeyId, *create(t, c).KeyId}
	slices.Sort(want)
	got = nil
	for pages := sdk.NewListKeysPaginator(c, &sdk.ListKeysInput{Limit: aws.Int32(2)}); pages.HasMorePages(); {
		p, err := pages.NextPage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range p.Keys {
			got = append(got, *k.KeyId)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("keys %q, want %q", got, want)
	}
}

func TestLastUsage(t *testing.T) {
	fake := clock.NewFake(time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC))
	k, _ := start(t, testkit.WithClock(fake))
	key := ok[*kmsapi.CreateKeyOutput](t)(inside(t, k, kmsapi.CreateKey, &kmsapi.CreateKeyInput{})).KeyMetadata
	usage := func() *kmsapi.KeyLastUsageData {
		t.Helper()
		return ok[*kmsapi.GetKeyLastUsageOutput](t)(inside(t, k, kmsapi.GetKeyLastUsage, &kmsapi.GetKeyLastUsageInput{KeyId: key.KeyId})).KeyLastUsage
	}
	if u := usage(); u != nil {
		t.Errorf("%+v", u)
	}
	use := func() {
		t.Helper()
		ok[*kmsapi.EncryptOutput](t)(inside(t, k, kmsapi.Encrypt, &kmsapi.EncryptInput{KeyId: key.KeyId, Plaintext: []byte("x")}))
	}
	use()
	first := fake.Now()
	fake.Advance(time.Hour)
	use()
	if u := usage(); u.Operation != kmsapi.KeyLastUsageTrackingOperationEncrypt || !u.Timestamp.Equal(first) {
		t.Errorf("%+v", u)
	}
	fake.Advance(24 * time.Hour)
	use()
	if u := usage(); !u.Timestamp.Equal(fake.Now()) {
		t.Errorf("%+v", u)
	}
	// Conditions see for how long nobody used the key.
	who := k.Principal("careful", "s")
	k.Role("careful", "", testkit.Allow("*", "kms:*"),
		`{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":["kms:DisableKey","kms:ScheduleKeyDeletion"],"Resource":"*","Condition":{"NumericLessThan":{"kms:TrailingDaysWithoutKeyUsage":"90"}}}}`)
	disable := func() error {
		_, err := gateway.Invoke(ctx, k.Gateway.For(who), gateway.Target{Account: testkit.Account, Region: testkit.Region}, kmsapi.DisableKey, &kmsapi.DisableKeyInput{KeyId: key.KeyId})
		return err
	}
	fake.Advance(89 * 24 * time.Hour)
	if err := disable(); err == nil || !strings.Contains(err.Error(), "explicit deny") {
		t.Errorf("after 89 days: %v", err)
	}
	fake.Advance(24 * time.Hour)
	if err := disable(); err != nil {
		t.Errorf("after 90 days: %v", err)
	}
}
