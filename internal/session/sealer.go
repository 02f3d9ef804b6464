package session

import (
	"container/list"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A token is base64 of
//
//	prefix  6 bytes, so that every token starts with the same 8 characters
//	key     4 bytes naming the sealer's key
//	nonce   12 random bytes
//	sealed  the encoded principal, AES-256-GCM, with its tag
//
// The sealing key is not the sealer's key: key and secret access key are both
// derived from it, the access key id and the nonce, by one HMAC-SHA-512. So no
// key ever seals two tokens, however many are minted, and a token opens for its
// own access key id alone.
const (
	tokenPrefix = "RmtSv1EA" // as base64 text

	prefixSize = 6
	nameSize   = 4
	nonceSize  = 12
	headSize   = prefixSize + nameSize + nonceSize
	tagSize    = 16

	// maxToken bounds the token that Open looks at: session policies, tags and
	// policy ARNs fit several times.
	maxToken = 64 << 10
	maxKeyID = 128

	derivation = "remit session 1\x00"
)

// KeySize is the length of a sealer's key in bytes.
const KeySize = 32

// The refusals of Open, with AWS's texts. Whatever else is wrong with a token
// is ErrInvalid: the caller learns no more.
var (
	//lint:ignore ST1005 AWS's text
	ErrInvalid = errors.New("The security token included in the request is invalid.")
	//lint:ignore ST1005 AWS's text
	ErrExpired = errors.New("The security token included in the request is expired")
)

// Revoker says which sessions have ended before their time. Ended is asked on
// every Open, of a session that is otherwise valid, and may be called by many
// goroutines at once; p is not to be modified or kept.
type Revoker interface {
	Ended(p *Principal) bool
}

// Sealer mints and opens temporary credentials. It is safe for concurrent use.
type Sealer struct {
	ring    atomic.Pointer[ring]
	random  io.Reader
	revoker Revoker
	opened  openCache
}

// ring holds the keys: the first mints, all open.
type ring struct{ keys []*ringKey }

type ringKey struct {
	name [nameSize]byte
	macs sync.Pool // of keyed hash.Hash
}

func newRingKey(key []byte) *ringKey {
	key = append([]byte(nil), key...)
	k := &ringKey{}
	k.macs.New = func() any { return hmac.New(sha512.New, key) }
	h := hmac.New(sha256.New, key)
	h.Write([]byte("remit session key name"))
	copy(k.name[:], h.Sum(nil))
	return k
}

// derive returns, under a label, the sealing key and the bytes of the secret
// access key.
func (k *ringKey) derive(label, keyID string, nonce []byte) (sealing [32]byte, secret [30]byte) {
	h := k.macs.Get().(hash.Hash)
	h.Reset()
	var in [len(derivation) + nonceSize + maxKeyID]byte
	b := append(in[:0], label...)
	b = append(b, nonce...)
	b = append(b, keyID...)
	h.Write(b)
	var out [sha512.Size]byte
	h.Sum(out[:0])
	k.macs.Put(h)
	copy(sealing[:], out[:32])
	copy(secret[:], out[32:])
	return sealing, secret
}

// Option configures a Sealer.
type Option func(*options)

type options struct {
	older   [][]byte
	random  io.Reader
	revoker Revoker
	cache   int
}

// WithOlderKeys adds keys that open tokens and mint none.
func WithOlderKeys(keys ...[]byte) Option { return func(o *options) { o.older = keys } }

// WithRandom replaces crypto/rand as the source of nonces, for tests.
func WithRandom(r io.Reader) Option { return func(o *options) { o.random = r } }

// WithRevoker makes Open refuse sessions that r says have ended.
func WithRevoker(r Revoker) Option { return func(o *options) { o.revoker = r } }

// WithCacheSize sets how many opened tokens are remembered; the default is
// 4096, and 0 remembers none.
func WithCacheSize(n int) Option { return func(o *options) { o.cache = n } }

// NewSealer returns a Sealer that mints with key, of [KeySize] bytes.
func NewSealer(key []byte, opts ...Option) (*Sealer, error) {
	o := options{random: rand.Reader, cache: 4096}
	for _, f := range opts {
		f(&o)
	}
	s := &Sealer{random: o.random, revoker: o.revoker}
	s.opened.limit = o.cache
	if err := s.SetKeys(key, o.older...); err != nil {
		return nil, err
	}
	return s, nil
}

// SetKeys replaces the key ring: current mints, older ones still open. Tokens of
// keys that are no longer there stop working at once.
func (s *Sealer) SetKeys(current []byte, older ...[]byte) error {
	r := &ring{}
	for _, key := range append([][]byte{current}, older...) {
		if len(key) != KeySize {
			return fmt.Errorf("session: key of %d bytes, want %d", len(key), KeySize)
		}
		r.keys = append(r.keys, newRingKey(key))
	}
	s.ring.Store(r)
	return nil
}

// Mint makes credentials for p under the access key id keyID, valid for ttl
// from now. p's AccessKeyID, IssuedAt and ExpiresAt are not looked at. Times
// are kept in whole seconds. It fails for a key id that is empty or longer than
// 128 bytes, a ttl below one second, a principal without a type, one too large
// for a token, and where there is no randomness.
func (s *Sealer) Mint(p Principal, keyID string, ttl time.Duration, now time.Time) (Credentials, error) {
	switch {
	case keyID == "" || len(keyID) > maxKeyID:
		return Credentials{}, fmt.Errorf("session: access key id of %d bytes", len(keyID))
	case ttl < time.Second:
		return Credentials{}, fmt.Errorf("session: a validity of %v", ttl)
	case p.Type < Root || p.Type > FederatedUser:
		return Credentials{}, errors.New("session: principal without a type")
	case now.Unix() < 0:
		return Credentials{}, fmt.Errorf("session: issued at %v", now)
	}
	issued := now.UTC().Truncate(time.Second)
	expires := now.UTC().Add(ttl).Truncate(time.Second)
	k := s.ring.Load().keys[0]

	b := make([]byte, headSize, 1024)
	if _, err := base64.StdEncoding.Decode(b, []byte(tokenPrefix)); err != nil {
		return Credentials{}, err
	}
	copy(b[prefixSize:], k.name[:])
	nonce := b[prefixSize+nameSize : headSize]
	if _, err := io.ReadFull(s.random, nonce); err != nil {
		return Credentials{}, fmt.Errorf("session: nonce: %w", err)
	}
	sealing, secret := k.derive(derivation, keyID, nonce)
	aead, err := newAEAD(sealing)
	if err != nil {
		return Credentials{}, err
	}
	b = appendPrincipal(b, &p, issued, expires)
	var ad [headSize + maxKeyID]byte
	token := aead.Seal(b[:headSize], b[prefixSize+nameSize:headSize], b[headSize:],
		append(append(ad[:0], b[:headSize]...), keyID...))
	if base64.StdEncoding.EncodedLen(len(token)) > maxToken {
		return Credentials{}, fmt.Errorf("session: token of %d bytes", len(token))
	}
	return Credentials{
		AccessKeyID:     keyID,
		SecretAccessKey: base64.StdEncoding.EncodeToString(secret[:]),
		SessionToken:    base64.StdEncoding.EncodeToString(token),
		Expiration:      expires,
	}, nil
}

// Open returns the principal and the secret access key of a session. The error
// is [ErrExpired], or [ErrInvalid] for everything else: another access key's
// token, an unknown key, an ended session, or no token of ours at all.
func (s *Sealer) Open(keyID, token string, now time.Time) (Principal, string, error) {
	if keyID == "" || len(keyID) > maxKeyID || len(token) > maxToken || !strings.HasPrefix(token, tokenPrefix) ||
		strings.ContainsAny(token, "\r\n") { // which package base64 would skip
		return Principal{}, "", ErrInvalid
	}
	r := s.ring.Load()
	id := openKey(keyID, token)
	o := s.opened.get(id, r)
	if o == nil {
		var err error
		if o, err = open(r, keyID, token); err != nil {
			return Principal{}, "", ErrInvalid
		}
		o.id, o.ring = id, r
		if now.Before(o.principal.ExpiresAt) {
			s.opened.put(o)
		}
	}
	if !now.Before(o.principal.ExpiresAt) {
		s.opened.drop(id)
		return Principal{}, "", ErrExpired
	}
	if s.revoker != nil && s.revoker.Ended(&o.principal) {
		return Principal{}, "", ErrInvalid
	}
	return o.principal, o.secret, nil
}

// Ended reports whether the revoker says that a session, opened before, has
// ended since.
func (s *Sealer) Ended(p *Principal) bool { return s.revoker != nil && s.revoker.Ended(p) }

func open(r *ring, keyID, token string) (*openedToken, error) {
	raw := make([]byte, base64.StdEncoding.DecodedLen(len(token)))
	n, err := base64.StdEncoding.Strict().Decode(raw, []byte(token))
	if err != nil || n < headSize+tagSize {
		return nil, ErrInvalid
	}
	head, sealed := raw[:headSize], raw[headSize:n]
	nonce := head[prefixSize+nameSize:]
	var ad [headSize + maxKeyID]byte
	for _, k := range r.keys {
		if string(head[prefixSize:prefixSize+nameSize]) != string(k.name[:]) {
			continue
		}
		sealing, secret := k.derive(derivation, keyID, nonce)
		aead, err := newAEAD(sealing)
		if err != nil {
			return nil, err
		}
		plain, err := aead.Open(nil, nonce, sealed, append(append(ad[:0], head...), keyID...))
		if err != nil {
			continue // names are short: another key may have the same
		}
		p, err := decodePrincipal(plain)
		if err != nil {
			return nil, err
		}
		p.AccessKeyID = strings.Clone(keyID)
		return &openedToken{principal: p, secret: base64.StdEncoding.EncodeToString(secret[:])}, nil
	}
	return nil, ErrInvalid
}

func newAEAD(key [32]byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// openedToken is a token that has been opened, and by which keys.
type openedToken struct {
	id        [sha256.Size]byte
	ring      *ring
	principal Principal
	secret    string
}

// openKey names a token together with the access key id it came with.
func openKey(keyID, token string) [sha256.Size]byte {
	var buf [2048]byte
	b := append(buf[:0], keyID...)
	b = append(b, 0) // in no genuine id or token, so the pair is unambiguous
	b = append(b, token...)
	return sha256.Sum256(b)
}

// openCache remembers opened tokens, the least recently used going first. An
// entry counts for the key ring it was opened with only, and never past its
// expiry, which Open checks each time.
type openCache struct {
	mu    sync.Mutex
	limit int
	byID  map[[sha256.Size]byte]*list.Element
	order list.List // of *openedToken, most recent first
}

func (c *openCache) get(id [sha256.Size]byte, r *ring) *openedToken {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.byID[id]
	if e == nil {
		return nil
	}
	o := e.Value.(*openedToken)
	if o.ring != r {
		c.order.Remove(e)
		delete(c.byID, id)
		return nil
	}
	c.order.MoveToFront(e)
	return o
}

func (c *openCache) put(o *openedToken) {
	if c.limit <= 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.byID[o.id]; e != nil {
		e.Value = o
		return
	}
	if c.byID == nil {
		c.byID = make(map[[sha256.Size]byte]*list.Element)
	}
	c.byID[o.id] = c.order.PushFront(o)
	for c.order.Len() > c.limit {
		delete(c.byID, c.order.Remove(c.order.Back()).(*openedToken).id)
	}
}

func (c *openCache) drop(id [sha256.Size]byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.byID[id]; e != nil {
		c.order.Remove(e)
		delete(c.byID, id)
	}
}
