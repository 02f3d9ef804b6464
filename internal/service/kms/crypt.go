package kms

import (
	"crypto/rand"
	"errors"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/kmsapi"
	"github.com/remit-ecs/remit/internal/authz"
	"github.com/remit-ecs/remit/internal/gateway"
)

const symmetric = kmsapi.EncryptionAlgorithmSpecSymmetricDefault

// aboutUse asks to use a key in a cryptographic operation.
func (s *Service) aboutUse(c *gateway.Call, action string, r *ref, op kmsapi.GrantOperation, context map[string]string, tokens []string, k conditions) ([]authz.Ask, error) {
	if err := ambiguous(context); err != nil {
		return nil, err
	}
	k.text("kms:requestalias", r.alias).text("kms:encryptionalgorithm", string(symmetric)).context(context)
	return s.withGrants(c, s.ask(c, action, r, k), r, op, context, tokens)
}

// usable is the key of a cryptographic operation that was authorised.
func (s *Service) usable(c *gateway.Call, r *ref, algorithm kmsapi.EncryptionAlgorithmSpec) (*Key, error) {
	d, err := s.key(c, r)
	if err != nil {
		return nil, err
	}
	if err := d.enabled(); err != nil {
		return nil, err
	}
	if algorithm != "" && algorithm != symmetric {
		return nil, kmsapi.InvalidKeyUsageException("%s key usage is ENCRYPT_DECRYPT with the algorithm SYMMETRIC_DEFAULT, which is not valid for %s.", d.ARN, algorithm)
	}
	return d, nil
}

// noRecipient refuses what needs an attested enclave.
func noRecipient(r *kmsapi.RecipientInfo) error {
	if r != nil {
		return kmsapi.UnsupportedOperationException("Remit does not verify attestation documents: Recipient has to be absent.")
	}
	return nil
}

// dry ends a call that only asked whether it would succeed.
func dry(p *bool) error {
	if api.Value(p) {
		return kmsapi.DryRunOperationException("The request would have succeeded, but the DryRun option is set.")
	}
	return nil
}

// encryptWith makes a ciphertext with the newest material of a key.
func (s *Service) encryptWith(d *Key, account string, plaintext []byte, context map[string]string) ([]byte, error) {
	m := d.newest()
	secret, err := s.secret(d, m)
	if err != nil {
		return nil, err
	}
	return header{account: account, keyID: d.ID, generation: uint32(len(d.Material) - 1)}.seal(secret, plaintext, context)
}

// decryptWith opens a ciphertext that says it is of this key. Whatever is wrong
// with it, the answer is the same.
func (s *Service) decryptWith(d *Key, h header, blob []byte, context map[string]string) ([]byte, *Material, error) {
	if int64(h.generation) >= int64(len(d.Material)) {
		return nil, nil, errInvalidCiphertext()
	}
	m := &d.Material[h.generation]
	secret, err := s.secret(d, m)
	if err != nil {
		return nil, nil, err
	}
	plain, err := open(secret, blob, context)
	if errors.Is(err, errCiphertext) {
		err = errInvalidCiphertext()
	}
	return plain, m, err
}

// errInvalidCiphertext has no message: AWS's has none.
func errInvalidCiphertext() *api.Error { return kmsapi.InvalidCiphertextException("") }

func (s *Service) mayEncrypt(c *gateway.Call, in *kmsapi.EncryptInput) ([]authz.Ask, error) {
	r, err := s.resolve(c, in.KeyId)
	if err != nil {
		return nil, err
	}
	return s.aboutUse(c, "kms:Encrypt", r, kmsapi.GrantOperationEncrypt, in.EncryptionContext, in.GrantTokens, called(c))
}

// https://docs.aws.amazon.com/kms/latest/APIReference/API_Encrypt.html
func (s *Service) encrypt(c *gateway.Call, in *kmsapi.EncryptInput) (*kmsapi.EncryptOutput, error) {
	r, err := s.resolve(c, in.KeyId)
	if err != nil {
		return nil, err
	}
	d, err := s.usable(c, r, in.EncryptionAlgorithm)
	if err != nil {
		return nil, err
	}
	if err := dry(in.DryRun); err != nil {
		return nil, err
	}
	blob, err := s.encryptWith(d, r.account, in.Plaintext, in.EncryptionContext)
	if err != nil {
		return nil, err
	}
	used(c, r, kmsapi.KeyLastUsageTrackingOperationEncrypt)
	return &kmsapi.EncryptOutput{CiphertextBlob: blob, KeyId: &d.ARN, EncryptionAlgorithm: symmetric}, nil
}

// sealedBy is the key that a ciphertext names, under the name that the request
// gives it, if any. A ciphertext that is none says not even what it is about.
func (s *Service) sealedBy(c *gateway.Call, blob []byte, keyID *string) (r *ref, h header, err error) {
	h, _, ok := parseCiphertext(blob)
	if keyID != nil {
		if r, err = s.resolve(c, keyID); err != nil {
			return nil, h, err
		}
		return r, h, nil
	}
	if !ok {
		return nil, h, errInvalidCiphertext()
	}
	r = &ref{account: h.account, region: c.Region, id: h.keyID}
	s.find(c, r)
	return r, h, nil
}

// opens checks that a ciphertext is of the key that the request names.
func opens(r *ref, h header) error {
	switch {
	case h.keyID == "":
		return errInvalidCiphertext()
	case h.keyID != r.id || h.account != r.account:
		return kmsapi.IncorrectKeyException("The key ID in the request does not identify a CMK that can perform this operation.")
	}
	return nil
}

// errUnknownKey is the answer to a ciphertext of a key that is not there.
func errUnknownKey() *api.Error {
	return api.AccessDenied("The ciphertext refers to a customer master key that does not exist, does not exist in this region, or you are not allowed to access.")
}

func (s *Service) mayDecrypt(c *gateway.Call, in *kmsapi.DecryptInput) ([]authz.Ask, error) {
	r, _, err := s.sealedBy(c, in.CiphertextBlob, in.KeyId)
	if err != nil {
		return nil, err
	}
	return s.aboutUse(c, "kms:Decrypt", r, kmsapi.GrantOperationDecrypt, in.EncryptionContext, in.GrantTokens, called(c))
}

// https://docs.aws.amazon.com/kms/latest/APIReference/API_Decrypt.html
func (s *Service) decrypt(c *gateway.Call, in *kmsapi.DecryptInput) (*kmsapi.DecryptOutput, error) {
	if err := noRecipient(in.Recipient); err != nil {
		return nil, err
	}
	if len(in.DryRunModifiers) > 0 {
		return nil, kmsapi.UnsupportedOperationException("Remit does not serve DryRunModifiers.")
	}
	r, h, err := s.sealedBy(c, in.CiphertextBlob, in.KeyId)
	if err != nil {
		return nil, err
	}
	if r.doc == nil && in.KeyId == nil {
		return nil, errUnknownKey()
	}
	d, err := s.usable(c, r, in.EncryptionAlgorithm)
	if err != nil {
		return nil, err
	}
	if err := opens(r, h); err != nil {
		return nil, err
	}
	plain, m, err := s.decryptWith(d, h, in.CiphertextBlob, in.EncryptionContext)
	if err != nil {
		return nil, err
	}
	if err := dry(in.DryRun); err != nil {
		return nil, err
	}
	used(c, r, kmsapi.KeyLastUsageTrackingOperationDecrypt)
	return &kmsapi.DecryptOutput{KeyId: &d.ARN, Plaintext: plain, EncryptionAlgorithm: symmetric, KeyMaterialId: &m.ID}, nil
}

func (s *Service) mayReEncrypt(c *gateway.Call, in *kmsapi.ReEncryptInput) ([]authz.Ask, error) {
	from, _, err := s.sealedBy(c, in.CiphertextBlob, in.SourceKeyId)
	if err != nil {
		return nil, err
	}
	to, err := s.resolve(c, in.DestinationKeyId)
	if err != nil {
		return nil, err
	}
	same := from.id == to.id && from.account == to.account
	asks, err := s.aboutUse(c, "kms:ReEncryptFrom", from, kmsapi.GrantOperationReEncryptFrom, in.SourceEncryptionContext, in.GrantTokens, called(c).flag("kms:reencryptonsamekey", same))
	if err != nil {
		return nil, err
	}
	more, err := s.aboutUse(c, "kms:ReEncryptTo", to, kmsapi.GrantOperationReEncryptTo, in.DestinationEncryptionContext, in.GrantTokens, called(c).flag("kms:reencryptonsamekey", same))
	return append(asks, more...), err
}

// https://docs.aws.amazon.com/kms/latest/APIReference/API_ReEncrypt.html
func (s *Service) reEncrypt(c *gateway.Call, in *kmsapi.ReEncryptInput) (*kmsapi.ReEncryptOutput, error) {
	if len(in.DryRunModifiers) > 0 {
		return nil, kmsapi.UnsupportedOperationException("Remit does not serve DryRunModifiers.")
	}
	from, h, err := s.sealedBy(c, in.CiphertextBlob, in.SourceKeyId)
	if err != nil {
		return nil, err
	}
	if from.doc == nil && in.SourceKeyId == nil {
		return nil, errUnknownKey()
	}
	source, err := s.usable(c, from, in.SourceEncryptionAlgorithm)
	if err != nil {
		return nil, err
	}
	to, err := s.resolve(c, in.DestinationKeyId)
	if err != nil {
		return nil, err
	}
	destination, err := s.usable(c, to, in.DestinationEncryptionAlgorithm)
	if err != nil {
		return nil, err
	}
	if err := opens(from, h); err != nil {
		return nil, err
	}
	plain, was, err := s.decryptWith(source, h, in.CiphertextBlob, in.SourceEncryptionContext)
	if err != nil {
		return nil, err
	}
	if err := dry(in.DryRun); err != nil {
		return nil, err
	}
	blob, err := s.encryptWith(destination, to.account, plain, in.DestinationEncryptionContext)
	if err != nil {
		return nil, err
	}
	used(c, from, kmsapi.KeyLastUsageTrackingOperationReEncrypt)
	used(c, to, kmsapi.KeyLastUsageTrackingOperationReEncrypt)
	return &kmsapi.ReEncryptOutput{
		CiphertextBlob: blob, SourceKeyId: &source.ARN, KeyId: &destination.ARN,
		SourceEncryptionAlgorithm: symmetric, DestinationEncryptionAlgorithm: symmetric,
		SourceKeyMaterialId: &was.ID, DestinationKeyMaterialId: &destination.newest().ID,
	}, nil
}

func (s *Service) mayGenerateDataKey(c *gateway.Call, in *kmsapi.GenerateDataKeyInput) ([]authz.Ask, error) {
	r, err := s.resolve(c, in.KeyId)
	if err != nil {
		return nil, err
	}
	return s.aboutUse(c, "kms:GenerateDataKey", r, kmsapi.GrantOperationGenerateDataKey, in.EncryptionContext, in.GrantTokens, called(c))
}

// https://docs.aws.amazon.com/kms/latest/APIReference/API_GenerateDataKey.html
func (s *Service) generateDataKey(c *gateway.Call, in *kmsapi.GenerateDataKeyInput) (*kmsapi.GenerateDataKeyOutput, error) {
	if err := noRecipient(in.Recipient); err != nil {
		return nil, err
	}
	k, err := s.dataKey(c, in.KeyId, in.KeySpec, in.NumberOfBytes, in.EncryptionContext, in.DryRun, kmsapi.KeyLastUsageTrackingOperationGenerateDataKey)
	if err != nil {
		return nil, err
	}
	return &kmsapi.GenerateDataKeyOutput{CiphertextBlob: k.blob, Plaintext: k.plain, KeyId: &k.by.ARN, KeyMaterialId: &k.by.newest().ID}, nil
}

func (s *Service) mayGenerateDataKeyWithoutPlaintext(c *gateway.Call, in *kmsapi.GenerateDataKeyWithoutPlaintextInput) ([]authz.Ask, error) {
	r, err := s.resolve(c, in.KeyId)
	if err != nil {
		return nil, err
	}
	return s.aboutUse(c, "kms:GenerateDataKeyWithoutPlaintext", r, kmsapi.GrantOperationGenerateDataKeyWithoutPlaintext, in.EncryptionContext, in.GrantTokens, called(c))
}

// https://docs.aws.amazon.com/kms/latest/APIReference/API_GenerateDataKeyWithoutPlaintext.html
func (s *Service) generateDataKeyWithoutPlaintext(c *gateway.Call, in *kmsapi.GenerateDataKeyWithoutPlaintextInput) (*kmsapi.GenerateDataKeyWithoutPlaintextOutput, error) {
	k, err := s.dataKey(c, in.KeyId, in.KeySpec, in.NumberOfBytes, in.EncryptionContext, in.DryRun, kmsapi.KeyLastUsageTrackingOperationGenerateDataKeyWithoutPlaintext)
	if err != nil {
		return nil, err
	}
	return &kmsapi.GenerateDataKeyWithoutPlaintextOutput{CiphertextBlob: k.blob, KeyId: &k.by.ARN, KeyMaterialId: &k.by.newest().ID}, nil
}

// dataKey is a data key, plain and encrypted.
type dataKey struct {
	plain, blob []byte
	by          *Key
}

func (s *Service) dataKey(c *gateway.Call, keyID *string, spec kmsapi.DataKeySpec, bytes *int32, context map[string]string, dryRun *bool, op kmsapi.KeyLastUsageTrackingOperation) (*dataKey, error) {
	size := 0
	switch {
	case (spec == "") == (bytes == nil):
		return nil, api.Validation("Please specify either number of bytes or key spec.")
	case spec == kmsapi.DataKeySpecAes256:
		size = 32
	case spec == kmsapi.DataKeySpecAes128:
		size = 16
	default:
		size = int(*bytes)
	}
	r, err := s.resolve(c, keyID)
	if err != nil {
		return nil, err
	}
	d, err := s.usable(c, r, "")
	if err != nil {
		return nil, err
	}
	if err := dry(dryRun); err != nil {
		return nil, err
	}
	k := &dataKey{plain: make([]byte, size), by: d}
	rand.Read(k.plain)
	if k.blob, err = s.encryptWith(d, r.account, k.plain, context); err != nil {
		return nil, err
	}
	used(c, r, op)
	return k, nil
}

func (s *Service) mayGenerateRandom(*gateway.Call, *kmsapi.GenerateRandomInput) ([]authz.Ask, error) {
	return []authz.Ask{{Action: "kms:GenerateRandom", Resource: "*"}}, nil
}

// https://docs.aws.amazon.com/kms/latest/APIReference/API_GenerateRandom.html
func (s *Service) generateRandom(_ *gateway.Call, in *kmsapi.GenerateRandomInput) (*kmsapi.GenerateRandomOutput, error) {
	if err := noRecipient(in.Recipient); err != nil {
		return nil, err
	}
	switch {
	case in.CustomKeyStoreId != nil:
		return nil, kmsapi.UnsupportedOperationException("Remit has no custom key stores: CustomKeyStoreId has to be absent.")
	case in.NumberOfBytes == nil:
		return nil, api.Validation("NumberOfBytes is required.")
	}
	b := make([]byte, *in.NumberOfBytes)
	rand.Read(b)
	return &kmsapi.GenerateRandomOutput{Plaintext: b}, nil
}
