package refusal

import (
	"github.com/aws/aws-sdk-go-v2/service/kms"
	kmst "github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/remit-ecs/remit/internal/testkit/whole"
)

func (f *subject) kmsTags() []kmst.Tag { return []kmst.Tag{{TagKey: ptr(tagKey), TagValue: ptr("a")}} }

// kmsKey is the ARN of a key with a tag, under the default key policy: the
// caller's own policies decide.
func (f *subject) kmsKey() *string {
	return must(f.kms.CreateKey(f.ctx, &kms.CreateKeyInput{Tags: f.kmsTags()})).KeyMetadata.Arn
}

func (f *subject) alias(key *string) *string {
	name := ptr("alias/" + f.name)
	must(f.kms.CreateAlias(f.ctx, &kms.CreateAliasInput{AliasName: name, TargetKeyId: key}))
	return name
}

func (f *subject) aliasARN(key *string) *string {
	return ptr("arn:aws:kms:" + whole.Region + ":" + whole.Account + ":" + *f.alias(key))
}

var someContext = map[string]string{"project": "orders"}

func (f *subject) ciphertext(key *string) []byte {
	return must(f.kms.Encrypt(f.ctx, &kms.EncryptInput{KeyId: key, Plaintext: []byte("plain"), EncryptionContext: someContext})).CiphertextBlob
}

// keyGrant is a grant to somebody else, so that the caller needs a policy.
func (f *subject) keyGrant(key *string) *kms.CreateGrantOutput {
	return must(f.kms.CreateGrant(f.ctx, &kms.CreateGrantInput{
		KeyId: key, GranteePrincipal: ptr("arn:aws:iam::444455556666:root"), Operations: []kmst.GrantOperation{kmst.GrantOperationDecrypt},
		Constraints: &kmst.GrantConstraints{EncryptionContextSubset: someContext},
	}))
}

const someKeyPolicy = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + whole.Account + `"},"Action":"kms:*","Resource":"*"}]}`

var kmsFixtures = map[string]fixture{
	"kms:CreateKey":   func(f *subject) any { return &kms.CreateKeyInput{Tags: f.kmsTags()} },
	"kms:DescribeKey": func(f *subject) any { return &kms.DescribeKeyInput{KeyId: f.aliasARN(f.kmsKey())} },
	"kms:ListKeys":    func(f *subject) any { return &kms.ListKeysInput{} },
	"kms:UpdateKeyDescription": func(f *subject) any {
		return &kms.UpdateKeyDescriptionInput{KeyId: f.kmsKey(), Description: ptr("d")}
	},
	"kms:EnableKey":  func(f *subject) any { return &kms.EnableKeyInput{KeyId: f.kmsKey()} },
	"kms:DisableKey": func(f *subject) any { return &kms.DisableKeyInput{KeyId: f.kmsKey()} },
	"kms:ScheduleKeyDeletion": func(f *subject) any {
		return &kms.ScheduleKeyDeletionInput{KeyId: f.kmsKey(), PendingWindowInDays: ptr[int32](7)}
	},
	"kms:CancelKeyDeletion": func(f *subject) any {
		key := f.kmsKey()
		must(f.kms.ScheduleKeyDeletion(f.ctx, &kms.ScheduleKeyDeletionInput{KeyId: key}))
		return &kms.CancelKeyDeletionInput{KeyId: key}
	},
	"kms:GetKeyLastUsage": func(f *subject) any { return &kms.GetKeyLastUsageInput{KeyId: f.kmsKey()} },
	"kms:PutKeyPolicy": func(f *subject) any {
		return &kms.PutKeyPolicyInput{KeyId: f.kmsKey(), Policy: ptr(someKeyPolicy)}
	},
	"kms:GetKeyPolicy":    func(f *subject) any { return &kms.GetKeyPolicyInput{KeyId: f.kmsKey()} },
	"kms:ListKeyPolicies": func(f *subject) any { return &kms.ListKeyPoliciesInput{KeyId: f.kmsKey()} },
	"kms:CreateAlias": func(f *subject) any {
		return &kms.CreateAliasInput{AliasName: ptr("alias/" + f.name), TargetKeyId: f.kmsKey()}
	},
	"kms:UpdateAlias": func(f *subject) any {
		return &kms.UpdateAliasInput{AliasName: f.alias(f.kmsKey()), TargetKeyId: f.kmsKey()}
	},
	"kms:DeleteAlias": func(f *subject) any { return &kms.DeleteAliasInput{AliasName: f.alias(f.kmsKey())} },
	"kms:ListAliases": func(f *subject) any { return &kms.ListAliasesInput{} },
	"kms:Encrypt": func(f *subject) any {
		return &kms.EncryptInput{KeyId: f.alias(f.kmsKey()), Plaintext: []byte("plain"), EncryptionContext: someContext}
	},
	"kms:Decrypt": func(f *subject) any {
		key := f.kmsKey()
		return &kms.DecryptInput{CiphertextBlob: f.ciphertext(key), KeyId: f.alias(key), EncryptionContext: someContext}
	},
	"kms:ReEncrypt": func(f *subject) any {
		return &kms.ReEncryptInput{
			CiphertextBlob: f.ciphertext(f.kmsKey()), SourceEncryptionContext: someContext,
			DestinationKeyId: f.alias(f.kmsKey()), DestinationEncryptionContext: someContext,
		}
	},
	"kms:GenerateDataKey": func(f *subject) any {
		return &kms.GenerateDataKeyInput{KeyId: f.alias(f.kmsKey()), KeySpec: kmst.DataKeySpecAes256, EncryptionContext: someContext}
	},
	"kms:GenerateDataKeyWithoutPlaintext": func(f *subject) any {
		return &kms.GenerateDataKeyWithoutPlaintextInput{KeyId: f.alias(f.kmsKey()), NumberOfBytes: ptr[int32](16), EncryptionContext: someContext}
	},
	"kms:GenerateRandom": func(f *subject) any { return &kms.GenerateRandomInput{NumberOfBytes: ptr[int32](16)} },
	"kms:CreateGrant": func(f *subject) any {
		return &kms.CreateGrantInput{
			KeyId: f.kmsKey(), GranteePrincipal: ptr(whole.Account), RetiringPrincipal: ptr(whole.Account), Operations: []kmst.GrantOperation{kmst.GrantOperationDecrypt},
			Constraints: &kmst.GrantConstraints{EncryptionContextEquals: someContext},
		}
	},
	"kms:ListGrants":          func(f *subject) any { return &kms.ListGrantsInput{KeyId: f.kmsKey()} },
	"kms:ListRetirableGrants": func(f *subject) any { return &kms.ListRetirableGrantsInput{RetiringPrincipal: ptr(whole.Account)} },
	"kms:RevokeGrant": func(f *subject) any {
		key := f.kmsKey()
		return &kms.RevokeGrantInput{KeyId: key, GrantId: f.keyGrant(key).GrantId}
	},
	"kms:RetireGrant": func(f *subject) any {
		key := f.kmsKey()
		return &kms.RetireGrantInput{KeyId: key, GrantId: f.keyGrant(key).GrantId}
	},
	"kms:EnableKeyRotation": func(f *subject) any {
		return &kms.EnableKeyRotationInput{KeyId: f.kmsKey(), RotationPeriodInDays: ptr[int32](90)}
	},
	"kms:DisableKeyRotation":   func(f *subject) any { return &kms.DisableKeyRotationInput{KeyId: f.kmsKey()} },
	"kms:GetKeyRotationStatus": func(f *subject) any { return &kms.GetKeyRotationStatusInput{KeyId: f.kmsKey()} },
	"kms:ListKeyRotations":     func(f *subject) any { return &kms.ListKeyRotationsInput{KeyId: f.kmsKey()} },
	"kms:RotateKeyOnDemand":    func(f *subject) any { return &kms.RotateKeyOnDemandInput{KeyId: f.kmsKey()} },
	"kms:TagResource":          func(f *subject) any { return &kms.TagResourceInput{KeyId: f.kmsKey(), Tags: f.kmsTags()} },
	"kms:UntagResource": func(f *subject) any {
		return &kms.UntagResourceInput{KeyId: f.kmsKey(), TagKeys: []string{tagKey}}
	},
	"kms:ListResourceTags": func(f *subject) any { return &kms.ListResourceTagsInput{KeyId: f.kmsKey()} },
}
