package store

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"
)

// maxBatch and maxBatchBytes bound what one SQL transaction takes, so that a
// flood does not make the first in line wait for the last.
const (
	maxBatch      = 1024
	maxBatchBytes = 8 << 20
)

// yields is how often the committer lets others run before it closes a batch.
const yields = 3

// maxSpare bounds the buffer that the committer keeps from one batch to the next.
const maxSpare = 256 << 10

// commitTimeout is long enough for a slow disk, short enough that a lost server is
// noticed.
const commitTimeout = 30 * time.Second

// request is a commit on its way to the committer.
type request struct {
	tx       *Tx // nil: records only
	stream   string
	records  [][]byte
	unsynced bool // the death of the process is all that it must survive
	reset    bool

	taken atomic.Bool // by the committer, or by a caller that gives up
	done  chan error
}

func (r *request) size() int {
	n := 0
	if r.tx != nil {
		for i := range r.tx.writes {
			n += len(r.tx.writes[i].body)
		}
		for _, recs := range r.tx.streams {
			for _, rec := range recs {
				n += len(rec)
			}
		}
	}
	for _, rec := range r.records {
		n += len(rec)
	}
	return n
}

// submit hands a request to the committer and waits for its outcome.
func (s *Store) submit(ctx context.Context, r *request) error {
	r.done = make(chan error, 1)
	select {
	case <-s.closing:
		return ErrClosed
	default:
	}
	select {
	case s.queue <- r:
	case <-ctx.Done():
		return ctx.Err()
	case <-s.closing:
		return ErrClosed
	}
	select {
	case err := <-r.done:
		return err
	case <-ctx.Done():
		if r.taken.CompareAndSwap(false, true) {
			return ctx.Err()
		}
	case <-s.closing:
		if r.taken.CompareAndSwap(false, true) {
			return ErrClosed
		}
	}
	return <-r.done
}

// commitLoop is the committer: while one batch is being synced the next gathers in
// the queue, so batches grow exactly as much as the load needs.
func (s *Store) commitLoop() {
	defer s.stopped.Done()
	for {
		var r *request
		select {
		case r = <-s.queue:
		case <-s.closing:
			return
		}
		var reqs []*request
		size := 0
	gather:
		for {
			if r.taken.CompareAndSwap(false, true) {
				if r.reset && len(reqs) > 0 {
					s.commit(reqs)
					reqs = nil
				}
				reqs = append(reqs, r)
				size += r.size()
			}
			// A reset goes alone: it is simpler to reason about than to mix.
			if len(reqs) == maxBatch || size >= maxBatchBytes || r.reset {
				break
			}
			if len(s.queue) == 0 {
				// Whoever is ready to run may be on the way here, and a batch costs
				// about the same however many it carries.
				for range yields {
					runtime.Gosched()
				}
			}
			select {
			case r = <-s.queue:
			default:
				break gather
			}
		}
		if len(reqs) > 0 {
			s.commit(reqs)
		}
		s.trimIfDue()
	}
}

// commit stores what it can of the requests and answers each.
func (s *Store) commit(reqs []*request) {
	ctx, cancel := context.WithTimeout(context.Background(), commitTimeout)
	defer cancel()

	var answers []error
	var err error
	for range maxRestarts {
		if answers, err = s.tryCommit(ctx, reqs); !errors.Is(err, errRestart) {
			break
		}
	}
	for i, r := range reqs {
		switch {
		case answers != nil && answers[i] != nil:
			r.done <- answers[i]
		case err != nil:
			r.done <- fmt.Errorf("store: commit: %w", err)
		default:
			r.done <- nil
		}
	}
}

// maxRestarts bounds how often a batch that the database asked to run again is.
const maxRestarts = 5

// tryCommit returns an answer per request, for those that failed alone, and the
// error that all others share.
func (s *Store) tryCommit(ctx context.Context, reqs []*request) ([]error, error) {
	bt, heads, err := s.engine.begin(ctx, s.involved(reqs))
	if err != nil {
		return nil, err
	}
	defer bt.rollback()

	// Under the locks: see everything earlier, then judge.
	base := newBuilder(s.state.Load())
	for shard, head := range heads {
		if err := s.catchUp(ctx, bt, base, shard, head); err != nil {
			return nil, err
		}
	}
	s.publish(base)

	next := newBuilder(s.state.Load())
	ws := &writeSet{heads: make(map[string]int64), now: s.clock.Now().UnixMilli(), unsynced: true, spare: s.spare[:0]}
	s.spare = nil
	answers := make([]error, len(reqs))
	passed := 0
	last := make(map[point]int) // into ws.docs
	streams := make(map[string]int)
	for i, r := range reqs {
		if r.reset {
			stageReset(next, ws)
		}
		if r.tx != nil {
			if answers[i] = r.tx.check(next); answers[i] != nil {
				continue
			}
			stage(next, ws, last, r.tx)
			for stream, records := range r.tx.streams {
				ws.append(streams, stream, records)
			}
		}
		if len(r.records) > 0 {
			ws.append(streams, r.stream, r.records)
		}
		ws.unsynced = ws.unsynced && r.unsynced
		passed++
	}
	if passed == 0 {
		return answers, nil
	}
	if err := bt.write(ctx, ws); err != nil {
		return answers, err
	}
	if err := bt.commit(ctx); err != nil {
		return answers, err
	}
	if len(ws.segments) > 0 && cap(ws.segments[0].body) <= maxSpare {
		s.spare = ws.segments[0].body
	}
	s.publish(next)
	return answers, nil
}

// involved lists the shards whose revisions must stand still during the commit:
// true for those written.
func (s *Store) involved(reqs []*request) map[string]bool {
	if !s.engine.shared() {
		return nil
	}
	shards := make(map[string]bool)
	read := func(shard string) {
		if _, ok := shards[shard]; !ok {
			shards[shard] = false
		}
	}
	for _, r := range reqs {
		if r.reset {
			s.state.Load().shards.Scan(func(name string, _ *shardState) bool {
				shards[name] = true
				return true
			})
		}
		if r.tx == nil {
			continue
		}
		if len(r.tx.fences) > 0 {
			read(leaseShard)
		}
		if len(r.tx.writes) == 0 {
			continue
		}
		shards[r.tx.shard] = true
		for p := range r.tx.points {
			read(p.shard)
		}
		for _, sc := range r.tx.scans {
			read(sc.shard)
		}
	}
	return shards
}

// catchUp brings one shard up to head, from inside the batch's transaction.
func (s *Store) catchUp(ctx context.Context, bt batch, b *builder, shard string, head int64) error {
	at := b.rev(shard)
	if at >= head {
		return nil
	}
	changes, err := bt.tail(ctx, shard, at, head)
	if err == ErrTrimmed {
		b.clear(shard)
		b.setRev(shard, head)
		return bt.reload(ctx, shard, b.change)
	}
	if err != nil {
		return err
	}
	for _, c := range changes {
		if err := b.change(c); err != nil {
			return err
		}
	}
	b.setRev(shard, head)
	return nil
}

// stage adds the writes of one Tx, as the next revision of its shard.
func stage(next *builder, ws *writeSet, last map[point]int, tx *Tx) {
	if len(tx.writes) == 0 {
		return
	}
	rev := next.rev(tx.shard) + 1
	next.setRev(tx.shard, rev)
	ws.heads[tx.shard] = rev
	for i := range tx.writes {
		w := &tx.writes[i]
		next.set(tx.shard, w.kind, w.key, rev, w.value)
		c := Change{
			Shard: tx.shard, Rev: rev, Kind: w.kind.name, Key: w.key,
			Deleted: w.value == nil, Version: w.kind.version, Body: w.body,
		}
		ws.journal = append(ws.journal, c)
		id := point{tx.shard, docID{w.kind.id, w.key}}
		if at, ok := last[id]; ok {
			ws.docs[at] = c
		} else {
			last[id] = len(ws.docs)
			ws.docs = append(ws.docs, c)
		}
	}
}

// stageReset empties every shard but that of the leases, whose holders live on.
// Revisions go on rising, so that no Tx begun before can mistake what comes after
// for what it read.
func stageReset(next *builder, ws *writeSet) {
	ws.wiped = true
	next.base.shards.Scan(func(name string, sh *shardState) bool {
		if name != leaseShard {
			next.clear(name)
			next.setRev(name, sh.rev+1)
			ws.heads[name] = sh.rev + 1
			ws.wipe = append(ws.wipe, name)
		}
		return true
	})
}

// Reset removes every document and every record of every stream. Leases survive.
func (s *Store) Reset(ctx context.Context) error {
	return s.submit(ctx, &request{reset: true})
}

// trimmer remembers when the journal was last trimmed.
type trimmer struct{ next time.Time }

// trimEvery is how often the committer looks for journal entries to remove.
const trimEvery = time.Minute

func (s *Store) trimIfDue() {
	now := s.clock.Now()
	if s.trim.next.IsZero() {
		s.trim.next = now.Add(trimEvery)
	}
	if now.Before(s.trim.next) {
		return
	}
	s.trim.next = now.Add(trimEvery)
	ctx, cancel := context.WithTimeout(context.Background(), commitTimeout)
	defer cancel()
	if err := s.TrimJournal(ctx); err != nil {
		s.log.Warn("journal not trimmed", "error", err)
	}
}

// TrimJournal removes journal entries past the bounds of Options. The store does
// this by itself every minute in which something is committed.
func (s *Store) TrimJournal(ctx context.Context) error {
	return s.engine.trimJournal(ctx, s.opts.JournalRows, s.clock.Now().Add(-s.opts.JournalAge).UnixMilli())
}
