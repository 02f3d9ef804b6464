package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

// sqlite is the engine for one process. Its commits go through one connection, on
// which the transaction is spelled out, since database/sql gives a connection back
// even where COMMIT failed and left the transaction open.
type sqlite struct {
	lock   *os.File
	writer *sql.DB // one connection
	reader *sql.DB

	mu    sync.Mutex           // held to write: from begin to rollback
	conn  *sql.Conn            // of writer
	stmts map[string]*sql.Stmt // prepared on conn

	unsynced bool // conn's commits are not synced

	logged int           // pages that commits wrote since the last sign to due, about
	due    chan struct{} // the log has grown by checkpointEvery pages
	done   sync.WaitGroup
}

// SQLite copies its write-ahead log into the database in the commit that makes
// the log long enough, and syncs both while everybody waits. Here that is done
// beside the commits, every checkpointEvery pages of 4 KiB; a commit does it
// itself only where the log grew to checkpointAtLast in spite of that, and then
// has little left to copy, after which the log begins anew.
// https://www.sqlite.org/wal.html#ckpt
const (
	checkpointEvery  = 6000
	checkpointAtLast = 16000
)

const sqliteSchema = `
CREATE TABLE IF NOT EXISTS doc (
	shard TEXT NOT NULL, kind TEXT NOT NULL, key TEXT NOT NULL,
	rev INTEGER NOT NULL, version INTEGER NOT NULL, body TEXT NOT NULL,
	PRIMARY KEY (shard, kind, key));
CREATE TABLE IF NOT EXISTS journal (
	shard TEXT NOT NULL, rev INTEGER NOT NULL, idx INTEGER NOT NULL,
	kind TEXT NOT NULL, key TEXT NOT NULL, deleted INTEGER NOT NULL,
	version INTEGER NOT NULL, t INTEGER NOT NULL, body TEXT NOT NULL,
	PRIMARY KEY (shard, rev, idx));
CREATE TABLE IF NOT EXISTS seq (
	shard TEXT NOT NULL PRIMARY KEY, rev INTEGER NOT NULL, floor INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS stream (
	stream TEXT NOT NULL PRIMARY KEY, next INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS segment (
	stream TEXT NOT NULL, first INTEGER NOT NULL, n INTEGER NOT NULL,
	t INTEGER NOT NULL, body BLOB NOT NULL,
	PRIMARY KEY (stream, first));
`

func openSQLite(ctx context.Context, path string) (engine, error) {
	if path == "" {
		return nil, errors.New("store: no path for the SQLite file")
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	lock, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	if err := lockFile(lock); err != nil {
		lock.Close()
		if errors.Is(err, ErrLocked) {
			return nil, fmt.Errorf("%w: %s (several servers need PostgreSQL)", ErrLocked, path)
		}
		return nil, fmt.Errorf("store: lock %s: %w", path, err)
	}
	e := &sqlite{lock: lock, due: make(chan struct{}, 1)}
	if err := e.open(ctx, path); err != nil {
		e.close()
		return nil, fmt.Errorf("store: open %s: %w", path, err)
	}
	return e, nil
}

func (e *sqlite) open(ctx context.Context, path string) (err error) {
	// The file holds sealed secrets and policies: nobody else's business.
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	f.Close()
	// In the DSN, PRAGMAs reach every connection, also reopened ones.
	dsn := "file:" + (&url.URL{Path: path}).EscapedPath() +
		"?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=temp_store(MEMORY)" +
		fmt.Sprintf("&_pragma=wal_autocheckpoint(%d)", checkpointAtLast)
	if e.writer, err = sql.Open("sqlite", dsn); err != nil {
		return err
	}
	e.writer.SetMaxOpenConns(1)
	if e.reader, err = sql.Open("sqlite", dsn+"&_pragma=query_only(1)"); err != nil {
		return err
	}
	e.reader.SetMaxOpenConns(4)
	if err := e.connect(ctx); err != nil {
		return err
	}
	if _, err = e.conn.ExecContext(ctx, sqliteSchema); err != nil {
		return err
	}
	e.done.Go(e.checkpoint)
	return nil
}

// checkpoint copies the log into the database whenever it is due. An error is
// no more than a log that goes on growing: the next time, or a commit, meets it
// again, and a disk that is full fails the commits.
func (e *sqlite) checkpoint() {
	for range e.due {
		_, _ = e.reader.Exec("PRAGMA wal_checkpoint(PASSIVE)")
	}
}

// grew is told of a commit of so many bytes.
func (e *sqlite) grew(bytes int) {
	e.logged += 8 + bytes/4096 // the leaves of the trees that it touched, and itself
	if e.logged >= checkpointEvery {
		select {
		case e.due <- struct{}{}:
			e.logged = 0
		default: // the one before has not begun yet
		}
	}
}

// connect makes sure that there is a writing connection.
func (e *sqlite) connect(ctx context.Context) (err error) {
	if e.conn == nil {
		e.stmts, e.unsynced = make(map[string]*sql.Stmt), false
		e.conn, err = e.writer.Conn(ctx)
	}
	return err
}

// disconnect drops the writing connection, with whatever state it is in.
func (e *sqlite) disconnect() {
	if e.conn == nil {
		return
	}
	for _, st := range e.stmts {
		st.Close()
	}
	e.conn.Raw(func(any) error { return driver.ErrBadConn })
	e.conn.Close()
	e.conn = nil
}

func (e *sqlite) exec(ctx context.Context, query string, args ...any) (sql.Result, error) {
	st, ok := e.stmts[query]
	if !ok {
		var err error
		if st, err = e.conn.PrepareContext(ctx, query); err != nil {
			return nil, err
		}
		e.stmts[query] = st
	}
	return st.ExecContext(ctx, args...)
}

// sync says whether the next transaction on conn is synced when it commits. In
// WAL mode one that is not leaves the file whole, whatever happens, and is synced
// with the next that is.
// https://www.sqlite.org/pragma.html#pragma_synchronous
func (e *sqlite) sync(ctx context.Context, unsynced bool) error {
	if e.unsynced == unsynced {
		return nil
	}
	pragma := "PRAGMA synchronous = FULL"
	if unsynced {
		pragma = "PRAGMA synchronous = NORMAL"
	}
	if _, err := e.conn.ExecContext(ctx, pragma); err != nil {
		return err
	}
	e.unsynced = unsynced
	return nil
}

func (e *sqlite) shared() bool { return false }

func (e *sqlite) close() error {
	var errs []error
	close(e.due)
	e.done.Wait()
	if e.conn != nil {
		for _, st := range e.stmts {
			st.Close()
		}
		errs = append(errs, e.conn.Close())
	}
	for _, db := range []*sql.DB{e.reader, e.writer} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	errs = append(errs, e.lock.Close())
	return errors.Join(errs...)
}

func (e *sqlite) heads(context.Context) (map[string]int64, error) { return nil, nil }

func (e *sqlite) snapshot(ctx context.Context, shard string, head func(string, int64), row func(Change) error) error {
	rows, err := e.reader.QueryContext(ctx, `SELECT shard, rev FROM seq WHERE ?1 = '' OR shard = ?1`, shard)
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		var rev int64
		if err := rows.Scan(&name, &rev); err != nil {
			return err
		}
		head(name, rev)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	rows, err = e.reader.QueryContext(ctx, `SELECT shard, kind, key, rev, version, body FROM doc WHERE ?1 = '' OR shard = ?1`, shard)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var c Change
		if err := rows.Scan(&c.Shard, &c.Kind, &c.Key, &c.Rev, &c.Version, &c.Body); err != nil {
			return err
		}
		if err := row(c); err != nil {
			return err
		}
	}
	return rows.Err()
}

func (e *sqlite) tail(ctx context.Context, shard string, after, upto int64, limit int) ([]Change, error) {
	rows, err := e.reader.QueryContext(ctx, `SELECT rev, kind, key, deleted, version, body FROM journal
		WHERE shard = ? AND rev > ? AND rev <= ? ORDER BY rev, idx`, shard, after, upto)
	if err != nil {
		return nil, fmt.Errorf("store: tail: %w", err)
	}
	defer rows.Close()
	var out []Change
	for rows.Next() {
		c := Change{Shard: shard}
		if err := rows.Scan(&c.Rev, &c.Kind, &c.Key, &c.Deleted, &c.Version, &c.Body); err != nil {
			return nil, err
		}
		if len(out) >= limit && c.Rev != out[len(out)-1].Rev {
			break
		}
		if c.Deleted {
			c.Body = nil
		}
		out = append(out, c)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("store: tail: %w", err)
	}
	rows.Close()
	// Asked last: whatever was trimmed while the rows were read shows here.
	var floor int64
	err = e.reader.QueryRowContext(ctx, `SELECT floor FROM seq WHERE shard = ?`, shard).Scan(&floor)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("store: tail: %w", err)
	}
	if after < floor {
		return nil, ErrTrimmed
	}
	return out, nil
}

func (e *sqlite) begin(ctx context.Context, _ map[string]bool) (batch, map[string]int64, error) {
	e.mu.Lock()
	if err := e.connect(ctx); err != nil {
		e.mu.Unlock()
		return nil, nil, err
	}
	return &sqliteBatch{e: e}, nil, nil
}

// sqliteBatch begins its transaction with the first write: a batch of conflicts
// needs none.
type sqliteBatch struct {
	e     *sqlite
	open  bool
	bytes int // written, about
}

func (b *sqliteBatch) tail(context.Context, string, int64, int64) ([]Change, error) { return nil, nil }

func (b *sqliteBatch) reload(context.Context, string, func(Change) error) error { return nil }

func (b *sqliteBatch) write(ctx context.Context, ws *writeSet) error {
	// For a context that can end the driver starts a goroutine per statement.
	ctx = context.WithoutCancel(ctx)
	e := b.e
	if err := e.sync(ctx, ws.unsynced); err != nil {
		e.disconnect()
		return err
	}
	if _, err := e.exec(ctx, "BEGIN IMMEDIATE"); err != nil {
		e.disconnect()
		return err
	}
	b.open = true
	if ws.wiped {
		for _, q := range []string{
			`DELETE FROM doc WHERE shard <> ?`, `DELETE FROM journal WHERE shard <> ?`,
			`DELETE FROM segment WHERE ? <> ''`, `DELETE FROM stream WHERE ? <> ''`,
		} {
			if _, err := e.exec(ctx, q, leaseShard); err != nil {
				return err
			}
		}
	}
	for _, shard := range ws.wipe {
		if _, err := e.exec(ctx, `INSERT INTO seq (shard, rev, floor) VALUES (?1, ?2, ?2)
			ON CONFLICT (shard) DO UPDATE SET rev = excluded.rev, floor = excluded.floor`, shard, ws.heads[shard]); err != nil {
			return err
		}
	}
	for shard, rev := range ws.heads {
		if _, err := e.exec(ctx, `INSERT INTO seq (shard, rev, floor) VALUES (?, ?, 0)
			ON CONFLICT (shard) DO UPDATE SET rev = excluded.rev`, shard, rev); err != nil {
			return err
		}
	}
	for i := range ws.docs {
		c := &ws.docs[i]
		b.bytes += 2 * len(c.Body) // here and in the journal
		var err error
		if c.Deleted {
			_, err = e.exec(ctx, `DELETE FROM doc WHERE shard = ? AND kind = ? AND key = ?`, c.Shard, c.Kind, c.Key)
		} else {
			_, err = e.exec(ctx, `INSERT INTO doc (shard, kind, key, rev, version, body) VALUES (?, ?, ?, ?, ?, ?)
				ON CONFLICT (shard, kind, key) DO UPDATE SET rev = excluded.rev, version = excluded.version, body = excluded.body`,
				c.Shard, c.Kind, c.Key, c.Rev, c.Version, string(c.Body))
		}
		if err != nil {
			return err
		}
	}
	for i := range ws.journal {
		c := &ws.journal[i]
		if _, err := e.exec(ctx, `INSERT INTO journal (shard, rev, idx, kind, key, deleted, version, t, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			c.Shard, c.Rev, i, c.Kind, c.Key, c.Deleted, c.Version, ws.now, string(c.Body)); err != nil {
			return err
		}
	}
	for i := range ws.segments {
		sg := &ws.segments[i]
		b.bytes += len(sg.body)
		// Number and segment in two statements: the first record of the segment is
		// the counter before this commit.
		if _, err := e.exec(ctx, `INSERT INTO stream (stream, next) VALUES (?1, 1 + ?2)
			ON CONFLICT (stream) DO UPDATE SET next = next + ?2`, sg.stream, sg.n); err != nil {
			return err
		}
		if _, err := e.exec(ctx, `INSERT INTO segment (stream, first, n, t, body)
			SELECT ?1, next - ?2, ?2, ?3, ?4 FROM stream WHERE stream = ?1`, sg.stream, sg.n, ws.now, sg.body); err != nil {
			return err
		}
	}
	return nil
}

func (b *sqliteBatch) commit(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	if _, err := b.e.exec(ctx, "COMMIT"); err != nil {
		return err
	}
	b.open = false
	b.e.grew(b.bytes)
	return nil
}

func (b *sqliteBatch) rollback() {
	defer b.e.mu.Unlock()
	if !b.open {
		return
	}
	b.open = false
	// SQLite may have rolled back by itself, as it does when the disk is full, and
	// then says so; either way a fresh connection starts clean.
	b.e.conn.ExecContext(context.Background(), "ROLLBACK")
	b.e.disconnect()
}

func (e *sqlite) readStream(ctx context.Context, q streamQuery) ([]segment, error) {
	before := q.before
	if before <= 0 {
		before = 1<<63 - 1
	}
	order := "ASC"
	if q.backward {
		order = "DESC"
	}
	// The segment that holds the record after the bound may begin before it.
	rows, err := e.reader.QueryContext(ctx, `SELECT first, n, body FROM segment
		WHERE stream = ?1 AND first < ?3
		  AND first >= coalesce((SELECT max(first) FROM segment WHERE stream = ?1 AND first <= ?2 + 1), 0)
		ORDER BY first `+order, q.stream, q.after, before)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []segment
	for have := 0; have < q.limit && rows.Next(); {
		sg := segment{stream: q.stream}
		if err := rows.Scan(&sg.first, &sg.n, &sg.body); err != nil {
			return nil, err
		}
		out = append(out, sg)
		have += sg.within(q)
	}
	return out, rows.Err()
}

// within counts the records of the segment that the query wants.
func (sg *segment) within(q streamQuery) int {
	first, end := sg.first, sg.first+int64(sg.n)
	first = max(first, q.after+1)
	if q.before > 0 {
		end = min(end, q.before)
	}
	return int(max(0, end-first))
}

func (e *sqlite) streams(ctx context.Context, prefix string) ([]string, error) {
	rows, err := e.reader.QueryContext(ctx, `SELECT stream FROM stream WHERE stream >= ? ORDER BY stream`, prefix)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		if !strings.HasPrefix(name, prefix) {
			break
		}
		out = append(out, name)
	}
	return out, rows.Err()
}

func (e *sqlite) trimStream(ctx context.Context, stream string, before int64) error {
	return e.transact(ctx, func() error {
		_, err := e.exec(ctx, `DELETE FROM segment WHERE stream = ? AND first + n <= ?`, stream, before)
		return err
	})
}

func (e *sqlite) trimStreamAge(ctx context.Context, stream string, before int64) error {
	return e.transact(ctx, func() error {
		_, err := e.exec(ctx, `DELETE FROM segment WHERE stream = ? AND t < ?`, stream, before)
		return err
	})
}

func (e *sqlite) deleteStream(ctx context.Context, stream string) error {
	return e.transact(ctx, func() error {
		if _, err := e.exec(ctx, `DELETE FROM stream WHERE stream = ?`, stream); err != nil {
			return err
		}
		_, err := e.exec(ctx, `DELETE FROM segment WHERE stream = ?`, stream)
		return err
	})
}

func (e *sqlite) trimJournal(ctx context.Context, keepRows int, olderThan int64) error {
	return e.transact(ctx, func() error {
		if _, err := e.exec(ctx, `UPDATE seq SET floor = max(floor,
			coalesce((SELECT max(rev) FROM journal j WHERE j.shard = seq.shard AND t < ?1), 0),
			coalesce((SELECT rev FROM journal j WHERE j.shard = seq.shard ORDER BY rev DESC, idx DESC LIMIT 1 OFFSET ?2), 0))`,
			olderThan, keepRows); err != nil {
			return err
		}
		_, err := e.exec(ctx, `DELETE FROM journal
			WHERE rev <= (SELECT floor FROM seq WHERE seq.shard = journal.shard)`)
		return err
	})
}

// transact runs fn in a transaction of its own, between those of the committer.
func (e *sqlite) transact(ctx context.Context, fn func() error) (err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.connect(ctx); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			e.conn.ExecContext(context.Background(), "ROLLBACK")
			e.disconnect()
		}
	}()
	if err := e.sync(ctx, false); err != nil {
		return err
	}
	if _, err := e.conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	if err := fn(); err != nil {
		return err
	}
	_, err = e.conn.ExecContext(ctx, "COMMIT")
	return err
}
