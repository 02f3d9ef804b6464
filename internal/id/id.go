// Package id makes the identifiers of AWS's many shapes: request ids, task ids,
// unique ids of IAM entities, access key ids with the account inside, secret
// access keys.
//
// Every function takes from a Source. Programs use Random, from crypto/rand; a
// request that may have to run again takes a Source of its own seed, so that the
// second run makes the same ids; tests choose a seed too. The package keeps no
// list of what it made: uniqueness rests on the number of random bits.
package id

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"sync"
)

// A Source gives random bytes. It fills all of p and cannot fail.
type Source interface{ Fill(p []byte) }

// Random is the operating system's cryptographic source.
var Random Source = random{}

type random struct{}

// crypto/rand.Read never returns an error; it ends the program where the system
// has no randomness, which is right for what is made here.
func (random) Fill(p []byte) { rand.Read(p) }

// NewSeeded returns a Source whose bytes follow from the seed alone, by SHA-256 in
// counter mode: as unpredictable as the seed, and the same for the same seed. It
// may be used concurrently, though the order of use then decides who gets what.
func NewSeeded(seed []byte) Source { return &seeded{key: sha256.Sum256(seed)} }

type seeded struct {
	mu   sync.Mutex
	key  [32]byte
	next uint64
	left []byte
}

func (s *seeded) Fill(p []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(p) > 0 {
		if len(s.left) == 0 {
			block := sha256.Sum256(binary.BigEndian.AppendUint64(s.key[:], s.next))
			s.next++
			s.left = block[:]
		}
		n := copy(p, s.left)
		p, s.left = p[n:], s.left[n:]
	}
}

func take(s Source, n int) []byte {
	p := make([]byte, n)
	s.Fill(p)
	return p
}

// Hex returns n lower-case hexadecimal digits; 32 of them name an ECS task.
func Hex(s Source, n int) string { return hex.EncodeToString(take(s, (n+1)/2))[:n] }

// UUID returns a random (version 4) UUID, as request ids are.
func UUID(s Source) string {
	p := take(s, 16)
	p[6] = p[6]&0x0f | 0x40
	p[8] = p[8]&0x3f | 0x80
	var b [36]byte
	at := 0
	for i, c := range p {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			b[at] = 0x2d
			at++
		}
		const digits = "0123456789abcdef"
		b[at], b[at+1] = digits[c>>4], digits[c&15]
		at += 2
	}
	return string(b[:])
}

// base32 without padding: A to Z and 2 to 7, which are the characters of AWS's
// unique ids.
var alphabet = base32.StdEncoding.WithPadding(base32.NoPadding)

// Unique returns the unique id of an IAM entity: a prefix such as AIDA (user),
// AROA (role), AGPA (group) or ANPA (managed policy), and 17 random characters.
//
// See https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html
func Unique(s Source, prefix string) string {
	return prefix + alphabet.EncodeToString(take(s, 11))[:17]
}

// Prefixes of access key ids.
const (
	LongTerm  = "AKIA" // of a user
	Temporary = "ASIA" // of a session
)

const accountBits = 40 // holds 12 decimal digits

// AccessKeyID returns an access key id that carries the account: the prefix, and
// 16 characters for 40 bits of account number and 40 random bits. The account is
// mixed with the random part so that the ids of one account do not look alike;
// this hides nothing. An account that is not 12 digits makes it panic, for it
// comes from our own documents.
func AccessKeyID(s Source, prefix, account string) string {
	n, ok := parseAccount(account)
	if !ok {
		panic(fmt.Sprintf("id: %q is not an account", account))
	}
	var p [10]byte
	s.Fill(p[5:])
	put40(p[:5], n^spread(get40(p[5:])))
	return prefix + alphabet.EncodeToString(p[:])
}

// AccountOf returns the account that AccessKeyID put into a key id, and false for
// anything that it did not make.
func AccountOf(keyID string) (account string, ok bool) {
	if len(keyID) != 20 || !(strings.HasPrefix(keyID, LongTerm) || strings.HasPrefix(keyID, Temporary)) {
		return "", false
	}
	p, err := alphabet.DecodeString(keyID[4:])
	if err != nil || len(p) != 10 {
		return "", false
	}
	n := get40(p[:5]) ^ spread(get40(p[5:]))
	if n > 999_999_999_999 {
		return "", false
	}
	return fmt.Sprintf("%012d", n), true
}

// spread turns a random number into another of 40 bits that looks unlike it.
func spread(x uint64) uint64 { return x * 0x9E3779B97F4A7C15 >> (64 - accountBits) }

func put40(p []byte, x uint64) {
	for i := range 5 {
		p[i] = byte(x >> (32 - 8*i))
	}
}

func get40(p []byte) (x uint64) {
	for _, b := range p[:5] {
		x = x<<8 | uint64(b)
	}
	return x
}

func parseAccount(s string) (n uint64, ok bool) {
	if len(s) != 12 {
		return 0, false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = n*10 + uint64(s[i]-'0')
	}
	return n, true
}

// SecretKey returns a secret access key: 40 characters, 240 random bits.
func SecretKey(s Source) string { return base64.StdEncoding.EncodeToString(take(s, 30)) }
