package sigv4

import (
	"container/list"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"hash"
	"strings"
	"sync"
	"sync/atomic"
)

// signingKey is the derived key of one credential scope. It keeps one keyed
// HMAC state for reuse, which spares the two blocks that keying costs.
type signingKey struct {
	secret [sha256.Size]byte // digest of the secret that it was derived from
	key    [sha256.Size]byte
	spare  atomic.Pointer[macState]
}

type macState struct {
	h   hash.Hash
	out [sha256.Size]byte
}

// sum returns HMAC(key, data) in hexadecimal.
func (k *signingKey) sum(data []byte) (out [2 * sha256.Size]byte) {
	m := k.spare.Swap(nil)
	if m == nil {
		m = &macState{h: hmac.New(sha256.New, k.key[:])}
	} else {
		m.h.Reset()
	}
	m.h.Write(data)
	hex.Encode(out[:], m.h.Sum(m.out[:0]))
	k.spare.Store(m)
	return out
}

type scopeKey struct{ accessKeyID, date, region, service string }

func deriveKey(secret string, s scopeKey) *signingKey {
	mac := func(key []byte, data string) []byte {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(data))
		return h.Sum(nil)
	}
	k := &signingKey{secret: sha256.Sum256([]byte(secret))}
	copy(k.key[:], mac(mac(mac(mac([]byte("AWS4"+secret), s.date), s.region), s.service), terminator))
	return k
}

// keyCache remembers derived keys, the least recently used going first. It is
// looked up by scope, and an entry counts only for the very secret it was
// derived from: a changed secret misses. Only keys that have verified a
// signature are put in, so strangers cannot push others out.
type keyCache struct {
	mu    sync.Mutex
	limit int
	byKey map[scopeKey]*list.Element
	order list.List // of *keyEntry, most recent first
}

type keyEntry struct {
	scope scopeKey
	key   *signingKey
}

// keys is shared by the process: derivation depends on nothing but its inputs.
var keys = &keyCache{limit: 4096, byKey: make(map[scopeKey]*list.Element)}

// get returns the derived key and whether it came from the cache.
func (c *keyCache) get(secret string, s scopeKey) (k *signingKey, cached bool) {
	c.mu.Lock()
	if e := c.byKey[s]; e != nil {
		c.order.MoveToFront(e)
		k = e.Value.(*keyEntry).key
	}
	c.mu.Unlock()
	if k != nil {
		sum := sha256.Sum256([]byte(secret))
		if subtle.ConstantTimeCompare(sum[:], k.secret[:]) == 1 {
			return k, true
		}
	}
	return deriveKey(secret, s), false
}

func (c *keyCache) put(s scopeKey, k *signingKey) {
	// The scope's strings are parts of a request's headers; do not keep those.
	s = scopeKey{strings.Clone(s.accessKeyID), strings.Clone(s.date), strings.Clone(s.region), strings.Clone(s.service)}
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.byKey[s]; e != nil {
		e.Value.(*keyEntry).key = k
		c.order.MoveToFront(e)
		return
	}
	c.byKey[s] = c.order.PushFront(&keyEntry{s, k})
	for c.order.Len() > c.limit {
		last := c.order.Back()
		delete(c.byKey, c.order.Remove(last).(*keyEntry).scope)
	}
}
