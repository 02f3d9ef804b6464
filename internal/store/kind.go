package store

import (
	"encoding/json"
	"fmt"
	"iter"
	"strings"
	"sync"
	"unicode/utf8"
)

// A Kind is a document type: the Go type of its documents, the name and version
// under which they are stored, and the indexes kept over them in memory.
type Kind[T any] struct{ info *kindInfo }

// An Index finds documents by something other than their key. Keys returns the
// values under which a document is found, usually none or one. It must depend on
// nothing but its arguments, and must not modify them.
type Index[T any] struct {
	Name string
	Keys func(key string, v *T) []string
}

// kindInfo is a Kind without its type parameter.
type kindInfo struct {
	id      int // position in the registry and in shardState.kinds; this process only
	name    string
	version int
	decode  func(body []byte) (any, error)
	upgrade func(from int, body []byte) ([]byte, error)
	indexes []indexInfo
}

type indexInfo struct {
	name string
	keys func(key string, v any) []string
}

// kinds holds every kind of the program. Kinds are package variables, so the list
// is complete before the first Open and is only read afterwards.
var kinds struct {
	sync.RWMutex
	list   []*kindInfo
	byName map[string]*kindInfo
}

// NewKind declares a document type. The name is what is stored, for ever; the
// version is raised when the JSON form changes in a way that older documents do
// not decode to the same meaning (see WithUpgrade). Documents are encoded with
// encoding/json.
//
// Call it once, to initialise a package variable: a kind must be declared before
// a store that holds its documents is opened. It panics if the name is taken.
func NewKind[T any](name string, version int, indexes ...Index[T]) *Kind[T] {
	info := &kindInfo{
		name:    name,
		version: version,
		decode: func(body []byte) (any, error) {
			v := new(T)
			if err := json.Unmarshal(body, v); err != nil {
				return nil, err
			}
			return v, nil
		},
	}
	for _, ix := range indexes {
		keys := ix.Keys
		info.indexes = append(info.indexes, indexInfo{
			name: ix.Name,
			keys: func(key string, v any) []string { return keys(key, v.(*T)) },
		})
	}
	kinds.Lock()
	defer kinds.Unlock()
	if kinds.byName == nil {
		kinds.byName = make(map[string]*kindInfo)
	}
	if kinds.byName[name] != nil {
		panic("store: kind " + name + " is declared twice")
	}
	info.id = len(kinds.list)
	kinds.list = append(kinds.list, info)
	kinds.byName[name] = info
	return &Kind[T]{info}
}

// WithUpgrade sets the function that turns the JSON of an older version into that
// of the current one, and returns the kind. Without it, older documents are
// decoded as they are, which suits versions that only added fields.
func (k *Kind[T]) WithUpgrade(fn func(from int, body []byte) ([]byte, error)) *Kind[T] {
	k.info.upgrade = fn
	return k
}

// Name is the name under which documents of the kind are stored; also what Wake
// takes.
func (k *Kind[T]) Name() string { return k.info.name }

func kindNamed(name string) *kindInfo {
	kinds.RLock()
	defer kinds.RUnlock()
	return kinds.byName[name]
}

// stored decodes a document as it lies on disk, whatever version wrote it.
func (k *kindInfo) stored(version int, body []byte) (any, error) {
	switch {
	case version > k.version:
		return nil, fmt.Errorf("written as version %d by a newer program; this one knows version %d", version, k.version)
	case version < k.version && k.upgrade != nil:
		up, err := k.upgrade(version, body)
		if err != nil {
			return nil, fmt.Errorf("upgrade from version %d to %d: %w", version, k.version, err)
		}
		body = up
	}
	return k.decode(body)
}

// index returns the position of the named index. A wrong name is a mistake in the
// program, not in the data.
func (k *kindInfo) index(name string) int {
	for i := range k.indexes {
		if k.indexes[i].name == name {
			return i
		}
	}
	panic("store: kind " + k.name + " has no index " + name)
}

// Get returns a document. The value is shared with every other reader: the caller
// must not modify it, nor anything it points to (use Edit).
func (k *Kind[T]) Get(r Reader, shard, key string) (*T, bool) {
	d := r.get(k.info, shard, key)
	if d == nil {
		return nil, false
	}
	return d.value.(*T), true
}

// Revision returns the shard revision of the commit that last wrote a document,
// or 0 if there is none, or if it was written by this very Tx.
func (k *Kind[T]) Revision(r Reader, shard, key string) int64 {
	if d := r.get(k.info, shard, key); d != nil {
		return d.rev
	}
	return 0
}

// Edit returns a private copy of a document of the home shard, to be modified and
// Put back. As with Get, the read is part of what must be unchanged at commit.
func (k *Kind[T]) Edit(tx *Tx, key string) (*T, bool) {
	d := tx.get(k.info, tx.shard, key)
	if d == nil {
		return nil, false
	}
	body, err := json.Marshal(d.value)
	if err == nil {
		var v any
		if v, err = k.info.decode(body); err == nil {
			return v.(*T), true
		}
	}
	tx.fail(fmt.Errorf("store: copy %s %q: %w", k.info.name, key, err))
	return nil, false
}

// Put writes a document to the home shard. The value is encoded at once; what the
// caller does with it afterwards changes nothing. A key or index value that is
// not UTF-8 or holds a NUL byte, and a value that cannot be encoded, make Commit
// fail.
func (k *Kind[T]) Put(tx *Tx, key string, v *T) {
	if err := checkKey(key); err != nil {
		tx.fail(fmt.Errorf("store: put %s %q: %w", k.info.name, key, err))
		return
	}
	body, err := json.Marshal(v)
	if err != nil {
		tx.fail(fmt.Errorf("store: encode %s %q: %w", k.info.name, key, err))
		return
	}
	value, err := k.info.decode(body)
	if err != nil {
		tx.fail(fmt.Errorf("store: %s %q does not survive its own encoding: %w", k.info.name, key, err))
		return
	}
	for _, ix := range k.info.indexes {
		for _, iv := range ix.keys(key, value) {
			if err := checkKey(iv); err != nil {
				tx.fail(fmt.Errorf("store: put %s %q: index %s: %w", k.info.name, key, ix.name, err))
				return
			}
		}
	}
	tx.put(write{kind: k.info, key: key, body: body, value: value})
}

// Delete removes a document from the home shard, if it is there.
func (k *Kind[T]) Delete(tx *Tx, key string) {
	tx.put(write{kind: k.info, key: key})
}

// Prefix yields, in key order, the documents of a shard whose keys begin with
// prefix (all of them, if it is empty). In a Tx the documents may be Put and
// deleted meanwhile: the sequence is what it was when it began.
func (k *Kind[T]) Prefix(r Reader, shard, prefix string) iter.Seq2[string, *T] {
	return typed[T](r, span{kind: k.info, index: -1, shard: shard, from: prefix, prefix: prefix})
}

// From yields, in key order, the documents of a shard with keys greater than
// after; for pages.
func (k *Kind[T]) From(r Reader, shard, after string) iter.Seq2[string, *T] {
	return typed[T](r, span{kind: k.info, index: -1, shard: shard, from: after, beyond: after != ""})
}

// By yields, in key order, the documents of a shard that the named index finds
// under value.
func (k *Kind[T]) By(r Reader, shard, index, value string) iter.Seq2[string, *T] {
	p := value + "\x00"
	return typed[T](r, span{kind: k.info, index: k.info.index(index), shard: shard, from: p, prefix: p})
}

// Shards returns, in order, the shards that hold a document of the kind. Unlike
// other reads it is not checked when a Tx commits.
func (k *Kind[T]) Shards(r Reader) []string { return r.shards(k.info) }

func typed[T any](r Reader, sp span) iter.Seq2[string, *T] {
	return func(yield func(string, *T) bool) {
		r.scan(sp, func(d *doc) bool { return yield(d.key, d.value.(*T)) })
	}
}

// checkKey keeps out what one of the databases could not store, and the NUL that
// separates an index value from a key.
func checkKey(s string) error {
	if strings.IndexByte(s, 0) >= 0 {
		return fmt.Errorf("%q holds a NUL byte", s)
	}
	if !utf8.ValidString(s) {
		return fmt.Errorf("%q is not UTF-8", s)
	}
	return nil
}
