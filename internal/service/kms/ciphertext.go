package kms

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// A ciphertext says which key it was made with, and what follows was encrypted
// with AES-256-GCM:
//
//	format (1) | account (5) | key id (16) | generation (4) | salt (16) | ciphertext and tag
//
// Key and nonce of AES-GCM are derived for each ciphertext from the key's
// material and the salt, so no number of encryptions wears a key out. The
// header and the encryption context are authenticated. Numbers are big-endian;
// the generation counts the key's materials from 0.
const (
	ciphertextFormat = 1
	saltAt           = 1 + 5 + 16 + 4
	sealedAt         = saltAt + 16
	tagSize          = 16

	materialSize = 32
)

// header is what a ciphertext says of itself.
type header struct {
	account    string // 12 digits
	keyID      string // a UUID
	generation uint32
}

// errCiphertext says that a ciphertext is not one of this key, context and
// generation. It does not say which of them is wrong.
var errCiphertext = errors.New("kms: not a ciphertext of this key and encryption context")

// parseCiphertext takes a ciphertext apart, without knowing whether it is
// authentic.
func parseCiphertext(blob []byte) (h header, sealed []byte, ok bool) {
	if len(blob) < sealedAt+tagSize || blob[0] != ciphertextFormat {
		return header{}, nil, false
	}
	var account [8]byte
	copy(account[3:], blob[1:6])
	n := binary.BigEndian.Uint64(account[:])
	if n > 999_999_999_999 {
		return header{}, nil, false
	}
	h.account = fmt.Sprintf("%012d", n)
	h.keyID = uuid(blob[6:22])
	h.generation = binary.BigEndian.Uint32(blob[22:saltAt])
	return h, blob[sealedAt:], true
}

// uuid writes 16 bytes as a key id.
func uuid(b []byte) string {
	x := hex.EncodeToString(b)
	return x[:8] + "-" + x[8:12] + "-" + x[12:16] + "-" + x[16:20] + "-" + x[20:]
}

// keyBytes reads a key id back: lower-case hexadecimal digits and four hyphens.
func keyBytes(keyID string) (b [16]byte, ok bool) {
	if len(keyID) != 36 || keyID[8] != '-' || keyID[13] != '-' || keyID[18] != '-' || keyID[23] != '-' {
		return b, false
	}
	x := keyID[:8] + keyID[9:13] + keyID[14:18] + keyID[19:23] + keyID[24:]
	n, err := hex.Decode(b[:], []byte(x))
	return b, err == nil && n == len(b) && uuid(b[:]) == keyID
}

// seal encrypts with a generation's material. The header has to be one of our
// own keys.
func (h header) seal(material, plaintext []byte, context map[string]string) ([]byte, error) {
	key, ok := keyBytes(h.keyID)
	var account uint64
	if _, err := fmt.Sscanf(h.account, "%012d", &account); err != nil || !ok {
		return nil, fmt.Errorf("kms: %s in %s cannot stand in a ciphertext", h.keyID, h.account)
	}
	var digits [8]byte
	binary.BigEndian.PutUint64(digits[:], account)
	out := make([]byte, 0, sealedAt+len(plaintext)+tagSize)
	out = append(append(append(out, ciphertextFormat), digits[3:]...), key[:]...)
	out = binary.BigEndian.AppendUint32(out, h.generation)
	out = out[:sealedAt]
	rand.Read(out[saltAt:])
	aead, nonce, err := derived(material, out[saltAt:])
	if err != nil {
		return nil, err
	}
	return aead.Seal(out, nonce, plaintext, authenticated(out[:saltAt], context)), nil
}

// open decrypts a whole ciphertext with the material of its generation.
func open(material, blob []byte, context map[string]string) ([]byte, error) {
	aead, nonce, err := derived(material, blob[saltAt:sealedAt])
	if err != nil {
		return nil, err
	}
	plain, err := aead.Open(nil, nonce, blob[sealedAt:], authenticated(blob[:saltAt], context))
	if err != nil {
		return nil, errCiphertext
	}
	return plain, nil
}

// derived makes key and nonce of one ciphertext.
func derived(material, salt []byte) (cipher.AEAD, []byte, error) {
	b, err := hkdf.Key(sha256.New, material, salt, "remit kms ciphertext", 32+12)
	if err != nil {
		return nil, nil, err
	}
	block, err := aes.NewCipher(b[:32])
	if err != nil {
		return nil, nil, err
	}
	aead, err := cipher.NewGCM(block)
	return aead, b[32:], err
}

// authenticated is the additional data: the header, and the encryption context
// in an order and with lengths, so that no two contexts look alike.
func authenticated(header []byte, context map[string]string) []byte {
	out := slices.Clone(header)
	for _, k := range slices.Sorted(maps.Keys(context)) {
		for _, s := range [...]string{k, context[k]} {
			out = binary.BigEndian.AppendUint32(out, uint32(len(s)))
			out = append(out, s...)
		}
	}
	return out
}
