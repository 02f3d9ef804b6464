package store

import (
	"context"
	"errors"
)

// errRestart marks an error after which the same batch may succeed, as when the
// database broke a deadlock.
var errRestart = errors.New("the database asks to run the transaction again")

// engine is a database: SQLite or PostgreSQL. Both keep the same tables.
//
//	doc      shard kind key  rev version body       the documents as they are
//	journal  shard rev idx   kind key op version t body   how they came to be
//	seq      shard           rev floor              newest revision; newest trimmed one
//	stream   stream          next                   number of the next record
//	segment  stream first    n t body               the records of one commit
type engine interface {
	// snapshot calls head for every shard and row for every document, of one shard
	// or (shard empty) all, as of one moment.
	snapshot(ctx context.Context, shard string, head func(shard string, rev int64), row func(Change) error) error
	// tail reads journal entries with after < rev <= upto, whole commits, stopping
	// at the end of the commit that reaches limit. ErrTrimmed if after is below the
	// floor.
	tail(ctx context.Context, shard string, after, upto int64, limit int) ([]Change, error)
	// heads returns the newest revision of every shard. Called only if shared.
	heads(ctx context.Context) (map[string]int64, error)

	// begin starts the transaction of a batch. It locks the sequence rows of the
	// shards (exclusively those mapped to true) and returns their revisions, or nil
	// where this process is the only one and its state is the truth.
	begin(ctx context.Context, shards map[string]bool) (batch, map[string]int64, error)

	// readStream returns segments holding records numbered in (after, before), in
	// order or backward, until they hold at least limit such records.
	readStream(ctx context.Context, q streamQuery) ([]segment, error)
	streams(ctx context.Context, prefix string) ([]string, error)
	trimStream(ctx context.Context, stream string, before int64) error
	trimStreamAge(ctx context.Context, stream string, before int64) error // Unix milliseconds
	deleteStream(ctx context.Context, stream string) error
	trimJournal(ctx context.Context, keepRows int, olderThan int64) error

	shared() bool // other processes may commit too
	close() error
}

// batch is the transaction of one group commit. After an error from write or
// commit nothing is stored, unless the error says otherwise, and only rollback may
// follow.
type batch interface {
	tail(ctx context.Context, shard string, after, upto int64) ([]Change, error)
	reload(ctx context.Context, shard string, row func(Change) error) error
	write(ctx context.Context, ws *writeSet) error
	commit(ctx context.Context) error
	rollback()
}

// writeSet is what one group commit stores.
type writeSet struct {
	docs     []Change // at most one per document: how it ends
	journal  []Change
	heads    map[string]int64 // shard -> new revision
	segments []segment        // one per stream; first is assigned by the engine
	wipe     []string         // shards to empty before, for Reset
	wiped    bool             // and every stream
	now      int64            // Unix milliseconds
	unsynced bool             // the death of the process is all that it must survive
	spare    []byte           // becomes the body of the first segment
}

// append adds records to the segment of their stream; at has where that is.
func (ws *writeSet) append(at map[string]int, stream string, records [][]byte) {
	i, ok := at[stream]
	if !ok {
		i = len(ws.segments)
		at[stream] = i
		ws.segments = append(ws.segments, segment{stream: stream, body: ws.spare})
		ws.spare = nil
	}
	sg := &ws.segments[i]
	sg.n += len(records)
	sg.body = appendRecords(sg.body, records)
}

type segment struct {
	stream string
	first  int64 // number of its first record
	n      int
	body   []byte
}

type streamQuery struct {
	stream        string
	after, before int64 // exclusive; before 0: no bound
	limit         int
	backward      bool
}
