package store

import (
	"context"
	"errors"
	"fmt"
)

// ErrConflict is returned by Commit when something the Tx had read was changed by
// another commit in the meantime. Nothing was stored; running again from Begin may
// succeed.
var ErrConflict = errors.New("store: conflict: something that was read has changed")

// ErrFenced is returned by Commit when a lease given to Fence has been taken over
// or released. Nothing was stored, and the holder must stop working.
var ErrFenced = errors.New("store: the lease is no longer held")

// A Reader is a *View or a *Tx.
type Reader interface {
	get(k *kindInfo, shard, key string) *doc
	scan(sp span, yield func(*doc) bool)
	shards(k *kindInfo) []string
}

// A View is an unchanging picture of every shard, at least as new as the moment
// it was asked for. It costs nothing to keep but memory, needs no closing, and may
// be used by several goroutines.
type View struct {
	state *state
	err   error
}

// Err is not nil where the store could not confirm that it is up to date. Such a
// View is empty, so that nothing can be allowed on its account; report the error.
func (v *View) Err() error { return v.err }

// Head returns a shard's revision in this View: that of its newest commit.
func (v *View) Head(shard string) int64 {
	if sh := v.state.shard(shard); sh != nil {
		return sh.rev
	}
	return 0
}

func (v *View) get(k *kindInfo, shard, key string) *doc {
	return v.state.shard(shard).get(k, key)
}

func (v *View) scan(sp span, yield func(*doc) bool) {
	v.state.shard(sp.shard).kind(sp.kind).scan(sp, func(_ string, d *doc) bool { return yield(d) })
}

func (v *View) shards(k *kindInfo) []string { return v.state.shardsOf(k) }

// A Tx reads like a View, remembers what it read, and buffers writes to its home
// shard until Commit. It sees its own writes. It is for one goroutine, and for one
// Commit; one that is not committed is simply dropped.
type Tx struct {
	store *Store
	shard string
	base  *state
	err   error // makes Commit fail
	done  bool

	points map[point]struct{}
	scans  []*scanned

	writes  []write
	at      map[docID]int      // into writes
	overlay map[int]*kindState // per kind: base with the writes up to stale
	stale   map[int][]docID    // writes that overlay lacks

	streams map[string][][]byte
	fences  []*Lease
	after   []func()
}

type docID struct {
	kind int
	key  string
}

// point is a document that was read, or found absent.
type point struct {
	shard string
	docID
}

// scanned is a range that was read: whole, or up to and including last.
type scanned struct {
	span
	begun    bool
	last     string
	complete bool
}

// write is a buffered change; a nil value deletes.
type write struct {
	kind  *kindInfo
	key   string
	body  []byte
	value any
}

// Shard is the home shard: the only one the Tx writes to.
func (tx *Tx) Shard() string { return tx.shard }

// View returns what the Tx sees without its own writes. Reads through it are not
// checked at commit: for what may have changed without harm.
func (tx *Tx) View() *View { return &View{state: tx.base, err: tx.err} }

// Err returns what already makes Commit fail, if anything: a store that is out of
// touch, a value that cannot be encoded.
func (tx *Tx) Err() error { return tx.err }

// Dirty reports whether the Tx has buffered a change to a document. One that has
// not needs no commit: what it read was one consistent picture.
func (tx *Tx) Dirty() bool { return len(tx.writes) > 0 }

// Append adds a record to a stream, in the same commit. The record must not be
// modified afterwards.
func (tx *Tx) Append(stream string, record []byte) {
	if err := checkKey(stream); err != nil {
		tx.fail(fmt.Errorf("store: stream: %w", err))
		return
	}
	if tx.streams == nil {
		tx.streams = make(map[string][][]byte)
	}
	tx.streams[stream] = append(tx.streams[stream], record)
}

// AfterCommit has fn called once, after a successful commit, by the goroutine that
// committed and before Commit returns. Functions run in the order they were given.
func (tx *Tx) AfterCommit(fn func()) { tx.after = append(tx.after, fn) }

// Fence makes the commit depend on the lease: it fails with ErrFenced if the lease
// has another epoch by then, whatever its holder believes.
func (tx *Tx) Fence(l *Lease) { tx.fences = append(tx.fences, l) }

// Commit stores the writes and records, all or nothing, and returns when they are
// durable and every later View shows them. Documents read by the Tx, including
// those it found absent, and ranges it went through must be unchanged, or it
// returns ErrConflict. A Tx without document writes changes nothing that its reads
// could matter for: its records are appended without that check.
//
// If ctx ends before the commit has begun, nothing is stored. Once begun, its
// outcome is awaited.
func (tx *Tx) Commit(ctx context.Context) error {
	if tx.done {
		return errors.New("store: the transaction was already committed")
	}
	tx.done = true
	if tx.err != nil {
		return tx.err
	}
	if len(tx.writes) > 0 || len(tx.streams) > 0 {
		if err := tx.store.submit(ctx, &request{tx: tx}); err != nil {
			return err
		}
	}
	for _, fn := range tx.after {
		fn()
	}
	return nil
}

func (tx *Tx) fail(err error) {
	if tx.err == nil {
		tx.err = err
	}
}

func (tx *Tx) get(k *kindInfo, shard, key string) *doc {
	id := docID{k.id, key}
	if shard == tx.shard {
		if i, ok := tx.at[id]; ok {
			w := &tx.writes[i]
			if w.value == nil {
				return nil
			}
			return &doc{key: key, value: w.value}
		}
	}
	if tx.points == nil {
		tx.points = make(map[point]struct{})
	}
	tx.points[point{shard, id}] = struct{}{}
	return tx.base.shard(shard).get(k, key)
}

func (tx *Tx) put(w write) {
	if tx.at == nil {
		tx.at = make(map[docID]int)
	}
	id := docID{w.kind.id, w.key}
	if i, ok := tx.at[id]; ok {
		tx.writes[i] = w
	} else {
		tx.at[id] = len(tx.writes)
		tx.writes = append(tx.writes, w)
	}
	if tx.stale == nil {
		tx.stale = make(map[int][]docID)
	}
	tx.stale[w.kind.id] = append(tx.stale[w.kind.id], id)
}

// current returns a kind of the home shard with the writes so far. What it returns
// does not change: later writes go to a later copy, so a loop may write.
func (tx *Tx) current(k *kindInfo) *kindState {
	ks, ok := tx.overlay[k.id]
	if !ok {
		ks = tx.base.shard(tx.shard).kind(k)
	}
	ids := tx.stale[k.id]
	if len(ids) == 0 {
		return ks
	}
	if ks == nil {
		ks = newKindState(k)
	} else {
		ks = ks.copy()
	}
	for _, id := range ids {
		w := &tx.writes[tx.at[id]]
		var d *doc
		if w.value != nil {
			d = &doc{key: w.key, value: w.value}
		}
		ks.set(k, w.key, d)
	}
	if tx.overlay == nil {
		tx.overlay = make(map[int]*kindState)
	}
	tx.overlay[k.id] = ks
	delete(tx.stale, k.id)
	return ks
}

func (tx *Tx) scan(sp span, yield func(*doc) bool) {
	rec := &scanned{span: sp}
	tx.scans = append(tx.scans, rec)
	var ks *kindState
	if sp.shard == tx.shard {
		ks = tx.current(sp.kind)
	} else {
		ks = tx.base.shard(sp.shard).kind(sp.kind)
	}
	rec.complete = ks.scan(sp, func(at string, d *doc) bool {
		rec.begun, rec.last = true, at
		return yield(d)
	})
}

func (tx *Tx) shards(k *kindInfo) []string { return tx.base.shardsOf(k) }

// check compares everything that was read with the state as it now stands.
func (tx *Tx) check(now *builder) error {
	for _, l := range tx.fences {
		d := now.shard(leaseShard).get(leases.info, l.name)
		if d == nil || d.value.(*leaseDoc).Epoch != l.epoch || d.value.(*leaseDoc).Released {
			return ErrFenced
		}
	}
	if len(tx.writes) == 0 {
		return nil
	}
	for p := range tx.points {
		was, is := tx.base.shard(p.shard), now.shard(p.shard)
		if was == is {
			continue
		}
		k := kindAt(p.kind)
		if was.kind(k) != is.kind(k) && revision(was.get(k, p.key)) != revision(is.get(k, p.key)) {
			return ErrConflict
		}
	}
	for _, sc := range tx.scans {
		was, is := tx.base.shard(sc.shard).kind(sc.kind), now.shard(sc.shard).kind(sc.kind)
		if was != is && !sc.same(was, is) {
			return ErrConflict
		}
	}
	return nil
}

func revision(d *doc) int64 {
	if d == nil {
		return 0
	}
	return d.rev
}

// same tells whether the part of the range that was read holds the same documents
// in both.
func (sc *scanned) same(was, is *kindState) bool {
	if !sc.complete && !sc.begun {
		return true
	}
	type item struct {
		at  string
		rev int64
	}
	var want []item
	collect := func(emit func(item) bool) func(string, *doc) bool {
		return func(at string, d *doc) bool {
			if !sc.complete && at > sc.last {
				return false
			}
			return emit(item{at, d.rev})
		}
	}
	was.scan(sc.span, collect(func(it item) bool { want = append(want, it); return true }))
	equal := true
	is.scan(sc.span, collect(func(it item) bool {
		if len(want) == 0 || want[0] != it {
			equal = false
			return false
		}
		want = want[1:]
		return true
	}))
	return equal && len(want) == 0
}
