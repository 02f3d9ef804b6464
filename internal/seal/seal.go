// Package seal encrypts what must not lie readable in the database: secret values,
// secret access keys, key material, session signing keys.
//
// A Keyring is read from a master key file in the data directory, which is created
// on first use; several replicas are given the same file. Sealed bytes begin with
// the id of their key, so that a key can be added in front of the file and what
// older ones sealed still opens:
//
//	version (1) | key id (4) | nonce (12) | AES-256-GCM ciphertext and tag
//
// Each seal names its purpose, which is authenticated but not stored: bytes sealed
// as one document's secret do not open as another's. Services that keep secrets
// call Seal and Open; package session derives its keys. The package stores nothing
// but the key file, and puts neither keys nor plaintext in an error.
package seal

import (
	"bufio"
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// FileName is the name of the master key file within the data directory.
const FileName = "master.key"

const (
	formatVersion = 1
	idSize        = 4
	nonceSize     = 12
	headerSize    = 1 + idSize + nonceSize
	keySize       = 32
)

var (
	// ErrUnknownKey is returned where bytes were sealed under a master key that the
	// Keyring does not hold: most often the file was lost and made anew.
	ErrUnknownKey = errors.New("seal: sealed under a master key that is not in the key file; restore the file from a backup")
	// ErrCorrupt is returned where bytes were altered, or are opened for another
	// purpose than they were sealed for.
	ErrCorrupt = errors.New("seal: the sealed data is damaged or belongs elsewhere")
)

// A Keyring seals with its first key and opens with any. It may be used
// concurrently.
type Keyring struct{ keys []masterKey }

type masterKey struct {
	id     [idSize]byte
	secret []byte
	aead   cipher.AEAD
}

// Open reads the master key file of a data directory, or creates it with a fresh
// key. A file that others may read, or that does not hold keys, is an error.
func Open(dir string) (*Keyring, error) {
	path := filepath.Join(dir, FileName)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if err := create(path); err != nil {
			return nil, fmt.Errorf("seal: create the master key: %w", err)
		}
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	if st.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("seal: %s may be read by others (mode %04o); run: chmod 600 %s", path, st.Mode().Perm(), path)
	}
	k := &Keyring{}
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		secret, err := base64.StdEncoding.DecodeString(line)
		if err != nil || len(secret) != keySize {
			return nil, fmt.Errorf("seal: %s, line %d: not a master key (want %d bytes in base64)", path, n, keySize)
		}
		k.keys = append(k.keys, newKey(secret))
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("seal: %s: %w", path, err)
	}
	if len(k.keys) == 0 {
		return nil, fmt.Errorf("seal: %s holds no key", path)
	}
	return k, nil
}

// create writes the file beside its place and links it there: it appears whole, and
// of two processes that create it at once both end up with the first one's.
func create(path string) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, FileName+".*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	secret := make([]byte, keySize)
	rand.Read(secret)
	_, err = fmt.Fprintf(f, "# Master key of a Remit data directory. Without it no secret in the database can be\n"+
		"# read: back it up, apart from the database. To change keys add a new line in front.\n%s\n",
		base64.StdEncoding.EncodeToString(secret))
	if err := errors.Join(err, f.Sync()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// NewEphemeral returns a Keyring whose key is nowhere stored, for servers that
// keep nothing.
func NewEphemeral() *Keyring {
	secret := make([]byte, keySize)
	rand.Read(secret)
	return &Keyring{[]masterKey{newKey(secret)}}
}

func newKey(secret []byte) masterKey {
	k := masterKey{secret: secret}
	copy(k.id[:], expand(secret, "remit key id", idSize))
	block, err := aes.NewCipher(expand(secret, "remit seal", keySize))
	if err != nil {
		panic(err) // the size is right
	}
	if k.aead, err = cipher.NewGCM(block); err != nil {
		panic(err)
	}
	return k
}

func expand(secret []byte, info string, n int) []byte {
	out, err := hkdf.Key(sha256.New, secret, nil, info, n)
	if err != nil {
		panic(fmt.Sprintf("seal: derive %d bytes: %v", n, err))
	}
	return out
}

// Seal encrypts plaintext for a purpose, such as "secretsmanager/<ARN>/<version>".
func (k *Keyring) Seal(purpose string, plaintext []byte) []byte {
	key := &k.keys[0]
	out := make([]byte, headerSize, headerSize+len(plaintext)+key.aead.Overhead())
	out[0] = formatVersion
	copy(out[1:], key.id[:])
	nonce := out[1+idSize : headerSize]
	rand.Read(nonce)
	return key.aead.Seal(out, nonce, plaintext, additional(out[:1+idSize], purpose))
}

// Open returns what was sealed for the same purpose, or ErrUnknownKey or ErrCorrupt.
func (k *Keyring) Open(purpose string, sealed []byte) ([]byte, error) {
	if len(sealed) < headerSize || sealed[0] != formatVersion {
		return nil, ErrCorrupt
	}
	for i := range k.keys {
		key := &k.keys[i]
		if !bytes.Equal(key.id[:], sealed[1:1+idSize]) {
			continue
		}
		plain, err := key.aead.Open(nil, sealed[1+idSize:headerSize], sealed[headerSize:], additional(sealed[:1+idSize], purpose))
		if err != nil {
			return nil, ErrCorrupt
		}
		return plain, nil
	}
	return nil, ErrUnknownKey
}

func additional(header []byte, purpose string) []byte {
	return append(append(make([]byte, 0, len(header)+len(purpose)), header...), purpose...)
}

// Derive returns n bytes (at most 8160) that follow from the first master key and
// the purpose, and from nothing else: a key for something that need not be stored.
// No purpose's bytes tell anything about another's.
func (k *Keyring) Derive(purpose string, n int) []byte {
	return expand(k.keys[0].secret, "remit derive "+purpose, n)
}
