package secretsmanager

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/kmsapi"
	sm "github.com/remit-ecs/remit/internal/api/secretsmanagerapi"
	"github.com/remit-ecs/remit/internal/gateway"
)

// A value under the default key, aws/secretsmanager, lies sealed under the
// installation's master key: whoever may read the secret may read it. A value
// under a customer managed key is encrypted with a data key, which KMS made and
// decrypts again on the reader's behalf: the reader's kms:Decrypt decides, with
// kms:ViaService and the encryption context of the version.
//
//	write   kms:GenerateDataKey {SecretARN, SecretVersionId} -> data key -> AES-256-GCM
//	read    kms:Decrypt         {SecretARN, SecretVersionId} -> data key -> value
//
// https://docs.aws.amazon.com/secretsmanager/latest/userguide/security-encryption.html
const (
	viaService = "secretsmanager.amazonaws.com"
	defaultKey = "alias/aws/secretsmanager"

	// validation is the version in the encryption context of the calls that only
	// try whether the caller may use the key.
	validation = "RequestToValidateKeyAccess"
)

// Encrypted is a value under a customer managed key.
type Encrypted struct {
	Key     string `json:"key"`     // the key's ARN
	DataKey []byte `json:"dataKey"` // encrypted by KMS
	Sealed  []byte `json:"sealed"`  // nonce, ciphertext and tag
}

// customerKey is the ARN, of a key or an alias, that a KmsKeyId means in an
// account; none for the default key.
func customerKey(account, region string, keyID *string) string {
	arn := "arn:aws:kms:" + region + ":" + account + ":"
	switch k := api.Value(keyID); {
	case k == "", k == defaultKey, k == arn+defaultKey:
		return ""
	case strings.HasPrefix(k, "arn:"):
		return k
	case strings.HasPrefix(k, "alias/"):
		return arn + k
	default:
		return arn + "key/" + k
	}
}

// keyARN is the ARN of the key that a KmsKeyId names. What an alias names only
// KMS knows: then there is none to put conditions on.
func keyARN(account, region string, keyID *string) *string {
	if k := customerKey(account, region, keyID); strings.Contains(k, ":key/") {
		return &k
	}
	return nil
}

// customerKey is that of the secret.
func (d *Secret) customerKey(c *gateway.Call) string {
	return customerKey(ownerOf(d.ARN), c.Region, d.KmsKeyID)
}

// ownerOf is the account in a secret's own ARN.
func ownerOf(secretARN string) string { return strings.Split(secretARN, ":")[4] }

// toKMS is where calls for the caller of c go.
func toKMS(c *gateway.Call) (*gateway.Invoker, gateway.Target) {
	return c.Via(viaService), gateway.Target{Region: c.Region}
}

func encryptionContext(secretARN, versionID string) map[string]string {
	return map[string]string{"SecretARN": secretARN, "SecretVersionId": versionID}
}

// mayUse tries, when a secret gets a customer managed key, whether the caller
// may encrypt and decrypt with it.
func mayUse(c *gateway.Call, d *Secret) error {
	key := d.customerKey(c)
	if key == "" {
		return nil
	}
	to, at := toKMS(c)
	context := encryptionContext(d.ARN, validation)
	k, err := gateway.Invoke(c.Context, to, at, kmsapi.GenerateDataKey, &kmsapi.GenerateDataKeyInput{KeyId: &key, KeySpec: kmsapi.DataKeySpecAes256, EncryptionContext: context})
	if err != nil {
		return refused(err, sm.EncryptionFailure)
	}
	_, err = gateway.Invoke(c.Context, to, at, kmsapi.Decrypt, &kmsapi.DecryptInput{CiphertextBlob: k.CiphertextBlob, EncryptionContext: context})
	return refused(err, sm.EncryptionFailure)
}

// encrypt puts a value into a version: under the secret's key as it is now.
func (s *Service) encrypt(c *gateway.Call, d *Secret, v *Version, plain []byte) error {
	key := d.customerKey(c)
	if key == "" {
		v.Sealed = s.ring.Seal(purpose(d.ARN, v.ID), plain)
		return nil
	}
	to, at := toKMS(c)
	k, err := gateway.Invoke(c.Context, to, at, kmsapi.GenerateDataKey, &kmsapi.GenerateDataKeyInput{KeyId: &key, KeySpec: kmsapi.DataKeySpecAes256, EncryptionContext: encryptionContext(d.ARN, v.ID)})
	if err != nil {
		return refused(err, sm.EncryptionFailure)
	}
	aead, err := gcm(k.Plaintext)
	if err != nil {
		return api.Internal(err)
	}
	nonce := make([]byte, aead.NonceSize(), aead.NonceSize()+len(plain)+aead.Overhead())
	rand.Read(nonce)
	e := Encrypted{Key: api.Value(k.KeyId), DataKey: k.CiphertextBlob, Sealed: aead.Seal(nonce, nonce, plain, []byte(purpose(d.ARN, v.ID)))}
	v.Encrypted = append([]Encrypted{e}, v.Encrypted...)
	return nil
}

// decrypt opens one copy of a value for the caller.
func (e *Encrypted) decrypt(c *gateway.Call, d *Secret, v *Version) ([]byte, error) {
	to, at := toKMS(c)
	k, err := gateway.Invoke(c.Context, to, at, kmsapi.Decrypt, &kmsapi.DecryptInput{CiphertextBlob: e.DataKey, KeyId: &e.Key, EncryptionContext: encryptionContext(d.ARN, v.ID)})
	if err != nil {
		return nil, refused(err, sm.DecryptionFailure)
	}
	aead, err := gcm(k.Plaintext)
	if err != nil || len(e.Sealed) < aead.NonceSize() {
		return nil, errDecryption(err)
	}
	plain, err := aead.Open(nil, e.Sealed[:aead.NonceSize()], e.Sealed[aead.NonceSize():], []byte(purpose(d.ARN, v.ID)))
	if err != nil {
		return nil, errDecryption(err)
	}
	return plain, nil
}

func gcm(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// open gives the value of a version. One that was made under another key than
// the secret's of today has a copy under each: any that the caller may decrypt
// will do, the newest first.
func (s *Service) open(c *gateway.Call, d *Secret, v *Version) (value, error) {
	var first error
	for i := range v.Encrypted {
		plain, err := v.Encrypted[i].decrypt(c, d, v)
		if err == nil {
			return value{plain, v.Binary}, nil
		}
		var e *api.Error
		if !errors.As(err, &e) || e.Fault != api.FaultClient {
			return value{}, err
		}
		if first == nil {
			first = err
		}
	}
	switch {
	case v.Sealed != nil:
	case first != nil:
		return value{}, first
	default:
		return value{}, errDecryption(fmt.Errorf("version %s of %s has no value", v.ID, d.ARN))
	}
	if c.Principal.Account != "" && c.Principal.Account != ownerOf(d.ARN) {
		return value{}, sm.InvalidRequestException("You can't access a secret from a different AWS account if you encrypt the secret with the default KMS service key.")
	}
	plain, err := s.ring.Open(purpose(d.ARN, v.ID), v.Sealed)
	if err != nil {
		return value{}, errDecryption(fmt.Errorf("version %s of %s: %w", v.ID, d.ARN, err))
	}
	return value{plain, v.Binary}, nil
}

// rekey encrypts the versions with AWS's staging labels anew after the secret
// got another key, as far as the caller may decrypt them. What they were
// encrypted with before stays good for them, as in AWS; a new version has the
// new key alone.
func (s *Service) rekey(c *gateway.Call, d *Secret) error {
	done := map[string]bool{}
	for _, stage := range []string{current, pending, previous} {
		id, ok := d.Stages[stage]
		if !ok || done[id] {
			continue
		}
		done[id] = true
		was, ok := versions.Get(c.Tx, c.Home, versionKey(d.Name, id))
		if !ok {
			continue
		}
		val, err := s.open(c, d, was)
		var e *api.Error
		if errors.As(err, &e) && e.Fault == api.FaultClient {
			continue // it stays as it is
		} else if err != nil {
			return err
		}
		v := *was
		if err := s.encrypt(c, d, &v, val.plain); err != nil {
			return err
		}
		versions.Put(c.Tx, versionKey(d.Name, id), &v)
	}
	return nil
}

// keyIDs are the keys of a version, as ListSecretVersionIds shows them.
func (v *Version) keyIDs() []string {
	var out []string
	for i := range v.Encrypted {
		out = append(out, v.Encrypted[i].Key)
	}
	if v.Sealed != nil {
		out = append(out, "DefaultEncryptionKey")
	}
	return out
}

// refused words KMS's refusal as Secrets Manager does.
func refused(err error, otherwise func(format string, args ...any) *api.Error) error {
	var e *api.Error
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &e) || e.Fault != api.FaultClient:
		return err
	case e.Idea == api.IdeaAccessDenied:
		return api.AccessDenied("Access to KMS is not allowed").Because(err)
	}
	return otherwise("Secrets Manager can't use the provided KMS key: %s", e.Message).Because(err)
}

func errDecryption(cause error) *api.Error {
	return sm.DecryptionFailure("Secrets Manager can't decrypt the protected secret text using the provided KMS key.").Because(cause)
}
