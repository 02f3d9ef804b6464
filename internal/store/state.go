package store

import (
	"strings"
	"sync"

	"github.com/tidwall/btree"
)

// doc is one committed (or, in a Tx, buffered) document. It never changes.
type doc struct {
	key   string
	rev   int64 // of the shard, by the commit that wrote it; 0 while buffered
	value any   // *T of the kind
}

// kindState is the documents of one kind in one shard, and their indexes. Once
// published it does not change; copy shares everything with the original.
type kindState struct {
	mu   sync.Mutex // for copy: btree's Copy renumbers its source
	docs *btree.Map[string, *doc]
	// index i maps value + NUL + key to the document.
	index []*btree.Map[string, *doc]
}

func newKindState(k *kindInfo) *kindState {
	s := &kindState{docs: btree.NewMap[string, *doc](0)}
	for range k.indexes {
		s.index = append(s.index, btree.NewMap[string, *doc](0))
	}
	return s
}

func (s *kindState) copy() *kindState {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := &kindState{docs: s.docs.Copy(), index: make([]*btree.Map[string, *doc], len(s.index))}
	for i, m := range s.index {
		c.index[i] = m.Copy()
	}
	return c
}

// set stores or (with d nil) removes a document. Only the maker of a copy may
// call it, before anybody else sees the copy.
func (s *kindState) set(k *kindInfo, key string, d *doc) {
	var old *doc
	if d != nil {
		old, _ = s.docs.Set(key, d)
	} else {
		old, _ = s.docs.Delete(key)
	}
	for i := range k.indexes {
		if old != nil {
			for _, v := range k.indexes[i].keys(key, old.value) {
				s.index[i].Delete(v + "\x00" + key)
			}
		}
		if d != nil {
			for _, v := range k.indexes[i].keys(key, d.value) {
				s.index[i].Set(v+"\x00"+key, d)
			}
		}
	}
}

// span is a range of one kind's documents, or of one of its indexes.
type span struct {
	kind   *kindInfo
	index  int // -1: by key
	shard  string
	from   string
	beyond bool   // from itself is excluded
	prefix string // the range ends where this is no longer a prefix
}

// scan yields tree keys and documents in order until yield returns false, and
// reports whether it reached the end of the span.
func (s *kindState) scan(sp span, yield func(at string, d *doc) bool) (complete bool) {
	if s == nil {
		return true
	}
	tree := s.docs
	if sp.index >= 0 {
		tree = s.index[sp.index]
	}
	complete = true
	tree.Ascend(sp.from, func(at string, d *doc) bool {
		if sp.beyond && at == sp.from {
			return true
		}
		if !strings.HasPrefix(at, sp.prefix) {
			return false
		}
		complete = yield(at, d)
		return complete
	})
	return complete
}

// shardState is one shard: its revision, and its kinds by their number. Short or
// nil entries mean that no document of the kind was ever there.
type shardState struct {
	rev   int64
	kinds []*kindState
}

func (s *shardState) kind(k *kindInfo) *kindState {
	if s == nil || k.id >= len(s.kinds) {
		return nil
	}
	return s.kinds[k.id]
}

func (s *shardState) get(k *kindInfo, key string) *doc {
	if ks := s.kind(k); ks != nil {
		d, _ := ks.docs.Get(key)
		return d
	}
	return nil
}

// state is everything, at one moment.
type state struct {
	shards *btree.Map[string, *shardState]
}

func newState() *state { return &state{btree.NewMap[string, *shardState](0)} }

func (s *state) shard(name string) *shardState {
	sh, _ := s.shards.Get(name)
	return sh
}

func (s *state) shardsOf(k *kindInfo) []string {
	var names []string
	s.shards.Scan(func(name string, sh *shardState) bool {
		if ks := sh.kind(k); ks != nil && ks.docs.Len() > 0 {
			names = append(names, name)
		}
		return true
	})
	return names
}

// builder makes the next state. It copies what it changes, so that throwing it
// away undoes everything.
type builder struct {
	base   *state
	shards map[string]*shardState  // changed or about to be
	own    map[*kindState]struct{} // copies made here, free to change
	kinds  map[string]struct{}     // names of the kinds touched, for Wake
}

func newBuilder(base *state) *builder {
	return &builder{base, make(map[string]*shardState), make(map[*kindState]struct{}), make(map[string]struct{})}
}

// shard returns the shard as it now stands, for reading; nil if it has nothing.
func (b *builder) shard(name string) *shardState {
	if sh, ok := b.shards[name]; ok {
		return sh
	}
	return b.base.shard(name)
}

func (b *builder) rev(name string) int64 {
	if sh := b.shard(name); sh != nil {
		return sh.rev
	}
	return 0
}

// edit returns the shard for changing.
func (b *builder) edit(name string) *shardState {
	if sh, ok := b.shards[name]; ok {
		return sh
	}
	sh := &shardState{}
	if old := b.base.shard(name); old != nil {
		sh.rev = old.rev
		sh.kinds = append(sh.kinds, old.kinds...)
	}
	b.shards[name] = sh
	return sh
}

// clear empties a shard; its revision stays.
func (b *builder) clear(name string) {
	sh := b.edit(name)
	for i, ks := range sh.kinds {
		if ks != nil {
			b.kinds[kindAt(i).name] = struct{}{}
		}
	}
	sh.kinds = nil
}

func (b *builder) setRev(shard string, rev int64) { b.edit(shard).rev = rev }

// set stores a document, or removes it where value is nil.
func (b *builder) set(shard string, k *kindInfo, key string, rev int64, value any) {
	sh := b.edit(shard)
	for len(sh.kinds) <= k.id {
		sh.kinds = append(sh.kinds, nil)
	}
	ks := sh.kinds[k.id]
	if ks == nil {
		ks = newKindState(k)
		b.own[ks] = struct{}{}
	} else if _, ok := b.own[ks]; !ok {
		ks = ks.copy()
		b.own[ks] = struct{}{}
	}
	sh.kinds[k.id] = ks
	var d *doc
	if value != nil {
		d = &doc{key: key, rev: rev, value: value}
	}
	ks.set(k, key, d)
	b.kinds[k.name] = struct{}{}
}

// onto returns the given state, which may be newer than the builder's base, with
// the builder's shards where those are newer still. Two builders that bring a shard
// to the same revision agree on its content.
func (b *builder) onto(now *state) *state {
	next := now
	for name, sh := range b.shards {
		if old := now.shard(name); old != nil && old.rev >= sh.rev {
			continue
		}
		if next == now {
			next = &state{now.shards.Copy()}
		}
		next.shards.Set(name, sh)
	}
	return next
}

func kindAt(id int) *kindInfo {
	kinds.RLock()
	defer kinds.RUnlock()
	return kinds.list[id]
}
