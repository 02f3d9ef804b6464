package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

var (
	// ErrClosed is returned once Close was called.
	ErrClosed = errors.New("store: closed")
	// ErrStale means that the store could not confirm that it has seen every
	// earlier commit. Answer nothing on its account.
	ErrStale = errors.New("store: out of touch with the database")
	// ErrLocked is returned by Open when another process uses the SQLite file.
	ErrLocked = errors.New("store: the database is in use by another process")
)

// Clock tells the store the time, for leases, record times and trimming.
type Clock interface{ Now() time.Time }

type wallClock struct{}

func (wallClock) Now() time.Time { return time.Now() }

// Options of a store. The zero value is good for production.
type Options struct {
	Clock  Clock        // the wall clock, if nil
	Logger *slog.Logger // slog.Default, if nil

	// JournalAge and JournalRows bound the journal: entries older than the age (one
	// hour, if zero) are removed, and beyond that many per shard (100,000, if zero)
	// the oldest. Who follows the journal and finds a gap reads the shard afresh.
	JournalAge  time.Duration
	JournalRows int
}

// maxAttempts bounds how often Update runs its function on conflicts.
const maxAttempts = 64

// Store is an open database and the state read from it. All methods may be called
// concurrently.
type Store struct {
	opts   Options
	clock  Clock
	log    *slog.Logger
	engine engine

	state       atomic.Pointer[state]
	apply       sync.Mutex // held to replace state, for no longer
	incarnation string     // of this process, for leases

	queue   chan *request
	spare   []byte // the committer's, for records of the next batch
	closing chan struct{}
	stopped sync.WaitGroup
	once    sync.Once
	trim    trimmer
	follow  *follower // nil where this process is the only one

	hot    sync.Map // shard -> *sync.Mutex: where updates keep conflicting
	wakers struct {
		sync.Mutex
		set map[*waker]struct{}
	}
}

// Open opens the database at url, creates its tables if need be, and reads every
// document into memory. The url is a file path or sqlite:///path/file.db for
// SQLite, or postgres://… . A document that cannot be decoded makes it fail;
// documents of undeclared kinds stay on disk, untouched and unseen.
//
// ctx bounds the opening only.
func Open(ctx context.Context, url string, opts Options) (*Store, error) {
	if opts.Clock == nil {
		opts.Clock = wallClock{}
	}
	if opts.Logger == nil {
		opts.Logger = slog.Default()
	}
	if opts.JournalAge == 0 {
		opts.JournalAge = time.Hour
	}
	if opts.JournalRows == 0 {
		opts.JournalRows = 100_000
	}
	s := &Store{
		opts:        opts,
		clock:       opts.Clock,
		log:         opts.Logger,
		incarnation: fmt.Sprintf("%016x", rand.Uint64()),
		queue:       make(chan *request, 4*maxBatch),
		closing:     make(chan struct{}),
	}
	s.wakers.set = make(map[*waker]struct{})
	var err error
	switch {
	case strings.HasPrefix(url, "postgres://"), strings.HasPrefix(url, "postgresql://"):
		s.engine, err = openPostgres(ctx, url, s.log)
	case strings.HasPrefix(url, "sqlite://"):
		s.engine, err = openSQLite(ctx, strings.TrimPrefix(url, "sqlite://"))
	case strings.Contains(url, "://"):
		return nil, fmt.Errorf("store: %q: want a file path, sqlite:///path or postgres://…", redact(url))
	default:
		s.engine, err = openSQLite(ctx, url)
	}
	if err != nil {
		return nil, err
	}
	if err := s.load(ctx); err != nil {
		s.engine.close()
		return nil, err
	}
	if s.engine.shared() {
		s.follow = newFollower(s)
		s.stopped.Add(1)
		go s.follow.run()
	}
	s.stopped.Add(1)
	go s.commitLoop()
	return s, nil
}

// redact keeps passwords out of messages about a malformed URL.
func redact(url string) string {
	scheme, _, _ := strings.Cut(url, "://")
	return scheme + "://…"
}

// load reads the whole database.
func (s *Store) load(ctx context.Context) error {
	b := newBuilder(newState())
	err := s.engine.snapshot(ctx, "", func(shard string, rev int64) { b.setRev(shard, rev) },
		func(c Change) error { return b.change(c) })
	if err != nil {
		return err
	}
	s.state.Store(b.onto(newState()))
	return nil
}

// change applies a journal entry, or a row of a snapshot.
func (b *builder) change(c Change) error {
	k := kindNamed(c.Kind)
	if k == nil {
		return nil
	}
	var value any
	if !c.Deleted {
		v, err := k.stored(c.Version, c.Body)
		if err != nil {
			return fmt.Errorf("store: document %s %q in shard %q cannot be read: %w", c.Kind, c.Key, c.Shard, err)
		}
		value = v
	}
	b.set(c.Shard, k, c.Key, c.Rev, value)
	return nil
}

// Close waits for commits under way, refuses later ones, and releases the
// database. Views already taken stay usable.
func (s *Store) Close() error {
	var err error
	s.once.Do(func() {
		close(s.closing)
		s.stopped.Wait()
		err = s.engine.close()
	})
	return err
}

// View returns the state of every shard, at least as new as this call. Where other
// processes commit too, it waits until this one has caught up; if that fails, see
// View.Err.
func (s *Store) View(ctx context.Context) *View {
	if s.follow != nil {
		if err := s.follow.barrier(ctx); err != nil {
			return &View{state: newState(), err: err}
		}
	}
	return &View{state: s.state.Load()}
}

// Begin starts a Tx that writes to the given shard, over a View taken now. The
// caller commits it; Update does both and repeats on conflict.
func (s *Store) Begin(ctx context.Context, shard string) *Tx {
	v := s.View(ctx)
	tx := &Tx{store: s, shard: shard, base: v.state, err: v.err}
	if err := checkKey(shard); err != nil {
		tx.fail(fmt.Errorf("store: shard: %w", err))
	}
	return tx
}

// Update runs fn in a Tx that writes to the given shard, and commits. When the
// commit conflicts with another, fn runs again over a fresh View, so it must have
// no effects but through the Tx (see AfterCommit), and must not call Update; after many conflicts Update
// returns ErrConflict. If fn returns an error nothing is stored and Update
// returns that error.
func (s *Store) Update(ctx context.Context, shard string, fn func(tx *Tx) error) error {
	for attempt := 1; ; attempt++ {
		err := s.attempt(ctx, shard, attempt, fn)
		if !errors.Is(err, ErrConflict) || attempt == maxAttempts {
			return err
		}
		pause := time.NewTimer(rand.N(time.Duration(min(attempt, 10)) * time.Millisecond))
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return ctx.Err()
		}
	}
}

func (s *Store) attempt(ctx context.Context, shard string, attempt int, fn func(tx *Tx) error) error {
	if attempt > 3 {
		// Many writers of the same documents: from here on they queue instead of
		// spoiling one another's work.
		m, _ := s.hot.LoadOrStore(shard, new(sync.Mutex))
		m.(*sync.Mutex).Lock()
		defer m.(*sync.Mutex).Unlock()
	}
	tx := s.Begin(ctx, shard)
	if tx.err != nil {
		return tx.err
	}
	if err := fn(tx); err != nil {
		return err
	}
	return tx.Commit(ctx)
}

// counters hold the values of Seq.
var counters = NewKind[counter]("store.counter", 1)

type counter struct{ Value int64 }

// Seq returns the next value, from 1, of a named counter of the Tx's home shard.
// The increment is part of the Tx: a value is used once among all commits, and
// none is skipped.
func (s *Store) Seq(tx *Tx, name string) int64 {
	c, ok := counters.Get(tx, tx.shard, name)
	next := counter{Value: 1}
	if ok {
		next.Value = c.Value + 1
	}
	counters.Put(tx, name, &next)
	return next.Value
}

// Head returns the newest revision of a shard that this process has applied, 0
// for a shard never written.
func (s *Store) Head(shard string) int64 {
	if sh := s.state.Load().shard(shard); sh != nil {
		return sh.rev
	}
	return 0
}

// ErrTrimmed is returned by Tail when the journal no longer reaches back that far.
var ErrTrimmed = errors.New("store: the journal was trimmed past that revision")

// A Change is one entry of the journal: a document written or deleted.
type Change struct {
	Shard   string
	Rev     int64 // of the shard; several changes of one commit share it
	Kind    string
	Key     string
	Deleted bool
	Version int    // of the kind's schema
	Body    []byte // JSON; nil if deleted
}

// Tail returns the changes of a shard after a revision, in commit order: those of
// at least one commit if there is any, and no more commits once limit changes are
// reached (1000, if not positive). Commits are never split.
func (s *Store) Tail(ctx context.Context, shard string, after int64, limit int) ([]Change, error) {
	if limit <= 0 {
		limit = 1000
	}
	return s.engine.tail(ctx, shard, after, 1<<62, limit)
}

// waker is one caller of Wake.
type waker struct {
	kinds map[string]struct{} // nil: all
	ch    chan struct{}
}

// Wake returns a channel that receives after a commit, by whichever process,
// touched a document of the named kinds (of any kind, if none is named). Many
// commits may make one wake-up, and none is lost: what was committed before the
// receive is in every View taken after it. Call stop when done.
func (s *Store) Wake(kinds ...string) (woken <-chan struct{}, stop func()) {
	w := &waker{ch: make(chan struct{}, 1)}
	if len(kinds) > 0 {
		w.kinds = make(map[string]struct{})
		for _, k := range kinds {
			w.kinds[k] = struct{}{}
		}
	}
	s.wakers.Lock()
	defer s.wakers.Unlock()
	s.wakers.set[w] = struct{}{}
	return w.ch, func() {
		s.wakers.Lock()
		defer s.wakers.Unlock()
		delete(s.wakers.set, w)
	}
}

// publish makes the builder's changes visible and wakes who waits for them.
func (s *Store) publish(b *builder) {
	if len(b.shards) == 0 {
		return
	}
	s.apply.Lock()
	s.state.Store(b.onto(s.state.Load()))
	s.apply.Unlock()
	if len(b.kinds) == 0 {
		return
	}
	s.wakers.Lock()
	defer s.wakers.Unlock()
	for w := range s.wakers.set {
		hit := w.kinds == nil
		for k := range b.kinds {
			if hit {
				break
			}
			_, hit = w.kinds[k]
		}
		if hit {
			select {
			case w.ch <- struct{}{}:
			default: // a wake-up is already waiting
			}
		}
	}
}
