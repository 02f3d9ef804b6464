package ssm

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"

	"github.com/remit-ecs/remit/internal/api"
	"github.com/remit-ecs/remit/internal/api/kmsapi"
	"github.com/remit-ecs/remit/internal/api/ssmapi"
	"github.com/remit-ecs/remit/internal/gateway"
)

// A SecureString under the default key, aws/ssm, lies sealed under the
// installation's master key: whoever may read the parameter may decrypt it. Of
// one under a customer managed key KMS decides that, on the reader's behalf,
// with kms:ViaService and the parameter's ARN in the encryption context:
//
//	standard tier   kms:Encrypt          the value itself is KMS's ciphertext
//	advanced tier   kms:GenerateDataKey  the value is encrypted with a data key
//	read            kms:Decrypt
//
// https://docs.aws.amazon.com/systems-manager/latest/userguide/secure-string-parameter-kms-encryption.html
const (
	viaService = "ssm.amazonaws.com"
	defaultKey = "alias/aws/ssm"
)

// customerKey is the ARN, of a key or an alias, that a KeyId means in the
// call's account and region; none for the default key.
func customerKey(c *gateway.Call, keyID *string) string {
	arn := "arn:aws:kms:" + c.Region + ":" + c.Account + ":"
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

// toKMS is where calls for the caller of c go.
func toKMS(c *gateway.Call) (*gateway.Invoker, gateway.Target) {
	return c.Via(viaService), gateway.Target{Region: c.Region}
}

func encryptionContext(parameterARN string) map[string]string {
	return map[string]string{"PARAMETER_ARN": parameterARN}
}

// encrypt puts a SecureString's value into a version that the caller makes.
func (s *Service) encrypt(c *gateway.Call, name string, v *Version, plain string) error {
	key := customerKey(c, v.KeyID)
	if key == "" {
		v.Sealed = s.ring.Seal(purpose(c.Home, name, v.Number), []byte(plain))
		return nil
	}
	to, at := toKMS(c)
	context := encryptionContext(parameterARN(c.Account, c.Region, name))
	if v.Tier != ssmapi.ParameterTierAdvanced {
		out, err := gateway.Invoke(c.Context, to, at, kmsapi.Encrypt, &kmsapi.EncryptInput{KeyId: &key, Plaintext: []byte(plain), EncryptionContext: context})
		if err != nil {
			return refused(err)
		}
		v.Key, v.Sealed = api.Value(out.KeyId), out.CiphertextBlob
		return nil
	}
	k, err := gateway.Invoke(c.Context, to, at, kmsapi.GenerateDataKey, &kmsapi.GenerateDataKeyInput{KeyId: &key, KeySpec: kmsapi.DataKeySpecAes256, EncryptionContext: context})
	if err != nil {
		return refused(err)
	}
	aead, err := gcm(k.Plaintext)
	if err != nil {
		return api.Internal(err)
	}
	nonce := make([]byte, aead.NonceSize(), aead.NonceSize()+len(plain)+aead.Overhead())
	rand.Read(nonce)
	v.Key, v.DataKey = api.Value(k.KeyId), k.CiphertextBlob
	v.Sealed = aead.Seal(nonce, nonce, []byte(plain), []byte(purpose(c.Home, name, v.Number)))
	return nil
}

// decrypt opens a SecureString's value for the caller.
func (s *Service) decrypt(c *gateway.Call, at place, name string, v *Version) ([]byte, error) {
	if v.Key == "" {
		plain, err := s.ring.Open(purpose(at.shard(), name, v.Number), v.Sealed)
		if err != nil {
			return nil, errDecryption(name, v, err)
		}
		return plain, nil
	}
	to, target := toKMS(c)
	in := &kmsapi.DecryptInput{CiphertextBlob: v.Sealed, KeyId: &v.Key, EncryptionContext: encryptionContext(at.arn(name))}
	if v.DataKey != nil {
		in.CiphertextBlob = v.DataKey
	}
	out, err := gateway.Invoke(c.Context, to, target, kmsapi.Decrypt, in)
	if err != nil {
		return nil, refused(err)
	}
	if v.DataKey == nil {
		return out.Plaintext, nil
	}
	aead, err := gcm(out.Plaintext)
	if err != nil || len(v.Sealed) < aead.NonceSize() {
		return nil, errDecryption(name, v, err)
	}
	plain, err := aead.Open(nil, v.Sealed[:aead.NonceSize()], v.Sealed[aead.NonceSize():], []byte(purpose(at.shard(), name, v.Number)))
	if err != nil {
		return nil, errDecryption(name, v, err)
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

// refused hands on KMS's refusal as Parameter Store does: in KMS's words, a key
// that cannot be used as an invalid key id.
func refused(err error) error {
	var e *api.Error
	switch {
	case !errors.As(err, &e) || e.Fault != api.FaultClient:
		return err
	case e.Idea == api.IdeaAccessDenied:
		return api.AccessDenied(e.Message).Because(err)
	}
	return ssmapi.InvalidKeyId("%s", e.Message).Because(err)
}

func errDecryption(name string, v *Version, cause error) *api.Error {
	return ssmapi.InternalServerError("The value of the parameter could not be decrypted.").
		Because(fmt.Errorf("version %d of %s: %w", v.Number, name, cause))
}
